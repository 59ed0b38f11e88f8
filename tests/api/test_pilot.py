"""The pilot through HTTP on both databases: declared, entered by a link, tried by the team, launched once passed."""

import re
from contextlib import ExitStack
from typing import Any

import httpx2
import pytest

from tests.api.desk import Desk, text_of
from tests.api.helpers import CAMPAIGN, MISSION, PLACE, Shop, inside, made, make_shop, problem, signed_in
from tests.conftest import Server
from tests.racing import race


def try_out(server: Server, *, people: int = 5, most: int = 20, **thresholds: float) -> Shop:
    """A campaign whose pilot has begun, at its one place."""
    with server.api() as api:
        place = made(api.post("/v1/places", json=PLACE))["id"]
        wanted = {"place_ids": [place], "max_people": most, "thresholds": {"people": people, **thresholds}}
        campaign = made(api.post("/v1/campaigns", json=CAMPAIGN | {"pilot": wanted}))
        mission = made(api.post(f"/v1/campaigns/{campaign['id']}/missions", json=MISSION))
        token = made(api.post(f"/v1/campaigns/{campaign['id']}/tokens", json={"medium": "qr", "place_id": place}))
        started = api.post(f"/v1/campaigns/{campaign['id']}/pilot")
        assert started.status_code == 200, started.text
    return Shop(server, place, campaign["id"], mission["id"], mission["slug"], token["id"], token["code"])


def team_link(server: Server, uses: int = 1) -> str:
    with server.api() as api:
        return str(made(api.post("/v1/cohort-links", json={"max_uses": uses}))["url"])


def check_in(shop: Shop, phone: httpx2.Client, **more: Any) -> httpx2.Response:
    headers = {"Accept": "application/json"}
    receipt = phone.get(f"/t/{shop.code}", headers=headers).json()["receipt"]
    return phone.post(f"/t/{shop.code}/check-in", json={"receipt": receipt, **inside(), **more}, headers=headers)


def test_the_team_tries_it_and_it_opens_once_passed(server: Server) -> None:
    shop, link = try_out(server, verified_acts=5, places=1, open_cases=0), team_link(server, 5)
    with ExitStack() as phones, server.api() as api:
        launch = f"/v1/campaigns/{shop.campaign}/launch"
        unmet = problem(api.post(launch), 409, "pilot_unmet")["unmet"]
        assert [one["criterion"] for one in unmet] == ["people", "verified_acts", "places"]
        for _ in range(5):
            phone = phones.enter_context(server.phone())
            assert "Enter the team" in phone.get(link, headers={"Accept-Language": "en"}).text
            assert phone.post(link).headers["location"] == "/pilot?just=entered"
            body = check_in(shop, phone).json()
            assert "insider" in body["reasons"]
            assert body["steps"][0]["state"] == "verified"
            idea = phone.post(f"/m/{shop.slug}/ideas", json={"text": "Only ours"})
            assert idea.status_code == 201
        team = phone.get("/pilot", headers={"Accept-Language": "en"})
        assert "5 of at most 20 people take part." in team.text
        assert "Only ours" in phone.get(f"/m/{shop.slug}").text
        standing = api.get(f"/v1/campaigns/{shop.campaign}/pilot").json()
        assert [one["found"] for one in standing["thresholds"]] == [5, 10, 1, 0]
        assert standing["is_passed"]
        assert api.post(launch).json()["state"] == "live"
        assert api.get(f"/v1/campaigns/{shop.campaign}/stats").json()["check_ins"] == 0
        assert check_in(shop, phone).json()["steps"][0]["state"] == "verified", "the same day, for real"
        assert "Only ours" not in phone.get(f"/m/{shop.slug}").text
        stats = api.get(f"/v1/campaigns/{shop.campaign}/stats").json()
        assert (stats["check_ins"], stats["participants"], stats["insider_share"]) == (1, 1, None)


def test_nobody_else_is_let_in_and_sees_that_it_has_not_started(server: Server) -> None:
    shop = try_out(server)
    with server.phone(**{"Accept-Language": "en"}) as phone:
        page = phone.get(f"/t/{shop.code}")
        assert "team tries this first" in text_of(page)
        problem(check_in(shop, phone), 403, "pilot_only")
        mission = phone.get(f"/m/{shop.slug}")
        assert "has not started yet" in mission.text
        assert "Take part" not in mission.text
        problem(phone.post(f"/m/{shop.slug}/join", json={}), 403, "pilot_only")
        problem(phone.post(f"/m/{shop.slug}/ideas", json={"text": "Me too"}), 403, "pilot_only")
        assert "for people who work in the shops" in text_of(phone.get("/pilot"))
    with server.api() as api:
        people = [one["found"] for one in api.get(f"/v1/campaigns/{shop.campaign}/pilot").json()["thresholds"]]
        assert people == [None], "a group under five is not shown"


def test_of_people_who_race_for_the_last_place_one_gets_in(server: Server) -> None:
    shop, link = try_out(server, people=2, most=2), team_link(server, 6)
    with ExitStack() as stack:
        phones = [stack.enter_context(server.phone()) for _ in range(6)]
        for phone in phones:
            assert phone.post(link).status_code == 303
        answers = race(6, lambda n: phones[n].post(f"/m/{shop.slug}/join", json={}).status_code)
        assert sorted(answers, key=str) == [200, 200, 409, 409, 409, 409]


def test_a_link_lets_in_as_many_as_it_says_and_none_once_taken_back(server: Server) -> None:
    link = team_link(server, 2)  # fewer than write at a time
    with ExitStack() as stack, server.api() as api:
        phones = [stack.enter_context(server.phone(Accept="application/json")) for _ in range(8)]
        answers = race(8, lambda n: phones[n].post(link).status_code)
        assert sorted(answers, key=str) == [200] * 2 + [410] * 6
        inside = phones[answers.index(200)]
        problem(inside.post(link), 410, "cohort_link_over")
        second = made(api.post("/v1/cohort-links", json={"max_uses": 2}))
        assert inside.post(second["url"]).status_code == 200
        assert api.get("/v1/cohort-links").json()["data"][0]["uses"] == 0, "who is in uses nothing of it"
        assert api.post(f"/v1/cohort-links/{second['id']}/revocation").status_code == 204
        problem(phones[answers.index(410)].post(second["url"]), 410, "cohort_link_over")
        problem(phones[0].post(f"{server.url}/pilot/join/nothing"), 404, "unknown_cohort_link")


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"thresholds": {"happiness": 1}}, "/pilot/thresholds/happiness"),
        ({"thresholds": {"people": 21}}, "/pilot/thresholds/people"),
        ({"thresholds": {"people": 1.5}}, "/pilot/thresholds/people"),
        ({"thresholds": {"places": 2}}, "/pilot/thresholds/places"),
        ({"thresholds": {"verified_share": 1.1}}, "/pilot/thresholds/verified_share"),
        ({"thresholds": {}}, "/pilot/thresholds"),
        ({"place_ids": []}, "/pilot/place_ids"),
        ({"max_people": 0}, "/pilot/max_people"),
    ],
)
def test_a_pilot_that_cannot_be_passed_is_not_declared(shop: Shop, change: dict[str, Any], pointer: str) -> None:
    good = {"place_ids": [shop.place], "max_people": 20, "thresholds": {"people": 5}}
    with shop.server.api() as api:
        refused = problem(api.post("/v1/campaigns", json=CAMPAIGN | {"pilot": good | change}), 422)
        assert refused["errors"][0]["pointer"] == pointer


def test_a_pilot_is_declared_before_it_begins(server: Server) -> None:
    shop = try_out(server)
    with server.api() as api:
        problem(api.patch(f"/v1/campaigns/{shop.campaign}", json={"pilot": None}), 409, "pilot_declared")
        problem(api.post(f"/v1/campaigns/{shop.campaign}/pilot"), 409, "wrong_state")
        plain = made(api.post("/v1/campaigns", json=CAMPAIGN))["id"]
        problem(api.post(f"/v1/campaigns/{plain}/pilot"), 409, "no_pilot")
        elsewhere = made(api.post("/v1/places", json=PLACE))["id"]
        token = made(api.post(f"/v1/campaigns/{shop.campaign}/tokens", json={"medium": "qr", "place_id": elsewhere}))[
            "code"
        ]
        assert api.post(f"/v1/campaigns/{shop.campaign}/end").status_code == 200
    other = make_shop(server)
    with server.phone() as phone:
        assert phone.post(team_link(server)).status_code == 303
        assert check_in(other, phone).json()["steps"][0]["state"] == "verified", "the team is there in live missions"
    trial = try_out(server)
    with server.api() as api, server.phone() as phone:
        token = made(api.post(f"/v1/campaigns/{trial.campaign}/tokens", json={"medium": "qr", "place_id": elsewhere}))
        assert phone.post(team_link(server)).status_code == 303
        away = Shop(server, elsewhere, trial.campaign, trial.mission, trial.slug, token["id"], token["code"])
        problem(check_in(away, phone), 403, "pilot_elsewhere")


def test_a_member_waives_a_threshold_in_their_name_and_who_approves_reads_it(desk: Desk) -> None:
    shop = try_out(desk.server, verified_share=0.5)
    launch = f"/console/campaigns/{shop.campaign}/launch"
    waivers = f"/console/campaigns/{shop.campaign}/pilot/waivers"
    with desk.signed_in("marketer") as it, desk.signed_in("approver") as other, desk.server.api() as api:
        assert it.post(launch).status_code == 409
        assert "ne peut pas encore être lancée" in text_of(it.get(launch))
        for reason in ("", "x" * 501):
            refused = it.post(waivers, data={"criterion": "people", "reason": reason})
            assert refused.status_code == 422
            assert reason in refused.text
        assert it.post(waivers, data={"criterion": "places", "reason": "Hm"}).status_code == 422
        assert other.post(waivers, data={"criterion": "people", "reason": "Hm"}).status_code == 403
        for criterion in ("people", "verified_share"):
            assert (
                it.post(waivers, data={"criterion": criterion, "reason": "Août, équipe en congés"}).status_code == 303
            )
        assert it.post(waivers, data={"criterion": "people", "reason": "Encore"}).status_code == 409
        shown = api.get(f"/v1/campaigns/{shop.campaign}/pilot").json()
        assert {one["waiver"]["member_name"] for one in shown["thresholds"]} == {it.name}
        assert api.get("/v1/audit").json()["data"][1]["action"] == "pilot_waiver.created"
        api.patch("/v1/organisation", json={"launch_needs_approval": True})
        assert it.post(launch).headers["location"] == "/console?done=proposed"
        assert f"levé par {it.name}" in text_of(other.get("/console")).replace("\u00a0", " ")
        (waiting,) = api.get("/v1/approvals?state=waiting").json()["data"][:1]
        assert other.post(f"/console/approvals/{waiting['id']}/approval").status_code == 303
        assert desk.state(shop.campaign) == "live"


def test_the_console_makes_and_takes_back_links_and_a_manager_makes_them(desk: Desk, shop: Shop) -> None:
    with desk.signed_in("marketer") as it:
        assert it.post("/console/team", data={"max_uses": "0", "days": "14"}).status_code == 422
        assert it.post("/console/team", data={"max_uses": "3", "days": "14", "label": "Équipe"}).status_code == 303
        shown = it.get("/console/shown").text
        assert "/pilot/join/" in shown
        assert "<svg" in shown
        listed = it.get("/console/team").text
        assert "Utilisé 0 fois sur 3" in listed
        (revocation,) = re.findall(r'action="(/console/team/col_[^"]+)"', listed)
        assert it.post(revocation).status_code == 303
        assert "/revocation" not in it.get("/console/team").text
    with signed_in(shop, role="manager", Accept="text/html") as till:
        assert 'action="/staff/team-links' in till.get("/staff").text
        page = till.post("/staff/team-links", data={"max_uses": "2"})
        assert page.status_code == 200
        (link,) = re.findall(r"/pilot/join/[\w-]+", page.text)
        with shop.server.phone() as phone:
            assert phone.post(link).status_code == 303
    with signed_in(shop, Accept="text/html") as till:
        assert till.post("/staff/team-links", data={"max_uses": "2"}).status_code == 403
