"""Sums of civil weeks, and of eight weeks, once they are over: so that a long time is a short question.

A row of `rollup_weeks` says that the sums of a campaign's week and dimension are kept. They are made of its days when
no scan of them can come any more; a later verdict or void adds its difference to day and week alike.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import func, insert, literal
from sqlalchemy import select as columns
from sqlmodel import Session, col

from campaigns import clock
from campaigns.events import Event
from campaigns.planning import Campaign
from campaigns.scans.models import RollupWeek, ScanRollup
from campaigns.scans.rollup_writing import COLUMNS, add
from campaigns.storage import changed

# Days to a period, the shorter first: each is made of the one before it.
LENGTHS: Final = {"day": 1, "week": 7, "eight_weeks": 56}
_MADE_OF: Final = {"week": "day", "eight_weeks": "week"}
_SETTLED: Final = timedelta(days=3)  # after which a week that is over anywhere on earth gets no more scans


class Week(NamedTuple):
    """A period of some weeks of a campaign."""

    campaign_id: UUID
    span: str
    period: int


def week_of(day: int, span: str = "week") -> int:
    """The period, from Monday on, of a day since 1970, which began on a Thursday."""
    return (day + 3) // LENGTHS[span]


def first_day_of(week: int, span: str = "week") -> int:
    """Its Monday."""
    return week * LENGTHS[span] - 3


def add_sums(session: Session, sums: Mapping[tuple[Any, ...], Sequence[int]]) -> None:
    """Add to the rollups, and what belongs to days of weeks that are kept to those as well."""
    add(session, "rollups", sums)
    days = {(key[0], key[4]) for key in sums if key[2] == "day"}
    if not days:
        return
    kept = {tuple(row) for row in session.execute(_kept_since(min(day for _, day in days), {one for one, _ in days}))}
    if kept:
        add(session, "rollups", of_weeks(sums, kept))


def _kept_since(day: int, campaign_ids: set[UUID]) -> Any:
    return columns(*(col(getattr(RollupWeek, name)) for name in ("campaign_id", "dimension", "span", "period"))).where(
        col(RollupWeek.campaign_id).in_(campaign_ids), col(RollupWeek.period) >= week_of(day, "eight_weeks")
    )


def of_weeks(sums: Mapping[tuple[Any, ...], Sequence[int]], kept: set[Any]) -> dict[tuple[Any, ...], list[int]]:
    """What days add to the weeks that are kept, given as rows of (campaign, dimension, span, period)."""
    found: dict[tuple[Any, ...], list[int]] = {}
    for (campaign_id, dimension, span, phase, day, *values), numbers in sums.items():
        for longer in _MADE_OF if span == "day" else ():
            period = week_of(day, longer)
            if (campaign_id, dimension, longer, period) in kept:
                there = found.setdefault((campaign_id, dimension, longer, phase, period, *values), [0] * len(COLUMNS))
                there[:] = [one + more for one, more in zip(there, numbers, strict=True)]
    return found


# Keeping them ----------------------------------------------------------------------------------------------------


def over(session: Session, *, now: datetime) -> Iterator[Week]:
    """The weeks, and eights of them, that are over and not kept yet, in the order in which they can be. Reads only."""
    today = clock.day_of(now - _SETTLED)
    for campaign_id in session.scalars(columns(col(Campaign.id)).order_by(col(Campaign.id))).all():
        day = col(ScanRollup.period)
        first = session.scalar(columns(func.min(day)).where(*_all_days(campaign_id)))
        last = session.scalar(columns(func.max(day)).where(*_all_days(campaign_id)))
        if first is None or last is None:
            continue
        for span in _MADE_OF:
            kept = session.scalar(columns(func.max(col(RollupWeek.period))).where(*_kept_of(campaign_id, "", span)))
            begin = week_of(first, span) if kept is None else kept + 1
            end = min(week_of(today, span), week_of(last, span) + 1)
            yield from (Week(campaign_id, span, one) for one in range(begin, end))


def _all_days(campaign_id: UUID) -> tuple[Any, ...]:
    mine = (col(ScanRollup.campaign_id) == campaign_id, col(ScanRollup.dimension) == "", col(ScanRollup.span) == "day")
    return (*mine, col(ScanRollup.phase).in_(("live", "pilot")))


def _kept_of(campaign_id: UUID, dimension: str, span: str) -> tuple[Any, ...]:
    return (
        col(RollupWeek.campaign_id) == campaign_id,
        col(RollupWeek.dimension) == dimension,
        col(RollupWeek.span) == span,
    )


def is_counted(session: Session, week: Week) -> bool:
    """Whether each scan of a week that is over was counted: none of its events waits."""
    waiting = columns(col(Event.id)).where(col(Event.name) == "scans.recorded", _is_old(week)).limit(1)
    return session.scalar(waiting) is None


def keep(session: Session, week: Week, dimension: str) -> int:
    """Keep the sums of a week for a dimension; how many rows they are. Run it between two rounds.

    Once only: whoever comes second finds the week there.
    """
    named = _kept_of(week.campaign_id, dimension, week.span)
    if session.scalar(columns(col(RollupWeek.period)).where(*named, col(RollupWeek.period) == week.period)) is not None:
        return 0
    made_of = _MADE_OF[week.span]
    length = LENGTHS[week.span] // LENGTHS[made_of]
    first = first_day_of(week.period) if made_of == "day" else week.period * length
    parts = (col(ScanRollup.phase), col(ScanRollup.value), col(ScanRollup.other_value))
    made = (
        columns(
            *(literal(one) for one in (week.campaign_id, dimension, week.span, week.period)),
            *parts,
            *(func.sum(col(getattr(ScanRollup, name))) for name in COLUMNS),
        )
        .where(
            col(ScanRollup.campaign_id) == week.campaign_id,
            col(ScanRollup.dimension) == dimension,
            col(ScanRollup.span) == made_of,
            col(ScanRollup.phase).in_(("live", "pilot")),
            col(ScanRollup.period).between(first, first + length - 1),
        )
        .group_by(*parts)
    )
    names = ("campaign_id", "dimension", "span", "period", "phase", "value", "other_value", *COLUMNS)
    written = changed(session, insert(ScanRollup).from_select(names, made))
    session.add(RollupWeek(**week._asdict(), dimension=dimension))
    return written


def _is_old(week: Week) -> Any:
    end = clock.EPOCH + timedelta(days=first_day_of(week.period + 1, week.span))
    return col(Event.recorded_at) < end + timedelta(days=1)
