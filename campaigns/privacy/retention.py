"""What is kept and how long: every table names its class here, and its term where it holds data of people.

The worker purges by these rules, `passerelle privacy report` prints them, the README shows them, and a test fails for
a table that is not named.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, case, exists, func, not_, select
from sqlmodel import SQLModel

import campaigns.approvals
import campaigns.care.models
import campaigns.community.models
import campaigns.events
import campaigns.idempotency
import campaigns.identity.models
import campaigns.jobs
import campaigns.legal.models
import campaigns.letters.models
import campaigns.rewards.models
import campaigns.rewards.point_models
import campaigns.stats.models
import campaigns.webhooks.models  # noqa: F401  # the register names their tables
from campaigns import audit, clock
from campaigns.care import cases as care_cases
from campaigns.letters.contacts import CONFIRM_WITHIN
from campaigns.participants.models import ERASED
from campaigns.privacy.rules import Cutoff, Kind, Rule, Unit, months_before
from campaigns.privacy.service import PERSON_LIFE
from campaigns.scans.log_start import MONTHS_KEPT, log_start
from campaigns.scans.receipt import ACT_LIFE
from campaigns.tokens.service import TAPS_KEPT

POSITION_LIFE = timedelta(hours=72)
ANSWER_LIFE = timedelta(hours=24)
STAFF_LIFE = timedelta(days=30)  # after the end of a link or a session
LETTER_LIFE = timedelta(days=30)
MESSAGE_LIFE = timedelta(days=30)  # to a webhook
JOB_LIFE = timedelta(days=30)  # after its end
AGGREGATES_KEPT = 25  # months


def _ago(life: timedelta) -> Cutoff:
    return lambda now, _: now - life


def _aggregates(now: datetime, _: bool) -> datetime:
    return months_before(now, AGGREGATES_KEPT)


def _months(now: datetime, _: bool) -> datetime:
    return months_before(now, MONTHS_KEPT)


def _rollup_day(c: Any) -> ColumnElement[int]:
    """The last day of a period: the days of a week go first."""
    weeks = (c.span == "week", c.period * 7 + 3), (c.span == "eight_weeks", c.period * 56 + 52)
    return case((c.span == "hour", c.period // 24), *weeks, else_=c.period)


def _point_day(now: datetime, _: bool) -> datetime:
    # Acts on a scan end after 48 hours, so 48 hours after a day's end nobody needs its points any more; one by one,
    # the judge of tomorrow would see fewer of them than the judge of today.
    return clock.EPOCH + timedelta(days=clock.day_of(now - ACT_LIFE))


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


_TOGETHER = "with its participant"
_LEDGER = "10 years"
_NAMELESS = "with the mission: it names nobody, erased or not"


def _post(table: str, keeps: str, term: str, age: str, before: Cutoff | None = None, only: Any | None = None) -> Rule:
    return Rule(table, Kind.CONTACT, keeps, term, _of(age), before=before, only=only)


_A_DAY = _ago(CONFIRM_WITHIN)


def _is_confirming(c: Any) -> ColumnElement[bool]:
    return c.kind == "confirm"  # type: ignore[no-any-return]  # a column


def _is_idle(c: Any) -> ColumnElement[bool]:
    """Addresses nobody confirmed, once their letters are gone: those go first."""
    letters = SQLModel.metadata.tables["letters"]
    return and_(c.confirmed_at.is_(None), not_(exists().where(letters.c.contact_id == c.id)))


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
        "scan_rollups",
        Kind.AGGREGATE,
        "scans of an hour, day or week by place, code, channel, medium, device, language, country, and by two of them",
        "25 months",
        _rollup_day,
        Unit.DAY,
        _aggregates,
    ),
    Rule(
        "rollup_cells",
        Kind.AGGREGATE,
        "scans of a civil day alike in all of these, on their way to the rollups: some seconds",
        "25 months",
        _of("day"),
        Unit.DAY,
        _aggregates,
    ),
    Rule(
        "rollup_weeks",
        Kind.AGGREGATE,
        "which weeks of a campaign are summed up",
        "25 months",
        _rollup_day,
        Unit.DAY,
        _aggregates,
    ),
    Rule(
        "rollup_visitors",
        Kind.AGGREGATE,
        "keys of the visitors of a civil day, whose salt is gone",
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
    _act("participant_keys", "the hash of the cookie of a further phone; gone with its participant", "issued_at"),
    _act("recovery_codes", "a keyed hash of a recovery code and when it ended; gone with its participant", "issued_at"),
    _act("merged_people", "the id of a name that was merged into a participant; gone with them", "merged_at"),
    Rule(
        "recovery_tries",
        Kind.OPERATIONS,
        "how many wrong codes came from an address in an hour, under a key whose salt is gone",
        "3 days",
        _of("hour"),
        Unit.HOUR,
        _ago(care_cases.DAYS_KEPT),
    ),
    _act("check_ins", "a visit to a shop, its presence and verdict", "checked_in_at"),
    _act("visits", "the one counted visit of a person, code, day and phase"),
    _act("live_window_uses", "that a shop's live code was used", "used_at"),
    _act("serial_uses", "that a serial was used", "used_at"),
    _act("memberships", "that a person takes part in a mission", "joined_at"),
    _act("step_completions", "a step that was done", "completed_at"),
    _act("cards", "which paper card stands for a person", "first_used_at"),
    _act("staff_records", "an act that the staff of a place recorded for who has no phone", "recorded_at"),
    Rule(
        "staff_hours",
        Kind.STAFF,
        "how many acts a shop's phone recorded in an hour",
        "2 hours",
        _of("hour"),
        Unit.HOUR,
        _ago(timedelta(hours=2)),
    ),
    _act("pilot_people", "that a person takes part in a pilot", "admitted_at"),
    _act("mission_places", "a place visited for a mission"),
    Rule(
        "act_codes",
        Kind.OPERATIONS,
        "a code that a phone shows to staff or a friend",
        "ten minutes",
        _of("expires_at"),
        before=lambda now, _: now,
    ),
    _act("validations", "that a shop witnessed an act", "validated_at"),
    _act("friend_namings", "that two friends named one another", "named_at"),
    _act(
        "public_codes",
        "the code in a person's link, and a keyed hash of their phone of a day; gone with them",
        "issued_at",
    ),
    _act("referrals", "who brought whom to a mission, and that they came to a place", "claimed_at"),
    _act("shares", "that a mission was shared on a day", "shared_at"),
    _act("external_acts", "an act another system told of, by its id", "acted_at"),
    _act("ideas", "an idea; its words go with its participant", "created_at"),
    _post("letters", "that a letter was sent, of which kind", "30 days", "made_at", _ago(LETTER_LIFE)),
    _post(
        "letters", "that an address was to be confirmed", "24 hours", "made_at", _ago(CONFIRM_WITHIN), _is_confirming
    ),
    _post(
        "contacts", "an e-mail address not confirmed, encrypted", "24 hours", "asked_at", _ago(CONFIRM_WITHIN), _is_idle
    ),
    _post(
        "contacts", "a confirmed e-mail address, encrypted", "until its person takes it away, or with them", "asked_at"
    ),
    Rule(
        "letter_turns",
        Kind.OPERATIONS,
        "how many confirming letters an address, a person or a phone asked for on a day, by a keyed hash",
        "3 days",
        _of("day"),
        Unit.DAY,
        _ago(care_cases.DAYS_KEPT),
    ),
    _act("idea_follows", "that a person follows an idea", "followed_at"),
    Rule("ballots", Kind.ACT, "keyed hashes of a voter and of the proof that opened their ballot", _NAMELESS),
    Rule("votes", Kind.ACT, "a vote, its hour and a keyed hash of its voter", _NAMELESS),
    _act("comments", "a comment on an idea; its words go with its participant", "created_at"),
    Rule("replies", Kind.ACT, "a reply to a question: a choice, a mark, words", _TOGETHER, _of("created_at")),
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
        "approvals",
        Kind.AUDIT,
        "which member proposed and decided what",
        "with the organisation",
        _of("proposed_at"),
    ),
    Rule(
        "moderation_acts",
        Kind.AUDIT,
        "which member hid or restored what, by which rule and why",
        "with the organisation",
        _of("acted_at"),
    ),
    Rule(
        "idea_decisions",
        Kind.AUDIT,
        "which member or key decided about an idea, and the public reason",
        "with the organisation",
        _of("decided_at"),
    ),
    Rule(
        "reports",
        Kind.AUDIT,
        "figures of a report that was frozen, what was learned, and which member or key froze it",
        "with the organisation",
        _of("made_at"),
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
        "webhook_deliveries",
        Kind.OPERATIONS,
        "a message to a webhook: ids and small facts, and how sending it went",
        "30 days",
        _of("id"),
        Unit.ID,
        _ago(MESSAGE_LIFE),
    ),
    Rule(
        "conversions",
        Kind.SCAN_LOG,
        "a sale that a shop's own system told of, under its id there",
        "13 months",
        _of("recorded_at"),
        before=log_start,
    ),
    Rule(
        "events",
        Kind.OPERATIONS,
        "ids of what happened, until somebody reacted to it",
        "seconds",
        _of("recorded_at"),
    ),
    _act("cause_choices", "the cause a person's acts fund", "chosen_at"),
    _act("coupons", "a coupon a person earned, its code and what became of it", "issued_at"),
    _act("points_lots", "the points of a step a person did, and what became of them", "earned_at"),
    _act("points_spends", "that a person took a coupon for points", "spent_at"),
    _act("points_spend_lines", "from which points that was; it names nobody"),
    _act("badge_awards", "that a person has a badge, or lost it, and why", "awarded_at"),
    Rule("redemptions", Kind.ACT, "that a till took or refused a coupon; it names nobody", _LEDGER),
    Rule("gifts", Kind.ACT, "what a used coupon gave to a cause; it names nobody", _LEDGER),
    _act("ledger_names", "a person's random name in a public ledger; gone with them"),
    Rule("accruals", Kind.ACT, "what an act accrued for a cause, under a random name", _LEDGER),
    Rule("pledge_people", Kind.ACT, "what somebody drew from a pledge, under a random name", _LEDGER),
    Rule("transfers", Kind.ACT, "transfers of the ledger; they name no person", _LEDGER),
    _nothing("erasures", "ids of the erased, which nothing refers to: a restore must know them"),
    _nothing("log_starts", "from when on the scan log is whole"),
    _nothing("organisations", "the brand"),
    _nothing("legal_versions", "legal texts as they were in force"),
    _nothing("webhooks", "where a brand's systems hear of what happens, and a sealed secret"),
    _nothing("api_keys", "hashes of a brand's keys"),
    _nothing("key_fingerprints", "a fingerprint of the secret key"),
    _nothing("places", "shops"),
    _nothing("till_code_tries", "wrong till codes of a shop and day, a number"),
    _nothing("campaigns", "campaigns"),
    _nothing("targets", "targets of campaigns"),
    _nothing("cost_items", "what a campaign cost"),
    _nothing("money_terms", "the currency and the margin of a campaign's money"),
    _nothing("conversion_totals", "sums of conversions of a day, place and code"),
    _nothing("holdouts", "the seed of a draw"),
    _nothing("holdout_units", "which places or codes were drawn"),
    _nothing("exposures", "how many customers a shop had in some days"),
    _nothing("pilots", "where and up to how many a campaign is tried, and what it must show"),
    _nothing("pilot_waivers", "which threshold a member let go, and why"),
    _nothing("cohort_links", "links into a brand's team, by their hashes"),
    _nothing("missions", "missions"),
    _nothing("steps", "steps of missions"),
    _nothing("mission_counters", "totals"),
    _nothing("check_in_marks", "totals"),
    _nothing("whole_figures", "shares of a whole campaign"),
    _nothing("step_answers", "what a check-in was told of a step; it names no person"),
    _nothing("scan_voids", "that a scan was voided, and the reason; it names no person"),
    _nothing("void_effects", "what went with a voided scan; it names no person"),
    _nothing("rounds", "ballots of missions"),
    _nothing("vote_counters", "totals"),
    _nothing("reply_counters", "totals"),
    _nothing("turn_outs", "totals"),
    _nothing("flagged_subjects", "how often a contribution was flagged"),
    _nothing("tokens", "codes"),
    _nothing("token_batches", "batches of codes"),
    _nothing("token_changes", "what a key changed of a code"),
    _nothing("sun_tags", "keys and counters of tags"),
    _nothing("mirror_counters", "counters of tags"),
    _nothing("tag_key_sets", "keys of tags"),
    _nothing("tag_writings", "which tag was written in a shop"),
    _nothing("alerts", "codes whose scans fell off"),
    _nothing("target_forecasts", "what was expected of targets, day by day"),
    _nothing("alert_thresholds", "figures of campaigns that are watched"),
    _nothing("raised_alerts", "figures that crossed a threshold"),
    _nothing("sponsors", "who gives"),
    _nothing("beneficiaries", "who receives, and the name typed by who accepted"),
    _nothing("pledges", "promises of sponsors, and the name typed by who signed"),
    _nothing("pledge_beneficiaries", "the causes of a pledge"),
    _nothing("pledge_links", "one-time links of sponsors and causes, by their hashes"),
    _nothing("offers", "what may be earned, and how many of it"),
    _nothing("badges", "what may be earned, and for what"),
    _nothing("pledge_days", "what a day drew from a pledge"),
    _nothing("pledge_acts", "which acts count towards a threshold"),
    _nothing("waiting_acts", "which acts wait for a paused campaign"),
    _nothing("accounts", "balances"),
    _nothing("payouts", "what was paid to a cause, and which members saw to it"),
    _nothing("payout_items", "which accruals a payout pays"),
    _nothing("ledger_lines", "the lines of the public ledger and their hashes: no person, no instant"),
    _nothing("unchained_transfers", "transfers that wait to become such a line"),
    _nothing("ledger_heads", "the hash of a day's end"),
    _nothing("scan_writers", "numbers of processes"),
)
