"""`passerelle restore`: a backup back in its place, migrated, with the erasures made since; whole, or as it was before.

On SQLite all of that is done to a copy aside, which then takes the place in one step. PostgreSQL has no such step: what
was there becomes a schema of its own, a mark keeps servers out until the replay is committed, and whoever restores
after a killed attempt first puts back what was there.
"""

import shutil
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psycopg
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from campaigns import identity, migrations
from campaigns import verify as verification
from campaigns.backup import archive, postgres, sqlite
from campaigns.backup.archive import Manifest
from campaigns.errors import Conflict, Invalid
from campaigns.migrations import unfinished
from campaigns.privacy.log import Erasure, ErasureLog
from campaigns.storage import Database, sole_process

Replay = Callable[[Session, Sequence[Erasure]], int]


@dataclass(frozen=True)
class Restored:
    """What a restore did: whom it erased again, where what was there is kept, what does not add up."""

    manifest: Manifest
    schema: str
    noted: int  # in the log of erasures
    erased: int  # that were in the backup, and are erased again
    kept: str | None
    problems: list[str]


@dataclass(frozen=True)
class _Settling:
    """What has to happen to a restored database before anything may serve it."""

    fingerprint: str
    erasures: Sequence[Erasure]
    replay: Replay
    now: datetime

    def apply(self, session: Session) -> int:
        identity.recognise_secret_key(session, self.fingerprint, now=self.now)
        return self.replay(session, self.erasures) if self.erasures else 0


def restore(
    database: Database,
    backup: Path,
    *,
    fingerprint: str,
    erasures: ErasureLog,
    replay: Replay,
    now: datetime,
    force: bool = False,
    pg_bin: Path | None = None,
) -> Restored:
    """Put a backup in the place of the database. Refused before anything is touched when it is not one of ours, not
    whole, of another kind of database, key or a newer schema, or while a server runs.

    On PostgreSQL a database that is not empty asks for `force`; what was there is kept on both, and named.
    """
    manifest = archive.require_whole(backup)
    _require_fit(manifest, database, fingerprint)
    settling = _Settling(fingerprint, erasures.read(), replay, now)
    database.close()
    try:
        if database.path is None:
            kept, erased = _restore_postgres(database, backup, manifest, settling, force=force, pg_bin=pg_bin)
            problems = verification.verify(database)
        else:
            kept, erased, problems = _restore_sqlite(database.path, backup, manifest, settling)
    except (OSError, sqlite3.Error, psycopg.Error, SQLAlchemyError) as error:
        raise Conflict(f"Nothing was restored: {' '.join(str(getattr(error, 'orig', error)).split())}") from error
    schema = migrations.newest_version() or ""
    return Restored(manifest, schema, len(settling.erasures), erased, kept, problems)


def _require_fit(manifest: Manifest, database: Database, fingerprint: str) -> None:
    kind = "sqlite" if database.is_sqlite else "postgresql"
    if manifest.database != kind:
        raise Invalid(f"This is a backup of {manifest.database}, and PASSERELLE_DATABASE_URL is one of {kind}.")
    if not migrations.is_known(manifest.schema):
        raise Invalid(
            f"This backup has schema {manifest.schema}, and this code knows {migrations.newest_version()} at most: a "
            "newer Passerelle made it. Install that one first."
        )
    if manifest.key_fingerprint not in ("", fingerprint):
        raise Conflict(
            "PASSERELLE_SECRET_KEY is not the key of this backup: receipts, codes and tags would no longer fit. "
            "Give the key that was kept beside it."
        )


def _restore_sqlite(
    path: Path, backup: Path, manifest: Manifest, settling: _Settling
) -> tuple[str | None, int, list[str]]:
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = path.with_name(path.name + ".restoring")
    with sole_process(path):
        shutil.rmtree(folder, ignore_errors=True)  # of an attempt that was killed
        folder.mkdir(mode=0o700)
        try:
            fresh = sqlite.unpack(backup, manifest, folder)
            aside = Database(f"sqlite:///{fresh}")
            try:
                migrations.upgrade(aside)
                with aside.erasing() as session:
                    erased = settling.apply(session)
                problems = verification.verify(aside)
            finally:
                aside.close()
            kept = sqlite.put_in_place(fresh, path, path.with_name(f"{path.name}.replaced-{_stamp(settling.now)}"))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return (str(kept) if kept else None), erased, problems


def _restore_postgres(
    database: Database, backup: Path, manifest: Manifest, settling: _Settling, *, force: bool, pg_bin: Path | None
) -> tuple[str | None, int]:
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        tool = postgres.find_tool("pg_restore", pg_bin, connection, database.dsn)
        postgres.require_alone(connection)
        postgres.put_back(connection)
        is_empty = postgres.is_empty(connection)
        if not is_empty and not force:
            raise Conflict(
                "The database is not empty. Give an empty one, or --force: what is there is then kept in a schema "
                "of its own."
            )
        kept = None if is_empty else f"{postgres.KEPT}{_stamp(settling.now)}"
        postgres.set_aside(connection, kept)
        try:
            postgres.require_alone(connection)  # nobody came in between: whoever comes now sees the mark
            archive.read_database(backup, manifest, lambda member: postgres.fill(tool, member))
            migrations.upgrade(database, unfinished_too=True)
            erased = _settle_postgres(database, settling)
        except BaseException:
            database.close()
            postgres.put_back(connection)
            raise
    return kept and f"schema {kept}", erased


def _settle_postgres(database: Database, settling: _Settling) -> int:
    """Replay and take the mark away, in one transaction."""
    with database.transaction() as session:
        erased = settling.apply(session)
        session.execute(text(f"DROP TABLE {unfinished.TABLE}"))
    return erased


def _stamp(now: datetime) -> str:
    return f"{now:%Y%m%dt%H%M%Sz}"
