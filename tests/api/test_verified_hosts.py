"""The hosts that an organisation verified, over HTTP and on both databases; and what a campaign file says of them."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.api.conftest import House
from tests.api.helpers import made, owner, problem
from tests.conftest import running_server

A, B = "https://a.example/landing?x=1#top", "https://b.example/"


@pytest.fixture
def other(house: House) -> Iterator[httpx2.Client]:
    """The second organisation, whose hosts nobody else's tests depend on; none are verified before and after."""
    with owner(house.server, house.other_key) as client:
        yield client
        client.patch("/v1/organisation", json={"verified_hosts": []})


def plan(other: httpx2.Client, **fields: Any) -> dict[str, Any]:
    wanted = {"name": "V", "objective": "cause", "targets": [{"kpi": "check_ins", "value": 1}], "time_zone": "UTC"}
    return made(other.post("/v1/campaigns", json={**wanted, **fields}))


def test_destinations_are_limited_to_verified_hosts_wherever_they_are_written(other: httpx2.Client) -> None:
    campaign = plan(other)
    assert other.get("/v1/organisation").json()["verified_hosts"] == []
    patched = other.patch("/v1/organisation", json={"verified_hosts": ["SHOP.example", "*.brand.example", "café.fr"]})
    assert patched.json()["verified_hosts"] == ["shop.example", "*.brand.example", "xn--caf-dma.fr"]
    assert other.get("/v1/organisation").headers["etag"] == patched.headers["etag"]
    tokens = f"/v1/campaigns/{campaign['id']}/tokens"
    good = [f"https://{host}/" for host in ("shop.example", "eu.brand.example", "xn--caf-dma.fr")]
    token = made(other.post(tokens, json={"medium": "qr", "destination": good[0]}))
    for url in good:
        assert other.patch(f"/v1/tokens/{token['id']}", json={"rules": [{"destination": url}]}).status_code == 200
    evil = "https://evil.example/"
    split = [{"weight": 1, "destination": good[0]}, {"weight": 1, "destination": evil}]
    file = {"external_id": "vh", "name": "V", "objective": "cause", "targets": [{"kpi": "check_ins", "value": 1}]}
    for answer in (
        other.post(tokens, json={"medium": "qr", "destination": evil}),
        other.post(tokens, json={"medium": "qr", "rules": [{"split": split}]}),
        other.patch(f"/v1/tokens/{token['id']}", json={"destination": evil}),
        other.post(f"/v1/tokens/{token['id']}/replacement", json={"destination": evil}),
        other.patch(f"/v1/campaigns/{campaign['id']}", json={"destination": evil}),
        other.patch(f"/v1/campaigns/{campaign['id']}", json={"rules": [{"destination": evil}]}),
        other.post("/v1/campaigns", json={**file, "time_zone": "UTC", "destination": evil}),
        other.put("/v1/campaign-files/vh", json={**file, "destination": evil}),
        other.put("/v1/campaign-files/vh", json={**file, "tokens": [{"destination": evil}]}),
    ):
        assert "verified hosts" in problem(answer, 422)["detail"]


def test_hosts_that_codes_lead_away_from_are_not_verified_alone(database_url: str) -> None:
    with running_server(database_url) as server, server.api() as api:
        lead_away(api)


def lead_away(other: httpx2.Client) -> None:
    campaign = plan(other, destination="https://one.example/")
    path = f"/v1/campaigns/{campaign['id']}/tokens"
    token = made(other.post(path, json={"medium": "qr", "rules": [{"destination": "https://two.example/"}]}))
    wanted = {"verified_hosts": ["three.example"]}
    body = problem(other.patch("/v1/organisation", json=wanted), 409, "hosts_in_use")
    assert f"{campaign['id']} to https://one.example/" in body["detail"]
    assert f"{token['id']} to https://two.example/" in body["detail"]
    assert other.get("/v1/organisation").json()["verified_hosts"] == []
    assert other.patch(f"/v1/campaigns/{campaign['id']}", json={"destination": None}).status_code == 200
    assert other.post(f"/v1/tokens/{token['id']}/revocation").status_code == 200
    assert other.patch("/v1/organisation", json=wanted).json()["verified_hosts"] == ["three.example"]


def test_a_host_that_is_none_is_named_and_a_stale_reading_is_refused(other: httpx2.Client) -> None:
    for hosts, pointer in (
        (["a.example", "https://b.example"], "/verified_hosts/1"),
        (["*.example"], "/verified_hosts/0"),
        (["x.example"] * 51, "/verified_hosts"),
        (None, "/verified_hosts"),
        ([1], "/verified_hosts/0"),
    ):
        faults = problem(other.patch("/v1/organisation", json={"verified_hosts": hosts}), 422)["errors"]
        assert [fault["pointer"] for fault in faults] == [pointer]
    stale = {"If-Match": '"other"'}
    problem(other.patch("/v1/organisation", json={"verified_hosts": []}, headers=stale), 412, "precondition_failed")
    assert other.patch("/v1/organisation", json={}).status_code == 200


def test_a_campaign_file_says_where_its_codes_lead(other: httpx2.Client) -> None:
    file = {
        "external_id": "leading",
        "name": "Leading",
        "objective": "cause",
        "targets": [{"kpi": "check_ins", "value": 1}],
        "places": [{"external_id": "here", "name": "Here", "lat": 1.0, "lon": 2.0}],
        "rules": [{"when": {"returning": True}, "hosted": True}],
        "tokens": [{"destination": A, "utm": {"source": "{place}"}, "pass_scan_id": True, "continue_page": True}],
    }
    first = other.put("/v1/campaign-files/leading", json=file)
    assert first.status_code == 200, first.text
    (token,) = other.get("/v1/campaigns/ext_leading/tokens").json()["data"]
    assert (token["destination"], token["utm"]) == (A, {"source": "{place}"})
    assert token["pass_scan_id"] is token["continue_page"] is True
    again = other.put("/v1/campaign-files/leading", json=file).json()
    assert (again["created"], again["changed"]) == ([], [])
    # What the file does not say stays as it was changed since.
    file["tokens"] = [{"utm": {"source": "{place}"}}]
    assert other.patch(f"/v1/tokens/{token['id']}", json={"destination": B}).status_code == 200
    assert other.put("/v1/campaign-files/leading", json=file).json()["changed"] == []
    assert other.get(f"/v1/tokens/{token['id']}").json()["destination"] == B
    file["tokens"] = [{"destination": A, "pass_scan_id": "yes"}]
    problem(other.put("/v1/campaign-files/leading", json=file), 422)
