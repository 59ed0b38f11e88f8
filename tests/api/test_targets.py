"""Targets and alerts through HTTP, on both databases."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook as Verifier

from campaigns.stats.watch import raise_alerts
from campaigns.storage import Database
from tests.api.conftest import House
from tests.api.desk import Desk, text_of
from tests.api.helpers import CAMPAIGN, Shop, inside, made, make_shop, problem, signed_in
from tests.conftest import SECRET, Server, found, new_postgres_url, running_server, wait_until
from tests.receiver import receiver

AS_JSON = {"Accept": "application/json"}
TARGETS = [{"kpi": "check_ins", "value": 4}, {"kpi": "bridge_rate", "value": 0.5}, {"kpi": "conversions", "value": 9}]


def a_shop(server: Server, **campaign: Any) -> Shop:
    ends_at = (datetime.now(UTC) + timedelta(days=30)).isoformat()
    return make_shop(server, targets=TARGETS, ends_at=ends_at, **campaign)


def come(shop: Shop) -> None:
    with shop.server.phone() as phone:
        scan = phone.get(f"/t/{shop.code}", headers=AS_JSON).json()
        phone.post(f"/t/{shop.code}/check-in", json={"receipt": scan["receipt"], **inside()}, headers=AS_JSON)


def test_targets_tell_what_there_is_how_far_and_why_there_is_no_forecast(server: Server) -> None:
    shop = a_shop(server)
    come(shop)
    path = f"/v1/campaigns/{shop.campaign}/targets"
    with server.api() as api:
        answer = api.get(path)
        told = answer.json()
        assert told["state"] == "live"
        assert 0 <= told["elapsed"] < 0.01
        check_ins, bridge, conversions = told["targets"]
        assert (check_ins["value"], check_ins["progress"], check_ins["reached"]) == (1, 0.25, False)
        assert (check_ins["on_course"], check_ins["forecast"]) == (True, None)
        assert check_ins["forecast_reason"] in ("not_made_yet", "under_7_days")
        assert check_ins["locked_at"] is not None
        assert (bridge["value"], bridge["expected_by_now"]) == (0, 0.5)
        assert (conversions["value"], conversions["progress"]) == (None, None)
        assert told["formulas"] == {"progress": "progress/1", "expected_by_now": "expected/1", "forecast": "forecast/1"}
        assert api.get(path, headers={"If-None-Match": answer.headers["etag"]}).status_code in (200, 304)
        problem(api.get(f"/v1/campaigns/{shop.campaign}/forecasts", params={"kpi": "votes"}), 422)
        assert isinstance(api.get(f"/v1/campaigns/{shop.campaign}/forecasts").json()["data"], list)


def test_a_draft_says_that_nothing_began(server: Server) -> None:
    with server.api() as api:
        draft = made(api.post("/v1/campaigns", json=CAMPAIGN))["id"]
        (target,) = api.get(f"/v1/campaigns/{draft}/targets").json()["targets"]
    assert (target["forecast_reason"], target["expected_by_now"], target["value"]) == ("not_begun", None, 0)


def test_a_threshold_is_set_listed_and_removed(server: Server) -> None:
    shop = a_shop(server)
    path = f"/v1/campaigns/{shop.campaign}/alerts"
    with server.api() as api:
        one = made(api.post(path, json={"watch": "check_ins", "comparison": "below", "value": 3}))
        assert (one["now"], one["raised_at"]) == (0, None)
        problem(api.post(path, json={"watch": "check_ins", "comparison": "below", "value": 3}), 409, "threshold_there")
        two = made(api.post(path, json={"watch": "inflation", "comparison": "above", "value": 2.5}))
        assert [row["id"] for row in api.get(path).json()["data"]] == [one["id"], two["id"]]
        assert api.get(path).json()["data"][1]["now"] is None, "nothing is verified: not measured"
        assert api.get(f"{path}/raised").json() == {"data": [], "next_cursor": None}
        assert api.delete(f"{path}/{two['id']}").status_code == 204
        problem(api.delete(f"{path}/{two['id']}"), 404)
        problem(api.delete(f"{path}/ral_{'0' * 32}"), 404)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"watch": "likes", "comparison": "above", "value": 1}, "/watch"),
        ({"watch": "held_share", "comparison": "above", "value": 20}, "/value"),
        ({"watch": "open_cases", "comparison": "above", "value": 1.5}, "/value"),
        ({"watch": "open_cases", "comparison": "above", "value": -1}, "/value"),
        ({"watch": "open_cases", "comparison": "beside", "value": 1}, "/comparison"),
        ({"watch": "open_cases", "comparison": "above", "value": "1"}, "/value"),
        ({"watch": "open_cases", "comparison": "above", "value": 1e300}, "/value"),
        ({"watch": "open_cases", "comparison": "above"}, "/value"),
        ({"watch": "open_cases", "comparison": "above", "value": 1, "mail": "a@b.example"}, "/mail"),
    ],
)
def test_absurd_thresholds_are_refused_in_words(server: Server, shop: Shop, body: Any, pointer: str) -> None:
    with server.api() as api:
        answer = problem(api.post(f"/v1/campaigns/{shop.campaign}/alerts", json=body), 422)
        assert [one["pointer"] for one in answer["errors"]] == [pointer]
        assert api.get(f"/v1/campaigns/{shop.campaign}/alerts").json()["data"] == []


def test_another_organisations_targets_alerts_and_reports_are_not_found(house: House, shop: Shop) -> None:
    theirs = make_shop(replace(house.server, key=found(house.database_url, SECRET, "Another")))
    with house.server.api() as api:
        for name in ("targets", "forecasts", "alerts", "alerts/raised", "report", "reports"):
            problem(api.get(f"/v1/campaigns/{theirs.campaign}/{name}"), 404)


def test_a_raised_alert_is_told_signed_listed_and_shown_at_the_console(postgres: str, tmp_path: Path) -> None:
    """The watch looks each minute; here another worker looks at once."""
    url = new_postgres_url(postgres)
    with (
        receiver(tmp_path, tls=False) as there,
        running_server(url, PASSERELLE_WEBHOOKS_LOCAL="true") as server,
        server.api() as api,
    ):
        shop = make_shop(server)
        webhook = made(api.post("/v1/webhooks", json={"url": there.url, "events": ["alert.raised"]}))
        path = f"/v1/campaigns/{shop.campaign}/alerts"
        threshold = made(api.post(path, json={"watch": "open_cases", "comparison": "below", "value": 1}))
        database = Database(url)
        raise_alerts(database, now=datetime.now(UTC))
        database.close()
        wait_until(lambda: bool(there.arrived))
        (raised,) = api.get(f"{path}/raised", params={"open": "true"}).json()["data"]
        assert api.get(path).json()["data"][0]["raised_at"] == raised["raised_at"]
        with Desk(server, server).signed_in("analyst") as it:
            page = text_of(it.get("/console"))
            board = text_of(it.get(f"/console/figures/{shop.campaign}"))
        with signed_in(shop) as phone:
            on_phone = text_of(phone.get("/staff/figures?lang=fr"))
        with signed_in(make_shop(server)) as phone:  # of another campaign
            elsewhere = text_of(phone.get("/staff/figures?lang=fr"))
        api.delete(f"{path}/{threshold['id']}")
        assert api.get(f"{path}/raised", params={"open": "true"}).json()["data"] == []
    (message,) = there.arrived
    body = Verifier(webhook["secret"]).verify(message.body, message.headers)
    assert "Demandes ouvertes 0 en dessous de 1" in page
    for one in (board, on_phone):
        assert "Demandes ouvertes en dessous de sa limite depuis le " in one
    assert "de sa limite" not in elsewhere
    assert (raised["alert_id"], raised["found"], raised["over_at"]) == (threshold["id"], 0, None)
    assert body["type"] == "alert.raised"
    assert body["data"] == {
        "alert_id": raised["id"],
        "campaign_id": shop.campaign,
        "watched": "open_cases",
        "comparison": "below",
        "threshold": 1,
        "found": 0,
    }
