"""`passerelle backup`: a whole copy beside a running server, under its final name only when it is on disk."""

import fcntl
import logging
import os
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO

import psycopg

from campaigns.backup import archive, postgres, sqlite
from campaigns.backup.archive import CHUNK, Manifest
from campaigns.errors import CampaignError, Conflict
from campaigns.migrations import unfinished
from campaigns.storage import Database, sync_file

_NAME = re.compile(r"passerelle-\d{8}T\d{6}Z\.backup\Z")
_WORK = ".passerelle-backup-"

log = logging.getLogger("passerelle.backup")


@dataclass(frozen=True)
class Made:
    """A backup that was made, and the older ones whose term was over."""

    file: Path
    manifest: Manifest
    removed: list[Path]


def make(database: Database, target: Path, *, keep_days: int, now: datetime, pg_bin: Path | None = None) -> Made:
    """Back the database up into `target`, a file or a folder, then remove our backups there older than `keep_days`.

    0 keeps them all. Neither the visitor salts nor the secret key are in it. Conflict when the file is there already,
    or another backup is being made in its folder.
    """
    unfinished.require_finished(database)
    file = target / f"passerelle-{now:%Y%m%dT%H%M%SZ}.backup" if target.is_dir() else target
    if file.exists():
        raise Conflict(f"There is already a file {file}.")
    try:
        with _work_folder(file.parent) as folder:
            manifest = _write(database, folder / "backup", folder, now, pg_bin)
            (folder / "backup").replace(file)
            sync_file(file.parent)
            removed = list(_remove_old(file, manifest, now - timedelta(days=keep_days))) if keep_days else []
    except (OSError, sqlite3.Error) as error:
        raise Conflict(f"The backup was not made: {error}") from error
    return Made(file, manifest, removed)


def _write(database: Database, fresh: Path, folder: Path, now: datetime, pg_bin: Path | None) -> Manifest:
    if database.path is None:
        return _write_postgres(database, fresh, now, pg_bin)
    return _write_sqlite(database.path, fresh, folder, now)


def _write_sqlite(source: Path, fresh: Path, folder: Path, now: datetime) -> Manifest:
    copied = sqlite.copy(source, folder)
    schema, key = sqlite.describe(copied)
    manifest = Manifest("sqlite", now, schema, key, f"SQLite {sqlite3.sqlite_version}")

    def fill(member: IO[bytes]) -> None:
        with copied.open("rb") as file:
            shutil.copyfileobj(file, member, CHUNK)

    archive.write(fresh, manifest, fill)
    return manifest


def _write_postgres(database: Database, fresh: Path, now: datetime, pg_bin: Path | None) -> Manifest:
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        tool = postgres.find_tool("pg_dump", pg_bin, connection, database.dsn)
        schema, key = postgres.describe(connection)
    manifest = Manifest("postgresql", now, schema, key, tool.version)
    archive.write(fresh, manifest, lambda member: postgres.dump(tool, member))
    return manifest


@contextmanager
def _work_folder(folder: Path) -> Iterator[Path]:
    """A place for what is not whole yet, which only its owner reads. What a killed backup left is removed first."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(f"Another backup is being made in {folder.absolute()}.") from error
        for left in folder.glob(f"{_WORK}*"):
            shutil.rmtree(left)
        with tempfile.TemporaryDirectory(prefix=_WORK, dir=folder) as name:
            yield Path(name)
    finally:
        os.close(lock)


def _remove_old(made: Path, manifest: Manifest, before: datetime) -> Iterator[Path]:
    """Remove what this database's backups in the folder hold of people longer than their term."""
    for path in sorted(made.parent.glob("passerelle-*.backup")):
        if path == made or not _NAME.match(path.name):
            continue
        try:
            other = archive.read_manifest(path)
        except CampaignError as error:
            log.warning("an older backup is left where it is: %s", error.detail)
            continue
        if other.key_fingerprint == manifest.key_fingerprint and other.made_at < before:
            path.unlink()
            yield path
