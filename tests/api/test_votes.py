"""Voting over HTTP, forms and JSON, on both databases: the ballot, refusals, the result and its tally."""

import csv
import io
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from campaigns import verify
from campaigns.storage import Database
from tests.api.conftest import House
from tests.api.helpers import Shop, inside, made, owner, problem, signed_in
from tests.conftest import Server
from tests.racing import race

PAGE = {"Accept": "text/html"}
MISSION: dict[str, Any] = {
    "title": {"fr": "Votons", "en": "Let us vote"},
    "promise": "The first idea is built",
    "goal": {"metric": "votes", "value": 100},
    "steps": [{"kind": "idea"}, {"kind": "vote"}],
}


@dataclass(frozen=True)
class Poll:
    """A mission of the shop with a round, and ideas in it."""

    shop: Shop
    id: str
    slug: str
    round: str
    ideas: list[str]

    @property
    def page(self) -> str:
        return f"/m/{self.slug}/rounds/{self.round}"

    def vote(self, phone: httpx2.Client, number: int = 0, **fields: Any) -> httpx2.Response:
        return phone.post(f"/m/{self.slug}/votes", json={"idea": self.ideas[number], **fields})

    def close(self) -> None:
        with self.shop.server.api() as api:
            now = datetime.now(UTC).isoformat()
            assert api.patch(f"/v1/rounds/{self.round}", json={"closes_at": now}).status_code == 200


def window(hours: float = 1) -> dict[str, str]:
    now = datetime.now(UTC)
    return {
        "opens_at": (now - timedelta(hours=1)).isoformat(),
        "closes_at": (now + timedelta(hours=hours)).isoformat(),
    }


def open_poll(shop: Shop, *, ideas: int = 3, **rules: Any) -> Poll:
    with shop.server.api() as api, shop.server.phone() as author:
        mission = made(api.post(f"/v1/campaigns/{shop.campaign}/missions", json=MISSION))
        wanted = window() | {"quota": 2} | rules
        round = made(api.post(f"/v1/missions/{mission['id']}/rounds", json=wanted))
        texts = [f"Idea {number} of {mission['slug']}" for number in range(ideas)]
        given = [made(author.post(f"/m/{mission['slug']}/ideas", json={"text": text})) for text in texts]
    return Poll(shop, mission["id"], mission["slug"], round["id"], [one["id"] for one in given])


@contextmanager
def visitor(shop: Shop) -> Iterator[httpx2.Client]:
    """A phone that checked in inside the geofence."""
    with shop.server.phone() as phone:
        scan = phone.get(f"/t/{shop.code}", headers={"Accept": "application/json"}).json()
        done = phone.post(f"/t/{shop.code}/check-in", json={"receipt": scan["receipt"], **inside(age_s=1)})
        assert done.json()["presence"] == 1, done.text
        yield phone


def test_a_vote_is_cast_taken_back_and_cast_again(server: Server, shop: Shop) -> None:
    poll = open_poll(shop)
    with server.phone() as phone:
        first = made(poll.vote(phone, client_id="a"))
        assert (first["round"], first["idea"], first["state"]) == (poll.round, poll.ideas[0], "cast")
        assert (first["votes_left"], first["presence"]) == (1, 0)
        again = made(poll.vote(phone, 1, client_id="a"))
        assert again == first
        problem(poll.vote(phone), 409, "already_voted")
        assert made(poll.vote(phone, 1))["votes_left"] == 0
        problem(poll.vote(phone, 2), 409, "quota_used")
        back = phone.post(f"/m/{poll.slug}/votes/withdrawal", json={"idea": poll.ideas[0], "client_id": "b"})
        assert (back.status_code, back.json()["state"], back.json()["votes_left"]) == (200, "withdrawn", 1)
        made(poll.vote(phone, 2))
        problem(phone.post(f"/m/{poll.slug}/votes/withdrawal", json={"idea": poll.ideas[0]}), 409, "not_voted")
        (held,) = phone.get("/me/export").json()["people"]
        kept = {(one["idea_id"], one["state"]) for one in held["votes"]}
        assert kept == {(poll.ideas[0], "withdrawn"), (poll.ideas[1], "cast"), (poll.ideas[2], "cast")}
        assert f"Idea 1 of {poll.slug}" in phone.get("/me", headers=PAGE).text
    with server.api() as api:
        assert api.get(f"/v1/missions/{poll.id}").json()["totals"]["votes"] == 2


def test_a_form_does_the_same_and_says_what_is_left(server: Server, shop: Shop) -> None:
    poll = open_poll(shop)
    with server.phone(**PAGE) as phone:
        form = {"idea": poll.ideas[0], "round": poll.round}
        asked = phone.post(f"/m/{poll.slug}/votes", data=form)
        assert (asked.status_code, "Say whether you are 15 or older" in asked.text) == (422, True)
        done = phone.post(f"/m/{poll.slug}/votes", data=form | {"age": "15_or_older"})
        assert done.status_code == 303
        page = phone.get(done.headers["location"])
        assert "Your vote is counted" in page.text
        assert "You have 1 vote left" in page.text
        assert "age-15" not in page.text
        twice = phone.post(f"/m/{poll.slug}/votes", data=form)
        assert (twice.status_code, "You voted for this idea already" in twice.text) == (409, True)
        back = phone.post(f"/m/{poll.slug}/votes/withdrawal", data=form)
        assert "Your vote is taken back" in phone.get(back.headers["location"]).text


def test_the_mission_page_says_what_is_missing_and_every_way_up(server: Server, shop: Shop) -> None:
    poll = open_poll(shop, min_presence=1)
    with signed_in(shop), server.phone(**PAGE) as phone:
        page = phone.get(f"/m/{poll.slug}").text
        assert "For people who showed that they were in a shop." in page
        assert "A visit with proof opens the vote" in page
        assert "share your position" in page
        assert "type the six digits" in page
        assert "Ask the staff to help" in page
        assert "who clears their browser can vote again" in page
        assert "hidden until the vote is closed" in page
        assert 'aria-label="Vote for this' not in page
    with server.phone() as phone:
        problem(poll.vote(phone), 403, "presence_missing")
    with visitor(shop) as phone:
        page = phone.get(f"/m/{poll.slug}", headers=PAGE).text
        assert page.count('aria-label="Vote for this') == 3
        assert made(poll.vote(phone))["presence"] == 1


def test_visitors_alone_vote_in_a_round_of_a_place(server: Server, shop: Shop) -> None:
    poll = open_poll(shop, min_presence=1, electorate="visitors", place_ids=[shop.place])
    with server.phone() as phone:
        problem(poll.vote(phone), 403, "visit_missing")
        assert "For people who come here while the vote is open: Bellecour." in phone.get(poll.page, headers=PAGE).text
    with visitor(shop) as phone:
        made(poll.vote(phone))


def test_who_is_under_15_does_not_vote(server: Server, shop: Shop) -> None:
    poll = open_poll(shop)
    with server.phone() as phone:
        problem(poll.vote(phone, age="under_15"), 403, "under_age")
        problem(poll.vote(phone, age="15_or_older"), 403, "under_age")
        assert "Votes are for people of 15 and over" in phone.get(poll.page, headers=PAGE).text


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"idea": ""}, 422, "idea_missing"),
        ({"idea": "ide_" + "0" * 32}, 404, "not_found"),
        ({"idea": "ide_\u0000"}, 404, "not_found"),
        ({"idea": "x" * 41}, 422, "invalid"),
        ({"idea": 7}, 422, "invalid"),
        ({"round": "rnd_" + "0" * 32}, 404, "not_found"),
        ({"round": "garbage"}, 404, "not_found"),
        ({"client_id": "with space"}, 422, "invalid"),
        ({"age": "40"}, 422, "invalid"),
        ({"votes": 9}, 422, "invalid"),
    ],
)
def test_garbage_is_refused_in_words(
    server: Server, shop: Shop, fields: dict[str, Any], status: int, code: str
) -> None:
    poll = _shared(shop)
    body = {"idea": poll.ideas[0]} | fields
    with server.phone() as phone:
        problem(phone.post(f"/m/{poll.slug}/votes", json=body), status, code)
        if status == 422:
            problem(phone.post(f"/m/{poll.slug}/votes/withdrawal", json=body), status, code)


def test_a_strangers_cookie_an_idea_of_another_mission_and_a_foreign_site_are_refused(
    server: Server, shop: Shop
) -> None:
    poll, other = _shared(shop), open_poll(shop, ideas=1)
    with server.phone() as phone:
        problem(phone.post(f"/m/{poll.slug}/votes", json={"idea": other.ideas[0]}), 404, "not_found")
        problem(poll.vote(phone, round=other.round), 404, "not_found")
        far = phone.post(
            f"/m/{poll.slug}/votes", json={"idea": poll.ideas[0]}, headers={"Sec-Fetch-Site": "cross-site"}
        )
        problem(far, 403, "cross_site")
        assert phone.get(f"/m/{other.slug}/rounds/{poll.round}").status_code == 404
        made(poll.vote(phone))
        cookies = dict(phone.cookies)
    forged = {name: value[:-2] + "xx" for name, value in cookies.items()}
    with server.phone() as stranger:
        stranger.cookies.update(forged)
        withdrawal = stranger.post(f"/m/{poll.slug}/votes/withdrawal", json={"idea": poll.ideas[0]})
        problem(withdrawal, 409, "not_voted")


def test_a_mission_without_an_open_round_says_when(server: Server, shop: Shop) -> None:
    later = window(hours=3) | {"opens_at": (datetime.now(UTC) + timedelta(hours=2)).isoformat()}
    poll = open_poll(shop, ideas=1, **later)
    with server.phone() as phone:
        problem(poll.vote(phone), 409, "round_ahead")
        form = phone.post(f"/m/{poll.slug}/votes", data={"idea": poll.ideas[0]}, headers=PAGE)
        assert (form.status_code, "Opens on" in form.text) == (409, True)
        assert "The vote opens on" in phone.get(f"/m/{poll.slug}", headers=PAGE).text
        problem(phone.get(f"{poll.page}/tally.csv"), 409, "round_open")
        problem(phone.post(f"/m/{shop.slug}/votes", json={"idea": poll.ideas[0]}), 409, "no_round")
        page = phone.post(f"/m/{shop.slug}/votes", data={"idea": poll.ideas[0], "age": "15_or_older"}, headers=PAGE)
        assert (page.status_code, "There is no vote here" in page.text) == (409, True)


def test_totals_are_hidden_until_the_close_and_then_recount_from_the_tally(server: Server, shop: Shop) -> None:
    poll = open_poll(shop)
    for number in range(12):
        with server.phone() as phone:
            made(poll.vote(phone, number % 2))
            if number < 4:
                made(poll.vote(phone, 2))
    with visitor(shop) as phone, server.api() as api:
        made(poll.vote(phone, client_id="first"))
        assert api.get(f"/v1/rounds/{poll.round}").json()["result"] is None
        assert phone.get(poll.page, headers={"Accept": "application/json"}).json()["result"] is None
        assert "7 votes" not in phone.get(f"/m/{poll.slug}", headers=PAGE).text
        problem(phone.get(f"{poll.page}/tally.csv"), 409, "round_open")
        poll.close()
        problem(poll.vote(phone, 1), 409, "round_over")
        problem(poll.vote(phone, 1, client_id="new"), 409, "round_over")
        assert made(poll.vote(phone, 1, client_id="first"))["idea"] == poll.ideas[0]
        page = phone.get(poll.page, headers=PAGE).text
        assert "13 people voted, votes given: 17." in page
        assert "Groups of fewer than ten people are not shown." in page
        assert "plausible" not in page
        assert "Result of the last vote" in phone.get(f"/m/{poll.slug}", headers=PAGE).text
        result = api.get(f"/v1/rounds/{poll.round}").json()["result"]
        assert phone.get(poll.page, headers={"Accept": "application/json"}).json()["result"] == result
        tally = phone.get(f"{poll.page}/tally.csv")
        again = phone.get(f"{poll.page}/tally.csv")
    lines = list(csv.DictReader(io.StringIO(tally.text)))
    recounted = Counter(line["idea"] for line in lines)
    assert {one["idea"]: one["votes"] for one in result["ranking"]} == dict(recounted)
    assert [one["rank"] for one in result["ranking"]] == [1, 2, 3]
    assert {line["presence"] for line in lines} == {""}  # one visitor among twelve: neither group may be told
    assert {len(line["line"]) for line in lines} == {16}
    assert [line["line"] for line in lines] == sorted(line["line"] for line in lines)
    assert again.text == tally.text


def test_shown_totals_are_beside_the_ideas_while_the_round_is_open(server: Server, shop: Shop) -> None:
    poll = open_poll(shop, totals="shown")
    with server.phone() as phone:
        made(poll.vote(phone, 1))
        page = phone.get(poll.page, headers=PAGE).text
        assert "are public while the vote is open" in page
        assert (page.count("· 1 vote"), page.count("· 0 vote")) == (1, 2)


def test_the_rules_of_a_round_freeze_at_its_first_vote_and_it_may_close_earlier(server: Server, shop: Shop) -> None:
    poll = open_poll(shop, ideas=1)
    with server.api() as api, server.phone() as phone:
        path = f"/v1/rounds/{poll.round}"
        assert api.patch(path, json={"quota": 3}).json()["quota"] == 3
        made(poll.vote(phone))
        for change in ({"quota": 4}, {"min_presence": 1}, {"totals": "shown"}, {"closes_at": window(5)["closes_at"]}):
            problem(api.patch(path, json=change), 409, "rules_frozen")
        assert api.patch(path, json={"quota": 3}).status_code == 200  # no change
        sooner = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
        assert api.patch(path, json={"closes_at": sooner}).json()["rules_frozen"] is True
        poll.close()
        assert api.get(path).json()["state"] == "over"
        problem(api.patch(path, json={"closes_at": sooner}), 409, "round_over")
        assert [one["id"] for one in api.get(f"/v1/missions/{poll.id}/rounds").json()["data"]] == [poll.round]


@pytest.mark.parametrize(
    ("change", "status", "what"),
    [
        ({"quota": 0}, 422, "/quota"),
        ({"quota": 21}, 422, "/quota"),
        ({"min_presence": 4}, 422, "/min_presence"),
        ({"electorate": "visitors"}, 422, "/min_presence"),
        ({"electorate": "visitors", "min_presence": 1, "place_ids": []}, 422, "/place_ids"),
        ({"place_ids": ["plc_" + "0" * 32]}, 422, "/place_ids"),
        ({"electorate": "visitors", "min_presence": 1, "place_ids": ["plc_" + "0" * 32]}, 404, None),
        ({"closes_at": "2020-01-01T00:00:00Z"}, 422, "/closes_at"),
        ({"opens_at": "2040-01-01T00:00:00Z"}, 422, "/closes_at"),
        ({"opens_at": "yesterday"}, 422, "/opens_at"),
        ({}, 409, None),
    ],
)
def test_a_round_that_cannot_be_is_refused_with_its_field(
    server: Server, shop: Shop, change: dict[str, Any], status: int, what: str | None
) -> None:
    poll = _shared(shop)
    with server.api() as api:
        body = problem(api.post(f"/v1/missions/{poll.id}/rounds", json=window() | change), status)
    assert what is None or [one["pointer"] for one in body["errors"]] == [what]
    assert status != 409 or body["code"] == "rounds_overlap"


def test_another_organisations_round_is_nobodys(house: House, shop: Shop) -> None:
    poll = _shared(shop)
    with owner(house.server, house.other_key) as other:
        problem(other.get(f"/v1/rounds/{poll.round}"), 404)
        problem(other.patch(f"/v1/rounds/{poll.round}", json={"quota": 5}), 404)
        problem(other.post(f"/v1/missions/{poll.id}/rounds", json=window()), 404)


def test_racing_phones_over_http_keep_the_quota_and_the_books(house: House, shop: Shop) -> None:
    poll = open_poll(shop, min_presence=1)
    with visitor(shop) as phone:

        def vote(index: int) -> int:
            with house.server.phone() as twin:
                twin.cookies.update(dict(phone.cookies))
                return poll.vote(twin, index % 3).status_code

        answers = race(12, vote)
    assert Counter(answers)[201] == 2
    assert set(answers) <= {201, 409, 503}, answers
    if house.database_url.startswith("postgresql"):  # a SQLite file has one process
        database = Database(house.database_url)
        try:
            assert [one for one in verify.verify(database) if poll.round in one] == []
        finally:
            database.close()


_polls: dict[str, Poll] = {}


def _shared(shop: Shop) -> Poll:
    """One poll for the tests that change nothing of it."""
    if shop.server.url not in _polls:
        _polls[shop.server.url] = open_poll(shop, ideas=1)
    return _polls[shop.server.url]
