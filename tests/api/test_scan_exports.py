"""Exports of scans: whole, in every format, defused, without visitors; and what is refused."""

import csv
import io
import json
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from api.exports import defused
from campaigns.stats import parquet
from tests.api.conftest import House
from tests.api.helpers import Shop, inside, make_shop, problem
from tests.conftest import SECRET, Server, found, wait_until

AS_JSON = {"Accept": "application/json"}
BOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


@pytest.fixture
def scanned(server: Server) -> Shop:
    """A shop with a scan that was checked in on, one more, and one of a robot."""
    shop = make_shop(server)
    with server.phone() as phone:
        scan = phone.get(f"/t/{shop.code}", headers=AS_JSON).json()
        phone.post(f"/t/{shop.code}/check-in", json={"receipt": scan["receipt"], **inside()}, headers=AS_JSON)
    shop.scan()
    shop.scan(**{"User-Agent": BOT})
    return shop


def lines(shop: Shop, **params: Any) -> list[dict[str, Any]]:
    with shop.server.api() as api:
        answer = api.get(f"/v1/campaigns/{shop.campaign}/export.ndjson", params=params)
        assert answer.status_code == 200, answer.text
        return [json.loads(line) for line in answer.text.splitlines()]


def test_every_scan_is_in_each_format_with_what_was_done_on_it(scanned: Shop, tmp_path: Path) -> None:
    shop = scanned
    wait_until(lambda: len(lines(shop)) == 3)
    rows = lines(shop)
    acted, other, robot = sorted(rows, key=lambda one: (not one["checked_in"], one["verdict"] == "bot"))
    assert (acted["presence"], acted["counted"], acted["confirmed"]) == (1, True, True)
    assert (acted["place_id"], acted["token_id"], acted["medium"]) == (shop.place, shop.token, "qr")
    assert (other["presence"], other["confirmed"], robot["verdict"]) == (None, False, "bot")
    assert datetime.fromisoformat(acted["scanned_at"]).utcoffset() is not None
    assert not any("visitor" in name or "participant" in name for name in acted)
    with shop.server.api() as api:
        path = f"/v1/campaigns/{shop.campaign}/export"
        plain, french = api.get(f"{path}.csv"), api.get(f"{path}.csv", params={"dialect": "excel-fr"})
        assert plain.headers["x-total-count"] == "3"
        assert plain.headers["content-disposition"].endswith('.csv"')
        assert french.text.startswith("\ufeffscan_id;scanned_at;")
        for text, separator in ((plain.text, ","), (french.text.lstrip("\ufeff"), ";")):
            read = list(csv.DictReader(io.StringIO(text), delimiter=separator))
            assert [one["scan_id"] for one in read] == [one["scan_id"] for one in rows]
            assert [one["presence"] for one in read] == [str(one["presence"] or "") for one in rows]
        whole = api.get(f"{path}.parquet")
        assert whole.status_code == 200, whole.text
        (tmp_path / "scans.parquet").write_bytes(whole.content)
    assert whole.headers["x-total-count"] == "3"
    read_back = duckdb.sql(f"SELECT scan_id, presence, checked_in, country FROM '{tmp_path}/scans.parquet'")
    assert read_back is not None
    kept = read_back.fetchall()
    assert kept == [(one["scan_id"], one["presence"], one["checked_in"], None) for one in rows]


def test_filters_leave_what_was_asked_for(scanned: Shop) -> None:
    wait_until(lambda: len(lines(scanned)) == 3)
    assert len(lines(scanned, verdict="bot")) == 1
    assert len(lines(scanned, place_id=scanned.place, verdict="bot")) == 1
    assert len(lines(scanned, token_id=scanned.token)) == 3
    assert lines(scanned, until="2026-01-01") == []
    assert len(lines(scanned, since="2026-01-01")) == 3
    with scanned.server.api() as api:
        body = {"medium": "qr", "kind": "static", "place_id": scanned.place}
        other = api.post(f"/v1/campaigns/{scanned.campaign}/tokens", json=body).json()["id"]
    assert lines(scanned, token_id=other) == []


def test_what_cannot_be_exported_is_refused_in_words(house: House, scanned: Shop) -> None:
    server = house.server
    theirs = make_shop(replace(server, key=found(house.database_url, SECRET, "Another")))
    path = f"/v1/campaigns/{scanned.campaign}/export"
    with server.api() as api:
        for params, pointer in (
            ({"since": "2026-10-02", "until": "2026-10-01"}, "/until"),
            ({"since": "2099-01-01"}, "/since"),
            ({"since": "0001-01-01"}, "/since"),
        ):
            assert [one["pointer"] for one in problem(api.get(f"{path}.csv", params=params), 422)["errors"]] == [
                pointer
            ]
        problem(api.get(f"{path}.csv", params={"verdict": "nice"}), 422)
        problem(api.get(f"{path}.csv", params={"dialect": "excel-de"}), 422)
        problem(api.get(f"{path}.xlsx"), 404)
        problem(api.get(f"{path}.csv", params={"token_id": theirs.token}), 404)
        problem(api.get(f"/v1/campaigns/{theirs.campaign}/export.csv"), 404)


def test_the_command_writes_a_file_or_none(scanned: Shop, tmp_path: Path) -> None:
    wait_until(lambda: len(lines(scanned)) == 3)
    server = scanned.server
    for kind in ("csv", "ndjson", "parquet"):
        out = tmp_path / f"scans.{kind}"
        done = server.passerelle("export", scanned.campaign, "--format", kind, "--out", str(out), "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {"file": str(out), "format": kind, "scans": 3}
        assert server.passerelle("export", scanned.campaign, "--format", kind, "--out", str(out)).returncode == 1
    away = tmp_path / "missing" / "scans.csv"
    assert server.passerelle("export", scanned.campaign, "--out", str(away)).returncode == 1
    assert server.passerelle("export", "cmp_" + "0" * 32, "--out", str(tmp_path / "x.csv")).returncode == 1
    assert sorted(one.name for one in tmp_path.iterdir()) == ["scans.csv", "scans.ndjson", "scans.parquet"]


def test_without_duckdb_the_words_say_how_to_install_it() -> None:
    code = (
        "import importlib.util as u, sys\n"
        "sys.modules['duckdb'] = None\n"
        "found = u.find_spec\n"
        "u.find_spec = lambda name, *more: None if name == 'duckdb' else found(name, *more)\n"
        "from campaigns.stats import parquet\n"
        "from campaigns.errors import Conflict\n"
        "import api.app\n"
        "try:\n    parquet.require()\nexcept Conflict as error:\n    print(error.code, error.detail)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("parquet_missing")
    assert "passerelle[parquet]" in done.stdout
    assert parquet.MISSING in done.stdout


def test_a_name_that_starts_a_formula_is_defused(server: Server) -> None:
    shop = make_shop(server)
    with server.api() as api:
        assert api.patch(f"/v1/places/{shop.place}", json={"name": "=1+1"}).is_success
        shop.scan()
        read = csv.DictReader(io.StringIO(api.get(f"/v1/campaigns/{shop.campaign}/export.csv").text))
        assert [one["place"] for one in read] == [defused("=1+1")] == ["'=1+1"]


def test_parquet_of_more_rows_than_its_memory_holds_is_whole_and_in_order(tmp_path: Path) -> None:
    """Some 80 MB of rows: with duckdb's own buffers of 32 MB it gave up at the second."""
    number, columns = 150_000, {"number": "INTEGER"} | dict.fromkeys("abcdefghijklmnopqrst", "VARCHAR")
    pages = ([(at, *[f"{at:024d}"] * 20)] for at in range(number))
    assert parquet.write(tmp_path / "rows.parquet", columns, pages) == number
    kept = f"read_parquet('{tmp_path}/rows.parquet', file_row_number=true)"
    read = duckdb.sql(f"SELECT count(*), count(*) FILTER (number = file_row_number AND t = a) FROM {kept}")
    assert read is not None
    assert read.fetchall() == [(number, number)]
    assert [one.name for one in tmp_path.iterdir()] == ["rows.parquet"]
