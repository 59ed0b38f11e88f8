"""Costs, conversions, holdouts and returns through HTTP, on both databases."""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.api.helpers import CAMPAIGN, MISSION, PLACE, Shop, inside, made, problem
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


def a_campaign(server: Server, **fields: Any) -> str:
    """A live campaign of no place."""
    with server.api() as api:
        campaign = made(api.post("/v1/campaigns", json=CAMPAIGN | fields))["id"]
        assert api.post(f"/v1/campaigns/{campaign}/launch").status_code == 200
    return str(campaign)


def test_a_cost_is_noted_corrected_and_removed_and_the_sum_follows(server: Server) -> None:
    campaign, name = a_campaign(server), f"inv-{uuid4().hex}"
    with server.api() as api:
        for kind in ("media", "print", "staff_hours", "fees", "other"):
            made(api.post("/v1/costs", json=a_cost(campaign, kind=kind, amount_minor=100)))
        named = made(api.post("/v1/costs", json=a_cost(campaign, external_id=name, amount_minor=1000)))
        problem(api.post("/v1/costs", json=a_cost(campaign, external_id=name)), 409)
        assert money(server, campaign)["costs"] | {"other_currencies": []} == {
            "total_minor": 1500, "media_minor": 1100, "print_minor": 100, "staff_hours_minor": 100, "fees_minor": 100,
            "other_minor": 100, "rewards_minor": 0, "pledges_minor": 0, "other_currencies": [],
        }  # fmt: skip
        path, tag = f"/v1/costs/ext_{name}", api.get(f"/v1/costs/{named['id']}").headers["etag"]
        changed = api.patch(path, json={"amount_minor": 900, "kind": "print"}, headers={"If-Match": tag})
        assert (changed.status_code, changed.json()["amount_minor"]) == (200, 900)
        problem(api.patch(path, json={"amount_minor": 800}, headers={"If-Match": tag}), 412)
        assert money(server, campaign)["costs"]["total_minor"] == 1400
        assert api.delete(path).status_code == 204
        assert money(server, campaign)["costs"]["total_minor"] == 500
        problem(api.get(path), 404)
        shown = api.get("/v1/costs", params={"campaign_id": campaign, "limit": 3}).json()
        assert (len(shown["data"]), shown["next_cursor"] is None) == (3, False)
        entries = api.get("/v1/audit", params={"subject_id": named["id"]}).json()["data"]
    assert [one["action"] for one in entries] == ["cost.removed", "cost.changed", "cost.created"]
    assert entries[1]["changes"]["amount_minor"] == [1000, 900]


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"amount_minor": 0}, "/amount_minor"),
        ({"amount_minor": -5}, "/amount_minor"),
        ({"amount_minor": 2**53}, "/amount_minor"),
        ({"amount_minor": 10**12 + 1}, "/amount_minor"),
        ({"amount_minor": 12.5}, "/amount_minor"),
        ({"amount_minor": "12"}, "/amount_minor"),
        ({"amount_minor": True}, "/amount_minor"),
        ({"currency": "USD"}, "/currency"),
        ({"currency": "ABC"}, "/currency"),
        ({"currency": "eur"}, "/currency"),
        ({"kind": "bribes"}, "/kind"),
        ({"incurred_on": "1999-12-31"}, "/incurred_on"),
        ({"incurred_on": "2026-02-30"}, "/incurred_on"),
        ({"label": ""}, "/label"),
        ({"label": "a\x00b"}, "/label"),
        ({"external_id": "a b"}, "/external_id"),
        ({"organisation_id": "org_1"}, "/organisation_id"),
    ],
)
def test_a_cost_that_cannot_be_is_refused_in_words(server: Server, fields: Any, pointer: str) -> None:
    campaign = a_campaign(server, budget_minor=100, currency="EUR")
    with server.api() as api:
        body = problem(api.post("/v1/costs", json=a_cost(campaign, **fields)), 422)
        assert [one["pointer"] for one in body["errors"]] == [pointer]
        assert api.get("/v1/costs", params={"campaign_id": campaign}).json()["data"] == []


def test_the_first_amount_fixes_the_currency_where_there_is_no_budget(server: Server) -> None:
    campaign = a_campaign(server)
    with server.api() as api:
        made(api.post("/v1/conversions", json=a_sale(campaign, uuid4().hex, currency="CHF")))
        problem(api.post("/v1/costs", json=a_cost(campaign)), 422)
        problem(api.post("/v1/conversions", json=a_sale(campaign, uuid4().hex)), 422)
        assert money(server, campaign)["currency"] == "CHF"


@pytest.mark.parametrize("margin", [0, -0.1, 1.01, 0.12345, "0.4", True, 1e-9])
def test_a_margin_is_a_share(server: Server, margin: Any) -> None:
    campaign = a_campaign(server)
    with server.api() as api:
        path = f"/v1/campaigns/{campaign}/money"
        problem(api.patch(path, json={"margin": margin}), 422)
        assert api.patch(path, json={"margin": 0.1234}).json()["margin"] == 0.1234
        assert api.patch(path, json={"margin": None}).json()["margin"] is None


def test_a_conversion_counts_once_however_often_it_is_told(server: Server) -> None:
    campaign, id = a_campaign(server), uuid4().hex
    sale = a_sale(campaign, id)
    with server.api() as api:
        first = made(api.post("/v1/conversions", json=sale))
        again = api.post("/v1/conversions", json=sale)
        assert (again.status_code, again.json()) == (200, first)
        problem(api.post("/v1/conversions", json=sale | {"amount_minor": 1}), 409, "conversion_differs")
        made(api.post("/v1/conversions", json=sale | {"source": "shop"}))
        many = [
            sale,
            sale | {"amount_minor": 2},
            a_sale(campaign, id + "2"),
            a_sale(campaign, id + "2", amount_minor=0),
        ]
        told = api.post(
            "/v1/conversions", json=[*many, {"source": "till"}, a_sale(campaign, "x", place_id="plc_0")]
        ).json()
        assert (told["accepted"], told["duplicates"], told["conflicts"]) == (1, 1, 2)
        assert [one["line"] for one in told["rejected"]] == [1, 3, 4, 5]
        assert told["rejected"][3]["column"] == "place_id"
        assert api.get(f"/v1/conversions/{first['id']}").json() == first
    found = money(server, campaign)
    assert (found["conversions"], found["revenue_minor"]) == (3, 3 * 80_00)


@pytest.mark.parametrize(
    ("fields", "status", "pointer"),
    [
        ({"occurred_at": "2026-10-25T18:04:00"}, 422, "/occurred_at"),
        ({"occurred_at": "yesterday"}, 422, "/occurred_at"),
        ({"occurred_at": now(days=-1)}, 422, "/occurred_at"),
        ({"occurred_at": now(days=400)}, 422, "/occurred_at"),
        ({"occurred_at": now(days=30)}, 422, "/occurred_at"),  # before the campaign began
        ({"amount_minor": -1}, 422, "/amount_minor"),
        ({"amount_minor": 2**53}, 422, "/amount_minor"),
        ({"amount_minor": 1.5}, 422, "/amount_minor"),
        ({"currency": "ZZZ"}, 422, "/currency"),
        ({"source": "a b"}, 422, "/source"),
        ({"source": "=cmd"}, 422, "/source"),
        ({"external_id": "a\x00"}, 422, "/external_id"),
        ({"external_id": "x" * 81}, 422, "/external_id"),
        ({"campaign_id": "cmp_" + "0" * 32}, 404, "/campaign_id"),
        ({"place_id": "plc_" + "0" * 32}, 404, "/place_id"),
        ({"token": "7K3Q9XABZZ"}, 404, "/token"),
        ({"scan_id": "scn_" + "0" * 32}, 404, "/scan_id"),
        ({"coupon": "7K3Q9XABZZ"}, 404, "/coupon"),
    ],
)
def test_a_conversion_that_cannot_be_is_refused_in_words(
    server: Server, fields: Any, status: int, pointer: Any
) -> None:
    campaign = a_campaign(server)
    with server.api() as api:
        body = problem(api.post("/v1/conversions", json=a_sale(campaign, uuid4().hex) | fields), status)
        assert [one["pointer"] for one in body["errors"]] == ([pointer] if pointer else [])
    assert money(server, campaign)["conversions"] == 0


@pytest.mark.parametrize("body", ["[]", "7", "null", '"x"', "[[]]", "[null]", '[{"amount_minor": NaN}]', "[" * 500])
def test_what_is_no_conversion_at_all_is_refused_and_never_a_500(server: Server, body: str) -> None:
    with server.api() as api:
        answer = api.post("/v1/conversions", content=body.encode(), headers={"Content-Type": "application/json"})
    assert answer.status_code in (200, 400, 422), answer.text
    if answer.status_code == 200:
        assert answer.json()["accepted"] == 0
        assert len(answer.json()["rejected"]) == 1


def test_a_scan_or_a_code_says_where_a_sale_belongs(server: Server, shop: Shop) -> None:
    scan = shop.scan()
    with server.api() as api:
        by_scan = made(api.post("/v1/conversions", json=a_sale(shop.campaign, uuid4().hex, scan_id=scan["scan_id"])))
        by_code = made(api.post("/v1/conversions", json=a_sale(shop.campaign, uuid4().hex, token=shop.code.lower())))
        assert by_scan | {"id": "", "external_id": "", "occurred_at": "", "recorded_at": ""} == (
            by_code | {"id": "", "external_id": "", "occurred_at": "", "recorded_at": ""}
        )
        assert (by_scan["token_id"], by_scan["place_id"]) == (shop.token, shop.place)
        assert "scn_" not in api.get("/v1/conversions", params={"campaign_id": shop.campaign}).text
        elsewhere = a_campaign(server)
        problem(api.post("/v1/conversions", json=a_sale(elsewhere, uuid4().hex, scan_id=scan["scan_id"])), 422)
        problem(api.post("/v1/conversions", json=a_sale(elsewhere, uuid4().hex, token=shop.token)), 422)


HEAD = "source;external_id;campaign_id;currency;occurred_at;amount\n"


def send(server: Server, text: str | bytes, **params: str) -> Any:
    with server.api() as api:
        content = text.encode() if isinstance(text, str) else text
        return api.post("/v1/conversions/import", params=params, content=content, headers={"Content-Type": "text/csv"})


def test_a_file_is_counted_once_and_its_bad_rows_come_back(server: Server) -> None:
    campaign, own = a_campaign(server), uuid4().hex

    def row(id: str, amount: str = "12,50", currency: str = "EUR", at: str = now()) -> str:
        return f"till;{id};{campaign};{currency};{at};{amount}\n"

    good = row(own + "1") + row(own + "2", "0") + row(own + "3", "1 234")
    bad = [
        row(own + "4", "=1+1"),
        row(own + "5", "-3"),
        row(own + "6", "1e3"),
        row(own + "7", "1,234"),
        row(own + "8", "99999999999999999999"),
        row(own + "9", currency="USD"),
        row(own + "a", at="2026-10-25T10:00:00"),
        row(own + "b", at=now(days=-3)),
        row("x y"),
        row(own + "1", "13"),
        row(""),
        row(own + "\x00"),
        f"till;{own}c;cmp_{'0' * 32};EUR;{now()};1\n",
        f'till;"{own}d;{campaign};EUR;{now()};1;1;1\n',
    ]
    text = "\ufeff" + HEAD + good + "".join(bad)
    body = send(server, text).json()
    assert (body["accepted"], body["duplicates"], body["conflicts"]) == (3, 0, 1)
    assert [one["line"] for one in body["rejected"]] == list(range(5, 5 + len(bad)))
    columns: list[Any] = ["amount"] * 5 + ["currency", "occurred_at", "occurred_at"]
    columns += ["external_id"] * 4 + ["campaign_id", None]
    assert [one["column"] for one in body["rejected"]] == columns
    assert all(one["reason"] for one in body["rejected"])
    assert (money(server, campaign)["conversions"], money(server, campaign)["revenue_minor"]) == (3, 1250 + 123400)
    body = send(server, text).json()
    assert (body["accepted"], body["duplicates"], body["conflicts"]) == (0, 3, 1)
    assert (money(server, campaign)["conversions"], money(server, campaign)["revenue_minor"]) == (3, 1250 + 123400)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a,b\n1,2\n",
        HEAD.replace(";currency", ""),
        HEAD.replace("amount", "amount;amount"),
        HEAD.replace("amount", "amount;amount_minor"),
        HEAD.replace(";amount", ""),
        HEAD.encode() + "é".encode("latin-1"),
        "\ufeff".encode("utf-16"),
        HEAD + ";;;;;1\n" * 10_001,
    ],
)
def test_a_file_that_does_not_fit_is_refused_whole(server: Server, text: str | bytes) -> None:
    problem(send(server, text), 422)


def test_exports_defuse_what_a_spreadsheet_would_run(server: Server) -> None:
    campaign = a_campaign(server)
    with server.api() as api:
        made(api.post("/v1/costs", json=a_cost(campaign, label="=HYPERLINK(1)", amount_minor=5)))
        made(api.post("/v1/conversions", json=a_sale(campaign, "-1-" + uuid4().hex)))
        costs = api.get("/v1/costs/export.csv", params={"campaign_id": campaign}).text.splitlines()
        sales = api.get("/v1/conversions/export.csv", params={"campaign_id": campaign, "dialect": "excel-fr"}).text
    assert "'=HYPERLINK(1)" in costs[1]
    assert sales.startswith("\ufeffid;campaign_id;")
    assert ";'-1-" in sales


def test_the_terminal_adds_lists_and_imports(server: Server, tmp_path: Path) -> None:
    campaign = a_campaign(server)
    where = ("--server", server.url, "--key", server.key)
    told = server.passerelle("costs", "add", campaign, "print", "1200", "--label", "Posters", "--json", *where)
    assert json.loads(told.stdout)["amount_minor"] == 1200
    listed = server.passerelle("costs", "list", campaign, "--json", *where)
    assert [one["label"] for one in json.loads(listed.stdout)] == ["Posters"]
    file = tmp_path / "sales.csv"
    file.write_text(f"external_id,currency,occurred_at,amount_minor\n{uuid4().hex},EUR,{now()},500\nx,EUR,now,1\n")
    taken = server.passerelle("conversions", "import", str(file), "--campaign", campaign, "--source", "till", *where)
    assert taken.returncode == 1
    assert "line 3, occurred_at" in taken.stdout
    assert "Counted 1, knew 0 before, did not take 1" in taken.stdout
    refused = server.passerelle("costs", "add", campaign, "bribes", "1", "--label", "x", *where)
    assert (refused.returncode, "/kind" in refused.stderr) == (1, True)


def test_exposures_name_every_place_once_and_periods_do_not_overlap(server: Server) -> None:
    campaign, drawn = on_trial(server, places=4)
    units = drawn["exposed"] + drawn["held_out"]
    told = [{"place_id": one, "number": 10} for one in units]
    period = {"since": "2026-10-01", "until": "2026-10-07", "exposures": told}
    with server.api() as api:
        path = f"/v1/campaigns/{campaign}/exposures"
        assert api.post(path, json=period).status_code == 200
        again = api.post(path, json=period | {"exposures": [one | {"number": 11} for one in told]}).json()["data"]
        assert [[row["number"] for row in one["exposures"]] for one in again] == [[11] * 4]
        problem(api.post(path, json=period | {"until": "2026-10-08"}), 409, "periods_overlap")
        problem(api.post(path, json=period | {"since": "2026-10-07", "until": "2026-10-09"}), 409, "periods_overlap")
        for wrong in (told[:3], [*told, told[0]], [one | {"number": -1} for one in told], []):
            problem(api.post(path, json=period | {"exposures": wrong}), 422)
        problem(api.post(path, json=period | {"since": "2026-10-09", "until": "2026-10-08"}), 422)
        problem(api.post(path, json=period | {"exposures": [*told, {"place_id": "plc_0", "number": 1}]}), 404)
        problem(api.post(f"/v1/campaigns/{a_campaign(server)}/exposures", json=period), 404)
