"""What is kept of a person who scanned from a known address at a known spot: nothing that says either."""

import json
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlmodel import select

from campaigns import clock, ids, worker
from campaigns.places.geofence import cell
from campaigns.scans.models import ScanPosition
from campaigns.sealing import Keyring, hash_secret
from campaigns.storage import Database
from tests.api.helpers import make_shop
from tests.conftest import SECRET, Server, running_server
from tests.mmdb import mmdb

ADDRESS = "203.0.113.77"
LAT, LON = 45.758034567, 4.832198765
PROXY = {"PASSERELLE_TRUSTED_PROXIES": "127.0.0.1"}


def traces() -> list[bytes]:
    """The address and the coordinate in every way we can think of storing them."""
    found = [ADDRESS.encode(), b"3405803853", b"203.0.113", ADDRESS.encode("utf-16-le"), b"cb00714d"]
    for number in (LAT, LON):
        found += [f"{number:.{digits}f}".encode() for digits in (4, 5, 6, 7)]
        found += [struct.pack(">d", number), struct.pack("<d", number)]
        found += [struct.pack(">d", number).hex().encode()]
    return found


def everything(database_url: str) -> Iterator[tuple[str, bytes]]:
    """Each file beside a SQLite database (the file itself, WAL, lock, salt, key, copies), or each table's rows."""
    if database_url.startswith("sqlite"):
        path = Path(database_url.removeprefix("sqlite:///"))
        yield from ((file.name, file.read_bytes()) for file in path.parent.iterdir() if file.is_file())
        return
    with psycopg.connect(database_url.replace("+psycopg", "")) as connection:
        tables = connection.execute(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
        ).fetchall()
        for (table,) in tables:
            rows = connection.execute(f'SELECT t::text FROM "{table}" t')
            yield table, "\n".join(str(row[0]) for row in rows).encode()


def visit(server: Server) -> None:
    """Scan, confirm, share a position, check in, give an idea, and send some nonsense: all from the planted address."""
    shop = make_shop(server)
    position = {"lat": LAT, "lon": LON, "accuracy_m": 12.5}
    with server.phone(Accept="application/json", **{"X-Forwarded-For": ADDRESS}) as phone:
        for share in ("before", "with"):
            receipt = phone.get(f"/t/{shop.code}").raise_for_status().json()["receipt"]
            phone.post(f"/t/{shop.code}/confirm", json={"receipt": receipt}).raise_for_status()
            if share == "before":
                phone.post(f"/t/{shop.code}/position", json={"receipt": receipt, **position}).raise_for_status()
            act: dict[str, Any] = {"receipt": receipt, **(position if share == "with" else {})}
            phone.post(f"/t/{shop.code}/check-in", json=act).raise_for_status()
        for path in ("/t/UNKNOWN", "/nowhere", "/v1/places", f"/t/{shop.code}/position", "/%7f"):
            phone.get(path)
        phone.post(f"/t/{shop.code}/position", json={"receipt": "x", **position})
        phone.post(f"/t/{shop.code}/position", json={"receipt": receipt, **position, "lat": f"{LAT}°"})
        phone.post("/v1/places", json={"name": "x", **position}, headers={"Authorization": f"Bearer {server.key}"})


def test_an_address_is_nowhere_and_a_position_is_gone_after_72_hours(
    database_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with running_server(database_url, **PROXY) as server:
        visit(server)
    said = "".join(capfd.readouterr())
    database = Database(database_url)
    now = clock.utc_now()
    sealed = kept(database)
    assert [json.loads(Keyring(SECRET).open_position(one))[:2] for one in sealed] == [[LAT, LON]] * 2

    worker.purge(database, now=now + timedelta(hours=71))
    assert kept(database) == sealed
    worker.purge(database, now=now + timedelta(hours=73))
    assert kept(database) == []
    with database.snapshot() as session:
        left = session.exec(select(ScanPosition)).all()
    assert {(one.geofence, one.distance_m, one.cell) for one in left} == {("inside", 50, cell(LAT, LON))}

    found = [
        (name, trace)
        for name, content in [*everything(database_url), ("the log", said.encode())]
        for trace in [*traces(), *sealed, *(one.hex().encode() for one in sealed)]
        if trace in content
    ]
    database.close()
    assert found == []


def kept(database: Database) -> list[bytes]:
    with database.snapshot() as session:
        rows = session.exec(select(ScanPosition).order_by(ScanPosition.located_at)).all()  # type: ignore[arg-type]
    return [bytes(row.sealed) for row in rows if row.sealed is not None]


def test_the_salts_of_a_day_are_destroyed_when_it_is_over_even_if_nobody_scans_again(database_url: str) -> None:
    with running_server(database_url) as server:
        make_shop(server).scan()
    database = Database(database_url)
    salts = salts_in(database_url)
    assert len(salts) == 1
    now = clock.utc_now()
    worker.purge(database, now=now)
    assert salts_in(database_url) == salts, "the salt of today is still needed"
    worker.purge(database, now=now + timedelta(hours=24))
    assert salts_in(database_url) == []
    database.close()
    assert not any(salts[0] in content or salts[0].hex().encode() in content for _, content in everything(database_url))


def salts_in(database_url: str) -> list[bytes]:
    if database_url.startswith("sqlite"):
        path = Path(database_url.removeprefix("sqlite:///") + ".salt")
        return [bytes.fromhex(json.loads(path.read_text())["salt"])] if path.exists() else []
    with psycopg.connect(database_url.replace("+psycopg", "")) as connection:
        return [bytes(row[0]) for row in connection.execute("SELECT salt FROM visitor_salts").fetchall()]


def test_an_objection_unlinks_the_scans_of_two_campaigns(tmp_path: Path) -> None:
    """Sec-GPC and DNT are one objection; without it one phone has one key a day."""
    path = tmp_path / "passerelle.db"
    with running_server(f"sqlite:///{path}", **PROXY, PASSERELLE_GEOIP_FILE=str(located(tmp_path))) as server:
        shops = [make_shop(server), make_shop(server)]
        for objection in ({}, {"Sec-GPC": "1"}, {"DNT": "1"}):
            for shop in shops * 2:
                shop.scan(**objection, **{"X-Forwarded-For": ADDRESS})
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT visitor_key, city FROM scans ORDER BY id").fetchall()
    keys = [row[0] for row in rows]
    assert len(set(keys[:4])) == 1
    for group in (keys[4:8], keys[8:]):
        assert group[0] == group[2] != group[1] == group[3]
        assert keys[0] not in group
    assert [row[1] for row in rows] == ["Lyon"] * 4 + [None] * 8


def located(folder: Path) -> Path:
    file = folder / "addresses.mmdb"
    file.write_bytes(mmdb({"203.0.113.0/24": {"country": {"iso_code": "FR"}, "city": {"names": {"en": "Lyon"}}}}))
    return file


def test_a_scan_carries_the_city_of_its_address_where_the_operator_gave_a_file(
    database_url: str, tmp_path: Path
) -> None:
    with running_server(database_url, **PROXY, PASSERELLE_GEOIP_FILE=str(located(tmp_path))) as server:
        shop = make_shop(server)
        with server.api() as api:
            wanted = {"medium": "link"}
            nowhere = api.post(f"/v1/campaigns/{shop.campaign}/tokens", json=wanted).raise_for_status().json()
            with server.phone(Accept="application/json") as phone:
                for code in (shop.code, nowhere["code"]):
                    phone.get(f"/t/{code}", headers={"X-Forwarded-For": ADDRESS}).raise_for_status()
                phone.get(f"/t/{nowhere['code']}", headers={"X-Forwarded-For": "192.0.2.1"}).raise_for_status()
            shown = api.get("/v1/scans", params={"campaign_id": shop.campaign}).raise_for_status().json()["data"]
    assert [(one["location_source"], one["country"], one["city"]) for one in shown] == [
        (None, None, None),
        ("network", "FR", "Lyon"),
        ("place", "FR", "Lyon"),
    ]


def test_a_corrupt_file_of_addresses_is_said_at_the_start_and_costs_no_scan(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.mmdb").write_bytes(b"not a database")
    with running_server(
        f"sqlite:///{tmp_path}/passerelle.db", PASSERELLE_GEOIP_FILE=str(tmp_path / "broken.mmdb")
    ) as server:
        assert make_shop(server).scan()["verdict"] == "valid"
    assert "broken.mmdb cannot be read" in "".join(capfd.readouterr())


WORDS = "Quetsches-Zwetschgen-1871"


def test_what_a_person_left_is_nowhere_after_they_erased_themselves(
    database_url: str, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A name, an idea, a position and a cookie are looked for in files, rows, logs and what others may take away."""
    with running_server(database_url, PASSERELLE_ERASURE_DIR=str(tmp_path / "noted")) as server:
        shop = make_shop(server)
        with server.phone(Accept="application/json") as phone, server.phone(Accept="application/json") as other:
            for one, words in ((phone, WORDS), (other, "Des poires")):
                receipt = one.get(f"/t/{shop.code}").json()["receipt"]
                act = {"receipt": receipt, "lat": LAT, "lon": LON, "accuracy_m": 12.5}
                one.post(f"/t/{shop.code}/check-in", json=act).raise_for_status()
                one.post(f"/m/{shop.slug}/ideas", json={"text": words}).raise_for_status()
            held = phone.get("/me/export").json()["people"][0]["participant"]
            (cookie,) = (value for name, value in phone.cookies.items() if name.startswith("passerelle_p_"))
            sealed = kept_once(database_url)
            assert phone.post("/me/erasure", json={}).json() == {"erased": 1}
            shown = [other.get(path).content for path in ("/me/export", "/me", f"/m/{shop.slug}")]
        with server.api() as api:
            shown.append(api.get(f"/v1/missions/{shop.mission}/ideas").content)
        assert server.passerelle("verify").returncode == 0
    said = "".join(capfd.readouterr())
    database = Database(database_url)
    left = [one for one in sealed if one in kept(database)]
    worker.purge(database, now=clock.utc_now())
    database.close()
    assert len(left) == 1, "the other person's position is still needed"
    (gone,) = (one for one in sealed if one not in left)
    id = ids.parse("par", held["id"])
    traces = [WORDS.encode(), held["pseudonym"].encode(), hash_secret(cookie).encode(), cookie.encode(), gone]
    traces += [gone.hex().encode(), *([id.bytes] if database_url.startswith("sqlite") else [])]
    places = [("the log", said.encode()), *(("an answer", content) for content in shown)]
    places += [one for one in everything(database_url) if one[0] != "erasures"]
    assert [(name, trace) for name, content in places for trace in traces if trace in content] == []
    (noted,) = (tmp_path / "noted").iterdir()
    assert id.hex in noted.read_text()


def kept_once(database_url: str) -> list[bytes]:
    database = Database(database_url)
    try:
        return kept(database)
    finally:
        database.close()
