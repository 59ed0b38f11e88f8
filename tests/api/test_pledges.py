"""Sponsor money over HTTP, on both databases: from a pledge's draft to its end, and every input that is refused.

Tried by hand, turning a test red: `pledges_inactive` not read at launch.
"""

import re
from html import unescape
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from campaigns import clock
from tests.api.conftest import House
from tests.api.desk import Desk, text_of
from tests.api.helpers import CAMPAIGN, MISSION, Shop, made, make_shop, owner, problem

HTML = {"Accept": "text/html"}
YEAR = clock.utc_now().year + 1
PLEDGE: dict[str, Any] = {
    "kind": "per_act",
    "unit_minor": 10,
    "currency": "EUR",
    "cap_minor": 500_000,
    "min_presence": 2,
    "starts_at": f"{YEAR}-09-30T22:00:00Z",
    "ends_at": f"{YEAR}-10-31T23:00:00Z",
}
HEADLINE = f"0.10 EUR to X for each verified visit, 1 to 31 October {YEAR}, up to 5,000 EUR"


def parties(api: httpx2.Client, *names: str) -> tuple[str, list[str]]:
    sponsor = made(api.post("/v1/sponsors", json={"name": "Banque du Rhône", "legal_id": "SIREN 1"}))
    causes = [
        made(api.post("/v1/beneficiaries", json={"name": name, "legal_id": f"W{at}"}))["id"]
        for at, name in enumerate(names or ("X",))
    ]
    return str(sponsor["id"]), causes


def promised(api: httpx2.Client, mission: str, causes: tuple[str, ...] = ("X",), **fields: Any) -> dict[str, Any]:
    sponsor, ids = parties(api, *causes)
    body = PLEDGE | {"sponsor_id": sponsor, "beneficiary_ids": ids} | fields
    return made(api.post(f"/v1/missions/{mission}/pledges", json=body))


def signed(api: httpx2.Client, phone: httpx2.Client, pledge: dict[str, Any]) -> str:
    """Sign a pledge on its page, with nothing but what the form has; the link."""
    url = str(made(api.post(f"/v1/pledges/{pledge['id']}/signature"))["url"])
    return fill(phone, url, "Jeanne Martin")


def accepted(api: httpx2.Client, phone: httpx2.Client, pledge: dict[str, Any]) -> list[str]:
    return [
        fill(phone, str(made(api.post(f"/v1/beneficiaries/{id}/acceptance"))["url"]), "Ali Benali")
        for id in pledge["waits_for"]
    ]


def fill(phone: httpx2.Client, url: str, name: str) -> str:
    page = phone.get(url, headers=HTML)
    assert page.status_code == 200, page.text
    (action,) = re.findall(r'<form method="post" action="([^"]+)"', page.text)
    (hash,) = re.findall(r'name="terms_hash" value="([0-9a-f]{64})"', page.text)
    fields = {"terms_hash": hash, "name": name, "agreed": "yes"}
    answer = phone.post(unescape(action), data=fields, headers=HTML)
    assert answer.status_code == 303, answer.text
    return url


def active(shop: Shop, causes: tuple[str, ...] = ("X",), **fields: Any) -> dict[str, Any]:
    with shop.server.api() as api, shop.server.phone() as phone:
        pledge = promised(api, shop.mission, causes, **fields)
        signed(api, phone, pledge)
        accepted(api, phone, pledge)
        found: dict[str, Any] = api.get(f"/v1/pledges/{pledge['id']}").json()
    assert found["state"] == "active"
    return found


def test_a_pledge_goes_from_draft_to_its_end(house: House) -> None:
    shop = make_shop(house.server)
    with shop.server.api() as api, shop.server.phone(**{"Accept-Language": "en"}) as phone:
        pledge = promised(api, shop.mission, external_id="october")
        assert (pledge["state"], pledge["signed_at"], pledge["review_h"]) == ("draft", None, 72)
        assert pledge["disclosure"]["en"].startswith(f"{HEADLINE}. ")
        assert pledge["disclosure"]["fr"].startswith(
            f"0,10 EUR à X pour chaque visite confirmée, du 1er au 31 octobre {YEAR}, jusqu’à 5 000 EUR. ".replace(
                "5 000", "5\u202f000"
            )
        )
        assert "Banque" not in phone.get(f"/m/{shop.slug}").text  # a draft promises nothing yet
        link = made(api.post(f"/v1/pledges/{pledge['id']}/signature"))
        assert link["qr_svg"].startswith("<")
        assert (link["pledge_id"], link["is_good"]) == (pledge["id"], True)
        fill(phone, link["url"], "Jeanne Martin")
        read = api.get(f"/v1/pledges/{pledge['id']}").json()
        assert (read["state"], read["signed_by"], read["waits_for"]) == (
            "signed",
            "Jeanne Martin",
            read["beneficiary_ids"],
        )
        assert read["terms_hash"] == pledge["terms_hash"]
        copy = text_of(phone.get(link["url"], headers=HTML))
        assert "Signed. Thank you! By Jeanne Martin" in copy
        assert "once X has accepted the use of its name" in copy
        accepted(api, phone, read)
        read = api.get(f"/v1/pledges/{pledge['id']}").json()
        assert (read["state"], read["waits_for"]) == ("active", [])
        assert HEADLINE in text_of(phone.get(f"/m/{shop.slug}"))
        assert HEADLINE in text_of(phone.get(f"/m/{shop.slug}/rules"))
        assert read["balances"] == {
            "unlocked_minor": 0,
            "pending_minor": 0,
            "due_minor": 0,
            "paid_minor": 0,
            "fees_minor": 0,
        }
        problem(api.post(f"/v1/pledges/{pledge['id']}/end", json={"reason": ""}), 422)
        ended = api.post(f"/v1/pledges/{pledge['id']}/end", json={"reason": "The bank has closed"})
        assert (ended.json()["state"], ended.json()["state_reason"]) == ("ended", "The bank has closed")
        problem(api.post(f"/v1/pledges/{pledge['id']}/end", json={"reason": "again"}), 409, "wrong_state")
        assert "The bank has closed" in text_of(phone.get(f"/m/{shop.slug}"))
        listed = api.get(f"/v1/missions/{shop.mission}/pledges").json()["data"]
        assert [one["id"] for one in listed] == [pledge["id"]]


@pytest.mark.parametrize(
    "wrong",
    [
        *({"unit_minor": bad} for bad in (-1, 0, 0.5, 10.0, 1e3, "10", "1e3", True, None, 2**53, [10])),
        *({"cap_minor": bad} for bad in (-1, 0, 1e3, "500000", 2**53)),
        *({"currency": bad} for bad in ("EUX", "eur", "DEM", "XXX", "", 978)),
        {"cap_minor": 9, "last_slice": "keep_remainder"},
        {"per_person_cap_minor": 500_001},
        {"per_day_cap_minor": 1e3},
        {"starts_at": f"{YEAR}-10-02T00:00:00Z", "ends_at": f"{YEAR}-10-01T00:00:00Z"},
        {"starts_at": None, "ends_at": "2001-10-01T00:00:00Z"},
        {"ends_at": "2101-10-01T00:00:00Z"},
        {"ends_at": f"{YEAR}-10-31"},
        {"starts_at": "2050-10-01T00:00:00Z", "ends_at": "2050-10-31T00:00:00Z"},
        {"min_presence": 4},
        {"min_presence": 1.5},
        {"review_h": 9_999},
        {"kind": "gift"},
        {"kind": "threshold"},
        {"kind": "in_kind"},
        {"kind": "match", "unit_minor": None},
        {"last_slice": "round_up"},
        {"beneficiary_ids": []},
        {"beneficiary_ids": None},
        {"unit_label": {"de": "Baum"}},
        {"amount": 10},
    ],
)
def test_what_cannot_be_promised_is_refused_and_nothing_is_kept(
    house: House, shop: Shop, wrong: dict[str, Any]
) -> None:
    with shop.server.api() as api:
        sponsor, causes = parties(api)
        before = api.get(f"/v1/missions/{shop.mission}/pledges").json()
        body = PLEDGE | {"sponsor_id": sponsor, "beneficiary_ids": causes} | wrong
        said = problem(api.post(f"/v1/missions/{shop.mission}/pledges", json=body), 422)
        assert said["errors"], said
        assert api.get(f"/v1/missions/{shop.mission}/pledges").json() == before


def test_what_is_another_s_is_not_there(house: House, shop: Shop) -> None:
    with shop.server.api() as api, owner(house.server, house.other_key) as other:
        sponsor, causes = parties(api)
        theirs, their_causes = parties(other)
        own = {"sponsor_id": sponsor, "beneficiary_ids": causes}
        pledge = made(api.post(f"/v1/missions/{shop.mission}/pledges", json=PLEDGE | own))
        further = made(api.post(f"/v1/campaigns/{shop.campaign}/missions", json=MISSION))
        at = f"/v1/missions/{shop.mission}/pledges"
        for wrong in ({"sponsor_id": theirs}, {"beneficiary_ids": [causes[0], their_causes[0]]}):
            problem(api.post(at, json=PLEDGE | own | wrong), 404)
        problem(api.post(at, json=PLEDGE | own | {"step_id": further["steps"][0]["id"]}), 422)
        both = {"beneficiary_id": causes[0]}
        problem(api.post(at, json=PLEDGE | own | both), 422)
        for answer in (
            other.get(f"/v1/pledges/{pledge['id']}"),
            other.patch(f"/v1/pledges/{pledge['id']}", json={"cap_minor": 1}),
            other.delete(f"/v1/pledges/{pledge['id']}"),
            other.post(f"/v1/pledges/{pledge['id']}/signature"),
            other.post(f"/v1/beneficiaries/{causes[0]}/acceptance"),
            other.get(f"/v1/sponsors/{sponsor}"),
        ):
            problem(answer, 404)


def test_a_draft_is_changed_and_a_signed_pledge_is_not(house: House, shop: Shop) -> None:
    with shop.server.api() as api, shop.server.phone() as phone:
        pledge = promised(api, shop.mission)
        at = f"/v1/pledges/{pledge['id']}"
        tag = api.get(at).headers["etag"]
        changed = api.patch(at, json={"cap_minor": 400_000, "per_day_cap_minor": 1_000}, headers={"If-Match": tag})
        assert (changed.status_code, changed.json()["cap_minor"]) == (200, 400_000)
        problem(api.patch(at, json={"cap_minor": 1}, headers={"If-Match": tag}), 412)
        problem(api.patch(at, json={"cap_minor": None}), 422)
        assert api.patch(at, json={"per_day_cap_minor": None}).json()["per_day_cap_minor"] is None
        gone = promised(api, shop.mission)
        url = made(api.post(f"/v1/pledges/{gone['id']}/signature"))["url"]
        assert api.delete(f"/v1/pledges/{gone['id']}").status_code == 204
        problem(api.get(f"/v1/pledges/{gone['id']}"), 404)
        assert phone.get(url, headers=HTML).status_code == 404
        signed(api, phone, pledge)
        problem(api.patch(at, json={"cap_minor": 1}), 409, "terms_frozen")
        problem(api.delete(at), 409, "terms_frozen")
        problem(api.post(f"{at}/signature"), 409, "terms_frozen")
        problem(api.patch(f"/v1/sponsors/{pledge['sponsor_id']}", json={"name": "Another"}), 409, "terms_frozen")
        assert api.get(at).json()["cap_minor"] == 400_000


def test_a_link_is_read_by_anybody_and_signed_once(house: House, shop: Shop) -> None:
    with shop.server.api() as api, shop.server.phone() as phone:
        pledge = promised(api, shop.mission)
        first = made(api.post(f"/v1/pledges/{pledge['id']}/signature"))
        second = made(api.post(f"/v1/pledges/{pledge['id']}/signature"))
        over = phone.get(first["url"], headers=HTML)  # another link took its place
        assert (over.status_code, "older than 14 days" in over.text) == (410, True)
        assert phone.get(second["url"], headers=HTML).headers["referrer-policy"] == "same-origin"
        assert api.get(f"/v1/pledges/{pledge['id']}").json()["state"] == "draft"
        good = {"name": "Jeanne", "terms_hash": pledge["terms_hash"]}
        unnamed = phone.post(second["url"], data=good | {"name": " "}, headers=HTML | {"Accept-Language": "fr"})
        assert (unnamed.status_code, "Tapez votre nom." in unnamed.text) == (422, True)
        problem(phone.post(second["url"], json=good | {"terms_hash": "0" * 64}), 409, "terms_changed")
        foreign = phone.post(second["url"], data=good, headers={"Origin": "https://elsewhere.example"})
        problem(foreign, 403, "cross_site")
        api.patch(f"/v1/pledges/{pledge['id']}", json={"cap_minor": 90_000})
        stale = phone.post(second["url"], data=good, headers=HTML)
        assert (stale.status_code, "900 EUR" in stale.text) == (409, True)  # shown anew, as it is now
        fresh = api.get(f"/v1/pledges/{pledge['id']}").json()["terms_hash"]
        answer = phone.post(second["url"], json={"name": "Jeanne", "terms_hash": fresh})
        assert answer.json() == {"pledge": pledge["id"], "state": "signed", "terms_hash": fresh}
        problem(phone.post(second["url"], json={"name": "Jeanne", "terms_hash": fresh}), 410, "pledge_link_used")
        problem(api.post(f"/v1/pledge-links/{second['id']}/revocation"), 409, "wrong_state")
        asked = made(api.post(f"/v1/beneficiaries/{pledge['beneficiary_ids'][0]}/acceptance"))
        assert phone.get(asked["url"].replace("acceptances", "signatures"), headers=HTML).status_code == 404
        assert api.post(f"/v1/pledge-links/{asked['id']}/revocation").status_code == 204
        assert phone.get(asked["url"], headers=HTML).status_code == 410
        listed = {one["id"]: one["is_good"] for one in api.get("/v1/pledge-links?limit=200").json()["data"]}
        assert [listed[one["id"]] for one in (first, second, asked)] == [False, False, False]


def test_the_launch_checklist_warns_of_a_pledge_that_is_not_active(house: House) -> None:
    with house.server.api() as api:
        campaign = made(api.post("/v1/campaigns", json=CAMPAIGN))["id"]
        mission = made(api.post(f"/v1/campaigns/{campaign}/missions", json=MISSION))["id"]
        promised(api, mission)
        launched = api.post(f"/v1/campaigns/{campaign}/launch").json()
    (item,) = [one for one in launched["checklist"] if one["item"] == "disclosure"]
    assert item["ok"] is False
    assert item["warning"] in launched["warnings"]


def test_a_participant_chooses_a_cause_and_takes_it_along(house: House) -> None:
    shop = make_shop(house.server)
    pledge = active(shop, ("The school", "The choir"))
    school, choir = pledge["beneficiary_ids"]
    with shop.server.phone(**{"Accept-Language": "en"}) as phone:
        page = phone.get(f"/m/{shop.slug}", headers=HTML)
        assert re.findall(r'name="beneficiary_id" value="(ben_\w+)"', page.text) == [school, choir]
        at = f"/m/{shop.slug}/causes"
        assert phone.post(at, data={"beneficiary_id": choir}, headers=HTML).headers["location"].endswith("just=cause")
        chosen = phone.get(f"/m/{shop.slug}?just=cause", headers=HTML).text
        assert re.findall(r'value="(ben_\w+)" required checked', chosen) == [choir]
        assert phone.post(at, json={"beneficiary_id": school}).json()["cause"] == {"id": school, "name": "The school"}
        problem(phone.post(at, json={"beneficiary_id": f"ben_{uuid4().hex}"}), 422, "cause_missing")
        problem(phone.post(at, json={"beneficiary_id": "x"}), 422, "cause_missing")
        problem(phone.post(at, json={}), 422, "cause_missing")
        assert "The school" in text_of(phone.get("/me", headers=HTML))
        back = phone.post(at, data={"beneficiary_id": choir, "back": "me"}, headers=HTML)
        assert back.headers["location"].startswith("/me?just=cause")
        (person,) = phone.get("/me/export").json()["people"]
        assert [(one["beneficiary_id"], one["cause"]) for one in person["causes"]] == [(choir, "The choir")]
        assert phone.post("/me/erasure", json={}).json() == {"erased": 1}


def test_without_a_choice_there_is_no_cause_to_choose(house: House, shop: Shop) -> None:
    only = active(make_shop(house.server))
    with shop.server.phone() as phone:
        at = f"/m/{only['mission_id']}/causes"
        problem(phone.post(at, json={"beneficiary_id": only["beneficiary_ids"][0]}), 409, "no_cause")
        problem(phone.post("/m/nothing-here/causes", json={}), 404)


def test_a_goal_may_be_the_money_a_mission_unlocks(house: House) -> None:
    with house.server.api() as api:
        campaign = made(api.post("/v1/campaigns", json=CAMPAIGN | {"currency": "EUR", "budget_minor": 1_000_000}))["id"]
        goal = {"goal": {"metric": "amount_minor", "value": 500_000}}
        mission = made(api.post(f"/v1/campaigns/{campaign}/missions", json=MISSION | goal))
        assert mission["goal"] == {"metric": "amount_minor", "value": 500_000, "currency": "EUR"}
        promised(api, mission["id"], currency="JPY", cap_minor=9_000)
        read = api.get(f"/v1/missions/{mission['id']}").json()
        assert (read["goal"]["currency"], read["totals"]["amount_minor"]) == ("JPY", 0)
        sponsor, causes = parties(api)
        mixed = PLEDGE | {"sponsor_id": sponsor, "beneficiary_ids": causes}
        problem(api.post(f"/v1/missions/{mission['id']}/pledges", json=mixed), 422)
        with house.server.phone(**{"Accept-Language": "en"}) as phone:
            assert "0 JPY unlocked, of 500,000 JPY" in text_of(phone.get(f"/m/{mission['slug']}", headers=HTML))
            assert "500,000 JPY unlocked for the cause" in text_of(phone.get(f"/m/{mission['slug']}/rules"))


def test_members_see_pledges_and_make_their_links(desk: Desk) -> None:
    with desk.server.api() as api:
        campaign = made(api.post("/v1/campaigns", json=CAMPAIGN))["id"]
        mission = made(api.post(f"/v1/campaigns/{campaign}/missions", json=MISSION))["id"]
        pledge = promised(api, mission, ("L’école <Jean>",))
    with desk.signed_in("marketer") as member:
        assert "Banque du Rhône" in text_of(member.get("/console/pledges"))
        for path, start in (
            (f"/console/pledges/{pledge['id']}/signature", "/signatures/"),
            (f"/console/beneficiaries/{pledge['beneficiary_ids'][0]}/acceptance", "/acceptances/"),
        ):
            answer = member.post(path)
            assert answer.status_code == 303, answer.text
            shown = member.get(answer.headers["location"]).text
            (url,) = re.findall(rf"http[^<\s]+{start}[\w-]+", shown)
            assert "<svg" in shown
            with desk.browser() as phone:
                fill(phone, url, "Jeanne")
        assert member.post(f"/console/pledges/{pledge['id']}/signature").status_code == 409
        text = member.get("/console/pledges").text
        assert pledge["id"] in text
        assert "L’école &lt;Jean&gt;" in text
    with desk.signed_in("analyst") as member:
        page = member.get("/console/pledges")
        assert page.status_code == 200
        assert "/signature" not in page.text
        assert member.post(f"/console/pledges/{pledge['id']}/signature").status_code == 403
