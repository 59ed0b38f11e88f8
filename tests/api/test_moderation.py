"""Flagging from a phone, moderating at the console, and what everybody and the author see of it, over HTTP."""

from typing import Any
from uuid import uuid4

import httpx2
import pytest

from tests.api.desk import Desk, text_of
from tests.api.helpers import Shop, make_shop, problem

PAGE = {"Accept": "text/html", "Accept-Language": "fr"}


def console_shop(desk: Desk) -> Shop:
    return make_shop(desk.server)


def give_idea(shop: Shop, text: str, phone: httpx2.Client) -> str:
    answer = phone.post(f"/m/{shop.slug}/ideas", json={"text": text})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def send(shop: Shop, **fields: Any) -> httpx2.Response:
    """A flag as JSON, by a phone of its own."""
    with shop.server.phone(Accept="application/json", **{"User-Agent": f"Mozilla/5.0 (iPhone) {uuid4().hex}"}) as phone:
        return phone.post(f"/m/{shop.slug}/flags", json={"kind": "attack", **fields})


def test_a_flag_leads_to_the_moderators_and_a_hidden_idea_keeps_its_place(desk: Desk) -> None:
    shop = console_shop(desk)
    with shop.server.phone(Accept="application/json") as author, shop.server.phone(**PAGE) as reader:
        idea = give_idea(shop, "Mme Zwetschgen vole des poires", author)
        page = reader.get(f"/m/{shop.slug}").text
        assert f'href="/m/{shop.slug}/flags/new?lang=fr&amp;subject={idea}"' in page
        form = reader.get(f"/m/{shop.slug}/flags/new?subject={idea}")
        assert form.text.count('type="radio"') == 5
        sent = reader.post(f"/m/{shop.slug}/flags", data={"subject": idea, "kind": "attack", "text": "C’est faux."})
        assert sent.status_code == 303
        assert "un modérateur va regarder" in reader.get(sent.headers["location"]).text
        assert len(reader.cookies.jar) == 0
        with desk.signed_in("moderator") as person:
            queue = text_of(person.get("/console/moderation"))
            assert "1 signalement" in queue
            assert "C’est faux." in queue
            path = f"/console/moderation/{shop.mission}/{idea}"
            refused = person.post(path, data={"act": "hide", "rule": "", "reason": "Attaque une voisine"})
            assert refused.status_code == 422
            assert "Choisissez la règle enfreinte" in text_of(refused)
            assert "Attaque une voisine</textarea>" in refused.text
            done = person.post(path, data={"act": "hide", "rule": "personal_attack", "reason": "Attaque une voisine"})
            assert done.status_code == 303
            hidden = reader.get(f"/m/{shop.slug}")
            assert "Zwetschgen" not in hidden.text
            assert "Masqué par un modérateur : attaque personnelle" in text_of(hidden).replace("\u00a0", " ")
            assert "attaque personnelle 1." in text_of(hidden)
            assert "Zwetschgen" not in reader.get(f"/m/{shop.slug}/flags/new?subject={idea}").text
            mine = author.get("/me", headers=PAGE)
            assert "Attaque une voisine" in mine.text
            assert "Zwetschgen" in mine.text
            assert person.post(path, data={"act": "restore", "reason": "Erreur"}).status_code == 303
            assert "Zwetschgen" in reader.get(f"/m/{shop.slug}").text


def test_only_moderators_and_owners_hide(desk: Desk) -> None:
    shop = console_shop(desk)
    with shop.server.phone(Accept="application/json") as author:
        idea = give_idea(shop, "Des poiriers", author)
    fields = {"act": "hide", "rule": "private_data", "reason": "Parce que"}
    for role in ("marketer", "analyst", "approver"):
        with desk.signed_in(role) as person:
            page = person.get("/console/moderation")
            assert page.status_code == 200
            assert 'name="rule"' not in page.text
            assert person.post(f"/console/moderation/{shop.mission}/{idea}", data=fields).status_code == 403
    with shop.server.phone(**PAGE) as phone:
        assert phone.post(f"/console/moderation/{shop.mission}/{idea}", data=fields).status_code == 401
        assert "Des poiriers" in phone.get(f"/m/{shop.slug}").text


def test_a_moderator_touches_nothing_of_another_organisation(desk: Desk, shop: Shop) -> None:
    with shop.server.phone(Accept="application/json") as author:
        idea = give_idea(shop, "Des poiriers", author)
    with desk.signed_in("moderator") as person:
        fields = {"act": "hide", "rule": "private_data", "reason": "Parce que"}
        assert person.post(f"/console/moderation/{shop.mission}/{idea}", data=fields).status_code == 404
        own = console_shop(desk)
        assert person.post(f"/console/moderation/{own.mission}/{idea}", data=fields).status_code == 404


def test_a_flag_is_kept_once_and_bad_ones_are_refused(shop: Shop) -> None:
    with shop.server.phone(Accept="application/json") as author:
        idea = give_idea(shop, "Des poiriers", author)
        first = author.post(f"/m/{shop.slug}/flags", json={"subject": idea, "kind": "other"})
        assert first.status_code == 201
        assert author.post(f"/m/{shop.slug}/flags", json={"subject": idea, "kind": "attack"}).json() == first.json()
    problem(send(shop, subject=idea, text="x" * 501), 422, "flag_too_long")
    problem(send(shop, subject=idea, text="x" * 20_001), 422, "invalid")
    bad: list[dict[str, Any]] = [{"kind": "bad"}, {"kind": None}, {"more": 1}]
    bad += [{"text": one} for one in ("\u202eabc", "\x00", 5)]
    for fields in bad:
        problem(send(shop, **{"subject": idea, **fields}), 422, "invalid")
    problem(send(shop), 422, "invalid")
    for stranger in ("ide_x", "ide_" + "0" * 32, "org_1", "", "💥", "ide_" + idea[4:-1] + "z"):
        problem(send(shop, subject=stranger), 404, "not_found")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "choisissez dans la liste"),
        ({"kind": "else"}, "choisissez dans la liste"),
        ({"kind": "attack", "more": "x" * 500}, "500 caractères au plus"),
        ({"kind": "attack", "more": "\u202e"}, "caractères que nous ne pouvons pas prendre"),
    ],
)
def test_nothing_typed_with_a_flag_is_lost(shop: Shop, fields: dict[str, str], reason: str) -> None:
    typed = 'Un <b>"mot"</b>' + fields.get("more", "")
    with shop.server.phone(**PAGE) as phone:
        said = {name: value for name, value in fields.items() if name != "more"}
        page = phone.post(f"/m/{shop.slug}/flags", data={**said, "subject": an_idea(shop), "text": typed})
    assert page.status_code == 422
    assert reason in page.text
    assert typed.replace("<", "&lt;").replace(">", "&gt;").replace('"', "&#34;") in page.text


def an_idea(shop: Shop) -> str:
    with shop.server.phone(Accept="application/json") as author:
        return give_idea(shop, "Des poiriers", author)


def test_a_flag_from_another_site_is_refused(shop: Shop) -> None:
    with shop.server.phone() as phone:
        answer = phone.post(f"/m/{shop.slug}/flags", data={"kind": "odd"}, headers={"Origin": "https://evil.example"})
        problem(answer, 403, "cross_site")
