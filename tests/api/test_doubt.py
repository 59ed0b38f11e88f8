"""What the scan path says of guessers, data centres and objections, on both databases."""

from pathlib import Path
from typing import Any

import sqlalchemy

from tests.api.helpers import make_shop
from tests.conftest import PHONE, running_server


def test_an_address_that_guesses_is_told_to_wait_and_known_codes_still_work(database_url: str) -> None:
    with running_server(database_url) as server:
        shop = make_shop(server)
        with server.phone() as phone:
            answers = [phone.get(f"/t/NO-{number:04d}") for number in range(70)]
            assert [answer.status_code for answer in answers] == [404] * 60 + [429] * 10
            assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60
            assert answers[-1].json()["code"] == "guessing"
            page = phone.get("/t/NO-9999", headers={"Accept": "text/html", "Accept-Language": "fr"})
            assert (page.status_code, "Patientez une minute" in page.text) == (429, True)
            assert phone.get(f"/t/{shop.code}").status_code == 200
        with server.phone(**{"User-Agent": PHONE + " another"}) as other:
            assert other.get("/t/NO-1234").status_code == 429  # the address, not the agent
        assert server.passerelle("verify").returncode == 0
        orphans = _read(database_url, "SELECT reasons, verdict, score FROM scans WHERE code IS NOT NULL ORDER BY id")
        assert orphans[:60] == [("unknown_code", "orphan", 0)] * 60
        assert orphans[60:] == [("unknown_code,enumeration", "orphan", 50)] * 12


def test_a_person_who_mistypes_and_a_misprint_that_many_scan_are_never_told_to_wait(database_url: str) -> None:
    with running_server(database_url) as server, server.phone() as phone:
        asked = [f"/t/NO-{number}" for number in range(5)] + ["/t/MISPRINT"] * 60
        assert {phone.get(path).status_code for path in asked} == {404}


def test_an_objection_is_kept_with_the_scan_and_links_no_two_campaigns(database_url: str) -> None:
    with running_server(database_url) as server:
        shops = [make_shop(server), make_shop(server)]
        for headers in ({}, {"Sec-GPC": "1"}, {"DNT": "1"}, {"DNT": "0"}):
            for shop in shops:
                assert shop.scan(**headers)["verdict"] == "valid"
        rows = _read(database_url, "SELECT visitor_key, objected FROM scans ORDER BY id")
        assert [bool(objected) for _, objected in rows] == [False, False, True, True, True, True, False, False]
        keys = [key for key, _ in rows]
        assert keys[0] == keys[1] == keys[6] == keys[7]
        assert len({keys[0], keys[2], keys[3]}) == 3
        assert (keys[2], keys[3]) == (keys[4], keys[5])


def test_a_data_centre_is_a_weight_and_never_a_refusal(database_url: str, tmp_path: Path) -> None:
    ranges = tmp_path / "ranges.txt"
    ranges.write_text("# ours\n127.0.0.0/8  # loopback\nnot a range\n2001:db8::/32\n")
    with running_server(database_url, PASSERELLE_DATACENTRE_FILE=str(ranges)) as server:
        body = make_shop(server).scan()
        assert (body["verdict"], body["reasons"]) == ("provisional", ["data_centre"])


def test_rejudging_takes_the_process_lock(database_url: str) -> None:
    with running_server(database_url) as server:
        make_shop(server).scan()
        beside = server.passerelle("verify", "--rejudge")
        if database_url.startswith("sqlite"):
            assert (beside.returncode, "Another Passerelle process" in beside.stderr) == (1, True)
        else:
            assert beside.returncode == 0
        server.process.terminate()
        server.process.wait(timeout=20)
        alone = server.passerelle("verify", "--rejudge")
        assert (alone.returncode, alone.stdout) == (0, "Every verdict is what the rules say.\n")
        _spoil(database_url)
        spoilt = server.passerelle("verify", "--rejudge")
        assert (spoilt.returncode, "should be valid" in spoilt.stdout) == (3, True)


def _read(database_url: str, query: str) -> list[tuple[Any, ...]]:
    engine = sqlalchemy.create_engine(database_url)
    with engine.connect() as connection:
        rows = [tuple(row) for row in connection.execute(sqlalchemy.text(query))]
    engine.dispose()
    return rows


def _spoil(database_url: str) -> None:
    engine = sqlalchemy.create_engine(database_url)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("UPDATE scans SET verdict = 'held'"))
    engine.dispose()
