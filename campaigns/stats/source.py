"""Where figures are read: the rollups of a window, in as few rows as hold them, and what is not in them yet."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import bindparam
from sqlalchemy import select as columns
from sqlmodel import Session, col

from campaigns import prepared
from campaigns.scans.models import RollupWeek
from campaigns.scans.rollup_pairs import shared_out
from campaigns.scans.rollup_weeks import LENGTHS, first_day_of, week_of
from campaigns.scans.rollup_writing import COLUMNS, COUNTED
from campaigns.scans.rollups import Rollups

SUMMED: Final = (*COUNTED, "verified", "visitors")
_AT: Final = tuple(COLUMNS.index(name) for name in SUMMED)
# The week of a day, from its Monday on: a day since 1970, which began on a Thursday.
_PERIOD: Final = "(period + 3) / 7"
_WEEKS: Final = columns(col(RollupWeek.span), col(RollupWeek.period)).where(
    col(RollupWeek.campaign_id) == bindparam("campaign"), col(RollupWeek.dimension) == bindparam("dimension")
)


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

    def sums(
        self, named: Sequence[str], by: Sequence[str], grain: str | None, where: Mapping[str, str]
    ) -> dict[tuple[Any, ...], list[int]]:
        """Sums, as `SUMMED` go, by the period where there is a grain and then by the dimensions of `by`."""
        found: dict[tuple[Any, ...], list[int]] = {}
        width = len(by) + (grain is not None)
        for row in self._kept(named, by, grain, where):
            found[row[:width]] = [*row[width:]]
        for keys, numbers in self._fresh(named, by, grain, where):
            there = found.get(keys)
            found[keys] = numbers if there is None else [a + b for a, b in zip(there, numbers, strict=True)]
        return found

    def _kept(
        self, named: Sequence[str], by: Sequence[str], grain: str | None, where: Mapping[str, str]
    ) -> list[tuple[Any, ...]]:
        """What the rollups hold, in one statement: the parts of the window, and cells that nobody has shared out yet.

        As the driver has it: a question asks for up to seven parts, and SQLAlchemy would take as long as the database.
        """
        connection = self.session.connection()
        is_sqlite = connection.dialect.name == "sqlite"
        campaign_id = self.campaign_id.hex if is_sqlite else self.campaign_id
        at = dict(zip(named, ("value", "other_value"), strict=False))
        parts, values = [], []
        for stretch in self._stretches(",".join(named), grain):
            shown = _PERIOD if grain == "week" and stretch.span == "day" else "period"
            parts.append(_part("scan_rollups", [shown, *(at[one] for one in by)], SUMMED, [at[one] for one in where]))
            values += [campaign_id, ",".join(named), *stretch, *where.values()]
        if len(named) == 2:
            shown = "(day + 3) / 7" if grain == "week" else "day"
            parts.append(_part("rollup_cells", [shown, *by], (*SUMMED[:-1], "0"), where))
            values += [campaign_id, self.window.first, self.window.end, *where.values()]
        statement = _added_up(tuple(parts), len(by), grain is not None)
        marked = statement if is_sqlite else statement.replace("?", "%s")
        found: list[tuple[Any, ...]] = prepared.execute(connection, marked, values).fetchall()
        return found

    def _fresh(
        self, named: Sequence[str], by: Sequence[str], grain: str | None, where: Mapping[str, str]
    ) -> Iterator[tuple[tuple[Any, ...], list[int]]]:
        """The same of the scans that wait, as the rollups will have them."""
        window, dimension = self.window, ",".join(named)
        sums = shared_out(self.fresh.cells) if len(named) == 2 else self.fresh.sums
        for (campaign_id, about, span, phase, period, *values), numbers in sums.items():
            has = dict(zip(named, values, strict=False))
            is_asked = (campaign_id, about, span, phase) == (self.campaign_id, dimension, window.span, "live")
            if is_asked and window.first <= period < window.end and all(has[one] == it for one, it in where.items()):
                shown = [week_of(period) if grain == "week" else period] if grain else []
                yield (*shown, *(has[one] for one in by)), [numbers[one] for one in _AT]

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
        for span, period in prepared.rows(self.session, _WEEKS, campaign=self.campaign_id, dimension=dimension):
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


def _part(table: str, shown: Sequence[str], sums: Sequence[str], where: Iterable[str]) -> str:
    """The rows of one stretch of the window: what they are shown under, and their numbers."""
    is_rollup = table == "scan_rollups"
    period = "period" if is_rollup else "day"
    named = ["campaign_id = ?", *(["dimension = ?", "span = ?"] if is_rollup else []), "phase = 'live'"]
    named += [f"{period} >= ?", f"{period} < ?", *(f"{one} = ?" for one in where)]
    return f"SELECT {', '.join((*shown, *sums))} FROM {table} WHERE {' AND '.join(named)}"  # noqa: S608  # names of our own columns


@cache
def _added_up(parts: tuple[str, ...], dimensions: int, has_grain: bool) -> str:
    keys = [f"k{number}" for number in range(dimensions + 1)]
    by = keys if has_grain else keys[1:]
    sums = (f"CAST(COALESCE(SUM({name}), 0) AS BIGINT)" for name in SUMMED)
    names = ", ".join((*keys, *SUMMED))
    grouped = f" GROUP BY {', '.join(by)}" if by else ""
    return f"WITH part ({names}) AS ({' UNION ALL '.join(parts)}) SELECT {', '.join((*by, *sums))} FROM part{grouped}"  # noqa: S608
