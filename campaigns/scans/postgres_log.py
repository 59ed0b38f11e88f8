"""The scan log's writer on PostgreSQL: a batch is one prepared statement, its own transaction, one round trip.

Rows travel as one array a column and are unfolded by the server. COPY cannot share a round trip with anything else:
for the fifty rows of a usual batch it costs more time than the rows themselves.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cache, lru_cache
from typing import Any
from uuid import UUID

import psycopg

from campaigns import ids
from campaigns.scans import partitions
from campaigns.scans.log import (
    COLUMNS,
    BestFix,
    Confirmation,
    Entry,
    InBatch,
    PositionFix,
    Result,
    ScanRow,
    Statements,
    Tally,
    split,
)
from campaigns.storage import LIVENESS

_TYPES = (*["uuid"] * 4, "text", "int8", "text", "text", "int4", "text", "int4", *["text"] * 4, "bool")  # of COLUMNS
_IS_TEXT = tuple(kind == "text" for kind in _TYPES)
# The plan never depends on the values: planning a batch anew costs as much as running it.
_OPTIONS = "-c timezone=utc -c plan_cache_mode=force_generic_plan"

_SCANS = f"INSERT INTO scans ({COLUMNS}) SELECT * FROM unnest({', '.join(f'%s::{kind}[]' for kind in _TYPES)})"  # noqa: S608  # names of our own columns
_MISSING = f"{_SCANS} ON CONFLICT DO NOTHING RETURNING id"
_COUNT = (
    "INSERT INTO scan_counters (token_id, hour, phase, verdict, writer, scans, confirmed) "
    "SELECT *, 0 FROM unnest(%s::uuid[], %s::int8[], %s::text[], %s::text[], %s::int4[], %s::int8[]) "
    "ON CONFLICT (token_id, hour, phase, verdict, writer) DO UPDATE SET scans = scan_counters.scans + excluded.scans"
)
_RECORDED = (
    "INSERT INTO events (id, name, payload, recorded_at, attempts) "
    "VALUES (%s::uuid, 'scans.recorded', %s::text, %s::timestamptz, 0)"
)
_VISITORS = (
    "INSERT INTO scan_visitors (token_id, day, visitor_key) "
    "SELECT * FROM unnest(%s::uuid[], %s::int4[], %s::int8[]) ON CONFLICT DO NOTHING"
)
_CONFIRM = (
    "INSERT INTO scan_confirmations (scan_id, token_id, visitor_key, confirmed_at, is_judged) "
    "SELECT *, false FROM unnest(%s::uuid[], %s::uuid[], %s::int8[], %s::timestamptz[]) "
    "ON CONFLICT DO NOTHING RETURNING scan_id"
)
_FIXES = "SELECT located_at, geofence, distance_m, accuracy_m FROM scan_positions WHERE scan_id = %s ORDER BY slot"
_CONFIRMED = (
    "INSERT INTO events (id, name, payload, recorded_at, attempts) "
    "SELECT %s::uuid, 'scans.confirmed', "
    "json_build_object('scan_ids', json_agg(replace(scan_id::text, '-', '') ORDER BY scan_id))::text, "
    "%s::timestamptz, 0 FROM confirmed HAVING count(*) > 0"
)


class PostgresWriter:
    """Writes batches to PostgreSQL; after a lost connection, again, counting only what was not there."""

    _sql = Statements("%s")

    def __init__(self, dsn: str, number: int, clock: Callable[[], datetime]) -> None:
        self._dsn = dsn
        self._clock = clock
        self._tally = Tally(number)
        self._connection = self._connect()

    def write(self, batch: Sequence[Entry]) -> list[Result]:
        try:
            return self._write_or_forget(batch, once=False)
        except psycopg.OperationalError:
            # Nobody can tell whether the commit arrived: reconnect, and store each scan only if it is not there.
            self.reconnect()
            return self._write_or_forget(batch, once=True)

    def store_once(self, batch: Sequence[Entry]) -> None:
        """Store entries of which some may be there already; they are counted once."""
        self._write_or_forget(batch, once=True)

    def reconnect(self) -> None:
        """A new connection in the place of one that was lost."""
        with suppress(psycopg.Error):
            self._connection.close()
        self._connection = self._connect()

    def close(self) -> None:
        self._connection.close()

    def _connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self._dsn, options=_OPTIONS, connect_timeout=5, autocommit=True, **LIVENESS)

    def _write_or_forget(self, batch: Sequence[Entry], *, once: bool) -> list[Result]:
        try:
            return self._write(batch, once=once)
        except psycopg.errors.CheckViolation:
            # The month of a scan has no partition yet: past scans of a demonstration, a worker that never ran.
            self._tally.forget()
            self._make_months(batch)
            return self._write(batch, once=once)
        except BaseException:
            self._tally.forget()
            raise

    def _make_months(self, batch: Sequence[Entry]) -> None:
        scans, signed, _ = split(batch)
        months = {partitions.month_of(UUID(row.id)) for row in (*scans, *(one.row for _, one in signed))}
        with self._connection.transaction():
            partitions.make_months(self._connection.execute, months)

    def _write(self, batch: Sequence[Entry], *, once: bool) -> list[Result]:
        scans, signed, others = split(batch)
        confirmations = [(index, one) for index, one in others if isinstance(one, Confirmation)]
        fixes = [(index, one) for index, one in others if isinstance(one, PositionFix)]
        results: list[Result] = [None] * len(batch)
        now = self._clock()
        if once or fixes or signed:
            with self._connection.transaction():
                scans += InBatch(self._connection, self._sql, lambda instant: instant).spend(signed, results)
                visitors = self._add(scans, confirmations, results, now, once=once)
                self._locate(fixes, results, now, once=once)
        else:
            visitors = self._add(scans, confirmations, results, now, once=False)
        self._keep(visitors)
        return results

    def _add(
        self,
        scans: Sequence[ScanRow],
        confirmations: Sequence[tuple[int, Confirmation]],
        results: list[Result],
        now: datetime,
        *,
        once: bool,
    ) -> list[tuple[str, int, int]]:
        """Everything but positions, in one statement. Returns the visitors that were offered."""
        values: list[Any] = []
        if once and scans:
            stored = {row[0].hex for row in self._connection.execute(_MISSING, _scan_columns(scans))}
            scans = [row for row in {row.id: row for row in scans}.values() if row.id in stored]
            if scans:
                self._remind(scans, now)
        elif scans:
            values += _scan_columns(scans)
        visitors = self._tally.visitors(scans)
        if scans:
            values += _columns(self._tally.counters(scans))
            values += (_new_id(now), _payload(scans), now)
        if visitors:
            values += _columns(visitors)
        if confirmations:
            # Sorted, so that two processes lock in one order.
            ordered = sorted(confirmations, key=lambda one: one[1].scan_id)
            values += _columns([(c.scan_id, c.token_id, c.visitor_key, f'"{c.at.isoformat()}"') for _, c in ordered])
            values += (_new_id(now), now)
        if not values:
            return visitors
        statement = _statement(bool(scans) and not once, bool(scans), bool(visitors), bool(confirmations))
        cursor = self._connection.execute(statement, values, prepare=True)
        if confirmations:
            first = {row[0].hex for row in cursor}
            for index, one in confirmations:
                results[index] = one.scan_id in first
                first.discard(one.scan_id)
        return visitors

    def _remind(self, scans: Sequence[ScanRow], now: datetime) -> None:
        """Scans that came after their confirmation, from another process, are judged now."""
        early = self._connection.execute(
            "SELECT scan_id FROM scan_confirmations WHERE scan_id = ANY(%s::uuid[]) AND NOT is_judged",
            (_plain(row.id for row in scans),),
        ).fetchall()
        if early:
            payload = json.dumps({"scan_ids": [row[0].hex for row in early]})
            self._connection.execute(self._sql.event, (_new_id(now), "scans.confirmed", payload, now))

    def _locate(
        self, fixes: Sequence[tuple[int, PositionFix]], results: list[Result], now: datetime, *, once: bool
    ) -> None:
        if fixes:
            inside = InBatch(self._connection, self._sql, lambda instant: instant)
            for index, fix in fixes:
                results[index] = (self._kept(fix) if once else None) or inside.locate(fix)
            inside.finish((), now)

    def _kept(self, fix: PositionFix) -> BestFix | None:
        """What a position that is stored already was answered, or should have been; None when it is not there."""
        best: BestFix | None = None
        rows = self._connection.execute(_FIXES, (fix.confirmation.scan_id,)).fetchall()
        for at, geofence, distance, accuracy in rows:
            if best is None or accuracy < best.accuracy_m:
                best = BestFix(geofence, distance, accuracy)
            if (at, accuracy) == (fix.confirmation.at, fix.accuracy_m):
                return best
        return None

    def _keep(self, visitors: Sequence[tuple[str, int, int]]) -> None:
        """After the commit: remember who is stored, and cut samples that grew. A cut that fails is made later."""
        self._tally.keep(visitors)
        with suppress(psycopg.Error):
            InBatch(self._connection, self._sql, lambda instant: instant).cut_visitors(self._tally, visitors)


@cache
def _statement(insert: bool, scans: bool, visitors: bool, confirmations: bool) -> str:
    """One statement, so one transaction: what it inserts, and the ids of scans now confirmed."""
    parts = []
    if insert:
        parts.append(f"stored AS ({_SCANS})")
    if scans:
        parts += [f"counted AS ({_COUNT})", f"recorded AS ({_RECORDED})"]
    if visitors:
        parts.append(f"seen AS ({_VISITORS})")
    if confirmations:
        parts += [f"confirmed AS ({_CONFIRM})", f"told AS ({_CONFIRMED})"]
    return f"WITH {', '.join(parts)} SELECT {'scan_id FROM confirmed' if confirmations else '1'}"  # noqa: S608  # our own text


def _scan_columns(scans: Sequence[ScanRow]) -> list[str]:
    columns = zip(*scans, strict=True)
    return [_texts(column) if is_text else _plain(column) for column, is_text in zip(columns, _IS_TEXT, strict=True)]


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[str]:
    """Rows of ids, numbers and our own words as one array literal a column."""
    return [_plain(column) for column in zip(*rows, strict=True)]


def _plain(values: Iterable[Any]) -> str:
    return f"{{{','.join(['NULL' if value is None else str(value) for value in values])}}}"


def _texts(values: Iterable[str | None]) -> str:
    return f"{{{','.join([_quoted(value) for value in values])}}}"


@lru_cache(4096)
def _quoted(text: str | None) -> str:
    """An element of an array literal: quoted, so that it may hold anything but NUL."""
    if text is None:
        return "NULL"
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _payload(scans: Sequence[ScanRow]) -> str:
    listed = '", "'.join([row.id for row in scans])
    return f'{{"scan_ids": ["{listed}"]}}'


def _new_id(now: datetime) -> str:
    return ids.uuid7_hex(ids.milliseconds(now))
