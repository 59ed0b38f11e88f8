"""What members do at the console: campaigns, approvals, keys, members, the log, reports; on both databases."""

import csv
import io
import json
import re

import pytest

from tests.api.desk import COOKIE, Desk, next_address, text_of
from tests.api.helpers import CAMPAIGN, PLACE, made, make_shop, owner
from tests.racing import race

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


def test_what_changed_after_it_was_proposed_is_proposed_anew(desk: Desk) -> None:
    campaign, proposal = desk.proposed("Printemps")
    with desk.server.api() as api, desk.signed_in("approver") as it, desk.signed_in("marketer") as other:
        assert api.patch(f"/v1/campaigns/{campaign}", json={"name": "Tout autre chose"}).status_code == 200
        refused = it.post(f"/console/approvals/{proposal}/approval")
        assert refused.status_code == 409
        assert "a changé après la proposition" in text_of(refused)
        assert desk.state(campaign) == "draft"
        other.post(f"/console/campaigns/{campaign}/launch")
        again = api.get("/v1/approvals?state=waiting").json()["data"][0]
        assert (again["id"] != proposal, again["subject_name"]) == (True, "Tout autre chose")
        assert api.get(f"/v1/approvals/{proposal}").json()["state"] == "withdrawn"
        assert it.post(f"/console/approvals/{again['id']}/approval").status_code == 303
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
        key = re.findall(r"psr_live_[\w-]+", it.get("/console/shown").text)[0]
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
    address = next_address()
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


def test_a_moderator_voids_a_scan_and_what_was_typed_stays(desk: Desk) -> None:
    with desk.server.api() as api:
        place = made(api.post("/v1/places", json=PLACE))["id"]
        campaign = made(api.post("/v1/campaigns", json=CAMPAIGN))["id"]
        token = made(api.post(f"/v1/campaigns/{campaign}/tokens", json={"medium": "qr", "place_id": place}))
        assert api.post(f"/v1/campaigns/{campaign}/launch").status_code == 200
        with desk.server.phone(Accept="application/json") as phone:
            scan = phone.get(f"/t/{token['code']}").json()["scan_id"]
        with desk.signed_in("moderator") as it:
            wrong = it.post("/console/scans/void", data={"scan_id": "scn_7", "reason": "From a photo"})
            assert (wrong.status_code, "From a photo" in wrong.text, "scn_7" in wrong.text) == (404, True, True)
            for reason in ("", "\x00", " "):
                assert it.post("/console/scans/void", data={"scan_id": scan, "reason": reason}).status_code == 422
            assert it.post("/console/scans/void", data={"scan_id": scan, "reason": "From a photo"}).status_code == 303
        assert api.get(f"/v1/scans/{scan}").json()["verdict"] == "invalid"
