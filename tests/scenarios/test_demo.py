"""`passerelle demo` as a stranger runs it: links that work while it runs, a database that adds up afterwards."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import httpx2

from api.app import make_services, prepare
from api.demo import _served
from campaigns import clock
from campaigns.settings import Settings
from tests.conftest import PHONE, ROOT, SECRET, free_port, run_passerelle


def test_the_demo_shows_the_whole_product_and_its_figures_add_up(tmp_path: Path) -> None:
    database = tmp_path / "demo.db"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PASSERELLE_")}
    environment["PASSERELLE_DATABASE_URL"] = f"sqlite:///{database}"
    command = [sys.executable, "-m", "api", "demo", "--host", "127.0.0.1", "--port", str(free_port())]
    command += ["--speed", "20", "--keep", str(database)]
    said = (tmp_path / "said.txt").open("w+")
    demo = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=said, stderr=subprocess.STDOUT)
    try:
        text = _wait_for(tmp_path / "said.txt", "API key", demo)
        links = dict(re.findall(r"^  (\S.*?)\s{2,}(\S+)$", text, re.M))
        with httpx2.Client(headers={"User-Agent": PHONE, "Accept": "text/html", "Accept-Language": "fr"}) as phone:
            for name in ("Shopper page", "Mission", "Trail", "Team", "Staff page", "Poster", "API docs"):
                page = phone.get(links[name])
                assert page.status_code == 200, name
                assert "Maison Tilleul" in page.text or name == "API docs"
            assert "▀" in text  # the QR for a phone on the same network
        told = _wait_for(tmp_path / "said.txt", "Shoppers are arriving now", demo)
        assert "location and camera" in told
        time.sleep(2)
    finally:
        demo.send_signal(signal.SIGINT)
        demo.wait(timeout=90)
        said.close()
    checked = run_passerelle(environment, "verify")
    assert checked.returncode == 0, checked.stdout
    _has_a_believable_history(database)


def test_the_demo_drops_slow_clients_as_the_server_does(tmp_path: Path) -> None:
    """A phone in the same Wi-Fi that never ends its request is told so; uvicorn alone would wait for ever."""
    settings = Settings(
        database_url=f"sqlite:///{tmp_path}/demo.db",
        secret_key=SECRET,
        port=free_port(),
        worker=False,
        head_deadline_s=0.5,
    )
    services = make_services(settings, clock.utc_now)
    prepare(services)
    with _served(services), socket.create_connection(("127.0.0.1", settings.port), timeout=10) as connection:
        connection.sendall(b"GET /t/")
        said = b""
        while chunk := connection.recv(65536):
            said += chunk
    assert said.startswith(b"HTTP/1.1 408")
    assert json.loads(said.partition(b"\r\n\r\n")[2])["code"] == "too_slow"


def _has_a_believable_history(database: Path) -> None:
    with sqlite3.connect(database) as connection:
        verdicts = Counter(dict(connection.execute("SELECT verdict, sum(scans) FROM scan_counters GROUP BY 1")))
        people = connection.execute("SELECT count(*) FROM participants").fetchone()[0]
        ideas = connection.execute("SELECT count(*) FROM ideas").fetchone()[0]
        fences = dict(connection.execute("SELECT geofence, count(*) FROM scan_positions GROUP BY 1"))
        days = connection.execute("SELECT count(DISTINCT hour / 24) FROM scan_counters").fetchone()[0]
        votes = connection.execute("SELECT count(*) FROM votes").fetchone()[0]
        done = dict(
            connection.execute(
                "SELECT steps.kind || ' ' || phase, count(*) FROM step_completions "
                "JOIN steps ON steps.id = step_id WHERE state = 'verified' GROUP BY 1"
            )
        )
    connection.close()
    assert 22_000 < sum(verdicts.values()) < 30_000
    assert days >= 30
    assert all(verdicts[name] > 50 for name in ("valid", "bot", "duplicate", "held"))
    assert people > 500
    assert ideas > 100
    assert votes > 100
    assert done["trail live"] > 5
    assert done["bring_friend live"] > 10
    for kind in ("visit_places", "staff_validated", "external"):
        assert done[f"{kind} pilot"] > 3, done
    assert fences["inside"] > fences["outside"] > 0


def _wait_for(path: Path, words: str, process: "subprocess.Popen[bytes]") -> str:
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        text = path.read_text()
        if words in text:
            return text
        time.sleep(0.2)
    raise AssertionError(f"the demo never said {words!r}: {path.read_text()}")
