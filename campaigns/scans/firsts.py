"""The first counted check-in of a person in a campaign: where they were won, and since when they are followed.

Noted with the act, so that the people of a funnel are found among as many rows as there are people, not acts.
"""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, update
from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from campaigns import ids, prepared
from campaigns.scans.marks import remove_marks
from campaigns.scans.models import CheckIn
from campaigns.storage import columns_of, hold

_SHOWN = 5
_ACTS = columns_of(CheckIn)
_OLDEST = (
    columns(_ACTS.is_first)
    .where(
        _ACTS.participant_id == bindparam("person"),
        _ACTS.campaign_id == bindparam("campaign"),
        _ACTS.phase == "live",
        _ACTS.counted,
    )
    .order_by(_ACTS.id)
    .limit(1)
)


def note_another(session: Session, campaign_id: UUID, participant_id: UUID) -> None:
    """The same as `note_first` after one more counts: one look where it is not the first, as it mostly is not."""
    hold(session, participant_id)
    row = prepared.row(session, _OLDEST, person=participant_id, campaign=campaign_id)
    if row is None or not row[0]:
        note_first(session, campaign_id, participant_id)


def note_first(session: Session, campaign_id: UUID, participant_id: UUID) -> None:
    """Note which of a person's counted check-ins is their first in a campaign: after one counts, or no longer does.

    Holds the person's id: of two acts of one person the second sees what the first noted.
    """
    hold(session, participant_id)
    mine = (col(CheckIn.participant_id) == participant_id, col(CheckIn.campaign_id) == campaign_id)
    counted = columns(col(CheckIn.id)).where(*mine, col(CheckIn.phase) == "live", col(CheckIn.counted))
    first = session.execute(counted.order_by(col(CheckIn.id)).limit(1)).scalar()
    noted = session.execute(columns(col(CheckIn.id)).where(*mine, col(CheckIn.is_first))).scalars().all()
    if list(noted) == [first]:
        return
    for one in {*noted} ^ ({first} if first else set()):
        remove_marks(session, campaign_id, one)
    if noted:
        _set(session, col(CheckIn.id).in_(noted), is_first=False)
    if first is not None:
        _set(session, col(CheckIn.id) == first, is_first=True)


def note_firsts(session: Session, participant_id: UUID) -> None:
    """The same in every campaign of a person."""
    theirs = columns(col(CheckIn.campaign_id)).where(col(CheckIn.participant_id) == participant_id).distinct()
    for campaign_id in sorted(session.execute(theirs).scalars().all()):
        note_first(session, campaign_id, participant_id)


def recount_firsts(session: Session) -> Iterator[str]:
    """Check-ins that are noted as the first of their person and are not, or are and are not noted, in words."""
    firsts: dict[tuple[UUID, UUID], UUID] = {}
    query = select(CheckIn.campaign_id, CheckIn.participant_id, CheckIn.id)
    for campaign_id, participant_id, id in session.exec(
        query.where(col(CheckIn.counted), CheckIn.phase == "live").order_by(col(CheckIn.id))
    ):
        firsts.setdefault((campaign_id, participant_id), id)
    noted = set(session.exec(select(CheckIn.id).where(col(CheckIn.is_first))).all())
    for id in sorted(noted ^ set(firsts.values()))[:_SHOWN]:
        yield f"check-in {ids.show('chk', id)} is {'' if id in noted else 'not '}noted as the first of its person"


def _set(session: Session, wanted: Any, *, is_first: bool) -> None:
    noted = update(CheckIn).where(wanted).values(is_first=is_first)
    session.execute(noted.execution_options(synchronize_session=False))
