"""A power cut under our own writer or spool, in a process of its own:
`python power_cut.py FOLDER CUTS SEED SYNCHRONOUS log|spool`.

A SQLite VFS (apsw) keeps every write in memory until the file is synced. At a random moment the power goes: of the
writes not yet synced, none, all or a random part reach the disk. What was answered before the cut is printed as one
JSON line a cut: the database file and the ids of the scans whose commit had returned.
"""

import json
import os
import random
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import apsw

from campaigns.scans.log import Confirmation, ScanRow, SqliteWriter
from campaigns.scans.spool import Spool
from campaigns.storage import SQLITE_PRAGMAS
from campaigns.write_lock import WriteLock

ROOT = Path(__file__).resolve().parents[2]
START = datetime(2026, 10, 14, 10, tzinfo=UTC)


class PowerCut(Exception):
    """The power went."""


class Disk:
    """What all files of one trial share: how many calls are left, and every write not yet synced."""

    def __init__(self, calls_left: int, chance: random.Random) -> None:
        self.calls_left = calls_left
        self.chance = chance
        self.files: list[UnsyncedFile] = []

    def tick(self) -> None:
        self.calls_left -= 1
        if self.calls_left == 0:
            for file in self.files:
                file.lose(self.chance)
        if self.calls_left <= 0:
            raise PowerCut


class UnsyncedFile(apsw.VFSFile):
    """A file whose writes stay in memory until `xSync`."""

    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._disk = disk
        self._pending: list[tuple[int, bytes]] = []
        disk.files.append(self)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802  # SQLite's name
        self._disk.tick()
        self._pending.append((offset, bytes(data)))

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        size = super().xFileSize()
        kept = super().xRead(min(amount, max(0, size - offset)), offset) if offset < size else b""
        seen = bytearray(kept.ljust(amount, b"\0"))
        end = max(len(kept), 0)
        for at, data in self._pending:
            low, high = max(at, offset), min(at + len(data), offset + amount)
            if low < high:
                seen[low - offset : high - offset] = data[low - at : high - at]
                end = max(end, high - offset)
        return bytes(seen[:end])

    def xFileSize(self) -> int:  # noqa: N802
        return max([super().xFileSize(), *(at + len(data) for at, data in self._pending)])

    def xTruncate(self, size: int) -> None:  # noqa: N802
        self._disk.tick()
        self._flush(self._pending)
        super().xTruncate(size)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._disk.tick()
        self._flush(self._pending)
        super().xSync(flags)

    def lose(self, chance: random.Random) -> None:
        """The power goes: a random part of what was not synced is on the disk, in no order."""
        fate = chance.choice(("nothing", "some", "all"))
        if fate != "nothing":
            self._flush([one for one in self._pending if fate == "all" or chance.random() < 0.5])
        self._pending.clear()

    def _flush(self, writes: list[tuple[int, bytes]]) -> None:
        for at, data in writes:
            super().xWrite(data, at)
        self._pending = []


class PowerVFS(apsw.VFS):
    """The system's own files, but for the sync."""

    def __init__(self, name: str, disk: Disk) -> None:
        self._disk = disk
        super().__init__(name, "")

    def xOpen(self, name: Any, flags: list[int]) -> UnsyncedFile:  # noqa: N802
        return UnsyncedFile(self._disk, name, flags)


def trial(template: Path, folder: Path, number: int, seed: int, synchronous: str, what: str) -> dict[str, Any]:
    """One life of a writer or a spool, ended by a power cut; what it had answered."""
    chance = random.Random(f"{seed}/{number}")
    path = folder / f"{what}{number}.db"
    path.write_bytes(template.read_bytes() if what == "log" else b"")
    disk = Disk(chance.randrange(20, 900), chance)
    vfs = PowerVFS(f"power{number}", disk)
    answered: list[str] = []
    confirmed: list[str] = []
    try:
        connection = apsw.Connection(str(path), vfs=vfs.vfs_name if hasattr(vfs, "vfs_name") else f"power{number}")
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")  # a VFS in Python has no shared memory
        for pragma in SQLITE_PRAGMAS:
            connection.execute(pragma.replace("synchronous=FULL", f"synchronous={synchronous}"))
        connection.execute("PRAGMA wal_autocheckpoint=40")  # checkpoints are part of the trial
        store: Callable[[list[Any]], Any]
        if what == "log":
            store = SqliteWriter(connection, WriteLock(), 1, lambda: START).write
        else:
            store = Spool(path, os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT), connection).append
        for batch in range(400):
            rows = [scan(number, batch, place) for place in range(chance.randrange(1, 6))]
            store(rows)
            answered += [row.id for row in rows]
            seen = [row for row in rows if chance.random() < 0.5]
            store([Confirmation(row.id, row.token_id or "", row.visitor_key, START) for row in seen])
            confirmed += [row.id for row in seen]
    except (PowerCut, apsw.Error):
        pass
    for file in disk.files:
        file._pending.clear()  # what a closing library would still write never reaches the disk
    disk.calls_left = 0
    return {"path": str(path), "answered": answered, "confirmed": confirmed}


def scan(number: int, batch: int, place: int) -> ScanRow:
    at = START + timedelta(milliseconds=batch * 10 + place)
    id = (int(at.timestamp() * 1000) << 80) | (7 << 76) | (number << 32) | (batch << 8) | place
    token = f"{7:032x}"
    return ScanRow(f"{id:032x}", token, token, None, None, batch, "live", "valid", 0, "", 1, "phone", "fr")


def main() -> None:
    folder, cuts, seed, synchronous, what = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:6]
    for number in range(cuts):
        told = trial(folder / "template.db", folder, number, seed, synchronous, what)
        print(json.dumps(told), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
