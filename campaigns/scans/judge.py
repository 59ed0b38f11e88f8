"""The judge: the second look at confirmed scans, with what the request alone could not tell.

Runs in the worker, one at a time. It counts confirmations, finds duplicates, far positions and what only shows among
others; each changed verdict becomes an append-only row, with the counters' difference in the same transaction.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import insert, update
from sqlmodel import Session, col, select

from campaigns import ids
from campaigns.scans.evidence import CHUNK, Evidence
from campaigns.scans.facts import Known
from campaigns.scans.models import Scan, ScanConfirmation, ScanCounter, ScanJudgement
from campaigns.scans.rollups import Change, Rollups, difference
from campaigns.scans.signals import HOUR_MS, milliseconds_of
from campaigns.scans.verdict import Judgement, settle
from campaigns.storage import add_up_all

JUDGE = 0  # the writer number of the judge's counter rows
_COUNTER_KEY = ("token_id", "hour", "phase", "verdict", "writer")
Moves = Counter[tuple[UUID, int, str, str, str]]  # token, hour, phase, verdict, column


@dataclass(frozen=True)
class Rulings:
    """What the judge found: the counters' difference, the verdicts that changed, the confirmations now counted."""

    moves: Moves
    judgements: list[dict[str, Any]]
    fresh: list[UUID]
    rollups: Rollups

    def write(self, session: Session) -> None:
        """All of it; the same transaction forgets the events it answers."""
        count(session, self.moves)
        self.rollups.write(session)
        if self.judgements:
            session.execute(insert(ScanJudgement), self.judgements)
        for start in range(0, len(self.fresh), CHUNK):
            session.execute(
                update(ScanConfirmation)
                .where(col(ScanConfirmation.scan_id).in_(self.fresh[start : start + CHUNK]))
                .values(is_judged=True)
                .execution_options(synchronize_session=False)  # comparing loaded rows costs more than the judging
            )


def judge(session: Session, scan_ids: Iterable[UUID], *, now: datetime) -> Rulings:
    """Judge these confirmed scans and whatever their verdict changes around them. Reads only."""
    wanted = set(scan_ids)
    evidence = Evidence(session)
    touched = evidence.around(wanted)
    # A confirmation nobody has judged yet is a fact already, but its own event is still to come.
    due = sorted(id for id in touched if id in wanted or evidence.confirmed[id].is_judged)
    changes: list[Change] = []
    judgements = []
    for one, judgement in evidence.judged(due):
        newly = not one.confirmation.is_judged
        if judgement.verdict != one.verdict:
            changes.append(Change(one.scan.id, one.verdict, -1, 0 if newly else -1))
            changes.append(Change(one.scan.id, judgement.verdict.value, 1, 1))
            judgements.append(_written(one, judgement, now=now))
        elif newly:
            changes.append(Change(one.scan.id, one.verdict, 0, 1))
    moves = moved(changes, {id: (known.scan.token_id, known.scan.phase) for id, known in evidence.known.items()})
    fresh = [id for id in due if not evidence.confirmed[id].is_judged]
    return Rulings(moves, judgements, fresh, difference(session, changes))


def rejudge(session: Session, *, waiting: Collection[UUID] = ()) -> Iterator[str]:
    """Each scan whose verdict is not what the rules say of the log, in words. Reads only.

    The same two functions the log was judged with, under the rules of each scan's version; scans that wait for the
    judge, and those around them, are left out.
    """
    yield from _first_verdicts(session)
    unsettled = Evidence(session).around(waiting)
    after = ids.NIL
    while True:
        chunk = session.exec(
            select(ScanConfirmation.scan_id)
            .where(ScanConfirmation.scan_id > after)
            .order_by(col(ScanConfirmation.scan_id))
            .limit(CHUNK)
        ).all()
        if not chunk:
            return
        after = chunk[-1]
        evidence = Evidence(session)
        found = evidence.around(chunk) & set(chunk) - unsettled
        for one, judgement in evidence.judged(sorted(found)):
            if one.confirmation.is_judged and judgement.verdict != one.verdict:
                yield (
                    f"scan {ids.show('scn', one.scan.id)} is {one.verdict} and should be {judgement.verdict} "
                    f"({judgement.reasons_text or 'no reason'}; score {judgement.score})"
                )


def _first_verdicts(session: Session) -> Iterator[str]:
    """The first verdict follows from the reasons written with the scan: what the request was is not kept."""
    query = select(Scan.id, Scan.phase, Scan.verdict, Scan.reasons).order_by(col(Scan.id))
    for id, phase, verdict, reasons in session.execute(query.execution_options(yield_per=5000)):
        judgement = settle([reason for reason in reasons.split(",") if reason], is_test=phase == "draft")
        if judgement.verdict != verdict:
            yield f"scan {ids.show('scn', id)} was written as {verdict} and should be {judgement.verdict}"


def _written(one: Known, judgement: Judgement, *, now: datetime) -> dict[str, Any]:
    return {
        "id": id_after(one.standing.id if one.standing else None, now),
        "scan_id": one.scan.id,
        "rules_version": one.scan.rules_version,
        "verdict": judgement.verdict.value,
        "score": judgement.score,
        "reasons": judgement.reasons_text,
        "decided_at": now,
        "decided_by": "judge",
    }


def id_after(standing: UUID | None, now: datetime) -> UUID:
    """An id for a judgement that stands from now on: the newest stands, within a millisecond too."""
    id = ids.uuid7_at(now)
    return id if standing is None else max(id, UUID(int=standing.int + 1))


def moved(changes: Iterable[Change], codes: Mapping[UUID, tuple[UUID | None, str]]) -> Moves:
    """The same changes for the counters, with the code and the phase of each scan."""
    moves: Moves = Counter()
    for one in changes:
        token_id, phase = codes[one.scan_id]
        key = (token_id or ids.NIL, milliseconds_of(one.scan_id) // HOUR_MS, phase, one.verdict)
        moves[*key, "scans"] += one.scans
        moves[*key, "confirmed"] += one.confirmed
    return moves


def count(session: Session, moves: Moves) -> None:
    """The counters' difference, in one order for every process."""
    rows: dict[tuple[UUID, int, str, str], dict[str, Any]] = {}
    for (token_id, hour, phase, verdict, column), number in moves.items():
        key = {"token_id": token_id, "hour": hour, "phase": phase, "verdict": verdict, "writer": JUDGE}
        rows.setdefault((token_id, hour, phase, verdict), {**key, "scans": 0, "confirmed": 0})[column] += number
    add_up_all(session, ScanCounter, _COUNTER_KEY, [rows[key] for key in sorted(rows)])
