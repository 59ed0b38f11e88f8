"""Two dimensions together: cells, one for all the values of a scan, shared out to the days of each pair."""

from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any, Final

from sqlalchemy import delete, tuple_
from sqlalchemy import select as columns
from sqlmodel import Session, col

from campaigns.scans import rollup_weeks
from campaigns.scans.models import RollupCell
from campaigns.scans.rollup_writing import CELL_KEY, COLUMNS, DIMENSIONS

CELLS_A_ROUND: Final = 50  # some 500 rows, written in some 5 ms: each scan waits so long
_AT = {name: index for index, name in enumerate(DIMENSIONS)}


def pair_of(names: Iterable[str]) -> str:
    """What two dimensions together are called, in whatever order they come: `token,device`. One is called itself."""
    return ",".join(sorted(set(names), key=_AT.__getitem__))


PAIRS: Final = tuple((pair_of((one, other)), _AT[one], _AT[other]) for one, other in combinations(DIMENSIONS, 2))
# All that sums are kept of; the whole comes last.
SUMMED: Final = (*(name for name, _, _ in PAIRS), *DIMENSIONS, "")
_KEY: Final = tuple(col(getattr(RollupCell, name)) for name in CELL_KEY)
_FIRST: Final = columns(*(col(getattr(RollupCell, name)) for name in (*CELL_KEY, *COLUMNS[:-1]))).order_by(*_KEY)


def shared_out(cells: Mapping[tuple[Any, ...], Iterable[int]]) -> dict[tuple[Any, ...], list[int]]:
    """The days of each pair that cells add up to, as the rollups have them. Nobody's visitors are known."""
    sums: dict[tuple[Any, ...], list[int]] = {}
    for (campaign_id, phase, day, *values), numbers in cells.items():
        more = [*numbers][: len(COLUMNS) - 1]
        for dimension, one, other in PAIRS:
            key = (campaign_id, dimension, "day", phase, day, values[one], values[other])
            there = sums.get(key)
            sums[key] = [*more, 0] if there is None else [a + b for a, b in zip(there, (*more, 0), strict=True)]
    return sums


def has_cells(session: Session) -> bool:
    """Whether cells wait to be shared out."""
    return session.execute(_FIRST.limit(1)).first() is not None


def share_out(session: Session) -> bool:
    """Move some cells to the days of their pairs; whether more of them wait. Run it in `Database.between_rounds()`."""
    first = session.execute(_FIRST.limit(CELLS_A_ROUND)).all()
    if not first:
        return False
    width = len(CELL_KEY)
    last = tuple_(*_KEY) <= tuple_(*first[-1][:width])
    session.execute(delete(RollupCell).where(last).execution_options(synchronize_session=False))
    sums = shared_out({tuple(row[:width]): row[width:] for row in first})
    rollup_weeks.add_sums(session, {key: row for key, row in sums.items() if any(row)})
    return len(first) == CELLS_A_ROUND
