"""Recounting the log: every counter and visitor row against the scans themselves (I22)."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime
from heapq import nsmallest
from uuid import UUID

from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from campaigns import ids
from campaigns.scans.firsts import recount_ways
from campaigns.scans.log import VISITOR_SAMPLE
from campaigns.scans.log_start import whole_from
from campaigns.scans.marks import recount_marks
from campaigns.scans.models import (
    CheckIn,
    Scan,
    ScanConfirmation,
    ScanCounter,
    ScanJudgement,
    ScanVisitor,
    Visit,
)
from campaigns.scans.rollup_recount import recount_rollups

_Key = tuple[UUID, int, str, str]  # token, hour, phase, verdict
_SHOWN = 5  # differences spelled out of each kind


def recount(session: Session) -> list[str]:
    """What does not add up, in words; an empty list when all does. Reads one snapshot.

    What is older than the log is whole is left out: those scans reached their term, or their month was detached.
    """
    since = whole_from(session)
    first = ids.first_of(since)
    verdicts: dict[UUID, str] = {}
    for scan_id, verdict in session.execute(
        select(col(ScanJudgement.scan_id), col(ScanJudgement.verdict))
        .where(col(ScanJudgement.scan_id) >= first)
        .order_by(col(ScanJudgement.id))
    ):
        verdicts[scan_id] = verdict
    judged = select(ScanConfirmation.scan_id).where(col(ScanConfirmation.is_judged), ScanConfirmation.scan_id >= first)
    confirmed = set(session.exec(judged).all())
    scans: Counter[_Key] = Counter()
    proven: Counter[_Key] = Counter()
    keys: dict[tuple[UUID, int], set[int]] = defaultdict(set)
    known: set[UUID] = set()
    for id, token_id, phase, was, visitor_key in _scans(session, first):
        at_ms = id.int >> 80
        key = (token_id or ids.NIL, at_ms // 3_600_000, phase, verdicts.get(id, was))
        scans[key] += 1
        if id in confirmed:
            proven[key] += 1
            known.add(id)
        if token_id is not None and phase == "live" and was != "bot":
            keys[(token_id, at_ms // 86_400_000)].add(visitor_key)
    return [
        *_counter_problems(session, scans, proven, since),
        *_visitor_problems(session, keys, since),
        *_act_problems(session, confirmed - known, since),
        *recount_ways(session),
        *recount_marks(session),
        *recount_rollups(session),
    ]


def _scans(session: Session, first: UUID) -> Iterator[tuple[UUID, UUID | None, str, str, int]]:
    rows = session.execute(
        columns(col(Scan.id), col(Scan.token_id), col(Scan.phase), col(Scan.verdict), col(Scan.visitor_key))
        .where(col(Scan.id) >= first)
        .execution_options(yield_per=5000)
    )
    yield from rows.all()


def _counter_problems(session: Session, scans: Counter[_Key], proven: Counter[_Key], since: datetime) -> Iterator[str]:
    stored_scans: Counter[_Key] = Counter()
    stored_proven: Counter[_Key] = Counter()
    for row in session.exec(select(ScanCounter).where(ScanCounter.hour >= since.timestamp() // 3600)):
        key = (row.token_id, row.hour, row.phase, row.verdict)
        stored_scans[key] += row.scans
        stored_proven[key] += row.confirmed
    for name, stored, counted in (("scans", stored_scans, scans), ("confirmed", stored_proven, proven)):
        wrong = [key for key in stored.keys() | counted.keys() if stored[key] != counted[key]]
        for key in wrong[:_SHOWN]:
            yield (
                f"counter {name} of token {ids.show('tok', key[0])}, hour {key[1]}, {key[2]}, {key[3]}: "
                f"{stored[key]} stored, {counted[key]} in the log"
            )
        if len(wrong) > _SHOWN:
            yield f"counter {name}: {len(wrong) - _SHOWN} more rows differ"


def _visitor_problems(session: Session, keys: dict[tuple[UUID, int], set[int]], since: datetime) -> Iterator[str]:
    stored: dict[tuple[UUID, int], set[int]] = defaultdict(set)
    for row in session.exec(select(ScanVisitor).where(ScanVisitor.day >= since.timestamp() // 86_400)):
        stored[(row.token_id, row.day)].add(row.visitor_key)
    for pair in keys.keys() | stored.keys():
        if nsmallest(VISITOR_SAMPLE, stored[pair]) != nsmallest(VISITOR_SAMPLE, keys[pair]):
            yield f"visitors of token {ids.show('tok', pair[0])} on day {pair[1]} differ from the log"


def _act_problems(session: Session, lost: set[UUID], since: datetime) -> Iterator[str]:
    first = ids.first_of(since)
    for id in [id for id in lost if id >= first][:_SHOWN]:
        yield f"scan {ids.show('scn', id)} was confirmed but is not in the log"
    missing = session.exec(
        select(CheckIn.scan_id).where(
            CheckIn.scan_id >= first,
            ~col(CheckIn.by_staff),
            ~select(Scan.id).where(Scan.id == CheckIn.scan_id).exists(),
        )
    ).all()
    for id in missing[:_SHOWN]:
        yield f"scan {ids.show('scn', id)} was checked in on but is not in the log"
    visits = set(session.exec(select(Visit.check_in_id)).all())
    counted = set(session.exec(select(CheckIn.id).where(col(CheckIn.counted))).all())
    for id in list(visits ^ counted)[:_SHOWN]:
        yield f"check-in {ids.show('chk', id)} and its counted visit disagree"
