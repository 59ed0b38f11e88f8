"""Forgetting a person who checked in: their acts stay counted under a surrogate, their precise positions go."""

from typing import Any
from uuid import UUID

from sqlalchemy import or_, update
from sqlmodel import Session, col, select

from campaigns.scans.models import CheckIn, LiveWindowUse, ScanPosition, Visit
from campaigns.storage import changed, hand_over

PERSON_COLUMNS: tuple[Any, ...] = (
    col(CheckIn.participant_id),
    col(Visit.participant_id),
    col(LiveWindowUse.person_id),
)


def forget(session: Session, participant_id: UUID, *, surrogate: UUID) -> None:
    """Leave check-ins, visits and used windows to nobody; drop the positions that came with them."""
    forget_positions(session, participant_id)
    hand_over(session, PERSON_COLUMNS, participant_id, surrogate)


def forget_positions(session: Session, participant_id: UUID) -> int:
    """Drop the precise positions, and their points, of the scans a person checked in on; how many there were."""
    theirs = select(CheckIn.scan_id).where(CheckIn.participant_id == participant_id)
    kept = or_(col(ScanPosition.sealed).is_not(None), col(ScanPosition.point).is_not(None))
    dropped = update(ScanPosition).where(col(ScanPosition.scan_id).in_(theirs), kept).values(sealed=None, point=None)
    return changed(session, dropped.execution_options(synchronize_session=False))
