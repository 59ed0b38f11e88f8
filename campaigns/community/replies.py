"""Replies to the questions of a mission: one a person and period, which may be changed for a while.

What all said is public; groups of fewer than ten are not told, nor what would give one away by subtraction. Words are
moderated as comments are. Who is erased takes their replies along, and the totals stand.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Text, cast, delete, func, literal, update
from sqlalchemy import select as columns
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from campaigns import missions
from campaigns.community import limits
from campaigns.community.models import IdeaState, Reply, ReplyCounter
from campaigns.community.tally import LEAST_GROUP, shown_groups
from campaigns.errors import Conflict, Invalid, NotFound, TooMany
from campaigns.events import record_event
from campaigns.ids import show, uuid7_at
from campaigns.last_writes import add_up_last
from campaigns.missions import Mission, Step, StepKind
from campaigns.missions.models import CompletionState
from campaigns.participants import Participant
from campaigns.planning import Campaign
from campaigns.storage import changed, hand_over, insert_once

TEXT_LIMIT = 500  # characters
BEST_MARK = 5
CHANGES_MOST = 20  # replies of a person to a question and period
PERSON_COLUMNS = (col(Reply.participant_id),)
_CHANGEABLE = (IdeaState.PUBLISHED.value, IdeaState.RESTORED.value)
_KEY = ("step_id", "phase", "value")


class Given(NamedTuple):
    """A reply; `is_replay` when this client id was seen before, and the first answer stands."""

    reply: Reply
    editable_until: datetime
    is_replay: bool


@dataclass(frozen=True)
class Results:
    """What people replied: `groups` by value, without those not told. `people` is None below ten.

    `average` is that of marks, where no group is kept back; `erased` were of people who are gone.
    """

    people: int | None
    groups: Mapping[int, int]
    is_whole: bool
    average: float | None
    erased: int


def question_of(session: Session, mission: Mission, step_id: UUID) -> Step:
    """A question of a mission; NotFound for another step."""
    step = session.get(Step, step_id)
    if step is None or step.mission_id != mission.id or step.kind not in (StepKind.ANSWER, StepKind.RATE):
        raise NotFound("There is no such question.")
    return step


def give_reply(
    session: Session,
    mission: Mission,
    campaign: Campaign,
    person: Participant,
    step: Step,
    *,
    value: int | None,
    text: str,
    client_id: str,
    language: str,
    rules_version_id: UUID | None = None,
    now: datetime,
) -> Given:
    """Reply to a question and complete its step, or change the reply of this period while that is allowed.

    A repeat of `client_id` returns what it did. Invalid for a choice or mark that is none, for words that are missing,
    too long or have two links; Forbidden under 15 or without the step's presence; Conflict when the reply cannot be
    changed any more, or is hidden; TooMany beyond twenty changes, or the texts of a newcomer's first hour or a day.
    """
    first = _by_client_id(session, person, client_id)
    if first is not None:
        return Given(first, _editable_until(session, step, first), True)
    value, words = checked(step, value, text)
    phase = missions.require_open(campaign, now=now)
    presence = missions.require_presence(session, mission, step, person, phase=phase)
    missions.take_part(session, mission, person, phase=phase, rules_version_id=rules_version_id, now=now)
    first = _by_client_id(session, person, client_id)  # the membership is held: its twin may have been before
    if first is not None:
        return Given(first, _editable_until(session, step, first), True)
    period = missions.period_of(step.repeat, now, campaign.time_zone)
    before = _standing(session, step, person.id, period, phase)
    if before is not None:
        if (before.value, before.text) == (value, words):
            return Given(before, _editable_until(session, step, before), True)
        _replace(session, step, before, now=now)
    id = uuid7_at(now)
    values: dict[str, Any] = {
        "id": id,
        "mission_id": mission.id,
        "step_id": step.id,
        "participant_id": person.id,
        "period": period,
        "phase": phase,
        "client_id": client_id,
        "value": value,
        "text": words,
        "language": language,
        "state": IdeaState.PUBLISHED.value,
        "hidden_rule": None,
        "created_at": now,
        "rules_version_id": rules_version_id,
    }
    if not insert_once(session, Reply, **values):
        raise Conflict("This reply arrived a moment ago.", code="already_posted")
    if words:
        limits.take_turn(session, person, now=now)
    _count(session, step, phase, {value: 1}, before)
    if before is None:
        missions.complete(
            session,
            mission,
            step,
            person,
            period=period,
            presence=presence,
            phase=phase,
            source_id=id,
            state=CompletionState.VERIFIED,
            now=now,
        )
    record_event(session, "reply.given", now=now, reply_id=id, step_id=step.id)
    reply = Reply(**values)
    return Given(reply, _editable_until(session, step, reply), False)


def checked(step: Step, value: int | None, text: str) -> tuple[int, str]:
    """A reply as it is stored: its value, 0 for words alone, and its words with their white space folded."""
    words = "\n".join(" ".join(line.split()) for line in text.strip().splitlines()).strip()
    if len(words) > TEXT_LIMIT:
        raise Invalid(
            f"At most {TEXT_LIMIT} characters; this has {len(words)}.", pointer="/text", code="reply_too_long"
        )
    limits.check_links(words)
    if step.kind == StepKind.RATE:
        return _one_of(value, BEST_MARK, "/rating"), words
    if step.choices:
        if words:
            raise Invalid("This question is replied to with one of its choices.", pointer="/text")
        return _one_of(value, len(step.choices), "/choice"), ""
    if not words:
        raise Invalid("Write a few words first: the text is empty.", pointer="/text", code="reply_empty")
    return 0, words


def find_reply(
    session: Session, campaign: Campaign, step: Step, person: Participant, *, phase: str, now: datetime
) -> Given | None:
    """What a person replied in the period of now, and until when they may change it; None before."""
    period = missions.period_of(step.repeat, now, campaign.time_zone)
    found = _standing(session, step, person.id, period, phase)
    return Given(found, _editable_until(session, step, found), True) if found else None


def results(session: Session, step: Step, *, phase: str) -> Results:
    """What people replied to a question, from its counters."""
    rows = session.exec(
        select(ReplyCounter).where(ReplyCounter.step_id == step.id, ReplyCounter.phase == phase, ReplyCounter.total > 0)
    ).all()
    groups = {row.value: row.total for row in rows}
    people, shown = sum(groups.values()), shown_groups(groups)
    is_whole = bool(groups) and len(shown) == len(groups)
    marks = sum(value * number for value, number in groups.items())
    return Results(
        people=people if people >= LEAST_GROUP else None,
        groups={value: groups[value] for value in sorted(shown)},
        is_whole=is_whole,
        average=round(marks / people, 1) if is_whole and step.kind == StepKind.RATE else None,
        erased=sum(row.erased for row in rows),
    )


def words_on(
    session: Session, step_ids: Sequence[UUID], *, phase: str, before: UUID | None = None, limit: int
) -> Sequence[tuple[Reply, str]]:
    """Replies with words to these questions and their authors' pseudonyms, newest first.

    Hidden ones are among them, with their words: who shows them to the public withholds these.
    """
    query = (
        columns(Reply, col(Participant.pseudonym))
        .join(Participant, col(Participant.id) == Reply.participant_id)
        .where(col(Reply.step_id).in_(step_ids), col(Reply.phase) == phase, col(Reply.state) != IdeaState.ERASED)
        .where(col(Reply.text) != "")
    )
    if before is not None:
        query = query.where(col(Reply.id) < before)
    return [(reply, name) for reply, name in session.execute(query.order_by(col(Reply.id).desc()).limit(limit))]


def replies_of(session: Session, participant_id: UUID) -> Sequence[Reply]:
    """A person's own replies, those they changed too, newest first."""
    query = select(Reply).where(Reply.participant_id == participant_id)
    return session.exec(query.order_by(col(Reply.id).desc())).all()


def forget(session: Session, participant_id: UUID) -> None:
    """Delete what a person replied; the totals stand, and say that somebody is gone."""
    mine = col(Reply.participant_id) == participant_id
    by = [col(getattr(Reply, name)) for name in _KEY]
    query = columns(*by, func.count()).where(mine, col(Reply.state) != IdeaState.ERASED).group_by(*by).order_by(*by)
    for *key, number in session.execute(query).all():
        add_up_last(session, ReplyCounter, dict(zip(_KEY, key, strict=True)), total=0, erased=number)
    session.execute(delete(Reply).where(mine).execution_options(synchronize_session=False))


def merge(session: Session, *, older: UUID, newer: UUID) -> int:
    """Give the older name the replies of the newer one; how many were taken back.

    Of two to one question and period the first stays, as its completion does.
    """
    gone = 0
    mine = select(Reply).where(col(Reply.participant_id).in_((older, newer)), Reply.state != IdeaState.ERASED)
    kept: set[tuple[Any, ...]] = set()
    for row in session.exec(mine.order_by(col(Reply.created_at), col(Reply.id))).all():
        key = (row.step_id, row.period, row.phase)
        if key in kept:
            row.state = IdeaState.ERASED.value
            session.add(row)
            session.flush()
            key_of = {"step_id": row.step_id, "phase": row.phase, "value": row.value}
            add_up_last(session, ReplyCounter, key_of, total=-1, erased=0)
            gone += 1
        kept.add(key)
    twins = select(Reply.client_id).where(Reply.participant_id == older)
    again = update(Reply).where(col(Reply.participant_id) == newer, col(Reply.client_id).in_(twins))
    renamed = again.values(client_id=literal("merged-") + cast(col(Reply.id), Text))
    session.execute(renamed.execution_options(synchronize_session=False))
    hand_over(session, PERSON_COLUMNS, newer, older)
    session.expire_all()
    return gone


def recount(session: Session) -> list[str]:
    """The counters of replies against the replies, in words."""
    by = [col(getattr(Reply, name)) for name in _KEY]
    query = columns(*by, func.count()).where(col(Reply.state) != IdeaState.ERASED).group_by(*by)
    counted: dict[tuple[Any, ...], int] = {tuple(key): number for *key, number in session.execute(query)}
    stored = {(row.step_id, row.phase, row.value): row.total - row.erased for row in session.exec(select(ReplyCounter))}
    return [
        f"replies {key[2]} to {show('stp', key[0])} ({key[1]}): {stored.get(key, 0)} stored, "
        f"{counted.get(key, 0)} counted"
        for key in sorted(stored.keys() | counted.keys(), key=str)
        if stored.get(key, 0) != counted.get(key, 0)
    ]


def _one_of(value: int | None, most: int, pointer: str) -> int:
    if value is None or not 1 <= value <= most:
        raise Invalid(f"Choose one: 1 to {most}.", pointer=pointer, code="reply_missing")
    return value


def _by_client_id(session: Session, person: Participant, client_id: str) -> Reply | None:
    mine = select(Reply).where(Reply.participant_id == person.id, Reply.client_id == client_id)
    return session.exec(mine).first()


def _standing(session: Session, step: Step, participant_id: UUID, period: str, phase: str) -> Reply | None:
    return session.exec(_of_period(step, participant_id, period, phase).where(Reply.state != IdeaState.ERASED)).first()


def _of_period(step: Step, participant_id: UUID, period: str, phase: str) -> SelectOfScalar[Reply]:
    return select(Reply).where(
        Reply.step_id == step.id,
        Reply.participant_id == participant_id,
        Reply.period == period,
        Reply.phase == phase,
    )


def _editable_until(session: Session, step: Step, reply: Reply) -> datetime:
    """So many hours after the first reply of the period."""
    theirs = _of_period(step, reply.participant_id, reply.period, reply.phase).order_by(col(Reply.id)).limit(1)
    first = session.exec(theirs).first()
    return (first or reply).created_at + timedelta(hours=step.editable_h)


def _replace(session: Session, step: Step, before: Reply, *, now: datetime) -> None:
    """Take back the reply that stands. A moderator who hides it at the same moment comes before, or after it."""
    if now >= _editable_until(session, step, before):
        raise Conflict("You replied already, and the time to change it is over.", code="reply_fixed")
    theirs = _of_period(step, before.participant_id, before.period, before.phase).with_only_columns(func.count())
    if session.execute(theirs).scalar_one() >= CHANGES_MOST:
        raise TooMany("You changed your reply many times: it stands as it is.", code="reply_changes")
    mine = update(Reply).where(col(Reply.id) == before.id, col(Reply.state).in_(_CHANGEABLE))
    taken = mine.values(state=IdeaState.ERASED.value).execution_options(synchronize_session=False)
    if not changed(session, taken):
        raise Conflict("A moderator hid your reply: it cannot be changed.", code="reply_hidden")


def _count(session: Session, step: Step, phase: str, moves: dict[int, int], before: Reply | None) -> None:
    """Move the counters, with the last writes."""
    if before is not None:
        moves = {**moves, before.value: moves.get(before.value, 0) - 1}
    for value, number in moves.items():
        key = {"step_id": step.id, "phase": phase, "value": value}
        add_up_last(session, ReplyCounter, key, total=number, erased=0)
