"""Commenting on an idea, over HTTP on both databases."""

import re
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from tests.api.desk import Desk, text_of
from tests.api.helpers import Shop, make_shop, problem

PAGE = {"Accept": "text/html", "Accept-Language": "fr"}


def an_idea(shop: Shop) -> str:
    with shop.server.phone(Accept="application/json") as author:
        answer = author.post(f"/m/{shop.slug}/ideas", json={"text": "Des poiriers"})
    return str(answer.json()["id"])


def say(shop: Shop, phone: httpx2.Client, to: str, **fields: Any) -> httpx2.Response:
    return phone.post(f"/m/{shop.slug}/comments", json={"idea": to, "text": "Bonne idée", **fields})


def test_a_form_is_asked_the_age_once_and_keeps_what_was_typed(shop: Shop) -> None:
    idea = an_idea(shop)
    with shop.server.phone(**PAGE) as phone:
        assert f'href="/m/{shop.slug}/ideas/{idea}?lang=fr"' in phone.get(f"/m/{shop.slug}").text
        path = f"/m/{shop.slug}/comments"
        assert 'name="age"' in phone.get(f"/m/{shop.slug}/ideas/{idea}").text
        asked = phone.post(path, data={"idea": idea, "text": "Oui <b>"})
        assert asked.status_code == 422
        assert "Oui &lt;b&gt;</textarea>" in asked.text
        for text in ("x" * 501, "http://a.fr http://b.fr", "a\u202eb"):
            refused = phone.post(path, data={"idea": idea, "text": text, "age": "15_or_older"})
            assert refused.status_code == 422
            assert f"{text}</textarea>" in refused.text
        sent = phone.post(path, data={"idea": idea, "text": "Oui <b>", "age": "15_or_older"})
        assert sent.status_code == 303
        page = phone.get(sent.headers["location"])
        assert "Oui &lt;b&gt;</p>" in page.text
        assert 'name="age"' not in page.text
        assert "1 commentaire" in text_of(phone.get(f"/m/{shop.slug}"))


def test_a_flood_is_refused_with_its_words_kept(shop: Shop) -> None:
    idea = an_idea(shop)
    with shop.server.phone(**PAGE) as phone:
        fields = {"idea": idea, "age": "15_or_older"}
        path = f"/m/{shop.slug}/comments"
        answers = [phone.post(path, data={**fields, "text": f"Poire {number}"}) for number in range(4)]
    assert [one.status_code for one in answers] == [303, 303, 303, 429]
    assert "Poire 3</textarea>" in answers[3].text
    assert 3500 < int(answers[3].headers["retry-after"]) <= 3600


def test_a_page_leads_on_to_the_comments_before_it(shop: Shop) -> None:
    idea = an_idea(shop)
    for number in range(51):
        with shop.server.phone(Accept="application/json") as phone:
            assert say(shop, phone, idea, text=f"Poire numéro {number}.").status_code == 201
    with shop.server.phone(**PAGE) as phone:
        page = phone.get(f"/m/{shop.slug}/ideas/{idea}").text
        assert "Poire numéro 50." in page
        assert "Poire numéro 0." not in page
        (earlier,) = re.findall(r'href="([^"]+cursor=[^"]+)"', page)
        before = phone.get(earlier.replace("&amp;", "&")).text
        assert "Poire numéro 0." in before
        assert "Poire numéro 1." not in before
        assert phone.get(f"/m/{shop.slug}/ideas/{idea}?cursor=nonsense").status_code == 422


def test_json_is_answered_in_json_and_bad_input_is_refused(shop: Shop) -> None:
    idea = an_idea(shop)
    with shop.server.phone(Accept="application/json") as phone:
        client_id = uuid4().hex
        first = say(shop, phone, idea, client_id=client_id)
        assert first.status_code == 201
        assert say(shop, phone, idea, client_id=client_id, text="Autre").json() == first.json()
        problem(say(shop, phone, idea, text=""), 422, "comment_empty")
        problem(say(shop, phone, idea, text="x" * 501), 422, "comment_too_long")
        problem(say(shop, phone, idea, text="www.a.fr www.b.fr"), 422, "one_link")
        bad: list[dict[str, Any]] = [{"text": one} for one in ("x" * 20_001, "\u202eabc", "\x00", 5, None)]
        for fields in [*bad, {"more": 1}, {"client_id": "ä b"}, {"age": "9"}, {"idea": None}]:
            problem(say(shop, phone, idea, **fields), 422, "invalid")
        for stranger in ("ide_" + "0" * 32, "ide_x", "", "💥", "cmt_" + idea[4:]):
            problem(say(shop, phone, stranger), 404, "not_found")
        problem(say(shop, phone, idea, age="under_15"), 403, "under_age_text")
        problem(say(shop, phone, idea), 403, "under_age_text")


def test_a_comment_is_useful_flagged_hidden_and_answered(desk: Desk) -> None:
    shop = make_shop(desk.server)
    idea = an_idea(shop)
    with shop.server.phone(Accept="application/json") as author, shop.server.phone(**PAGE) as reader:
        comment = say(shop, author, idea, text="Les Zwetschgen sont bêtes").json()["id"]
        path = f"/m/{shop.slug}/comments/{comment}/useful"
        problem(author.post(path), 409, "own_comment")
        assert [reader.post(path).status_code for _ in range(2)] == [303, 303]
        page = f"/m/{shop.slug}/ideas/{idea}"
        assert "utile à 1 personne" in text_of(reader.get(page))
        flagged = reader.post(f"/m/{shop.slug}/flags", data={"subject": comment, "kind": "attack"})
        assert flagged.status_code == 303
        with desk.signed_in("moderator") as person:
            queue = person.get("/console/moderation").text
            assert "Zwetschgen" in queue
            where = f"/console/moderation/{shop.mission}"
            fields = {"act": "hide", "rule": "personal_attack", "reason": "Insulte"}
            assert person.post(f"{where}/{comment}", data=fields).status_code == 303
            (client_id,) = set(re.findall(rf'name="client_id" value="({idea}-[0-9a-f]+)"', queue))
            for _ in range(2):
                said = person.post(f"{where}/{idea}/answer", data={"text": "Nous plantons.", "client_id": client_id})
                assert said.status_code == 303
            empty = person.post(f"{where}/{idea}/answer", data={"text": "x" * 501})
            assert empty.status_code == 422
            assert "x" * 501 in empty.text
        shown = reader.get(page)
        assert "Zwetschgen" not in shown.text
        assert shown.text.count("Nous plantons.") == 1
        assert "réponse officielle" in shown.text
        mine = author.get("/me", headers=PAGE).text
        assert "Zwetschgen" in mine
        assert "Insulte" in mine
        problem(reader.post(path, headers={"Accept": "application/json"}), 404, "not_found")


@pytest.mark.parametrize("path", ["comments", "comments/cmt_x/useful"])
def test_a_comment_from_another_site_is_refused(shop: Shop, path: str) -> None:
    with shop.server.phone() as phone:
        answer = phone.post(f"/m/{shop.slug}/{path}", data={"text": "Hm"}, headers={"Origin": "https://evil.example"})
        problem(answer, 403, "cross_site")
