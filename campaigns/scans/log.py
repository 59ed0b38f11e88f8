"""The scan log's writer: a whole batch in one transaction, on disk before anybody is answered.

Three kinds of entries go through it: scans, confirmations and positions. In the same transaction go one counter row
a scan's key (token, hour, phase, verdict, writer), the visitor's key and one outbox event a batch. On SQLite it uses
only `execute` and `executemany` of the connection handed to it; `postgres_log` does the same for PostgreSQL.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from campaigns import ids
from campaigns.scans.verdict import STRONG, Judgement, Reason, Verdict, settle
from campaigns.write_lock import WriteLock

VISITOR_SAMPLE = 4096  # smallest keys kept of a token and day; the error above is 1 / sqrt(4096) = 1.6 %
NO_TOKEN = "0" * 32
RELOAD = timedelta(minutes=10)  # within which the browser that tapped may open the same address again
MIRROR_JUMP = 1_000  # counts that an unsigned counter may leap: more visits than a tag has unseen in a day
STORED_LIMIT = 50_000  # visitors remembered as stored: some 10 MB


class ScanRow(NamedTuple):
    """A scan as it is stored. Ids are 32 hexadecimal digits; `id` is a UUIDv7."""

    id: str
    campaign_id: str | None
    token_id: str | None
    place_id: str | None
    code: str | None
    visitor_key: int
    phase: str
    verdict: str
    score: int
    reasons: str
    rules_version: int
    device: str
    language: str
    country: str | None = None
    city: str | None = None
    objected: bool = False


class TappedScan(NamedTuple):
    """A scan whose NFC tag counted it: storing it spends the counter. `uid` is None when the tag hides it.

    `presence` is what an unused counter proves: 2 when the tag signed it, 1 when anybody could have written it.
    """

    row: ScanRow
    counter: int
    uid: str | None
    presence: int = STRONG


class Spent(NamedTuple):
    """What became of a tap: the scan to give a receipt of, and the presence it proves.

    A reload by the browser that tapped gets the receipt of its tap (`scan_id`); who else comes with a signed counter
    that was spent gets a `judgement` of its own.
    """

    scan_id: str
    presence: int
    judgement: Judgement | None = None


class Confirmation(NamedTuple):
    """A browser showed the page of a scan. The result is whether this was the first to say so."""

    scan_id: str
    token_id: str
    visitor_key: int
    at: datetime


@dataclass(frozen=True, slots=True)
class PositionFix:
    """A position for a scan. The result is the better of its fixes, or None when two were given before."""

    confirmation: Confirmation
    geofence: str
    distance_m: int | None
    accuracy_m: int
    sealed: bytes
    point: int | None = None
    cell: str | None = None


@dataclass(frozen=True, slots=True)
class BestFix:
    """The fix with the smaller error circle."""

    geofence: str
    distance_m: int | None
    accuracy_m: int


Entry = ScanRow | TappedScan | Confirmation | PositionFix
Result = bool | BestFix | Spent | None


class Writer(Protocol):
    """Writes a batch in one transaction and returns one result an entry, in order."""

    def write(self, batch: Sequence[Entry]) -> list[Result]: ...

    def close(self) -> None: ...


class Tally:
    """What a batch adds up to: counter rows, visitor keys, and the keys no longer worth storing."""

    def __init__(self, writer: int) -> None:
        self.writer = writer
        self._ceiling: dict[tuple[str, int], int] = {}
        self._offered: dict[tuple[str, int], int] = {}
        self._stored: set[tuple[str | None, int, int]] = set()

    def counters(self, scans: Sequence[ScanRow]) -> list[tuple[Any, ...]]:
        """(token, hour, phase, verdict, writer, scans), sorted so that two processes lock in one order."""
        sums = Counter(
            (row.token_id or NO_TOKEN, int(row.id[:12], 16) // 3_600_000, row.phase, row.verdict) for row in scans
        )
        return [(*key, self.writer, number) for key, number in sorted(sums.items())]

    def visitors(self, scans: Sequence[ScanRow]) -> list[tuple[str, int, int]]:
        """(token, day, visitor key) of people's live scans that may be among the smallest keys, sorted."""
        seen = {
            (row.token_id, int(row.id[:12], 16) // 86_400_000, row.visitor_key)
            for row in scans
            if row.token_id is not None and row.phase == "live" and row.verdict != "bot"
        }
        seen -= self._stored
        return sorted(one for one in seen if one[2] <= self._ceiling.get(one[:2], 1 << 63))

    def keep(self, visitors: Sequence[tuple[str, int, int]]) -> None:
        """After a commit: these visitors are stored, and need not be offered again."""
        self._stored.update(visitors)
        if len(self._stored) > STORED_LIMIT:
            self._stored.clear()

    def crowded(self, visitors: Sequence[tuple[str, int, int]]) -> list[tuple[str, int]]:
        """The (token, day) pairs whose sample may have outgrown its size since it was last cut."""
        grown = []
        for token_id, day, _ in visitors:
            pair = (token_id, day)
            offered = self._offered.get(pair, 0) + 1
            if offered == VISITOR_SAMPLE:
                grown.append(pair)
                offered = 0
            self._offered[pair] = offered
        if len(self._offered) > 50_000:
            self._offered.clear()
            self._ceiling.clear()
        return grown

    def forget(self) -> None:
        """After a rollback: a ceiling seen among keys that were never stored would refuse keys that count."""
        self._offered.clear()
        self._ceiling.clear()

    def cut(self, pair: tuple[str, int], ceiling: int) -> None:
        """Remember the largest key worth storing for a token and day."""
        self._ceiling[pair] = ceiling


class Split(NamedTuple):
    """A batch by kinds, each entry with its number in the batch where its result matters."""

    scans: list[ScanRow]
    signed: list[tuple[int, TappedScan]]
    others: list[tuple[int, Confirmation | PositionFix]]


def split(batch: Sequence[Entry]) -> Split:
    found = Split([], [], [])
    for index, entry in enumerate(batch):
        if isinstance(entry, ScanRow):
            found.scans.append(entry)
        elif isinstance(entry, TappedScan):
            found.signed.append((index, entry))
        else:
            found.others.append((index, entry))
    # So that two processes lock tags in one order; of one counter's taps the first that came is the first.
    found.signed.sort(key=lambda one: (one[1].row.token_id, one[1].counter, one[0]))
    return found


COLUMNS = ", ".join(ScanRow._fields)
# Rows a statement at most. Every call gives the interpreter away and takes it back, `executemany` for each row, and the
# event loop, busy with the next batch, lets each of them wait: so each kind of row is one call a batch, seldom two.
_ROWS = 64
_SCANS = f"INSERT INTO scans ({COLUMNS}) VALUES "  # noqa: S608  # names of our own columns
_COUNTS = "INSERT INTO scan_counters (token_id, hour, phase, verdict, writer, scans, confirmed) VALUES "
_ADDED = (
    " ON CONFLICT (token_id, hour, phase, verdict, writer) DO UPDATE SET scans = scan_counters.scans + excluded.scans"
)
_VISITORS = "INSERT INTO scan_visitors (token_id, day, visitor_key) VALUES "
_CONFIRMATIONS = "INSERT INTO scan_confirmations (scan_id, token_id, visitor_key, confirmed_at, is_judged) VALUES "
_CEILING = (
    "SELECT visitor_key FROM scan_visitors WHERE token_id = {0} AND day = {0} ORDER BY visitor_key LIMIT 1 OFFSET {1}"
)
_CUT = "DELETE FROM scan_visitors WHERE token_id = {0} AND day = {0} AND visitor_key > {0}"
_CONFIRM = (
    "INSERT INTO scan_confirmations (scan_id, token_id, visitor_key, confirmed_at, is_judged) "
    "VALUES ({0}, {0}, {0}, {0}, false) "
    "ON CONFLICT DO NOTHING RETURNING 1"
)
_FIXES = "SELECT accuracy_m, geofence, distance_m FROM scan_positions WHERE scan_id = {0} ORDER BY accuracy_m"
_FIX = (
    "INSERT INTO scan_positions "
    "(scan_id, slot, geofence, distance_m, cell, accuracy_m, located_at, sealed, point, token_id, visitor_key) "
    "VALUES ({0}, {0}, {0}, {0}, {0}, {0}, {0}, {0}, {0}, {0}, {0})"
)
# The first UID that a tag says stays its own: another tag with the same keys spends nothing.
_SPEND = (
    "UPDATE sun_tags SET last_counter = {0}, uid = coalesce(uid, CAST({0} AS text)) WHERE token_id = {0} "
    "AND last_counter < {0} AND (uid IS NULL OR uid = coalesce(CAST({0} AS text), uid)) RETURNING 1"
)
# An unsigned counter is anybody's to invent: one far ahead must not shut the honest ones out.
_SPEND_MIRROR = (
    "INSERT INTO mirror_counters (token_id, uid, last_counter) VALUES ({0}, {0}, {0}) "
    "ON CONFLICT (token_id, uid) DO UPDATE SET last_counter = excluded.last_counter WHERE excluded.last_counter "
    "BETWEEN mirror_counters.last_counter + 1 AND mirror_counters.last_counter + {1} RETURNING 1"
)
# Written over when the tag of a token was replaced: the new one counts from its own beginning.
_TAP = (
    "INSERT INTO spent_taps (token_id, counter, scan_id, visitor_key, tapped_at) VALUES ({0}, {0}, {0}, {0}, {0}) "
    "ON CONFLICT (token_id, counter) DO UPDATE "
    "SET scan_id = excluded.scan_id, visitor_key = excluded.visitor_key, tapped_at = excluded.tapped_at"
)
_TAPPED = "SELECT scan_id, visitor_key FROM spent_taps WHERE token_id = {0} AND counter = {0}"
_EVENT = "INSERT INTO events (id, name, payload, recorded_at, attempts) VALUES ({0}, {0}, {0}, {0}, 0)"


class Statements:
    """The same statements with the placeholder of a driver."""

    def __init__(self, mark: str) -> None:
        self.ceiling = _CEILING.format(mark, VISITOR_SAMPLE - 1)
        self.cut, self.confirm, self.fixes = (s.format(mark) for s in (_CUT, _CONFIRM, _FIXES))
        self.fix, self.event = _FIX.format(mark), _EVENT.format(mark)
        self.spend, self.spend_mirror = _SPEND.format(mark), _SPEND_MIRROR.format(mark, MIRROR_JUMP)
        self.tap, self.tapped = _TAP.format(mark), _TAPPED.format(mark)


class InBatch:
    """One batch inside its transaction. `execute` is the driver's; `instant` turns a time into what it stores."""

    def __init__(self, connection: Any, statements: Statements, instant: Callable[[datetime], Any]) -> None:
        self.connection = connection
        self.sql = statements
        self.instant = instant
        self.confirmed: list[str] = []
        self.located: list[str] = []

    def spend(self, signed: Sequence[tuple[int, TappedScan]], results: list[Result]) -> list[ScanRow]:
        """Spend the counters of taps; the rows to store, judged by what became of each."""
        rows = []
        for index, one in signed:
            results[index], row = self._spend(one)
            rows.append(row)
        return rows

    def _spend(self, one: TappedScan) -> tuple[Spent, ScanRow]:
        row = one.row
        if self._advance(one):
            at = self.instant(ids.instant_of(UUID(row.id)))
            self.connection.execute(self.sql.tap, (row.token_id, one.counter, row.id, row.visitor_key, at))
            return Spent(row.id, one.presence), row
        found = self.connection.execute(self.sql.tapped, (row.token_id, one.counter)).fetchone()
        first = UUID(str(found[0])) if found is not None else None
        if first is None or found[1] != row.visitor_key or _age(row, first) > RELOAD:
            if one.presence < STRONG:  # a counter that nobody signed: its address was sent on, which anyone may do
                return Spent(row.id, 0), row
            judgement, row = _judged_again(row, Reason.REPLAYED_COUNTER)
            return Spent(row.id, 0, judgement), row
        # Or it is this scan itself, after a commit that nobody heard of: its row is there and stays as it is.
        return Spent(first.hex, one.presence), _judged_again(row, Reason.REPLAYED_RECEIPT)[1]

    def _advance(self, one: TappedScan) -> bool:
        """Whether the counter was unused."""
        if one.presence < STRONG:
            spend = self.connection.execute(self.sql.spend_mirror, (one.row.token_id, one.uid, one.counter))
        else:
            values = (one.counter, one.uid, one.row.token_id, one.counter, one.uid)
            spend = self.connection.execute(self.sql.spend, values)
        return spend.fetchone() is not None

    def confirm(self, one: Confirmation) -> bool:
        values = (one.scan_id, one.token_id, one.visitor_key, self.instant(one.at))
        is_new = self.connection.execute(self.sql.confirm, values).fetchone() is not None
        if is_new:
            self.confirmed.append(one.scan_id)
        return is_new

    def locate(self, fix: PositionFix) -> BestFix | None:
        one = fix.confirmation
        self.confirm(one)
        given = self.connection.execute(self.sql.fixes, (one.scan_id,)).fetchall()
        if len(given) >= 2:
            return None
        slot = len(given) + 1
        values = (fix.geofence, fix.distance_m, fix.cell, fix.accuracy_m, self.instant(one.at), fix.sealed, fix.point)
        self.connection.execute(self.sql.fix, (one.scan_id, slot, *values, one.token_id, one.visitor_key))
        self.located.append(one.scan_id)
        accuracy, geofence, distance = min([*given, (fix.accuracy_m, fix.geofence, fix.distance_m)], key=lambda f: f[0])
        return BestFix(geofence, distance, accuracy)

    def cut_visitors(self, tally: Tally, visitors: Sequence[tuple[str, int, int]]) -> None:
        for pair in tally.crowded(visitors):
            row = self.connection.execute(self.sql.ceiling, pair).fetchone()
            if row is not None:
                tally.cut(pair, row[0])
                self.connection.execute(self.sql.cut, (*pair, row[0]))

    def finish(self, scans: Sequence[ScanRow], now: datetime) -> None:
        """One event of each kind for the whole batch."""
        self.event("scans.recorded", [row.id for row in scans], now)
        self.event("scans.confirmed", self.confirmed, now)
        self.event("scans.located", self.located, now)

    def event(self, name: str, scan_ids: list[str], now: datetime) -> None:
        if scan_ids:
            payload = json.dumps({"scan_ids": scan_ids})
            id = f"{ids.uuid7_int(ids.milliseconds(now)):032x}"
            self.connection.execute(self.sql.event, (id, name, payload, self.instant(now)))


def _age(row: ScanRow, first: UUID) -> timedelta:
    return ids.instant_of(UUID(row.id)) - ids.instant_of(first)


def _judged_again(row: ScanRow, reason: Reason) -> tuple[Judgement, ScanRow]:
    reasons = [one for one in row.reasons.split(",") if one]
    judgement = settle([*reasons, reason], is_test=row.verdict == Verdict.TEST)
    return judgement, row._replace(
        verdict=judgement.verdict.value, score=judgement.score, reasons=judgement.reasons_text
    )


class SqliteWriter:
    """Writes batches to a SQLite connection, in its turn on the write lock and always next."""

    _sql = Statements("?")

    def __init__(self, connection: Any, lock: WriteLock, number: int, clock: Callable[[], datetime]) -> None:
        self._connection = connection
        self._lock = lock
        self._clock = clock
        self._tally = Tally(number)

    def write(self, batch: Sequence[Entry]) -> list[Result]:
        self._lock.acquire(urgent=True)
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                results, visitors = self._write(batch)
                self._connection.execute("COMMIT")
            except BaseException:
                self._tally.forget()
                with suppress(Exception):  # SQLite rolls back by itself on a full disk
                    self._connection.execute("ROLLBACK")
                raise
        finally:
            self._lock.release()
        self._tally.keep(visitors)
        return results

    def close(self) -> None:
        self._connection.close()

    def _write(self, batch: Sequence[Entry]) -> tuple[list[Result], list[tuple[str, int, int]]]:
        scans, signed, others = split(batch)
        results: list[Result] = [None] * len(batch)
        now = self._clock()
        inside = InBatch(self._connection, self._sql, _sqlite_instant)
        scans += inside.spend(signed, results)
        visitors = self._tally.visitors(scans)
        if scans:
            self._insert(_SCANS, scans)
            self._insert(_COUNTS, [(*counter, 0) for counter in self._tally.counters(scans)], _ADDED)
            self._insert(_VISITORS, visitors, " ON CONFLICT DO NOTHING")
            inside.cut_visitors(self._tally, visitors)
        self._confirm(others, results, inside)
        for index, entry in others:
            if isinstance(entry, PositionFix):
                results[index] = inside.locate(entry)
        inside.finish(scans, now)
        return results, visitors

    def _confirm(
        self, others: Sequence[tuple[int, Confirmation | PositionFix]], results: list[Result], inside: InBatch
    ) -> None:
        """Store the batch's confirmations; of two of one scan the first is the first."""
        asked = [(index, one) for index, one in others if isinstance(one, Confirmation)]
        rows = [(one.scan_id, one.token_id, one.visitor_key, _sqlite_instant(one.at), 0) for _, one in asked]
        first = [row[0] for row in self._insert(_CONFIRMATIONS, rows, " ON CONFLICT DO NOTHING RETURNING scan_id")]
        inside.confirmed += first
        left = set(first)
        for index, one in asked:
            results[index] = one.scan_id in left
            left.discard(one.scan_id)

    def _insert(self, head: str, rows: Sequence[tuple[Any, ...]], tail: str = "") -> list[Any]:
        """Insert rows, some dozens a statement; what it returns."""
        found = []
        for start in range(0, len(rows), _ROWS):
            some = rows[start : start + _ROWS]
            cursor = self._connection.execute(_insertion(head, len(some[0]), tail, len(some)), list(chain(*some)))
            found += cursor.fetchall()
        return found


@lru_cache(4 * _ROWS)
def _insertion(head: str, width: int, tail: str, number: int) -> str:
    marks = f"({', '.join('?' * width)})"
    return f"{head}{', '.join([marks] * number)}{tail}"


def _sqlite_instant(instant: datetime) -> str:
    return instant.isoformat(" ", "microseconds")[:26]  # as SQLAlchemy stores it, without the zone
