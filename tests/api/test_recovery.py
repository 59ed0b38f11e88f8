"""Keeping one's place over HTTP: a code is good once on another phone, and two names of one person become one."""

import re
from typing import Any

import httpx2

from tests.api.helpers import Shop, inside, made, problem
from tests.api.test_votes import open_poll
from tests.conftest import PHONE, TLS, Server, client
from tests.racing import race

PAGE = {"Accept": "text/html", "Accept-Language": "en"}
AS_JSON = {"Accept": "application/json"}


def take_part(phone: httpx2.Client, shop: Shop) -> dict[str, Any]:
    """Check in inside the geofence; who did it."""
    receipt = phone.get(f"/t/{shop.code}", headers=AS_JSON).json()["receipt"]
    sent = {"receipt": receipt, **inside()}
    person: dict[str, Any] = phone.post(f"/t/{shop.code}/check-in", json=sent, headers=AS_JSON).json()["participant"]
    return person


def code_of(phone: httpx2.Client) -> str:
    return str(made(phone.post("/me/recovery-codes", json={}))["code"])


def people(phone: httpx2.Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = phone.get("/me/export").raise_for_status().json()["people"]
    return found


def test_a_code_moves_a_person_to_another_phone_once(server: Server, shop: Shop) -> None:
    with server.phone() as first, server.phone() as second, server.phone() as third:
        person = take_part(first, shop)
        code = code_of(first)
        assert re.fullmatch(r"(?:[2-9A-Z]{4}-){3}[2-9A-Z]{4}", code)
        typed = code.lower().replace("-", " ")
        moved = second.post("/me/recovery", json={"code": typed})
        assert moved.json() == {"participant": person, "merged": False, "undone": {}}
        assert "no-store" in moved.headers["cache-control"]
        for phone in (first, second):
            (held,) = people(phone)
            assert (held["participant"]["id"], len(held["check_ins"])) == (person["id"], 1)
        assert [one["kind"] for one in held["keys"]] == ["phone", "recovery_code"]
        assert not {"secret_hash", "code_hash"} & {name for one in held["keys"] for name in one}
        problem(third.post("/me/recovery", json={"code": code}), 409, "recovery_code_used")
        old = code_of(second)
        assert code_of(second) != old
        problem(third.post("/me/recovery", json={"code": old}), 409, "recovery_code_replaced")
        assert people(third) == []


def test_a_code_is_offered_after_the_first_act_and_shown_once_in_ways_to_keep_it(server: Server, shop: Shop) -> None:
    with server.phone() as phone:
        person = take_part(phone, shop)
        assert 'action="/me/recovery-codes' not in phone.get(f"/m/{shop.slug}", headers=PAGE).text
        offered = phone.get(f"/m/{shop.slug}?just=checked_in", headers=PAGE).text
        assert f'name="participant" value="{person["id"]}"' in offered
        shown = phone.post("/me/recovery-codes", data={"participant": person["id"]}, headers=PAGE)
        assert (shown.status_code, shown.headers["cache-control"]) == (201, "no-store")
        code = re.search(r'id="code" value="([^"]+)"', shown.text)
        assert code is not None
        assert f"/me/recovery#{code[1]}" in shown.text
        assert "<svg" in shown.text
        assert "mailto:?" in shown.text
        assert "?code=" not in shown.text, "a code is in no address that a server sees"
        assert 'action="/me/recovery-codes' not in phone.get(f"/m/{shop.slug}?just=checked_in", headers=PAGE).text
        assert 'action="/me/recovery-codes' in phone.get("/me", headers=PAGE).text
        problem(phone.post("/me/recovery-codes", json={"participant": "par_" + "0" * 32}), 404, "nobody_here")


def test_of_phones_that_race_with_one_code_one_is_let_in(server: Server, shop: Shop) -> None:
    with server.phone() as known, server.phone() as one, server.phone() as two:
        take_part(known, shop)
        code, phones = code_of(known), [one, two]
        answers = race(2, lambda index: phones[index].post("/me/recovery", json={"code": code}).status_code)
        assert sorted(answers) == [200, 409]  # type: ignore[type-var]  # status codes


def from_elsewhere(server: Server) -> httpx2.Client:
    """A phone behind another address: wrong codes of one stop nobody else."""
    elsewhere = httpx2.HTTPTransport(local_address="127.0.0.77", verify=TLS)
    return client(server.url, headers={"User-Agent": PHONE}, transport=elsewhere)


def test_a_wrong_code_is_asked_for_again_and_ten_an_hour_are_enough(server: Server, shop: Shop) -> None:
    with server.phone() as known, from_elsewhere(server) as phone:
        take_part(known, shop)
        code = code_of(known)
        page = phone.post("/me/recovery", data={"code": "<b>nonsense</b>"}, headers=PAGE)
        assert page.status_code == 404
        assert 'value="&lt;b&gt;nonsense&lt;/b&gt;"' in page.text
        assert "sixteen letters and digits: look at it again" in page.text
        for _ in range(9):
            problem(phone.post("/me/recovery", json={"code": "22222222"}), 404, "unknown_recovery_code")
        late = problem(phone.post("/me/recovery", json={"code": code}), 429, "recovery_tries")
        assert "code" in late
        again = phone.post("/me/recovery", data={"code": code}, headers=PAGE)
        assert (again.status_code, code in again.text, "retry-after" in again.headers) == (429, True, True)
        with server.phone() as third:
            assert third.post("/me/recovery", json={"code": code}).status_code == 200


def test_opening_the_page_does_nothing(server: Server, shop: Shop) -> None:
    with server.phone() as known, server.phone() as phone:
        take_part(known, shop)
        code_of(known)
        for _ in range(2):
            assert phone.get("/me/recovery", headers=PAGE).status_code == 200
        assert phone.cookies == {} or people(phone) == []
        assert "I have a recovery code" in phone.get("/me", headers=PAGE).text


def test_two_names_of_one_person_become_one_after_a_question(server: Server, shop: Shop) -> None:
    poll = open_poll(shop, quota=1)
    with server.phone() as first, server.phone() as second, server.api() as api:
        older, newer = take_part(first, shop), take_part(second, shop)
        made(poll.vote(first, 0))
        made(poll.vote(second, 1))
        code = code_of(second)
        before = api.get(f"/v1/campaigns/{shop.campaign}/stats").json()
        problem(first.post("/me/recovery", json={"code": code}), 409, "merge_needed")
        page = first.post("/me/recovery", data={"code": code}, headers=PAGE)
        assert page.status_code == 200
        for words in (older["pseudonym"], newer["pseudonym"], "1 visit<", "1 vote<", "Yes, both are me"):
            assert words in page.text
        assert api.get(f"/v1/campaigns/{shop.campaign}/stats").json()["participants"] == before["participants"]
        done = first.post("/me/recovery", data={"code": code, "confirm": "yes"}, headers=PAGE)
        assert (done.status_code, done.headers["location"].split("&")[0]) == (303, "/me?just=merged")
        assert "The two are one" in first.get(done.headers["location"], headers=PAGE).text
        for phone in (first, second):
            (held,) = people(phone)
            assert held["participant"]["id"] == older["id"], "the newer name's phone knows the older one"
            assert len(held["check_ins"]) == 2
            assert sorted(one["state"] for one in held["votes"]) == ["cast", "voided"]
        assert api.get(f"/v1/campaigns/{shop.campaign}/stats").json()["participants"] == before["participants"] - 1
        assert "one person had done it under two names" in second.get("/me", headers=PAGE).text
        entry = api.get("/v1/audit?limit=1").json()["data"][0]
        assert entry["action"] == "participant.merged"
        assert older["id"] not in str(entry)
        poll.close()
        result = first.get(poll.page, headers=PAGE).text
        assert "1 vote more was voided: one person had voted under two names." in result
        assert api.get(f"/v1/rounds/{poll.round}").json()["result"]["voided"] == {"merged": 1}
        lines = first.get(f"{poll.page}/tally.csv").text.splitlines()
        assert lines[0] == "line,idea,presence,hour,voided"
        assert sum(line.endswith(",,,,merged") for line in lines) == 1


def test_a_voided_scan_says_in_the_result_that_its_votes_went(server: Server, shop: Shop) -> None:
    poll = open_poll(shop, min_presence=1)
    with server.phone() as phone, server.api() as api:
        take_part(phone, shop)
        made(poll.vote(phone))
        scan = api.get(f"/v1/scans?campaign_id={shop.campaign}&limit=1").json()["data"][0]["id"]
        told = api.post(f"/v1/scans/{scan}/void", json={"reason": "Scanned from home"}).json()
        assert {"what": "ballot", "id": poll.round, "outcome": "reversed"} in told["effects"]
        poll.close()
        assert "1 vote more was voided: the visit that opened its ballot" in phone.get(poll.page, headers=PAGE).text
        assert "Scanned from home" not in phone.get(poll.page, headers=PAGE).text
