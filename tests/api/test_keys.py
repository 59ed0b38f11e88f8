"""Keys that are bound to places, as a till has: they see what is of their places, and that alone."""

from typing import Any
from uuid import uuid4

import pytest

from tests.api.peers import Peers

LISTS = {"/v1/places": "place_id", "/v1/code-reports": "report_id", "/v1/alerts": "alert_id"}


def ask(peers: Peers, key: str, path: str, *, method: str = "GET", **query: str) -> Any:
    headers = {"Authorization": f"Bearer {peers.one.keys[key]}"}
    return peers.client.request(method, path, params=query, headers=headers)


@pytest.mark.parametrize("path", LISTS)
def test_a_list_shows_a_bound_key_what_is_of_its_place(peers: Peers, path: str) -> None:
    here, away = peers.one.ids[LISTS[path]], peers.one.further[LISTS[path]]
    everything = [row["id"] for row in ask(peers, "owner", path, limit="200").json()["data"]]
    assert {here, away} <= set(everything)
    for key in ("staff", "placed"):
        assert [row["id"] for row in ask(peers, key, path).json()["data"]] == [here]


def test_a_bound_key_reads_its_own_place_and_no_other(peers: Peers) -> None:
    assert ask(peers, "staff", f"/v1/places/{peers.one.ids['place_id']}").status_code == 200
    away = ask(peers, "staff", f"/v1/places/{peers.one.further['place_id']}")
    nobodys = ask(peers, "staff", f"/v1/places/plc_{uuid4().hex}")
    assert away.status_code == nobodys.status_code == 404
    assert away.json()["detail"] == nobodys.json()["detail"]


def test_a_bound_key_lists_scans_of_its_place_and_says_which(peers: Peers) -> None:
    campaign = {"campaign_id": peers.one.ids["campaign_id"]}
    without = ask(peers, "staff", "/v1/scans", **campaign)
    assert without.status_code == 422
    assert without.json()["errors"][0]["pointer"] == "/place_id"
    assert ask(peers, "staff", "/v1/scans", **campaign, place_id=peers.one.further["place_id"]).status_code == 404
    here = ask(peers, "staff", "/v1/scans", **campaign, place_id=peers.one.ids["place_id"]).json()["data"]
    assert [scan["id"] for scan in here] == [peers.one.ids["scan_id"]]
    assert len(ask(peers, "owner", "/v1/scans", **campaign).json()["data"]) >= 2


def test_a_scan_and_a_report_of_another_place_are_not_there_for_a_bound_key(peers: Peers) -> None:
    for path, name, method in (
        ("/v1/scans/{}", "scan_id", "GET"),
        ("/v1/code-reports/{}/handling", "report_id", "POST"),
    ):
        assert ask(peers, "staff", path.format(peers.one.ids[name]), method=method).status_code == 200
        away = ask(peers, "staff", path.format(peers.one.further[name]), method=method)
        prefix = peers.one.ids[name].partition("_")[0]
        nobodys = ask(peers, "staff", path.format(f"{prefix}_{uuid4().hex}"), method=method)
        assert away.status_code == nobodys.status_code == 404
        assert away.json()["detail"] == nobodys.json()["detail"]
    reports = {row["id"]: row for row in ask(peers, "owner", "/v1/code-reports").json()["data"]}
    assert reports[peers.one.further["report_id"]]["handled_at"] is None
    assert ask(peers, "staff", "/v1/code-reports", place_id=peers.one.further["place_id"]).status_code == 404


def test_what_an_owners_key_was_answered_is_not_replayed_to_a_lesser_key(peers: Peers) -> None:
    body = {"name": "copied", "role": "owner"}
    once = {"Idempotency-Key": uuid4().hex}

    def issue(key: str) -> Any:
        headers = {"Authorization": f"Bearer {peers.changing.keys[key]}", **once}
        return peers.client.post("/v1/api-keys", headers=headers, json=body)

    first, again, other = issue("owner"), issue("owner"), issue("analyst")
    assert first.status_code == 201
    assert again.json() == first.json()
    assert other.status_code == 422
    assert first.json()["key"] not in other.text
