"""A server that is killed, or told to stop, under load: what it answered is stored, and the figures add up."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import httpx2
import pytest
from sqlmodel import col, select

from campaigns.scans import Scan
from campaigns.storage import Database
from tests.conftest import PHONE, Server

PHONES = 12


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "told to stop"])
def test_what_a_server_answered_before_it_went_is_stored(server: Server, ending: signal.Signals) -> None:
    code = _live_code(server)
    with _load(server, code) as answered:
        while len(answered) < 300:
            threading.Event().wait(0.01)
        server.process.send_signal(ending)
        server.process.wait(timeout=20)
    database = Database(server.environment["PASSERELLE_DATABASE_URL"])
    with database.snapshot() as session:
        stored = set(session.exec(select(Scan.id).where(col(Scan.token_id).is_not(None))).all())
    database.close()
    assert {UUID(one.removeprefix("scn_")) for one in answered} <= stored
    assert server.passerelle("verify").stdout.strip() == "Everything adds up."


@contextmanager
def _load(server: Server, code: str) -> Iterator[list[str]]:
    """Phones that scan until the server is gone; yields the ids of the scans that were answered."""
    answered: list[str] = []
    barrier = threading.Barrier(PHONES)

    def scan() -> None:
        headers = {"User-Agent": PHONE, "Accept": "application/json"}
        with httpx2.Client(base_url=server.url, headers=headers, timeout=10) as phone:
            barrier.wait()
            for _ in range(5_000):
                try:
                    answer = phone.get(f"/t/{code}")
                except httpx2.HTTPError:
                    return
                if answer.status_code == 200:
                    answered.append(answer.json()["scan_id"])

    threads = [threading.Thread(target=scan, daemon=True) for _ in range(PHONES)]
    for thread in threads:
        thread.start()
    try:
        yield answered
    finally:
        for thread in threads:
            thread.join(timeout=30)


def _live_code(server: Server) -> str:
    with server.api() as api:
        plan = {
            "name": "Verger",
            "objective": "cause",
            "time_zone": "Europe/Paris",
            "targets": [{"kpi": "check_ins", "value": 10}],
        }
        campaign = api.post("/v1/campaigns", json=plan).raise_for_status().json()["id"]
        token = api.post(f"/v1/campaigns/{campaign}/tokens", json={"medium": "qr", "kind": "static"})
        api.post(f"/v1/campaigns/{campaign}/launch").raise_for_status()
        code: str = token.raise_for_status().json()["code"]
        return code
