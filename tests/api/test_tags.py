"""Tags over HTTP, on both databases: what a shop's phone may note, and the list for encoding services."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.api.conftest import House
from tests.api.helpers import Shop, made, make_shop, owner, problem, signed_in
from tests.conftest import Server

OTHER_PHONE = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/129.0.0.0 Mobile"
META, FILE = "8f1c0c2e5d7a4b3699887766554433ab", "C0FFEE00C0FFEE00C0FFEE00C0FFEE11"
SUN: dict[str, Any] = {"meta_read_key": META, "file_read_key": FILE, "mac_input": "file", "uid": "04DE5F1EACC040"}


@pytest.fixture
def fresh(server: Server) -> Shop:
    """A shop whose tags no other test writes, of one organisation with the others."""
    return make_shop(server)


@pytest.fixture
def till(fresh: Shop) -> Iterator[httpx2.Client]:
    """Its phone, signed in."""
    with signed_in(fresh, Accept="application/json") as phone:
        yield phone


def issue(shop: Shop, **fields: Any) -> dict[str, Any]:
    with shop.server.api() as api:
        body = {"medium": "nfc", "place_id": shop.place, **fields}
        return made(api.post(f"/v1/campaigns/{shop.campaign}/tokens", json=body))


def issue_sun(shop: Shop, **fields: Any) -> dict[str, Any]:
    return issue(shop, kind="sun", sun=SUN, **fields)


def uid_near(token: dict[str, Any]) -> str:
    """A UID that no other test has: all of them share an organisation."""
    return f"04{token['id'][-12:]}".upper()


def said(uid: str) -> str:
    """As Web NFC says it."""
    return bytes.fromhex(uid).hex(":")


def note(phone: httpx2.Client, token: dict[str, Any], **body: Any) -> httpx2.Response:
    return phone.post(f"/staff/tags/{token['id']}/writings", json={"uid": "", "was": "empty", **body})


def tag_of(shop: Shop, token: dict[str, Any]) -> dict[str, Any]:
    with shop.server.api() as api:
        answer = api.get(f"/v1/tokens/{token['id']}/tag")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_a_writing_is_noted_shown_and_locked(fresh: Shop, till: httpx2.Client) -> None:
    token = issue(fresh, label="Window poster")
    before = tag_of(fresh, token)
    assert (before["uid"], before["bound_at"], before["place_id"], before["locked"]) == (None, None, None, False)
    assert before["url"] == f"{fresh.server.url}/t/{token['code']}"
    assert bytes.fromhex(before["message_hex"]).endswith(token["code"].encode())
    uid = uid_near(token)
    writing = made(note(till, token, uid=said(uid)))
    assert (writing["uid"], writing["was"], writing["locked_at"]) == (uid, "empty", None)
    locked = till.post(writing["lock_url"], json={})
    assert locked.json()["locked_at"]
    assert till.post(writing["lock_url"]).json() == locked.json()
    after = tag_of(fresh, token)
    assert (after["uid"], after["place_id"], after["locked"]) == (uid, fresh.place, True)
    assert after["bound_at"] == writing["written_at"]
    page = till.get("/staff/tags?lang=en", headers={"Accept": "text/html"})
    assert bytes.fromhex(uid).hex(" ").upper() in page.text
    assert "locked for good" in page.text


def test_a_tag_of_another_code_is_named_and_moves_when_asked(fresh: Shop, till: httpx2.Client) -> None:
    counter, poster = issue(fresh, label="Counter “A”"), issue(fresh)
    uid = uid_near(counter)
    made(note(till, counter, uid=said(uid)))
    refused = problem(note(till, poster, uid=said(uid)), 409, "tag_taken")
    assert refused["label"] == "Counter “A”"
    assert tag_of(fresh, counter)["uid"] == uid
    made(note(till, poster, uid=uid, replace=True))
    assert (tag_of(fresh, counter)["uid"], tag_of(fresh, poster)["uid"]) == (None, uid)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"uid": "04:a2"}, "/uid"),
        ({"uid": "04:a2:1b:5g"}, "/uid"),
        ({"uid": "a" * 10_000}, "/uid"),
        ({"uid": None}, "/uid"),
        ({"uid": ["04a21b5c"]}, "/uid"),
        ({"uid": "04a2\u00001b5c"}, "/uid"),
        ({"was": "full"}, "/was"),
        ({"was": None}, "/was"),
        ({"replace": "yes"}, "/replace"),
        ({"place_id": "plc_1"}, "/place_id"),
    ],
)
def test_bad_input_is_named_and_nothing_is_noted(
    fresh: Shop, till: httpx2.Client, body: dict[str, Any], pointer: str
) -> None:
    token = issue(fresh)
    answer = problem(note(till, token, **body), 422, "invalid")
    assert [fault["pointer"] for fault in answer["errors"]] == [pointer]
    assert tag_of(fresh, token)["bound_at"] is None


def test_another_shop_s_tag_and_what_is_no_tag_are_not_found(house: House, fresh: Shop, till: httpx2.Client) -> None:
    elsewhere = make_shop(fresh.server)
    theirs = issue(elsewhere)
    unknown = {"id": f"tok_{'0' * 32}"}
    qr = {"id": fresh.token}
    for token in (theirs, unknown, qr, {"id": "tok_x"}, {"id": "x" * 3_000}):
        problem(note(till, token), 404)
        problem(till.get(f"/staff/tags/{token['id']}"), 404)
    with signed_in(elsewhere) as other:
        writing = made(note(other, theirs))
    problem(till.post(writing["lock_url"]), 404)
    problem(till.post(f"/staff/tags/{issue(fresh)['id']}/writings/{writing['id']}/lock"), 404)
    with owner(house.server, house.other_key) as stranger:
        problem(stranger.get(f"/v1/tokens/{theirs['id']}/tag"), 404)
        problem(stranger.get(f"/v1/campaigns/{fresh.campaign}/tags.csv"), 404)
        problem(stranger.get(f"/v1/campaigns/{fresh.campaign}/tags.ndjson"), 404)


def test_a_withdrawn_code_and_a_tag_that_signs_take_no_writing(fresh: Shop, till: httpx2.Client) -> None:
    gone = issue(fresh)
    with fresh.server.api() as api:
        assert api.post(f"/v1/tokens/{gone['id']}/revocation").status_code == 200
    for token in (gone, issue_sun(fresh)):
        problem(note(till, token), 409, "conflict")
        assert tag_of(fresh, token)["bound_at"] is None


def test_a_phone_that_is_not_signed_in_or_another_site_notes_nothing(fresh: Shop, till: httpx2.Client) -> None:
    token = issue(fresh)
    with fresh.server.phone() as stranger:
        for method, path in (
            ("GET", "/staff/tags"),
            ("GET", f"/staff/tags/{token['id']}"),
            ("POST", f"/staff/tags/{token['id']}/writings"),
            ("POST", f"/staff/tags/{token['id']}/writings/wrt_{'0' * 32}/lock"),
        ):
            body = {"was": "empty"} if method == "POST" else None
            problem(stranger.request(method, path, json=body), 401, "not_signed_in")
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        answer = till.post(f"/staff/tags/{token['id']}/writings", json={"was": "empty"}, headers=headers)
        problem(answer, 403, "cross_site")
    assert tag_of(fresh, token)["bound_at"] is None


def test_the_bytes_page_holds_what_the_api_gives_and_never_a_key(fresh: Shop, till: httpx2.Client) -> None:
    plain, signing = issue(fresh), issue_sun(fresh)
    html = {"Accept": "text/html"}
    page = till.get(f"/staff/tags/{plain['id']}?lang=en", headers=html).text
    message = bytes.fromhex(tag_of(fresh, plain)["message_hex"])
    assert message.hex(" ").upper() in page
    assert f"03 {len(message):02X} {message.hex(' ').upper()} FE" in page
    assert "MIRROR_PAGE" in page
    page = till.get(f"/staff/tags/{signing['id']}?lang=en", headers=html).text
    assert "SDMMACOffset" in page
    assert "MIRROR_PAGE" not in page
    assert not any(key.lower() in page.lower() for key in (META, FILE))


def listed(shop: Shop, **query: str) -> dict[str, dict[str, str]]:
    """The lines of the CSV by code; the NDJSON must say the same."""
    with shop.server.api() as api:
        answer = api.get(f"/v1/campaigns/{shop.campaign}/tags.csv", params=query)
        lines = api.get(f"/v1/campaigns/{shop.campaign}/tags.ndjson", params=query)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert "attachment" in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    told = [json.loads(line) for line in lines.text.splitlines()]
    assert [row["code"] for row in rows] == [one["code"] for one in told]
    assert [[text.removeprefix("'") for text in row.values()] for row in rows] == [list(one.values()) for one in told]
    assert not any(key.lower() in text.lower() for key in (META, FILE) for text in (answer.text, lines.text))
    return {row["code"]: row for row in rows}


def test_an_encoding_service_gets_a_line_a_tag(fresh: Shop, till: httpx2.Client) -> None:
    plain, signing = issue(fresh, label="=1+1"), issue_sun(fresh, label="Thé ☕")
    gone, afar = issue(fresh), issue(fresh, place_id=None)
    with fresh.server.api() as api:
        assert api.post(f"/v1/tokens/{gone['id']}/revocation").status_code == 200
    uid = uid_near(plain)
    made(note(till, plain, uid=uid))
    lines = listed(fresh)
    assert set(lines) == {plain["code"], signing["code"], afar["code"]}
    one = lines[plain["code"]]
    assert (one["label"], one["place"], one["kind"], one["uid"]) == ("'=1+1", "Bellecour", "static", uid)
    assert bytes.fromhex(one["ndef_hex"]).endswith(one["url"].partition("://")[2].encode())
    assert one["length"] == str(len(one["ndef_hex"]) // 2)
    assert one["mirror_url"] == f"{one['url']}?m=00000000000000x000000"
    assert one["mirror_fits"] == "NTAG213, NTAG215, NTAG216"
    assert one["sdm_mac_offset"] == one["mode"] == ""
    two = lines[signing["code"]]
    assert (two["label"], two["mode"], two["mac_input"], two["uid"]) == ("Thé ☕", "aes", "file", SUN["uid"])
    file = bytes(2) + bytes.fromhex(two["ndef_hex"])
    assert file[int(two["sdm_mac_offset"]) :] == b"0" * 16
    assert file[int(two["picc_data_offset"]) - 3 :].startswith(b"?e=0")
    assert two["sdm_enc_offset"] == two["sdm_mac_input_offset"]
    assert (two["sdm_enc_length"], two["fits"], two["mirror_url"]) == ("32", "NTAG 424 DNA", "")
    assert set(listed(fresh, place_id=fresh.place)) == {plain["code"], signing["code"]}


def test_the_list_of_a_place_that_is_not_there_is_not_found(fresh: Shop) -> None:
    with fresh.server.api() as api:
        for name in (f"plc_{'0' * 32}", "ext_nothing", "x"):
            problem(api.get(f"/v1/campaigns/{fresh.campaign}/tags.csv", params={"place_id": name}), 404)
        problem(api.get(f"/v1/campaigns/{fresh.campaign}/tags.csv", params={"place_id": "x" * 100}), 422)
    assert listed(fresh) == {}


def test_the_json_of_a_tag_that_signs_names_the_one_chip_that_can(fresh: Shop) -> None:
    signing = issue_sun(fresh)
    with fresh.server.api() as api:
        told = api.get(f"/v1/tokens/{signing['id']}/ndef", headers={"Accept": "application/json"}).json()
    assert told["fits"] == tag_of(fresh, signing)["fits"] == ["NTAG 424 DNA"]
    assert tag_of(fresh, signing)["uid"] == SUN["uid"]


def test_a_list_longer_than_a_page_has_every_line_once(fresh: Shop) -> None:
    with fresh.server.api() as api:
        path = f"/v1/campaigns/{fresh.campaign}/token-batches"
        for _ in range(3):
            made(api.post(path, json={"kind": "serial", "count": 400, "medium": "nfc"}))
    lines = listed(fresh)
    assert len(lines) == 1_200
    assert all(line["kind"] == "serial" and line["mirror_url"] == "" for line in lines.values())


def test_an_unsigned_tag_s_counter_makes_a_visit_plausible_once_it_was_noted(fresh: Shop, till: httpx2.Client) -> None:
    token = issue(fresh)
    uid = uid_near(token)

    def presence(counter: int, **headers: str) -> int:
        with fresh.server.phone(Accept="application/json", **headers) as phone:
            answer = phone.get(f"/t/{token['code']}?m={uid}x{counter:06X}")
        assert answer.json()["verdict"] == "valid"
        return int(answer.json()["presence"])

    assert presence(7) == 0, "nobody knows this tag yet"
    assert note(till, token, uid=said(uid)).status_code == 201
    assert presence(7) == 1
    assert presence(7) == 1, "the same browser"
    assert presence(7, **{"User-Agent": OTHER_PHONE}) == 0
    assert presence(8) == 1
