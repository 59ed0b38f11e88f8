"""Costs, conversions, holdouts and returns through HTTP, on both databases."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from tests.api.helpers import CAMPAIGN, MISSION, PLACE, made
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
