"""Two names of one person: their check-ins are one person's, and a visit, a live code or a cap counts once."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import delete, update
from sqlmodel import Session, col, select

from campaigns import clock, ids
from campaigns.participants.merging import Merge
from campaigns.places import Place
from campaigns.scans.check_ins import BETWEEN_PLACES, PLACES_A_DAY
from campaigns.scans.firsts import note_ways
from campaigns.scans.marks import remove_marks
from campaigns.scans.models import CheckIn, LiveWindowUse, Visit
from campaigns.storage import hand_over


def merge(session: Session, merge: Merge) -> None:
    """Give the older name the check-ins of the newer one. Of two visits that are one, the later one does not count."""
    older, newer = merge.ids
    _merge_windows(session, merge)
    _merge_visits(session, merge)
    hand_over(session, (col(CheckIn.participant_id), col(LiveWindowUse.person_id)), newer, older)
    note_ways(session, older)


class _Counted(NamedTuple):
    at: datetime
    act: CheckIn
    visit: Visit
    place: Place | None


def _merge_visits(session: Session, merge: Merge) -> None:
    """Count visits anew in the order of their scans: one a code and day, none within three minutes of another place."""
    query = (
        select(CheckIn, Visit, Place)
        .join(Visit, col(Visit.check_in_id) == CheckIn.id)
        .outerjoin(Place, col(Place.id) == CheckIn.place_id)
        .where(col(Visit.participant_id).in_(merge.ids))
        .execution_options(populate_existing=True)
    )
    rows = [_Counted(ids.instant_of(act.scan_id), act, visit, place) for act, visit, place in session.exec(query)]
    kept: list[_Counted] = []
    for one in sorted(rows, key=lambda each: (each.at, each.act.id)):
        if _counts(one, kept):
            kept.append(one)
            continue
        merge.uncounted.append(one.act.id)
        merge.undone["visits"] += 1
        one.act.counted = False
        session.add(one.act)
        remove_marks(session, one.act.campaign_id, one.act.id)
        session.delete(one.visit)
    session.flush()
    moved = update(Visit).where(col(Visit.participant_id) == merge.newer.id).values(participant_id=merge.older.id)
    session.execute(moved.execution_options(synchronize_session=False))


def _counts(one: _Counted, kept: list[_Counted]) -> bool:
    """Whether a visit counts beside those before it: as at a check-in, `scans.check_ins.may_be_here`."""
    kept = [other for other in kept if other.visit.phase == one.visit.phase]
    key = (one.visit.token_id, one.visit.civil_day)
    if any((other.visit.token_id, other.visit.civil_day) == key for other in kept):
        return False
    if one.place is None:
        return True
    elsewhere = [other for other in kept if other.act.place_id not in (None, one.act.place_id)]
    if any(abs(one.at - other.at) < BETWEEN_PLACES for other in elsewhere):
        return False
    day = clock.civil_day(one.at, one.place.time_zone)
    same_day = {other.act.place_id for other in elsewhere if clock.civil_day(other.at, one.place.time_zone) == day}
    return len(same_day) < PLACES_A_DAY


def _merge_windows(session: Session, merge: Merge) -> None:
    """A live code proves a person's presence once: the scan that used it under the other name, later, is voided."""
    rows = session.exec(select(LiveWindowUse).where(col(LiveWindowUse.person_id).in_(merge.ids))).all()
    by_key: dict[tuple[UUID, UUID, int], list[LiveWindowUse]] = {}
    for row in rows:
        by_key.setdefault((row.place_id, row.campaign_id, row.window), []).append(row)
    for uses in by_key.values():
        for later in sorted(uses, key=lambda use: (use.used_at, use.scan_id))[1:]:
            merge.to_void.append(later.scan_id)
            session.execute(
                delete(LiveWindowUse)
                .where(
                    col(LiveWindowUse.place_id) == later.place_id,
                    col(LiveWindowUse.campaign_id) == later.campaign_id,
                    col(LiveWindowUse.window) == later.window,
                    col(LiveWindowUse.person_id) == later.person_id,
                )
                .execution_options(synchronize_session=False)
            )
