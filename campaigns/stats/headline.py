"""What happens now: the last minutes, the running hour, today beside the same weekday last week.

Read from the rollups with what waits for the worker, so that a scan shows as soon as it was answered; the last minutes
from at most some hundred scans by the log's own index. A reading costs the same after ten million scans.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import func, union_all
from sqlalchemy import select as columns
from sqlmodel import Session, col

from campaigns import clock, ids
from campaigns.scans.models import Scan, ScanRollup
from campaigns.scans.rollup_writing import COLUMNS, COUNTED
from campaigns.scans.rollups import Sums

MINUTES: Final = 15  # that are shown one by one
RECENT: Final = 300  # scans of a campaign that are read for them at most: fewer minutes are shown of a rush
LEAST_PEOPLE: Final = 5  # a smaller group is not shown
SAME_TIME: Final = "same_time_last_week/1"

RAW: Final = sum((func.sum(col(getattr(ScanRollup, name))) for name in COUNTED[1:]), func.sum(col(ScanRollup.valid)))
HUMAN: Final = RAW - func.sum(col(ScanRollup.bot))
VERIFIED: Final = func.sum(col(ScanRollup.verified))
VISITORS: Final = func.sum(col(ScanRollup.visitors))


class Scope(NamedTuple):
    """Whose figures: campaigns of one organisation, everywhere or in some places alone, with days as in a time zone.

    `is_measured`: something can confirm a scan there; else no scan is verified, which is not the same as zero.
    """

    organisation_id: UUID
    campaign_ids: tuple[UUID, ...]
    place_ids: tuple[UUID, ...] | None
    time_zone: str
    is_measured: bool

    @property
    def dimension(self) -> str:
        """The rollups it is read from."""
        return "" if self.place_ids is None else "place"

    @property
    def values(self) -> list[str]:
        return [""] if self.place_ids is None else [ids.show("plc", one) for one in self.place_ids]

    def rows(self, dimension: str, span: str) -> list[Any]:
        """The conditions of its rollups of a dimension, live ones only."""
        return [
            col(ScanRollup.campaign_id).in_(self.campaign_ids),
            col(ScanRollup.dimension) == dimension,
            col(ScanRollup.span) == span,
            col(ScanRollup.phase) == "live",
        ]


class Count(NamedTuple):
    """Scans: every GET, those by people, those that are confirmed and valid."""

    raw: int = 0
    human: int = 0
    verified: int = 0

    def plus(self, other: "Count", share: float = 1) -> "Count":
        return Count(*(round(one + more * share) for one, more in zip(self, other, strict=True)))


class Headline(NamedTuple):
    """`minutes` are raw scans of each of the last ones, the running one last; fewer than 15 in a rush.

    `last_week` is the same weekday a week ago up to the same time of day: of its running hour the share that is over
    here (formula same_time_last_week/1). `visitors` of today; None where they cannot be told or are fewer than five.
    """

    minutes: tuple[int, ...]
    hour: Count
    today: Count
    last_week: Count
    visitors: int | None


def read_headline(session: Session, scope: Scope, fresh: Sums, *, now: datetime) -> Headline:
    """The headline figures, in three statements."""
    day = clock.civil_day(now, scope.time_zone)
    hours = [*hours_of(day, scope.time_zone), *hours_of(day - timedelta(days=7), scope.time_zone)]
    return headline_of(session, scope, counts_by_hour(session, scope, hours, fresh), now=now)


def headline_of(session: Session, scope: Scope, by_hour: Mapping[int, Count], *, now: datetime) -> Headline:
    """The same of hours that were read: at least those of today and of the day a week ago."""
    zone, day = scope.time_zone, clock.civil_day(now, scope.time_zone)
    running = clock.hour_of(now)
    share = (now - clock.instant_of_hour(running)) / timedelta(hours=1)
    time_of_day = local_start(running, zone).time()
    before = Count()
    for hour in hours_of(day - timedelta(days=7), zone):
        starts = local_start(hour, zone).time()
        if starts <= time_of_day:
            before = before.plus(by_hour.get(hour, Count()), share if starts == time_of_day else 1)
    today = total(by_hour.get(hour, Count()) for hour in hours_of(day, zone) if hour <= running)
    return Headline(
        _minutes(session, scope, now),
        by_hour.get(running, Count()),
        today,
        before,
        _visitors(session, scope, (day - clock.EPOCH.date()).days),
    )


def total(counts: Iterable[Count]) -> Count:
    found = Count()
    for one in counts:
        found = found.plus(one)
    return found


def hours_of(day: date, time_zone: str) -> list[int]:
    """The hours since 1970 that begin on a civil day: 24 of them, 23 or 25 where the clock changes."""
    start = datetime.combine(day, datetime.min.time(), clock.zone(time_zone))
    first = clock.hour_of(start) - 1
    return [hour for hour in range(first, first + 28) if local_start(hour, time_zone).date() == day]


def local_start(hour: int, time_zone: str) -> datetime:
    """When an hour counted since 1970 begins, there."""
    return clock.instant_of_hour(hour).astimezone(clock.zone(time_zone))


def counts_by_hour(session: Session, scope: Scope, hours: Sequence[int], fresh: Sums) -> dict[int, Count]:
    """Scans by the hour; hours without one are missing."""
    found: dict[int, Count] = {}
    period = col(ScanRollup.period)
    query = columns(period, RAW, HUMAN, VERIFIED).where(
        # One by one, not a range: the key names the place last, and a range would read every place's rows.
        *scope.rows(scope.dimension, "hour"), period.in_(hours), col(ScanRollup.value).in_(scope.values)
    )  # fmt: skip
    for hour, *numbers in session.execute(query.group_by(period)):
        found[hour] = Count(*map(int, numbers))
    wanted = frozenset(hours)
    for (campaign_id, dimension, span, phase, hour, value, _), numbers in fresh.items():
        is_of_it = (dimension, span, phase) == (scope.dimension, "hour", "live") and hour in wanted
        if is_of_it and campaign_id in scope.campaign_ids and value in scope.values:
            found[hour] = found.get(hour, Count()).plus(_count(numbers))
    return found


def _count(numbers: Sequence[int]) -> Count:
    row = dict(zip(COLUMNS, numbers, strict=True))
    raw = sum(row[name] for name in COUNTED)
    return Count(raw, raw - row["bot"], row["verified"])


def _visitors(session: Session, scope: Scope, day: int) -> int | None:
    if len(scope.campaign_ids) != 1 or len(scope.values) != 1:
        return None  # someone in two of them would be two
    (value,) = scope.values
    query = columns(VISITORS).where(
        *scope.rows(scope.dimension, "day"), col(ScanRollup.period) == day, col(ScanRollup.value) == value
    )
    kept = int(session.execute(query).scalar() or 0)
    return kept if kept >= LEAST_PEOPLE else None


def _minutes(session: Session, scope: Scope, now: datetime) -> tuple[int, ...]:
    if not scope.campaign_ids:
        return (0,) * MINUTES
    running = int(now.timestamp()) // 60
    first = running - MINUTES + 1
    newest = [_newest(campaign_id, first) for campaign_id in scope.campaign_ids]
    rows = session.execute(newest[0] if len(newest) == 1 else union_all(*(columns(one.subquery()) for one in newest)))
    seen, read, oldest = Counter[int](), Counter[UUID](), dict[UUID, int]()
    for id, campaign_id, place_id in rows:
        minute = int(ids.instant_of(id).timestamp()) // 60
        read[campaign_id] += 1
        oldest[campaign_id] = min(minute, oldest.get(campaign_id, minute))
        if scope.place_ids is None or place_id in scope.place_ids:
            seen[minute] += 1
    cut = [oldest[one] + 1 for one, number in read.items() if number == RECENT]
    return tuple(seen[minute] for minute in range(min(max([first, *cut]), running), running + 1))


def _newest(campaign_id: UUID, first_minute: int) -> Any:
    since = clock.EPOCH + timedelta(minutes=first_minute)
    return (
        columns(col(Scan.id), col(Scan.campaign_id), col(Scan.place_id))
        .where(col(Scan.campaign_id) == campaign_id, col(Scan.id) >= ids.first_of(since), col(Scan.phase) == "live")
        .order_by(col(Scan.id).desc())
        .limit(RECENT)
    )
