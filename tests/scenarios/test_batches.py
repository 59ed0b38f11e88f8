"""A batch of codes whose server is killed in the middle: the next server makes the others, and no code twice."""

import csv
import io
import signal
import subprocess
import sys

import httpx2

from tests.api.helpers import CAMPAIGN, made
from tests.conftest import ROOT, Server, wait_until

COUNT = 40_000


def test_a_batch_goes_on_after_its_server_was_killed(server: Server) -> None:
    with server.api() as api:
        campaign = made(api.post("/v1/campaigns", json=CAMPAIGN))["id"]
        body = {"kind": "serial", "count": COUNT, "medium": "qr"}
        answer = api.post(f"/v1/campaigns/{campaign}/token-batches", json=body)
        assert answer.status_code == 202, answer.text
        job = answer.headers["location"]
        wait_until(lambda: api.get(job).json()["progress"]["done"] >= 1_000)
        server.process.send_signal(signal.SIGKILL)
        server.process.wait(timeout=20)
    server.process = subprocess.Popen([sys.executable, "-m", "api", "serve"], env=server.environment, cwd=ROOT)
    try:
        wait_until(lambda: _is_ready(server), seconds=30)
        with server.api() as api:
            begun = api.get(job).json()
            assert begun["state"] == "running"
            assert 1_000 <= begun["progress"]["done"] < COUNT
            wait_until(lambda: api.get(job).json()["state"] == "done", seconds=90)
            done = api.get(job).json()
            listed = api.get(done["result_url"]).raise_for_status().text
    finally:
        server.process.terminate()
        server.process.wait(timeout=20)
    codes = [row["code"] for row in csv.DictReader(io.StringIO(listed))]
    assert (done["progress"], len(codes), len(set(codes))) == (
        {"done": COUNT, "total": COUNT, "failed": 0},
        COUNT,
        COUNT,
    )
    assert server.passerelle("verify").stdout.strip() == "Everything adds up."


def _is_ready(server: Server) -> bool:
    try:
        return httpx2.get(f"{server.url}/readyz", timeout=2).status_code == 200
    except httpx2.HTTPError:
        return False
