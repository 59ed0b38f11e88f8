"""Who gets in at the member's console, and what each role may do there: over HTTP, on both databases."""

import pytest

from campaigns.identity import RIGHTS, Role
from tests.api.desk import COOKIE, Desk, next_address, sessions_of, text_of
from tests.api.helpers import made, make_shop
from tests.conftest import Server
from tests.racing import race

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


def test_a_slash_too_many_leads_to_no_other_host(desk: Desk) -> None:
    for host in ("evil.example", "evil.example:8000"):
        with desk.browser(Host=host) as it:
            answer = it.get("/console/?lang=fr")
        assert (answer.status_code, answer.headers["location"]) == (307, "/console?lang=fr")


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
    "/console/scans/void": "scans.void",
    "/console/payouts": "payouts.write",
    "/console/payouts/pay_{id}/approval": "payouts.approve",
    "/console/payouts/pay_{id}/sent": "payouts.write",
    "/console/payouts/pay_{id}/confirmation": "payouts.write",
    "/console/payouts/pay_{id}/cancellation": "payouts.write",
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
    "/console/payouts": "pledges.read",
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
            "mbr": made(api.post("/v1/members", json={"email": next_address(), "name": "X", "role": "owner"}))["id"],
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
