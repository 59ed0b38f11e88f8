"""More scans than the disk takes: declared refusals with a way on, a flat memory, nothing lost, and back at once."""

import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

import httpx2
import pytest

from tests.api.helpers import Shop, make_shop
from tests.conftest import Server, running_server, wait_until
from tests.faults.load import load, lost

QUEUE = 8
PHONES = 40
HELD_S = 4.0
GROWTH_KB = 24_000  # pages, caches and threads that a first crowd brings
# Another process that holds the database for so many seconds: the slow disk is a real one.
HOLD = (
    "import sqlite3, sys, time; c = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=20);"
    "c.execute('BEGIN EXCLUSIVE'); print('held', flush=True); time.sleep(float(sys.argv[2])); c.execute('ROLLBACK')"
)


@pytest.fixture
def narrow(tmp_path: Path) -> Iterator[Server]:
    """A server whose queue is short."""
    with running_server(f"sqlite:///{tmp_path}/passerelle.db", PASSERELLE_QUEUE_LIMIT=str(QUEUE)) as server:
        yield server


@contextmanager
def held(server: Server, seconds: float) -> Iterator[None]:
    """The database is somebody else's for so long."""
    path = server.environment["PASSERELLE_DATABASE_URL"].removeprefix("sqlite:///")
    with subprocess.Popen([sys.executable, "-c", HOLD, path, str(seconds)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        yield


def resident_kb(server: Server) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0])


def test_beyond_the_queue_scans_are_refused_as_declared_and_none_that_was_answered_is_lost(narrow: Server) -> None:
    code = make_shop(narrow).code
    with load(narrow, code, PHONES) as told:
        wait_until(lambda: told.statuses[200] > 300, seconds=60)
        warm_kb = resident_kb(narrow)
        with held(narrow, HELD_S):
            wait_until(lambda: told.statuses[503] > 500, seconds=60)
            grown_kb = resident_kb(narrow) - warm_kb
        before = told.statuses[200]
        wait_until(lambda: told.statuses[200] > before + 300, seconds=20)
    assert set(told.statuses) == {200, 503}
    for refusal in told.refusals[:: max(1, len(told.refusals) // 50)]:
        assert refusal.json()["code"] == "log_unavailable"
        assert int(refusal.headers["retry-after"]) > 0
        assert refusal.headers["cache-control"] == "no-store"
    assert grown_kb < GROWTH_KB
    assert lost(narrow, told) == set()
    assert narrow.passerelle("verify").stdout.strip() == "Everything adds up."


def test_the_refusal_is_a_page_that_leads_on(narrow: Server) -> None:
    hosted = make_shop(narrow)
    away = make_shop(narrow, destination="https://shop.example/verger")
    with narrow.phone(Accept="text/html", **{"Accept-Language": "en"}) as phone:
        for shop in (hosted, away):
            phone.get(f"/t/{shop.code}", follow_redirects=False)
        with load(narrow, hosted.code, PHONES) as told, held(narrow, HELD_S):
            wait_until(lambda: told.statuses[503] > 50, seconds=30)
            pages = {shop.code: _refusal(phone, shop) for shop in (hosted, away)}
    assert f'href="/m/{hosted.slug}"' in pages[hosted.code]
    assert 'href="https://shop.example/verger"' in pages[away.code]
    assert lost(narrow, told) == set()
    assert narrow.passerelle("verify").stdout.strip() == "Everything adds up."


def _refusal(phone: httpx2.Client, shop: Shop) -> str:
    for _ in range(200):
        answer = phone.get(f"/t/{shop.code}", follow_redirects=False)
        if answer.status_code == 503:
            assert answer.headers["content-type"].startswith("text/html")
            assert int(answer.headers["retry-after"]) > 0
            return str(answer.text)
    raise AssertionError("no scan was refused")


def test_a_server_told_to_stop_with_a_full_queue_writes_what_it_holds(narrow: Server) -> None:
    code = make_shop(narrow).code
    path = narrow.environment["PASSERELLE_DATABASE_URL"].removeprefix("sqlite:///")
    with load_until_gone(narrow, code), held(narrow, 2.0):
        time.sleep(0.5)
        before = _stored(path)
        narrow.process.send_signal(signal.SIGTERM)
        narrow.process.wait(timeout=30)
    assert _stored(path) >= before + QUEUE  # the batch in hand and the queue behind it
    assert narrow.passerelle("verify").stdout.strip() == "Everything adds up."


@contextmanager
def load_until_gone(server: Server, code: str) -> Iterator[None]:
    """Phones that come again on a new connection until nobody is there."""

    def scan() -> None:
        with suppress(httpx2.HTTPError), server.phone() as phone:
            while True:
                phone.get(f"/t/{code}", headers={"Connection": "close"})

    threads = [Thread(target=scan, daemon=True) for _ in range(PHONES)]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join(timeout=30)


def _stored(path: str) -> int:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return int(connection.execute("SELECT count(*) FROM scans").fetchone()[0])
    finally:
        connection.close()
