"""Flags, and what moderators do about them: nothing a person wrote vanishes silently.

A contribution is hidden by a rule of a closed list and for a reason that its author reads. Its place stays on the page
with the rule, its totals stay counted, and the public counts of removals come from acts that are never changed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import func, update
from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from campaigns import missions
from campaigns.announcements import announce
from campaigns.community.models import (
    AT_ONCE,
    Act,
    Comment,
    Flag,
    FlaggedSubject,
    FlagKind,
    Idea,
    IdeaState,
    ModerationAct,
    Reply,
    Rule,
    SubjectKind,
)
from campaigns.errors import Conflict, Invalid, NotFound, TooMany
from campaigns.events import record_event
from campaigns.ids import uuid7_at
from campaigns.missions import Mission
from campaigns.participants import Participant
from campaigns.storage import changed, insert_once, upsert

TEXT_LIMIT = 500  # characters of a flag's text, and of a reason
FLAGS_AT_MOST = 500  # that wait at one contribution: by then it is first in the queue anyway
TABLES: dict[SubjectKind, Any] = {SubjectKind.IDEA: Idea, SubjectKind.COMMENT: Comment, SubjectKind.REPLY: Reply}
PREFIXES = {SubjectKind.IDEA: "ide", SubjectKind.COMMENT: "cmt", SubjectKind.REPLY: "rpl"}  # of their ids
_SHOWN = (IdeaState.PUBLISHED, IdeaState.RESTORED)


class Subject(NamedTuple):
    """A contribution, with what kind it is."""

    kind: SubjectKind
    row: Any


class Flagged(NamedTuple):
    """A flag; `is_replay` when this person had flagged the contribution already, and the first one stands."""

    flag: Flag
    is_replay: bool


@dataclass(frozen=True)
class Waiting:
    """A contribution in the moderators' queue."""

    subject: Subject
    mission: Mission
    flags: int
    open_flags: int
    kinds: Mapping[str, int] = field(default_factory=dict)
    texts: Sequence[str] = ()


def subject_in(session: Session, mission: Mission, kind: SubjectKind, id: UUID) -> Subject:
    """A contribution of a mission; NotFound for another's and for one its author took back."""
    row = session.get(TABLES[kind], id)
    if row is None or row.mission_id != mission.id or row.state == IdeaState.ERASED:
        raise NotFound("There is no such contribution.")
    return Subject(kind, row)


def flag(
    session: Session,
    mission: Mission,
    subject: Subject,
    *,
    kind: FlagKind,
    text: str,
    person: Participant | None,
    day: int,
    reporter_key: int,
    now: datetime,
) -> Flagged:
    """Keep what a reader says is wrong with a contribution: once a person, or once a phone and day without a cookie.

    Invalid for a text above 500 characters; TooMany when so many wait that one more tells nothing.
    """
    words = _words(text, "flag_too_long", "/text")
    who: dict[str, Any] = (
        {"participant_id": person.id} if person is not None else {"day": day, "reporter_key": reporter_key}
    )
    id = uuid7_at(now)
    given = {"participant_id": None, "day": None, "reporter_key": None, **who}
    if not insert_once(
        session, Flag, id=id, subject_id=subject.row.id, kind=kind.value, text=words, flagged_at=now, **given
    ):
        query = select(Flag).where(Flag.subject_id == subject.row.id)
        for name, value in who.items():
            query = query.where(getattr(Flag, name) == value)
        return Flagged(session.exec(query).one(), True)
    _count(session, mission, subject)
    record_event(session, "contribution.flagged", now=now, flag_id=id, subject_id=subject.row.id)
    return Flagged(session.get_one(Flag, id), False)


def hide(
    session: Session, mission: Mission, subject: Subject, *, rule: Rule, reason: str, member_id: UUID, now: datetime
) -> ModerationAct:
    """Withhold a contribution's words, by a rule and with a reason.

    Conflict when it is hidden already, or when nobody flagged it and the rule is not one that may be used at once.
    """
    words = _reason(reason)
    flagged = session.get(FlaggedSubject, subject.row.id)
    if rule not in AT_ONCE and (flagged is None or not flagged.flags):
        raise Conflict(
            "Nobody has flagged this. Without a flag only personal attacks and private data may be hidden.",
            code="not_flagged",
            pointer="/rule",
        )
    return _turn(session, mission, subject, Act.HIDDEN, rule=rule, reason=words, member_id=member_id, now=now)


def restore(
    session: Session, mission: Mission, subject: Subject, *, reason: str, member_id: UUID, now: datetime
) -> ModerationAct:
    """Show a hidden contribution again, with a reason. Conflict when it is not hidden."""
    return _turn(
        session, mission, subject, Act.RESTORED, rule=None, reason=_reason(reason), member_id=member_id, now=now
    )


def leave(
    session: Session, mission: Mission, subject: Subject, *, reason: str, member_id: UUID, now: datetime
) -> ModerationAct:
    """Note that somebody looked at its flags and left a contribution as it is; it leaves the queue."""
    words = _reason(reason)
    return _note(session, mission, subject, Act.LEFT, str(subject.row.state), None, words, member_id, now)


def queue(session: Session, organisation_id: UUID, *, limit: int) -> list[Waiting]:
    """What was flagged since somebody last looked, most flagged first, with what readers said."""
    rows = session.exec(
        select(FlaggedSubject)
        .where(FlaggedSubject.organisation_id == organisation_id, FlaggedSubject.open_flags > 0)
        .order_by(col(FlaggedSubject.open_flags).desc(), col(FlaggedSubject.subject_id))
        .limit(limit)
    ).all()
    return [one for row in rows if (one := _waiting(session, row)) is not None]


def newest_of(session: Session, organisation_id: UUID, *, limit: int) -> list[Waiting]:
    """The newest contributions of all missions, hidden ones too."""
    found: list[Waiting] = []
    for kind, table in TABLES.items():
        rows = session.execute(
            select(table, Mission)
            .join(Mission, col(Mission.id) == table.mission_id)
            .where(Mission.organisation_id == organisation_id, table.state != IdeaState.ERASED)
            .order_by(col(table.id).desc())
            .limit(limit)
        ).all()
        found += [Waiting(Subject(kind, row), mission, 0, 0) for row, mission in rows]
    return sorted(found, key=lambda one: one.subject.row.id, reverse=True)[:limit]


def last_act(session: Session, subject_id: UUID) -> ModerationAct | None:
    """What a moderator did last with a contribution: hid it or restored it."""
    acts = select(ModerationAct).where(ModerationAct.subject_id == subject_id, ModerationAct.act != Act.LEFT)
    return session.exec(acts.order_by(col(ModerationAct.id).desc()).limit(1)).first()


def author_of_act(session: Session, act_id: UUID) -> tuple[ModerationAct, UUID] | None:
    """A moderator's act that hid something, and whose it was; None for another act, and for what nobody owns."""
    act = session.get(ModerationAct, act_id)
    if act is None or act.act != Act.HIDDEN:
        return None
    row = session.get(TABLES[SubjectKind(act.subject_kind)], act.subject_id)
    return (act, row.participant_id) if row is not None and row.participant_id is not None else None


def kind_of(session: Session, subject_id: UUID) -> SubjectKind:
    """What kind of contribution was flagged."""
    return SubjectKind(session.get_one(FlaggedSubject, subject_id).subject_kind)


def flags_of(session: Session, participant_id: UUID) -> Sequence[Flag]:
    """What a person flagged, newest first."""
    return session.exec(select(Flag).where(Flag.participant_id == participant_id).order_by(col(Flag.id).desc())).all()


def removals(totals: Mapping[str, int]) -> dict[str, int]:
    """Of a mission's totals, how many contributions were hidden by each rule, ever; and `restored`."""
    found = {rule.value: totals.get(f"hidden_{rule.value}", 0) for rule in Rule}
    return {name: number for name, number in (found | {"restored": totals.get("restored", 0)}).items() if number}


def recount(session: Session) -> list[str]:
    """The counts of removals against the acts, and those of flags against the flags, in words."""
    counted: dict[tuple[UUID, str, str], int] = {}
    by = [col(getattr(ModerationAct, name)) for name in ("mission_id", "phase", "act", "rule")]
    acts = columns(*by, func.count()).where(col(ModerationAct.act) != Act.LEFT).group_by(*by)
    for mission_id, phase, act, rule, number in session.execute(acts):
        counted[(mission_id, phase, f"hidden_{rule}" if act == Act.HIDDEN else "restored")] = number
    found = missions.differences(session, counted, (*(f"hidden_{rule}" for rule in Rule), "restored"))
    flagged = columns(col(Flag.subject_id), func.count()).group_by(col(Flag.subject_id))
    flags: dict[UUID, int] = {row[0]: row[1] for row in session.execute(flagged)}
    stored = {row.subject_id: row.flags for row in session.exec(select(FlaggedSubject))}
    return found + [
        f"flags of {id}: {stored.get(id, 0)} stored, {flags.get(id, 0)} counted"
        for id in sorted(stored.keys() | flags.keys(), key=str)
        if stored.get(id, 0) != flags.get(id, 0)
    ]


def _turn(
    session: Session,
    mission: Mission,
    subject: Subject,
    act: Act,
    *,
    rule: Rule | None,
    reason: str,
    member_id: UUID,
    now: datetime,
) -> ModerationAct:
    """Hide or restore. The condition stands in the UPDATE: of two moderators one does it."""
    table = TABLES[subject.kind]
    before = str(subject.row.state)
    after = IdeaState.HIDDEN.value if act is Act.HIDDEN else _state_before(session, subject.row.id)
    is_hidden = act is Act.RESTORED
    fits = table.state == IdeaState.HIDDEN if is_hidden else col(table.state).not_in(_NOT_TO_HIDE)
    moved = update(table).where(table.id == subject.row.id, table.state == before, fits)
    if not changed(session, moved.values(state=after, hidden_rule=rule.value if rule else None)):
        words = "This is not hidden." if is_hidden else "This is hidden already, or its author took it back."
        raise Conflict(words, code="wrong_state")
    noted = _note(session, mission, subject, act, before, rule, reason, member_id, now)
    metric = f"hidden_{rule.value}" if rule else "restored"
    missions.count(session, mission, metric, phase=subject.row.phase)
    record_event(session, f"{subject.kind.value}.{act.value}", now=now, subject_id=subject.row.id, act_id=noted.id)
    announce(session, "campaign", mission.campaign_id)
    return noted


_NOT_TO_HIDE = (IdeaState.HIDDEN, IdeaState.ERASED)


def _state_before(session: Session, subject_id: UUID) -> str:
    """What a hidden contribution becomes again: where it had got to, else plainly restored."""
    last = last_act(session, subject_id)
    was = last.state_before if last is not None else IdeaState.PUBLISHED.value
    return IdeaState.RESTORED.value if was in _SHOWN else was


def _note(
    session: Session,
    mission: Mission,
    subject: Subject,
    act: Act,
    before: str,
    rule: Rule | None,
    reason: str,
    member_id: UUID,
    now: datetime,
) -> ModerationAct:
    noted = ModerationAct(
        id=uuid7_at(now),
        organisation_id=mission.organisation_id,
        mission_id=mission.id,
        phase=subject.row.phase,
        subject_kind=subject.kind.value,
        subject_id=subject.row.id,
        act=act.value,
        rule=rule.value if rule else None,
        reason=reason,
        state_before=before,
        member_id=member_id,
        acted_at=now,
    )
    session.add(noted)
    session.flush()
    looked = update(FlaggedSubject).where(col(FlaggedSubject.subject_id) == subject.row.id)
    session.execute(looked.values(open_flags=0).execution_options(synchronize_session=False))
    return noted


def _count(session: Session, mission: Mission, subject: Subject) -> None:
    insert = upsert(session, FlaggedSubject).values(
        subject_id=subject.row.id,
        subject_kind=subject.kind.value,
        organisation_id=mission.organisation_id,
        mission_id=mission.id,
        flags=1,
        open_flags=1,
    )
    counted = changed(
        session,
        insert.on_conflict_do_update(
            index_elements=["subject_id"],
            set_={"flags": col(FlaggedSubject.flags) + 1, "open_flags": col(FlaggedSubject.open_flags) + 1},
            where=col(FlaggedSubject.open_flags) < FLAGS_AT_MOST,
        ),
    )
    if not counted:
        raise TooMany(
            "Many people flagged this already; a moderator looks at it first. Thank you.",
            code="flagged",
            retry_after_s=3600,
        )


def _waiting(session: Session, row: FlaggedSubject) -> Waiting | None:
    found = session.get(TABLES[SubjectKind(row.subject_kind)], row.subject_id)
    if found is None or found.state == IdeaState.ERASED:
        return None
    flags = session.exec(
        select(Flag).where(Flag.subject_id == row.subject_id).order_by(col(Flag.id).desc()).limit(row.open_flags)
    ).all()
    kinds: dict[str, int] = {}
    for one in flags:
        kinds[one.kind] = kinds.get(one.kind, 0) + 1
    texts = [one.text for one in flags if one.text][:5]
    subject = Subject(SubjectKind(row.subject_kind), found)
    return Waiting(subject, session.get_one(Mission, row.mission_id), row.flags, row.open_flags, kinds, texts)


def _reason(text: str) -> str:
    words = _words(text, "reason_too_long", "/reason")
    if not words:
        raise Invalid("Say why: the author reads it.", pointer="/reason")
    return words


def _words(text: str, code: str, pointer: str) -> str:
    """The text with one kind of line break. Invalid when it is longer than 500 characters."""
    words = "\n".join(text.strip().splitlines())
    if len(words) > TEXT_LIMIT:
        raise Invalid(
            f"At most {TEXT_LIMIT} characters; this has {len(words)}.", pointer=pointer, code=code, length=len(words)
        )
    return words
