"""Marks among the check-ins of a campaign: how many counted up to one of them, so that nobody counts them all again.

A mark is set at each thousandth counted check-in, once it is an hour old: no act comes before it any more. Whoever
changes an older check-in takes the marks after it away, in the same transaction; they are set anew within minutes. What
lies after the last mark is counted as it stands.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import Integer, and_, bindparam, cast, func, literal_column
from sqlalchemy import select as columns
from sqlmodel import Session, col

from campaigns import clock, ids, prepared
from campaigns.last_writes import remove_last
from campaigns.planning import Campaign
from campaigns.scans.models import CheckIn, CheckInMark
from campaigns.storage import columns_of, hold, store

APART: Final = 1000  # counted check-ins from one mark to the next
SETTLED: Final = timedelta(hours=1)
_LAST_ID: Final = UUID(int=(1 << 128) - 1)
_ACTS, _MARKS = columns_of(CheckIn), columns_of(CheckInMark)


class Visits(NamedTuple):
    """Counted check-ins: all, the late ones, and the first of their person in the campaign."""

    check_ins: int = 0
    late: int = 0
    firsts: int = 0

    def plus(self, other: "Visits") -> "Visits":
        return Visits(*(one + more for one, more in zip(self, other, strict=True)))

    def less(self, other: "Visits") -> "Visits":
        return Visits(*(one - more for one, more in zip(self, other, strict=True)))


# As the index says it: bound values would keep SQLite from counting in the index alone.
_OURS: Final = and_(
    _ACTS.campaign_id == bindparam("campaign"),
    _ACTS.counted,
    _ACTS.phase == literal_column("'live'"),
    _ACTS.id > bindparam("after"),
)
_MARK: Final = (
    columns(_MARKS.check_in_id, _MARKS.check_ins, _MARKS.late, _MARKS.firsts)
    .where(_MARKS.campaign_id == bindparam("campaign"), _MARKS.check_in_id < bindparam("end"))
    .order_by(_MARKS.check_in_id.desc())
    .limit(1)
)
_COUNT: Final = columns(
    func.count().label("check_ins"),
    *(func.coalesce(func.sum(cast(one, Integer)), 0).label(one.name) for one in (_ACTS.is_late, _ACTS.is_first)),
).where(_OURS, _ACTS.id < bindparam("end"))
_NEXT: Final = (
    columns(_ACTS.id)
    .where(_OURS, _ACTS.id < bindparam("end"))
    .order_by(_ACTS.id)
    .offset(bindparam("less_than_apart"))
    .limit(1)
)


def visits_between(session: Session, campaign_id: UUID, since: UUID | None = None, until: UUID | None = None) -> Visits:
    """The counted check-ins of a campaign's public part with ids from `since` on and before `until`."""
    found = _before(session, campaign_id, until or _LAST_ID)
    return found if since is None else found.less(_before(session, campaign_id, since))


def _before(session: Session, campaign_id: UUID, end: UUID) -> Visits:
    mark = prepared.row(session, _MARK, campaign=campaign_id, end=end)
    after, known = (mark.check_in_id, Visits(*mark[1:])) if mark else (ids.NIL, Visits())
    return known.plus(Visits(*prepared.rows(session, _COUNT, campaign=campaign_id, after=after, end=end)[0]))


def marks_due(session: Session, *, now: datetime) -> list[UUID]:
    """The campaigns with a mark to set. Reads only."""
    every = session.scalars(columns(col(Campaign.id)).order_by(col(Campaign.id))).all()
    return [one for one in every if _next(session, one, now) is not None]


def set_mark(session: Session, campaign_id: UUID, *, now: datetime) -> bool:
    """Set the next mark of a campaign where it is due; whether it was."""
    hold(session, campaign_id)
    next_id = _next(session, campaign_id, now)
    if next_id is None:
        return False
    counted = visits_between(session, campaign_id, until=UUID(int=next_id.int + 1))
    store(session, CheckInMark, campaign_id=campaign_id, check_in_id=next_id, **counted._asdict())
    return True


def _next(session: Session, campaign_id: UUID, now: datetime) -> UUID | None:
    last = prepared.row(session, _MARK, campaign=campaign_id, end=_LAST_ID)
    after, end = last.check_in_id if last else ids.NIL, ids.first_of(now - SETTLED)
    found: UUID | None = prepared.value(
        session, _NEXT, campaign=campaign_id, after=after, end=end, less_than_apart=APART - 1
    )
    return found


def remove_marks(session: Session, campaign_id: UUID, check_in_id: UUID) -> None:
    """Take away what was counted with a check-in that changed, at the end of the transaction.

    There the campaign is held, as whoever sets a mark holds it: it is set before and taken away, or after the change.
    """
    if ids.instant_of(check_in_id) < clock.utc_now() - SETTLED / 2:
        mine: Any = and_(col(CheckInMark.campaign_id) == campaign_id, col(CheckInMark.check_in_id) >= check_in_id)
        remove_last(session, campaign_id, CheckInMark, mine)


def recount_marks(session: Session) -> Iterator[str]:
    """Marks that say other than the check-ins, in words."""
    for campaign_id in session.scalars(columns(col(Campaign.id)).order_by(col(Campaign.id))):
        rows = session.execute(columns(*_MARKS).where(_MARKS.campaign_id == campaign_id).order_by(_MARKS.check_in_id))
        after, counted = ids.NIL, Visits()
        for mark in rows.all():
            end = UUID(int=mark.check_in_id.int + 1)
            found = prepared.rows(session, _COUNT, campaign=campaign_id, after=after, end=end)[0]
            after, counted = mark.check_in_id, counted.plus(Visits(*found))
            if counted != Visits(mark.check_ins, mark.late, mark.firsts):
                told = f"{mark.check_ins} check-ins, {mark.late} late, {mark.firsts} first; counted {tuple(counted)}"
                yield f"mark at {ids.show('chk', mark.check_in_id)} of {ids.show('cmp', campaign_id)}: {told}"
                break
