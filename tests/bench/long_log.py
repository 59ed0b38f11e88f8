"""A log of millions of scans: rows of scans alone, without the counters and visitors that the log's writer adds.

By the drivers' own ways for many rows, past SQLAlchemy: some 10 us a scan.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from itertools import islice
from typing import Any, Final

from campaigns import clock, ids
from campaigns.scans import Scan, partitions
from tests.bench.servers import Shop

BATCH = 50_000  # scans of a transaction
_ALIKE: Final = {"phase": "live", "verdict": "valid", "score": 0, "reasons": "", "rules_version": 1, "device": "phone"}
_COLUMNS: Final = ("id", "campaign_id", "token_id", "place_id", "visitor_key", *_ALIKE, "language", "country")


def write_long_log(shop: Shop, number: int, *, over: timedelta) -> None:
    """Scans of the wide codes, spread evenly over a time that ends now, oldest first; each of a visitor of its own."""
    now = clock.utc_now()
    rows = _rows(shop, number, ids.milliseconds(now - over), over)
    if shop.kind == "postgres":
        days = (now - timedelta(days=one) for one in range(over.days + 2))
        with shop.database.engine.begin() as connection:
            partitions.make_months(connection.exec_driver_sql, {partitions.month_of(ids.first_of(one)) for one in days})
    with closing(shop.database.engine.raw_connection()) as raw:
        if shop.kind == "sqlite":
            raw.cursor().execute("PRAGMA synchronous=OFF")  # of this connection, which is closed for good below
        while batch := list(islice(rows, BATCH)):
            (_copy if shop.kind == "postgres" else _insert)(raw.cursor(), batch)
            raw.commit()
    shop.database.engine.dispose()
    shop.settle()


def _insert(cursor: Any, batch: Sequence[tuple[Any, ...]]) -> None:
    marks = ", ".join("?" * len(_COLUMNS))
    cursor.executemany(f"INSERT INTO {Scan.__tablename__} ({', '.join(_COLUMNS)}) VALUES ({marks})", batch)


def _copy(cursor: Any, batch: Sequence[tuple[Any, ...]]) -> None:
    with cursor.copy(f"COPY {Scan.__tablename__} ({', '.join(_COLUMNS)}) FROM STDIN") as copy:
        for row in batch:
            copy.write_row(row)


def _rows(shop: Shop, number: int, start_ms: int, over: timedelta) -> Iterator[tuple[Any, ...]]:
    step_ms = over.total_seconds() * 1000 / number
    codes = [tuple(one and one.hex for one in (code.campaign_id, code.id, code.place_id)) for code in shop.wide]
    for index in range(number):
        code = codes[index * 7919 % len(codes)]
        yield (ids.uuid7_hex(int(start_ms + index * step_ms)), *code, index, *_ALIKE.values(), "fr", "FR")
