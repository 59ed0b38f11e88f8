"""What a person is told of their points: why each lot is theirs, until when, and what became of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlmodel import Session, col, select

from campaigns.missions import Mission, Step
from campaigns.missions.models import FriendNaming, StepCompletion, Validation
from campaigns.places import Place
from campaigns.rewards.models import Offer, Redemption
from campaigns.rewards.point_models import PointsLot, PointsSpend
from campaigns.rewards.points import lines_of
from campaigns.scans import CheckIn


@dataclass(frozen=True)
class Told:
    """A lot: the step that gave it, the place where it was done (None for online), what was spent of it and on what."""

    lot: PointsLot
    mission: Mission
    step: Step
    place: str | None
    spends: Sequence[tuple[PointsSpend, Offer, int]]


def told(session: Session, participant_id: UUID) -> list[Told]:
    """The lots of a person, newest first."""
    query = select(PointsLot, Mission, Step, StepCompletion.source_id)
    query = query.join(Mission, col(Mission.id) == PointsLot.mission_id).join(Step, col(Step.id) == PointsLot.step_id)
    query = query.join(StepCompletion, col(StepCompletion.id) == PointsLot.completion_id)
    rows = session.exec(
        query.where(PointsLot.participant_id == participant_id).order_by(col(PointsLot.id).desc())
    ).all()
    names = _places(session, [source_id for *_, source_id in rows])
    lines = lines_of(session, [lot.id for lot, *_ in rows])
    spent_on = {spend.offer_id for found in lines.values() for spend, _ in found}
    offers = {one.id: one for one in session.exec(select(Offer).where(col(Offer.id).in_(spent_on)))}
    return [
        Told(
            lot,
            mission,
            step,
            names.get(source_id),
            [(spend, offers[spend.offer_id], number) for spend, number in lines.get(lot.id, [])],
        )
        for lot, mission, step, source_id in rows
    ]


def _places(session: Session, source_ids: Sequence[UUID]) -> dict[UUID, str]:
    """The names of the places where these acts were done."""
    met = session.exec(select(FriendNaming).where(col(FriendNaming.id).in_(source_ids))).all()
    visits = {one.check_in_id: one.id for one in met if one.check_in_id is not None}
    found: dict[UUID, str] = {}
    for table, wanted in (
        (CheckIn, [*source_ids, *visits]),
        (Validation, source_ids),
        (Redemption, source_ids),
    ):
        query = select(table.id, Place.name).join(Place, col(Place.id) == table.place_id)
        found |= dict(session.execute(query.where(col(table.id).in_(wanted))).all())
    return found | {naming: found[visit] for visit, naming in visits.items() if visit in found}
