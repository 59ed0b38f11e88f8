"""The judge: the second look at confirmed scans, with what the request alone could not tell.

Runs in the worker, one at a time. It counts confirmations, finds duplicates and far positions, and writes each
changed verdict as an append-only row with the counters' difference in the same transaction.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import update
from sqlmodel import Session, col, select

from campaigns import ids
from campaigns.places import Place
from campaigns.scans.models import CheckIn, Scan, ScanConfirmation, ScanCounter, ScanJudgement, ScanPosition
from campaigns.scans.receipt import PRESENCE_LIFE
from campaigns.scans.service import located, standing_judgements
from campaigns.scans.verdict import RULES_VERSION, Judgement, Seen, Verdict, duplicates, judge_further
from campaigns.storage import add_up

JUDGE = 0  # the writer number of the judge's counter rows
_AROUND = timedelta(hours=2)  # further than any duplicate rule looks
_VISITABLE = (Verdict.VALID, Verdict.PROVISIONAL, Verdict.HELD)


@dataclass(slots=True)
class Known:
    """All that the rules ask of one confirmed scan."""

    scan: Scan
    confirmation: ScanConfirmation
    check_in: CheckIn | None
    best: ScanPosition | None
    place: Place | None
    verdict: str

    def judged(self, *, duplicate: bool) -> Judgement:
        late = self.check_in is not None and self.check_in.checked_in_at - self.scan.scanned_at > PRESENCE_LIFE
        presence = self.check_in.presence if self.check_in else 0
        return judge_further(
            [reason for reason in self.scan.reasons.split(",") if reason],
            is_test=self.scan.phase == "draft",
            located=located(self.best, self.place, presence=presence, acted=self.check_in is not None),
            late=late,
            duplicate=duplicate,
        )


def judge(session: Session, scan_ids: Iterable[UUID], *, now: datetime) -> int:
    """Judge these confirmed scans and whatever their verdict changes around them; how many verdicts changed."""
    wanted = list(dict.fromkeys(scan_ids))
    changed = 0
    visits: dict[tuple[UUID, int], list[UUID]] = defaultdict(list)
    for one in _in_chunks(session, ScanConfirmation, col(ScanConfirmation.scan_id), wanted):
        visits[(one.token_id, one.visitor_key)].append(one.scan_id)
    for (token_id, visitor_key), ids_of_visit in visits.items():
        chain = _chain(session, token_id, visitor_key, ids_of_visit)
        changed += _judge_chain(session, chain, set(ids_of_visit), now=now)
    return changed


def _chain(session: Session, token_id: UUID, visitor_key: int, wanted: Sequence[UUID]) -> list[Known]:
    """The confirmed scans of one visitor key and token around the wanted ones: the judged, and these."""
    since = ids.first_of(ids.instant_of(min(wanted)) - _AROUND)
    until = ids.first_of(ids.instant_of(max(wanted)) + _AROUND)
    confirmations = session.exec(
        select(ScanConfirmation).where(
            ScanConfirmation.token_id == token_id,
            ScanConfirmation.visitor_key == visitor_key,
            ScanConfirmation.scan_id >= since,
            ScanConfirmation.scan_id <= until,
        )
    ).all()
    near = {one.scan_id: one for one in confirmations if one.is_judged or one.scan_id in set(wanted)}
    scans = {scan.id: scan for scan in _in_chunks(session, Scan, col(Scan.id), list(near))}
    check_ins = {one.scan_id: one for one in _in_chunks(session, CheckIn, col(CheckIn.scan_id), list(near))}
    fixes: dict[UUID, ScanPosition] = {}
    for fix in _in_chunks(session, ScanPosition, col(ScanPosition.scan_id), list(near)):
        kept = fixes.get(fix.scan_id)
        if kept is None or fix.accuracy_m < kept.accuracy_m:
            fixes[fix.scan_id] = fix
    standing = standing_judgements(session, list(near))
    return [
        Known(
            scan=scan,
            confirmation=near[id],
            check_in=check_ins.get(id),
            best=fixes.get(id),
            place=session.get(Place, scan.place_id) if scan.place_id else None,
            verdict=standing[id].verdict if id in standing else scan.verdict,
        )
        for id, scan in scans.items()
    ]


def _judge_chain(session: Session, chain: list[Known], wanted: set[UUID], *, now: datetime) -> int:
    seen = [
        Seen(one.scan.id, one.scan.scanned_at, one.check_in.participant_id if one.check_in else None)
        for one in chain
        if one.judged(duplicate=False).verdict in _VISITABLE
    ]
    repeats = duplicates(seen)
    changed = 0
    for one in chain:
        judgement = one.judged(duplicate=one.scan.id in repeats)
        newly = one.scan.id in wanted and not one.confirmation.is_judged
        changed += _settle(session, one, judgement, newly=newly, now=now)
    fresh = [one.scan.id for one in chain if one.scan.id in wanted and not one.confirmation.is_judged]
    if fresh:
        session.execute(update(ScanConfirmation).where(col(ScanConfirmation.scan_id).in_(fresh)).values(is_judged=True))
    return changed


def _settle(session: Session, one: Known, judgement: Judgement, *, newly: bool, now: datetime) -> int:
    moved = judgement.verdict != one.verdict
    if moved:
        _count(session, one.scan, one.verdict, scans=-1, confirmed=0 if newly else -1)
        _count(session, one.scan, judgement.verdict, scans=1, confirmed=1)
        session.add(
            ScanJudgement(
                id=ids.uuid7_at(now),
                scan_id=one.scan.id,
                rules_version=RULES_VERSION,
                verdict=judgement.verdict,
                score=judgement.score,
                reasons=judgement.reasons_text,
                decided_at=now,
                decided_by="judge",
            )
        )
        session.flush()
    elif newly:
        _count(session, one.scan, one.verdict, scans=0, confirmed=1)
    return int(moved)


def _count(session: Session, scan: Scan, verdict: str, *, scans: int, confirmed: int) -> None:
    key = {
        "token_id": scan.token_id or ids.NIL,
        "hour": (scan.id.int >> 80) // 3_600_000,
        "phase": scan.phase,
        "verdict": str(verdict),
        "writer": JUDGE,
    }
    add_up(session, ScanCounter, key, scans=scans, confirmed=confirmed)


def _in_chunks(session: Session, table: type, column: object, wanted: Sequence[UUID]) -> Iterable:  # type: ignore[type-arg]  # rows of `table`
    for start in range(0, len(wanted), 500):
        yield from session.exec(select(table).where(column.in_(wanted[start : start + 500]))).all()  # type: ignore[attr-defined]  # a column
