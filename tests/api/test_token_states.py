"""What becomes of printed codes, over HTTP and on both databases: each state explains itself, each edit is kept."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx2
import pytest

from tests.api.conftest import House
from tests.api.helpers import Shop, ask, inside, issue, made, make_shop, newest_scan, owner, problem, way
from tests.conftest import Server, wait_until

A, B = "https://a.example/landing?x=1#top", "https://b.example/"
ANDROID = (
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Mobile Safari/537.36"
)


@pytest.fixture
def api(server: Server) -> Iterator[httpx2.Client]:
    with server.api() as client:
        yield client


def closed_page(server: Server, code: str, language: str) -> str:
    answer = ask(server, code, **{"Accept": "text/html", "Accept-Language": language})
    assert answer.status_code == 200
    assert "form-action 'self';" in answer.headers["content-security-policy"]
    return answer.text


@pytest.mark.parametrize(
    ("verb", "state", "english", "french"),
    [
        ("suspension", "suspended", "This code is taking a break", "Ce code fait une pause"),
        ("revocation", "revoked", "This code was withdrawn", "Ce code a été retiré"),
        ("replacement", "replaced", "This code was replaced", "Ce code a été remplacé"),
        (None, "expired", "This code has expired", "Ce code a expiré"),
    ],
)
def test_a_closed_code_explains_itself_and_counts_for_nothing(
    server: Server, shop: Shop, api: httpx2.Client, verb: str | None, state: str, english: str, french: str
) -> None:
    token = issue(api, shop, destination=A, pass_scan_id=True)
    path = f"/v1/tokens/{token['id']}"
    assert way(server, token["code"])
    if verb is None:
        assert api.patch(path, json={"expires_at": "2026-01-01T00:00:00Z"}).json()["state"] == "expired"
    else:
        assert api.post(f"{path}/{verb}", json={}).is_success
    assert api.get(path).json()["state"] == state
    for language, title in (("en", english), ("fr", french)):
        page = closed_page(server, token["code"], language)
        assert title in page
        assert "receipt" not in page
        assert f'href="/m/{shop.slug}' in page or state == "replaced"
    scan = newest_scan(api, shop, token)
    assert (scan["verdict"], scan["reasons"]) == ("invalid", ["campaign_closed"])
    told = ask(server, token["code"], Accept="application/json").json()
    assert (told["state"], told["destination"], told["verdict"]) == (state, None, "invalid")


def test_a_code_opens_again_when_it_is_resumed_or_its_expiry_is_moved(
    server: Server, shop: Shop, api: httpx2.Client
) -> None:
    token = issue(api, shop, destination=A, expires_at="2026-01-01T00:00:00Z")
    path = f"/v1/tokens/{token['id']}"
    assert way(server, token["code"]) is None
    problem(api.post(f"{path}/suspension"), 409, "wrong_state")
    assert api.patch(path, json={"expires_at": None}).json()["state"] == "active"
    assert way(server, token["code"]) == A
    assert api.post(f"{path}/suspension").json()["state"] == "suspended"
    assert way(server, token["code"]) is None
    assert api.post(f"{path}/resumption").json()["state"] == "active"
    assert way(server, token["code"]) == A


def test_a_code_expires_by_itself_without_a_new_load(server: Server, shop: Shop, api: httpx2.Client) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=2)
    code = issue(api, shop, destination=A, expires_at=soon.isoformat())["code"]
    assert way(server, code) == A
    wait_until(lambda: way(server, code) is None)


def test_a_replaced_code_leads_to_the_new_one_which_leads_as_the_old_one_did(
    server: Server, shop: Shop, api: httpx2.Client
) -> None:
    rules = [{"when": {"devices": ["android"]}, "destination": B}]
    old = issue(api, shop, destination=A, rules=rules, utm={"term": "x"}, label="Door", channel="window")
    new = made(api.post(f"/v1/tokens/{old['id']}/replacement", json={"label": "New door"}))
    kept = ("place_id", "channel", "destination", "rules", "utm", "medium", "kind")
    assert {name: new[name] for name in kept} == {name: old[name] for name in kept}
    assert (new["label"], new["state"], new["code"] != old["code"]) == ("New door", "active", True)
    assert api.get(f"/v1/tokens/{old['id']}").json()["replaced_by_id"] == new["id"]
    assert f'href="/t/{new["code"]}?lang=en"' in closed_page(server, old["code"], "en")
    assert ask(server, old["code"], Accept="application/json").json()["replaced_by"] == new["code"]
    assert way(server, new["code"], **{"User-Agent": ANDROID}) == B + "?utm_term=x"
    nowhere = issue(api, shop)
    assert made(api.post(f"/v1/tokens/{nowhere['id']}/replacement", json={"place_id": None}))["place_id"] is None


def test_the_way_from_state_to_state_is_one(shop: Shop, api: httpx2.Client) -> None:
    token = issue(api, shop)
    path = f"/v1/tokens/{token['id']}"
    steps = [
        ("resumption", 409, "active"),
        ("suspension", 200, "suspended"),
        ("suspension", 409, "suspended"),
        ("resumption", 200, "active"),
        ("suspension", 200, "suspended"),
        ("replacement", 201, "replaced"),
        ("replacement", 409, "replaced"),
        ("suspension", 409, "replaced"),
        ("resumption", 409, "replaced"),
        ("revocation", 200, "revoked"),
        ("revocation", 200, "revoked"),
        ("resumption", 409, "revoked"),
        ("suspension", 409, "revoked"),
        ("replacement", 409, "revoked"),
    ]
    for verb, status, state in steps:
        answer = api.post(f"{path}/{verb}", json={})
        if status == 409:
            problem(answer, 409, "wrong_state")
        assert (answer.status_code, api.get(path).json()["state"]) == (status, state), verb


def test_a_serial_or_a_sun_tag_is_not_replaced_by_a_plain_code(shop: Shop, api: httpx2.Client) -> None:
    batches = f"/v1/campaigns/{shop.campaign}/token-batches"
    made(api.post(batches, json={"kind": "serial", "count": 1, "medium": "qr", "good": "once"}))
    serial = api.get(f"/v1/campaigns/{shop.campaign}/tokens?limit=1").json()["data"][0]
    assert serial["kind"] == "serial"
    problem(api.post(f"/v1/tokens/{serial['id']}/replacement", json={}), 409, "wrong_state")
    keys = {"meta_read_key": "0" * 32, "file_read_key": "1" * 32}
    tag = issue(api, shop, medium="nfc", kind="sun", sun=keys)
    problem(api.post(f"/v1/tokens/{tag['id']}/replacement", json={}), 422)
    assert api.get(f"/v1/tokens/{tag['id']}").json()["state"] == "active"
    assert made(api.post(f"/v1/tokens/{tag['id']}/replacement", json={"sun": keys}))["kind"] == "sun"


def test_a_check_in_on_a_code_that_was_closed_meanwhile_is_not_counted(server: Server, api: httpx2.Client) -> None:
    shop = make_shop(server)
    receipt = shop.scan()["receipt"]
    assert api.post(f"/v1/tokens/{shop.token}/suspension").status_code == 200
    with server.phone(Accept="application/json") as phone:
        body = phone.post(f"/t/{shop.code}/check-in", json={"receipt": receipt, **inside()}).json()
    assert (body["verdict"], body["reasons"]) == ("invalid", ["campaign_closed"])


# History ---------------------------------------------------------------------------------------------------------


def test_every_edit_is_kept_with_what_was_before(house: House, shop: Shop, api: httpx2.Client) -> None:
    token = issue(api, shop, destination=A)
    path = f"/v1/tokens/{token['id']}"
    assert api.get(f"{path}/history").json() == {"data": [], "next_cursor": None}
    api.patch(path, json={"destination": B, "label": "Door"})
    api.patch(path, json={"label": "Door"})
    api.post(f"{path}/suspension")
    api.patch(path, json={"place_id": None, "rules": [{"destination": A}]})
    newest, suspended, first = api.get(f"{path}/history").json()["data"]
    assert first["changes"] == {
        "destination": {"before": A, "after": B},
        "label": {"before": None, "after": "Door"},
    }
    assert suspended["changes"] == {"state": {"before": "active", "after": "suspended"}}
    assert newest["changes"]["rules"] == {"before": None, "after": [{"when": {}, "destination": A}]}
    assert newest["changes"]["place_id"] == {"before": shop.place, "after": None}
    assert len({one["changed_by"] for one in (newest, suspended, first)}) == 1
    page = api.get(f"{path}/history?limit=2").json()
    rest = api.get(f"{path}/history?limit=2&cursor={page['next_cursor']}").json()
    assert [one["id"] for one in page["data"] + rest["data"]] == [newest["id"], suspended["id"], first["id"]]
    with owner(house.server, house.other_key) as other:
        problem(other.get(f"{path}/history"), 404, "not_found")
        for verb in ("suspension", "resumption", "replacement"):
            problem(other.post(f"{path}/{verb}", json={}), 404, "not_found")
