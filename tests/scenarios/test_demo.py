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
from campaigns.sponsorship import lines
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
        with httpx2.Client(
            headers={"User-Agent": PHONE, "Accept": "text/html", "Accept-Language": "fr"}, timeout=30
        ) as phone:
            for name in ("Shopper page", "Mission", "Trail", "Team", "Staff page", "Poster", "API docs"):
                page = phone.get(links[name])
                assert page.status_code == 200, name
                assert "Maison Tilleul" in page.text or name == "API docs"
            assert "▀" in text  # the QR for a phone on the same network
        told = _wait_for(tmp_path / "said.txt", "Shoppers are arriving now", demo)
        assert "location and camera" in told
        _shows_its_money(links["Console"], told, tmp_path)
        _shows_its_figures(told, links["API key"])
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


def _shows_its_money(console: str, told: str, folder: Path) -> None:
    """Each link that the demo prints for it opens, and its ledger checks from the download."""
    links = dict(re.findall(r"^  (\S.*?)\s{2,}(\S+)$", told, re.M))
    html = {"User-Agent": PHONE, "Accept": "text/html", "Accept-Language": "fr"}
    with httpx2.Client(headers=html, timeout=30) as browser:
        assert browser.post(console).status_code == 303
        for name in ("Meter", "Ledger", "Statement", "Payouts"):
            page = browser.get(links[name])
            assert page.status_code == 200, name
            assert "Les Amis de l’école des Tilleuls" in page.text
        for name, words in (("Figures", "Un verger pour l"), ("Report", "Le goûter de saison")):
            page = browser.get(links[name])
            assert page.status_code == 200, name
            assert words in page.text
        ledger = browser.get(links["Ledger"] + ".csv").content
    place, _, code = links["A phone"].partition("#")
    with httpx2.Client(headers=html, timeout=30) as phone:
        assert phone.post(place, data={"code": code}).status_code == 303
        assert "1,50 € sur un panier de fruits" in phone.get(links["Its coupon"]).text
        mine = phone.get(place.removesuffix("/recovery")).text
        assert "Voisine, voisin du verger" in mine
    file = folder / "ledger.csv"
    file.write_bytes(ledger)
    with file.open(newline="") as text:
        checked = lines.check(lines.read(text))
    assert checked.broken == ""
    assert checked.paid_minor["EUR"] > 10_000
    for name in ("posting", "payout", "fee"):
        assert f",{name},".encode() in ledger


def _shows_its_figures(told: str, key: str) -> None:
    """The links and commands that the demo prints for them, and figures that hold together."""
    links = dict(re.findall(r"^  (\S.*?)\s{2,}(\S+)$", told, re.M))
    base = links["Formulas"].removesuffix("/docs/figures")
    asked = dict(re.findall(r"^  (\S.*?) +curl -s -H '[^']+' (\S+/v1/campaigns/\S+)$", told, re.M))
    with httpx2.Client(headers={"Authorization": f"Bearer {key}"}, timeout=30) as marketer:
        money, targets, alerts = (
            marketer.get(asked[one]).json() for one in ("What it returned", "Its targets", "An alert")
        )
        report = marketer.get(f"{base}/v1/reports/{links['Report'].rpartition('/')[2]}").json()["inputs"]
    lift = money["incremental"]["incremental_revenue_minor"]
    roi = money["incremental"]["roi"]
    assert money["costs"]["total_minor"] == 67_500
    assert money["incremental"]["held_out"]["conversions"] > 100
    assert lift["low"] < lift["value"] < lift["high"]
    assert (money["verdict"] == "not_proven") is (roi["low"] <= 0 <= roi["high"])
    assert [one["kpi"] for one in targets["targets"]] == ["conversions", "revenue_minor", "verified_scans", "check_ins"]
    for one in targets["targets"]:
        assert one["forecast"]["low"] <= one["forecast"]["value"] <= one["forecast"]["high"]
        assert one["progress"] > 0.3
    assert [(one["watch"], one["over_at"]) for one in alerts["data"]] == [("silent_token_hours", None)]
    assert report["money"]["verdict"] == money["verdict"]
    assert [one["value"] for one in report["targets"]] == [one["value"] for one in targets["targets"]]


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
        accrued = dict(connection.execute("SELECT state, count(*) FROM accruals GROUP BY 1"))
        payouts = [one for (one,) in connection.execute("SELECT state FROM payouts ORDER BY id")]
        coupons = Counter(connection.execute("SELECT state, choice FROM coupons"))
        badges = connection.execute("SELECT count(*) FROM badge_awards").fetchone()[0]
    connection.close()
    assert accrued["pending"] > 10
    assert accrued["posted"] > 100
    assert (accrued["voided"], accrued["reversed"]) == (1, 1)
    assert payouts == ["confirmed", "proposed"]
    assert coupons["redeemed", "keep"] == coupons["redeemed", "give"] == 1
    assert coupons["issued", "keep"] > 0
    assert badges >= 3
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
