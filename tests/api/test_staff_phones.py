"""A shop's phone over HTTP: its cookie, its PIN after ten idle minutes, and what a manager's phone does with others."""

import time
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import httpx2
import pytest
from sqlalchemy import update
from sqlmodel import col, select

from campaigns import clock, ids
from campaigns.places import StaffLink, StaffSession
from campaigns.places.phones import SHOWN_LINK_LIFE
from campaigns.sealing import hash_secret
from campaigns.storage import Database
from tests.api.conftest import House
from tests.api.helpers import PLACE, Shop, made, make_shop, owner, problem, signed_in
from tests.conftest import PIN, Server, wait_until

PAGE = {"Accept": "text/html", "Accept-Language": "en"}
COOKIE = "passerelle_staff"
Row = TypeVar("Row", StaffLink, StaffSession)


@pytest.fixture
def fresh(server: Server) -> Shop:
    """A shop whose phones no other test has."""
    return make_shop(server)


def phones_of(shop: Shop) -> list[dict[str, Any]]:
    with shop.server.api() as api:
        found: list[dict[str, Any]] = api.get(f"/v1/places/{shop.place}/staff-sessions").json()["data"]
        return found


def change(house: House, phone: httpx2.Client, **fields: Any) -> None:
    """Change the phone's session as it is stored."""
    change_row(house, StaffSession, phone.cookies[COOKIE], **fields)


def change_row(house: House, table: type[StaffLink] | type[StaffSession], secret: str, **fields: Any) -> None:
    database = Database(house.database_url)
    with database.transaction() as session:
        session.execute(update(table).where(col(table.secret_hash) == hash_secret(secret)).values(**fields))
    database.close()


def row_of(house: House, table: type[Row], secret: str) -> Row:
    database = Database(house.database_url)
    with database.snapshot() as session:
        found = session.exec(select(table).where(table.secret_hash == hash_secret(secret))).one()
    database.close()
    return found


def age(house: House, phone: httpx2.Client, minutes: int = 11) -> datetime:
    """Let the phone lie idle; when it was last seen then."""
    seen = clock.utc_now() - timedelta(minutes=minutes)
    change(house, phone, last_seen_at=seen)
    return seen


def seen_at(house: House, phone: httpx2.Client) -> datetime:
    return row_of(house, StaffSession, phone.cookies[COOKIE]).last_seen_at


def use(house: House, phone: httpx2.Client) -> None:
    """Use the phone, until that is noted; whatever was to be noted before is noted then, for one thread does it."""
    before = age(house, phone, minutes=5)
    phone.get("/staff")
    wait_until(lambda: seen_at(house, phone) > before)


def link_of(shop: Shop, **body: Any) -> str:
    with shop.server.api() as api:
        answer = made(api.post(f"/v1/places/{shop.place}/staff-links", json=body or None))
    assert answer["role"] == body.get("role", "staff")
    return str(answer["url"])


# Signing in ------------------------------------------------------------------------------------------------------


def test_signing_in_asks_for_four_digits_and_shows_the_form_again_for_anything_else(fresh: Shop) -> None:
    link = link_of(fresh)
    with fresh.server.phone(**PAGE) as phone:
        for typed in ({}, {"pin": ""}, {"pin": "12"}, {"pin": "12345"}, {"pin": "１２３４"}, {"pin": '"><b>'}):
            again = phone.post(link, data=typed)
            assert again.status_code == 422
            assert "A PIN is exactly four digits" in again.text
            assert 'inputmode="numeric" autocomplete="off"' in again.text
            assert "<b>" not in again.text
        assert 'value="12345"' in phone.post(link, data={"pin": "12345"}).text
        problem(phone.post(link, data={"pin": "12"}, headers={"Accept": "application/json"}), 422, "pin_shape")
        problem(phone.post(link, json={"pin": PIN}, headers={"Accept": "application/json"}), 422, "pin_shape")
        assert not phone.cookies
        assert phone.post(link, data={"pin": PIN}).headers["location"] == "/staff"
        assert fresh.server.url not in phone.get("/staff").text


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"used_at": clock.EPOCH}, "this one has signed a phone in"),
        ({"expires_at": clock.EPOCH}, "good for a time that is over"),
    ],
)
def test_a_link_used_or_too_old_says_which(house: House, fresh: Shop, fields: dict[str, Any], sentence: str) -> None:
    link = link_of(fresh)
    change_row(house, StaffLink, link.rpartition("/")[2], **fields)
    with fresh.server.phone(**PAGE) as phone:
        for answer in (phone.get(link), phone.post(link, data={"pin": PIN}), phone.post(link)):
            assert answer.status_code == 410
            assert sentence in answer.text
            assert "Ask your manager for a new link" in answer.text
        assert not phone.cookies


def test_a_cookie_planted_before_the_sign_in_is_never_taken_over(fresh: Shop) -> None:
    with signed_in(fresh) as before, fresh.server.phone(**PAGE) as phone:
        for planted in ("planted-by-a-stranger", before.cookies[COOKIE]):
            phone.cookies.set(COOKIE, planted, domain="127.0.0.1", path="/")
            answer = phone.post(link_of(fresh), data={"pin": PIN})
            given = answer.headers["set-cookie"]
            assert planted not in given
            assert given.startswith(f"{COOKIE}=")
            assert "HttpOnly" in given
            assert "Path=/" in given
            assert "SameSite=lax" in given
            assert "Secure" not in given
        assert before.get("/staff").status_code == 401  # the session whose cookie the browser had has ended
        assert len(phones_of(fresh)) == 2


def test_behind_https_the_cookie_is_bound_to_the_host(https_house: Server) -> None:
    shop = make_shop(https_house)
    path = link_of(shop).removeprefix("https://shop.example")
    with https_house.phone(**PAGE) as phone:
        given = phone.post(path, data={"pin": PIN}).headers["set-cookie"]
        name, _, rest = given.partition("=")
        assert name == "__Host-passerelle_staff"
        assert all(part in rest for part in ("HttpOnly", "Path=/", "SameSite=lax", "Secure"))
        assert "Domain" not in rest
        phone.cookies.clear()
        secret = rest.partition(";")[0]
        assert phone.get("/staff", headers={"Cookie": f"{COOKIE}={secret}"}).status_code == 401
        mine = {"Cookie": f"{name}={secret}"}
        assert phone.get("/staff", headers=mine).status_code == 200
        dropped = phone.post("/staff/sign-out", headers=mine).headers["set-cookie"]
        assert dropped.startswith(f'{name}=""')
        assert "Secure" in dropped
        assert phone.get("/staff", headers=mine).status_code == 401


def test_a_cookie_is_good_for_nothing_after_the_sign_out(fresh: Shop) -> None:
    with signed_in(fresh, **PAGE) as phone:
        secret = phone.cookies[COOKIE]
        assert phone.post("/staff/sign-out").status_code == 303
        assert not phone.cookies
        for path in ("/staff", "/staff/tags", "/staff/stream", "/staff/screen"):
            assert phone.get(path, headers={"Cookie": f"{COOKIE}={secret}"}).status_code == 401
        assert phone.post("/staff/unlock", headers={"Cookie": f"{COOKIE}={secret}"}).status_code == 401


# Locked ----------------------------------------------------------------------------------------------------------


def test_an_idle_phone_asks_for_its_pin_and_then_leads_back(house: House, fresh: Shop) -> None:
    with signed_in(fresh, **PAGE) as phone:
        age(house, phone)
        for path in ("/staff", "/staff?lang=en", "/staff/tags", "/staff/tags/tok_" + "0" * 32):
            page = phone.get(path)
            assert page.status_code == 403
            assert "This phone is locked" in page.text
            assert f'name="next" value="{path}"' in page.text
            assert 'class="digits"' not in page.text
        wrong = phone.post("/staff/unlock", data={"pin": "0000", "next": "/staff/tags"})
        assert wrong.status_code == 422
        assert "4 tries are left" in wrong.text
        assert 'name="next" value="/staff/tags"' in wrong.text
        assert "0000" not in wrong.text
        right = phone.post("/staff/unlock", data={"pin": PIN, "next": "/staff/tags"})
        assert (right.status_code, right.headers["location"]) == (303, "/staff/tags")
        assert phone.get("/staff").status_code == 200
        assert phone.get("/staff/unlock").headers["location"] == "/staff"


def test_a_locked_phone_tells_programs_so(house: House, fresh: Shop) -> None:
    writing = {"uid": "", "was": "empty"}
    with signed_in(fresh, Accept="application/json") as phone:
        age(house, phone)
        for path in ("/staff", "/staff/stream", "/staff/tags"):
            problem(phone.get(path), 403, "locked")
        problem(phone.get("/staff/stream", headers={"Accept": "text/event-stream"}), 403, "locked")
        problem(phone.post(f"/staff/tags/{fresh.token}/writings", json=writing), 403, "locked")
        problem(phone.post("/staff/unlock", data={"pin": "0000"}), 422, "pin_wrong")


def test_a_form_sent_while_locked_does_nothing_and_says_so(house: House, fresh: Shop) -> None:
    with signed_in(fresh, role="manager", **PAGE) as phone, signed_in(fresh) as other:
        theirs = next(one["id"] for one in phones_of(fresh) if one["role"] == "staff")
        age(house, phone)
        for path in (f"/staff/sessions/{theirs}/revocation", "/staff/sign-out", "/staff/links"):
            page = phone.post(path)
            assert page.status_code == 403
            assert "Nothing was done." in page.text
            assert 'name="next" value="/staff"' in page.text
        assert "Nothing was done." not in phone.get("/staff").text
        assert other.get("/staff").status_code == 200
        assert len(phones_of(fresh)) == 2
        assert [one["is_locked"] for one in phones_of(fresh)].count(True) == 1


@pytest.mark.parametrize(
    "following",
    [
        "https://evil.example",
        "//evil.example",
        "/staff//../../t/x",
        "/staff/%2e%2e/t/x",
        "/staff\\evil",
        "/staffed",
        "/staff@evil.example",
        "/t/7K3Q",
        "/staff\n/x",
        "",
        "javascript:alert(1)",
    ],
)
def test_after_the_unlock_only_our_staff_pages_follow(fresh: Shop, following: str) -> None:
    with signed_in(fresh, **PAGE) as phone:
        answer = phone.post("/staff/unlock", data={"pin": PIN, "next": following})
        assert (answer.status_code, answer.headers["location"]) == (303, "/staff")


def test_five_wrong_pins_sign_the_phone_out(house: House, fresh: Shop) -> None:
    with signed_in(fresh, **PAGE) as phone:
        age(house, phone)
        secret = phone.cookies[COOKIE]
        answers = [phone.post("/staff/unlock", data={"pin": f"000{number}"}) for number in range(5)]
        assert [one.status_code for one in answers] == [422, 422, 422, 422, 401]
        assert "One try is left" in answers[3].text
        assert "wrong five times in a row" in answers[4].text
        assert not phone.cookies
        late = phone.post("/staff/unlock", data={"pin": PIN}, headers={"Cookie": f"{COOKIE}={secret}"})
        assert late.status_code == 401
        assert phones_of(fresh) == []
    with signed_in(fresh, Accept="application/json") as phone:
        age(house, phone)
        codes = [phone.post("/staff/unlock", data={"pin": "0000"}).json()["code"] for _ in range(5)]
        assert codes == ["pin_wrong"] * 4 + ["pin_tries"]


def test_unlocking_from_another_site_is_refused(house: House, fresh: Shop) -> None:
    foreign = {"Sec-Fetch-Site": "cross-site"}
    with signed_in(fresh, **PAGE) as phone:
        age(house, phone)
        for _ in range(6):
            assert phone.post("/staff/unlock", data={"pin": "0000"}, headers=foreign).status_code == 403
        assert phone.post("/staff/links", headers=foreign).status_code == 403
        assert phone.post("/staff/unlock", data={"pin": PIN}).status_code == 303


def test_a_stream_that_is_open_ends_when_the_phone_locks(house: House, fresh: Shop) -> None:
    with signed_in(fresh) as phone, phone.stream("GET", "/staff/stream") as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith("event: live")
        age(house, phone)
        end = time.monotonic() + 20  # a stream that goes on says something every 15 s
        for _ in lines:
            assert time.monotonic() < end, "the stream goes on"


# Use -------------------------------------------------------------------------------------------------------------


def test_pages_and_forms_are_use_of_a_phone(house: House, fresh: Shop) -> None:
    with signed_in(fresh, role="manager", **PAGE) as phone:
        for method, path in (("GET", "/staff"), ("GET", "/staff/tags"), ("POST", "/staff/links")):
            before = age(house, phone, minutes=5)
            assert phone.request(method, path).status_code == 200
            wait_until(partial(has_moved, house, phone, before))


def has_moved(house: House, phone: httpx2.Client, before: datetime) -> bool:
    return seen_at(house, phone) > before


def test_what_a_page_asks_for_by_itself_is_no_use(house: House, fresh: Shop) -> None:
    with signed_in(fresh, **PAGE) as phone, signed_in(fresh) as other:
        open_screen(fresh)
        before = age(house, phone, minutes=5)
        for path in ("/staff/screen", "/staff/screen/windows"):
            assert phone.get(path).status_code == 200
        with phone.stream("GET", "/staff/stream") as stream:
            assert next(stream.iter_lines()).startswith("event: live")
        use(house, other)
        assert seen_at(house, phone) == before


def test_a_second_use_within_the_minute_writes_nothing(house: House, fresh: Shop) -> None:
    with signed_in(fresh, **PAGE) as phone, signed_in(fresh) as other:
        before = seen_at(house, phone)
        assert phone.get("/staff").status_code == 200
        use(house, other)
        assert seen_at(house, phone) == before


def open_screen(shop: Shop) -> None:
    with shop.server.api() as api:
        live = {"medium": "qr", "kind": "live", "place_id": shop.place}
        made(api.post(f"/v1/campaigns/{shop.campaign}/tokens", json=live))


def test_the_screen_goes_on_while_the_phone_is_locked(house: House, fresh: Shop) -> None:
    open_screen(fresh)
    with signed_in(fresh, **PAGE) as phone:
        age(house, phone)
        assert phone.get("/staff/screen").status_code == 200
        assert len(phone.get("/staff/screen/windows").json()["digits"]) == 120
        assert phone.get("/staff").status_code == 403


# Managers --------------------------------------------------------------------------------------------------------


def test_only_a_managers_phone_signs_others_in_and_out(house: House, fresh: Shop) -> None:
    with signed_in(fresh, **PAGE) as staff, signed_in(fresh, role="manager", **PAGE) as boss:
        ours, theirs = (
            next(one["id"] for one in phones_of(fresh) if one["role"] == role) for role in ("staff", "manager")
        )
        assert "/revocation" not in staff.get("/staff").text
        assert "/staff/links" not in staff.get("/staff").text
        for path in (f"/staff/sessions/{theirs}/revocation", "/staff/links"):
            refused = staff.post(path)
            assert refused.status_code == 403
            assert "for the manager’s phone" in refused.text
        assert f"/staff/sessions/{ours}/revocation" in boss.get("/staff").text
        page = boss.post("/staff/links", data={"role": "manager"})
        link = page.text.partition('<code class="host">')[2].partition("<")[0]
        assert page.headers["cache-control"] == "no-store"
        row = row_of(house, StaffLink, link[-27:])
        assert (row.role, row.expires_at - row.created_at) == ("manager", SHOWN_LINK_LIFE)
        with fresh.server.phone(**PAGE) as third:
            assert third.post(link, data={"pin": PIN}).status_code == 303
            assert "/staff/links" in third.get("/staff").text
            assert third.post(f"/staff/sessions/{ours}/revocation").status_code == 303
        assert staff.get("/staff").status_code == 401
        assert boss.post("/staff/links", data={"role": "owner"}).status_code == 422


def test_a_role_that_changes_while_a_session_lives_counts_at_once(house: House, fresh: Shop) -> None:
    with signed_in(fresh, role="manager", **PAGE) as phone:
        assert phone.post("/staff/links").status_code == 200
        change(house, phone, role="staff")
        assert phone.post("/staff/links").status_code == 403
        assert "/staff/links" not in phone.get("/staff").text
        change(house, phone, role="manager")
        assert phone.post("/staff/links").status_code == 200


def test_a_staff_phone_signs_itself_out(fresh: Shop) -> None:
    with signed_in(fresh, **PAGE) as staff:
        (mine,) = phones_of(fresh)
        assert staff.post(f"/staff/sessions/{mine['id']}/revocation").status_code == 303
        assert phones_of(fresh) == []


def test_a_manager_reaches_no_phone_of_another_place(fresh: Shop) -> None:
    other = make_shop(fresh.server)
    with signed_in(fresh, role="manager", **PAGE) as boss, signed_in(other) as neighbour:
        (theirs,) = phones_of(other)
        assert boss.post(f"/staff/sessions/{theirs['id']}/revocation").status_code == 404
        assert boss.post("/staff/sessions/ses_x/revocation").status_code == 404
        assert neighbour.get("/staff").status_code == 200


def test_the_api_lists_phones_and_signs_them_out(house: House, fresh: Shop) -> None:
    with signed_in(fresh, role="manager") as phone, fresh.server.api() as api:
        (shown,) = phones_of(fresh)
        assert (shown["role"], shown["is_locked"]) == ("manager", False)
        assert {"id", "label", "created_at", "last_seen_at", "expires_at"} <= shown.keys()
        assert "pin_hash" not in shown
        path = f"/v1/places/{fresh.place}/staff-sessions/{shown['id']}/revocation"
        with owner(house.server, house.other_key) as stranger:
            problem(stranger.post(path), 404)
            problem(stranger.get(f"/v1/places/{fresh.place}/staff-sessions"), 404)
        for _ in range(2):
            assert api.post(path).status_code == 204
        assert phone.get("/staff").status_code == 401
        assert phones_of(fresh) == []
        problem(api.post(path.replace(shown["id"], ids.show("ses", ids.NIL))), 404)


def test_the_body_of_a_staff_link_is_optional_and_names_a_role(fresh: Shop) -> None:
    path = f"/v1/places/{fresh.place}/staff-links"
    with fresh.server.api() as api:
        assert made(api.post(path))["role"] == "staff"
        assert made(api.post(path, json={}))["role"] == "staff"
        assert made(api.post(path, json={"role": "manager"}))["role"] == "manager"
        assert problem(api.post(path, json={"role": "owner"}), 422)["errors"][0]["pointer"] == "/role"
        problem(api.post(path, json={"role": "staff", "place_id": PLACE["name"]}), 422)
        problem(api.post(path, json=[]), 422)


def test_no_pin_is_kept_as_it_was_typed(house: House, fresh: Shop) -> None:
    with signed_in(fresh) as phone:
        staff = row_of(house, StaffSession, phone.cookies[COOKIE])
    assert len(staff.pin_hash or "") == 32
    assert PIN not in {staff.pin_hash, staff.label, staff.secret_hash}


def test_a_phone_without_a_session_has_nothing_to_unlock(fresh: Shop) -> None:
    with fresh.server.phone(Accept="application/json") as phone:
        problem(phone.post("/staff/unlock", data={"pin": PIN}), 401, "not_signed_in")
