"""Acts in a mission: taking part and completing steps, each in the transaction of the act it rests on."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Integer, bindparam, case, cast, exists, func, or_, update
from sqlalchemy import select as columns
from sqlmodel import Session, col

from campaigns import planning, prepared
from campaigns.clock import civil_day
from campaigns.errors import Conflict
from campaigns.events import record_event
from campaigns.ids import uuid7_at
from campaigns.last_writes import add_up_last
from campaigns.missions.models import (
    CompletionState,
    Membership,
    Mission,
    MissionCounter,
    Repeat,
    Step,
    StepCompletion,
)
from campaigns.participants import Participant
from campaigns.planning import Campaign, Phase, State
from campaigns.storage import columns_of, insert_once, is_shared


@dataclass(frozen=True)
class StepOutcome:
    """What an act did to a step: `verified`, `pending`, `already` done in this period, or `refused` with the reason."""

    step: Step
    outcome: str
    reason: str | None = None


def take_part(
    session: Session,
    mission: Mission,
    person: Participant,
    *,
    phase: str,
    rules_version_id: UUID | None = None,
    now: datetime,
) -> bool:
    """Make the person a member of the mission, under its rules in force; whether they were not before.

    In a pilot only people of the team are let in, as many as it has room for (`planning.admit`).

    The membership is held until the transaction ends: of two acts of one person the second sees what the first did.
    """
    if phase == Phase.PILOT:
        planning.admit(session, mission.campaign_id, person, now=now)
    is_new = insert_once(
        session,
        Membership,
        mission_id=mission.id,
        participant_id=person.id,
        phase=phase,
        joined_at=now,
        rules_version_id=rules_version_id,
    )
    if is_new:
        count(session, mission, "participants", phase=phase)
        record_event(session, "mission.joined", now=now, mission_id=mission.id, participant_id=person.id)
    elif is_shared(session):
        hold_membership(session, mission.id, person.id, phase)
    return is_new


def hold_membership(session: Session, mission_id: UUID, participant_id: UUID, phase: str) -> bool:
    """Hold a person's membership until the transaction ends; whether there is one. Before any counter, always."""
    at = {"mission": mission_id, "person": participant_id, "in_phase": phase}
    return prepared.row(session, _HOLD_MEMBERSHIP, **at) is not None


_MEMBERS = columns_of(Membership)
_MINE = (
    _MEMBERS.mission_id == bindparam("mission"),
    _MEMBERS.participant_id == bindparam("person"),
    _MEMBERS.phase == bindparam("in_phase"),
)
_HOLD_MEMBERSHIP = columns(_MEMBERS.phase).where(*_MINE).with_for_update()


def require_open(campaign: Campaign, *, now: datetime) -> str:
    """The phase an act of this campaign belongs to now; Conflict when it takes none, with the reason."""
    state = campaign.state_at(now)
    if state in (State.DRAFT, State.PILOT, State.LIVE):
        return state.value
    words = {
        State.SCHEDULED: "This campaign has not started yet.",
        State.PAUSED: "This campaign is paused. Come back soon.",
    }
    raise Conflict(
        words.get(state, "This campaign has ended. Thank you to everyone who took part."),
        code="campaign_closed",
    )


def complete(
    session: Session,
    mission: Mission,
    step: Step,
    person: Participant,
    *,
    period: str,
    presence: int,
    phase: str,
    source_id: UUID,
    state: CompletionState,
    now: datetime,
) -> StepOutcome:
    """Complete a step once per person and period (I10); counters move in the same transaction.

    The person is a member already, and held (`take_part`). A step that counts a number of times takes the first free
    one. The completion that ends the last open step completes the mission.
    """
    fields: dict[str, Any] = {
        "step_id": step.id,
        "mission_id": mission.id,
        "participant_id": person.id,
        "phase": phase,
        "state": state.value,
        "presence": presence,
        "source_id": source_id,
        "completed_at": now,
        "points": step.points,
        "reason": None,
    }
    periods = [str(number) for number in range(1, step.times + 1)] if step.repeat.isdigit() else [period]
    taken = (_takes(session, {**fields, "period": one}, now=now) for one in periods)
    completion_id = next((id for id in taken if id is not None), None)
    if completion_id is None:
        return StepOutcome(step, "already")
    if state is CompletionState.VERIFIED:
        count(session, mission, "completions", phase=phase)
    done = {"completion_id": completion_id, "step_id": step.id, "participant_id": person.id}
    record_event(session, "step.completed", now=now, **done)
    if state is CompletionState.VERIFIED:
        _note_completed(session, mission.id, person.id, phase, now=now)
    return StepOutcome(step, state.value)


_COMPLETION_KEY = ("step_id", "participant_id", "period", "phase")


def _takes(session: Session, fields: dict[str, Any], *, now: datetime) -> UUID | None:
    """Write a completion in a free period, or in the place of one there that does not count; its id, None for neither.

    What waits for its verdict gives way to a verified one, what was reversed to either.
    """
    id = uuid7_at(now)
    if insert_once(session, StepCompletion, id=id, **fields):
        return id
    key = [col(getattr(StepCompletion, name)) == fields[name] for name in _COMPLETION_KEY]
    weaker = [CompletionState.REVERSED.value]
    if fields["state"] == CompletionState.VERIFIED:
        weaker.append(CompletionState.PENDING.value)
    gives_way = col(StepCompletion.state).in_(weaker)
    taken = update(StepCompletion).where(*key, gives_way).values(**fields).returning(col(StepCompletion.id))
    return session.execute(taken).scalars().first()


def note_undone(session: Session, mission_id: UUID, participant_id: UUID, phase: str) -> bool:
    """Note that a person no longer completed a mission, when a step of it is open again; whether that is new."""
    at = {"mission": mission_id, "person": participant_id, "in_phase": phase}
    return prepared.change(session, _UNDONE, at) > 0


def note_completed(session: Session, mission_id: UUID, participant_id: UUID, phase: str, *, now: datetime) -> None:
    """Note that a person completed a mission, or that they no longer did."""
    if not note_undone(session, mission_id, participant_id, phase):
        _note_completed(session, mission_id, participant_id, phase, now=now)


def _note_completed(session: Session, mission_id: UUID, participant_id: UUID, phase: str, *, now: datetime) -> None:
    """Note that a person completed a mission, when this act closed its last step. One statement: every act runs it."""
    at = {"mission": mission_id, "person": participant_id, "in_phase": phase, "now": now}
    if prepared.change(session, _COMPLETED, at):
        who = {"mission_id": mission_id, "participant_id": participant_id, "phase": phase}
        record_event(session, "mission.completed", now=now, **who)


def _turn(*, completed: bool) -> Any:
    """The statement that notes a membership as completed, or as completed no more, if the steps say so."""
    steps, done = columns_of(Step), columns_of(StepCompletion)
    number = (
        columns(func.count())
        .where(
            done.step_id == steps.id,
            done.participant_id == bindparam("person"),
            done.phase == bindparam("in_phase"),
            done.state == CompletionState.VERIFIED.value,
        )
        .scalar_subquery()
    )
    is_named = or_(*(steps.repeat == one.value for one in Repeat))
    times = case((is_named, 1), else_=cast(case((is_named, "1"), else_=steps.repeat), Integer))
    is_open = exists().where(steps.mission_id == bindparam("mission"), number < times)
    turn = update(Membership.__table__).where(*_MINE)  # type: ignore[attr-defined]  # SQLModel does not type it
    if completed:
        return turn.where(_MEMBERS.completed_at.is_(None), ~is_open).values(completed_at=bindparam("now"))
    return turn.where(_MEMBERS.completed_at.is_not(None), is_open).values(completed_at=None)


_COMPLETED, _UNDONE = _turn(completed=True), _turn(completed=False)


def period_of(repeat: str, instant: datetime, time_zone: str) -> str:
    """The period a completion falls in: `once`, a civil day, or an ISO week of that zone.

    `once` too for a step that repeats a number of times: its completions are told apart by their number.
    """
    if repeat == Repeat.ONCE or repeat.isdigit():
        return "once"
    day = civil_day(instant, time_zone)
    if repeat == Repeat.DAILY:
        return day.isoformat()
    year, week, _ = day.isocalendar()
    return f"{year}-W{week:02d}"


def count(session: Session, mission: Mission, metric: str, number: int = 1, *, phase: str) -> None:
    """So many more of a metric in the mission's totals, or fewer; written last, in the counters of this process."""
    count_in(session, mission.id, metric, number, phase=phase)


def count_in(session: Session, mission_id: UUID, metric: str, number: int = 1, *, phase: str) -> None:
    """The same for who knows the mission's id."""
    key = {"mission_id": mission_id, "phase": phase, "metric": metric, "writer": session.info.get("writer", 0)}
    add_up_last(session, MissionCounter, key, total=number)
