"""Which writer fits a database."""

from collections.abc import Callable
from datetime import datetime

from campaigns.scans.log import SqliteWriter, Writer
from campaigns.scans.postgres_log import PostgresWriter
from campaigns.storage import Database, connect_sqlite


def open_writer(database: Database, number: int, clock: Callable[[], datetime]) -> Writer:
    """The writer that fits a database. `number` is this process's own (see `scans.take_writer_number`)."""
    if database.path is not None:
        return SqliteWriter(connect_sqlite(database.path), database.write_lock, number, clock)
    return PostgresWriter(database.dsn, number, clock)
