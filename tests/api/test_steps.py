"""Kinds of steps and voids through HTTP: forms and JSON, what a page says, and what is refused."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from tests.api.helpers import CAMPAIGN, MISSION, PLACE, Shop, made, problem, signed_in
from tests.api.test_recovery import from_elsewhere
from tests.conftest import Server

JSON = {"Accept": "application/json"}


@dataclass(frozen=True)
class Tour:
    """A live campaign with a code in each of some places."""

    server: Server
    places: list[str]
    codes: list[str]
    mission: dict[str, Any]
    shop: Shop

    def check_in(self, phone: httpx2.Client, number: int = 0, **fields: Any) -> dict[str, Any]:
        scan = phone.get(f"/t/{self.codes[number]}", headers=JSON).json()
        sent = {"receipt": scan["receipt"], **fields}
        answer = phone.post(f"/t/{self.codes[number]}/check-in", data=sent, headers=JSON)
        assert answer.status_code == 200, answer.text
        return {"scan_id": scan["scan_id"], **answer.json()}

    def post(self, phone: httpx2.Client, what: str, **fields: Any) -> httpx2.Response:
        return phone.post(f"/m/{self.mission['slug']}/{what}", json=fields, headers=JSON)

    def page(self, phone: httpx2.Client, lang: str = "en") -> str:
        return phone.get(f"/m/{self.mission['slug']}", params={"lang": lang}).text


def open_tour(server: Server, number: int, steps: list[dict[str, Any]]) -> Tour:
    """Places in `steps` are named by their number."""
    with server.api() as api:
        places = [made(api.post("/v1/places", json=PLACE | {"name": f"Stop {one}"}))["id"] for one in range(number)]
        campaign = made(api.post("/v1/campaigns", json=CAMPAIGN))["id"]
        for step in steps:
            named = step.get("params", {}).get("places")
            if named:
                step["params"]["places"] = [places[one] for one in named]
        mission = made(api.post(f"/v1/campaigns/{campaign}/missions", json=MISSION | {"steps": steps}))
        tokens = [
            made(api.post(f"/v1/campaigns/{campaign}/tokens", json={"medium": "qr", "place_id": one})) for one in places
        ]
        assert api.post(f"/v1/campaigns/{campaign}/launch").status_code == 200
    shop = Shop(server, places[0], campaign, mission["id"], mission["slug"], tokens[0]["id"], tokens[0]["code"])
    return Tour(server, places, [one["code"] for one in tokens], mission, shop)


@contextmanager
def phones(server: Server, number: int) -> Iterator[list[httpx2.Client]]:
    made_of = [server.phone() for _ in range(number)]
    try:
        yield made_of
    finally:
        for one in made_of:
            one.close()


def test_a_trail_tells_its_order_and_the_next_stop(server: Server) -> None:
    tour = open_tour(server, 2, [{"kind": "trail", "params": {"places": [0, 1]}}])
    assert tour.mission["steps"][0]["params"] == {"places": tour.places}
    with server.phone() as phone:
        scan_page = phone.get(f"/t/{tour.codes[0]}", params={"lang": "fr"}).text
        assert "Dans cet ordre" in scan_page
        assert "Stop 0 → Stop 1" in scan_page
        early = tour.check_in(phone, 1)
        assert [(one["state"], one["reason"]) for one in early["steps"]] == [("refused", "order")]
        assert "The next one is Stop 0." in tour.page(phone)
        assert "Le prochain est Stop 0." in tour.page(phone, "fr")


def test_distinct_places_are_told_with_how_many_are_missing(server: Server) -> None:
    tour = open_tour(server, 2, [{"kind": "visit_places", "params": {"n": 2}}])
    with server.phone() as phone:
        assert [one["state"] for one in tour.check_in(phone, 0)["steps"]] == ["progress"]
        assert "Different places: 1 of 2 visited" in tour.page(phone)
        assert "2 different places" in tour.page(phone)


@pytest.mark.parametrize(
    ("step", "pointer"),
    [
        ({"kind": "trail"}, "/steps/0/params/places"),
        ({"kind": "visit_places", "params": {"n": 99}}, "/steps/0/params/n"),
        ({"kind": "trail", "params": {"places": ["plc_7", "plc_8"]}}, "/steps/0/params/places/0"),
        ({"kind": "visit_places", "params": {"n": 1}, "repeat": "daily"}, "/steps/0/repeat"),
        ({"kind": "share", "params": {"n": 1}}, "/steps/0/params/n"),
        ({"kind": "scan", "repeat": 1}, "/steps/0/repeat"),
    ],
)
def test_params_that_do_not_fit_are_a_422_that_names_the_field(
    server: Server, shop: Shop, step: dict[str, Any], pointer: str
) -> None:
    with server.api() as api:
        answer = api.post(f"/v1/campaigns/{shop.campaign}/missions", json=MISSION | {"steps": [step]})
    errors = problem(answer, 422)["errors"]
    assert any(one["pointer"].startswith(pointer) for one in errors), errors


def test_a_step_of_no_kind_is_a_422_that_names_those_there_are(server: Server, shop: Shop) -> None:
    with server.api() as api:
        answer = api.post(f"/v1/campaigns/{shop.campaign}/missions", json=MISSION | {"steps": [{"kind": "teleport"}]})
    detail = str(problem(answer, 422)["errors"][0]["detail"])
    assert "'bring_friend'" in detail
    assert "'redeem'" in detail


def test_a_till_witnesses_an_act_once(server: Server) -> None:
    tour = open_tour(server, 1, [{"kind": "staff_validated", "min_presence": 3, "points": 5}])
    with server.phone() as phone, signed_in(tour.shop) as till:
        code = made(tour.post(phone, "codes"))["code"]
        assert made(tour.post(phone, "codes"))["code"] == code
        page = tour.page(phone)
        assert f"{code[:3]} {code[3:]}" in page
        assert "<svg" in page[page.index("act-title-1") :]
        form = till.get(f"/staff/validations?code={code}&lang=fr").text
        assert f'value="{code}"' in form
        wrong = till.post("/staff/validations", data={"code": "12"}, headers={"Accept": "text/html"})
        assert (wrong.status_code, 'value="12"' in wrong.text) == (404, True)
        done = till.post("/staff/validations", json={"code": code}, headers=JSON)
        assert done.json()["outcome"] == "verified"
        problem(till.post("/staff/validations", json={"code": code}, headers=JSON), 409, "act_code_used")
        assert "witnessed" in tour.page(phone)


def test_a_stranger_to_the_shop_witnesses_nothing(server: Server) -> None:
    with server.phone() as phone:
        problem(phone.post("/staff/validations", json={"code": "123456"}, headers=JSON), 401, "not_signed_in")


def test_friends_name_one_another(server: Server) -> None:
    tour = open_tour(server, 1, [{"kind": "bring_friend"}])
    with phones(server, 2) as (one, two):
        tour.check_in(one)
        tour.check_in(two)
        codes = [made(tour.post(phone, "codes"))["code"] for phone in (one, two)]
        assert tour.post(one, "friends", code=codes[1]).json() == {"outcome": "progress"}
        assert tour.post(two, "friends", code=codes[0]).json() == {"outcome": "verified"}
        url = f"/m/{tour.mission['slug']}/friends?lang=en"
        again = one.post(url, data={"code": "98 76"}, headers={"Accept": "text/html"})
        assert (again.status_code, 'value="98 76"' in again.text) == (404, True)
        problem(tour.post(one, "friends", code=codes[0]), 422, "own_code")
    with server.api() as api:
        assert api.get(f"/v1/missions/{tour.mission['id']}").json()["totals"]["completions"] == 2


def test_sixty_wrong_codes_of_friends_an_hour_are_enough(server: Server) -> None:
    tour = open_tour(server, 1, [{"kind": "bring_friend"}])
    with phones(server, 1) as (friend,), from_elsewhere(server) as phone:
        tour.check_in(friend)
        tour.check_in(phone)
        code = made(tour.post(friend, "codes"))["code"]
        for number in range(60):
            problem(tour.post(phone, "friends", code=f"{number:07d}"), 404, "unknown_act_code")
            assert number % 20 or tour.post(phone, "friends", code=code).json() == {"outcome": "progress"}
        refused = tour.post(phone, "friends", code=code)
        problem(refused, 429, "friend_tries")
        assert int(refused.headers["retry-after"]) > 0
        page = phone.post(f"/m/{tour.mission['slug']}/friends", data={"code": code}, headers={"Accept": "text/html"})
        assert (page.status_code, f'value="{code}"' in page.text) == (429, True)


def test_sharing_asks_the_age_once_and_refuses_who_is_under_15(server: Server) -> None:
    tour = open_tour(server, 1, [{"kind": "share", "repeat": "daily"}])
    url = f"/m/{tour.mission['slug']}/shares"
    with phones(server, 2) as (adult, child):
        tour.check_in(adult)
        assert adult.post(url, data={}).status_code == 422
        assert adult.post(url, data={"age": "15_or_older"}).status_code == 303
        first = tour.post(adult, "shares").json()
        assert (first["outcome"], first["url"] in tour.page(adult)) == ("already", True)
        assert adult.get(first["url"]).status_code == 200
        problem(child.post(url, json={"age": "under_15"}, headers=JSON), 403, "under_age")
        problem(child.post(url, json={}, headers=JSON), 403, "under_age")


def test_another_system_tells_of_an_act_once(server: Server) -> None:
    tour = open_tour(server, 1, [{"kind": "external", "repeat": 2}])
    assert tour.mission["steps"][0]["repeat"] == 2
    path = f"/v1/missions/{tour.mission['id']}/external-acts"
    with server.phone() as phone, server.api() as api:
        code = made(tour.post(phone, "codes"))["code"]
        act = {"participant": code, "id": "order-7"}
        assert (
            made(api.post(path, json=act)) == made(api.post(path, json=act)) == {"id": "order-7", "outcome": "verified"}
        )
        problem(api.post(path, json={"participant": "NOBODY", "id": "order-8"}), 404)
        assert api.get(f"/v1/missions/{tour.mission['id']}").json()["totals"]["completions"] == 1


def test_an_act_the_mission_does_not_ask_for_is_refused(server: Server, shop: Shop) -> None:
    with server.phone() as phone:
        for what in ("codes", "shares", "friends"):
            answer = phone.post(f"/m/{shop.slug}/{what}", json={}, headers=JSON)
            problem(answer, 409, "no_such_step")


def test_a_void_is_told_once_and_the_person_reads_why(server: Server) -> None:
    tour = open_tour(server, 1, [{"kind": "scan"}])
    with server.phone() as phone, server.api() as api:
        scan = tour.check_in(phone)["scan_id"]
        first = api.post(f"/v1/scans/{scan}/void", json={"reason": "Photographed <code>"})
        assert first.status_code == 200, first.text
        body = first.json()
        assert (body["scan_id"], body["reason"]) == (scan, "Photographed <code>")
        assert {(one["what"], one["outcome"]) for one in body["effects"]} == {
            (what, "reversed") for what in ("check_in", "visit", "completion", "mission")
        }
        assert api.post(f"/v1/scans/{scan}/void", json={"reason": "Again"}).json() == body
        problem(api.post(f"/v1/scans/{scan}/void", json={}), 422)
        read = api.get(f"/v1/scans/{scan}").json()
        assert (read["verdict"], "voided" in read["reasons"]) == ("invalid", True)
        totals = api.get(f"/v1/missions/{tour.mission['id']}").json()["totals"]
        assert (totals["check_ins"], totals["completions"]) == (0, 0)
        for lang, words in (("en", "Taken back: "), ("fr", "Annulé\u00a0: ")):
            assert f"{words}Photographed &lt;code&gt;" in phone.get("/me", params={"lang": lang}).text
        held = phone.get("/me/export").json()["people"][0]
        assert held["check_ins"][0]["voided_because"] == held["steps"][0]["reason"] == "Photographed <code>"


def test_a_key_without_the_right_voids_nothing(server: Server, shop: Shop) -> None:
    from tests.conftest import client

    with server.api() as api:
        key = made(api.post("/v1/api-keys", json={"name": "m", "role": "marketer"}))["key"]
    scan = shop.scan()["scan_id"]
    with client(server.url, headers={"Authorization": f"Bearer {key}"}) as marketer:
        problem(marketer.post(f"/v1/scans/{scan}/void", json={"reason": "no"}), 403, "right_missing")
