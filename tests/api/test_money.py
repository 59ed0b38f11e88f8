"""Costs, conversions, holdouts and returns through HTTP, on both databases."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from tests.api.helpers import CAMPAIGN, MISSION, PLACE, inside, made, problem
from tests.conftest import Server

PER_ARM = 5


def now(**back: float) -> str:
    return (datetime.now(UTC) - timedelta(**back)).isoformat()


def a_cost(campaign: str, **fields: Any) -> dict[str, Any]:
    today = datetime.now(UTC).date().isoformat()
    given = {"campaign_id": campaign, "kind": "media", "amount_minor": 50_000_00, "currency": "EUR"}
    return given | {"incurred_on": today, "label": "Posters"} | fields


def a_sale(campaign: str, id: str, **fields: Any) -> dict[str, Any]:
    given = {"source": "till", "external_id": id, "campaign_id": campaign, "amount_minor": 80_00, "currency": "EUR"}
    return given | {"occurred_at": now()} | fields


def on_trial(server: Server, places: int = 2 * PER_ARM) -> tuple[str, dict[str, Any]]:
    """A live campaign of so many places, half of them held out; and the draw."""
    with server.api() as api:
        campaign = made(api.post("/v1/campaigns", json=CAMPAIGN))["id"]
        made(api.post(f"/v1/campaigns/{campaign}/missions", json=MISSION))
        for number in range(places):
            place = made(api.post("/v1/places", json=PLACE | {"name": f"Shop {number}"}))["id"]
            made(api.post(f"/v1/campaigns/{campaign}/tokens", json={"medium": "qr", "place_id": place}))
        drawn = made(api.post(f"/v1/campaigns/{campaign}/holdout", json={"share": 0.5}))
        assert api.post(f"/v1/campaigns/{campaign}/launch").status_code == 200
    return campaign, drawn


def sell(server: Server, campaign: str, place: str, number: int, amount_minor: int) -> None:
    with server.api() as api:
        for start in range(0, number, 500):
            sales = [
                a_sale(campaign, uuid4().hex, place_id=place, amount_minor=amount_minor)
                for _ in range(start, min(start + 500, number))
            ]
            assert api.post("/v1/conversions", json=sales).json()["accepted"] == len(sales)


def money(server: Server, campaign: str) -> dict[str, Any]:
    with server.api() as api:
        answer = api.get(f"/v1/campaigns/{campaign}/money")
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body


def test_the_golden_numbers_come_out_of_the_whole_way(server: Server) -> None:
    """1,200 of 100,000 against 900 of 100,000, basket 80, margin 40 %, cost 50,000: -40,400."""
    campaign, drawn = on_trial(server)
    assert money(server, campaign)["verdict"] == "not_measured"
    today = datetime.now(UTC).date()
    period = {"since": (today - timedelta(days=1)).isoformat(), "until": (today + timedelta(days=1)).isoformat()}
    told = [{"place_id": one, "number": 20_000} for one in drawn["exposed"] + drawn["held_out"]]
    with server.api() as api:
        made(api.post("/v1/costs", json=a_cost(campaign)))
        assert api.post(f"/v1/campaigns/{campaign}/exposures", json=period | {"exposures": told}).status_code == 200
        assert api.patch(f"/v1/campaigns/{campaign}/money", json={"margin": 0.4}).status_code == 200
    assert (money(server, campaign)["verdict"], money(server, campaign)["lack"]) == ("not_proven", "too_few")
    for place in drawn["exposed"]:
        sell(server, campaign, place, 240, 80_00)
    for place in drawn["held_out"]:
        sell(server, campaign, place, 180, 80_00)
    found = money(server, campaign)
    returned = found["incremental"]
    assert returned["exposed"] == {"exposures": 100_000, "conversions": 1200, "revenue_minor": 96_000_00}
    assert returned["held_out"] == {"exposures": 100_000, "conversions": 900, "revenue_minor": 72_000_00}
    assert returned["incremental_conversions"]["value"] == 300
    assert returned["incremental_revenue_minor"]["value"] == 24_000_00
    assert returned["incremental_profit_minor"]["value"] == -40_400_00
    assert (returned["roi"]["value"], returned["iroas"]["value"]) == (-0.808, 0.48)
    assert (found["verdict"], found["lack"], returned["proven"]) == ("negative", None, True)
    assert returned["roi"]["low"] < -0.808 < returned["roi"]["high"] < 0


def test_a_held_out_place_shows_the_plain_page_and_is_counted_apart(server: Server) -> None:
    campaign, drawn = on_trial(server, places=4)
    with server.api() as api:
        tokens = api.get(f"/v1/campaigns/{campaign}/tokens", params={"limit": 50}).json()["data"]
        code_of = {one["place_id"]: one["code"] for one in tokens}
        mission = api.get(f"/v1/campaigns/{campaign}/missions").json()["data"][0]
    words = "An orchard for the school"
    with server.phone(**{"Accept-Language": "en", "Accept": "text/html"}) as phone:
        assert words in phone.get(f"/t/{code_of[drawn['exposed'][0]]}").text
        plain = phone.get(f"/t/{code_of[drawn['held_out'][0]]}")
        assert plain.status_code == 200
        assert words not in plain.text
        assert mission["slug"] not in plain.text
    with server.phone(Accept="application/json") as phone:
        scan = phone.get(f"/t/{code_of[drawn['held_out'][0]]}").json()
        assert scan["mission"] is None
        done = phone.post(
            f"/t/{code_of[drawn['held_out'][0]]}/check-in", json={"receipt": scan["receipt"], **inside()}
        ).json()
        assert done["steps"] == []
        scan = phone.get(f"/t/{code_of[drawn['exposed'][0]]}").json()
        assert scan["mission"]["slug"] == mission["slug"]
    with server.api() as api:
        sales = [a_sale(campaign, uuid4().hex, place_id=one) for side in ("exposed", "held_out") for one in drawn[side]]
        assert api.post("/v1/conversions", json=sales).json()["accepted"] == 4
        assert api.get(f"/v1/campaigns/{campaign}/stats").json()["check_ins"] == 0
        shown = api.get("/v1/conversions", params={"campaign_id": campaign}).json()["data"]
    assert sorted(one["phase"] for one in shown) == ["holdout", "holdout", "live", "live"]
    assert money(server, campaign)["conversions"] == 2


def test_anyone_can_do_the_draw_again_and_nobody_a_second_one(server: Server) -> None:
    campaign, drawn = on_trial(server, places=6)
    units = drawn["exposed"] + drawn["held_out"]
    order = sorted(units, key=lambda one: hashlib.sha256((drawn["seed"] + one[4:]).encode()).digest())
    assert set(order[: drawn["held_out_number"]]) == set(drawn["held_out"])
    assert (drawn["drawn_from"], drawn["held_out_number"], len(drawn["exposed"])) == (6, 3, 3)
    with server.api() as api:
        assert api.get(f"/v1/campaigns/{campaign}/holdout").json() == drawn
        problem(api.post(f"/v1/campaigns/{campaign}/holdout", json={"share": 0.5}), 409, "wrong_state")
        draft = made(api.post("/v1/campaigns", json=CAMPAIGN))["id"]
        path = f"/v1/campaigns/{draft}/holdout"
        problem(api.post(path, json={"number": 1}), 422)
        problem(api.get(path), 404)
        for place in units[:2]:
            made(api.post(f"/v1/campaigns/{draft}/tokens", json={"medium": "qr", "place_id": place}))
        for body in ({}, {"share": 0.5, "number": 1}, {"share": 1}, {"number": 2}, {"share": 0.1}, {"seed": "0"}):
            problem(api.post(path, json=body), 422)
        made(api.post(path, json={"unit": "token", "number": 1}))
        problem(api.post(path, json={"number": 1}), 409, "holdout_drawn")
