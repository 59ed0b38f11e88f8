"""Which writer fits a database."""

from collections.abc import Callable
from datetime import datetime

from campaigns.scans.log import SqliteWriter, Writer
from campaigns.scans.postgres_log import PostgresWriter
from campaigns.scans.spool import SpoolingWriter, SpoolPlace
from campaigns.storage import Database, connect_sqlite


def open_writer(
    database: Database, number: int, clock: Callable[[], datetime], spool: SpoolPlace | None = None
) -> Writer:
    """The writer that fits a database. `number` is this process's own (see `scans.take_writer_number`).

    On PostgreSQL a `spool` takes what comes while the database is away.
    """
    if database.path is not None:
        return SqliteWriter(connect_sqlite(database.path), database.write_lock, number, clock)
    inner = PostgresWriter(database.dsn, number, clock)
    return SpoolingWriter(database, inner, number, clock, spool) if spool else inner
