"""Places from a CSV file, over HTTP and from the command line, on both databases."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from tests.api.conftest import House
from tests.api.helpers import owner, problem
from tests.conftest import Server
from tests.racing import race

HEAD = "external_id,name,lat,lon,time_zone,radius_m,address\n"


def send(server: Server, text: str | bytes, query: str = "", **headers: str) -> httpx2.Response:
    with server.api() as api:
        content = text.encode() if isinstance(text, str) else text
        return api.post(f"/v1/places/import{query}", content=content, headers={"Content-Type": "text/csv", **headers})


def imported(server: Server, text: str, query: str = "") -> dict[str, Any]:
    answer = send(server, text, query)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def counts(body: dict[str, Any]) -> tuple[int, int, int, int]:
    return body["created"], body["updated"], body["unchanged"], len(body["rejected"])


def row(external_id: str, **fields: Any) -> str:
    given = {"name": "Bellecour", "lat": 45.75, "lon": 4.83, "zone": "Europe/Paris", "radius": 100, "at": ""} | fields
    return ",".join(str(cell) for cell in (external_id, *given.values())) + "\n"


def place(server: Server, name: str) -> dict[str, Any]:
    with server.api() as api:
        body: dict[str, Any] = api.get(f"/v1/places/ext_{name}").raise_for_status().json()
        return body


def test_good_rows_are_kept_and_bad_ones_come_back(server: Server) -> None:
    own = uuid4().hex
    bad = [
        row("x1", lat=91),
        row("x2", zone="Lyon"),
        row("x3", radius=5),
        row("x 4"),
        row("x5", name="x" * 10_000),
        row("x6", name=""),
        row("x7", name="a\x00b"),
        row("x8", name="\u202eabc"),
        row(f"{own}-2"),
        row("x9", at="x" * 501),
    ]
    text = HEAD + row(f"{own}-1", at="12 place Bellecour") + row(f"{own}-2", radius="") + "".join(bad)
    body = imported(server, text)
    assert counts(body) == (2, 0, 0, len(bad))
    columns = ["lat", "time_zone", "radius_m", "external_id", "name", "name", "name", "name", "external_id", "address"]
    assert [(one["line"], one["column"]) for one in body["rejected"]] == list(enumerate(columns, 4))
    assert all(len(one["reason"]) < 200 for one in body["rejected"])
    assert body["rejected"][8]["reason"] == "Line 3 has this external_id already."
    assert place(server, f"{own}-1")["address"] == "12 place Bellecour"
    assert place(server, f"{own}-2")["radius_m"] == 100


def test_twice_is_once_and_an_edited_file_changes_what_was_edited(server: Server) -> None:
    own = uuid4().hex
    first, second = row(f"{own}-1", at="Here", radius=300), row(f"{own}-2")
    assert counts(imported(server, HEAD + first + second)) == (2, 0, 0, 0)
    assert counts(imported(server, HEAD + first + second)) == (0, 0, 2, 0)
    assert counts(imported(server, HEAD + second + row(f"{own}-1", name="Halle", at="Here", radius=300))) == (
        0,
        1,
        1,
        0,
    )
    changed = place(server, f"{own}-1")
    assert (changed["name"], changed["address"], changed["radius_m"]) == ("Halle", "Here", 300)
    short = "external_id,name,lat,lon,time_zone\n" + f"{own}-1,Halle,45.75,4.84,Europe/Paris\n"
    assert counts(imported(server, short)) == (0, 1, 0, 0)
    assert place(server, f"{own}-1") == changed | {"lon": 4.84}


def test_hours_by_day_are_those_of_the_place(server: Server) -> None:
    own = uuid4().hex
    hours = "09:00-12:30 14:00-19:00"
    text = f"external_id;name;lat;lon;time_zone;mon;sun\r\n{own};Théâtre;45,75;4,83;Europe/Paris;{hours};\r\n"
    assert counts(imported(server, "\ufeff" + text)) == (1, 0, 0, 0)
    kept = place(server, own)
    assert (kept["name"], kept["lat"]) == ("Théâtre", 45.75)
    assert kept["opening_hours"]["mon"] == [["09:00", "12:30"], ["14:00", "19:00"]]
    assert kept["opening_hours"]["sun"] == []
    assert counts(imported(server, "\ufeff" + text)) == (0, 0, 1, 0)
    (wrong,) = imported(server, text.replace("09:00", "25:00"))["rejected"]
    assert (wrong["line"], wrong["column"]) == (2, "mon")


def test_a_dry_run_says_what_would_be_done_and_does_nothing(server: Server) -> None:
    own = uuid4().hex
    imported(server, HEAD + row(f"{own}-1"))
    text = HEAD + row(f"{own}-1", name="Halle") + row(f"{own}-2") + row(f"{own}-3", lat="x")
    body = imported(server, text, "?dry_run=true")
    assert (body["dry_run"], counts(body)) == (True, (1, 1, 0, 1))
    assert place(server, f"{own}-1")["name"] == "Bellecour"
    with server.api() as api:
        problem(api.get(f"/v1/places/ext_{own}-2"), 404)
    assert counts(imported(server, text)) == (1, 1, 0, 1)


def test_a_file_that_cannot_be_read_changes_nothing(server: Server) -> None:
    own = uuid4().hex
    good = HEAD + row(own, name="Théâtre")
    problem(send(server, good.encode("latin-1")), 422, "invalid")
    assert "CSV UTF-8" in send(server, good.encode("latin-1")).json()["detail"]
    assert "lat" in problem(send(server, good.replace("lat", "latitude")), 422)["detail"]
    problem(send(server, ""), 422, "invalid")
    problem(send(server, good, **{"Content-Type": "application/json"}), 422, "invalid")
    problem(send(server, HEAD + row(own) * 10_001), 422, "invalid")
    problem(send(server, "x" * 2_000_001), 413, "too_large")
    problem(send(server, good, "?dry_run=perhaps"), 422, "invalid")
    with server.api() as api:
        problem(api.get(f"/v1/places/ext_{own}"), 404)


def test_a_file_above_the_usual_limit_of_a_body_is_taken(server: Server) -> None:
    own = uuid4().hex
    text = HEAD + "".join(row(f"{own}-{number}", at="x" * 400) for number in range(3_000))
    assert 1_000_000 < len(text) < 2_000_000
    assert counts(imported(server, text)) == (3_000, 0, 0, 0)
    assert counts(imported(server, text)) == (0, 0, 3_000, 0)


def test_the_same_file_sent_by_many_at_once_makes_each_place_once(server: Server) -> None:
    own = uuid4().hex
    text = HEAD + "".join(row(f"{own}-{number}") for number in range(300))
    done = race(6, lambda _: imported(server, text))
    assert all(isinstance(one, dict) for one in done), done
    total = [sum(one[name] for one in done if isinstance(one, dict)) for name in ("created", "updated", "unchanged")]
    assert total == [300, 0, 1_500]


def test_an_import_has_an_idempotency_key_and_keeps_to_its_organisation(house: House) -> None:
    own = uuid4().hex
    text = HEAD + row(own)
    first = send(house.server, text, **{"Idempotency-Key": own})
    assert send(house.server, text, **{"Idempotency-Key": own}).json() == first.json()
    assert counts(first.json()) == (1, 0, 0, 0)
    with owner(house.server, house.other_key) as other:
        theirs = other.post("/v1/places/import", content=text, headers={"Content-Type": "text/csv"})
        assert counts(theirs.json()) == (1, 0, 0, 0)


def test_the_command_prints_what_was_not_taken(server: Server, tmp_path: Path) -> None:
    own, file = uuid4().hex, tmp_path / "places.csv"
    file.write_text(HEAD + row(own) + row("x", lat="far"))

    def run(*options: str) -> tuple[int, str, str]:
        done = server.passerelle("places", "import", str(file), "--key", server.key, *options)
        return done.returncode, done.stdout, done.stderr

    status, shown, _ = run("--dry-run")
    assert (status, shown.splitlines()[1]) == (1, "Would create 1, changed 0, left 0 as they were, did not take 1.")
    assert shown.startswith("line 3, lat: lat is a number")
    assert run()[1].splitlines()[1].startswith("Created 1, ")
    file.write_text(HEAD + row(own))
    status, shown, _ = run("--json")
    assert (status, json.loads(shown)["unchanged"]) == (0, 1)
    file.write_bytes(HEAD.encode() + b"\xff")
    status, _, reason = run()
    assert (status, "UTF-8" in reason) == (1, True)


@pytest.mark.parametrize("name", ["'=1+1", "+33 4 78", "-", "@home", "Ünïcode 🐟 العربية"])
def test_a_name_that_is_only_unusual_is_taken(server: Server, name: str) -> None:
    own = uuid4().hex
    assert counts(imported(server, HEAD + row(own, name=name))) == (1, 0, 0, 0)
    assert place(server, own)["name"] == name
