"""Where figures are read: the rollups of a window, in as few rows as hold them, and what is not in them yet."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import Integer, func, literal_column
from sqlalchemy import select as columns
from sqlmodel import Session, col

from campaigns.scans.models import RollupCell, RollupWeek, ScanRollup
from campaigns.scans.rollup_pairs import shared_out
from campaigns.scans.rollup_weeks import LENGTHS, first_day_of, week_of
from campaigns.scans.rollup_writing import COLUMNS, COUNTED
from campaigns.scans.rollups import Rollups

_SUMMED: Final = (*COUNTED, "verified", "visitors")


class Window(NamedTuple):
    """The periods that are summed: hours since 1970, or civil days since 1970. `end` is not included."""

    span: str
    first: int
    end: int


@dataclass(frozen=True)
class Source:
    """The sums of a campaign in a window. `first_day` is that of its first scan: there is nothing before."""

    session: Session
    campaign_id: UUID
    window: Window
    fresh: Rollups
    first_day: int | None

    def rows(
        self, named: Sequence[str], by: Sequence[str], grain: str | None, where: Mapping[str, str]
    ) -> Iterator[Any]:
        """Sums by the dimensions of `by` and, with a grain, by `period`; several rows may have to be added up."""
        for stretch in self._stretches(",".join(named), grain):
            yield from self._kept(stretch, named, by, grain, where)
        if len(named) == 2:
            yield from self._waiting(by, grain, where)
        yield from self._fresh_rows(named, grain, where)

    def _kept(
        self, stretch: Window, named: Sequence[str], by: Sequence[str], grain: str | None, where: Mapping[str, str]
    ) -> Iterable[Any]:
        has: dict[str, Any] = dict(zip(named, (col(ScanRollup.value), col(ScanRollup.other_value)), strict=False))
        period = _period(col(ScanRollup.period), stretch.span, grain)
        parts = [*([period] if grain else []), *(has[one].label(one) for one in by)]
        sums = (func.sum(col(getattr(ScanRollup, name))).label(name) for name in _SUMMED)
        query = columns(*parts, *sums).where(
            col(ScanRollup.campaign_id) == self.campaign_id,
            col(ScanRollup.dimension) == ",".join(named),
            col(ScanRollup.span) == stretch.span,
            col(ScanRollup.phase) == "live",
            col(ScanRollup.period) >= stretch.first,
            col(ScanRollup.period) < stretch.end,
            *(has[one] == value for one, value in where.items()),
        )
        return self.session.execute(query.group_by(*parts))

    def _waiting(self, by: Sequence[str], grain: str | None, where: Mapping[str, str]) -> Iterable[Any]:
        """The same of cells that nobody has shared out yet."""
        parts = [
            *([_period(col(RollupCell.day), "day", grain)] if grain else []),
            *(col(getattr(RollupCell, one)).label(one) for one in by),
        ]
        sums = (func.sum(col(getattr(RollupCell, name))).label(name) for name in _SUMMED if name != "visitors")
        query = columns(*parts, *sums, literal_column("0").label("visitors")).where(
            col(RollupCell.campaign_id) == self.campaign_id,
            col(RollupCell.phase) == "live",
            col(RollupCell.day) >= self.window.first,
            col(RollupCell.day) < self.window.end,
            *(col(getattr(RollupCell, one)) == value for one, value in where.items()),
        )
        return self.session.execute(query.group_by(*parts))

    def _fresh_rows(self, named: Sequence[str], grain: str | None, where: Mapping[str, str]) -> Iterator[Any]:
        """The same of the scans that wait, as the rollups will have them."""
        window, dimension = self.window, ",".join(named)
        sums = shared_out(self.fresh.cells) if len(named) == 2 else self.fresh.sums
        for (campaign_id, about, span, phase, period, *values), numbers in sums.items():
            has = dict(zip(named, values, strict=False))
            is_asked = (campaign_id, about, span, phase) == (self.campaign_id, dimension, window.span, "live")
            if is_asked and window.first <= period < window.end and all(has[one] == it for one, it in where.items()):
                shown = week_of(period) if grain == "week" else period
                yield SimpleNamespace(period=shown, **has, **dict(zip(COLUMNS, numbers, strict=True)))

    # Stretches ---------------------------------------------------------------------------------------------------

    def _stretches(self, dimension: str, grain: str | None) -> Iterator[Window]:
        """The window in the longest periods that are kept: whole weeks and eights of them, else days."""
        if self.window.span != "day" or grain == "day":
            yield self.window
            return
        kept = self._weeks_kept(dimension)
        spans = ("week",) if grain == "week" else ("eight_weeks", "week")
        day = self.window.first
        while day < self.window.end:
            stretch = next((one for span in spans if (one := self._whole(day, span, kept[span]))), None)
            stretch = stretch or Window("day", day, self._next_start(day, kept))
            yield stretch
            day = stretch.end if stretch.span == "day" else first_day_of(stretch.end, stretch.span)

    def _weeks_kept(self, dimension: str) -> dict[str, set[int]]:
        kept: dict[str, set[int]] = {span: set() for span in LENGTHS}
        found = self.session.execute(
            columns(col(RollupWeek.span), col(RollupWeek.period)).where(
                col(RollupWeek.campaign_id) == self.campaign_id, col(RollupWeek.dimension) == dimension
            )
        )
        for span, period in found:
            kept[span].add(period)
        return kept

    def _whole(self, day: int, span: str, kept: set[int]) -> Window | None:
        """The periods in a row that are kept and lie in the window whole, from a day on which one begins."""
        first = end = week_of(day, span)
        is_begun = first_day_of(first, span) < day and not self._is_before_all(day)
        while not is_begun and end in kept and first_day_of(end + 1, span) <= self.window.end:
            end += 1
        return Window(span, first, end) if end > first else None

    def _is_before_all(self, day: int) -> bool:
        return self.first_day is not None and day <= self.first_day

    def _next_start(self, day: int, kept: dict[str, set[int]]) -> int:
        """The first day after this one on which a kept period of any length may begin."""
        ahead = [first_day_of(one) for one in kept["week"] if first_day_of(one) > day]
        return min([self.window.end, *ahead])


def _period(column: Any, span: str, grain: str | None) -> Any:
    if grain == "week" and span == "day":
        # Constants written out: PostgreSQL does not know two marks of one value for the same.
        return ((column + literal_column("3", Integer)) // literal_column("7", Integer)).label("period")
    return column.label("period")
