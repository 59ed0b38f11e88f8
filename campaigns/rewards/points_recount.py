"""Recounting points: each lot against the lines of its history and the completion it is for (I17, I19)."""

from collections.abc import Iterator
from uuid import UUID

from sqlalchemy import func
from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from campaigns.events import Event
from campaigns.ids import show
from campaigns.missions.models import CompletionState, StepCompletion
from campaigns.rewards.models import Coupon
from campaigns.rewards.point_models import LotState, PointsLot, PointsSpend, PointsSpendLine


def recount(session: Session) -> Iterator[str]:
    """What does not add up, in words."""
    yield from _wrong_lots(session)
    yield from _wrong_spends(session)
    yield from _groundless(session)


def _wrong_lots(session: Session) -> Iterator[str]:
    drawn = func.coalesce(func.sum(col(PointsSpendLine.points)), 0)
    query = columns(col(PointsLot.id), col(PointsLot.spent), drawn).outerjoin(
        PointsSpendLine, col(PointsSpendLine.lot_id) == PointsLot.id
    )
    by = (col(PointsLot.id), col(PointsLot.spent))
    for id, spent, lines in session.execute(query.group_by(*by).having(drawn != col(PointsLot.spent)).order_by(by[0])):
        yield f"{show('lot', id)}: {spent} points spent stored, {lines} counted"


def _wrong_spends(session: Session) -> Iterator[str]:
    """Spends that took other than they cost, from another's or another phase's lots, or without a coupon."""
    query = columns(col(PointsSpend.id), col(PointsSpend.points), func.sum(col(PointsSpendLine.points)))
    rows = query.outerjoin(PointsSpendLine, col(PointsSpendLine.spend_id) == PointsSpend.id)
    for id, cost, taken in session.execute(
        rows.group_by(col(PointsSpend.id), col(PointsSpend.points)).order_by(col(PointsSpend.id))
    ):
        if cost != taken:
            yield f"{show('spd', id)} cost {cost} points and took {taken or 0}"
    other = columns(col(PointsSpend.id)).join(PointsSpendLine, col(PointsSpendLine.spend_id) == PointsSpend.id)
    other = other.join(PointsLot, col(PointsLot.id) == PointsSpendLine.lot_id)
    strange = (col(PointsLot.participant_id) != PointsSpend.participant_id) | (
        col(PointsLot.phase) != PointsSpend.phase
    )
    for id in session.execute(other.where(strange).distinct()).scalars():
        yield f"{show('spd', id)} took points that were not its person's to spend"
    bare = columns(col(PointsSpend.id)).outerjoin(Coupon, col(Coupon.source_id) == PointsSpend.id)
    for id in session.execute(bare.where(col(Coupon.id).is_(None)).order_by(col(PointsSpend.id))).scalars():
        yield f"{show('spd', id)} bought no coupon"


def _groundless(session: Session) -> Iterator[str]:
    """Lots that stand though their completion was reversed, and nothing waits to revoke them."""
    events = session.exec(select(Event).where(Event.name == "step.reversed")).all()
    waiting = {UUID(str(one.facts["completion_id"])) for one in events}
    query = select(PointsLot).join(StepCompletion, col(StepCompletion.id) == PointsLot.completion_id)
    stands = (PointsLot.state != LotState.REVOKED.value, StepCompletion.state == CompletionState.REVERSED.value)
    for lot in session.exec(query.where(*stands).order_by(col(PointsLot.id))):
        if lot.completion_id not in waiting:
            yield f"{show('lot', lot.id)} stands, and its step was reversed"
