"""How a change reaches every process on PostgreSQL: NOTIFY inside the transaction, and a sweep as the net.

A thread of its own listens. When its connection was made anew, changes may have been missed: every cache is emptied.
While the database is away they keep what they have, so that phones are still answered.
On SQLite one process writes, so it hears itself after the commit and needs none of this.
"""

import logging
import threading
from datetime import datetime
from uuid import UUID

import psycopg
from sqlalchemy import text
from sqlmodel import Session

from campaigns.ids import NIL
from campaigns.storage import LIVENESS, Database

CHANNEL = "passerelle"
SWEEP_S = 1.0  # between two sweeps
_LATELY = "changed_at > now() - interval '60 seconds'"  # longer than a transaction takes from its clock to its commit
_SWEPT = {"campaigns": "campaign", "places": "place", "tokens": "token", "organisations": "organisation"}

log = logging.getLogger("passerelle.announcements")


def announce(session: Session, kind: str, id: UUID) -> None:
    """Tell the caches of every process, after the commit, that an object changed."""
    session.info.setdefault("announcements", []).append((kind, id))
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_notify(:channel, :what)"), {"channel": CHANNEL, "what": f"{kind} {id.hex}"})


class Listener:
    """Hears what other processes announce, and passes it on to this one's caches."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._dsn = database.dsn
        self._swept: dict[UUID, datetime] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="announcements", daemon=True)

    def start(self) -> None:
        if not self._database.is_sqlite:
            self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def is_alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping.is_set():
            was_connected = False
            try:
                with psycopg.connect(self._dsn, autocommit=True, connect_timeout=5, **LIVENESS) as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    was_connected = True
                    self._swept = {}
                    self._database.is_away = False  # before the caches are empty: what they lack is loaded again
                    self._database.forget_all()
                    self._listen(connection)
            except psycopg.Error as error:
                log.warning("the listening connection was lost, again in a moment: %s", type(error).__name__)
                self._stopping.wait(0.0 if was_connected else 0.5)

    def _listen(self, connection: psycopg.Connection) -> None:
        while not self._stopping.is_set():
            for notify in connection.notifies(timeout=SWEEP_S):
                kind, _, hex_id = notify.payload.partition(" ")
                self._database.tell(kind, UUID(hex_id))
            self._sweep(connection)

    def _sweep(self, connection: psycopg.Connection) -> None:
        # Each change once: told at every sweep, one edited campaign would empty the directory each second for a minute.
        # What is new is in no cache, and a batch of 100,000 codes is not read; it only ends that a code is unknown.
        found: dict[UUID, datetime] = {}
        for table, kind in _SWEPT.items():
            changed = f"SELECT id, changed_at FROM {table} WHERE {_LATELY} AND changed_at > created_at"  # noqa: S608  # our own names
            for id, changed_at in connection.execute(changed):
                found[id] = changed_at
                if self._swept.get(id) != changed_at:
                    self._database.tell(kind, id)
        self._swept = found
        if connection.execute(f"SELECT 1 FROM tokens WHERE {_LATELY} LIMIT 1").fetchone():  # noqa: S608  # our own names
            self._database.tell("code", NIL)
