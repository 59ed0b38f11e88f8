"""The PostgreSQL database that tests share, and the connections to it that outlive a test.

A new connection knows none of a hundred tables: emptying them takes it ten times as long, the books' recount twice.
"""

from typing import Any

import psycopg
from sqlalchemy import Pool, event
from sqlmodel import SQLModel

from campaigns.storage import Database


class Kept:
    """A migrated database that each test finds empty, and its connections."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._own: psycopg.Connection[Any] | None = None
        self._pool: Pool | None = None
        self._lent: list[Database] = []
        self._left: list[Pool] = []  # of tests that ended while a thread of theirs was at work
        self._known: set[int] = set()  # the server processes of the pool's connections

    def keep(self, database: Database) -> Database:
        """Have a database of this address use the connections that are there; the one before is done with."""
        self._take_back()
        if self._pool is None or self._pool.checkedout():  # type: ignore[attr-defined]  # a QueuePool
            self._leave()
            self._pool = database.engine.pool
            event.listen(self._pool, "connect", self._note)
        database.engine.pool = self._pool
        self._lent.append(database)
        return database

    def empty(self) -> None:
        """Delete every row, and end whatever connection is at work still or is not ours to keep."""
        if self._own is None or self._own.broken:
            self._own = psycopg.connect(self.url.replace("+psycopg", ""), autocommit=True)
        self._own.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid() AND (state <> 'idle' OR pid <> ALL(%s))",
            [list(self._known)],
        )
        with self._own.transaction():  # a tenth of what TRUNCATE of a hundred tables takes
            self._own.execute("SET LOCAL session_replication_role = replica")  # no trigger, no foreign key
            self._own.execute("; ".join(f"DELETE FROM {name}" for name in SQLModel.metadata.tables))

    def let_go(self) -> None:
        """End the connections: nobody is connected, until the next test is."""
        if self._own is not None:
            self._own.close()
            self._own = None
        self._take_back()
        self._leave()

    def _take_back(self) -> None:
        """End connections beside ours: a test that disposes of its engine gets a pool of its own."""
        for one in self._lent:
            if one.engine.pool is not self._pool:
                one.engine.dispose()
        self._lent.clear()

    def _leave(self) -> None:
        """End the connections of the pool; those that a thread has out still, once it gave them back."""
        if self._pool is not None:
            self._left.append(self._pool)
            self._pool = None
        for one in self._left:
            one.dispose()
        self._left = [one for one in self._left if one.checkedout()]  # type: ignore[attr-defined]
        self._known.clear()

    def _note(self, connection: "psycopg.Connection[Any]", _: object) -> None:
        self._known.add(connection.info.backend_pid)
