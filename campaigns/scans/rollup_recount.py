"""Recounting the rollups: every row against the log itself."""

from collections import defaultdict
from collections.abc import Iterator
from heapq import nsmallest
from typing import Any
from uuid import UUID

from sqlmodel import Session, col, select

from campaigns import clock, ids
from campaigns.events import Event
from campaigns.scans.log import VISITOR_SAMPLE
from campaigns.scans.log_start import whole_from
from campaigns.scans.models import RollupCell, RollupVisitor, RollupWeek, ScanRollup
from campaigns.scans.rollup_pairs import shared_out
from campaigns.scans.rollup_weeks import LENGTHS, of_weeks, week_of
from campaigns.scans.rollup_writing import CELL_KEY, COLUMNS, KEY
from campaigns.scans.rollups import Cells, Sums, Visitors, estimate, no_sums, of_log

_SHOWN = 5


def recount_rollups(session: Session) -> list[str]:
    """What does not add up, in words. Scans whose event waits for the worker are not counted yet, and left out.

    Periods in which the log is not whole are left out too: their scans reached their term.
    """
    since = whole_from(session)
    day = clock.day_of(since) + 2  # civil: whole wherever it was
    begin = {"hour": clock.hour_of(since) + 1} | {span: week_of(day - 1, span) + 1 for span in LENGTHS}
    events = session.exec(select(Event).where(Event.name == "scans.recorded")).all()
    waiting = {UUID(id) for event in events for id in event.facts["scan_ids"]}
    sums, cells = no_sums(), no_sums()
    keys: Visitors = defaultdict(set)
    for part in of_log(session, first=ids.first_of(since), waiting=waiting):
        _add_up(sums, part.sums)
        _add_up(cells, part.cells)
        for group, some in part.visitors.items():
            keys[group] = set(nsmallest(VISITOR_SAMPLE, keys[group] | some))
    _count_visitors(keys, sums)
    sums.update(shared_out(cells))
    sums.update(of_weeks(sums, _kept(session)))
    return [*_sum_problems(session, sums, begin), *_visitor_problems(session, keys, day)]


def _add_up(sums: Sums, more: Sums) -> None:
    for key, numbers in more.items():
        sums[key] = [one + other for one, other in zip(sums[key], numbers, strict=True)]


def _kept(session: Session) -> set[tuple[Any, ...]]:
    found = session.exec(select(RollupWeek)).all()
    return {(one.campaign_id, one.dimension, one.span, one.period) for one in found}


def _stored(session: Session) -> Sums:
    """What the rollups say, with what waits to be shared out where it belongs."""
    sums = no_sums()
    for row in session.exec(select(ScanRollup)):
        sums[tuple(getattr(row, name) for name in KEY)] = [getattr(row, name) for name in COLUMNS]
    cells: Cells = {}
    for cell in session.exec(select(RollupCell)):
        cells[tuple(getattr(cell, name) for name in CELL_KEY)] = [getattr(cell, name) for name in COLUMNS[:-1]]
    waiting = shared_out(cells)
    _add_up(sums, waiting)
    _add_up(sums, of_weeks(waiting, _kept(session)))
    return sums


def _count_visitors(keys: Visitors, sums: Sums) -> None:
    for (campaign_id, dimension, day, value), some in keys.items():
        sums[campaign_id, dimension, "day", "live", day, value, ""][-1] = estimate(sorted(some))


def _sum_problems(session: Session, sums: Sums, begin: dict[str, int]) -> Iterator[str]:
    wrong = 0
    nothing = [0] * len(COLUMNS)
    stored = _stored(session)
    for key in sorted(sums.keys() | stored.keys()):
        there, should = stored.get(key) or nothing, sums.get(key) or nothing
        if there == should or key[4] < begin[key[2]]:
            continue
        wrong += 1
        if wrong <= _SHOWN:
            differ = [(name, *pair) for name, *pair in zip(COLUMNS, there, should, strict=True) if pair[0] != pair[1]]
            names = ", ".join(f"{name} {is_there}, {in_log} in the log" for name, is_there, in_log in differ)
            _, dimension, span, phase, period, *values = key
            yield f"rollup {dimension or 'all'} {' '.join(values).strip()}, {span} {period}, {phase}: {names}"
    if wrong > _SHOWN:
        yield f"rollups: {wrong - _SHOWN} more rows differ"


def _visitor_problems(session: Session, keys: Visitors, begin: int) -> Iterator[str]:
    stored: Visitors = defaultdict(set)
    for row in session.exec(select(RollupVisitor).where(col(RollupVisitor.day) >= begin)):
        stored[row.campaign_id, row.dimension, row.day, row.value].add(row.visitor_key)
    for group in sorted(keys.keys() | stored.keys()):
        if group[2] >= begin and stored[group] != keys[group]:
            yield f"visitors of {group[1] or 'all'} {group[3]} on day {group[2]} differ from the log"
