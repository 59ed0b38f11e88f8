"""A full disk under a running server: the declared 503, nothing half-written, and all well when there is room again.

The limit is the system's own on the size of files (RLIMIT_FSIZE), put on the server's process while it runs: writes
beyond it fail as on a full disk, and lifting it makes room.
"""

import resource
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from campaigns import migrations
from campaigns.scans.log import SqliteWriter
from campaigns.storage import Database, connect_sqlite
from campaigns.verify import verify
from campaigns.write_lock import WriteLock
from tests.api.helpers import PLACE, make_shop
from tests.conftest import Server, wait_until
from tests.factories import make_scan
from tests.faults.load import load, lost

PHONES = 12
SALT_LIMIT = 10  # bytes: not even a salt has room


def fill(server: Server, limit: int) -> None:
    """No file of the server may grow beyond so many bytes; its hard limit stays, so that room can be made."""
    _, hard = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (limit, hard))


def make_room(server: Server) -> None:
    _, hard = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (hard, hard))


def wal_size(server: Server) -> int:
    path = Path(server.environment["PASSERELLE_DATABASE_URL"].removeprefix("sqlite:///"))
    return path.with_name(path.name + "-wal").stat().st_size


def test_a_full_disk_is_the_declared_503_until_there_is_room(sqlite_server: Server) -> None:
    shop = make_shop(sqlite_server)
    with load(sqlite_server, shop.code, PHONES) as told:
        wait_until(lambda: told.statuses[200] > 100, seconds=30)
        fill(sqlite_server, wal_size(sqlite_server) + 20_000)
        wait_until(lambda: told.statuses[503] > 100, seconds=30)
        fill(sqlite_server, 4_096)  # what is small might still have fitted
        with sqlite_server.api() as api:
            refused = api.post("/v1/places", json=PLACE)
        assert refused.status_code == 503
        assert refused.json()["code"] == "storage_unavailable"
        with sqlite_server.phone(Accept="text/html") as phone:
            page = phone.get(f"/t/{shop.code}")
            assert page.status_code == 503
            assert f'href="/m/{shop.slug}"' in page.text
            assert phone.get(f"/m/{shop.slug}").status_code == 200, "what only reads goes on"
        make_room(sqlite_server)
        before = told.statuses[200]
        wait_until(lambda: told.statuses[200] > before + 100, seconds=20)
    assert set(told.statuses) == {200, 503}
    for refusal in told.refusals[::20]:
        assert refusal.json()["code"] in ("log_unavailable", "storage_unavailable")
        assert int(refusal.headers["retry-after"]) > 0
    assert lost(sqlite_server, told) == set()
    path = sqlite_server.environment["PASSERELLE_DATABASE_URL"].removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert sqlite_server.passerelle("verify").stdout.strip() == "Everything adds up."


def test_a_salt_that_finds_no_room_costs_the_scan_and_nothing_else(sqlite_server: Server) -> None:
    """The first scan of the day writes the salt: a 503 with a way on, and a scan once there is room."""
    shop = make_shop(sqlite_server)
    fill(sqlite_server, SALT_LIMIT)
    with sqlite_server.phone(Accept="text/html") as phone:
        refused = phone.get(f"/t/{shop.code}")
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        assert f'href="/m/{shop.slug}"' in refused.text
        make_room(sqlite_server)
        assert phone.get(f"/t/{shop.code}").status_code == 200
    assert sqlite_server.passerelle("verify").stdout.strip() == "Everything adds up."


def test_a_batch_that_does_not_fit_leaves_nothing_behind(tmp_path: Path) -> None:
    """SQLite's own limit on pages: the writer's transaction goes back whole, and the next one fits."""
    database = Database(f"sqlite:///{tmp_path}/passerelle.db")
    migrations.upgrade(database)
    assert database.path is not None
    connection = connect_sqlite(database.path)
    writer = SqliteWriter(connection, WriteLock(), 1, lambda: datetime(2026, 10, 14, 10, tzinfo=UTC))
    writer.write([make_scan(None)])
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count={pages + 2}")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        writer.write([make_scan(None) for _ in range(2_000)])
    assert connection.execute("SELECT count(*) FROM scans").fetchone() == (1,)
    assert verify(database) == []
    connection.execute("PRAGMA max_page_count=1000000")
    writer.write([make_scan(None) for _ in range(2_000)])
    assert connection.execute("SELECT count(*) FROM scans").fetchone() == (2_001,)
    assert verify(database) == []
    writer.close()
    database.close()
