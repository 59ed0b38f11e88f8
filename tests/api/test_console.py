"""The member's console over HTTP: signing in and out, roles, approvals, keys, members, the log, on both databases."""

import csv
import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from html import unescape
from itertools import count
from typing import Any

import httpx2
import pytest

from campaigns.identity import RIGHTS, Role
from tests.api.conftest import House
from tests.api.helpers import CAMPAIGN, made, make_shop, owner
from tests.conftest import PHONE, Server, client
from tests.racing import race

COOKIE = "passerelle_member"
_numbers = count(1)


@dataclass(frozen=True)
class Person:
    """A member and the browser they are signed in with."""

    id: str
    name: str
    browser: httpx2.Client

    def get(self, path: str, **options: Any) -> httpx2.Response:
        return self.browser.get(path, **options)

    def post(self, path: str, **options: Any) -> httpx2.Response:
        return self.browser.post(path, **options)

    @property
    def secret(self) -> str:
        return dict(self.browser.cookies)[COOKIE]


@dataclass(frozen=True)
class Desk:
    """The second organisation of the house, whose console these tests use; `first` has the key of the first one."""

    server: Server
    first: Server

    def member(self, role: str) -> dict[str, Any]:
        """A new member with the link of the invitation."""
        number = next(_numbers)
        fields = {"email": f"m{number}@autre.example", "name": f"Camille {number} d’Autre", "role": role}
        with self.server.api() as api:
            return made(api.post("/v1/members", json=fields))

    def browser(self, **headers: str) -> httpx2.Client:
        return client(
            self.server.url, headers={"User-Agent": PHONE, "Accept": "text/html", "Accept-Language": "fr", **headers}
        )

    @contextmanager
    def signed_in(self, role: str) -> Iterator[Person]:
        """A new member who is signed in."""
        invited = self.member(role)
        with self.browser() as it:
            assert it.post(invited["sign_in_link"]["url"]).status_code == 303
            yield Person(invited["id"], invited["name"], it)

    def draft(self, name: str) -> str:
        """A campaign that is not launched yet."""
        with self.server.api() as api:
            return str(made(api.post("/v1/campaigns", json=CAMPAIGN | {"name": name}))["id"])

    def state(self, campaign: str) -> str:
        with self.server.api() as api:
            return str(api.get(f"/v1/campaigns/{campaign}").json()["state"])

    def proposed(self, name: str) -> tuple[str, str]:
        """A draft whose launch an API key proposed: the campaign and the proposal."""
        campaign = self.draft(name)
        with self.server.api() as api:
            api.patch("/v1/organisation", json={"launch_needs_approval": True})
            answer = api.post(f"/v1/campaigns/{campaign}/launch")
            assert answer.status_code == 202
        return campaign, str(answer.json()["id"])


@pytest.fixture
def desk(house: House) -> Iterator[Desk]:
    """The other organisation: what its tests switch on does not reach the shop of the others."""
    desk = Desk(replace(house.server, key=house.other_key), house.server)
    yield desk
    with desk.server.api() as api:
        api.patch("/v1/organisation", json={"launch_needs_approval": False})


def text_of(page: httpx2.Response) -> str:
    """What a page says, without its marks."""
    body = re.sub(r"(?s)<style>.*?</style>", "", page.text)
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", body)))


# Signing in and out


def test_a_link_shows_a_button_and_the_button_signs_in_once(desk: Desk) -> None:
    url = desk.member("analyst")["sign_in_link"]["url"]
    with desk.browser() as it, desk.browser() as late:
        assert it.get(url).status_code == 200
        assert "Bienvenue" in text_of(it.get(url))  # previews use nothing
        answer = it.post(url)
        assert (answer.status_code, answer.headers["location"]) == (303, "/console")
        kept = answer.headers["set-cookie"].lower()
        assert kept.startswith(f"{COOKIE}=")
        assert "httponly" in kept
        assert "samesite=lax" in kept
        assert "path=/;" in f"{kept};"
        assert "secure" not in kept  # over plain http no browser would keep it
        assert it.get("/console").status_code == 200
        used = late.post(url)
        assert used.status_code == 410
        assert "set-cookie" not in used.headers
        assert late.get("/console").status_code == 401


def test_behind_https_the_cookie_is_secure_and_of_this_host_alone(https_house: Server) -> None:
    with https_house.api() as api:
        fields = {"email": "a@b.example", "name": "A", "role": "owner"}
        url = made(api.post("/v1/members", json=fields))["sign_in_link"]["url"]
    with https_house.phone() as it:
        kept = it.post(url.removeprefix("https://shop.example")).headers["set-cookie"]
    assert kept.startswith("__Host-passerelle_member=")
    assert "; Secure" in kept
    assert "; Path=/" in kept
    assert "domain" not in kept.lower()


def test_a_planted_cookie_is_no_session_after_signing_in(desk: Desk) -> None:
    planted = "planted-by-somebody-else"
    with desk.browser(Cookie=f"{COOKIE}={planted}") as it:
        given = it.post(desk.member("analyst")["sign_in_link"]["url"]).cookies[COOKIE]
        assert given != planted
        assert it.get("/console").status_code == 401
    with desk.browser(Cookie=f"{COOKIE}={given}") as it:
        assert it.get("/console").status_code == 200
        again = it.post(desk.member("analyst")["sign_in_link"]["url"]).cookies[COOKIE]
        assert again != given
        assert it.get("/console").status_code == 401  # the session this browser had before is over


def test_a_session_is_over_on_the_server_after_signing_out(desk: Desk) -> None:
    with desk.signed_in("analyst") as it, desk.browser() as thief:
        thief.cookies.set(COOKIE, it.secret)
        assert thief.get("/console").status_code == 200
        assert it.post("/console/sign-out").headers["location"] == "/console/sign-in?done=out"
        assert COOKIE not in dict(it.browser.cookies)
        refused = thief.get("/console")
        assert refused.status_code == 401
        assert "/console/sign-in" in refused.text
        assert thief.post("/console/sign-out").status_code == 303


def test_of_twenty_browsers_with_one_link_one_gets_in(desk: Desk) -> None:
    url = desk.member("analyst")["sign_in_link"]["url"]

    def use(_: int) -> int:
        with desk.browser() as it:
            return it.post(url).status_code

    assert sorted(race(20, use), key=str) == [303] + [410] * 19


@pytest.mark.parametrize("link", ["cut", "x" * 300, "%00"])
def test_a_cut_or_foreign_link_has_a_page_of_its_own(desk: Desk, link: str) -> None:
    with desk.browser() as it:
        for answer in (it.get(f"/console/sign-in/{link}"), it.post(f"/console/sign-in/{link}")):
            assert answer.status_code == 404
            assert "<form" not in answer.text


def test_without_mail_the_page_says_who_makes_links_and_takes_no_address(desk: Desk) -> None:
    with desk.browser() as it:
        page = it.get("/console/sign-in")
        assert page.status_code == 200
        assert "email" not in page.text
        assert it.post("/console/sign-in", data={"email": "m1@autre.example"}).status_code == 303


def test_a_member_ends_another_session_of_their_own_and_nobody_elses(desk: Desk) -> None:
    with desk.signed_in("analyst") as other, desk.signed_in("analyst") as it:
        theirs = sessions_of(desk, other)[0]
        assert it.post(f"/console/sessions/{theirs}/revocation").status_code == 404
        assert other.get("/console").status_code == 200
        with desk.server.api() as api, desk.browser() as elsewhere:
            elsewhere.post(api.post(f"/v1/members/{other.id}/sign-in-links").json()["url"])
            assert elsewhere.get("/console").status_code == 200
            assert other.post(f"/console/sessions/{sessions_of(desk, other)[0]}/revocation").status_code == 303
            assert elsewhere.get("/console").status_code == 401
        assert other.get("/console").status_code == 200


def sessions_of(desk: Desk, person: Person) -> list[str]:
    """The ids of somebody's sessions, newest first."""
    with desk.server.api() as api:
        return [one["id"] for one in api.get(f"/v1/members/{person.id}/sessions").json()["data"]]


# Roles


def test_a_changed_role_counts_from_the_next_request_of_a_session_that_lives(desk: Desk) -> None:
    with desk.signed_in("owner"), desk.signed_in("owner") as it, desk.server.api() as api:
        assert it.get("/console/keys").status_code == 200
        api.patch(f"/v1/members/{it.id}", json={"role": "analyst"})
        assert it.get("/console/keys").status_code == 403
        assert it.post("/console/keys", data={"name": "mine", "role": "owner"}).status_code == 403
        assert "Clés" not in text_of(it.get("/console"))
        api.delete(f"/v1/members/{it.id}")
        assert it.get("/console").status_code == 401


FORMS = {
    "/console/campaigns/cmp_{id}/launch": "campaigns.launch",
    "/console/campaigns/cmp_{id}/pause": "campaigns.launch",
    "/console/campaigns/cmp_{id}/resumption": "campaigns.launch",
    "/console/campaigns/cmp_{id}/end": "campaigns.launch",
    "/console/approvals/apr_{id}/approval": "approvals.decide",
    "/console/approvals/apr_{id}/refusal": "approvals.decide",
    "/console/approvals/apr_{id}/withdrawal": "campaigns.launch",
    "/console/keys": "keys.write",
    "/console/keys/key_{id}/rotation": "keys.write",
    "/console/keys/key_{id}/revocation": "keys.write",
    "/console/members": "members.write",
    "/console/members/mbr_{id}/role": "members.write",
    "/console/members/mbr_{id}/sign-in-links": "members.write",
    "/console/members/mbr_{id}/removal": "members.write",
    "/console/members/mbr_{id}/sessions/mse_{id}/revocation": "members.write",
    "/console/organisation": "organisation.write",
    "/console/reports/rpt_{id}/handling": "care.write",
}
PAGES = {
    "/console/reports": "care.read",
    "/console/keys": "keys.read",
    "/console/keys/new": "keys.write",
    "/console/members": "members.read",
    "/console/members/new": "members.write",
    "/console/audit": "audit.read",
    "/console/audit.csv": "audit.read",
    "/console/audit.ndjson": "audit.read",
    "/console/organisation": "organisation.read",
}


@pytest.mark.parametrize("role", ["marketer", "moderator", "approver", "analyst"])
def test_what_a_role_may_not_do_is_refused_and_not_only_hidden(desk: Desk, role: str) -> None:
    rights = RIGHTS[Role(role)]
    with desk.signed_in(role) as it:
        for path, right in FORMS.items():
            answer = it.post(path.format(id="0" * 32))
            assert (answer.status_code == 403) == (right not in rights), (path, answer.status_code)
        for path, right in PAGES.items():
            answer = it.get(path)
            assert answer.status_code == (200 if right in rights else 403), path


def test_every_form_and_page_asks_who_is_there_and_where_the_form_came_from(desk: Desk) -> None:
    with desk.browser() as nobody, desk.signed_in("owner") as it:
        for path in FORMS:
            named = path.format(id="0" * 32)
            assert nobody.post(named).status_code == 401, path
            foreign = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
            refused = it.post(named, headers=foreign)
            assert refused.status_code == 403, path
            assert "autre site" in text_of(refused), path
        for path in PAGES:
            assert nobody.get(path).status_code == 401, path
        assert it.post("/console/sign-out", headers={"Sec-Fetch-Site": "same-site"}).status_code == 403
        assert it.get("/console").status_code == 200


def test_what_is_another_organisations_is_not_there(desk: Desk) -> None:
    with desk.first.api() as api:
        shop = make_shop(desk.first)
        theirs = {
            "cmp": shop.campaign,
            "key": api.get("/v1/api-keys").json()["data"][0]["id"],
            "mbr": made(
                api.post("/v1/members", json={"email": f"x{next(_numbers)}@a.example", "name": "X", "role": "owner"})
            )["id"],
        }
    with desk.signed_in("owner") as it:
        for path in FORMS:
            prefix = path.split("_{id}")[0].rpartition("/")[2]
            if prefix in theirs:
                for id in (theirs[prefix], f"{prefix}_{'0' * 32}"):
                    named = path.replace(f"{prefix}_{{id}}", id).format(id="0" * 32)
                    assert it.post(named, data={"role": "analyst"}).status_code == 404, path
        for path in ("members/{mbr}", "members/{mbr}/removal", "keys/{key}/revocation", "campaigns/{cmp}/launch"):
            assert it.get("/console/" + path.format(**theirs)).status_code == 404, path
        injected = {"name": "mine", "role": "analyst", "organisation_id": "org_" + "0" * 32}
        assert it.post("/console/keys", data=injected).status_code == 422


# Campaigns and approvals


def test_a_campaign_is_launched_paused_resumed_and_ended(desk: Desk) -> None:
    campaign = desk.draft("Printemps")
    with desk.signed_in("marketer") as it:
        before = it.get(f"/console/campaigns/{campaign}/launch")
        assert "Aucun code n’est dans un lieu" in text_of(before)
        for verb, state in (("launch", "live"), ("pause", "paused"), ("resumption", "live"), ("end", "ended")):
            answer = it.post(f"/console/campaigns/{campaign}/{verb}")
            assert answer.status_code == 303, verb
            assert desk.state(campaign) == state
            assert 'role="status"' in it.get(answer.headers["location"]).text
        stale = it.post(f"/console/campaigns/{campaign}/launch")
        assert stale.status_code == 409
        assert "Son état" in text_of(stale)
        assert it.get(f"/console/campaigns/{campaign}/launch").status_code == 409


def test_who_proposes_is_refused_and_an_approver_is_told_and_approves(desk: Desk) -> None:
    desk.proposed("Avant")  # switches the organisation to approvals
    campaign = desk.draft("Été")
    with desk.signed_in("owner") as it, desk.signed_in("approver") as other:
        assert it.post(f"/console/campaigns/{campaign}/launch").headers["location"] == "/console?done=proposed"
        assert desk.state(campaign) == "draft"
        page = it.get("/console").text
        assert "un autre membre décide" in page
        proposal = re.findall(r"approvals/(apr_\w+)/withdrawal", page)[0]
        own = it.post(f"/console/approvals/{proposal}/approval")
        assert own.status_code == 403
        assert "proposé" in text_of(own)
        assert desk.state(campaign) == "draft"
        assert re.search(r"\d+ propositions? attend", text_of(other.get("/console")))
        assert other.post(f"/console/approvals/{proposal}/approval").headers["location"] == "/console?done=approved"
        assert desk.state(campaign) == "live"
        again = other.post(f"/console/approvals/{proposal}/approval")
        assert again.status_code == 409
        decided = text_of(it.get("/console"))
        assert f"Décision de {other.name}" in decided


def test_a_refusal_has_a_reason_which_who_proposed_reads(desk: Desk) -> None:
    campaign, proposal = desk.proposed("Automne")
    with desk.signed_in("approver") as it:
        for typed, status in (("  ", 422), ("z" * 501, 422)):
            answer = it.post(f"/console/approvals/{proposal}/refusal", data={"reason": typed})
            assert answer.status_code == status
            assert typed in answer.text  # nothing typed is lost
            assert 'role="alert"' in answer.text
        answer = it.post(f"/console/approvals/{proposal}/refusal", data={"reason": "<b>Trop tôt</b>"})
        assert answer.status_code == 303
    with desk.signed_in("analyst") as reader:
        assert "&lt;b&gt;Trop tôt&lt;/b&gt;" in reader.get("/console").text
    assert desk.state(campaign) == "draft"


def test_of_twenty_approvals_at_once_one_launches(desk: Desk) -> None:
    campaign, proposal = desk.proposed("Hiver")
    with desk.signed_in("approver") as it:

        def approve(_: int) -> int:
            with desk.browser(Cookie=f"{COOKIE}={it.secret}") as one:
                return one.post(f"/console/approvals/{proposal}/approval").status_code

        assert sorted(race(20, approve), key=str) == [303] + [409] * 19
    assert desk.state(campaign) == "live"


def test_a_proposal_is_taken_back_by_its_side(desk: Desk) -> None:
    campaign, proposal = desk.proposed("Carnaval")
    with desk.signed_in("marketer") as it, desk.signed_in("approver") as other:
        assert it.post(f"/console/approvals/{proposal}/withdrawal").status_code == 303
        assert other.post(f"/console/approvals/{proposal}/approval").status_code == 409
    assert desk.state(campaign) == "draft"


# Keys


def test_a_key_is_shown_once_works_and_is_rotated_and_revoked(desk: Desk) -> None:
    with desk.signed_in("owner") as it:
        fields = {"name": "Agence", "role": "marketer", "scopes": ["campaigns.read"], "last_day": "2099-01-31"}
        assert it.post("/console/keys", data=fields).headers["location"] == "/console/shown"
        key = re.findall(r"psr_live_\w[\w-]+", it.get("/console/shown").text)[0]
        assert "psr_" not in it.get("/console/shown").text
        with owner(desk.server, key) as agency, desk.server.api() as api:
            assert agency.get("/v1/campaigns").status_code == 200
            assert agency.get("/v1/places").status_code == 403
            made_key = next(one for one in api.get("/v1/api-keys").json()["data"] if key.startswith(one["prefix"]))
            assert made_key["expires_at"] == "2099-02-01T00:00:00Z"  # the last day counts whole
            assert made_key["issued_by_member_id"] == it.id
            assert it.post(f"/console/keys/{made_key['id']}/rotation").status_code == 303
            assert it.post(f"/console/keys/{made_key['id']}/rotation").status_code == 409
            assert it.get(f"/console/keys/{made_key['id']}/revocation").status_code == 200
            assert agency.get("/v1/campaigns").status_code == 200  # asking is not doing
            assert it.post(f"/console/keys/{made_key['id']}/revocation").status_code == 303
            assert agency.get("/v1/campaigns").status_code == 401


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "a\u202eb"},
        {"role": "approver"},
        {"role": "nobody"},
        {"role": "staff"},
        {"last_day": "31/01/2027"},
        {"last_day": "2001-01-01"},
        {"last_day": "9999-12-31"},
        {"role": "analyst", "scopes": "places.write"},
        {"scopes": "everything"},
    ],
)
def test_a_key_that_cannot_be_issued_keeps_what_was_typed(desk: Desk, wrong: dict[str, str]) -> None:
    fields = {"name": "Imprimeur Rhône", "role": "marketer", "last_day": "2098-12-30", "is_test": "on"} | wrong
    with desk.signed_in("owner") as it:
        answer = it.post("/console/keys", data=fields)
        assert answer.status_code == 422, answer.text
        assert 'role="alert"' in answer.text
        for name in ("name", "last_day"):
            assert f'value="{fields[name]}"' in answer.text
        if fields["role"] in ("marketer", "analyst", "staff"):
            assert re.search(rf'value="{fields["role"]}" required checked', answer.text)


# Members


def test_an_owner_invites_gives_a_link_once_and_removes(desk: Desk) -> None:
    address = f"m{next(_numbers)}@autre.example"
    with desk.signed_in("owner") as it, desk.browser() as new:
        fields = {"email": address, "name": "Noé <i>", "role": "moderator"}
        assert it.post("/console/members", data=fields).headers["location"] == "/console/shown"
        shown = it.get("/console/shown").text
        url = re.findall(r"http://[^<\s]+/console/sign-in/[\w-]+", shown)[0]
        assert "Noé &lt;i&gt;" in shown
        assert "/console/sign-in/" not in it.get("/console/shown").text
        assert new.post(url).status_code == 303
        twice = it.post("/console/members", data=fields)
        assert twice.status_code == 409
        assert f'value="{address}"' in twice.text
        assert "membre" in text_of(twice)
        with desk.server.api() as api:
            id = next(one["id"] for one in api.get("/v1/members").json()["data"] if one["email"] == address)
        assert it.post(f"/console/members/{id}/role", data={"role": "staff"}).status_code == 422
        assert it.post(f"/console/members/{id}/role", data={"role": "analyst"}).status_code == 303
        assert it.get(f"/console/members/{id}").status_code == 200
        assert it.get(f"/console/members/{id}/removal").status_code == 200
        assert new.get("/console").status_code == 200
        assert it.post(f"/console/members/{id}/removal").status_code == 303
        assert new.get("/console").status_code == 401
        assert address not in it.get("/console/members").text


def test_what_is_shown_once_is_shown_to_nobody_else(desk: Desk) -> None:
    with desk.signed_in("owner") as it, desk.signed_in("owner") as other:
        it.post("/console/keys", data={"name": "Agence", "role": "analyst"})
        sealed = dict(it.browser.cookies)["passerelle_shown"]
        assert "psr_" not in sealed
        other.browser.cookies.set("passerelle_shown", sealed)
        assert "psr_" not in other.get("/console/shown").text
        assert "psr_live_" in it.get("/console/shown").text


def test_after_five_links_in_half_an_hour_there_is_no_sixth(desk: Desk) -> None:
    with desk.signed_in("owner") as it:
        asked = [it.post(f"/console/members/{it.id}/sign-in-links").status_code for _ in range(5)]
        assert asked == [303] * 4 + [409]  # the invitation was the first


# The log and the reports


def test_the_log_tells_in_plain_words_who_changed_what(desk: Desk) -> None:
    campaign = desk.draft("Soldes d’été")
    with desk.signed_in("owner") as it:
        it.post(f"/console/campaigns/{campaign}/launch")
        told = text_of(it.get(f"/console/audit?subject={campaign}"))
        assert re.search(
            rf"{it.name} .{{5,40}}Modification : campagne Soldes d’été .*état : Brouillon → En cours", told
        )
        mine = text_of(it.get(f"/console/audit?author={it.id}"))
        assert "Soldes d’été" in mine
        assert "Clé" not in mine.partition("Montrer")[2]
        assert "Changed: campaign Soldes d’été" in text_of(it.get(f"/console/audit?author={it.id}&lang=en"))
        assert it.get("/console/audit?subject=nothing").status_code == 404
        assert it.get("/console/audit?cursor=nothing").status_code == 422
        rows = list(csv.DictReader(io.StringIO(it.get("/console/audit.csv").text)))
        lines = [json.loads(line) for line in it.get("/console/audit.ndjson").text.splitlines()]
        newest = next(one for one in lines if one["subject_id"] == campaign)
        assert (newest["author_id"], newest["action"]) == (it.id, "campaign.changed")
        assert {row["subject_id"] for row in rows} >= {campaign, it.id}
        assert "@autre.example" not in json.dumps(lines)


def test_a_report_is_read_and_handled(desk: Desk) -> None:
    shop = make_shop(desk.server)
    with desk.server.phone() as shopper:
        shopper.post(f"/report/{shop.code}", data={"kind": "covered", "text": "Un <b>autocollant</b>"})
    with desk.signed_in("moderator") as it, desk.server.api() as api:
        page = it.get("/console/reports")
        assert "Un &lt;b&gt;autocollant" in page.text
        id = api.get("/v1/code-reports").json()["data"][0]["id"]
        assert it.post(f"/console/reports/{id}/handling").status_code == 303
        assert api.get("/v1/code-reports").json()["data"][0]["handled_at"]
        assert f"/console/reports/{id}/handling" not in it.get("/console/reports").text


def test_an_owner_lets_launches_need_approval(desk: Desk) -> None:
    with desk.signed_in("owner") as it, desk.server.api() as api:
        assert it.post("/console/organisation", data={"launch_needs_approval": "on"}).status_code == 303
        assert api.get("/v1/organisation").json()["launch_needs_approval"] is True
        assert it.post("/console/organisation").status_code == 303
        assert api.get("/v1/organisation").json()["launch_needs_approval"] is False
