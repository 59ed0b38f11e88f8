"""Batches of tokens and jobs, over HTTP, on both databases."""

import csv
import io
import json
import time
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from campaigns.jobs import CHUNK
from tests.api.conftest import House
from tests.api.helpers import CAMPAIGN, PLACE, Shop, made, make_shop, owner, problem
from tests.conftest import PHONE, Server, wait_until

NIL = "0" * 32


@pytest.fixture
def shop(server: Server) -> Shop:
    """A shop of its own: batches change what is listed."""
    return make_shop(server)


def ask(shop: Shop, **body: Any) -> httpx2.Response:
    with shop.server.api() as api:
        return api.post(f"/v1/campaigns/{shop.campaign}/token-batches", json=body)


def serials(shop: Shop, count: int = 3, **body: Any) -> dict[str, Any]:
    return made(ask(shop, kind="serial", count=count, medium="qr", **body))


def read(shop: Shop, path: str) -> Any:
    with shop.server.api() as api:
        return api.get(path).raise_for_status().json()


def rows(shop: Shop, batch: dict[str, Any]) -> list[dict[str, str]]:
    with shop.server.api() as api:
        answer = api.get(f"/v1/token-batches/{batch['id']}/codes.csv").raise_for_status()
    return list(csv.DictReader(io.StringIO(answer.text)))


def finish(shop: Shop, job: str) -> dict[str, Any]:
    wait_until(lambda: read(shop, job)["state"] not in ("queued", "running"), seconds=60)
    body: dict[str, Any] = read(shop, job)
    return body


def check_in(shop: Shop, code: str, **fields: Any) -> httpx2.Response:
    with shop.server.phone(Accept="application/json") as phone:
        receipt = phone.get(f"/t/{code}").raise_for_status().json()["receipt"]
        return phone.post(f"/t/{code}/check-in", json={"receipt": receipt, **fields})


def test_a_small_batch_is_there_at_once(shop: Shop) -> None:
    answer = ask(shop, kind="serial", count=500, medium="qr", place_id=shop.place, label="Coffret", channel="pack")
    batch = made(answer)
    assert "location" not in answer.headers
    assert (batch["made"], batch["count"], batch["job"], batch["good"]) == (500, 500, None, "once")
    listed = rows(shop, batch)
    assert len({row["code"] for row in listed}) == 500
    assert {(len(row["code"]), row["label"], row["place"], row["state"]) for row in listed} == {
        (16, "Coffret", "Bellecour", "active")
    }
    assert all(row["url"].endswith(f"/T/{row['code']}") for row in listed)
    assert read(shop, f"/v1/token-batches/{batch['id']}") == batch
    assert read(shop, f"/v1/campaigns/{shop.campaign}/token-batches")["data"] == [batch]
    token = read(shop, f"/v1/campaigns/{shop.campaign}/tokens?limit=1")["data"][0]
    assert (token["kind"], token["batch_id"]) == ("serial", batch["id"])
    assert token["code_shown"] == "-".join(token["code"][start : start + 4] for start in (0, 4, 8, 12))


def test_a_large_batch_is_a_job(shop: Shop) -> None:
    answer = ask(shop, kind="serial", count=2_501, medium="nfc")
    assert answer.status_code == 202, answer.text
    batch = answer.json()
    job = answer.headers["location"]
    assert job == f"/v1/jobs/{batch['job']['id']}"
    assert batch["job"]["progress"] == {"done": 0, "total": 2_501, "failed": 0}
    with shop.server.api() as api:
        early = api.get(f"/v1/token-batches/{batch['id']}/codes.csv")
        if early.status_code != 200:  # a fast worker may be done already
            body = problem(early, 409, "job_running")
            assert body["job"] == batch["job"]["id"]
            assert early.headers["retry-after"]
    done = finish(shop, job)
    assert (done["state"], done["progress"]["done"]) == ("done", 2_501)
    assert done["started_at"]
    assert done["ended_at"]
    with shop.server.api() as api:
        listed = api.get(done["result_url"]).raise_for_status().text.splitlines()
        lines = api.get(f"/v1/token-batches/{batch['id']}/codes.ndjson").raise_for_status()
    assert listed[0] == "code,url,label,place,state"
    assert lines.headers["content-type"] == "application/x-ndjson"
    found = [json.loads(line) for line in lines.text.splitlines()]
    assert [one["code"] for one in found] == [line.split(",")[0] for line in listed[1:]]
    assert len({one["code"] for one in found}) == 2_501
    assert read(shop, f"/v1/campaigns/{shop.campaign}/stats")["scans"]["raw"] == 0
    assert read(shop, "/v1/jobs?limit=1")["data"][0] == done
    assert read(shop, f"/v1/token-batches/{batch['id']}")["made"] == 2_501


def test_a_repeat_with_the_same_key_makes_nothing_more(shop: Shop) -> None:
    for count, status in ((2, 201), (501, 202)):
        key = {"Idempotency-Key": uuid4().hex}
        body = {"kind": "serial", "count": count, "medium": "qr"}
        with shop.server.api() as api:
            path = f"/v1/campaigns/{shop.campaign}/token-batches"
            first, again = (api.post(path, json=body, headers=key) for _ in range(2))
        assert (first.status_code, again.status_code, again.json()) == (status, status, first.json())
        assert again.headers.get("location") == first.headers.get("location")
    assert len(read(shop, f"/v1/campaigns/{shop.campaign}/token-batches")["data"]) == 2


def test_a_job_is_cancelled_once(shop: Shop) -> None:
    job = ask(shop, kind="serial", count=100_000, medium="qr").headers["location"]
    with shop.server.api() as api:
        asked = api.post(f"{job}/cancellation").raise_for_status().json()
        assert asked["cancel_asked_at"]
        ended = finish(shop, job)
        assert ended["state"] == "cancelled"
        assert ended["progress"]["done"] < 100_000
        assert ended["progress"]["done"] % CHUNK == 0
        assert ended["result_url"] is None
        assert api.post(f"{job}/cancellation").raise_for_status().json() == ended


def test_a_static_batch_is_one_code_a_place_and_medium(shop: Shop) -> None:
    with shop.server.api() as api:
        external = f"shop-{uuid4().hex}"
        other = {"name": "Part-Dieu", "lat": 45.76, "lon": 4.85, "radius_m": 80, "time_zone": "Europe/Paris"}
        made(api.post("/v1/places", json=other | {"external_id": external}))
    named = [shop.place, f"ext_{external}", shop.place]
    batch = made(ask(shop, kind="static", media=["qr", "nfc"], place_ids=named, label="Poster"))
    assert (batch["count"], batch["made"], batch["good"], batch["medium"]) == (4, 4, None, None)
    assert [row["place"] for row in rows(shop, batch)] == ["Bellecour"] * 2 + ["Part-Dieu"] * 2
    with shop.server.phone() as phone:
        assert phone.get(f"/t/{rows(shop, batch)[0]['code']}").status_code == 200


def test_all_places_are_those_of_the_organisation(house: House) -> None:
    with owner(house.server, house.other_key) as api:
        made(api.post("/v1/places", json=PLACE))
        campaign = made(api.post("/v1/campaigns", json=CAMPAIGN))
        places = len(api.get("/v1/places?limit=200").json()["data"])
        wanted = {"kind": "static", "media": ["qr"], "place_ids": "all"}
        assert made(api.post(f"/v1/campaigns/{campaign['id']}/token-batches", json=wanted))["count"] == places


def test_a_cell_that_starts_a_formula_is_defused(shop: Shop) -> None:
    batch = serials(shop, label='=HYPERLINK("https://evil.example")', channel="+1")
    assert {row["label"] for row in rows(shop, batch)} == {'\'=HYPERLINK("https://evil.example")'}
    with shop.server.api() as api:
        line = api.get(f"/v1/token-batches/{batch['id']}/codes.ndjson").text.splitlines()[0]
    assert json.loads(line)["label"].startswith("=")


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"count": 0}, "/count"),
        ({"count": -1}, "/count"),
        ({"count": 100_001}, "/count"),
        ({"count": 2**63}, "/count"),
        ({"count": 1.5}, "/count"),
        ({"count": "3"}, "/count"),
        ({"count": True}, "/count"),
        ({"count": None}, "/count"),
        ({"medium": "smoke"}, "/medium"),
        ({"medium": None}, "/medium"),
        ({"kind": "live"}, "/kind"),
        ({"kind": None}, "/kind"),
        ({"kind": "static"}, "/media"),
        ({"good": "twice"}, "/good"),
        ({"handed_over": "yes"}, "/handed_over"),
        ({"handed_over": True}, "/place_id"),
        ({"label": "a\u202eb"}, "/label"),
        ({"label": "x" * 201}, "/label"),
        ({"media": ["qr"]}, "/media"),
        ({"place_ids": "all"}, "/place_ids"),
        ({"colour": "red"}, "/colour"),
        ({"place_id": "x" * 91}, "/place_id"),
    ],
    ids=str,
)
def test_a_serial_batch_that_cannot_be_made_is_refused_by_field(
    shop: Shop, change: dict[str, Any], pointer: str
) -> None:
    answer = ask(shop, **({"kind": "serial", "count": 3, "medium": "qr"} | change))
    assert pointer in {fault["pointer"] for fault in problem(answer, 422)["errors"]}
    assert read(shop, f"/v1/campaigns/{shop.campaign}/token-batches")["data"] == []


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"media": []}, "/media"),
        ({"media": ["smoke"]}, "/media"),
        ({"media": None}, "/media"),
        ({"place_ids": []}, "/place_ids"),
        ({"place_ids": "some"}, "/place_ids"),
        ({"place_ids": None}, "/place_ids"),
        ({"place_ids": [1]}, "/place_ids"),
        ({"count": 3}, "/count"),
        ({"handed_over": False}, "/handed_over"),
    ],
    ids=str,
)
def test_a_static_batch_that_cannot_be_made_is_refused_by_field(
    shop: Shop, change: dict[str, Any], pointer: str
) -> None:
    answer = ask(shop, **({"kind": "static", "media": ["qr"], "place_ids": "all"} | change))
    assert any(fault["pointer"].startswith(pointer) for fault in problem(answer, 422)["errors"]), answer.text
    assert read(shop, f"/v1/campaigns/{shop.campaign}/token-batches")["data"] == []


def test_a_place_that_is_not_ours_is_unknown(house: House, shop: Shop) -> None:
    with owner(house.server, house.other_key) as other:
        body = {"name": "Theirs", "lat": 1, "lon": 1, "radius_m": 80, "time_zone": "Europe/Paris"}
        theirs = made(other.post("/v1/places", json=body))["id"]
    for place in (theirs, f"plc_{NIL}", "ext_nothing", "nothing", "\x00"):
        answer = ask(shop, kind="serial", count=3, medium="qr", place_id=place)
        assert problem(answer, 404, "not_found")["errors"][0]["pointer"] == "/place_id"
        answer = ask(shop, kind="static", media=["qr"], place_ids=[shop.place, place])
        assert problem(answer, 404, "not_found")["errors"][0]["pointer"] == "/place_ids/1"
    assert read(shop, f"/v1/campaigns/{shop.campaign}/token-batches")["data"] == []


def test_a_campaign_that_ended_takes_no_batch(shop: Shop) -> None:
    with shop.server.api() as api:
        api.post(f"/v1/campaigns/{shop.campaign}/end").raise_for_status()
    for body in (
        {"kind": "serial", "count": 3, "medium": "qr"},
        {"kind": "serial", "count": 3_000, "medium": "qr"},
        {"kind": "static", "media": ["qr"], "place_ids": "all"},
    ):
        problem(ask(shop, **body), 409, "wrong_state")


def test_a_single_serial_is_asked_for_as_a_batch(shop: Shop) -> None:
    with shop.server.api() as api:
        answer = api.post(f"/v1/campaigns/{shop.campaign}/tokens", json={"medium": "qr", "kind": "serial"})
    assert problem(answer, 422)["errors"][0]["pointer"] == "/kind"


def test_what_belongs_to_another_organisation_is_unknown(house: House, shop: Shop) -> None:
    answer = ask(shop, kind="serial", count=501, medium="qr")
    batch, job = answer.json()["id"], answer.json()["job"]["id"]
    with owner(house.server, house.other_key) as other:
        for path in (
            f"/v1/jobs/{job}",
            f"/v1/token-batches/{batch}",
            f"/v1/token-batches/{batch}/codes.csv",
            f"/v1/token-batches/{batch}/codes.ndjson",
            f"/v1/campaigns/{shop.campaign}/token-batches",
        ):
            problem(other.get(path), 404, "not_found")
        problem(other.post(f"/v1/jobs/{job}/cancellation"), 404, "not_found")
        body = {"kind": "serial", "count": 3, "medium": "qr"}
        problem(other.post(f"/v1/campaigns/{shop.campaign}/token-batches", json=body), 404, "not_found")
        assert job not in other.get("/v1/jobs").text
    with shop.server.api() as api:
        for path in ("/v1/jobs/nothing", f"/v1/jobs/job_{NIL}", "/v1/token-batches/x", f"/v1/token-batches/tbt_{NIL}"):
            problem(api.get(path), 404, "not_found")


def test_jobs_are_listed_page_by_page(shop: Shop) -> None:
    wanted = [ask(shop, kind="serial", count=501, medium="qr").json()["job"]["id"] for _ in range(3)]
    found: list[str] = []
    path = "/v1/jobs?limit=1"
    while len(found) < 3:
        page = read(shop, path)
        found += [job["id"] for job in page["data"]]
        path = f"/v1/jobs?limit=1&cursor={page['next_cursor']}"
    assert found == wanted[::-1]


def test_a_serial_is_scanned_often_and_used_once(shop: Shop) -> None:
    codes = [row["code"] for row in rows(shop, serials(shop, place_id=shop.place, handed_over=True))]
    typed = "-".join(codes[0][start : start + 4] for start in (0, 4, 8, 12)).lower()
    with shop.server.phone(Accept="application/json") as phone:
        for asked in (codes[0], codes[0].lower(), typed):
            assert phone.get(f"/t/{asked}").json()["verdict"] == "valid"
    first = check_in(shop, typed).raise_for_status().json()
    assert (first["presence"], first["steps"][0]["state"]) == (2, "verified")
    problem(check_in(shop, codes[0]), 409, "serial_used")
    assert check_in(shop, codes[1]).json()["presence"] == 2
    with shop.server.phone(Accept="text/html", **{"Accept-Language": "fr"}) as phone:
        scan = phone.get(f"/t/{codes[0]}", headers={"Accept": "application/json"}).json()
        page = phone.post(f"/t/{codes[0]}/check-in", data={"receipt": scan["receipt"]})
    assert page.status_code == 409
    assert "Ce code a déjà servi" in page.text


def test_a_serial_on_a_pack_says_so(shop: Shop) -> None:
    code = rows(shop, serials(shop))[0]["code"]
    with shop.server.phone(Accept="application/json", **{"User-Agent": PHONE}) as phone:
        scan = phone.get(f"/t/{code}").json()
    assert (scan["verdict"], scan["reasons"]) == ("valid", ["possession"])
    body = check_in(shop, code).json()
    assert (body["presence"], body["reasons"]) == (0, ["possession"])


def test_scans_are_answered_and_judged_while_a_long_job_runs(shop: Shop) -> None:
    job = ask(shop, kind="serial", count=8_000, medium="qr").headers["location"]
    slowest, judged = 0.0, 0
    # An agent of its own: the others of this house are a burst by now.
    headers = {"Accept": "application/json", "User-Agent": f"{PHONE} {shop.code}"}
    with shop.server.phone(**headers) as phone, shop.server.api() as api:
        while api.get(job).json()["state"] in ("queued", "running"):
            begun = time.monotonic()
            receipt = phone.get(f"/t/{shop.code}").json()["receipt"]
            phone.post(f"/t/{shop.code}/confirm", json={"receipt": receipt})
            slowest = max(slowest, time.monotonic() - begun)
            judged = max(judged, api.get(f"/v1/campaigns/{shop.campaign}/stats").json()["scans"]["verified"])
        assert api.get(job).json()["state"] == "done"
    assert judged > 0, "the outbox waited for the job"
    assert slowest < 5, "a scan waited behind the job"
