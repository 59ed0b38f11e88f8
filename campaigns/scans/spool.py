"""The spool, on PostgreSQL: while the database is away, a SQLite file of this process takes the scan log's entries.

A batch is on disk there before it is answered. When the database is back a thread stores the entries in their order,
each once, however often that is interrupted; what arrives meanwhile goes behind them. A file is locked by its
process: one whose lock is free was left by a dead process, and the next one to start adopts it.
"""

import fcntl
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg

from campaigns.scans.log import BestFix, Confirmation, Entry, PositionFix, Result, ScanRow, Spent, TappedScan
from campaigns.scans.postgres_log import PostgresWriter
from campaigns.storage import Database, connect_sqlite

RETRY_S = 0.3  # between two looks whether the database is back
ADOPT_S = 5.0  # between two tries at the files of the dead, when the first failed
CHUNK = 500  # entries stored in one transaction of the drain
_TABLES = (
    "CREATE TABLE IF NOT EXISTS entries (number INTEGER PRIMARY KEY, entry TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS refused (number INTEGER PRIMARY KEY, entry TEXT NOT NULL)",
)

log = logging.getLogger("passerelle.spool")


@dataclass(frozen=True)
class SpoolPlace:
    """Where the spools of one database's processes lie. `mark` tells databases that share a folder apart."""

    folder: Path
    mark: str

    def file_of(self, number: int) -> Path:
        return self.folder / f"{self.mark}-{number}.db"

    def files(self) -> list[Path]:
        return sorted(self.folder.glob(f"{self.mark}-*.db"))


class Spool:
    """One file of entries, in order. Made, and locked, at its first use.

    Of the connection handed to it only `execute` and `executemany` are used: the power-cut trial hands it another.
    """

    def __init__(self, path: Path, lock: int, connection: Any) -> None:
        self.path = path
        self._lock = lock
        self._connection = connection
        os.chmod(path, 0o600)
        for table in _TABLES:
            self._connection.execute(table)

    @classmethod
    def open(cls, path: Path, *, only_existing: bool = False) -> "Spool | None":
        """The spool of a file; None when a living process holds it, or when it is gone."""
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            return None
        if only_existing and not path.exists():  # somebody else has adopted it
            os.close(lock)
            return None
        return cls(path, lock, connect_sqlite(path))  # synchronous=FULL

    def append(self, entries: Sequence[Entry]) -> None:
        """Store a batch: on disk when this returns."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            self._connection.executemany("INSERT INTO entries (entry) VALUES (?)", [(_pack(one),) for one in entries])
            self._connection.execute("COMMIT")
        except BaseException:
            with suppress(Exception):
                self._connection.execute("ROLLBACK")
            raise

    def first(self, limit: int) -> list[tuple[int, Entry]]:
        rows = self._connection.execute("SELECT number, entry FROM entries ORDER BY number LIMIT ?", (limit,))
        return [(number, _unpack(text)) for number, text in rows.fetchall()]

    def drop(self, until: int) -> None:
        """Forget the entries up to a number: they are in the log."""
        self._connection.execute("DELETE FROM entries WHERE number <= ?", (until,))

    def set_aside(self, number: int) -> None:
        """Keep an entry the database refuses where it holds up no other."""
        self._connection.execute("INSERT INTO refused SELECT number, entry FROM entries WHERE number = ?", (number,))

    def close(self) -> None:
        """Close the file; an empty one is removed."""
        kept = self._connection.execute(
            "SELECT EXISTS (SELECT 1 FROM entries) OR EXISTS (SELECT 1 FROM refused)"
        ).fetchone()[0]
        self._connection.close()
        if not kept:
            self.path.unlink(missing_ok=True)
            Path(f"{self.path}.lock").unlink(missing_ok=True)
        os.close(self._lock)


class SpoolingWriter:
    """A `Writer` that goes on without the database."""

    def __init__(
        self, database: Database, inner: PostgresWriter, number: int, clock: Callable[[], datetime], place: SpoolPlace
    ) -> None:
        self._database = database
        self._inner = inner
        self._number = number
        self._clock = clock
        self._place = place
        self._spool: Spool | None = None
        self._mutex = threading.Lock()  # of the spool, and of being away
        self._is_away = False
        self._wake = threading.Event()
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)
        self._thread.start()

    def write(self, batch: Sequence[Entry]) -> list[Result]:
        """Store a batch in the log, or behind what waits in the spool."""
        if not self._is_away:
            try:
                return self._inner.write(batch)
            except psycopg.OperationalError as error:
                log.warning("the database is away, scans go to the spool: %s", type(error).__name__)
                self._database.is_away = True
        with self._mutex:
            if self._spool is None:
                self._spool = Spool.open(self._place.file_of(self._number))
            if self._spool is None:
                raise TimeoutError("the spool is locked by another process")
            self._spool.append(batch)
            self._is_away = True
        self._wake.set()
        return [_supposed(entry) for entry in batch]

    def close(self) -> None:
        self._is_closing = True
        self._wake.set()
        self._thread.join(timeout=10)
        if self._spool is not None and not self._thread.is_alive():
            self._spool.close()
        self._inner.close()

    def _run(self) -> None:
        adopted = False
        while not self._is_closing:
            if not adopted:
                adopted = self._adopt()
            if self._is_away:
                self._come_back()
            if self._is_away:
                time.sleep(RETRY_S)
            else:
                self._wake.wait(None if adopted else ADOPT_S)
                self._wake.clear()

    def _come_back(self) -> None:
        """Drain this process's own spool. Nobody else uses the inner writer while the database is away."""
        try:
            self._inner.reconnect()
            self._database.is_away = False
            while not self._is_closing:
                with self._mutex:
                    if self._spool is None or not self._spool.first(1):
                        self._is_away = False
                        log.warning("the database is back and the spool is drained")
                        return
                self._drain_some(self._spool, self._inner, self._mutex)
        except psycopg.OperationalError:
            self._database.is_away = True
        except Exception:
            log.exception("the spool could not be drained; again in a moment")

    def _adopt(self) -> bool:
        """Drain the files that dead processes left; whether all were."""
        own = self._place.file_of(self._number)
        found = [path for path in self._place.files() if path != own]
        try:
            for path in found:
                self._adopt_file(path)
        except psycopg.OperationalError:
            return False
        except Exception:
            log.exception("a spool could not be adopted")
        return True

    def _adopt_file(self, path: Path) -> None:
        spool = Spool.open(path, only_existing=True)
        if spool is None:
            return
        try:
            log.warning("adopting the spool %s of a process that is gone", path.name)
            inner = PostgresWriter(self._database.dsn, self._number, self._clock)
            try:
                while not self._is_closing and self._drain_some(spool, inner, threading.Lock()):
                    pass
            finally:
                inner.close()
        finally:
            spool.close()

    def _drain_some(self, spool: Spool, inner: PostgresWriter, mutex: threading.Lock) -> bool:
        """Store the next entries, each once, then drop them; whether there were any."""
        with mutex:
            waiting = spool.first(CHUNK)
        if not waiting:
            return False
        try:
            inner.store_once([entry for _, entry in waiting])
        except psycopg.OperationalError:
            raise
        except Exception:
            self._store_singly(spool, inner, mutex, waiting)
        with mutex:
            spool.drop(waiting[-1][0])
        return True

    def _store_singly(
        self, spool: Spool, inner: PostgresWriter, mutex: threading.Lock, waiting: Sequence[tuple[int, Entry]]
    ) -> None:
        for number, entry in waiting:
            try:
                inner.store_once([entry])
            except psycopg.OperationalError:
                raise
            except Exception:
                log.exception("the log refuses an entry of the spool; it stays in %s", spool.path.name)
                with mutex:
                    spool.set_aside(number)


def _supposed(entry: Entry) -> Result:
    """The result of an entry nobody could look up: the first confirmation, the only fix, an unused counter."""
    if isinstance(entry, PositionFix):
        return BestFix(entry.geofence, entry.distance_m, entry.accuracy_m)
    if isinstance(entry, TappedScan):
        return Spent(entry.row.id, entry.presence)  # the check-in looks whether the counter was really its own
    return True if isinstance(entry, Confirmation) else None


_FIX_FIELDS = ("geofence", "distance_m", "accuracy_m", "point", "cell")


def _pack(entry: Entry) -> str:
    if isinstance(entry, ScanRow):
        return json.dumps({"scan": entry._asdict()})
    if isinstance(entry, TappedScan):
        return json.dumps({"scan": entry.row._asdict(), "tap": entry[1:]})
    if isinstance(entry, Confirmation):
        return json.dumps({"confirmation": _confirmation_fields(entry)})
    fields = {name: getattr(entry, name) for name in _FIX_FIELDS}
    sealed = entry.sealed.hex()
    return json.dumps({"fix": {**fields, "sealed": sealed}, "confirmation": _confirmation_fields(entry.confirmation)})


def _confirmation_fields(one: Confirmation) -> dict[str, Any]:
    return {
        "scan_id": one.scan_id,
        "token_id": one.token_id,
        "visitor_key": one.visitor_key,
        "at": one.at.isoformat(),
    }


def _unpack(text: str) -> Entry:
    kept: dict[str, Any] = json.loads(text)
    if "scan" in kept:
        row = ScanRow(**kept["scan"])
        return TappedScan(row, *kept["tap"]) if "tap" in kept else row
    fields = kept["confirmation"]
    confirmation = Confirmation(**{**fields, "at": datetime.fromisoformat(fields["at"])})
    if "fix" not in kept:
        return confirmation
    fix = kept["fix"]
    return PositionFix(confirmation, sealed=bytes.fromhex(fix["sealed"]), **{name: fix[name] for name in _FIX_FIELDS})
