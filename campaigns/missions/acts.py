"""Acts in a mission: taking part and completing steps, each in the transaction of the act it rests on."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import update
from sqlmodel import Session, col

from campaigns.clock import civil_day
from campaigns.errors import Conflict
from campaigns.events import record_event
from campaigns.ids import uuid7_at
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
from campaigns.planning import Campaign, State
from campaigns.storage import add_up, changed, insert_once


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
    """Make the person a member of the mission, under its rules in force; whether they were not before."""
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
        add_up(session, MissionCounter, counter(mission, phase, "participants"), total=1)
        record_event(session, "mission.joined", now=now, mission_id=mission.id, participant_id=person.id)
    return is_new


def require_open(campaign: Campaign, *, now: datetime) -> str:
    """The phase an act of this campaign belongs to now; Conflict when it takes none, with the reason."""
    state = campaign.state_at(now)
    if state in (State.DRAFT, State.LIVE):
        return "draft" if state is State.DRAFT else "live"
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
    """Complete a step once per person and period (I10); counters move in the same transaction."""
    fields: dict[str, Any] = {
        "step_id": step.id,
        "mission_id": mission.id,
        "participant_id": person.id,
        "period": period,
        "phase": phase,
        "state": state.value,
        "presence": presence,
        "source_id": source_id,
        "completed_at": now,
    }
    is_new = insert_once(session, StepCompletion, id=uuid7_at(now), **fields)
    if not is_new and not (state is CompletionState.VERIFIED and _replaces_pending(session, fields)):
        return StepOutcome(step, "already")
    if state is CompletionState.VERIFIED:
        add_up(session, MissionCounter, counter(mission, phase, "completions"), total=1)
    record_event(session, "step.completed", now=now, step_id=step.id, participant_id=person.id)
    return StepOutcome(step, state.value)


_COMPLETION_KEY = ("step_id", "participant_id", "period", "phase")


def _replaces_pending(session: Session, fields: dict[str, Any]) -> bool:
    """A verified act takes the place of one of the same period that still waits for its verdict."""
    key = [col(getattr(StepCompletion, name)) == fields[name] for name in _COMPLETION_KEY]
    waiting = col(StepCompletion.state) == CompletionState.PENDING
    return changed(session, update(StepCompletion).where(*key, waiting).values(**fields)) > 0


def period_of(repeat: str, instant: datetime, time_zone: str) -> str:
    """The period a completion falls in: `once`, a civil day, or an ISO week of that zone."""
    if repeat == Repeat.ONCE:
        return "once"
    day = civil_day(instant, time_zone)
    if repeat == Repeat.DAILY:
        return day.isoformat()
    year, week, _ = day.isocalendar()
    return f"{year}-W{week:02d}"


def counter(mission: Mission, phase: str, metric: str) -> dict[str, Any]:
    return {"mission_id": mission.id, "phase": phase, "metric": metric}


def count_idea(session: Session, mission: Mission, *, phase: str) -> None:
    """One more idea in the mission's totals."""
    add_up(session, MissionCounter, counter(mission, phase, "ideas"), total=1)
