"""An owner, an agency, a manager, an approver and a shopper: each does what is theirs, and the audit log tells it all.

Over HTTP only, on both databases.
"""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2

from tests.api.helpers import CAMPAIGN, MISSION, PLACE, made, owner, problem
from tests.conftest import PHONE, PIN, Server, client

WORDS = "Un banc sous le tilleul, dit la voisine"
INSIDE = {"lat": PLACE["lat"], "lon": PLACE["lon"], "accuracy_m": 12}


def test_each_does_what_is_theirs_and_the_log_tells_the_whole_story(server: Server) -> None:
    with ExitStack() as open_:
        api = open_.enter_context(server.api())
        changed = api.patch("/v1/organisation", json={"launch_needs_approval": True})
        assert changed.json()["launch_needs_approval"]

        # The owner signs in to the console by a one-time link, and invites an approver and an agency.
        alice, bob = (member(api, name, role) for name, role in (("Alice", "owner"), ("Bob", "approver")))
        at_alice = open_.enter_context(console(server, alice))
        assert at_alice.post(alice["sign_in_link"]["url"]).status_code == 410
        key = issued_to_an_agency(server, at_alice)
        agency = open_.enter_context(owner(server, key))

        # The agency builds a campaign, and nothing else.
        shop, campaign, code = build(agency)
        other = made(agency.post("/v1/places", json=PLACE | {"name": "Croix-Rousse"}))
        for path in ("/v1/members", "/v1/api-keys", "/v1/audit"):
            problem(agency.get(path), 403, "right_missing")
        proposal = agency.post(f"/v1/campaigns/{campaign}/launch")
        assert (proposal.status_code, proposal.json()["state"]) == (202, "waiting")
        assert agency.get(f"/v1/campaigns/{campaign}").json()["state"] == "draft"

        # The owner issued the agency's key, so it is not for her to approve; the approver does.
        decision = f"/console/approvals/{proposal.json()['id']}/approval"
        assert at_alice.post(decision).status_code == 403
        at_bob = open_.enter_context(console(server, bob))
        assert "Verger" in at_bob.get("/console").text
        assert at_bob.post("/console/keys", data={"name": "x", "role": "owner"}).status_code == 403
        assert at_bob.post(decision).status_code == 303
        assert agency.get(f"/v1/campaigns/{campaign}").json()["state"] == "live"

        # A manager signs in by the link in the shop's QR and sees that place alone.
        manager = open_.enter_context(server.phone())
        link = made(agency.post(f"/v1/places/{shop}/staff-links", json={"role": "manager"}))
        assert link["qr_svg"].startswith("<svg")
        assert manager.post(link["url"], data={"pin": PIN}).status_code == 303
        assert PLACE["name"] in manager.get("/staff").text
        assert "Croix-Rousse" not in manager.get("/staff").text
        stranger = open_.enter_context(server.phone())
        elsewhere = made(agency.post(f"/v1/places/{other['id']}/staff-links"))
        assert stranger.post(elsewhere["url"], data={"pin": PIN}).status_code == 303
        (theirs,) = agency.get(f"/v1/places/{other['id']}/staff-sessions").json()["data"]
        assert manager.post(f"/staff/sessions/{theirs['id']}/revocation").status_code == 404
        assert stranger.get("/staff").status_code == 200

        # A shopper acts, takes everything away, and is forgotten.
        shopper = open_.enter_context(server.phone(Accept="application/json"))
        slug = act(shopper, code)
        held = shopper.get("/me/export").raise_for_status().json()["people"]
        assert [one["text"] for one in held[0]["ideas"]] == [WORDS]
        assert WORDS in shopper.get("/me/export?format=csv").text
        before = totals(agency, campaign)
        assert shopper.post("/me/erasure", json={}).json() == {"erased": 1}
        assert totals(agency, campaign) == before
        assert shopper.get("/me/export").json()["people"] == []
        assert WORDS not in shopper.get(f"/m/{slug}", headers={"Accept": "text/html"}).text

        # The log has every change with who made it, and nothing of the shopper's.
        entries = everything(api)
        assert WORDS not in str(entries)
        assert held[0]["participant"]["id"].removeprefix("par_") not in str(entries)
        names = {alice["id"]: "alice", bob["id"]: "bob"}
        agency_id = next(one["id"] for one in api.get("/v1/api-keys").json()["data"] if one["name"] == "Agence")
        names[agency_id] = "agency"
        told = [(names.get(one["author_id"], one["author_kind"]), one["action"]) for one in reversed(entries)]
        story = [
            ("key", "organisation.changed"),
            ("key", "member.created"),
            ("alice", "api_key.created"),
            ("agency", "campaign.created"),
            ("agency", "token.created"),
            ("agency", "approval.created"),
            ("bob", "approval.changed"),
            ("bob", "campaign.changed"),
            ("agency", "staff_link.created"),
        ]
        assert [one for one in told if one in story] == sorted(
            (one for one in told if one in story), key=lambda one: told.index(one)
        )
        assert set(story) <= set(told)
        by_bob = [one["changes"] for one in entries if one["author_id"] == bob["id"]]
        assert ["draft", "live"] in [changes.get("state") for changes in by_bob]
    assert server.passerelle("verify").returncode == 0


def member(api: httpx2.Client, name: str, role: str) -> dict[str, Any]:
    return made(api.post("/v1/members", json={"email": f"{name.lower()}@brand.example", "name": name, "role": role}))


@contextmanager
def console(server: Server, invited: dict[str, Any]) -> Iterator[httpx2.Client]:
    """A member's browser, signed in."""
    headers = {"User-Agent": PHONE, "Accept": "text/html", "Accept-Language": "en"}
    with client(server.url, headers=headers) as browser:
        assert browser.post(invited["sign_in_link"]["url"]).status_code == 303
        yield browser


def issued_to_an_agency(server: Server, browser: httpx2.Client) -> str:
    """The key that a form of the console made: shown once, and with an end."""
    last_day = (datetime.now(UTC) + timedelta(days=90)).date().isoformat()
    fields = {"name": "Agence", "role": "marketer", "last_day": last_day}
    answer = browser.post("/console/keys", data=fields)
    assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, "/console/shown")
    shown = re.findall(r"psr_live_[\w-]+", browser.get("/console/shown").text)
    assert len(set(shown)) == 1
    assert shown[0] not in browser.get("/console/shown").text
    with server.api() as api:
        (listed,) = [one for one in api.get("/v1/api-keys").json()["data"] if one["name"] == "Agence"]
    assert listed["expires_at"] > datetime.now(UTC).isoformat()
    return str(shown[0])


def build(agency: httpx2.Client) -> tuple[str, str, str]:
    """A place, a campaign with a mission, and a code: their ids, and the code."""
    place = made(agency.post("/v1/places", json=PLACE))["id"]
    campaign = made(agency.post("/v1/campaigns", json=CAMPAIGN))["id"]
    made(agency.post(f"/v1/campaigns/{campaign}/missions", json=MISSION))
    token = made(agency.post(f"/v1/campaigns/{campaign}/tokens", json={"medium": "qr", "place_id": place}))
    return place, campaign, token["code"]


def act(shopper: httpx2.Client, code: str) -> str:
    """Scan, check in where the shop is, and give an idea; the mission's slug."""
    scan = shopper.get(f"/t/{code}").raise_for_status().json()
    shopper.post(f"/t/{code}/check-in", json={"receipt": scan["receipt"], **INSIDE}).raise_for_status()
    slug = str(scan["mission"]["slug"])
    made(shopper.post(f"/m/{slug}/ideas", json={"text": WORDS}))
    return slug


def totals(api: httpx2.Client, campaign: str) -> dict[str, int]:
    (mission,) = api.get(f"/v1/campaigns/{campaign}/missions").json()["data"]
    return dict(mission["totals"])


def everything(api: httpx2.Client) -> list[dict[str, Any]]:
    """The audit log, newest first, whole."""
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = api.get("/v1/audit", params={"limit": "200", **cursor}).json()
        found += page["data"]
        if page["next_cursor"] is None:
            return found
        cursor = {"cursor": page["next_cursor"]}
