"""The judge: the second look at confirmed scans, with what the request alone could not tell.

Runs in the worker, one at a time. It counts confirmations, finds duplicates and far positions, and writes each
changed verdict as an append-only row with the counters' difference in the same transaction.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import tuple_, update
from sqlmodel import Session, SQLModel, col, select

from campaigns import ids
from campaigns.places import Place
from campaigns.scans.models import CheckIn, Scan, ScanConfirmation, ScanCounter, ScanJudgement, ScanPosition
from campaigns.scans.receipt import PRESENCE_LIFE
from campaigns.scans.service import located, standing_judgements
from campaigns.scans.verdict import RULES_VERSION, Judgement, Seen, Verdict, duplicates, judge_further
from campaigns.storage import add_up_all

JUDGE = 0  # the writer number of the judge's counter rows
_CHUNK = 400  # values of one IN list
_COUNTER_KEY = ("token_id", "hour", "phase", "verdict", "writer")
RowOf = TypeVar("RowOf", bound=SQLModel)
_VISITABLE = (Verdict.VALID, Verdict.PROVISIONAL, Verdict.HELD)


@dataclass(slots=True)
class Known:
    """All that the rules ask of one confirmed scan."""

    scan: Scan
    confirmation: ScanConfirmation
    check_in: CheckIn | None
    best: ScanPosition | None
    place: Place | None
    standing: ScanJudgement | None

    @property
    def verdict(self) -> str:
        return self.standing.verdict if self.standing else self.scan.verdict

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
    wanted = {
        one.scan_id: one for one in _in_chunks(session, ScanConfirmation, col(ScanConfirmation.scan_id), set(scan_ids))
    }
    known = _around(session, list(wanted.values()))
    visits: dict[tuple[UUID, int, int], list[Known]] = defaultdict(list)
    for one in known:
        visits[_day_of(one.confirmation)].append(one)
    moves: Counter[tuple[UUID, int, str, str, str]] = Counter()
    changed = sum(_judge_visit(session, visit, wanted.keys(), moves, now=now) for visit in visits.values())
    _count(session, moves)
    fresh = [id for id, confirmation in wanted.items() if not confirmation.is_judged]
    for start in range(0, len(fresh), _CHUNK):
        session.execute(
            update(ScanConfirmation)
            .where(col(ScanConfirmation.scan_id).in_(fresh[start : start + _CHUNK]))
            .values(is_judged=True)
            .execution_options(synchronize_session=False)  # comparing every loaded row costs more than the judging
        )
    return changed


def _around(session: Session, wanted: Sequence[ScanConfirmation]) -> list[Known]:
    """The confirmed scans of the same visits' days as the wanted ones: the judged, and these.

    The whole day, which is as long as a key lives: whether a scan counts depends on those before it, back to a
    quiet hour, so a narrower window would judge by where it happens to begin.
    """
    asked = {one.scan_id for one in wanted}
    days = {_day_of(one) for one in wanted}
    near: dict[UUID, ScanConfirmation] = {}
    pair = tuple_(col(ScanConfirmation.token_id), col(ScanConfirmation.visitor_key))
    for one in _in_chunks(session, ScanConfirmation, pair, {day[:2] for day in days}):
        if one.scan_id in asked or (one.is_judged and _day_of(one) in days):
            near[one.scan_id] = one
    return _known(session, near)


def _day_of(one: ScanConfirmation) -> tuple[UUID, int, int]:
    """Token, visitor key and UTC day: among these a further scan can be a duplicate."""
    return one.token_id, one.visitor_key, (one.scan_id.int >> 80) // 86_400_000


def _known(session: Session, near: dict[UUID, ScanConfirmation]) -> list[Known]:
    check_ins = {one.scan_id: one for one in _in_chunks(session, CheckIn, col(CheckIn.scan_id), near)}
    fixes: dict[UUID, ScanPosition] = {}
    for fix in _in_chunks(session, ScanPosition, col(ScanPosition.scan_id), near):
        kept = fixes.get(fix.scan_id)
        fixes[fix.scan_id] = fix if kept is None or (fix.accuracy_m, fix.slot) < (kept.accuracy_m, kept.slot) else kept
    standing = standing_judgements(session, list(near))
    return [
        Known(
            scan=scan,
            confirmation=near[scan.id],
            check_in=check_ins.get(scan.id),
            best=fixes.get(scan.id),
            place=session.get(Place, scan.place_id) if scan.place_id else None,
            standing=standing.get(scan.id),
        )
        for scan in _in_chunks(session, Scan, col(Scan.id), near)
    ]


def _judge_visit(
    session: Session,
    visit: list[Known],
    wanted: Collection[UUID],
    moves: "Counter[tuple[UUID, int, str, str, str]]",
    *,
    now: datetime,
) -> int:
    repeats = duplicates(
        [
            Seen(one.scan.id, one.scan.scanned_at, one.check_in.participant_id if one.check_in else None)
            for one in visit
            if one.judged(duplicate=False).verdict in _VISITABLE
        ]
    )
    changed = 0
    for one in visit:
        judgement = one.judged(duplicate=one.scan.id in repeats)
        newly = one.scan.id in wanted and not one.confirmation.is_judged
        key = (one.scan.token_id or ids.NIL, (one.scan.id.int >> 80) // 3_600_000, one.scan.phase)
        if judgement.verdict != one.verdict:
            changed += 1
            moves[(*key, one.verdict, "scans")] -= 1
            moves[(*key, one.verdict, "confirmed")] -= 0 if newly else 1
            moves[(*key, str(judgement.verdict), "scans")] += 1
            moves[(*key, str(judgement.verdict), "confirmed")] += 1
            _write_down(session, one, judgement, now=now)
        elif newly:
            moves[(*key, one.verdict, "confirmed")] += 1
    return changed


def _write_down(session: Session, one: Known, judgement: Judgement, *, now: datetime) -> None:
    id = ids.uuid7_at(now)
    if one.standing is not None:
        id = max(id, UUID(int=one.standing.id.int + 1))  # the newest stands, within a millisecond too
    session.add(
        ScanJudgement(
            id=id,
            scan_id=one.scan.id,
            rules_version=RULES_VERSION,
            verdict=judgement.verdict,
            score=judgement.score,
            reasons=judgement.reasons_text,
            decided_at=now,
            decided_by="judge",
        )
    )


def _count(session: Session, moves: "Counter[tuple[UUID, int, str, str, str]]") -> None:
    """The counters' difference, in one order for every process."""
    rows: dict[tuple[UUID, int, str, str], dict[str, Any]] = {}
    for (token_id, hour, phase, verdict, column), number in moves.items():
        key = {"token_id": token_id, "hour": hour, "phase": phase, "verdict": verdict, "writer": JUDGE}
        rows.setdefault((token_id, hour, phase, verdict), {**key, "scans": 0, "confirmed": 0})[column] += number
    add_up_all(session, ScanCounter, _COUNTER_KEY, [rows[key] for key in sorted(rows)])


def _in_chunks(session: Session, table: type[RowOf], column: Any, wanted: Iterable[Any]) -> Iterator[RowOf]:
    """The rows of a table whose column's value is among the wanted ones, a few hundred a query."""
    values = list(wanted)
    for start in range(0, len(values), _CHUNK):
        yield from session.exec(select(table).where(column.in_(values[start : start + _CHUNK]))).all()
