"""What an organisation says of itself for the law, over HTTP: its pages, their versions, the notice everywhere."""

import io
import re
import zipfile
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from sqlmodel import select

from campaigns import ids
from campaigns.community import Idea
from campaigns.legal import LegalVersion
from campaigns.missions import Membership
from campaigns.scans import CheckIn
from campaigns.storage import Database
from tests.api.conftest import House
from tests.api.helpers import Shop, made, make_shop, owner, problem, signed_in
from tests.campaigns.test_legal import COMPLETE
from tests.conftest import running_server
from tests.printed import words_in

NOTICE = "Pour votre santé, mangez au moins cinq fruits et légumes par jour."
EMPTY: dict[str, None] = dict.fromkeys(COMPLETE)


@pytest.fixture
def api(house: House) -> Iterator[httpx2.Client]:
    """The first organisation's client; afterwards it says nothing of itself, as before."""
    with house.server.api() as client:
        yield client
        client.patch("/v1/organisation", json=EMPTY)


def patch(api: httpx2.Client, **fields: Any) -> dict[str, Any]:
    answer = api.patch("/v1/organisation", json=fields)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def name_of(api: httpx2.Client) -> str:
    return str(api.get("/v1/organisation").json()["id"])


def page(house: House, path: str, **headers: str) -> httpx2.Response:
    with house.server.phone(**{"Accept-Language": "fr", "Accept": "text/html", **headers}) as phone:
        return phone.get(path)


def test_legal_data_are_given_changed_and_taken_away(house: House, api: httpx2.Client) -> None:
    before = api.get("/v1/organisation").json()
    assert "legal_name" in before["missing_legal_data"]
    given = patch(api, **COMPLETE)
    assert {name: given[name] for name in COMPLETE} == COMPLETE
    assert given["missing_legal_data"] == []
    assert given["verified_hosts"] == before["verified_hosts"]
    read = api.get("/v1/organisation")
    assert read.json() == given
    changed = patch(api, contact_phone=None, mandatory_notice="  Mangez \n bien. ")
    assert (changed["contact_phone"], changed["mandatory_notice"]) == (None, "Mangez bien.")
    assert changed["legal_name"] == "La Halle SAS"
    assert changed["missing_legal_data"] == ["contact_phone"]
    stale = api.patch("/v1/organisation", json={"legal_name": "X"}, headers={"If-Match": read.headers["etag"]})
    problem(stale, 412)
    assert api.patch("/v1/organisation", json=EMPTY).json() == before


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("legal_name", "La \u202eHalle"),
        ("address", "12 rue\u0000"),
        ("publication_director", "\ufeffAda"),
        ("hosting", {"name": "H\u2066ôte"}),
        ("mandatory_notice", {"fr": "Mangez\u200e"}),
        ("mandatory_notice", {"fr": "x" * 301}),
        ("mandatory_notice", "x " * 200),
        ("mandatory_notice", "W" * 300),
        ("mandatory_notice", "健康のために"),
        ("mandatory_notice", "🍎"),
        ("mandatory_notice", 5),
        ("contact_email", "nobody"),
        ("organisation_id", "org_x"),
    ],
)
def test_legal_data_that_cannot_be_shown_are_refused_by_name(
    house: House, api: httpx2.Client, field: str, value: Any
) -> None:
    body = problem(api.patch("/v1/organisation", json={field: value}), 422)
    assert body["errors"][0]["pointer"].startswith(f"/{field}")
    assert api.get("/v1/organisation").json()["mandatory_notice"] is None


def test_the_longest_notice_is_taken(house: House, api: httpx2.Client) -> None:
    longest = ("Pour votre santé, évitez de manger trop gras, trop sucré, trop salé. " * 5)[:300].strip()
    assert patch(api, mandatory_notice=longest)["mandatory_notice"] == longest


def test_the_pages_say_what_was_given_in_both_languages(house: House, api: httpx2.Client) -> None:
    patch(api, **COMPLETE)
    ours = name_of(api)
    for path, words in (
        (f"/legal?organisation={ours}", {"fr": "Directeur ou directrice de la publication", "en": "Director of"}),
        (f"/privacy?organisation={ours}", {"fr": "Vos droits", "en": "Your rights"}),
        (f"/m/{house.shop.slug}/rules", {"fr": "Les limites", "en": "Limits"}),
    ):
        for language in ("fr", "en"):
            answer = page(house, path, **{"Accept-Language": language})
            assert answer.status_code == 200
            assert answer.headers["content-type"] == "text/html; charset=utf-8"
            assert "set-cookie" not in answer.headers
            assert f'<html lang="{language}">' in answer.text
            assert words[language] in answer.text
            assert "La Halle SAS" in answer.text
            assert COMPLETE["mandatory_notice"][language] in answer.text


def test_markup_in_legal_data_is_shown_as_text(house: House, api: httpx2.Client) -> None:
    evil = "<script>alert(1)</script>"
    patch(api, legal_name=evil, mandatory_notice=f"Mangez {evil}", hosting={"name": evil})
    ours = name_of(api)
    for path in (f"/legal?organisation={ours}", f"/m/{house.shop.slug}/rules", f"/t/{house.shop.code}"):
        text = page(house, path).text
        assert evil not in text
        assert "&lt;script&gt;" in text


def test_a_change_makes_a_version_and_the_older_one_stays(house: House, api: httpx2.Client) -> None:
    shop = make_shop(house.server)
    rules = f"/m/{shop.slug}/rules"
    patch(api, legal_name="Ancienne Halle")
    first = page(house, rules)
    assert "Version 1, en vigueur depuis" in first.text
    assert "Ancienne Halle" in first.text
    assert "Autres versions" not in first.text
    assert page(house, rules).text == first.text
    patch(api, legal_name="Nouvelle Halle")
    second = page(house, rules)
    assert "Version 2, en vigueur depuis" in second.text
    assert "Nouvelle Halle" in second.text
    assert f"{rules}?version=1&amp;lang=fr" in second.text
    older = page(house, f"{rules}?version=1")
    assert "Ancienne version" in older.text
    assert "Ancienne Halle" in older.text
    assert f"{rules}?lang=fr" in older.text
    assert page(house, f"{rules}?version=3").status_code == 404
    assert page(house, f"{rules}?version=0").status_code == 422


def test_every_act_records_the_version_of_the_rules_it_fell_under(house: House, api: httpx2.Client) -> None:
    shop = make_shop(house.server)
    mission_id = ids.parse("mis", shop.mission)
    with house.server.phone() as phone:
        receipt = phone.get(f"/t/{shop.code}", headers={"Accept": "application/json"}).json()["receipt"]
        assert phone.post(f"/t/{shop.code}/check-in", data={"receipt": receipt}).status_code in (200, 303)
        patch(api, legal_name="Nouvelle Halle")
        assert phone.post(f"/m/{shop.slug}/ideas", json={"text": "Un pommier"}).status_code == 201
    with house.server.phone() as phone:
        assert phone.post(f"/m/{shop.slug}/join", json={}).status_code == 200
    database = Database(house.database_url)
    with database.snapshot() as session:
        versions = session.exec(select(LegalVersion).where(LegalVersion.mission_id == mission_id)).all()
        first, second = sorted(versions, key=lambda one: one.number)
        visit = session.exec(select(CheckIn).where(CheckIn.campaign_id == ids.parse("cmp", shop.campaign))).one()
        idea = session.exec(select(Idea).where(Idea.mission_id == mission_id)).one()
        members = session.exec(select(Membership).where(Membership.mission_id == mission_id)).all()
    database.close()
    assert (visit.rules_version_id, idea.rules_version_id) == (first.id, second.id)
    assert {one.rules_version_id for one in members} == {first.id, second.id}


def test_another_organisations_page_and_version_are_its_own(house: House, api: httpx2.Client) -> None:
    with owner(house.server, house.other_key) as other:
        theirs, ours = name_of(other), name_of(api)
    patch(api, legal_name=f"La Halle {uuid4().hex[:6]}")
    page(house, f"/legal?organisation={ours}")
    patch(api, legal_name=f"La Halle {uuid4().hex[:6]}")
    page(house, f"/legal?organisation={ours}")
    assert "La Halle" not in page(house, f"/legal?organisation={theirs}").text
    assert page(house, f"/legal?organisation={ours}&version=2").status_code == 200
    assert page(house, f"/legal?organisation={theirs}&version=2").status_code == 404
    for name in ("org_", "org_x", theirs.replace("org_", "cmp_"), "org_01a22bcd9d4670a2b3d5dfcd311ff4df", "%00"):
        assert page(house, f"/privacy?organisation={name}").status_code == 404, name
    for mission in ("mis_01a22bcd9d4670a2b3d5dfcd311ff4df", "no-such-mission", "%00"):
        assert page(house, f"/m/{mission}/rules").status_code == 404, mission


def test_of_several_organisations_one_is_chosen_from_a_list(house: House, api: httpx2.Client) -> None:
    with owner(house.server, house.other_key) as other:
        names = {name_of(other), name_of(api)}
    for path in ("/legal", "/privacy"):
        found = re.findall(rf'href="{path}\?organisation=(org_\w+)', page(house, path).text)
        assert names <= set(found)


def test_the_only_organisation_of_an_installation_is_shown_at_once(database_url: str) -> None:
    with running_server(database_url) as server, server.phone(**{"Accept-Language": "en"}) as phone:
        for path, words in (("/legal", "Publisher"), ("/privacy", "Controller")):
            answer = phone.get(path)
            assert words in answer.text
            assert "not given yet" in answer.text.lower()
        with server.api() as api:
            patch(api, mandatory_notice={"en": "Eat well."})
        for path in ("/", "/find?code=x"):
            assert "Eat well." in phone.get(path).text


def test_every_shopper_page_links_to_the_legal_pages_of_its_organisation(house: House, api: httpx2.Client) -> None:
    ours, shop = name_of(api), house.shop
    known = [f"/t/{shop.code}", f"/m/{shop.slug}", f"/report/{shop.code}", f"/m/{shop.slug}/rules"]
    for path in [*known, "/", "/me", "/t/7K3Q9XABZZ", "/nothing/here"]:
        text = page(house, path).text
        for document in ("legal", "privacy"):
            link = f"/{document}?organisation={ours}&amp;lang=fr" if path in known else f"/{document}?lang=fr"
            assert f'href="{link}"' in text, path
    for path in known[:2]:
        assert f'href="/m/{shop.slug}/rules?lang=fr"' in page(house, path).text


def closed_code(api: httpx2.Client, shop: Shop) -> str:
    token = made(api.post(f"/v1/campaigns/{shop.campaign}/tokens", json={"medium": "qr", "place_id": shop.place}))
    assert api.post(f"/v1/tokens/{token['id']}/revocation", json={}).is_success
    return str(token["code"])


def test_the_notice_stands_on_every_shopper_page_and_changes_at_once(house: House, api: httpx2.Client) -> None:
    shop = house.shop
    with house.server.phone(**{"Accept-Language": "fr"}) as phone:
        receipt = phone.get(f"/t/{shop.code}", headers={"Accept": "application/json"}).json()["receipt"]
        assert phone.post(f"/t/{shop.code}/check-in", data={"receipt": receipt}).status_code in (200, 303)
        paths = [f"/t/{shop.code}", f"/m/{shop.slug}", "/me", f"/report/{shop.code}", f"/posters/{shop.code}"]
        paths += [f"/t/{closed_code(api, shop)}", f"/m/{shop.slug}/rules"]
        for path in paths:  # each is made and kept once without it
            assert NOTICE not in phone.get(path).text, path
        patch(api, mandatory_notice={"fr": NOTICE})
        for path in paths:
            assert NOTICE in phone.get(path).text, path
        patch(api, mandatory_notice={"fr": "Autre message."})
        for path in paths:
            assert "Autre message." in phone.get(path).text, path


def test_the_notice_stands_on_the_screen_of_the_shop(house: House, api: httpx2.Client) -> None:
    patch(api, mandatory_notice={"fr": NOTICE})
    live = {"medium": "qr", "kind": "live", "place_id": house.shop.place}
    token = made(api.post(f"/v1/campaigns/{house.shop.campaign}/tokens", json=live))
    with signed_in(house.shop, **{"Accept-Language": "fr"}) as phone:
        assert NOTICE in phone.get(f"/staff/screen?token={token['id']}").text
    api.post(f"/v1/tokens/{token['id']}/revocation", json={}).raise_for_status()


def test_the_notice_and_whom_to_call_are_printed(house: House, api: httpx2.Client) -> None:
    patch(api, **{**COMPLETE, "mandatory_notice": {"fr": NOTICE}})
    campaign = f"/v1/campaigns/{house.shop.campaign}"
    for format in ("a4", "thanks", "tent", "labels", "stickers"):
        printed = api.get(f"{campaign}/sheet.pdf?format={format}&lang=fr").content
        assert NOTICE in words_in(printed), format
    with zipfile.ZipFile(io.BytesIO(api.get(f"{campaign}/kits.zip?lang=fr").content)) as kits:
        texts = [words_in(kits.read(name)) for name in kits.namelist()]
    assert all(NOTICE in text for text in texts)
    assert any("+33 4 00 00 00 00, bonjour@lahalle.example" in text for text in texts)
    with zipfile.ZipFile(io.BytesIO(api.get(f"{campaign}/kits.zip?lang=fr&contact=Ada").content)) as kits:
        texts = [words_in(kits.read(name)) for name in kits.namelist()]
    assert any("Ada" in text for text in texts)
    assert not any("+33 4" in text for text in texts)


def test_launch_names_each_missing_piece(house: House, api: httpx2.Client) -> None:
    patch(api, **{**COMPLETE, "registration": None, "hosting": {"name": "Hôte SA"}})
    fields = {"name": "L", "objective": "cause", "targets": [{"kpi": "check_ins", "value": 1}], "time_zone": "UTC"}
    campaign = made(api.post("/v1/campaigns", json=fields))
    launched = api.post(f"/v1/campaigns/{campaign['id']}/launch").json()
    (item,) = [one for one in launched["checklist"] if one["item"] == "legal_pages"]
    assert not item["ok"]
    assert re.findall(r"registration|hosting\.address|legal_name|contact_\w+", item["warning"]) == [
        "registration",
        "hosting.address",
    ]
    patch(api, **COMPLETE)
    campaign = made(api.post("/v1/campaigns", json=fields))
    launched = api.post(f"/v1/campaigns/{campaign['id']}/launch").json()
    assert [one["ok"] for one in launched["checklist"] if one["item"] == "legal_pages"] == [True]


def test_a_campaign_file_says_who_publishes(house: House, api: httpx2.Client) -> None:
    fields = {"external_id": "law", "name": "L", "objective": "cause", "targets": [{"kpi": "check_ins", "value": 1}]}
    url = "/v1/campaign-files/law"
    first = api.put(url, json={**fields, "organisation": COMPLETE}).json()
    assert [one for one in first["changed"] if one.startswith("organisation")]
    again = api.put(url, json={**fields, "organisation": COMPLETE}).json()
    assert (again["created"], again["changed"]) == ([], [])
    assert api.get("/v1/organisation").json()["missing_legal_data"] == []
    other = api.put(url, json={**fields, "organisation": {"legal_name": "Autre"}}).json()
    assert other["changed"] == ["organisation: legal_name"]
    assert api.get("/v1/organisation").json()["contact_phone"] == COMPLETE["contact_phone"]
    for bad in ({"mandatory_notice": "健康"}, {"legal_name": "\u202eX"}, {"slogan": "x"}):
        problem(api.put(url, json={**fields, "organisation": bad}), 422)
