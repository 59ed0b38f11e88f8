"""Live codes over HTTP, on both databases: issuing, scanning what the screen shows, and the screen's hour."""

import base64
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx2
import pytest

from campaigns import ids
from campaigns.places import till
from campaigns.sealing import Keyring
from campaigns.tokens import live
from tests.api.helpers import Shop, made, make_shop, problem, signed_in
from tests.conftest import SECRET, Server

LIVE = Keyring(SECRET).derive("live-code")
TILL = Keyring(SECRET).derive("till-code")


@dataclass(frozen=True)
class Screen:
    """A live token of a shop, and a client that is signed in there."""

    shop: Shop
    token: dict[str, Any]
    staff: httpx2.Client

    @property
    def token_id(self) -> UUID:
        return ids.parse("tok", self.token["id"])

    def code(self, back: int = 0) -> str:
        """The window code of now, or of so many windows ago; never within the last second of a window."""
        while till.seconds_left(datetime.now(UTC)) < 2:
            time.sleep(0.2)
        return live.window_code(LIVE, self.token_id, till.window_of(datetime.now(UTC)) - back)

    def scan(self, query: str = "", phone: httpx2.Client | None = None) -> dict[str, Any]:
        with self.shop.server.phone(Accept="application/json") as own:
            answer = (phone or own).get(f"/t/{self.token['code']}{query}", headers={"Accept": "application/json"})
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def check_in(self, phone: httpx2.Client, scan: dict[str, Any], **fields: str) -> dict[str, Any]:
        path = f"/t/{self.token['code']}/check-in"
        answer = phone.post(path, data={"receipt": scan["receipt"], **fields}, headers={"Accept": "application/json"})
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body


def issue(shop: Shop, **fields: Any) -> httpx2.Response:
    with shop.server.api() as api:
        wanted = {"medium": "qr", "kind": "live", "place_id": shop.place, **fields}
        return api.post(f"/v1/campaigns/{shop.campaign}/tokens", json=wanted)


@pytest.fixture
def screen(server: Server) -> Iterator[Screen]:
    shop = make_shop(server)
    with signed_in(shop) as staff:
        yield Screen(shop, made(issue(shop)), staff)


def test_a_live_token_is_issued_for_a_screen(screen: Screen) -> None:
    assert (screen.token["kind"], screen.token["medium"], screen.token["place_id"]) == ("live", "qr", screen.shop.place)
    fault = problem(issue(screen.shop, place_id=None), 422, "invalid")
    assert fault["errors"][0]["pointer"] == "/place_id"
    assert problem(issue(screen.shop, medium="nfc"), 422)["errors"][0]["pointer"] == "/medium"
    with screen.shop.server.api() as api:
        problem(api.patch(f"/v1/tokens/{screen.token['id']}", json={"place_id": None}), 422, "invalid")


def test_a_scan_of_the_code_of_the_moment_is_strong_presence_once(screen: Screen) -> None:
    query = f"?k={screen.code()}"
    first, second = screen.scan(query), screen.scan(query)
    assert [(one["presence"], one["reasons"], len(one["receipt"])) for one in (first, second)] == [(2, [], 100)] * 2
    with screen.shop.server.phone() as phone:
        done, again = (screen.check_in(phone, one) for one in (first, second))
    assert (done["presence"], done["reasons"], done["steps"][0]["state"]) == (2, [], "verified")
    assert again["presence"] == 0
    assert "expired_live_code" in again["reasons"]


def test_the_code_of_the_window_before_is_good_and_an_older_one_is_not(screen: Screen) -> None:
    with screen.shop.server.phone() as phone:
        before = screen.scan(f"?K={screen.code(back=1).lower()}")
        assert before["presence"] == 2
        assert screen.check_in(phone, before)["presence"] == 2
        assert screen.check_in(phone, screen.scan(f"?k={screen.code()}"))["presence"] == 2
    stale = screen.scan(f"?k={screen.code(back=2)}")
    assert (stale["presence"], stale["reasons"], stale["verdict"]) == (0, ["expired_live_code"], "valid")


def test_the_typed_code_of_a_scanned_window_is_no_second_proof(screen: Screen) -> None:
    first = screen.scan(f"?k={screen.code()}")
    place = ids.parse("plc", screen.shop.place)
    digits = till.till_code(TILL, place, till.window_of(ids.instant_of(UUID(first["scan_id"][4:]))))
    with screen.shop.server.phone() as phone:
        assert screen.check_in(phone, first)["presence"] == 2
        again = screen.check_in(phone, screen.scan(), till_code=digits)
    assert again["presence"] == 0
    assert "expired_live_code" in again["reasons"]


def test_a_bare_visit_of_a_live_token_is_an_ordinary_scan(screen: Screen) -> None:
    assert (screen.scan()["presence"], screen.scan()["reasons"]) == (0, [])
    assert screen.scan("?lang=fr")["reasons"] == []


@pytest.mark.parametrize(
    "query",
    ["?k=", "?k", "?k={0}&k={0}", "?k=" + "A" * 10_000, "?k=%FF%00", "?k=%F0%9F%92%A9", "?k={0}A", "?k=%ED%A0%80"],
)
def test_a_bad_code_costs_the_person_nothing_but_the_proof(screen: Screen, query: str) -> None:
    scan = screen.scan(query.format(screen.code()))
    assert (scan["presence"], scan["reasons"], scan["verdict"]) == (0, ["expired_live_code"], "valid")
    with screen.shop.server.phone() as phone:
        page = phone.get(f"/t/{screen.token['code']}{query.format(screen.code())}")
        assert page.status_code == 200
        assert "check-in" in page.text


def test_a_printed_code_takes_no_window_code(screen: Screen) -> None:
    own = live.window_code(LIVE, ids.parse("tok", screen.shop.token), till.window_of(datetime.now(UTC)))
    with screen.shop.server.phone(Accept="application/json") as phone:
        scan = phone.get(f"/t/{screen.shop.code}?k={own}").json()
    assert (scan["presence"], scan["reasons"]) == (0, [])


def test_a_head_request_counts_and_uses_nothing(screen: Screen) -> None:
    with screen.shop.server.phone() as phone, screen.shop.server.api() as api:
        assert phone.head(f"/t/{screen.token['code']}?k={screen.code()}").content == b""
        assert api.get(f"/v1/scans?campaign_id={screen.shop.campaign}").json()["data"] == []


def test_a_position_takes_no_proof_away(screen: Screen) -> None:
    scan = screen.scan(f"?k={screen.code()}")
    fix = {"receipt": scan["receipt"], "lat": "45.7578", "lon": "4.8320", "accuracy_m": "10"}
    with screen.shop.server.phone(Accept="application/json") as phone:
        assert phone.post(f"/t/{screen.token['code']}/position", data=fix).json()["presence"] == 2


# The screen ------------------------------------------------------------------------------------------------------


def test_the_screen_holds_an_hour_of_codes_and_no_key(screen: Screen) -> None:
    answer = screen.staff.get("/staff/screen/windows")
    body = answer.json()
    assert answer.headers["cache-control"] == "no-store"
    assert abs(body["now"] - time.time()) < 10
    assert (body["seconds"], body["first"], len(body["digits"])) == (30, int(body["now"]) // 30, 120)
    place = ids.parse("plc", screen.shop.place)
    assert body["digits"] == [till.till_code(TILL, place, body["first"] + number) for number in range(120)]
    assert len(base64.b64decode(body["matrices"])) % 120 == 0
    assert body["side"] in (25, 29, 33)
    assert len(answer.content) < 20_000
    secrets = (LIVE, TILL)
    assert not any(form in answer.content for key in secrets for form in (key.hex().encode(), base64.b64encode(key)))


def test_the_screen_is_for_who_is_signed_in_there(screen: Screen) -> None:
    other = make_shop(screen.shop.server)
    with screen.shop.server.phone(Accept="application/json") as stranger, signed_in(other) as neighbour:
        for path in ("/staff/screen", "/staff/screen/windows"):
            problem(stranger.get(path), 401, "not_signed_in")
            theirs = neighbour.get(f"{path}?token={screen.token['id']}", headers={"Accept": "application/json"})
            problem(theirs, 404, "no_live_code")
            problem(neighbour.get(path, headers={"Accept": "application/json"}), 404, "no_live_code")


@pytest.mark.parametrize("name", ["", "tok_", "tok_x", "plc_" + "0" * 32, "tok_" + "0" * 32, "%00"])
def test_a_token_that_is_none_is_not_found(screen: Screen, name: str) -> None:
    for path in ("/staff/screen", "/staff/screen/windows"):
        answer = screen.staff.get(f"{path}?token={name}", headers={"Accept": "application/json"})
        assert answer.status_code in (404, 422), answer.text


def test_a_screen_whose_code_was_withdrawn_gets_no_more(screen: Screen) -> None:
    assert 'href="/staff/screen' in screen.staff.get("/staff").text
    with screen.shop.server.api() as api:
        api.post(f"/v1/tokens/{screen.token['id']}/revocation")
    problem(screen.staff.get("/staff/screen/windows", headers={"Accept": "application/json"}), 404, "no_live_code")
    page = screen.staff.get("/staff/screen", headers={"Accept": "text/html"})
    assert (page.status_code, 'href="/staff"' in page.text) == (404, True)
    assert 'href="/staff/screen' not in screen.staff.get("/staff").text


def test_of_several_live_codes_the_staff_choose_one(screen: Screen) -> None:
    second = made(issue(screen.shop, label="Caisse 2"))
    choice = screen.staff.get("/staff/screen").text
    for token in (screen.token, second):
        assert f"/staff/screen?token={token['id']}" in choice
        page = screen.staff.get(f"/staff/screen?token={token['id']}").text
        assert f"/staff/screen/windows?token={token['id']}" in page
        assert screen.staff.get(f"/staff/screen/windows?token={token['id']}").status_code == 200
