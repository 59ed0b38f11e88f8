"""Figures through HTTP, on both databases: periods, groups, filters, comparison, tags, and what is refused."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from tests.api.conftest import House
from tests.api.helpers import Shop, inside, made, make_shop, problem
from tests.conftest import SECRET, Server, found, wait_until

AS_JSON = {"Accept": "application/json"}


def stats(shop: Shop, **params: Any) -> dict[str, Any]:
    with shop.server.api() as api:
        answer = api.get(f"/v1/campaigns/{shop.campaign}/stats", params=params)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body


def test_a_scan_is_in_the_figures_at_once_and_verified_in_a_moment(server: Server) -> None:
    shop = make_shop(server)
    with server.phone() as phone:
        scan = phone.get(f"/t/{shop.code}", headers=AS_JSON).json()
        assert stats(shop)["scans"] | {"verified": 0} == {
            "raw": 1, "human": 1, "verified": 0, "provisional": 0, "bot": 0, "duplicate": 0, "held": 0, "invalid": 0
        }  # fmt: skip
        phone.post(f"/t/{shop.code}/check-in", json={"receipt": scan["receipt"], **inside()}, headers=AS_JSON)
    wait_until(lambda: stats(shop)["scans"]["verified"] == 1)
    wait_until(lambda: stats(shop)["unique_visitors"] == 1)
    now = datetime.now(UTC)
    body = stats(shop, group_by="hour,place", compare="previous")
    assert len(body["groups"]) == 24
    assert sum(one["scans"]["verified"] for one in body["groups"]) == 1
    assert (body["previous"]["scans"]["raw"], body["unique_visitors"]) == (0, None)
    assert datetime.fromisoformat(body["complete_up_to"]) > now - timedelta(minutes=1)
    (group,) = stats(shop, group_by="place")["groups"]
    assert group["keys"] == {"place": shop.place}
    assert (group["scans"]["verified"], group["unique_visitors"]) == (1, 1)
    (day,) = stats(shop, group_by="day")["groups"]
    assert (day["scans"]["raw"], day["unique_visitors"]) == (1, 1)
    assert stats(shop, place_id=shop.place)["check_ins"] == 1
    assert stats(shop, token_id=shop.token, group_by="day,verdict")["groups"][0]["scans"]["raw"] == 1
    assert stats(shop, device="desktop")["scans"]["raw"] == 0
    assert stats(shop, device="phone")["check_ins"] is None
    week = stats(shop, since="2026-01-01", until="2026-01-12", group_by="week")
    assert [one["keys"]["week"] for one in week["groups"]] == ["2025-12-29", "2026-01-05"]
    assert (week["since"], week["until"], week["scans"]["raw"]) == ("2026-01-01", "2026-01-12", 0)
    with server.api() as api:
        path = f"/v1/campaigns/{shop.campaign}/stats"
        tag = api.get(path).headers["etag"]
        assert api.get(path, headers={"If-None-Match": tag}).status_code == 304
        shop.scan()
        assert api.get(path, headers={"If-None-Match": tag}).status_code == 200


@pytest.mark.parametrize(
    ("params", "pointer"),
    [
        ({"group_by": "minute"}, "/group_by"),
        ({"group_by": "hour,day"}, "/group_by"),
        ({"group_by": "place,place"}, "/group_by"),
        ({"group_by": "place,device,day"}, "/group_by"),
        ({"group_by": "place,device", "language": "fr"}, "/group_by"),
        ({"device": "phone", "language": "fr", "country": "FR"}, "/group_by"),
        ({"group_by": "hour,place", "device": "phone"}, "/group_by"),
        ({"group_by": "hour", "since": "2026-01-01"}, "/since"),
        ({"since": "2001-01-01"}, "/since"),
        ({"since": "2026-10-02", "until": "2026-10-01"}, "/until"),
        ({"since": "2026-02-30"}, "/since"),
        ({"since": "2026-10-01T10:00:00"}, "/since"),
        ({"since": "1500-01-01"}, "/since"),
        ({"since": "2099-01-01"}, "/since"),
        ({"until": "yesterday"}, "/until"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_words(server: Server, shop: Shop, params: Any, pointer: str) -> None:
    with server.api() as api:
        answer = api.get(f"/v1/campaigns/{shop.campaign}/stats", params=params)
    body = problem(answer, 422)
    assert [one["pointer"] for one in body["errors"]] == [pointer]


def test_another_organisations_place_code_and_batch_are_not_found(house: House, shop: Shop) -> None:
    server = house.server
    theirs = make_shop(replace(server, key=found(house.database_url, SECRET, "Another")))
    with server.api() as api:
        path = f"/v1/campaigns/{shop.campaign}/stats"
        for params in ({"place_id": theirs.place}, {"token_id": theirs.token}, {"token_id": "tbt_" + "0" * 32}):
            problem(api.get(path, params=params), 404)
        problem(api.get(f"/v1/campaigns/{theirs.campaign}/stats"), 404)


def test_the_terminal_draws_the_same(server: Server) -> None:
    shop = make_shop(server)
    shop.scan()
    shop.scan(**{"User-Agent": "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"})
    told = json.loads(server.passerelle("stats", shop.campaign, "--by", "device", "--json").stdout)
    by_name = {one["group"]: (one["raw"], one["human"]) for one in told["groups"]}
    assert by_name["phone"] == (1, 1)
    assert by_name["all"] == (2, 1)
    drawn = server.passerelle("stats", shop.campaign, "--days", "3").stdout
    assert drawn.count("\n│ 20") == 3
    assert "█" in drawn or "░" in drawn
    assert server.passerelle("stats", "cmp_" + "0" * 32).returncode == 1
    assert server.passerelle("stats", shop.campaign, "--by", "minute").returncode == 1


def steps_of(api: httpx2.Client, path: str, **params: str) -> dict[str, Any]:
    return {one["step"]: one for one in api.get(path, params=params).json()["steps"]}


def test_the_funnel_tells_how_many_came_how_far(house: House, server: Server) -> None:
    shop = make_shop(server)
    path = f"/v1/campaigns/{shop.campaign}/funnel"
    for _ in range(5):
        with server.phone() as phone:
            scan = phone.get(f"/t/{shop.code}", headers=AS_JSON).json()
            phone.post(f"/t/{shop.code}/check-in", json={"receipt": scan["receipt"], **inside()}, headers=AS_JSON)
    with server.api() as api:
        body = api.get(path, params={"by": "place"}).json()
        steps = {one["step"]: one for one in body["steps"]}
        assert list(steps) == list(stats_of_steps())
        assert (steps["hit"]["number"], steps["check_in"]["number"], steps["conversion"]["number"]) == (5, 5, None)
        assert (steps["join"]["rate_to_previous"], steps["online_act"]["number"], body["bridge_rate"]) == (1.0, 0, 0.0)
        assert steps["check_in"]["timed"] == 5
        assert steps["check_in"]["median_s"] in (0, 1, 2)
        (group,) = body["groups"]
        assert group["key"] == shop.place
        lost = [(one["key"], one["step"], one["next"], one["lost"]) for one in body["drop_offs"]]
        assert (shop.place, "join", "online_act", 5) in lost
        assert [(one["people"], one["rates"]) for one in body["cohorts"]] == [(5, [1.0])]
        assert body["formulas"]["steps"] == "funnel/1"
        whole, part = api.get(path).json(), api.get(path, params={"place_id": shop.place}).json()
        assert (whole["insider_share"], whole["k_factor"]) == (0.0, 0.0)
        assert [part[one] for one in ("insider_share", "k_factor", "return_rate")] == [None, None, None]
        wait_until(lambda: known(api, path))
        sale: dict[str, Any] = {
            "source": "till",
            "external_id": shop.campaign,
            "campaign_id": shop.campaign,
            "place_id": shop.place,
        }
        sale |= {"amount_minor": 950, "currency": "EUR", "occurred_at": datetime.now(UTC).isoformat()}
        assert made(api.post("/v1/conversions", json=sale))["amount_minor"] == 950
        assert steps_of(api, path, place_id=shop.place)["conversion"]["number"] == 1
        assert steps_of(api, path, token_id=shop.token)["conversion"]["number"] == 0
        for params, pointer in (
            ({"since": "2026-10-02", "until": "2026-10-01"}, "/until"),
            ({"since": "2099-01-01"}, "/since"),
            ({"since": "1500-01-01"}, "/since"),
        ):
            assert [one["pointer"] for one in problem(api.get(path, params=params), 422)["errors"]] == [pointer]
        problem(api.get(path, params={"by": "channel"}), 422)
        theirs = make_shop(replace(server, key=found(house.database_url, SECRET, "Another")))
        problem(api.get(path, params={"place_id": theirs.place}), 404)
        problem(api.get(f"/v1/campaigns/{theirs.campaign}/funnel"), 404)
    told = json.loads(server.passerelle("funnel", shop.campaign, "--json").stdout)
    assert told["steps"][3]["number"] == 5
    drawn = server.passerelle("funnel", shop.campaign, "--by", "place").stdout
    assert "check-in" in drawn
    assert "Where most are lost" in drawn
    assert server.passerelle("funnel", shop.campaign, "--since", "2099-01-01").returncode == 1


def known(api: Any, path: str) -> bool:
    """Whether the tag of an answer still fits a while later, when all is complete up to a later instant."""
    first = api.get(path)
    wait_until(lambda: api.get(path).json()["complete_up_to"] != first.json()["complete_up_to"])
    return bool(api.get(path, headers={"If-None-Match": first.headers["etag"]}).status_code == 304)


def stats_of_steps() -> tuple[str, ...]:
    return ("hit", "scan", "verified", "check_in", "join", "online_act", "coupon", "redemption", "conversion")
