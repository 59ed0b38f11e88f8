"""Three missions, over HTTP only and on both databases: a neighbourhood votes, friends walk a trail, a team goes first.

Each begins with its template (`passerelle campaigns apply`). The server's clock is moved on between the visits.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.api.helpers import made, problem
from tests.conftest import PIN, ROOT, Server, new_postgres_url, running_server

JSON = {"Accept": "application/json"}
HERE = {"accuracy_m": 12}
ADULT = {"age": "15_or_older"}


@dataclass
class Town:
    """A server whose clock a test moves on, and phones that each have an agent of their own."""

    server: Server
    ahead: Path
    open: ExitStack

    def later(self, **by: float) -> None:
        self.ahead.write_text(str(float(self.ahead.read_text()) + timedelta(**by).total_seconds()))

    def phone(self) -> httpx2.Client:
        return self.open.enter_context(self.server.phone(**{"Accept-Language": "en"}))

    def api(self) -> httpx2.Client:
        return self.open.enter_context(self.server.api())

    def start(self, template: str, *, is_pilot: bool = False) -> "Mission":
        """A campaign of a template, live or in its pilot: its mission."""
        file = ROOT / "campaigns" / "templates" / f"{template}.toml"
        arguments = ["campaigns", "apply", str(file), "--server", self.server.url, "--key", self.server.key]
        applied = self.server.passerelle(*arguments)
        assert applied.returncode == 0, applied.stdout + applied.stderr
        api = self.api()
        assert api.post(f"/v1/campaigns/ext_{template}/{'pilot' if is_pilot else 'launch'}").status_code == 200
        (mission,) = api.get(f"/v1/campaigns/ext_{template}/missions").json()["data"]
        places = {one["external_id"]: one for one in api.get("/v1/places?limit=100").json()["data"]}
        codes = {
            one["place_id"]: one["code"]
            for one in api.get(f"/v1/campaigns/ext_{template}/tokens?limit=100").json()["data"]
            if one["medium"] == "qr"
        }
        shops = {name: Shop(one, codes[one["id"]]) for name, one in places.items() if one["id"] in codes}
        return Mission(api, mission, shops)

    def verify(self) -> None:
        found = self.server.passerelle("verify")
        assert found.returncode == 0, found.stdout + found.stderr


@dataclass
class Shop:
    """A place with its printed code."""

    place: dict[str, Any]
    code: str

    @property
    def here(self) -> dict[str, Any]:
        return {"lat": self.place["lat"], "lon": self.place["lon"], **HERE}


@dataclass
class Mission:
    """A mission with the shops where its codes stand."""

    api: httpx2.Client
    body: dict[str, Any]
    shops: dict[str, Shop]

    @property
    def totals(self) -> dict[str, int]:
        found: dict[str, int] = self.api.get(f"/v1/missions/{self.body['id']}").json()["totals"]
        return found

    def visit(self, phone: httpx2.Client, shop: str, **fields: Any) -> dict[str, Any]:
        """Scan the code of a shop and check in; there, if nothing else is said."""
        one = self.shops[shop]
        scan = phone.get(f"/t/{one.code}", headers=JSON).json()
        sent = {"receipt": scan["receipt"], **(fields or one.here)}
        answer = phone.post(f"/t/{one.code}/check-in", data=sent, headers=JSON)
        assert answer.status_code == 200, answer.text
        states = {step["kind"]: step["state"] for step in answer.json()["steps"]}
        return {"scan_id": scan["scan_id"], **answer.json(), "states": states}

    def post(self, phone: httpx2.Client, what: str, **fields: Any) -> httpx2.Response:
        return phone.post(f"/m/{self.body['slug']}/{what}", json=fields, headers=JSON)

    def page(self, phone: httpx2.Client, what: str = "", lang: str = "en") -> str:
        return phone.get(f"/m/{self.body['slug']}{what}", params={"lang": lang}).raise_for_status().text


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def town_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, Path]]:
    folder = tmp_path_factory.mktemp("town")
    ahead = folder / "ahead"
    ahead.write_text("0")
    url = f"sqlite:///{folder}/passerelle.db"
    if request.param == "postgres":
        url = new_postgres_url(request.getfixturevalue("postgres"))
    with running_server(url, str(ahead), module=("tests.scenarios.clocked",)) as server:
        yield server, ahead


@pytest.fixture
def town(town_server: tuple[Server, Path]) -> Iterator[Town]:
    with ExitStack() as open_:
        yield Town(*town_server, open_)


def test_a_neighbourhood_votes_among_who_was_there(town: Town) -> None:
    mission = town.start("neighbourhood")
    opens = town_time(town)
    rules = {"quota": 2, "min_presence": 1, "electorate": "visitors", "totals": "hidden"}
    window = {"opens_at": opens.isoformat(), "closes_at": (opens + timedelta(days=2)).isoformat()}
    round = made(mission.api.post(f"/v1/missions/{mission.body['id']}/rounds", json=window | rules))
    ballot = f"/rounds/{round['id']}"

    # Neighbours come to a shop, and what they did there lets them speak.
    ann, bob, cat, dan = (town.phone() for _ in range(4))
    visits = {name: mission.visit(phone, "bakery") for name, phone in (("ann", ann), ("bob", bob), ("cat", cat))}
    assert [one["presence"] for one in visits.values()] == [1, 1, 1]
    assert visits["ann"]["states"]["scan"] == "verified"
    trees = made(mission.post(ann, "ideas", text="Plant pear trees", **ADULT))["id"]
    bench = made(mission.post(bob, "ideas", text="A bench <b>under</b> them", **ADULT))["id"]
    assert "A bench &lt;b&gt;under&lt;/b&gt; them" in mission.page(cat)

    # Dan votes from his sofa: the page says what is missing, and how to come by it.
    assert mission.visit(dan, "bakery", lat=48.85, lon=2.35, accuracy_m=20)["presence"] == 0
    problem(mission.post(dan, "votes", idea=trees, **ADULT), 403)
    assert "A visit while the vote is open" in mission.page(dan, ballot)
    problem(mission.post(town.phone(), "votes", idea=trees, **ADULT), 403)

    # One proof, one ballot; twice is once; taken back and given again; no totals before the close.
    assert made(mission.post(ann, "votes", idea=trees, client_id="a-1"))["votes_left"] == 1
    assert mission.post(ann, "votes", idea=trees, client_id="a-1").status_code == 201
    problem(mission.post(ann, "votes", idea=trees, client_id="a-2"), 409, "already_voted")
    for phone in (bob, cat):
        made(mission.post(phone, "votes", idea=bench, **ADULT))
    assert mission.post(bob, "votes/withdrawal", idea=bench).status_code == 200
    made(mission.post(bob, "votes", idea=trees))
    assert mission.totals["votes"] == 3
    assert ann.get(f"/m/{mission.body['slug']}{ballot}", headers=JSON).json()["result"] is None

    # The vote closes: late is late, the ranking is public, and its tally recounts it.
    town.later(days=2)
    problem(mission.post(cat, "votes", idea=trees), 409, "round_over")
    result = ann.get(f"/m/{mission.body['slug']}{ballot}", headers=JSON).json()["result"]
    assert [(one["idea"], one["votes"]) for one in result["ranking"]] == [(trees, 2), (bench, 1)]
    assert (result["voters"], result["votes"]) == (3, 3)
    lines = list(csv.DictReader(io.StringIO(mission.page(ann, f"{ballot}/tally.csv"))))
    assert Counter(line["idea"] for line in lines) == {trees: 2, bench: 1}
    assert "Plant pear trees" in mission.page(town.phone(), ballot, "fr")
    town.verify()


def test_two_friends_walk_a_trail_of_five_shops(town: Town) -> None:
    mission = town.start("trail")
    one, two = town.phone(), town.phone()

    # They set out together, and each names the other.
    for phone in (one, two):
        assert mission.visit(phone, "baker")["states"]["trail"] == "progress"
    codes = [made(mission.post(phone, "codes"))["code"] for phone in (one, two)]
    assert mission.post(one, "friends", code=codes[1]).json()["outcome"] == "progress"
    assert mission.post(two, "friends", code=codes[0]).json()["outcome"] == "verified"

    # Too soon is no visit, out of order is no progress; in its order each shop is a stop.
    assert mission.visit(one, "cheese")["steps"][0]["reason"] == "too_soon"
    town.later(minutes=5)
    assert mission.visit(two, "wine")["steps"][0]["reason"] == "order"
    assert "Fromagerie" in mission.page(two)
    states = []
    for shop in ("cheese", "wine", "flowers", "pastry"):
        town.later(minutes=5)
        last = mission.visit(one, shop)
        states.append(last["states"]["trail"])
    assert states == ["progress", "progress", "progress", "verified"]
    assert mission.totals["completions"] == 3  # the trail of one, the meeting of both
    held = one.get("/me/export").json()["people"][0]["steps"]
    assert Counter(step["kind"] for step in held if step["state"] == "verified") == {"trail": 1, "bring_friend": 1}

    # The last code was photographed: what rested on it goes, the meeting stays.
    void = mission.api.post(f"/v1/scans/{last['scan_id']}/void", json={"reason": "Photographed"})
    assert {effect["what"] for effect in void.json()["effects"]} >= {"check_in", "completion"}
    assert mission.totals["completions"] == 2
    assert "Photographed" in one.get("/me", params={"lang": "en"}).text
    town.verify()


def test_a_team_tries_its_mission_before_the_public(town: Town) -> None:
    mission = town.start("employees", is_pilot=True)
    clerk, colleague, stranger, till = (town.phone() for _ in range(4))

    # The team enters by its link; for anybody else the campaign has not begun.
    link = made(mission.api.post("/v1/cohort-links", json={"max_uses": 2}))["url"]
    for phone in (clerk, colleague):
        assert phone.post(link, headers=JSON).status_code == 200
    assert stranger.post(link, headers=JSON).status_code == 410
    one = mission.shops["north"]
    receipt = stranger.get(f"/t/{one.code}", headers=JSON).json()["receipt"]
    problem(stranger.post(f"/t/{one.code}/check-in", data={"receipt": receipt, **one.here}, headers=JSON), 403)

    states = [mission.visit(clerk, "north")["states"]["visit_places"]]
    town.later(minutes=10)
    states.append(mission.visit(clerk, "centre")["states"]["visit_places"])
    assert states == ["progress", "verified"]

    # The shop's phone confirms the hour behind the counter, another system the training.
    at_centre = made(mission.api.post(f"/v1/places/{mission.shops['centre'].place['id']}/staff-links"))["url"]
    assert till.post(at_centre, data={"pin": PIN}).status_code == 303
    steps = act_steps(mission.page(clerk))
    codes = [made(mission.post(clerk, "codes", step=step))["code"] for step in steps]
    assert till.post("/staff/validations", json={"code": codes[0]}, headers=JSON).json()["outcome"] == "verified"
    path = f"/v1/missions/{mission.body['id']}/external-acts"
    for number in (1, 2, 2):
        assert made(mission.api.post(path, json={"participant": codes[1], "id": f"module-{number}"}))

    # The team sees how far it is; the public figures know nothing of it, and the launch names what is missing.
    assert mission.body["slug"] in clerk.get("/pilot").text
    assert not any(mission.totals.values())
    standing = mission.api.get("/v1/campaigns/ext_employees/pilot").json()
    assert (standing["state"], standing["is_passed"]) == ("pilot", False)
    refused = problem(mission.api.post("/v1/campaigns/ext_employees/launch"), 409, "pilot_unmet")
    assert "people" in str(refused)
    town.verify()


def act_steps(page: str) -> list[str]:
    """The steps that show a code on this page, in their order."""
    return list(dict.fromkeys(re.findall(r'name="step" value="([^"]+)"', page)))


def town_time(town: Town) -> datetime:
    """A little before now, by the server's clock."""
    with town.server.phone() as phone:
        return datetime.strptime(
            phone.get("/healthz").headers["date"], "%a, %d %b %Y %H:%M:%S %Z"
        ).astimezone() - timedelta(minutes=1)
