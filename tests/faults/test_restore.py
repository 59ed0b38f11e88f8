"""A restore is whole or nothing: what was there stays until the other stands, and nobody erased comes back."""

import os
import shutil
import sqlite3
import stat
import zipfile
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text
from sqlmodel import Session

from campaigns import migrations
from campaigns.backup import postgres
from campaigns.errors import CampaignError, Conflict
from campaigns.ids import uuid7
from campaigns.migrations import unfinished
from campaigns.privacy.log import Erasure, ErasureLog
from campaigns.sealing import Keyring
from campaigns.storage import Database, sole_process
from tests.conftest import new_postgres_url
from tests.faults.backups import (
    NOW,
    content_of,
    found,
    name_in,
    note_replay,
    put,
    rename,
    rename_and_die,
    restate,
    tables_of,
    take,
)
from tests.kept import Kept


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A small installation on each database."""
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    shutil.copy(request.getfixturevalue("migrated_sqlite"), tmp_path / "passerelle.db")
    found(f"sqlite:///{tmp_path}/passerelle.db", name="Before")
    return f"sqlite:///{tmp_path}/passerelle.db"


@pytest.fixture
def postgres_url(postgres: str, kept_postgres: Kept) -> str:
    """The same in a database of its own: what a restore sets aside would be in the way of other tests."""
    kept_postgres.empty()
    kept_postgres.let_go()  # of a database that somebody is connected to no copy is made
    url = new_postgres_url(postgres, like=kept_postgres.url)
    found(url, name="Before")
    return url


def erase_somebody(folder: Path) -> list[Erasure]:
    log = ErasureLog(folder)
    log.append(uuid7(), NOW + timedelta(minutes=5))
    log.close()
    return log.read()


def test_a_restore_replays_the_erasures_made_since_and_keeps_what_was_there(url: str, tmp_path: Path) -> None:
    made = take(url, tmp_path / "it.backup")
    rename(url, "After")
    erased = erase_somebody(tmp_path / "erasures")
    asked: list[Erasure] = []

    def replay(session: Session, erasures: Sequence[Erasure]) -> int:
        asked.extend(erasures)
        return note_replay(session, erasures)

    done = put(url, made.file, tmp_path / "erasures", replay=replay)
    assert asked == erased
    assert (done.noted, done.erased, done.problems) == (1, 1, [])
    assert name_in(url) == "Before, 1 erased"
    assert kept_name(url, done.kept) == "After"


def kept_name(url: str, kept: str | None) -> str:
    """The organisation's name in what a restore set aside."""
    assert kept is not None
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(kept)) as connection:
            return str(connection.execute("SELECT name FROM organisations").fetchone()[0])
    schema = kept.removeprefix("schema ")
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        row = connection.execute(f'SELECT name FROM "{schema}".organisations').fetchone()
        assert row is not None
        return str(row[0])


def test_what_a_restore_set_aside_is_in_no_later_backup(postgres_url: str, tmp_path: Path) -> None:
    url = postgres_url
    first = take(url, tmp_path / "first.backup")
    rename(url, "Forgotten")
    put(url, first.file, tmp_path / "none", replay=note_replay)
    second = take(url, tmp_path / "second.backup")
    assert any(name.startswith("replaced_") for name in tables_of(url))
    assert b"Forgotten" not in content_of(second.file)
    assert b"Before" in content_of(second.file)


def test_a_replay_that_fails_leaves_what_was_there(url: str, tmp_path: Path) -> None:
    made = take(url, tmp_path / "it.backup")
    rename(url, "After")
    erase_somebody(tmp_path / "erasures")

    def replay(session: Session, erasures: Sequence[Erasure]) -> int:
        note_replay(session, erasures)
        session.flush()
        raise Conflict("It cannot be done.")

    before = everything(url)
    with pytest.raises(Conflict, match="cannot be done"):
        put(url, made.file, tmp_path / "erasures", replay=replay)
    assert name_in(url) == "After"
    assert everything(url) == before


def everything(url: str) -> list[str]:
    """The files beside a SQLite database, or the tables of a PostgreSQL one."""
    if not url.startswith("sqlite"):
        return tables_of(url)
    folder = Path(url.removeprefix("sqlite:///")).parent
    return sorted(
        one.name for one in folder.iterdir() if one.name.startswith("passerelle.db") and one.suffix != ".lock"
    )


Spoil = Callable[[Path], None]


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size - 30)


def alter(file: Path) -> None:
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 100] = bytes(100)
    file.write_bytes(content)


def empty(file: Path) -> None:
    os.truncate(file, 0)


def foreign(file: Path) -> None:
    file.write_bytes(b"SQLite format 3\0" + b"x" * 1000)


def foreign_zip(file: Path) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("holidays.txt", "not a database")


def stuff(file: Path) -> None:
    """A manifest that unfolds to megabytes before anybody looks at it."""
    restate(file, tool="0" * 3_000_000)


SPOILT: list[tuple[str, Spoil]] = [
    ("is cut off: its end is missing", cut),
    ("is damaged", alter),
    ("is empty", empty),
    ("is no backup that", foreign),
    ("is no backup that", foreign_zip),
    ("is no backup that", stuff),
    ("There is no file", Path.unlink),
    ("has schema 9999.*newer Passerelle made it", lambda file: restate(file, schema="9999")),
    ("made by a newer Passerelle, in a form", lambda file: restate(file, passerelle_backup=2)),
]


def test_files_that_are_no_whole_backup_are_refused_in_words_and_touch_nothing(url: str, tmp_path: Path) -> None:
    whole = take(url, tmp_path / "it.backup").file.read_bytes()
    rename(url, "After")
    before = everything(url)
    for words, spoil in SPOILT:
        file = tmp_path / "spoilt.backup"
        file.write_bytes(whole)
        spoil(file)
        with pytest.raises(CampaignError, match=words):
            put(url, file, tmp_path / "none", replay=note_replay)
    assert everything(url) == before
    assert name_in(url) == "After"


def test_another_secret_key_is_refused_in_words(url: str, tmp_path: Path) -> None:
    made = take(url, tmp_path / "it.backup")
    rename(url, "After")
    other = Keyring("quite another secret key, of no use here").fingerprint()
    with pytest.raises(Conflict, match="PASSERELLE_SECRET_KEY is not the key of this backup"):
        put(url, made.file, tmp_path / "none", replay=note_replay, fingerprint=other)
    restate(made.file, key_fingerprint=other)  # a file that lies about its key gets no further
    with pytest.raises(Conflict, match="PASSERELLE_SECRET_KEY is not the key"):
        put(url, made.file, tmp_path / "none", replay=note_replay, fingerprint=other)
    assert name_in(url) == "After"


def test_a_backup_of_the_other_kind_of_database_is_refused(url: str, tmp_path: Path) -> None:
    made = take(url, tmp_path / "it.backup")
    other = "postgresql+psycopg://nobody@127.0.0.1:1/none" if url.startswith("sqlite") else f"sqlite:///{tmp_path}/o.db"
    with pytest.raises(CampaignError, match="This is a backup of"):
        put(other, made.file, tmp_path / "none", replay=note_replay)


def test_nothing_is_restored_while_a_server_is_there(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "GOING_S", 0.3)
    made = take(url, tmp_path / "it.backup")
    rename(url, "After")
    if url.startswith("sqlite"):
        with sole_process(Path(url.removeprefix("sqlite:///"))), pytest.raises(Conflict, match="Another Passerelle"):
            put(url, made.file, tmp_path / "none", replay=note_replay)
    else:
        with (
            psycopg.connect(url.replace("+psycopg", "")),
            pytest.raises(Conflict, match="other connections use this database"),
        ):
            put(url, made.file, tmp_path / "none", replay=note_replay)
    assert name_in(url) == "After"


def test_a_postgresql_that_is_not_empty_asks_for_force(postgres_url: str, tmp_path: Path) -> None:
    url = postgres_url
    made = take(url, tmp_path / "it.backup")
    rename(url, "After")
    with pytest.raises(Conflict, match=r"not empty.*--force"):
        put(url, made.file, tmp_path / "none", replay=note_replay, force=False)
    assert name_in(url) == "After"


def test_an_older_schema_is_migrated_and_served_from(database_url: str, tmp_path: Path) -> None:
    from alembic import command
    from alembic.script import ScriptDirectory

    config = migrations._config()
    script = ScriptDirectory.from_config(config)
    newest = script.get_revision("head")
    older = script.get_revision(str(newest.down_revision))
    database = Database(database_url)
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, older.revision)
        connection.execute(
            text("INSERT INTO organisations (id, name, created_at) VALUES (:id, 'Old', :now)"),
            {"id": "0" * 32, "now": NOW.replace(tzinfo=None) if database.is_sqlite else NOW},
        )
    database.close()
    made = take(database_url, tmp_path / "it.backup")
    assert made.manifest.schema == older.revision
    done = put(database_url, made.file, tmp_path / "none", replay=note_replay)
    assert done.schema == newest.revision
    assert name_in(database_url) == "Old"


def test_an_unfinished_restore_is_not_served(url: str) -> None:
    database = Database(url)
    if database.path is not None:
        unfinished.mark_file(database.path)
    else:
        with database.engine.begin() as connection:
            connection.execute(text(f"CREATE TABLE {unfinished.TABLE} (kept text)"))
    try:
        for act in (lambda: migrations.upgrade(database), lambda: take(url, Path("/nowhere"))):
            with pytest.raises(Conflict, match="has not finished"):
                act()
    finally:
        database.close()


def test_a_broken_file_gives_way_and_its_log_meets_no_other(tmp_path: Path) -> None:
    """What a crashed disk leaves: a file that cannot be opened, and a WAL that would be applied to the new one."""
    path = tmp_path / "passerelle.db"
    url = f"sqlite:///{path}"
    found(url, name="Before")
    made = take(url, tmp_path / "it.backup")
    path.write_bytes(b"no database at all" * 500)
    wal = path.with_name("passerelle.db-wal")
    wal.write_bytes(b"a log of something else")
    shared = path.with_name("passerelle.db-shm")
    shared.write_bytes(b"an index of that log")
    done = put(url, made.file, tmp_path / "none", replay=note_replay)
    assert not shared.exists()
    assert name_in(url) == "Before"
    assert done.kept is not None
    assert Path(done.kept).read_bytes().startswith(b"no database at all")
    assert Path(f"{done.kept}-wal").read_bytes() == b"a log of something else"
    assert not wal.exists()


def test_acts_still_in_the_wal_are_kept_with_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "passerelle.db"
    url = f"sqlite:///{path}"
    found(url, name="Before")
    made = take(url, tmp_path / "it.backup")
    rename_and_die(url, "After")
    assert path.with_name("passerelle.db-wal").stat().st_size > 0
    done = put(url, made.file, tmp_path / "none", replay=note_replay)
    assert kept_name(url, done.kept) == "After"
    assert name_in(url) == "Before"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_fresh_place_takes_a_backup_without_force(url: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    made = take(url, tmp_path / "it.backup")
    if url.startswith("sqlite"):
        place = f"sqlite:///{tmp_path}/new/place.db"
    else:
        place = new_postgres_url(request.getfixturevalue("postgres"))
    done = put(place, made.file, tmp_path / "none", replay=note_replay, force=False)
    assert done.kept is None
    assert name_in(place) == "Before"
