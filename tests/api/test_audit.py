"""The audit log, told by the API: every route that writes notes what it changed and by whom; no secret is in it."""

import json
from typing import Any
from uuid import UUID

from sqlmodel import SQLModel, select

from campaigns import clock, identity
from campaigns.audit import AuditEntry
from tests.api.peers import Peer, Peers, furnish, method_of, name_of

LAST = (  # what ends something comes after what needs it, in this order
    "POST /v1/redemptions/{redemption_id}/rollback",
    "POST /v1/offers/{offer_id}/pause",
    "POST /v1/offers/{offer_id}/resumption",
    "POST /v1/offers/{offer_id}/end",
    "POST /v1/campaigns/{campaign_id}/pause",
    "POST /v1/campaigns/{campaign_id}/resumption",
    "POST /v1/campaigns/{campaign_id}/end",
    "POST /v1/members/{member_id}/sessions/{session_id}/revocation",
    "DELETE /v1/members/{member_id}",
    "DELETE /v1/pledges/{pledge_id}",
    "DELETE /v1/costs/{cost_id}",
    "DELETE /v1/webhooks/{webhook_id}",
    "DELETE /v1/campaigns/{campaign_id}/alerts/{alert_id}",
    "POST /v1/tokens/{token_id}/revocation",
    "POST /v1/api-keys/{key_id}/revocation",
)
# The entry each writing route makes.
NOTED = {
    "PATCH /v1/organisation": "organisation.changed",
    "POST /v1/members": "member.created",
    "PATCH /v1/members/{member_id}": "member.changed",
    "DELETE /v1/members/{member_id}": "member.changed",
    "POST /v1/members/{member_id}/sign-in-links": "sign_in_link.created",
    "POST /v1/members/{member_id}/sessions/{session_id}/revocation": "member_session.changed",
    "POST /v1/api-keys": "api_key.created",
    "POST /v1/api-keys/{key_id}/rotation": "api_key.created",
    "POST /v1/api-keys/{key_id}/revocation": "api_key.changed",
    "POST /v1/approvals/{approval_id}/withdrawal": "approval.changed",
    "POST /v1/places": "place.created",
    "POST /v1/places/import": "place.created",
    "PATCH /v1/places/{place_id}": "place.changed",
    "POST /v1/places/{place_id}/staff-links": "staff_link.created",
    "POST /v1/places/{place_id}/staff-sessions/{session_id}/revocation": "staff_session.changed",
    "POST /v1/campaigns": "campaign.created",
    "PATCH /v1/campaigns/{campaign_id}": "campaign.changed",
    "POST /v1/campaigns/{campaign_id}/launch": "campaign.changed",
    "POST /v1/campaigns/{campaign_id}/pilot": "campaign.changed",
    "POST /v1/cohort-links": "cohort_link.created",
    "POST /v1/cohort-links/{link_id}/revocation": "cohort_link.changed",
    "POST /v1/campaigns/{campaign_id}/pause": "campaign.changed",
    "POST /v1/campaigns/{campaign_id}/resumption": "campaign.changed",
    "POST /v1/campaigns/{campaign_id}/end": "campaign.changed",
    "POST /v1/campaigns/{campaign_id}/alerts": "alert_threshold.created",
    "DELETE /v1/campaigns/{campaign_id}/alerts/{alert_id}": "alert_threshold.removed",
    "POST /v1/campaigns/{campaign_id}/reports": "report.created",
    "PUT /v1/campaign-files/{external_id}": "campaign.created",
    "POST /v1/campaigns/{campaign_id}/tokens": "token.created",
    "PATCH /v1/tokens/{token_id}": "token.changed",
    "POST /v1/tokens/{token_id}/suspension": "token.changed",
    "POST /v1/tokens/{token_id}/resumption": "token.changed",
    "POST /v1/tokens/{token_id}/replacement": "token.created",
    "POST /v1/tokens/{token_id}/revocation": "token.changed",
    "POST /v1/tag-key-sets": "tag_key_set.created",
    "POST /v1/campaigns/{campaign_id}/token-batches": "token_batch.created",
    "POST /v1/campaigns/{campaign_id}/missions": "mission.created",
    "POST /v1/missions/{mission_id}/external-acts": "external_act.created",
    "POST /v1/scans/{scan_id}/void": "scan.voided",
    "POST /v1/staff-records/{record_id}/void": "staff_record.voided",
    "POST /v1/missions/{mission_id}/rounds": "round.created",
    "PATCH /v1/rounds/{round_id}": "round.changed",
    "POST /v1/campaigns/{campaign_id}/offers": "offer.created",
    "PATCH /v1/offers/{offer_id}": "offer.changed",
    "POST /v1/campaigns/{campaign_id}/badges": "badge.created",
    "PATCH /v1/badges/{badge_id}": "badge.changed",
    "POST /v1/costs": "cost.created",
    "PATCH /v1/costs/{cost_id}": "cost.changed",
    "DELETE /v1/costs/{cost_id}": "cost.removed",
    "PATCH /v1/campaigns/{campaign_id}/money": "money_terms.changed",
    "POST /v1/conversions/import": "conversions.imported",
    "POST /v1/campaigns/{campaign_id}/holdout": "holdout.created",
    "POST /v1/offers/{offer_id}/pause": "offer.changed",
    "POST /v1/offers/{offer_id}/resumption": "offer.changed",
    "POST /v1/offers/{offer_id}/end": "offer.changed",
    "POST /v1/redemptions/{redemption_id}/rollback": "redemption.rolled_back",
    "POST /v1/ideas/{idea_id}/decisions": "idea_decision.created",
    "POST /v1/ideas/{idea_id}/merger": "idea_decision.created",
    "POST /v1/ideas/{idea_id}/separation": "idea_decision.created",
    "POST /v1/sponsors": "sponsor.created",
    "PATCH /v1/sponsors/{sponsor_id}": "sponsor.changed",
    "POST /v1/beneficiaries": "beneficiary.created",
    "PATCH /v1/beneficiaries/{beneficiary_id}": "beneficiary.changed",
    "POST /v1/beneficiaries/{beneficiary_id}/acceptance": "pledge_link.created",
    "POST /v1/pledge-links/{pledge_link_id}/revocation": "pledge_link.changed",
    "POST /v1/missions/{mission_id}/pledges": "pledge.created",
    "PATCH /v1/pledges/{pledge_id}": "pledge.changed",
    "DELETE /v1/pledges/{pledge_id}": "pledge.removed",
    "POST /v1/pledges/{pledge_id}/signature": "pledge_link.created",
    "POST /v1/pledges/{pledge_id}/end": "pledge.changed",
    "POST /v1/payouts": "payout.created",
    "POST /v1/payouts/{payout_id}/approval": "payout.changed",
    "POST /v1/payouts/{payout_id}/sent": "payout.changed",
    "POST /v1/payouts/{payout_id}/confirmation": "payout.changed",
    "POST /v1/payouts/{payout_id}/cancellation": "payout.changed",
    "POST /v1/pledges/{pledge_id}/release": "pledge.released",
    "POST /v1/accruals/{accrual_id}/void": "accrual.voided",
    "POST /v1/jobs/{job_id}/cancellation": "job.changed",
    "POST /v1/code-reports/{report_id}/handling": "code_report.changed",
    "POST /v1/webhooks": "webhook.created",
    "PATCH /v1/webhooks/{webhook_id}": "webhook.changed",
    "DELETE /v1/webhooks/{webhook_id}": "webhook.removed",
    "POST /v1/webhooks/{webhook_id}/secret-rotation": "webhook.changed",
    "POST /v1/webhooks/{webhook_id}/test": "webhook.tested",
    "POST /v1/webhooks/{webhook_id}/deliveries/{delivery_id}/replay": "webhook_delivery.replayed",
}
READS_THAT_NOTE = {"GET /v1/campaigns/{campaign_id}/kits.zip": "staff_link.created"}  # a kit has a sign-in link in it
UNNOTED = {
    "POST /v1/conversions": "a fact of another system, kept as a row of its own",
    "POST /v1/campaigns/{campaign_id}/exposures": "numbers of a door counter, kept with when they were told",
    "POST /v1/redemptions": "the message of a till, kept with its answer in a table of its own",
    "POST /v1/tokens/{token_id}/qr.{format}": "draws, and changes nothing",
    "POST /v1/scans/{scan_id}/confirmation": "a fact of the scan log, which only grows by itself",
}


def furnished(peers: Peers) -> Peer:
    """An organisation of its own, to change."""
    with peers.services.database.transaction() as session:
        peer = Peer(identity.found_organisation(session, "Noyeraie", now=clock.utc_now()).id, "Noyeraie")
    furnish(peers.services, peer, clock.utc_now())
    peer.ids["/v1/campaigns/{campaign_id}/holdout campaign_id"] = peer.ids["undrawn_campaign"]
    return peer


def entries(peers: Peers) -> dict[UUID, AuditEntry]:
    with peers.services.database.snapshot() as session:
        return {one.id: one for one in session.exec(select(AuditEntry))}


def test_every_writing_route_notes_what_it_changed_and_who_did(peers: Peers) -> None:
    peer = furnished(peers)
    with peers.services.database.snapshot() as session:
        owner = identity.key_by_secret(session, peer.keys["owner"], now=clock.utc_now())
    noted = NOTED | READS_THAT_NOTE
    routes = [one for one in peers.api() if name_of(one) not in UNNOTED]
    routes = [one for one in routes if method_of(one) != "GET" or name_of(one) in noted]
    routes.sort(key=lambda one: LAST.index(name_of(one)) if name_of(one) in LAST else -1)
    shown: list[Any] = []
    for route in routes:
        assert name_of(route) in noted, f"{name_of(route)} writes: say in NOTED what it notes, or in UNNOTED why not"
        before = entries(peers)
        answer = peers.ask(route, peer, "owner")
        assert answer.status_code < 300, (name_of(route), answer.text)
        new = [one for id, one in entries(peers).items() if id not in before]
        assert noted[name_of(route)] in [one.action for one in new], name_of(route)
        for one in new:
            assert (one.author_kind, one.author_id) == ("key", owner.id), name_of(route)
            assert one.organisation_id == peer.id, name_of(route)
        shown.append(answer.text)
    require_no_secrets(peers, peer, shown)


def require_no_secrets(peers: Peers, peer: Peer, shown: list[str]) -> None:
    """No key or link that was shown once, no hash of one, no sealed key, no address and no shopper's words."""
    log = json.dumps([one.model_dump(mode="json") for one in entries(peers).values()])
    bodies = [json.loads(text) for text in shown if text.startswith("{")]
    secrets = {body["key"] for body in bodies if "key" in body} | {one["secret"] for one in bodies if "secret" in one}
    secrets |= {body["url"].rpartition("/")[2] for body in bodies if "/sign-in/" in (body.get("url") or "")}
    assert len(secrets) >= 3
    hidden = secrets | set(peer.keys.values()) | {f"{peer.mark} report", f"Ana {peer.mark}", "example.org"}
    with peers.services.database.snapshot() as session:
        for table in SQLModel.metadata.sorted_tables:
            for column in table.c:
                if column.name in ("secret_hash", "sealed_keys", "sealed_secret", "sealed_previous"):
                    hidden |= {str(value) for (value,) in session.execute(select(column))}
    assert [one for one in hidden if one in log] == []


def test_the_log_of_one_object_and_of_one_author_is_listed_and_exported(peers: Peers) -> None:
    peer = furnished(peers)
    headers = {"Authorization": f"Bearer {peer.keys['owner']}"}
    place = peer.ids["place_id"]
    assert peers.client.patch(f"/v1/places/{place}", headers=headers, json={"radius_m": 300}).status_code == 200
    changed, created = peers.client.get("/v1/audit", headers=headers, params={"subject_id": place}).json()["data"]
    assert changed["action"] == "place.changed"
    assert changed["changes"] == {"radius_m": [100, 300]}
    assert changed["author_id"].startswith("key_")
    assert created["action"] == "place.created"
    assert (created["author_kind"], created["author_id"]) == ("system", None)
    by_key = peers.client.get("/v1/audit", headers=headers, params={"author_id": changed["author_id"]}).json()["data"]
    assert [one["id"] for one in by_key] == [changed["id"]]
    lines = peers.client.get("/v1/audit/export.ndjson", headers=headers).text.splitlines()
    assert json.loads(lines[0]) == changed
    assert changed["id"] in peers.client.get("/v1/audit/export.csv", headers=headers).text
