"""The redeem steps that using a coupon completes: the shop's word that its person was there, presence 3."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import exists
from sqlmodel import Session, col, select

from campaigns import missions
from campaigns.missions import Mission, Step, StepKind, StepOutcome
from campaigns.missions.acts import note_undone
from campaigns.missions.codes import WITNESSED
from campaigns.missions.models import CompletionState, StepCompletion
from campaigns.missions.reversal import reverse_completion
from campaigns.participants import Participant
from campaigns.places import Place
from campaigns.planning import State
from campaigns.rewards.issuing import hold_people
from campaigns.rewards.models import Coupon
from campaigns.storage import columns_of

_ACTING = (State.PILOT, State.LIVE)


@dataclass(frozen=True)
class Ready:
    """What a use would complete: its person and membership are held."""

    person: Participant
    phase: str
    steps: Sequence[tuple[Step, Mission]]


def has_any(campaign: Any) -> Any:
    """Whether a campaign has redeem steps, for a statement that reads its id beside."""
    step, mission = columns_of(Step), columns_of(Mission)
    theirs = (mission.campaign_id == campaign, step.mission_id == mission.id)
    return exists().where(*theirs, step.kind == StepKind.REDEEM.value)


def ready(session: Session, coupon: Coupon, state: State, place: Place, *, now: datetime) -> Ready | None:
    """The redeem steps of the campaign that a use at this place completes, and their person, held as an act holds them.

    None without any, for who was erased, and in another phase of the campaign than the coupon's.
    """
    query = select(Step, Mission).join(Mission, col(Mission.id) == Step.mission_id)
    ours = query.where(Mission.campaign_id == coupon.campaign_id, Step.kind == StepKind.REDEEM.value)
    found = [(step, mission) for step, mission in session.exec(ours.order_by(col(Mission.id), col(Step.position)))]
    here = [(step, mission) for step, mission in found if not step.places or place.id in step.places]
    if not here or state not in _ACTING or coupon.phase != state.value:
        return None
    person = hold_people(session, [coupon.participant_id]).get(coupon.participant_id)
    if person is None:
        return None
    for mission in {mission.id: mission for _, mission in here}.values():
        missions.take_part(session, mission, person, phase=coupon.phase, now=now)
    return Ready(person, coupon.phase, here)


def complete(
    session: Session, doing: Ready, place: Place, redemption_id: UUID, *, at: datetime, now: datetime
) -> list[StepOutcome]:
    """Complete the steps, once a period of the place."""
    return [
        missions.complete(
            session,
            mission,
            step,
            doing.person,
            period=missions.period_of(step.repeat, at, place.time_zone),
            presence=WITNESSED,
            phase=doing.phase,
            source_id=redemption_id,
            state=CompletionState.VERIFIED,
            now=now,
        )
        for step, mission in doing.steps
    ]


def done_by(session: Session, redemption_id: UUID) -> list[StepCompletion]:
    """The completions that rest on a redemption, their memberships held in one order."""
    rests = (StepCompletion.source_id == redemption_id, StepCompletion.state == CompletionState.VERIFIED.value)
    query = select(StepCompletion).where(*rests).order_by(col(StepCompletion.mission_id), col(StepCompletion.id))
    for one in session.exec(query).all():
        missions.hold_membership(session, one.mission_id, one.participant_id, one.phase)
    return list(session.exec(query.execution_options(populate_existing=True)).all())


def undo(session: Session, completions: Sequence[StepCompletion], *, reason: str) -> list[UUID]:
    """Reverse completions whose redemption was taken back; their ids."""
    for one in completions:
        reverse_completion(session, session.get_one(Mission, one.mission_id), one, reason)
        note_undone(session, one.mission_id, one.participant_id, one.phase)
    return [one.id for one in completions]
