"""Rollups: scans by place, code, channel, medium, device, language and country, by hour and civil day.

The worker derives them from the log, behind the scans: once from the event of each batch, with the first verdicts, and
by the difference whenever the judge or a void changes one. Sums commute, so neither waits for the other. Everything
that writes here runs in a round of the outbox or between two: never two at a time.

Two dimensions together would make ten times the rows, and each scan waits while they are written: a scan is counted
in one cell of all its values, which `rollup_pairs` shares out when nobody waits. Weeks that are over have their sums
(`rollup_weeks`): a question about a year reads some sixty of them, not its days.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import case, delete, func
from sqlalchemy import select as columns
from sqlmodel import Session, col

from campaigns import clock, ids
from campaigns.places import Place
from campaigns.planning import Campaign
from campaigns.scans import rollup_weeks
from campaigns.scans.log import VISITOR_SAMPLE
from campaigns.scans.models import (
    RollupCell,
    RollupVisitor,
    RollupWeek,
    Scan,
    ScanConfirmation,
    ScanJudgement,
    ScanRollup,
)
from campaigns.scans.rollup_writing import COLUMNS, DIMENSIONS, VISITOR_KEY, add
from campaigns.scans.signals import HOUR_MS, milliseconds_of
from campaigns.scans.verdict import Verdict
from campaigns.tokens import Kind, Token

_CHUNK = 400
_SAMPLE_SPACE: Final = 1 << 63
ALL: Final = ""
# Unique visitors are kept of these: each key is a row.
WITH_VISITORS: Final = (ALL, "token", "place", "channel", "device")
_AT: Final = {name: index for index, name in enumerate(COLUMNS)}


class Facts(NamedTuple):
    """What a scan is counted under. `values` go as `DIMENSIONS`, each empty where there is none."""

    campaign_id: UUID
    phase: str
    hour: int
    day: int  # civil, where it was, since 1970
    values: tuple[str, ...]


class Change(NamedTuple):
    """What became of the count of a scan: of its verdict, so many scans and so many confirmed ones more or fewer."""

    scan_id: UUID
    verdict: str
    scans: int
    confirmed: int


Sums = dict[tuple[Any, ...], list[int]]  # by KEY, as COLUMNS go
Cells = dict[tuple[Any, ...], list[int]]  # by CELL_KEY, as COLUMNS go
Visitors = dict[tuple[Any, ...], set[int]]  # keys by VISITOR_KEY


class Rollups(NamedTuple):
    """What to add, read and worked out before anything is locked."""

    sums: Sums
    visitors: Visitors
    cells: Cells

    def write(self, session: Session) -> None:
        """Add it up, in one order."""
        _add_visitors(session, self.visitors, self.sums)
        add(session, "cells", self.cells)
        rollup_weeks.add_sums(session, self.sums)


def no_sums() -> Sums:
    """Nothing yet: each row begins with zeros."""
    return defaultdict(lambda: [0] * len(COLUMNS))


def derive(session: Session, scan_ids: Iterable[UUID]) -> Rollups:
    """What new scans of the log add, with their first verdicts. Reads only."""
    counted: Counter[tuple[Facts, str]] = Counter()
    visitors: Visitors = defaultdict(set)
    for facts, scan in facts_of(session, scan_ids):
        counted[facts, scan.verdict] += 1
        if facts.phase == "live" and scan.verdict != Verdict.BOT:
            for dimension, value in _alone(facts):
                if dimension in WITH_VISITORS:
                    visitors[facts.campaign_id, dimension, facts.day, value].add(scan.visitor_key)
    sums, cells = no_sums(), no_sums()
    for (facts, verdict), number in counted.items():
        for row in _rows_of(sums, cells, facts):
            row[_AT[verdict]] += number
    return Rollups(sums, visitors, cells)


def difference(session: Session, changes: Sequence[Change]) -> Rollups:
    """What changed verdicts, and confirmations now counted, add and take. Reads only."""
    facts = {scan.id: facts for facts, scan in facts_of(session, {one.scan_id for one in changes})}
    sums, cells = no_sums(), no_sums()
    for one in changes:
        if one.scan_id in facts:
            for row in _rows_of(sums, cells, facts[one.scan_id]):
                row[_AT[one.verdict]] += one.scans
                row[_AT["confirmed"]] += one.confirmed
                row[_AT["verified"]] += one.confirmed if one.verdict == Verdict.VALID else 0
    changed = ({key: row for key, row in some.items() if any(row)} for some in (sums, cells))
    return Rollups(next(changed), {}, next(changed))


def rebuild(session: Session) -> None:
    """Count the whole log anew, as it stands. For a database whose log is older than its rollups."""
    for table in (ScanRollup, RollupVisitor, RollupCell, RollupWeek):
        session.execute(delete(table))
    for rollups in of_log(session):
        rollups.write(session)


def of_log(session: Session, *, first: UUID = ids.NIL, waiting: Collection[UUID] = ()) -> Iterator[Rollups]:
    """What the log from a scan on adds up to, some thousands at a time. Those that wait have only been judged."""
    after = first
    while some := session.scalars(_NEXT.where(col(Scan.id) > after)).all():
        after = some[-1]
        yield derive(session, [id for id in some if id not in waiting])
        yield difference(session, list(_changes(session, some)))


_NEXT = columns(col(Scan.id)).order_by(col(Scan.id)).limit(5000)


def _changes(session: Session, scan_ids: Sequence[UUID]) -> Iterator[Change]:
    """What the judge has done with these scans until now."""
    among = scan_ids[0], scan_ids[-1]
    verdicts: dict[UUID, str] = {}
    for id, verdict in session.execute(
        columns(col(ScanJudgement.scan_id), col(ScanJudgement.verdict))
        .where(col(ScanJudgement.scan_id).between(*among))
        .order_by(col(ScanJudgement.id))
    ):
        verdicts[id] = verdict
    proven = set(
        session.scalars(
            columns(col(ScanConfirmation.scan_id)).where(
                col(ScanConfirmation.scan_id).between(*among), col(ScanConfirmation.is_judged)
            )
        )
    )
    for id, was in session.execute(columns(col(Scan.id), col(Scan.verdict)).where(col(Scan.id).between(*among))):
        now = verdicts.get(id, was)
        if now != was:
            yield Change(id, was, -1, 0)
            yield Change(id, now, 1, 0)
        if id in proven:
            yield Change(id, now, 0, 1)


def facts_of(session: Session, scan_ids: Iterable[UUID]) -> Iterator[tuple[Facts, Any]]:
    """What each of these scans is counted under, and its row. Orphans and tests of a draft are counted nowhere."""
    wanted = sorted(scan_ids)
    for start in range(0, len(wanted), _CHUNK):
        for row in session.execute(_FACTS.where(col(Scan.id).in_(wanted[start : start + _CHUNK]))):
            yield _facts(row), row


def _facts(row: Any) -> Facts:
    at = ids.instant_of(row.id)
    day = (clock.civil_day(at, row.time_zone) - clock.EPOCH.date()).days
    code = ids.show("tbt", row.batch_id) if row.batch_id else ids.show("tok", row.token_id)
    place = ids.show("plc", row.place_id) if row.place_id else ""
    values = (code, place, row.channel or "", row.medium, row.device, row.language, row.country or "")
    return Facts(row.campaign_id, row.phase, milliseconds_of(row.id) // HOUR_MS, day, values)


def _scan_facts() -> Any:
    return (
        columns(
            *(col(getattr(Scan, name)) for name in ("id", "campaign_id", "token_id", "place_id", "phase", "verdict")),
            *(col(getattr(Scan, name)) for name in ("visitor_key", "device", "language", "country")),
            # The serials of a mass-printed batch are one: each is scanned once or twice.
            case((col(Token.kind) == Kind.SERIAL, col(Token.batch_id))).label("batch_id"),
            col(Token.channel),
            col(Token.medium),
            func.coalesce(col(Place.time_zone), col(Campaign.time_zone)).label("time_zone"),
        )
        .join(Token, col(Token.id) == col(Scan.token_id))
        .join(Campaign, col(Campaign.id) == col(Scan.campaign_id))
        .outerjoin(Place, col(Place.id) == col(Scan.place_id))
        .where(col(Scan.phase) != "draft", col(Scan.verdict) != Verdict.ORPHAN.value)
    )


_FACTS = _scan_facts()


def _alone(facts: Facts) -> Iterator[tuple[str, str]]:
    yield ALL, ""
    yield from zip(DIMENSIONS, facts.values, strict=True)


def _rows_of(sums: Sums, cells: Cells, facts: Facts) -> Iterator[list[int]]:
    """The rows that a scan is counted in."""
    for dimension, value in _alone(facts):
        yield sums[facts.campaign_id, dimension, "hour", facts.phase, facts.hour, value, ""]
        yield sums[facts.campaign_id, dimension, "day", facts.phase, facts.day, value, ""]
    yield cells[facts.campaign_id, facts.phase, facts.day, *facts.values]


# Visitors --------------------------------------------------------------------------------------------------------


def estimate(smallest: Sequence[int]) -> int:
    """How many distinct keys there were, from the smallest up to 4,096 of them in rising order."""
    return len(smallest) if len(smallest) < VISITOR_SAMPLE else _estimate(smallest[-1])


def _estimate(ceiling: int) -> int:
    return round((VISITOR_SAMPLE - 1) / (ceiling / _SAMPLE_SPACE))


def _add_visitors(session: Session, visitors: Visitors, sums: Sums) -> None:
    """Keep the smallest keys of each group and day, and count what it has more of now."""
    most: Counter[tuple[UUID, int]] = Counter()
    for (campaign_id, _, day, _), keys in visitors.items():
        most[campaign_id, day] = max(most[campaign_id, day], len(keys))
    crowded = {key: number for pair, new in most.items() for key, number in _crowded(session, *pair, new)}
    for group in sorted(visitors):
        campaign_id, dimension, day, value = group
        more = add(session, "visitors", {(*group, key): [] for key in visitors[group]})
        if more and group in crowded:
            more = _cut(session, dict(zip(VISITOR_KEY, group, strict=True)), crowded[group], more)
        sums[campaign_id, dimension, "day", "live", day, value, ""][_AT["visitors"]] += more


def _crowded(session: Session, campaign_id: UUID, day: int, new: int) -> Iterator[tuple[tuple[Any, ...], int]]:
    """Which groups of a day may have more keys than are kept, with so many new ones; and their visitors until now."""
    rows = session.execute(
        columns(col(ScanRollup.dimension), col(ScanRollup.value), col(ScanRollup.visitors)).where(
            col(ScanRollup.campaign_id) == campaign_id,
            col(ScanRollup.dimension).in_(WITH_VISITORS),
            col(ScanRollup.span) == "day",
            col(ScanRollup.phase) == "live",
            col(ScanRollup.period) == day,
            col(ScanRollup.visitors) >= VISITOR_SAMPLE - new,
        )
    )
    for dimension, value, visitors in rows:
        yield (campaign_id, dimension, day, value), visitors


def _cut(session: Session, group: dict[str, Any], before: int, fresh: int) -> int:
    """Drop what a group has beyond the smallest keys; how many visitors more it has."""
    mine = [col(getattr(RollupVisitor, name)) == one for name, one in group.items()]
    key = col(RollupVisitor.visitor_key)
    ceiling = session.execute(columns(key).where(*mine).order_by(key).offset(VISITOR_SAMPLE - 1).limit(1)).scalar()
    if ceiling is None:
        return fresh
    session.execute(delete(RollupVisitor).where(*mine, key > ceiling).execution_options(synchronize_session=False))
    return _estimate(ceiling) - before
