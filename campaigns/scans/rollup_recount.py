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
from campaigns.scans.models import RollupVisitor, ScanRollup
from campaigns.scans.rollups import COLUMNS, KEY, Sums, Visitors, estimate, no_sums, of_log

_SHOWN = 5


def recount_rollups(session: Session) -> list[str]:
    """What does not add up, in words. Scans whose event waits for the worker are not counted yet, and left out.

    Periods in which the log is not whole are left out too: their scans reached their term.
    """
    since = whole_from(session)
    day = clock.day_of(since) + 2  # civil: whole wherever it was
    begin = {"hour": clock.hour_of(since) + 1, "day": day}
    events = session.exec(select(Event).where(Event.name == "scans.recorded")).all()
    waiting = {UUID(id) for event in events for id in event.facts["scan_ids"]}
    sums = no_sums()
    keys: Visitors = defaultdict(set)
    for part in of_log(session, first=ids.first_of(since), waiting=waiting):
        for key, numbers in part.sums.items():
            sums[key] = [one + more for one, more in zip(sums[key], numbers, strict=True)]
        for group, some in part.visitors.items():
            keys[group] = set(nsmallest(VISITOR_SAMPLE, keys[group] | some))
    _count_visitors(keys, sums)
    return [*_sum_problems(session, sums, begin), *_visitor_problems(session, keys, day)]


def _count_visitors(keys: Visitors, sums: Sums) -> None:
    for (campaign_id, dimension, day, value), some in keys.items():
        sums[campaign_id, dimension, "day", "live", day, value][-1] = estimate(sorted(some))


def _sum_problems(session: Session, sums: Sums, begin: dict[str, int]) -> Iterator[str]:
    wrong = 0
    counted = {key: row for key, row in sums.items() if key[4] >= begin[key[2]]}
    stored: dict[tuple[Any, ...], ScanRollup] = {
        tuple(getattr(row, name) for name in KEY): row
        for row in session.exec(select(ScanRollup))
        if row.period >= begin[row.span]
    }
    for key in sorted(counted.keys() | stored.keys()):
        row = stored.get(key)
        there = {name: getattr(row, name) if row else 0 for name in COLUMNS}
        should = dict(zip(COLUMNS, counted.get(key) or [0] * len(COLUMNS), strict=True))
        if there == should:
            continue
        wrong += 1
        if wrong <= _SHOWN:
            differ = [name for name in COLUMNS if there[name] != should[name]]
            names = ", ".join(f"{name} {there[name]}, {should[name]} in the log" for name in differ)
            _, dimension, span, phase, period, value = key
            yield f"rollup {dimension or 'all'} {value}, {span} {period}, {phase}: {names}"
    if wrong > _SHOWN:
        yield f"rollups: {wrong - _SHOWN} more rows differ"


def _visitor_problems(session: Session, keys: Visitors, begin: int) -> Iterator[str]:
    stored: Visitors = defaultdict(set)
    for row in session.exec(select(RollupVisitor).where(col(RollupVisitor.day) >= begin)):
        stored[row.campaign_id, row.dimension, row.day, row.value].add(row.visitor_key)
    for group in sorted(keys.keys() | stored.keys()):
        if group[2] >= begin and stored[group] != keys[group]:
            yield f"visitors of {group[1] or 'all'} {group[3]} on day {group[2]} differ from the log"
