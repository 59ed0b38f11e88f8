"""PostgreSQL goes away under load and comes back: what was answered meanwhile is in the log, once."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import psycopg
import pytest

from tests.conftest import PHONE, Server, running_server, wait_until
from tests.faults.cluster import Postgres

AWAY_S = 30.0 if os.environ.get("PASSERELLE_SOAK") else 3.0
PHONES = 8
KINDS: list[tuple[str, dict[str, str]]] = [
    ("Verger", {"destination": "https://shop.example/"}),
    ("Jardin", {}),
    ("Rive", {}),
    ("Froid", {}),
]
JSON = {"Accept": "application/json"}


@dataclass
class Answers:
    """What the phones were told. `refused` counts the 5xx."""

    scans: list[str] = field(default_factory=list)
    confirmed: list[str] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


@contextmanager
def load(server: Server, code: str) -> Iterator[Answers]:
    """Phones that scan and confirm until the block ends or the server is gone."""
    answers = Answers()
    stop = threading.Event()

    def scan() -> None:
        headers = {"User-Agent": PHONE, "Accept": "application/json"}
        with httpx2.Client(base_url=server.url, headers=headers, timeout=20) as phone:
            while not stop.is_set():
                try:
                    answer = phone.get(f"/t/{code}")
                    if answer.status_code != 200:
                        answers.refused.append(answer.status_code)
                        continue
                    told = answer.json()
                    answers.scans.append(told["scan_id"])
                    if phone.post(f"/t/{code}/confirm", json={"receipt": told["receipt"]}).status_code == 204:
                        answers.confirmed.append(told["scan_id"])
                except httpx2.HTTPError as error:
                    answers.failed.append(type(error).__name__)
                    return
                time.sleep(0.01)

    threads = [threading.Thread(target=scan, daemon=True) for _ in range(PHONES)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        stop.set()
        for thread in threads:
            thread.join(timeout=30)


@pytest.mark.parametrize("ending", ["stopped", "killed"])
def test_scans_go_on_without_the_database(own_postgres: Postgres, tmp_path: Path, ending: str) -> None:
    spool = tmp_path / "spool"
    with running_server(own_postgres.url, PASSERELLE_SPOOL_DIR=str(spool)) as server:
        code, hosted, other, cold = live_codes(server)
        time.sleep(4)  # the sweep has told of these campaigns; what is scanned from now on is known
        with server.phone(Accept="text/html") as phone:
            assert phone.get(f"/t/{other}", headers=JSON).status_code == 200  # known, but its page was never made
            assert "receipt" in phone.get(f"/t/{hosted}").text
        with load(server, code) as answers:
            wait_until(lambda: len(answers.scans) > 50)
            own_postgres.stop() if ending == "stopped" else own_postgres.kill()
            before = len(answers.scans)
            time.sleep(AWAY_S / 2)
            with server.phone(Accept="text/html") as phone:
                page = phone.get(f"/t/{hosted}")
                assert page.status_code == 200
                assert 'name="receipt"' in page.text  # the page kept from before
                fixed = phone.post(f"/t/{hosted}/position", json=position(receipt_of(page.text)), headers=JSON)
                assert fixed.status_code == 200
                assert fixed.json()["geofence"] == "none"
                bare = phone.get(f"/t/{other}?lang=en")
                assert bare.status_code == 200
                assert "kept" in bare.text
                unknown = phone.get(f"/t/{cold}")
                assert unknown.status_code == 503
                assert unknown.headers["retry-after"] == "5"
                assert "<h1" in unknown.text
                acted = phone.post(f"/t/{hosted}/check-in", data={"receipt": receipt_of(page.text)})
                assert acted.status_code == 503
            time.sleep(AWAY_S / 2)
            assert len(answers.scans) > before + 50
            assert list(spool.glob("*.db"))
            own_postgres.start()
            back = len(answers.scans)
            wait_until(lambda: len(answers.scans) > back + 50)
        assert answers.refused == []
        assert answers.failed == []
        wait_until(lambda: set(answers.scans) <= stored(own_postgres), seconds=30)
        wait_until(lambda: set(answers.confirmed) <= confirmed(own_postgres), seconds=30)
        with server.phone(Accept="application/json") as phone:
            assert phone.get(f"/t/{cold}").status_code == 200
        with psycopg.connect(own_postgres.url.replace("+psycopg", "")) as connection:
            assert connection.execute("SELECT count(*) FROM scan_positions").fetchone() == (1,)
        wait_until(lambda: judged(own_postgres) >= len(answers.confirmed), seconds=60)
        assert server.passerelle("verify").stdout.strip() == "Everything adds up."
    assert not list(spool.glob("*.db")), "a drained spool is removed at the end"


def test_a_spool_whose_process_was_killed_is_adopted_at_the_next_start(own_postgres: Postgres, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    with running_server(own_postgres.url, PASSERELLE_SPOOL_DIR=str(spool)) as server:
        code = live_codes(server)[0]
        with load(server, code) as answers:
            wait_until(lambda: len(answers.scans) > 50)
            own_postgres.stop()
            before = len(answers.scans)
            wait_until(lambda: len(answers.scans) > before + 100)
            server.process.kill()
            server.process.wait()
        own_postgres.start()
    assert len(list(spool.glob("*.db"))) == 1
    assert not set(answers.scans) <= stored(own_postgres)
    with running_server(own_postgres.url, PASSERELLE_SPOOL_DIR=str(spool)) as server:
        wait_until(lambda: set(answers.scans) <= stored(own_postgres), seconds=30)
        assert set(answers.confirmed) <= confirmed(own_postgres)
        wait_until(lambda: not list(spool.glob("*.db")))
        assert server.passerelle("verify").stdout.strip() == "Everything adds up."


def stored(own: Postgres) -> set[str]:
    return _ids(own, "SELECT id FROM scans")


def confirmed(own: Postgres) -> set[str]:
    return _ids(own, "SELECT scan_id FROM scan_confirmations")


def judged(own: Postgres) -> int:
    return len(_ids(own, "SELECT scan_id FROM scan_confirmations WHERE is_judged"))


def _ids(own: Postgres, query: str) -> set[str]:
    with psycopg.connect(own.url.replace("+psycopg", "")) as connection:
        found: list[tuple[UUID]] = connection.execute(query).fetchall()
    return {f"scn_{row[0].hex}" for row in found}


def receipt_of(page: str) -> str:
    return page.partition('name="receipt" value="')[2].partition('"')[0]


def position(receipt: str) -> dict[str, Any]:
    return {"receipt": receipt, "lat": 45.0, "lon": 4.0, "accuracy_m": 20, "age_s": 1}


def test_codes_that_ask_first_or_are_closed_still_answer_without_the_database(
    own_postgres: Postgres, tmp_path: Path
) -> None:
    with running_server(own_postgres.url, PASSERELLE_SPOOL_DIR=str(tmp_path / "spool")) as server:
        seen, unseen, closed = asking_codes(server)
        time.sleep(4)  # the sweep has told of these codes; what is scanned from now on is known
        with server.phone(Accept="text/html") as phone:
            page = phone.get(f"/t/{seen}").text
            for code in (unseen, closed):
                assert phone.get(f"/t/{code}", headers=JSON).status_code == 200
            own_postgres.stop()
            wait_until(lambda: phone.get(f"/t/{unseen}").status_code == 302)
            assert phone.get(f"/t/{unseen}").headers["location"] == "https://shop.example/"
            on = phone.post(f"/t/{seen}/confirm", data={"receipt": receipt_of(page)})
            assert (on.status_code, on.headers["location"]) == (303, "https://shop.example/")
            assert "This code is taking a break" in phone.get(f"/t/{closed}?lang=en").text
        own_postgres.start()


def asking_codes(server: Server) -> list[str]:
    """Two codes with a page before their destination, and a suspended one, each of a campaign of its own."""
    codes = []
    with server.api() as api:
        for name in ("seen", "unseen", "closed"):
            plan = {"objective": "cause", "time_zone": "Europe/Paris", "targets": [{"kpi": "check_ins", "value": 10}]}
            campaign = api.post("/v1/campaigns", json={"name": name, **plan}).raise_for_status().json()["id"]
            wanted = {"medium": "qr", "continue_page": True, "destination": "https://shop.example/"}
            token = api.post(f"/v1/campaigns/{campaign}/tokens", json=wanted).raise_for_status().json()
            api.post(f"/v1/campaigns/{campaign}/launch").raise_for_status()
            codes.append(token["code"])
        api.post(f"/v1/tokens/{token['id']}/suspension").raise_for_status()
    return codes


def live_codes(server: Server) -> list[str]:
    """A code that redirects, two with a hosted page, and one nobody will have scanned."""
    plan = {
        "objective": "cause",
        "time_zone": "Europe/Paris",
        "targets": [{"kpi": "check_ins", "value": 10}],
    }
    with server.api() as api:
        codes = []
        for name, more in KINDS:
            campaign = api.post("/v1/campaigns", json={"name": name, **plan, **more}).raise_for_status().json()["id"]
            token = api.post(f"/v1/campaigns/{campaign}/tokens", json={"medium": "qr", "kind": "static"})
            api.post(f"/v1/campaigns/{campaign}/launch").raise_for_status()
            codes.append(token.raise_for_status().json()["code"])
    return codes
