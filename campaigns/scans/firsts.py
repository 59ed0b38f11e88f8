"""How a person comes to a campaign: which counted check-in is their first, and when they had come before each other.

Noted with the act, so that the people of any time are found by counting: those of whom it is the first, and those who
had come before it began.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import and_, bindparam, or_, update
from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from campaigns import ids, prepared
from campaigns.scans.marks import remove_marks
from campaigns.scans.models import CheckIn
from campaigns.storage import columns_of, hold

_SHOWN = 5
_ACTS = columns_of(CheckIn)
_COUNTS = and_(_ACTS.counted, _ACTS.phase == "live")
_LAST = (
    columns(_ACTS.id, _ACTS.checked_in_at)
    .where(_ACTS.participant_id == bindparam("person"), _ACTS.campaign_id == bindparam("campaign"), _COUNTS)
    .order_by(_ACTS.id.desc())
    .limit(1)
)
_NOTED = columns(_ACTS.id, _ACTS.checked_in_at, _COUNTS.label("counts"), _ACTS.is_first, _ACTS.came_before_at)


def last_of(session: Session, campaign_id: UUID, participant_id: UUID) -> Any | None:
    """A person's last counted check-in in a campaign until now: its id and instant.

    Holds the person's id: of two acts of one person the second sees the first.
    """
    hold(session, participant_id)
    return prepared.row(session, _LAST, person=participant_id, campaign=campaign_id)


def order_of(last: Any | None, *, is_counted: bool) -> dict[str, Any]:
    """How a new check-in follows the last counted one of its person, as its columns have it."""
    return {"is_first": is_counted and last is None, "came_before_at": last.checked_in_at if last else None}


def note_way(session: Session, campaign_id: UUID, participant_id: UUID) -> None:
    """Note how a person's counted check-ins of a campaign follow each other: after one counts or no longer does."""
    hold(session, participant_id)
    is_noted = or_(_COUNTS, _ACTS.is_first, _ACTS.came_before_at.is_not(None))
    query = _NOTED.where(_ACTS.participant_id == participant_id, _ACTS.campaign_id == campaign_id, is_noted)
    last: datetime | None = None
    for row in session.execute(query.order_by(_ACTS.id)).all():
        is_first, before = row.counts and last is None, last if row.counts else None
        last = row.checked_in_at if row.counts else last
        if is_first != row.is_first:
            remove_marks(session, campaign_id, row.id)
        if (is_first, before) != (row.is_first, row.came_before_at):
            noted = update(CheckIn).where(col(CheckIn.id) == row.id).values(is_first=is_first, came_before_at=before)
            session.execute(noted.execution_options(synchronize_session=False))


def note_ways(session: Session, participant_id: UUID) -> None:
    """The same in every campaign of a person."""
    theirs = columns(col(CheckIn.campaign_id)).where(col(CheckIn.participant_id) == participant_id).distinct()
    for campaign_id in sorted(session.execute(theirs).scalars().all()):
        note_way(session, campaign_id, participant_id)


def recount_ways(session: Session) -> Iterator[str]:
    """Check-ins that are noted as the first of their person, or as coming after another, and are not, in words."""
    last: dict[tuple[UUID, UUID], datetime] = {}
    expected: dict[UUID, tuple[bool, datetime | None]] = {}
    query = select(CheckIn.campaign_id, CheckIn.participant_id, CheckIn.id, CheckIn.checked_in_at)
    for campaign_id, participant_id, id, at in session.exec(
        query.where(col(CheckIn.counted), CheckIn.phase == "live").order_by(col(CheckIn.id))
    ):
        before = last.get((campaign_id, participant_id))
        expected[id], last[campaign_id, participant_id] = (before is None, before), at
    noted = {row.id: (row.is_first, row.came_before_at) for row in session.execute(_NOTED)}
    wrong = sorted(id for id, found in noted.items() if found != expected.get(id, (False, None)))
    for id in wrong[:_SHOWN]:
        told = "the first" if noted[id][0] else f"the one after {noted[id][1]}"
        yield f"check-in {ids.show('chk', id)} is noted as {told} of its person"
