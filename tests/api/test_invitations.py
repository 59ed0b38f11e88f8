"""Word of mouth through HTTP: a link, a newcomer who comes by it, and what the page and the figures say."""

import html
import re
from typing import Any

import httpx2
import pytest

from tests.api.helpers import MISSION, Shop, inside, made, problem
from tests.api.test_steps import JSON, Tour, open_tour, phones
from tests.conftest import PHONE, Server, wait_until

STEPS: list[dict[str, Any]] = [{"kind": "scan"}, {"kind": "referral", "min_presence": 1, "points": 5}]
OTHER_PHONE = PHONE.replace("17_5", "17_6")


def invite(tour: Tour, phone: httpx2.Client) -> str:
    """The code in a person's link."""
    url: str = tour.post(phone, "invitations").json()["url"]
    assert url.startswith(f"{tour.mission['url']}?s=")
    return url.rpartition("=")[2]


def came(tour: Tour, phone: httpx2.Client) -> dict[str, Any]:
    body: dict[str, Any] = phone.get(f"/m/{tour.mission['slug']}/invitations", headers=JSON).json()
    return body


def form_of(page: str, what: str) -> str:
    """The action of a form of a page."""
    (action,) = re.findall(rf'action="([^"]*/{what}[^"]*)"', page)
    return html.unescape(action)


def test_a_newcomer_by_a_link_counts_once_they_came(server: Server) -> None:
    tour = open_tour(server, 1, STEPS)
    url = f"/m/{tour.mission['slug']}"
    with phones(server, 2) as (her, him):
        him.headers["User-Agent"] = OTHER_PHONE
        code = invite(tour, her)
        assert invite(tour, her) == code
        page = him.get(url, params={"s": code, "lang": "fr"}).text
        assert "Quelqu’un vous invite." in page
        assert came(tour, her)["claimed"] == 0  # nothing is claimed by looking
        answer = him.post(form_of(page, "join"), data={"age": "15_or_older"})
        assert answer.status_code == 303
        assert "s=" not in answer.headers["location"]
        assert came(tour, her) | {"url": 0} == {"url": 0, "claimed": 1, "qualified": 0, "rewarded": 0, "blocked": 0}
        assert "Somebody invites you" not in him.get(url, params={"s": code, "lang": "en"}).text
        tour.check_in(him, **inside())
        wait_until(lambda: came(tour, her)["rewarded"] == 1)
        page = her.get(f"{url}/invitations", params={"lang": "en"}).text
        assert "<dt>came to a shop</dt><dd>1</dd>" in page
        assert f"?s={code}" in page
        assert her.get(f"{url}/invitations", params={"lang": "fr"}).text.count("<dd>1</dd>") == 3
    with server.api() as api:
        figures = api.get(f"/v1/missions/{tour.mission['id']}/referrals").json()
        assert figures["formula"] == "k_factor/1"
        assert figures["k_factor"] is figures["people"] is figures["blocked"] is None  # below five people
        assert api.get(f"/v1/missions/{tour.mission['id']}").json()["totals"]["referrals"] == 1


def test_a_reply_is_a_first_act_too_and_its_page_keeps_the_link(server: Server) -> None:
    tour = open_tour(server, 1, [*STEPS, {"kind": "rate"}])
    url = f"/m/{tour.mission['slug']}"
    with phones(server, 2) as (her, him):
        him.headers["User-Agent"] = OTHER_PHONE
        code = invite(tour, her)
        (question,) = re.findall(r'href="([^"]*/questions/[^"]*)"', him.get(url, params={"s": code}).text)
        action = form_of(him.get(html.unescape(question)).text, "ratings")
        refused = him.post(action, data={"rating": "9", "age": "15_or_older"}, headers={"Accept": "text/html"})
        assert form_of(refused.text, "ratings") == action
        assert came(tour, her)["claimed"] == 0
        assert him.post(action, data={"rating": "5", "age": "15_or_older"}).status_code == 303
        assert came(tour, her)["claimed"] == 1


def test_the_figures_are_shown_from_five_people_on(server: Server) -> None:
    tour = open_tour(server, 1, STEPS)
    with phones(server, 6) as (her, *others):
        code = invite(tour, her)
        for number, phone in enumerate(others):
            phone.headers["User-Agent"] = f"{OTHER_PHONE} Phone/{number}"
            assert tour.post(phone, f"join?s={code}").status_code == 200
        tour.check_in(others[0], **inside())
        wait_until(lambda: came(tour, her)["rewarded"] == 1)
    with server.api() as api:
        figures = api.get(f"/v1/missions/{tour.mission['id']}/referrals").json()
    assert (figures["people"], figures["brought"], figures["k_factor"]) == (6, 1, 0.1667)
    assert (figures["claimed"], figures["rewarded"], figures["blocked"]) == (4, 1, {})


def test_the_same_phone_counts_for_nobody_and_an_objection_keeps_no_link(server: Server) -> None:
    tour = open_tour(server, 1, STEPS)
    with phones(server, 3) as (her, same, objecting):
        code = invite(tour, her)
        assert tour.post(same, f"join?s={code}").status_code == 200
        assert came(tour, her)["blocked"] == 1
        objecting.headers |= {"User-Agent": OTHER_PHONE, "Sec-GPC": "1"}
        assert "Somebody invites you" not in objecting.get(f"/m/{tour.mission['slug']}?s={code}&lang=en").text
        assert tour.post(objecting, f"join?s={code}").status_code == 200
        assert came(tour, her)["claimed"] == 0
        assert "1 does not count" in her.get(f"/m/{tour.mission['slug']}/invitations?lang=en").text


@pytest.mark.parametrize("code", ["NOBODY2345", "%00", "' OR 1=1 --", "x" * 5000, "é"])
def test_a_link_of_nobody_is_a_plain_page(server: Server, code: str) -> None:
    tour = open_tour(server, 1, STEPS)
    with server.phone() as phone:
        page = phone.get(f"/m/{tour.mission['slug']}", params={"s": code, "lang": "en"})
        assert page.status_code == 200
        assert "Somebody invites you" not in page.text
        url = f"/m/{tour.mission['slug']}/join"
        assert phone.post(url, params={"s": code}, data={"age": "15_or_older"}).status_code == 303


def test_the_link_is_asked_for_by_people_of_15_in_a_mission_that_has_the_step(server: Server, shop: Shop) -> None:
    tour = open_tour(server, 1, STEPS)
    with phones(server, 2) as (young, grown):
        url = f"/m/{tour.mission['slug']}/invitations"
        asked = grown.post(url, data={}, headers={"Accept": "text/html"})
        assert asked.status_code == 422
        assert 'id="age-15"' in asked.text
        problem(tour.post(young, "invitations", age="under_15"), 403, "under_age")
        assert "Inviting others is for people of 15" in young.get(url, params={"lang": "en"}).text
        assert grown.get(url, params={"lang": "en"}).status_code == 200
        answer = grown.post(f"/m/{shop.slug}/invitations", json={}, headers=JSON)
        problem(answer, 409, "no_such_step")
        problem(grown.get(f"/m/{shop.slug}/invitations", headers=JSON | {}), 409, "no_such_step")
    with server.api() as api:
        step = {"kind": "referral", "params": {"n": 2}}
        problem(api.post(f"/v1/campaigns/{shop.campaign}/missions", json=MISSION | {"steps": [step]}), 422)
        made(api.post(f"/v1/campaigns/{shop.campaign}/missions", json=MISSION | {"steps": [{"kind": "referral"}]}))
