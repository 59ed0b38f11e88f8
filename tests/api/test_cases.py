"""Telling the shop something, over HTTP: from the scan page to the answer, on the shop's phone and at the console."""

import re
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from tests.api.desk import Desk, text_of
from tests.api.helpers import Shop, make_shop, problem, signed_in

PAGE = {"Accept": "text/html", "Accept-Language": "fr"}


@pytest.fixture
def own(desk: Desk) -> Shop:
    """A shop of the console's organisation: what is told to it, no other test meets."""
    return make_shop(desk.server)


def tell(shop: Shop, path: str = "", **fields: Any) -> httpx2.Response:
    """A case as JSON, by a phone of its own."""
    with shop.server.phone(Accept="application/json", **{"User-Agent": f"Mozilla/5.0 (iPhone) {uuid4().hex}"}) as phone:
        return phone.post(path or f"/m/{shop.slug}/cases", json={"text": "Votre poirier penche.", **fields})


def test_from_the_scan_page_to_the_answer_without_a_script(own: Shop, desk: Desk) -> None:
    with own.server.phone(**PAGE) as phone:
        scanned = phone.get(f"/t/{own.code}").text
        assert '<button class="quiet" form="say">Dire quelque chose au magasin</button>' in scanned
        assert f'<form id="say" action="/say/{own.code}"></form>' in scanned
        form = phone.get(f"/say/{own.code}")
        assert "Bellecour" in form.text
        (client_id,) = re.findall(r'name="client_id" value="([^"]+)"', form.text)
        sent = phone.post(f"/say/{own.code}", data={"text": "Votre poirier\r\npenche.", "client_id": client_id})
        again = phone.post(f"/say/{own.code}", data={"text": "Votre poirier penche.", "client_id": client_id})
        assert sent.status_code == again.status_code == 303
        link = sent.headers["location"]
        assert again.headers["location"] == link
        assert "Reçue." in text_of(phone.get(link))
        assert len(phone.cookies.jar) == 0
        with signed_in(own, **PAGE) as till:
            home = till.get("/staff")
            (path,) = re.findall(r'href="(/staff/cases/cas_[0-9a-f]{32})\?lang=fr"', home.text)
            assert "penche." in till.get(path).text
            assert till.post(f"{path}/acknowledgment").status_code == 303
            assert "s’en occupe" in text_of(phone.get(link))
            empty = till.post(f"{path}/answer", data={"text": "  "})
            assert empty.status_code == 422
            odd = till.post(f"{path}/answer", data={"text": "Nous le redressons\u202e"})
            assert odd.status_code == 422
            assert "Nous le redressons" in odd.text
            assert till.post(f"{path}/answer", data={"text": "Nous le redressons demain."}).status_code == 303
            assert "/staff/cases/" not in till.get("/staff").text
        answered = phone.get(link)
        assert "Nous le redressons demain." in answered.text
        refused = phone.post(f"{link}/reopening", data={"text": "x" * 2001})
        assert refused.status_code == 422
        assert "x" * 2001 in refused.text
        assert phone.post(f"{link}/reopening", data={"text": "Il penche encore."}).status_code == 303
    with desk.signed_in("marketer") as person:
        listed = person.get("/console/cases")
        (path,) = set(re.findall(r'href="(/console/cases/cas_[0-9a-f]{32})"', listed.text))
        assert "Il penche encore." in person.get(path).text
        assert person.post(f"{path}/closing").status_code == 409
        assert person.post(f"{path}/answer", data={"text": "Il est droit."}).status_code == 303
        assert person.post(f"{path}/closing").status_code == 303
    with own.server.phone(**PAGE) as anybody:
        assert "Close." in text_of(anybody.get(link))


def test_the_shop_and_the_brand_touch_nothing_of_another(own: Shop, shop: Shop, desk: Desk) -> None:
    case = tell(own, code=own.code).json()["id"]
    with signed_in(shop, **PAGE) as till:
        assert till.get(f"/staff/cases/{case}").status_code == 404
        assert till.post(f"/staff/cases/{case}/answer", data={"text": "Hm"}).status_code == 404
        assert till.post(f"/staff/cases/{case}/acknowledgment").status_code == 404
    theirs = tell(shop, code=shop.code).json()["id"]
    with desk.signed_in("owner") as person:
        assert person.get(f"/console/cases/{theirs}").status_code == 404
        for act in ("answer", "acknowledgment", "closing"):
            assert person.post(f"/console/cases/{theirs}/{act}", data={"text": "Hm"}).status_code == 404
    with desk.signed_in("analyst") as person:
        assert "<textarea" not in person.get(f"/console/cases/{case}").text
        assert person.post(f"/console/cases/{case}/answer", data={"text": "Hm"}).status_code == 403
    with own.server.phone(**PAGE) as phone:
        assert phone.get(f"/staff/cases/{case}").status_code == 401


def test_json_is_answered_in_json_and_bad_input_is_refused(shop: Shop) -> None:
    first = tell(shop, code=shop.code)
    assert first.status_code == 201
    assert first.json().keys() == {"id", "reference", "state", "due_at", "url"}
    problem(tell(shop, text=""), 422, "case_empty")
    problem(tell(shop, text="x" * 2001), 422, "case_too_long")
    bad: list[dict[str, Any]] = [{"text": one} for one in ("x" * 20_001, "\u202eabc", "\x00", 5, None)]
    bad += [{"more": 1}, {"client_id": "ä b"}, {"code": "x" * 65}]
    for fields in bad:
        problem(tell(shop, **fields), 422, "invalid")
    problem(tell(shop, code="0123456789"), 404, "unknown_code")
    problem(tell(shop, path="/say/0123456789"), 404, "unknown_code")
    problem(tell(shop, path="/m/nothing/cases"), 404, "not_found")
    link = first.json()["url"].removeprefix(shop.server.url)
    with shop.server.phone(Accept="application/json") as phone:
        problem(phone.get(link[:-1] + "é"), 404, "not_found")
        problem(phone.post(f"{link}/reopening", json={"text": "No"}), 409, "wrong_state")


@pytest.mark.parametrize("typed", ['Un <b>"mot"</b>' + "x" * 2000, 'Un <b>"mot"</b>\u202e'])
def test_nothing_typed_is_lost(shop: Shop, typed: str) -> None:
    with shop.server.phone(**PAGE) as phone:
        page = phone.post(f"/m/{shop.slug}/cases", data={"text": typed, "code": shop.code, "client_id": "phone-7"})
    assert page.status_code == 422
    assert typed.replace("<", "&lt;").replace(">", "&gt;").replace('"', "&#34;") in page.text
    assert 'value="phone-7"' in page.text
    assert f'name="code" value="{shop.code}"' in page.text
    assert "Bellecour" in page.text


def test_a_sixth_case_of_a_phone_keeps_its_words(shop: Shop) -> None:
    with shop.server.phone(**PAGE, **{"User-Agent": f"Mozilla/5.0 (iPhone) {uuid4().hex}"}) as phone:
        answers = [phone.post(f"/m/{shop.slug}/cases", data={"text": f"Poire {number}"}) for number in range(6)]
    assert [one.status_code for one in answers] == [303] * 5 + [429]
    assert "Poire 5</textarea>" in answers[5].text
    assert answers[5].headers["retry-after"] == "3600"


def test_a_young_persons_phone_is_sent_to_the_staff(shop: Shop) -> None:
    with shop.server.phone(**PAGE) as phone:
        phone.post(f"/m/{shop.slug}/join", data={"age": "under_15"})
        assert "<textarea" not in phone.get(f"/m/{shop.slug}/cases/new").text
        page = phone.post(f"/m/{shop.slug}/cases", data={"text": "Bonjour"})
    assert page.status_code == 403
    assert "à l’équipe du magasin" in text_of(page)


def test_a_case_from_another_site_is_refused(shop: Shop) -> None:
    with shop.server.phone() as phone:
        for path in (f"/m/{shop.slug}/cases", f"/say/{shop.code}", "/cases/A/b/reopening", "/me/appeals"):
            answer = phone.post(path, data={"text": "Hm"}, headers={"Origin": "https://evil.example"})
            problem(answer, 403, "cross_site")


def test_an_author_appeals_against_a_moderator_and_nobody_else_can(own: Shop, desk: Desk) -> None:
    with own.server.phone(Accept="application/json") as author, own.server.phone(Accept="application/json") as other:
        idea = author.post(f"/m/{own.slug}/ideas", json={"text": "Des poires"}).json()["id"]
        other.post(f"/m/{own.slug}/ideas", json={"text": "Des pommes"})
        with desk.signed_in("moderator") as person:
            fields = {"act": "hide", "rule": "private_data", "reason": "Un nom"}
            assert person.post(f"/console/moderation/{own.mission}/{idea}", data=fields).status_code == 303
        page = author.get("/me", headers=PAGE).text
        (subject,) = re.findall(r'name="subject" value="(mod_[0-9a-f]{32})"', page)
        first = author.post("/me/appeals", json={"subject": subject, "text": "Ce n’est pas un nom."})
        assert first.status_code == 201
        assert author.post("/me/appeals", json={"subject": subject, "text": "Encore"}).json() == first.json()
        assert first.json()["reference"] in author.get("/me", headers=PAGE).text
        assert first.json()["reference"] in author.get("/me/export").text
        for name in (subject, "mod_" + "0" * 32, "chk_" + "0" * 32, idea, "", "💥"):
            problem(other.post("/me/appeals", json={"subject": name, "text": "Hm"}), 404, "not_found")
        long = author.post("/me/appeals", data={"subject": subject, "text": "é" * 2001}, headers=PAGE)
        assert long.status_code == 422
        assert "é" * 2001 in long.text
    with desk.signed_in("owner") as person:
        assert "appel contre un modérateur" in text_of(person.get("/console/cases"))


def test_a_visitor_appeals_against_a_verdict(shop: Shop) -> None:
    with shop.server.phone(Accept="application/json") as phone:
        receipt = phone.get(f"/t/{shop.code}").json()["receipt"]
        assert phone.post(f"/t/{shop.code}/check-in", json={"receipt": receipt}).is_success
        visit = phone.get("/me/export").json()["people"][0]["check_ins"][0]["id"]
        answer = phone.post("/me/appeals", json={"subject": visit, "text": "J’étais là."})
        assert answer.status_code == 201, answer.text
