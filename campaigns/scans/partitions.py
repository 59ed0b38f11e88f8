"""The scan log by months, on PostgreSQL: `scans` is partitioned by ranges of its id, whose first 48 bits are its time.

Months are made ahead, and by the writer when a scan has none. There is no default partition and nothing points at
`scans`: both would keep DETACH PARTITION CONCURRENTLY from working. On SQLite the log is one table.

A new month is attached, not created as a partition: that takes a lock on `scans` that stops no reader or writer.
"""

import re
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import psycopg

from campaigns import ids
from campaigns.errors import Conflict, Invalid

MONTHS_AHEAD = 3
_LOCK = 0x50535250  # "PSRP": one makes months at a time
_NAME = re.compile(r"scans_(\d{4})_(\d{2})")
_ATTACHED = (
    "SELECT c.relname, i.inhdetachpending FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
    "WHERE i.inhparent = 'scans'::regclass ORDER BY c.relname"
)

Execute = Callable[[str], Any]  # of psycopg or SQLAlchemy: runs a statement and returns what has `fetchall`


def month_of(id: UUID) -> date:
    """The first day of the UTC month a scan's id lies in."""
    return ids.instant_of(id).date().replace(day=1)


def month_after(month: date, number: int = 1) -> date:
    years, index = divmod(month.month - 1 + number, 12)
    return date(month.year + years, index + 1, 1)


def months_ahead(now: datetime) -> list[date]:
    """This month and the next ones, as many as are made ahead."""
    return [month_after(now.date().replace(day=1), number) for number in range(MONTHS_AHEAD + 1)]


def is_month(table: str) -> bool:
    """Whether a table is a month of the log, attached or not."""
    return _NAME.fullmatch(table) is not None


def attached(execute: Execute) -> list[date]:
    """The months that are part of the log, oldest first."""
    return [_month_named(name) for name, is_leaving in execute(_ATTACHED).fetchall() if not is_leaving]


def make_months(execute: Execute, months: Iterable[date]) -> None:
    """Attach the months that are missing; a month that was detached comes back. Call it inside a transaction."""
    missing = sorted(set(months) - set(attached(execute)))
    if not missing:
        return
    execute(f"SELECT pg_advisory_xact_lock({_LOCK})")
    there = set(attached(execute))
    for month in missing:
        if month not in there:
            name = _name(month)
            execute(f"CREATE TABLE IF NOT EXISTS {name} (LIKE scans INCLUDING ALL)")
            bounds = f"FROM ('{_first_id(month)}') TO ('{_first_id(month_after(month))}')"
            execute(f"ALTER TABLE scans ATTACH PARTITION {name} FOR VALUES {bounds}")


def detach(dsn: str, before: date) -> list[str]:
    """Detach the months before one, each without stopping readers or writers; the names of the tables they are now.

    Their rows stay where they are, to be archived and dropped. Counters keep their sums.
    """
    done = []
    with psycopg.connect(dsn, autocommit=True, connect_timeout=10) as connection:
        for name, is_leaving in connection.execute(_ATTACHED).fetchall():
            if _month_named(name) < before:
                # A detachment that was interrupted is finished: CONCURRENTLY works in two transactions.
                how = "FINALIZE" if is_leaving else "CONCURRENTLY"
                try:
                    connection.execute(f"ALTER TABLE scans DETACH PARTITION {name} {how}")
                except psycopg.errors.ObjectInUse as error:
                    raise Conflict(f"{name} is being detached by somebody else.") from error
                done.append(name)
    return done


def drop_detached(dsn: str, before: date) -> list[str]:
    """Drop the months before one that are part of the log no more; their names."""
    with psycopg.connect(dsn, autocommit=True, connect_timeout=10) as connection:
        part_of = {name for name, _ in connection.execute(_ATTACHED).fetchall()}
        tables = connection.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"
        ).fetchall()
        gone = [name for (name,) in tables if is_month(name) and name not in part_of and _month_named(name) < before]
        for name in gone:
            connection.execute(f"DROP TABLE IF EXISTS {name}")
    return gone


def parse_month(text: str) -> date:
    """`2026-01` -> its first day. Invalid for anything else."""
    try:
        return datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC).date()
    except ValueError as error:
        raise Invalid("A month is written as 2026-01.") from error


def _name(month: date) -> str:
    return f"scans_{month:%Y_%m}"


def _month_named(name: str) -> date:
    found = _NAME.fullmatch(name)
    if found is None:
        raise Conflict(f"The scan log has a part {name} that is no month.")
    return date(int(found[1]), int(found[2]), 1)


def _first_id(month: date) -> UUID:
    at = datetime(month.year, month.month, 1, tzinfo=UTC)
    return UUID(int=ids.milliseconds(at) << 80)
