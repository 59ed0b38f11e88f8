"""What is kept and how long: every table names its class here, and its term where it holds data of people.

The worker purges by these rules, `passerelle privacy report` prints them, the README shows them, and a test fails for
a table that is not named.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Table, and_, delete, exists, false, func, not_, select, tuple_, update
from sqlmodel import Session, SQLModel

import campaigns.approvals
import campaigns.care.models
import campaigns.community.models
import campaigns.events
import campaigns.idempotency
import campaigns.identity.models
import campaigns.jobs
import campaigns.legal.models  # noqa: F401  # the register names their tables
from campaigns import audit, clock, ids
from campaigns.care import cases as care_cases
from campaigns.participants.models import ERASED
from campaigns.privacy.service import PERSON_LIFE, due_people, erase_due
from campaigns.scans.log_start import MONTHS_KEPT, log_start
from campaigns.scans.receipt import ACT_LIFE
from campaigns.tokens.service import TAPS_KEPT

CHUNK = 500  # rows of a transaction: no scan waits longer for it than for a batch of its own
PEOPLE_A_CHUNK = 20  # each with all they did
POSITION_LIFE = timedelta(hours=72)
ANSWER_LIFE = timedelta(hours=24)
STAFF_LIFE = timedelta(days=30)  # after the end of a link or a session
JOB_LIFE = timedelta(days=30)  # after its end
AGGREGATES_KEPT = 25  # months


class Kind(StrEnum):
    """The classes of what is kept."""

    NONE = "none"
    OPERATIONS = "operations"
    SCAN_LOG = "scan_log"
    POSITION = "position"
    SALT = "salt"
    AGGREGATE = "aggregate"
    PARTICIPANT = "participant"
    ACT = "act"
    STAFF = "staff"
    REPORT = "report"
    MEMBER = "member"
    AUDIT = "audit"


class Unit(StrEnum):
    """How a column tells a row's age."""

    INSTANT = "instant"
    ID = "id"
    HOUR = "hour"
    DAY = "day"


Cutoff = Callable[[datetime, bool], datetime]  # now, and whether the log goes by whole months


@dataclass(frozen=True)
class Rule:
    """What a table keeps, or why it keeps nothing of a person; and, with `before`, when a row has reached its term.

    `age` makes the expression that tells a row's age, `only` narrows the rows, `blank` empties columns instead of
    deleting the row. `by_worker`: something else than `purge` here drops it; the report still looks.
    """

    table: str
    kind: Kind
    keeps: str
    term: str = ""
    age: Callable[[Any], ColumnElement[Any]] | None = None
    unit: Unit = Unit.INSTANT
    before: Cutoff | None = None
    only: Callable[[Any], ColumnElement[bool]] | None = None
    blank: tuple[tuple[str, Any], ...] = ()
    by_worker: bool = False

    def purge(self, session: Session, *, now: datetime, limit: int = CHUNK) -> int:
        """Drop at most `limit` rows that have reached their term; how many there were."""
        if self.before is None or self.by_worker:
            return 0
        if self.kind is Kind.PARTICIPANT:
            return erase_due(session, now=now, limit=PEOPLE_A_CHUNK) * (limit // PEOPLE_A_CHUNK)
        keys = tuple_(*self._table.primary_key.columns)
        due = select(*self._table.primary_key.columns).where(self._is_due(now, session)).limit(limit)
        chosen = keys.in_(due)
        statement = (
            update(self._table).where(chosen).values(dict(self.blank))
            if self.blank
            else delete(self._table).where(chosen)
        )
        return int(session.execute(statement).rowcount)  # type: ignore[attr-defined]  # a CursorResult

    def rows(self, session: Session) -> int:
        """How many rows are held."""
        count = select(func.count()).select_from(self._table)
        return int(session.execute(count.where(*self._narrowed())).scalar_one())

    def oldest(self, session: Session) -> datetime | None:
        """The instant of the oldest row held; None without one, or where a row has no age."""
        if self.age is None:
            return None
        age = self.age(self._table.c)
        first = session.execute(
            select(age).select_from(self._table).where(*self._narrowed()).order_by(age).limit(1)
        ).scalar()
        return None if first is None else _instant(first, self.unit)

    def is_overdue(self, session: Session, *, now: datetime) -> bool:
        """Whether a row is held that had reached its term at `now`."""
        if self.before is None:
            return False
        if self.kind is Kind.PARTICIPANT:
            return session.execute(due_people(now).limit(1)).first() is not None
        due = select(*self._table.primary_key.columns).where(self._is_due(now, session)).limit(1)
        return session.execute(due).first() is not None

    @property
    def _table(self) -> Table:
        return SQLModel.metadata.tables[self.table]

    def _narrowed(self) -> list[ColumnElement[bool]]:
        return [self.only(self._table.c)] if self.only else []

    def _is_due(self, now: datetime, session: Session) -> ColumnElement[bool]:
        if self.before is None or self.age is None:
            return false()
        before = self.before(now, session.get_bind().dialect.name == "postgresql")
        return and_(self.age(self._table.c) < _value(before, self.unit), *self._narrowed())


def months_before(now: datetime, number: int) -> datetime:
    """The same day and time so many calendar months before; the 28th where that month is shorter."""
    years, month = divmod(now.month - 1 - number, 12)
    return now.replace(year=now.year + years, month=month + 1, day=min(now.day, 28))


def _ago(life: timedelta) -> Cutoff:
    return lambda now, _: now - life


def _aggregates(now: datetime, _: bool) -> datetime:
    return months_before(now, AGGREGATES_KEPT)


def _months(now: datetime, _: bool) -> datetime:
    return months_before(now, MONTHS_KEPT)


def _point_day(now: datetime, _: bool) -> datetime:
    # Acts on a scan end after 48 hours, so 48 hours after a day's end nobody needs its points any more; one by one,
    # the judge of tomorrow would see fewer of them than the judge of today.
    return clock.EPOCH + timedelta(days=clock.day_of(now - ACT_LIFE))


def _value(instant: datetime, unit: Unit) -> Any:
    values: dict[Unit, Callable[[datetime], Any]] = {
        Unit.INSTANT: lambda at: at,
        Unit.ID: ids.first_of,
        Unit.HOUR: clock.hour_of,
        Unit.DAY: clock.day_of,
    }
    return values[unit](instant)


def _instant(value: Any, unit: Unit) -> datetime:
    if unit is Unit.ID:
        return ids.instant_of(value if isinstance(value, UUID) else UUID(str(value)))
    if unit is Unit.HOUR:
        return clock.instant_of_hour(value)
    if unit is Unit.DAY:
        return clock.EPOCH + timedelta(days=value)
    at: datetime = value
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _log(table: str, column: str, keeps: str) -> Rule:
    return Rule(table, Kind.SCAN_LOG, keeps, "13 months", lambda c: c[column], Unit.ID, log_start)


def _nothing(table: str, reason: str) -> Rule:
    return Rule(table, Kind.NONE, reason)


def _act(table: str, keeps: str, age: str | None = None) -> Rule:
    term = "with its participant, then under a random id"
    return Rule(table, Kind.ACT, keeps, term, _of(age) if age else None)


def _of(column: str) -> Any:
    return lambda c: c[column]


def _wrote_tags(c: Any) -> ColumnElement[bool]:
    writings = SQLModel.metadata.tables["tag_writings"]
    return exists().where(writings.c.staff_session_id == c.id)


def _session_end(c: Any) -> ColumnElement[Any]:
    return func.coalesce(c.revoked_at, c.expires_at, type_=c.expires_at.type)


def _closing_of(case_id: Any) -> Any:
    cases = SQLModel.metadata.tables["cases"]
    return select(cases.c.closed_at).where(cases.c.id == case_id).scalar_subquery()


def _is_silent(c: Any) -> ColumnElement[bool]:
    """Cases that are closed and whose words are gone: the words go first."""
    said = SQLModel.metadata.tables["case_messages"]
    return and_(c.closed_at.is_not(None), not_(exists().where(said.c.case_id == c.id)))


RULES: tuple[Rule, ...] = (
    _log("scans", "id", "one row a scan: code, verdict, device, language, coarse place of the address"),
    _log("scan_confirmations", "scan_id", "that a browser showed the page of a scan"),
    _log("scan_judgements", "scan_id", "verdicts that changed"),
    _log("scan_positions", "scan_id", "inside, maybe or outside, a coarse distance and cell"),
    _log("receipt_tries", "scan_id", "till codes typed with one receipt"),
    Rule(
        "scan_positions",
        Kind.POSITION,
        "the precise position, encrypted",
        "72 hours",
        _of("located_at"),
        before=_ago(POSITION_LIFE),
        only=lambda c: c.sealed.is_not(None),
        blank=(("sealed", None),),
    ),
    Rule(
        "scan_positions",
        Kind.POSITION,
        "a keyed hash of that position",
        "72 hours",
        _of("scan_id"),
        Unit.ID,
        _point_day,
        only=lambda c: c.point.is_not(None),
        blank=(("point", None),),
    ),
    Rule(
        "visitor_salts",
        Kind.SALT,
        "the salt of a day's visitor keys (PostgreSQL; beside a SQLite file it is a file)",
        "48 hours",
        _of("day"),
        Unit.DAY,
        lambda now, _: clock.EPOCH + timedelta(days=clock.day_of(now)),
    ),
    Rule(
        "scan_counters",
        Kind.AGGREGATE,
        "scans of a code, hour and verdict",
        "25 months",
        _of("hour"),
        Unit.HOUR,
        _aggregates,
    ),
    Rule(
        "scan_visitors",
        Kind.AGGREGATE,
        "keys of a code's visitors of a day, whose salt is gone",
        "25 months",
        _of("day"),
        Unit.DAY,
        _aggregates,
    ),
    Rule(
        "participants",
        Kind.PARTICIPANT,
        "pseudonym, language, cohort, what they said of their age, the hash of their cookie",
        "90 days after the end of their last campaign",
        _of("created_at"),
        before=_ago(PERSON_LIFE),
        only=lambda c: not_(c.secret_hash.startswith(ERASED)),
    ),
    _act("check_ins", "a visit to a shop, its presence and verdict", "checked_in_at"),
    _act("visits", "the one counted visit of a person, code and day"),
    _act("live_window_uses", "that a shop's live code was used", "used_at"),
    _act("serial_uses", "that a serial was used", "used_at"),
    _act("memberships", "that a person takes part in a mission", "joined_at"),
    _act("step_completions", "a step that was done", "completed_at"),
    _act("ideas", "an idea; its words go with its participant", "created_at"),
    _act("comments", "a comment on an idea; its words go with its participant", "created_at"),
    _act("comment_marks", "that a comment was useful to a person", "marked_at"),
    Rule(
        "text_counts",
        Kind.OPERATIONS,
        "how many texts a person wrote in their first hour or on a day",
        "until that hour or day is over",
        _of("ends_at"),
        before=lambda now, _: now,
    ),
    Rule(
        "flags",
        Kind.REPORT,
        "what a reader says is wrong with a contribution; its words go with its participant",
        "13 months",
        _of("flagged_at"),
        before=_months,
        only=lambda c: c.text != "",
        blank=(("text", ""),),
    ),
    Rule(
        "code_reports",
        Kind.REPORT,
        "what people say is wrong with a code",
        "13 months",
        _of("reported_at"),
        before=_months,
    ),
    Rule(
        "code_report_days",
        Kind.REPORT,
        "how many reports a code had on a day",
        "13 months",
        _of("day"),
        Unit.DAY,
        _months,
    ),
    Rule(
        "case_messages",
        Kind.REPORT,
        "what was said in a shopper's case",
        "13 months after its closing",
        lambda c: _closing_of(c.case_id),
        before=_months,
    ),
    Rule(
        "cases",
        Kind.REPORT,
        "that a shopper told the shop something, and when it was answered",
        "13 months after its closing",
        _of("closed_at"),
        before=_months,
        only=_is_silent,
    ),
    Rule(
        "case_days",
        Kind.REPORT,
        "how many cases a phone opened on a day",
        "3 days",
        _of("day"),
        Unit.DAY,
        _ago(care_cases.DAYS_KEPT),
    ),
    Rule(
        "staff_links",
        Kind.STAFF,
        "a one-time sign-in link of a shop",
        "30 days after its end",
        lambda c: func.coalesce(c.used_at, c.expires_at, type_=c.expires_at.type),
        before=_ago(STAFF_LIFE),
    ),
    Rule(
        "staff_sessions",
        Kind.STAFF,
        "a signed-in phone of a shop",
        "30 days after its end",
        _session_end,
        before=_ago(STAFF_LIFE),
        only=lambda c: not_(_wrote_tags(c)),
    ),
    Rule(
        "staff_sessions",
        Kind.STAFF,
        "the name of a phone that wrote tags; the row stays with the tags",
        "30 days after its end",
        _session_end,
        before=_ago(STAFF_LIFE),
        only=lambda c: and_(c.label != "", _wrote_tags(c)),
        blank=(("label", ""),),
    ),
    Rule(
        "members",
        Kind.MEMBER,
        "name, e-mail address and role of who works in the console",
        "until removed; then only a row without either",
        _of("invited_at"),
        only=lambda c: c.email.is_not(None),
    ),
    Rule(
        "sign_in_links",
        Kind.MEMBER,
        "a one-time sign-in link of a member",
        "30 days after its end",
        lambda c: func.coalesce(c.used_at, c.expires_at, type_=c.expires_at.type),
        before=_ago(STAFF_LIFE),
    ),
    Rule(
        "member_sessions",
        Kind.MEMBER,
        "a browser that a member signed in with",
        "30 days after its end",
        _session_end,
        before=_ago(STAFF_LIFE),
    ),
    Rule(
        "audit_entries",
        Kind.AUDIT,
        "which member, key or phone changed what, from what to what",
        "5 years",
        _of("recorded_at"),
        before=_ago(audit.KEPT),
    ),
    Rule(
        "moderation_acts",
        Kind.AUDIT,
        "which member hid or restored what, by which rule and why",
        "with the organisation",
        _of("acted_at"),
    ),
    Rule(
        "approvals",
        Kind.AUDIT,
        "which member proposed and decided what",
        "with the organisation",
        _of("proposed_at"),
    ),
    Rule(
        "idempotent_answers",
        Kind.OPERATIONS,
        "the sealed answer to a POST that may come again",
        "24 hours",
        _of("started_at"),
        before=_ago(ANSWER_LIFE),
    ),
    Rule(
        "spent_taps",
        Kind.OPERATIONS,
        "the visitor key of an NFC tap",
        "3 days",
        _of("tapped_at"),
        before=_ago(TAPS_KEPT),
    ),
    Rule(
        "jobs",
        Kind.OPERATIONS,
        "the progress of bulk work",
        "30 days after its end",
        _of("ended_at"),
        before=_ago(JOB_LIFE),
        only=lambda c: c.ended_at.is_not(None),
        by_worker=True,
    ),
    Rule(
        "events",
        Kind.OPERATIONS,
        "ids of what happened, until somebody reacted to it",
        "seconds",
        _of("recorded_at"),
    ),
    _nothing("erasures", "ids of the erased, which nothing refers to: a restore must know them"),
    _nothing("log_starts", "from when on the scan log is whole"),
    _nothing("organisations", "the brand"),
    _nothing("legal_versions", "legal texts as they were in force"),
    _nothing("api_keys", "hashes of a brand's keys"),
    _nothing("key_fingerprints", "a fingerprint of the secret key"),
    _nothing("places", "shops"),
    _nothing("till_code_tries", "wrong till codes of a shop and day, a number"),
    _nothing("campaigns", "campaigns"),
    _nothing("targets", "targets of campaigns"),
    _nothing("missions", "missions"),
    _nothing("steps", "steps of missions"),
    _nothing("mission_counters", "totals"),
    _nothing("flagged_subjects", "how often a contribution was flagged"),
    _nothing("tokens", "codes"),
    _nothing("token_batches", "batches of codes"),
    _nothing("token_changes", "what a key changed of a code"),
    _nothing("sun_tags", "keys and counters of tags"),
    _nothing("mirror_counters", "counters of tags"),
    _nothing("tag_key_sets", "keys of tags"),
    _nothing("tag_writings", "which tag was written in a shop"),
    _nothing("alerts", "codes whose scans fell off"),
    _nothing("scan_writers", "numbers of processes"),
)
