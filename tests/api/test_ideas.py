"""Ideas over HTTP on both databases: decisions and merges by key and at the console, edits, followers, the pages."""

from typing import Any

import httpx2

from tests.api.desk import Desk, text_of
from tests.api.helpers import Shop, make_shop, problem

PAGE = {"Accept": "text/html", "Accept-Language": "fr"}
JSON = {"Accept": "application/json"}
WHY = "Il y a la place et l’argent."


def give(shop: Shop, phone: httpx2.Client, text: str = "Des poiriers") -> str:
    answer = phone.post(f"/m/{shop.slug}/ideas", json={"text": text}, headers=JSON)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def page_of(shop: Shop, idea: str, phone: httpx2.Client) -> httpx2.Response:
    return phone.get(f"/m/{shop.slug}/ideas/{idea}", headers=PAGE)


def test_a_key_decides_and_everybody_reads_why(shop: Shop) -> None:
    with shop.server.phone(Accept="application/json") as phone, shop.server.api() as api:
        idea = give(shop, phone)
        path = f"/v1/ideas/{idea}"
        assert api.get(path).json()["next_states"] == ["shortlisted", "selected", "not_selected"]
        for state in ("shortlisted", "selected"):
            made = api.post(f"{path}/decisions", json={"state": state, "reason": WHY})
            assert (made.status_code, made.json()["state"]) == (201, state)
        problem(api.post(f"{path}/decisions", json={"state": "delivered", "reason": WHY}), 409, "wrong_state")
        bad: list[dict[str, Any]] = [{"state": "hidden"}, {"reason": ""}, {"reason": "x" * 501}, {"reason": "\u202e"}]
        for fields in [*bad, {"more": 1}, {"state": None}]:
            problem(api.post(f"{path}/decisions", json={"state": "funded", "reason": WHY, **fields}), 422)
        for stranger in ("ide_" + "0" * 32, "ide_x", "mis_1"):
            problem(api.get(f"/v1/ideas/{stranger}"), 404)
        read = api.get(path)
        assert [one["state"] for one in read.json()["history"]] == ["shortlisted", "selected"]
        assert api.get(path, headers={"If-None-Match": read.headers["etag"]}).status_code == 304
        listed = api.get(f"/v1/missions/{shop.mission}/ideas", params={"state": "selected"}).json()["data"]
        assert idea in [one["id"] for one in listed]
        shown = text_of(page_of(shop, idea, phone))
        assert shown.index("Déposée et publiée") < shown.index("Présélectionnée") < shown.index("Retenue")
        assert WHY in shown
        assert "Retenue" in text_of(phone.get("/me", headers=PAGE))


def test_merged_ideas_lead_to_one_another_and_can_be_set_apart(shop: Shop) -> None:
    with shop.server.phone(Accept="application/json") as phone, shop.server.api() as api:
        idea, into = give(shop, phone, "Des poiriers"), give(shop, phone, "Des arbres à poires")
        path = f"/v1/ideas/{idea}"
        problem(api.post(f"{path}/merger", json={"into": "ide_x", "reason": WHY}), 404)
        problem(api.post(f"{path}/merger", json={"into": idea, "reason": WHY}), 422, "merge_itself")
        assert api.post(f"{path}/merger", json={"into": into, "reason": WHY}).status_code == 201
        assert api.get(path).json()["merged_into"] == into
        assert api.get(f"/v1/ideas/{into}").json()["merged"] == [idea]
        old = page_of(shop, idea, phone)
        assert f"/m/{shop.slug}/ideas/{into}?lang=fr" in old.text
        assert "Aucune voix n’a été déplacée" in text_of(old)
        assert "0 voix à elle" in text_of(page_of(shop, into, phone))
        assert api.post(f"{path}/separation", json={"reason": WHY}).status_code == 201
        assert "De nouveau à part" in text_of(page_of(shop, idea, phone))
        problem(api.post(f"{path}/separation", json={"reason": WHY}), 409, "wrong_state")


def test_an_author_changes_their_words_and_nothing_typed_is_lost(shop: Shop) -> None:
    with shop.server.phone(**PAGE) as author, shop.server.phone(**PAGE) as other:
        idea = give(shop, author, "Des poireirs")
        path = f"/m/{shop.slug}/ideas/{idea}"
        assert "Modifier mon idée" in page_of(shop, idea, author).text
        assert "Modifier mon idée" not in page_of(shop, idea, other).text
        for text in ("x" * 501, "http://a.fr http://b.fr", "a\u202eb", "x" * 20_001):
            refused = author.post(f"{path}/edits", data={"text": text})
            assert refused.status_code == 422
            assert f"{text}</textarea>" in refused.text
        problem(other.post(f"{path}/edits", json={"text": "Rien"}, headers=JSON), 404)
        edited = author.post(f"{path}/edits", data={"text": "Des <b>poiriers"})
        assert edited.status_code == 303
        shown = author.get(edited.headers["location"])
        assert "Des &lt;b&gt;poiriers" in shown.text
        assert "modifiée" in text_of(shown)
        comment = other.post(f"/m/{shop.slug}/comments", json={"idea": idea, "text": "Oui"}, headers=JSON)
        assert comment.status_code == 201
        closed = author.post(f"{path}/edits", data={"text": "Des figuiers"})
        assert closed.status_code == 409
        assert "ne peut plus être modifiée" in closed.text
        assert "Des &lt;b&gt;poiriers" in closed.text


def test_anybody_follows_an_idea_and_their_page_tells_what_became_of_it(desk: Desk) -> None:
    shop = make_shop(desk.server)
    with (
        shop.server.phone(Accept="application/json") as author,
        shop.server.phone(**PAGE) as phone,
        shop.server.api() as api,
    ):
        idea = give(shop, author)
        followed = phone.post(f"/m/{shop.slug}/follows", data={"idea": idea})
        assert followed.status_code == 303
        assert "1 personne la suit" in text_of(phone.get(followed.headers["location"]))
        assert "Rien de nouveau" in text_of(phone.get("/me"))
        assert api.post(f"/v1/ideas/{idea}/decisions", json={"state": "selected", "reason": WHY}).status_code == 201
        with desk.signed_in("moderator") as person:
            said = person.post(f"/console/moderation/{shop.mission}/{idea}/answer", data={"text": "Nous plantons."})
            assert said.status_code == 303
        told = text_of(phone.get("/me"))
        assert WHY in told
        assert "Nous plantons." in told
        held = phone.get("/me/export").json()["people"][0]["follows"]
        assert [(one["idea_id"], one["changes"][0]["state"]) for one in held] == [(idea, "selected")]
        left = phone.post(f"/m/{shop.slug}/follows/withdrawal", json={"idea": idea}, headers={"Accept": "*/*"})
        assert left.json() == {"followers": 0}
        for stranger in ("ide_" + "0" * 32, "ide_x", "", "💥"):
            problem(author.post(f"/m/{shop.slug}/follows", json={"idea": stranger}), 404, "not_found")
        evil = {"Origin": "https://evil.example"}
        for path in ("follows", "follows/withdrawal", f"ideas/{idea}/edits"):
            problem(author.post(f"/m/{shop.slug}/{path}", json={"idea": idea}, headers=evil), 403, "cross_site")


def test_members_decide_at_the_console_and_keep_what_they_typed(desk: Desk) -> None:
    shop = make_shop(desk.server)
    with shop.server.phone(Accept="application/json") as phone:
        idea, other = give(shop, phone, "Des poiriers"), give(shop, phone, "Des poires")
        path = f"/console/ideas/{idea}"
        with desk.signed_in("analyst") as reader:
            assert "Des poiriers" in reader.get("/console/ideas").text
            assert 'name="state"' not in reader.get(path).text
            fields = {"act": "decide", "state": "selected", "reason": WHY}
            assert reader.post(path, data=fields).status_code == 403
        with desk.signed_in("moderator") as person:
            empty = person.post(path, data={"act": "decide", "state": "", "reason": WHY})
            assert empty.status_code == 422
            assert f"{WHY}</textarea>" in empty.text
            long = person.post(path, data={"act": "decide", "state": "selected", "reason": "x" * 501})
            assert long.status_code == 422
            missing = person.post(path, data={"act": "merge", "other": "ide_" + "0" * 32, "reason": WHY})
            assert (missing.status_code, WHY in missing.text) == (404, True)
            address = f"http://x/m/{shop.slug}/ideas/{other}?lang=fr"
            done = person.post(path, data={"act": "merge", "other": address, "reason": WHY})
            assert done.status_code == 303
            assert "Aucune voix n’a été déplacée" in text_of(person.get(done.headers["location"]))
            assert person.post(path, data={"act": "separate", "reason": WHY}).status_code == 303
            assert person.post(path, data={"act": "decide", "state": "selected", "reason": WHY}).status_code == 303
            shown = text_of(person.get("/console/ideas?state=selected"))
            assert "Des poiriers" in shown
            assert "Des poires" not in shown.replace("Des poiriers", "")
            assert "Camille" in text_of(person.get(path))
        assert "Camille" not in page_of(shop, idea, phone).text


def test_a_member_decides_nothing_of_another_organisation(desk: Desk, shop: Shop) -> None:
    with shop.server.phone(Accept="application/json") as phone:
        idea = give(shop, phone)
    with desk.signed_in("owner") as person:
        assert person.get(f"/console/ideas/{idea}").status_code == 404
        fields = {"act": "decide", "state": "selected", "reason": WHY}
        assert person.post(f"/console/ideas/{idea}", data=fields).status_code == 404


def test_the_ballot_has_what_takes_votes_and_no_hidden_words(desk: Desk) -> None:
    shop = make_shop(desk.server)
    with shop.server.phone(Accept="application/json") as author, shop.server.phone(**PAGE) as phone:
        idea, into, decided = (give(shop, author, text) for text in ("Zwetschgen", "Des poires", "Des figuiers"))
        window = {"opens_at": "2026-01-01T00:00:00Z", "closes_at": "2099-01-01T00:00:00Z"}
        with desk.server.api() as api:
            round = api.post(f"/v1/missions/{shop.mission}/rounds", json=window).json()["id"]
        ballot = f"/m/{shop.slug}/rounds/{round}"
        assert phone.post(f"/m/{shop.slug}/votes", json={"idea": idea}, headers=JSON).status_code == 201
        assert phone.post(f"/m/{shop.slug}/follows", data={"idea": idea}).status_code == 303
        with desk.signed_in("owner") as person:
            for name, fields in (
                (decided, {"act": "decide", "state": "selected"}),
                (idea, {"act": "merge", "into": into}),
            ):
                assert person.post(f"/console/ideas/{name}", data={**fields, "reason": WHY}).status_code == 303
            mine, others = text_of(phone.get(ballot)), text_of(author.get(ballot, headers=PAGE))
            assert "Zwetschgen" in mine, "who voted for it may take the vote back"
            assert "votre voix reste ici" in mine
            assert "Des poires" in others
            assert "Zwetschgen" not in others
            assert "Des figuiers" not in mine + others
            fields = {"act": "hide", "rule": "private_data", "reason": "Une voisine"}
            assert person.post(f"/console/moderation/{shop.mission}/{idea}", data=fields).status_code == 303
        page = f"/m/{shop.slug}"
        for path in (page, f"{page}/ideas/{into}", f"{page}/ideas/{idea}", ballot, "/me", "/me/export"):
            assert "Zwetschgen" not in phone.get(path).text, path
        with desk.server.api() as api:
            assert api.patch(f"/v1/rounds/{round}", json={"closes_at": "2026-11-30T00:00:00Z"}).status_code == 200
        result = phone.get(ballot).text + phone.get(ballot, headers=JSON).text
        assert "Zwetschgen" not in result
        assert "Masqué par un modérateur" in result


def test_without_a_mail_server_nobody_leaves_an_address(shop: Shop) -> None:
    with shop.server.phone(**PAGE) as phone:
        give(shop, phone)
        assert "/me/address" not in phone.get("/me").text
        problem(phone.post("/me/address", json={"address": "a@b.fr"}, headers=JSON), 409, "no_mail")
