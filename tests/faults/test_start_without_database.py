"""A server that starts while PostgreSQL is away waits for it, says so, and gives up in words."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import psycopg
import pytest

from tests.api.helpers import make_shop
from tests.conftest import PHONE, ROOT, SECRET, Server, client, free_port, run_passerelle, running_server, wait_until
from tests.faults.cluster import Postgres


def environment(url: str, **settings: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PASSERELLE_")}
    return kept | {
        "PASSERELLE_DATABASE_URL": url,
        "PASSERELLE_SECRET_KEY": SECRET,
        "PASSERELLE_PORT": str(free_port()),
        **settings,
    }


@contextmanager
def starting(server: Server, said: Path, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    """The same server once more; what it says goes to a file."""
    command = [sys.executable, "-m", "api", "serve", *arguments]
    with said.open("wb") as out:
        process = subprocess.Popen(command, env=server.environment, cwd=ROOT, stdout=out, stderr=out)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=30)


def is_ready(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/readyz", timeout=2).status_code == 200
    except httpx2.HTTPError:
        return False


@pytest.mark.parametrize("workers", [1, 2] if os.environ.get("PASSERELLE_SOAK") else [2])
def test_a_server_waits_for_the_database_and_starts_with_it(
    own_postgres: Postgres, tmp_path: Path, workers: int
) -> None:
    said = tmp_path / "said"
    with running_server(own_postgres.url, PASSERELLE_SPOOL_DIR=str(tmp_path / "spool")) as server:
        code = make_shop(server).code
    own_postgres.stop()
    with starting(server, said, "--workers", str(workers)) as process:
        wait_until(lambda: b"PostgreSQL does not answer" in said.read_bytes(), seconds=20)
        time.sleep(1)
        assert process.poll() is None
        assert b"listens on" not in said.read_bytes(), "nobody listens yet"
        own_postgres.start()
        wait_until(lambda: is_ready(server.url), seconds=30)
        with server.phone(Accept="application/json") as phone:
            assert phone.get(f"/t/{code}").json()["verdict"] == "valid"
        assert server.passerelle("verify").stdout.strip() == "Everything adds up."
    assert b"Traceback" not in said.read_bytes()


def test_a_process_that_takes_anothers_place_waits_too(own_postgres: Postgres, tmp_path: Path) -> None:
    """One of two is killed while the database is away: the other answers, and the new one comes with the database."""
    said = tmp_path / "said"
    with running_server(own_postgres.url, PASSERELLE_SPOOL_DIR=str(tmp_path / "spool")) as server:
        code = make_shop(server).code
    with starting(server, said, "--workers", "2") as process:
        wait_until(lambda: is_ready(server.url), seconds=30)
        wait_until(lambda: len(_answering(server, code)) == 2, seconds=30)
        both = _answering(server, code)
        own_postgres.stop()
        first = _workers(process.pid)
        os.kill(first.pop(), signal.SIGKILL)
        wait_until(lambda: b"PostgreSQL does not answer" in said.read_bytes(), seconds=60)
        (replaced,) = _workers(process.pid) - first
        wait_until(lambda: _status(server, code) == 200, seconds=60)
        own_postgres.start()
        wait_until(lambda: len(_answering(server, code) - both) == 1, seconds=30)
        assert replaced in _workers(process.pid), "it waited, it did not die and come again"


def _workers(parent: int) -> set[int]:
    """The processes of a server that answer requests."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return {int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()}


def _status(server: Server, code: str) -> int:
    """What a phone that comes now is answered; 0 when it is not, or not soon."""
    headers = {"User-Agent": PHONE, "Accept": "application/json"}
    try:
        with client(server.url, headers=headers, timeout=5) as phone:
            return phone.get(f"/t/{code}").status_code
    except httpx2.HTTPError:
        return 0


def _answering(server: Server, code: str) -> set[int]:
    """The writer numbers that have counted a scan so far, after some more scans, each on a connection of its own."""
    for _ in range(20):
        with server.phone(Accept="application/json") as phone:
            phone.get(f"/t/{code}")
    with psycopg.connect(server.environment["PASSERELLE_DATABASE_URL"].replace("+psycopg", "")) as connection:
        found = connection.execute("SELECT DISTINCT writer FROM scan_counters WHERE writer > 0").fetchall()
    return {row[0] for row in found}


def test_patience_has_an_end(own_postgres: Postgres) -> None:
    own_postgres.stop()
    for command in ("serve", "worker"):
        done = run_passerelle(environment(own_postgres.url, PASSERELLE_START_PATIENCE_S="1"), command)
        assert done.returncode == 1
        assert "did not answer within 1 s" in " ".join(done.stderr.split())
        assert "PASSERELLE_START_PATIENCE_S" in done.stderr
        assert "Traceback" not in done.stderr
        assert done.stdout == ""


@pytest.mark.parametrize("wrong", ["password", "role", "database"])
def test_what_no_waiting_mends_is_told_at_once(own_postgres: Postgres, wrong: str) -> None:
    with psycopg.connect(own_postgres.url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("CREATE ROLE locked LOGIN PASSWORD 'right'")
        rules = own_postgres.data / "pg_hba.conf"
        rules.write_text("host all locked 127.0.0.1/32 scram-sha-256\n" + rules.read_text())
        connection.execute("SELECT pg_reload_conf()")
    url = {
        "password": own_postgres.url.replace("postgres@", "locked:not-the-right-one@"),
        "role": own_postgres.url.replace("postgres@", "nobody@"),
        "database": own_postgres.url.removesuffix("postgres") + "nowhere",
    }[wrong]
    start = time.monotonic()
    done = run_passerelle(environment(url, PASSERELLE_START_PATIENCE_S="60"), "serve")
    assert time.monotonic() - start < 30
    assert done.returncode == 1
    assert "PostgreSQL refuses PASSERELLE_DATABASE_URL" in " ".join(done.stderr.split())
    assert "not-the-right-one" not in done.stderr
    assert "Traceback" not in done.stderr


def test_other_commands_say_in_a_line_that_the_database_is_away(own_postgres: Postgres) -> None:
    own_postgres.stop()
    for command in (["init"], ["verify"], ["scans", "detach", "--before", "2026-01"]):
        done = run_passerelle(environment(own_postgres.url), *command)
        assert done.returncode == 1
        assert "The database does not answer" in done.stderr
        assert "Traceback" not in done.stderr
