"""Points and badges over HTTP: earned by an idea on a phone, told on `/me` with why, spent once on a coupon."""

from typing import Any

import httpx2
import pytest

from tests.api.helpers import CAMPAIGN, MISSION, Shop, made, problem
from tests.conftest import Server, wait_until

OFFER: dict[str, Any] = {
    "title": {"fr": "Deux euros de pommes", "en": "Two euros of apples"},
    "face_value": {"amount_minor": 200, "currency": "EUR"},
    "max_issue": 50,
    "unlock": {"by": "points", "points": 30, "once_per": "act"},
}
STEPS = [{"kind": "scan"}, {"kind": "idea", "points": 50, "title": {"fr": "Une idée", "en": "An idea"}}]
PAGE = {"Accept": "text/html"}
BADGE = {"name": {"fr": "Tête chercheuse", "en": "Bright spark"}, "criteria": {"kind": "completions", "at_least": 1}}


@pytest.fixture
def orchard(server: Server) -> tuple[Shop, str]:
    """A live campaign whose idea is worth fifty points, and the offer they buy."""
    with server.api() as api:
        campaign = made(api.post("/v1/campaigns", json=CAMPAIGN))["id"]
        plan = MISSION | {"steps": STEPS, "points_expire_days": 30}
        mission = made(api.post(f"/v1/campaigns/{campaign}/missions", json=plan))
        assert mission["points_expire_days"] == 30
        offer = made(api.post(f"/v1/campaigns/{campaign}/offers", json=OFFER))
        assert offer["unlock"] == {"by": "points", "step_id": None, "points": 30, "once_per": "act"}
        made(api.post(f"/v1/campaigns/{campaign}/badges", json=BADGE))
        assert api.post(f"/v1/campaigns/{campaign}/launch").status_code == 200
    return Shop(server, "", campaign, mission["id"], mission["slug"], "", ""), offer["id"]


def held(phone: httpx2.Client, part: str) -> list[dict[str, Any]]:
    people = phone.get("/me/export").json()["people"]
    return [record for person in people for record in person[part]]


def earn(shop: Shop, phone: httpx2.Client) -> None:
    said = {"text": "Plant pear trees", "age": "15_or_older"}
    answer = phone.post(f"/m/{shop.slug}/ideas", json=said, headers={"Accept": "application/json"})
    assert answer.status_code == 201
    wait_until(lambda: bool(held(phone, "points")) and bool(held(phone, "badges")))


def test_points_are_told_with_why_and_buy_one_coupon_a_request(orchard: tuple[Shop, str]) -> None:
    shop, offer = orchard
    with shop.server.phone() as phone:
        public = phone.get(f"/m/{shop.slug}?lang=en").text
        assert "50 points" in public
        assert "Bright spark" in public
        assert "For 1 step done" in public
        assert "Points are good for 30 days." in public
        assert "“Two euros of apples” for 30 points" in public
        assert "First take part: what you do here gives you the points." in public
        assert "/me/coupons" not in public, "nobody has points yet"
        problem(phone.post("/me/coupons", json={"offer_id": offer}), 404)
        earn(shop, phone)
        (lot,) = held(phone, "points")
        assert (lot["amount"], lot["spent"], lot["state"], lot["kind"]) == (50, 0, "available", "idea")
        assert lot["expires_at"] is not None
        page = phone.get("/me?lang=fr").text
        assert "50 points" in page
        assert "Pourquoi ai-je ces points" in page
        assert "Tête chercheuse" in page
        asked = {"offer_id": offer, "client_id": "tap-1"}
        first = made(phone.post("/me/coupons", json=asked))
        assert (first["points"], first["points_left"], first["state"]) == (30, 20, "issued")
        assert made(phone.post("/me/coupons", json=asked)) == first
        assert [one["code"] for one in held(phone, "coupons")] == [first["code"]]
        problem(phone.post("/me/coupons", json=asked | {"client_id": "tap-2"}), 409, "points_short")
        evil = {"Sec-Fetch-Site": "cross-site"}
        problem(phone.post("/me/coupons", json=asked | {"client_id": "tap-3"}, headers=evil), 403, "cross_site")
        page = phone.get("/me?lang=en").text
        assert "30 points spent on “Two euros of apples”" in page
        assert "“Two euros of apples” for 30 points: still 10 points to go" in page


def test_a_form_takes_the_coupon_as_json_does(orchard: tuple[Shop, str]) -> None:
    shop, offer = orchard
    with shop.server.phone() as phone:
        earn(shop, phone)
        page = phone.get("/me?lang=en").text
        assert "Take “Two euros of apples” for 30 points" in page
        client_id = page.partition('name="client_id" value="')[2].partition('"')[0]
        form = {"offer_id": offer, "client_id": client_id}
        for _ in range(2):
            sent = phone.post("/me/coupons?lang=en", data=form, headers=PAGE)
            assert (sent.status_code, sent.headers["location"].partition("&")[0]) == (303, "/me?just=taken")
        assert "The coupon is yours." in phone.get("/me?just=taken&lang=en").text
        assert len(held(phone, "coupons")) == 1
        refused = phone.post("/me/coupons?lang=en", data={"offer_id": offer, "client_id": "other"}, headers=PAGE)
        assert refused.status_code == 409
        assert "Not enough points yet" in refused.text


def test_the_missions_page_has_a_button_for_what_points_get_or_says_why_not(orchard: tuple[Shop, str]) -> None:
    shop, offer = orchard
    mine: dict[str, Any] = OFFER["unlock"] | {"points": 20, "once_per": "person"}
    with shop.server.api() as api, shop.server.phone() as phone:
        plan = OFFER | {"title": {"fr": "Un sac", "en": "A bag"}, "unlock": mine}
        bag = made(api.post(f"/v1/campaigns/{shop.campaign}/offers", json=plan))["id"]
        earn(shop, phone)
        page = phone.get(f"/m/{shop.slug}?lang=en").text
        assert "You have 50 points" in page
        assert "Take “A bag” for 20 points" in page
        form = page.partition(f'action="/me/coupons?lang=en"><input type="hidden" name="offer_id" value="{bag}">')[2]
        client_id = form.partition('name="client_id" value="')[2].partition('"')[0]
        sent = phone.post("/me/coupons?lang=en", data={"offer_id": bag, "client_id": client_id}, headers=PAGE)
        assert sent.status_code == 303
        page = phone.get(f"/m/{shop.slug}?lang=en").text
        assert "“A bag”: you have this coupon already." in page
        assert "Take “Two euros of apples” for 30 points" in page
        made(phone.post("/me/coupons", json={"offer_id": offer, "client_id": "tap-1"}))
        page = phone.get(f"/m/{shop.slug}?lang=en").text
        assert "“Two euros of apples” for 30 points: still 30 points to go" in page
        assert "/me/coupons?" not in page
        assert api.post(f"/v1/campaigns/{shop.campaign}/pause").status_code == 200
        assert "Nothing can be taken just now" in phone.get(f"/m/{shop.slug}?lang=en").text


@pytest.mark.parametrize(
    ("changed", "pointer"),
    [
        ({"criteria": {"kind": "steps", "at_least": 1}}, "/criteria/kind"),
        ({"criteria": {"kind": "votes", "at_least": 0}}, "/criteria/at_least"),
        ({"criteria": {"kind": "votes", "at_least": 1.5}}, "/criteria/at_least"),
        ({"criteria": {"kind": "votes", "at_least": "1e3"}}, "/criteria/at_least"),
        ({"criteria": {"kind": "votes", "at_least": 1, "mission_id": "mis_x"}}, "/criteria/mission_id"),
        ({"name": ""}, "/name"),
    ],
)
def test_a_badge_that_cannot_be_is_refused_with_its_field(
    orchard: tuple[Shop, str], changed: dict[str, Any], pointer: str
) -> None:
    shop, _ = orchard
    with shop.server.api() as api:
        path = f"/v1/campaigns/{shop.campaign}/badges"
        found = problem(api.post(path, json=BADGE | changed), 422)
        assert any(one["pointer"].startswith(pointer) for one in found["errors"]), found["errors"]
        (kept,) = api.get(path).json()["data"]
        changes = api.patch(f"/v1/badges/{kept['id']}", json={"name": {"fr": "Étincelle", "en": "Spark"}})
        assert (changes.status_code, changes.json()["criteria"]["at_least"]) == (200, 1)
        problem(api.patch(f"/v1/badges/{kept['id']}", json={"criteria": BADGE["criteria"]}), 422)
