"""A backup beside a busy server holds what was answered before it; one that was cut off holds nothing at all."""

import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from sqlmodel import select

from campaigns.backup import postgres
from campaigns.errors import CampaignError, Conflict
from campaigns.ids import uuid7
from campaigns.privacy.log import ErasureLog
from campaigns.scans import Scan
from campaigns.scans.models import CheckIn
from campaigns.storage import Database
from tests.api.helpers import Shop, make_shop
from tests.conftest import ROOT, SECRET, Server, new_postgres_url, run_passerelle, running_server, wait_until
from tests.faults.backups import NOW, OLD_PG_BIN, PG_BIN, content_of, found, rename, restate, take
from tests.faults.load import Load, load
from tests.scenarios.test_privacy import salts_in

PHONES = 6
SOAK = bool(os.environ.get("PASSERELLE_SOAK"))
POINTS = 200 if SOAK else 2  # 200: each step


@contextmanager
def check_ins(shop: Shop) -> Iterator[list[str]]:
    """People who scan and check in, one after the other, until the end of the block; the scans they were answered."""
    answered: list[str] = []
    stopping = threading.Event()

    def act() -> None:
        while not stopping.is_set():
            scan = shop.scan()
            with shop.server.phone(Accept="application/json") as phone:
                phone.post(f"/t/{shop.code}/check-in", json={"receipt": scan["receipt"]}).raise_for_status()
            answered.append(scan["scan_id"])

    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    try:
        yield answered
    finally:
        stopping.set()
        thread.join(timeout=60)


def test_a_backup_under_load_is_whole_and_a_server_serves_from_it(
    database_url: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder = tmp_path / "backups"
    with running_server(database_url, PASSERELLE_PG_BIN=str(PG_BIN)) as server:
        shop = make_shop(server)
        with load(server, shop.code, PHONES) as told, check_ins(shop) as acted:
            wait_until(lambda: told.statuses[200] > (20_000 if SOAK else 300) and len(acted) > 5, seconds=120)
            scans, acts = list(told.answered), list(acted)
            begun = time.monotonic()
            made = backed_up(server, folder)
            say_how_long(told, begun, time.monotonic())
        assert set(told.statuses) == {200}
        (salt,) = salts_in(database_url)
    file = Path(made["file"])
    assert file.stat().st_mode & 0o777 == 0o600
    content = content_of(file)
    for secret in (SECRET.encode(), salt, salt.hex().encode(), server.key.encode()):
        assert secret not in content
    place = another_place(database_url, request, tmp_path)
    environment = server.environment | {"PASSERELLE_DATABASE_URL": place}
    restored = run_passerelle(environment, "restore", str(file), "--json")
    assert restored.returncode == 0, restored.stderr
    assert json.loads(restored.stdout)["problems"] == []
    assert missing(place, Scan.id, scans) == set()
    assert missing(place, CheckIn.scan_id, acts) == set()
    with running_server(place) as again, again.phone(Accept="application/json") as phone:
        assert phone.get(f"/t/{shop.code}").json()["verdict"] == "valid"


def backed_up(server: Server, folder: Path) -> dict[str, str]:
    done = run_passerelle(server.environment, "backup", f"{folder}/", "--json")
    assert done.returncode == 0, done.stderr
    told: dict[str, str] = json.loads(done.stdout)
    return told


def say_how_long(told: Load, begun: float, ended: float) -> None:
    for when, took in (
        ("before", [one for at, one in told.took if at < begun]),
        ("during", [one for at, one in told.took if begun <= at < ended]),
    ):
        p99 = sorted(took)[int(len(took) * 0.99)] * 1000
        sys.stdout.write(f"scans {when} the backup: {len(took)}, p99 {p99:.0f} ms\n")


def another_place(url: str, request: pytest.FixtureRequest, folder: Path) -> str:
    if url.startswith("sqlite"):
        return f"sqlite:///{folder}/elsewhere/passerelle.db"
    return new_postgres_url(request.getfixturevalue("postgres"))


def missing(url: str, column: object, shown: list[str]) -> set[UUID]:
    database = Database(url)
    with database.snapshot() as session:
        stored = set(session.exec(select(column)).all())  # type: ignore[call-overload]  # a column
    database.close()
    return {UUID(one.removeprefix("scn_")) for one in shown} - stored


def test_whatever_moment_it_is_killed_at_nothing_is_half_done(database_url: str, tmp_path: Path) -> None:
    found(database_url, name="Before", rows=600 if SOAK else 200)
    prepare_restores(database_url, tmp_path)
    command = [sys.executable, "-m", "tests.faults.kill_points", database_url, str(tmp_path / "kept"), str(POINTS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr


def prepare_restores(url: str, folder: Path) -> None:
    kept = folder / "kept"
    kept.mkdir()
    take(url, kept / "it.backup")
    rename(url, "After")
    take(url, kept / "after.backup")
    log = ErasureLog(kept / "erasures")
    log.append(uuid7(), NOW)
    log.close()


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """The disk is full, as far as this process can tell."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_no_file_of_that_name(database_url: str, tmp_path: Path) -> None:
    found(database_url, name="Before", rows=20)
    folder = tmp_path / "backups"
    folder.mkdir()
    size = take(database_url, folder).file.stat().st_size
    for room in (100, size // 2, size - 10):
        with files_of_at_most(room), pytest.raises(Conflict, match="The backup was not made"):
            take(database_url, folder, now=NOW + timedelta(minutes=1))
    assert [one.name for one in folder.iterdir()] == ["passerelle-20261005T120000Z.backup"]


def test_a_backup_has_a_term_and_only_our_own_are_removed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/passerelle.db"
    found(url, name="Before")
    folder = tmp_path / "backups"
    folder.mkdir()
    for days in (40, 31, 29):
        take(url, folder, now=NOW - timedelta(days=days))
    old = take(url, folder, now=NOW - timedelta(days=50)).file
    restate(old, key_fingerprint="of another installation")
    (folder / "passerelle-20250101T000000Z.backup").write_bytes(b"something else of that name")
    take(url, folder / "by-hand.backup", now=NOW - timedelta(days=90))
    made = take(url, folder, keep_days=30, now=NOW)
    assert [one.name for one in made.removed] == [
        "passerelle-20260826T120000Z.backup",
        "passerelle-20260904T120000Z.backup",
    ]
    assert sorted(one.name for one in folder.iterdir()) == [
        "by-hand.backup",
        "passerelle-20250101T000000Z.backup",
        "passerelle-20260816T120000Z.backup",
        "passerelle-20260906T120000Z.backup",
        "passerelle-20261005T120000Z.backup",
    ]


def test_what_was_deleted_is_not_in_a_backup(tmp_path: Path) -> None:
    """SQLite leaves it in pages that are free, and the online backup copies those too."""
    url = f"sqlite:///{tmp_path}/passerelle.db"
    found(url, name="Before")
    database = Database(url)
    with database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA secure_delete=OFF")
        for statement in (
            "CREATE TABLE notes (note TEXT)",
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) "
            "INSERT INTO notes SELECT 'Claire Planted ' || i FROM n",
            "DROP TABLE notes",
        ):
            connection.exec_driver_sql(statement)
        connection.commit()
    database.close()
    made = take(url, tmp_path / "it.backup")
    assert b"Claire Planted" in (tmp_path / "passerelle.db").read_bytes()
    assert b"Claire Planted" not in content_of(made.file)


def test_a_backup_is_never_written_over_another_file(database_url: str, tmp_path: Path) -> None:
    found(database_url, name="Before")
    file = tmp_path / "it.backup"
    file.write_bytes(b"dear to somebody")
    with pytest.raises(Conflict, match="already a file"):
        take(database_url, file)
    assert file.read_bytes() == b"dear to somebody"
    with pytest.raises(Conflict, match="was not made"):
        take(database_url, tmp_path / "nowhere" / "it.backup")


def test_a_missing_or_older_pg_dump_is_refused_in_words(postgres_database: Database, tmp_path: Path) -> None:
    with psycopg.connect(postgres_database.dsn) as connection:
        for name in ("pg_dump", "pg_restore"):
            with pytest.raises(CampaignError, match=rf"There is no {name} in PASSERELLE_PG_BIN"):
                postgres.find_tool(name, tmp_path, connection, postgres_database.dsn)
            with pytest.raises(CampaignError, match=r"older than the server, PostgreSQL 18.*Install"):
                postgres.find_tool(name, OLD_PG_BIN, connection, postgres_database.dsn)


def test_a_password_is_on_no_command_line() -> None:
    dsn = "postgresql://brand:Tr0ub4dor@db.example:5433/shop?sslmode=require"
    command = postgres.Tool("pg_dump", "pg_dump 18", dsn).command("--format=custom")
    assert not any("Tr0ub4dor" in one for one in command["args"])
    assert command["env"]["PGPASSWORD"] == "Tr0ub4dor"
    told = next(one for one in command["args"] if one.startswith("--dbname="))
    for part in ("host=db.example", "port=5433", "user=brand", "dbname=shop", "sslmode=require"):
        assert part in told


def test_a_key_is_asked_for_and_never_made_by_a_restore(tmp_path: Path) -> None:
    found(f"sqlite:///{tmp_path}/passerelle.db", name="Before")
    made = take(f"sqlite:///{tmp_path}/passerelle.db", tmp_path / "it.backup")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PASSERELLE_")}
    environment["PASSERELLE_DATABASE_URL"] = f"sqlite:///{tmp_path}/new.db"
    done = run_passerelle(environment, "restore", str(made.file))
    assert done.returncode == 1
    assert "Give the key of this backup first" in done.stderr
    assert list(tmp_path.glob("new.db*")) == []


def test_a_restore_that_finds_no_log_of_erasures_says_so(tmp_path: Path) -> None:
    """On another host the folder is easily forgotten, and everybody who was erased is back."""
    url = f"sqlite:///{tmp_path}/passerelle.db"
    found(url, name="Before")
    made = take(url, tmp_path / "it.backup")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PASSERELLE_")}
    environment |= {"PASSERELLE_DATABASE_URL": url, "PASSERELLE_SECRET_KEY": SECRET}
    question = "Is that the log of this database?"
    assert question in run_passerelle(environment, "restore", str(made.file)).stdout
    ErasureLog(tmp_path / "passerelle.db.erasures").append(uuid7(), NOW)
    done = run_passerelle(environment, "restore", str(made.file))
    assert (done.returncode, question in done.stdout) == (0, False)
