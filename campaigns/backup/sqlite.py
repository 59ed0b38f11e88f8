"""A SQLite file copied beside its server, and one put in the place of another.

The copy is read through a read-only connection in one read transaction: it sees one moment, waits for nobody and never
writes or checkpoints, as the rule of one writer asks (`campaigns/storage.py`). The WAL grows while it is read.
"""

import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import IO

from campaigns.backup import archive
from campaigns.backup.archive import CHUNK, Manifest
from campaigns.errors import Invalid, NotFound
from campaigns.migrations import unfinished
from campaigns.storage import connect_sqlite, sync_file

STEP_PAGES = 256  # a megabyte, then a pause: beside a busy server the disk and the interpreter are shared
PAUSE_S = 0.005


def copy(source: Path, folder: Path) -> Path:
    """A copy of the database as it is at one moment, whole and compact, in `folder`. Invalid when it is not whole.

    Pages that are free still hold what was deleted, so they stay behind.
    """
    if not source.exists():
        raise NotFound(f"There is no database {source}.")
    first, compact = folder / "copy.sqlite", folder / "compact.sqlite"
    make_private(first)
    with closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)) as old:
        old.execute("BEGIN")  # one snapshot for all steps: a writer would make the copy begin again
        old.execute("SELECT count(*) FROM sqlite_master").fetchone()
        with closing(sqlite3.connect(first, isolation_level=None)) as new:
            old.backup(new, pages=STEP_PAGES, progress=lambda *_: time.sleep(PAUSE_S))
            # One file, without a WAL beside it. What is not synced yet is synced in the backup itself.
            new.execute("PRAGMA journal_mode=DELETE")
            make_private(compact)
            new.execute("VACUUM INTO ?", (str(compact),))
    first.unlink()
    require_intact(compact)
    return compact


def describe(path: Path) -> tuple[str, str]:
    """Schema and key fingerprint of a copy; Invalid when it is no database of ours."""
    with closing(sqlite3.connect(path)) as connection:
        try:
            schema = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            key = connection.execute("SELECT fingerprint FROM key_fingerprints").fetchone()
        except sqlite3.OperationalError as error:
            raise Invalid("This is not a database of Passerelle: `passerelle init` makes one.") from error
    return (schema or [""])[0], (key or [""])[0]


def require_intact(path: Path) -> None:
    """Invalid when SQLite finds a page or an index of the file broken."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            found = [row[0] for row in connection.execute("PRAGMA integrity_check(5)")]
    except sqlite3.DatabaseError as error:
        found = [str(error)]
    if found != ["ok"]:
        raise Invalid(f"The copy of the database is not whole: {'; '.join(found)}.")


def unpack(backup: Path, manifest: Manifest, folder: Path) -> Path:
    """The database of a backup as a file in `folder`, whole and on disk."""
    path = folder / "restoring.sqlite"
    make_private(path)
    with path.open("wb") as file:
        take: Callable[[IO[bytes]], None] = lambda member: shutil.copyfileobj(member, file, CHUNK)  # noqa: E731
        archive.read_database(backup, manifest, take)
    require_intact(path)
    return path


def put_in_place(fresh: Path, path: Path, kept: Path) -> Path | None:
    """Let `fresh` be the database at `path`, in one step; what was there is kept as `kept`, and returned if there was.

    A process killed at any moment leaves the one or the other, whole. The caller holds the lock of the file.
    """
    _fold(fresh)
    sync_file(fresh)
    is_folded = not path.exists() or _fold(path)
    wal = path.with_name(path.name + "-wal")
    was_there = path.exists()
    if was_there:
        _keep(path, kept)
        _take_owner(fresh, path)
    if not is_folded or (wal.exists() and wal.stat().st_size):
        # A file too broken to open keeps its WAL, which must not meet the new one: in between nothing may serve.
        unfinished.mark_file(path)
        wal.replace(kept.with_name(kept.name + "-wal")) if wal.exists() else None
    for leftover in (wal, path.with_name(path.name + "-shm")):
        leftover.unlink(missing_ok=True)
    sync_file(path.parent)
    fresh.replace(path)
    sync_file(path.parent)
    unfinished.unmark_file(path)
    return kept if was_there else None


def make_private(path: Path) -> None:
    """An empty file that only its owner reads: SQLite gives its mode to what it puts beside it."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def _fold(path: Path) -> bool:
    """Write what the WAL holds into the file; whether that was done."""
    try:
        with closing(connect_sqlite(path)) as connection:
            busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            return not busy
    except sqlite3.DatabaseError:
        return False


def _keep(path: Path, kept: Path) -> None:
    try:
        kept.hardlink_to(path)
    except FileExistsError:
        raise
    except OSError:  # a disk without links
        shutil.copy2(path, kept)
        sync_file(kept)


def _take_owner(fresh: Path, path: Path) -> None:
    """A database that root restores still belongs to the server's user."""
    owner = path.stat()
    with suppress(PermissionError):
        os.chown(fresh, owner.st_uid, owner.st_gid)
