"""Questions through HTTP: forms and JSON alike, what the page tells, and what is refused with nothing lost."""

import re
from typing import Any

import httpx2
import pytest

from tests.api.helpers import CAMPAIGN, MISSION, Shop, made, problem
from tests.api.test_steps import JSON, Tour, open_tour, phones
from tests.conftest import Server

TREES = {"fr": "Quels arbres ?", "en": "Which trees?"}
STEPS: list[dict[str, Any]] = [
    {"kind": "answer", "title": TREES, "params": {"choices": ["Quetsche", {"fr": "Cerise", "en": "Cherry"}]}},
    {"kind": "rate", "repeat": "daily"},
    {"kind": "answer", "title": "What is missing?", "params": {"editable_h": 0}},
]
PAGE = {"Accept": "text/html"}
ADULT = {"age": "15_or_older"}


def question(tour: Tour, number: int) -> str:
    id: str = tour.mission["steps"][number]["id"]
    return id


def show(tour: Tour, phone: httpx2.Client, number: int = 0, **query: str) -> httpx2.Response:
    return phone.get(f"/m/{tour.mission['slug']}/questions/{question(tour, number)}", params=query)


@pytest.fixture(scope="module")
def tours() -> dict[str, Tour]:
    return {}


@pytest.fixture
def tour(server: Server, tours: dict[str, Tour]) -> Tour:
    """One mission of questions a server: these tests only add people to it."""
    if server.url not in tours:
        tours[server.url] = open_tour(server, 1, STEPS)
    return tours[server.url]


def test_an_answer_by_form_and_by_json_is_the_same(tour: Tour) -> None:
    url = f"/m/{tour.mission['slug']}"
    with phones(tour.server, 2) as (one, two):
        page = show(tour, one, lang="fr").text
        assert "Quels arbres" in page
        assert "Cerise" in page
        answer = one.post(f"{url}/answers", data={"step": question(tour, 0), "choice": "2", **ADULT}, headers=PAGE)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith(f"{url}/questions/{question(tour, 0)}?just=replied")
        page = one.get(answer.headers["location"], params={"lang": "en", "just": "replied"}).text
        assert "Thank you, your reply is in." in page
        assert re.search(r'value="2" required checked', page)
        body = tour.post(two, "answers", choice=2, client_id="a")
        assert body.status_code == 201
        assert tour.post(two, "answers", choice=1, client_id="a").json()["id"] == body.json()["id"]
        assert body.json() | {"choice": 2, "text": "", "state": "published"} == body.json()
        told = show(tour, two, lang="en").text
        assert "Shown once ten people have replied." in told
        assert "Quetsche" in tour.page(two) or "Which trees?" in tour.page(two)


def test_results_are_told_from_ten_people_on(server: Server) -> None:
    tour = open_tour(server, 1, STEPS[:2])
    with phones(server, 12) as crowd:
        for number, phone in enumerate(crowd):
            assert tour.post(phone, "ratings", rating=5 if number < 11 else 1).status_code == 201
        body = crowd[0].get(f"/m/{tour.mission['slug']}/questions/{question(tour, 1)}", headers=JSON).json()
        assert body["people"] == 12
        assert body["average"] is None
        assert [one["people"] for one in body["groups"]] == [None] * 5  # eleven would tell that one gave a bad mark
        assert "12 people replied." in show(tour, crowd[0], 1, lang="en").text
        assert tour.post(crowd[11], "ratings", rating=5).status_code == 201
        body = crowd[0].get(f"/m/{tour.mission['slug']}/questions/{question(tour, 1)}", headers=JSON).json()
        assert (body["average"], body["groups"][4]["people"]) == (5.0, 12)
    with server.api() as api:
        rows = api.get(f"/v1/missions/{tour.mission['id']}/questions").json()["data"]
        assert [one["kind"] for one in rows] == ["answer", "rate"]
        assert rows[0]["question"] == TREES
        assert rows[1] == body | {"question": None}


def test_words_are_listed_flagged_and_shown_to_their_author(tour: Tour) -> None:
    with phones(tour.server, 2) as (one, two):
        given = tour.post(one, "answers", step=question(tour, 2), text="<b>Quittenbrot</b>").json()
        assert tour.post(two, "join").status_code == 200
        page = show(tour, two, 2).text
        assert "&lt;b&gt;Quittenbrot&lt;/b&gt;" in page
        flagged = tour.post(two, "flags", subject=given["id"], kind="private")
        assert flagged.status_code == 201, flagged.text
        assert "Quittenbrot" in one.get("/me").text
        assert "Quittenbrot" in one.get("/me/export").text
        assert "rpl_" in two.get("/me/export").text
        problem(tour.post(one, "answers", step=question(tour, 2), text="Other"), 409, "reply_fixed")
    with tour.server.api() as api:
        rows = api.get(f"/v1/missions/{tour.mission['id']}/replies", params={"limit": 200}).json()["data"]
    assert [row["question"] for row in rows if "Quittenbrot" in row["text"]] == [question(tour, 2)]


@pytest.mark.parametrize(
    ("what", "fields", "status", "kept"),
    [
        ("answers", {"number": 0}, 422, "Choose one of the answers first."),
        ("answers", {"number": 0, "choice": "9"}, 422, "Choose one of the answers first."),
        ("answers", {"number": 2, "text": "y" * 501}, 422, "y" * 501),
        ("answers", {"number": 2, "text": "a\u202eb"}, 422, "characters that cannot be taken"),
        ("ratings", {"number": 1, "rating": "7", "text": "Kept words"}, 422, "Kept words"),
        ("ratings", {"number": 1, "rating": "x", "text": "Kept words"}, 422, "Kept words"),
        ("ratings", {"number": 1, "rating": "3", "text": "Kept words", "age": ""}, 422, "Kept words"),
    ],
)
def test_what_cannot_be_taken_comes_back_as_it_was(
    tour: Tour, what: str, fields: dict[str, Any], status: int, kept: str
) -> None:
    sent = {**ADULT, **fields, "step": question(tour, fields["number"])}
    del sent["number"]
    with tour.server.phone() as phone:
        answer = phone.post(f"/m/{tour.mission['slug']}/{what}?lang=en", data=sent, headers=PAGE)
        assert answer.status_code == status
        assert kept in answer.text
        assert 'role="alert"' in answer.text
        assert phone.get("/me/export").json() == [] or "rpl_" not in phone.get("/me/export").text


def test_strange_steps_and_people_are_refused(tour: Tour, shop: Shop) -> None:
    with tour.server.phone() as phone:
        problem(tour.post(phone, "answers", step="stp_7", choice=1), 404)
        problem(tour.post(phone, "answers", step=question(tour, 1), choice=1), 404)
        problem(tour.post(phone, "answers", choice=True), 422)
        problem(tour.post(phone, "answers", choice=2**70), 422)
        problem(phone.post(f"/m/{shop.slug}/ratings", json={"rating": 1}, headers=JSON), 409, "no_such_step")
        assert phone.get(f"/m/{shop.slug}/questions/{question(tour, 0)}").status_code == 404
        problem(tour.post(phone, "ratings", rating=1, age="under_15"), 403, "under_age")
        assert "Replies are for people of 15" in show(tour, phone, lang="en").text


def test_a_question_of_a_campaign_that_is_over_is_read_and_not_replied_to(server: Server) -> None:
    with server.api() as api:
        campaign = made(api.post("/v1/campaigns", json=CAMPAIGN))["id"]
        mission = made(api.post(f"/v1/campaigns/{campaign}/missions", json=MISSION | {"steps": [STEPS[0]]}))
        api.post(f"/v1/campaigns/{campaign}/launch")
        assert api.post(f"/v1/campaigns/{campaign}/end").status_code == 200
    with server.phone() as phone:
        page = phone.get(f"/m/{mission['slug']}/questions/{mission['steps'][0]['id']}")
        assert page.status_code == 200
        assert "<form" not in page.text
        problem(phone.post(f"/m/{mission['slug']}/answers", json={"choice": 1}, headers=JSON), 409, "campaign_closed")
