"""Offers, coupons and redemptions over HTTP, on both databases: from an act on a phone to what the shop is owed."""

from typing import Any

import httpx2
import pytest

from tests.api.helpers import PLACE, Shop, inside, made, make_shop, problem
from tests.conftest import Server, client, wait_until

OFFER: dict[str, Any] = {
    "title": {"fr": "Deux euros de pommes", "en": "Two euros of apples"},
    "restrictions": "One a basket",
    "face_value": {"amount_minor": 200, "currency": "EUR"},
    "max_issue": 50,
}


@pytest.fixture
def stand(server: Server) -> tuple[Shop, dict[str, Any]]:
    """A live shop with an offer that an idea unlocks."""
    shop = make_shop(server)
    with server.api() as api:
        steps = api.get(f"/v1/missions/{shop.mission}").json()["steps"]
        unlock = {"by": "step", "step_id": steps[1]["id"]}
        offer = made(api.post(f"/v1/campaigns/{shop.campaign}/offers", json=OFFER | {"unlock": unlock}))
    return shop, offer


def earn(shop: Shop) -> str:
    """Somebody's coupon for an idea: its code, as their own export tells it."""
    with shop.server.phone(Accept="application/json") as phone:
        said = {"text": "Plant pear trees", "age": "15_or_older"}
        assert phone.post(f"/m/{shop.slug}/ideas", json=said).status_code == 201
        wait_until(lambda: bool(codes_of(phone)))
        return codes_of(phone)[0]


def codes_of(phone: httpx2.Client) -> list[str]:
    """The codes of the coupons that a phone's person holds."""
    (person,) = phone.get("/me/export").json()["people"]
    return [str(one["code"]) for one in person["coupons"]]


def use(api: httpx2.Client, shop: Shop, code: str, **fields: Any) -> httpx2.Response:
    body = {"code": code, "place_id": shop.place, "device": "till-1", "nonce": code, **fields}
    return api.post("/v1/redemptions", json=body)


def test_the_return_rate_counts_the_coupons_of_people_who_act_online(stand: tuple[Shop, dict[str, Any]]) -> None:
    shop, _ = stand

    def told() -> Any:
        stats = api.get(f"/v1/campaigns/{shop.campaign}/stats").json()
        assert stats["formulas"]["return_rate"] == "return_rate/1"
        return stats["return_rate"]

    with shop.server.api() as api:
        assert told() is None
        # A coupon for a visit alone: nobody acted online, so it is no part of the figure, used or not.
        steps = api.get(f"/v1/missions/{shop.mission}").json()["steps"]
        unlock = {"by": "step", "step_id": steps[0]["id"]}
        made(api.post(f"/v1/campaigns/{shop.campaign}/offers", json=OFFER | {"unlock": unlock}))
        with shop.server.phone(Accept="application/json") as phone:
            receipt = phone.get(f"/t/{shop.code}").json()["receipt"]
            visit = phone.post(f"/t/{shop.code}/check-in", json={"receipt": receipt, **inside()})
            assert visit.status_code == 200
            wait_until(lambda: bool(codes_of(phone)))
            assert use(api, shop, codes_of(phone)[0]).status_code == 201
        assert told() is None
        code = earn(shop)
        assert told() == 0
        for _ in range(2):
            earn(shop)
        used = use(api, shop, code).json()
        assert told() == 0.3333
        assert api.post(f"/v1/redemptions/{used['id']}/rollback").status_code == 200
        assert told() == 0


def test_a_statement_of_the_first_or_the_last_of_days_is_refused(server: Server) -> None:
    with server.api() as api:
        place = made(api.post("/v1/places", json=PLACE))["id"]
        for suffix in ("", ".csv", ".html"):
            for days in ("until=0001-01-01", "since=9999-12-31&until=9999-12-31"):
                problem(api.get(f"/v1/places/{place}/coupon-statement{suffix}?{days}"), 422, "invalid")


def test_a_use_past_the_framework_is_answered_as_within_it(stand: tuple[Shop, dict[str, Any]]) -> None:
    shop, _ = stand
    code = earn(shop)
    with shop.server.api() as api:
        first = use(api, shop, code)
        api.headers["Idempotency-Key"] = "a-till-that-sends-one"
        within, replayed = use(api, shop, code), use(api, shop, code)
        assert (first.status_code, within.status_code, replayed.status_code) == (201, 201, 201)
        assert first.content == within.content == replayed.content
        assert first.headers["content-type"] == within.headers["content-type"]
        assert replayed.headers["idempotency-replayed"] == "true"
        problem(use(api, shop, code, nonce="another"), 422, "idempotency_key_reused")


def test_from_an_idea_on_a_phone_to_what_the_shop_is_owed(stand: tuple[Shop, dict[str, Any]]) -> None:
    shop, offer = stand
    code = earn(shop)
    with shop.server.api() as api:
        looked = api.get(f"/v1/coupons/{code.lower()}?place_id={shop.place}").json()
        assert (looked["valid"], looked["deduct_minor"], looked["value"]["currency"]) == (True, 200, "EUR")
        first = use(api, shop, code, basket_minor=1500)
        assert (first.status_code, first.json()["outcome"]) == (201, "accepted")
        again = use(api, shop, code)
        assert (again.status_code, again.json()["id"]) == (201, first.json()["id"])
        other = use(api, shop, code, nonce="another")
        assert (other.status_code, other.json()["outcome"], other.json()["reason"]) == (
            200,
            "refused",
            "already_redeemed",
        )
        assert other.json()["used"]["place"] == PLACE["name"]
        statement = api.get(f"/v1/places/{shop.place}/coupon-statement").json()
        assert statement["totals"] == [{"currency": "EUR", "due_minor": 200, "given_minor": 0}]
        sheet = api.get(f"/v1/places/{shop.place}/coupon-statement.csv?dialect=excel-fr")
        assert sheet.text.startswith("\ufeffday;offer_id;offer;coupons")
        assert ";1;1;0;2,00;0,00;EUR" in sheet.text
        plain = api.get(f"/v1/places/{shop.place}/coupon-statement.csv").text
        assert ",1,1,0,2.00,0.00,EUR" in plain
        page = api.get(f"/v1/places/{shop.place}/coupon-statement.html").text
        assert "2 EUR" in page.replace("\xa0", " ")
        assert "Bons acceptés" in page
        back = api.post(f"/v1/redemptions/{first.json()['id']}/rollback")
        assert back.json()["rolled_back_at"] is not None
        problem(api.post(f"/v1/redemptions/{first.json()['id']}/rollback"), 409, "rolled_back_before")
        assert api.get(f"/v1/places/{shop.place}/coupon-statement").json()["lines"] == []
        stored = api.get(f"/v1/offers/{offer['id']}").json()
        assert (stored["issued"], stored["redeemed"], stored["balances"]["liability_minor"]) == (1, 0, 200)
        (coupon,) = api.get(f"/v1/offers/{offer['id']}/coupons").json()["data"]
        assert coupon["state"] == "rolled_back"
        assert code not in str(coupon)
        assert len(api.get(f"/v1/redemptions?place_id={shop.place}").json()["data"]) == 2


def test_a_staff_key_uses_coupons_at_its_place_alone_and_takes_nothing_back(
    stand: tuple[Shop, dict[str, Any]],
) -> None:
    shop, _ = stand
    code = earn(shop)
    with shop.server.api() as api:
        elsewhere = made(api.post("/v1/places", json=PLACE | {"name": "Part-Dieu"}))["id"]
        key = made(api.post("/v1/api-keys", json={"name": "till", "role": "staff", "place_ids": [shop.place]}))["key"]
    with client(shop.server.url, headers={"Authorization": f"Bearer {key}"}) as till:
        problem(use(till, shop, code, place_id=elsewhere), 404)
        problem(till.get(f"/v1/coupons/{code}?place_id={elsewhere}"), 404)
        done = use(till, shop, code)
        assert done.status_code == 201
        problem(till.post(f"/v1/redemptions/{done.json()['id']}/rollback"), 403, "right_missing")
        problem(till.get(f"/v1/places/{elsewhere}/coupon-statement"), 404)


@pytest.mark.parametrize(
    ("changed", "pointer"),
    [
        ({"face_value": {"amount_minor": 2.0, "currency": "EUR"}}, "/face_value/amount_minor"),
        ({"face_value": {"amount_minor": "1e3", "currency": "EUR"}}, "/face_value/amount_minor"),
        ({"face_value": {"amount_minor": -1, "currency": "EUR"}}, "/face_value/amount_minor"),
        ({"face_value": {"amount_minor": 0, "currency": "EUR"}}, "/face_value/amount_minor"),
        ({"face_value": {"amount_minor": 2**53, "currency": "EUR"}}, "/face_value/amount_minor"),
        ({"face_value": {"amount_minor": 200, "currency": "EUX"}}, "/face_value/currency"),
        ({"price": {"amount_minor": 500, "currency": "USD"}}, "/price/currency"),
        ({"price": {"amount_minor": 100, "currency": "EUR"}}, "/face_value"),
        ({"max_issue": 0}, "/max_issue"),
        ({"max_redemptions": 51}, "/max_redemptions"),
        ({"face_value": {"amount_minor": 2**53 - 1, "currency": "EUR"}}, "/max_issue"),
        ({"valid_from": "2031-01-02T00:00:00Z", "valid_until": "2031-01-01T00:00:00Z"}, "/valid_until"),
        ({"valid_until": "2001-01-01T00:00:00Z"}, "/valid_until"),
        ({"valid_until": "2531-01-01T00:00:00Z"}, "/valid_until"),
        ({"unlock": {"by": "points"}}, "/unlock/points"),
        ({"unlock": {"by": "points", "points": 0}}, "/unlock/points"),
        ({"unlock": {"by": "points", "points": "1e3"}}, "/unlock/points"),
        ({"unlock": {"by": "staff", "points": 5}}, "/unlock/points"),
        ({"unlock": {"by": "step"}}, "/unlock/step_id"),
        ({"unlock": {"by": "step", "step_id": "stp_00000000000070008000000000000000"}}, "/unlock/step_id"),
    ],
)
def test_an_offer_that_cannot_be_is_refused_with_its_field(
    server: Server, shop: Shop, changed: dict[str, Any], pointer: str
) -> None:
    with server.api() as api:
        before = api.get(f"/v1/campaigns/{shop.campaign}/offers").json()["data"]
        body = OFFER | {"unlock": {"by": "staff"}} | changed
        found = problem(api.post(f"/v1/campaigns/{shop.campaign}/offers", json=body), 422)
        assert any(one["pointer"].startswith(pointer) for one in found["errors"]), found["errors"]
        assert api.get(f"/v1/campaigns/{shop.campaign}/offers").json()["data"] == before


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"code": "7K3Q-9XAB-W5"}, 422, "unreadable_code"),
        ({"code": "7К3Q-9XAB-W4"}, 422, "unreadable_code"),
        ({"basket_minor": -1}, 422, "invalid"),
        ({"basket_minor": 1.5}, 422, "invalid"),
        ({"occurred_at": "2099-01-01T00:00:00Z"}, 422, "occurred_at_far"),
        ({"occurred_at": "2001-01-01T00:00:00Z"}, 422, "occurred_at_far"),
        ({"occurred_at": "2026-11-01T00:00:00"}, 422, "invalid"),
        ({"device": ""}, 422, "invalid"),
        ({"place_id": "plc_00000000000070008000000000000000"}, 404, "not_found"),
    ],
)
def test_a_till_that_sends_nonsense_is_told_and_nothing_is_written(
    server: Server, shop: Shop, fields: dict[str, Any], status: int, code: str
) -> None:
    with server.api() as api:
        before = api.get(f"/v1/redemptions?place_id={shop.place}").json()
        answer = use(api, shop, **{"code": "7K3Q-9XAB-W4", "nonce": "n", **fields})
        problem(answer, status, code)
        assert api.get(f"/v1/redemptions?place_id={shop.place}").json() == before


def test_an_unknown_coupon_is_no_answer_to_a_look_and_a_refusal_to_a_use(server: Server, shop: Shop) -> None:
    with server.api() as api:
        problem(api.get(f"/v1/coupons/7K3Q-9XAB-W4?place_id={shop.place}"), 404, "unknown_coupon")
        told = use(api, shop, "7K3Q-9XAB-W4", nonce="unknown-1")
        assert (told.status_code, told.json()["reason"], told.json()["offer"]) == (200, "unknown", None)


def test_what_the_law_says_of_a_promotion_is_told_at_once_and_at_the_launch(server: Server) -> None:
    with server.api() as api:
        campaign = made(
            api.post(
                "/v1/campaigns",
                json={
                    "name": "Pommes",
                    "objective": "sales",
                    "targets": [{"kpi": "coupons_redeemed", "value": 100}],
                    "time_zone": "Europe/Paris",
                },
            )
        )["id"]
        price = {"amount_minor": 500, "currency": "EUR"}
        body = OFFER | {"title": "Une pomme gratuite", "product": "food", "price": price, "unlock": {"by": "staff"}}
        offer = made(api.post(f"/v1/campaigns/{campaign}/offers", json=body))
        assert [("34 %" in one, "gratuite" in one) for one in offer["warnings"]] == [(True, False), (False, True)]
        launched = api.post(f"/v1/campaigns/{campaign}/launch").json()
        assert any("34 %" in one for one in launched["warnings"])
        (reward,) = (one for one in launched["checklist"] if one["item"] == "reward")
        assert reward["ok"] is False
        mended = api.patch(f"/v1/offers/{offer['id']}", json={"title": "Une pomme offerte", "max_issue": 60}).json()
        assert (len(mended["warnings"]), mended["max_issue"]) == (1, 60)
        paused = api.post(f"/v1/offers/{offer['id']}/pause").json()
        assert paused["state"] == "paused"
        problem(api.post(f"/v1/offers/{offer['id']}/pause"), 409, "wrong_state")
        assert api.post(f"/v1/offers/{offer['id']}/resumption").json()["state"] == "active"
        assert api.post(f"/v1/offers/{offer['id']}/end").json()["state"] == "ended"
        problem(api.patch(f"/v1/offers/{offer['id']}", json={"max_issue": 70}), 409, "wrong_state")
