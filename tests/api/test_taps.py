"""Taps of NTAG 424 DNA tags over HTTP, on both databases: what they prove, and what looks like one and is none."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest

from campaigns.tokens.sun import diversify
from tests.api.conftest import House
from tests.api.helpers import CAMPAIGN, Shop, made, problem
from tests.ntag424 import FILE_READ, META_READ, UID, Tag

KEYS = {"meta_read_key": META_READ.hex(), "file_read_key": FILE_READ.hex()}
OTHER_PHONE = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/129.0.0.0 Mobile"
Answer = dict[str, Any]


def enrol(shop: Shop, **sun: Any) -> str:
    """The code of a new tag in the shop."""
    keys = {} if "key_set_id" in sun else KEYS
    wanted = {"medium": "nfc", "kind": "sun", "place_id": shop.place, "sun": {**keys, **sun}}
    with shop.server.api() as api:
        return str(made(api.post(f"/v1/campaigns/{shop.campaign}/tokens", json=wanted))["code"])


def get(shop: Shop, code: str, query: dict[str, str] | str, method: str = "GET", **headers: str) -> httpx2.Response:
    text = query if isinstance(query, str) else urlencode(query)
    with shop.server.phone(**{"Accept": "application/json", **headers}) as phone:
        return phone.request(method, f"/t/{code}?{text}")


def tapped(shop: Shop, code: str, query: dict[str, str] | str, **headers: str) -> Answer:
    answer = get(shop, code, query, **headers)
    assert answer.status_code == 200, answer.text
    body: Answer = answer.json()
    return body


def said(answer: Answer) -> tuple[str, list[str], int]:
    return answer["verdict"], answer["reasons"], answer["presence"]


@pytest.mark.parametrize("is_lrp", [False, True])
def test_a_tap_is_strong_presence(shop: Shop, is_lrp: bool) -> None:
    code = enrol(shop, mode="lrp" if is_lrp else "aes")
    chip = Tag(is_lrp=is_lrp)
    answer = tapped(shop, code, chip.tap())
    assert said(answer) == ("valid", [], 2)
    with shop.server.phone() as phone:
        done = phone.post(f"/t/{code}/check-in", json={"receipt": answer["receipt"]}).json()
    assert (done["presence"], done["verdict"]) == (2, "valid")
    assert [step["state"] for step in done["steps"]] == ["verified"]


def test_plain_mirrors_and_file_data_are_read(shop: Shop) -> None:
    assert said(tapped(shop, enrol(shop), Tag().tap(plain=True))) == ("valid", [], 2)
    code = enrol(shop, mac_input="file")
    assert said(tapped(shop, code, Tag().tap(file_data=b"sixteen bytes ok"))) == ("valid", [], 2)


def test_the_page_of_a_tap_carries_its_presence(shop: Shop) -> None:
    code = enrol(shop)
    query = Tag().tap()
    html = get(shop, code, query, Accept="text/html").text
    receipt = html.split('name="receipt" value="')[1].split('"')[0]
    with shop.server.phone() as phone:
        done = phone.post(f"/t/{code}/check-in", json={"receipt": receipt}).json()
    assert done["presence"] == 2


def test_a_reload_by_the_same_browser_is_answered_the_same(shop: Shop) -> None:
    code, query = enrol(shop), Tag().tap()
    first, again = tapped(shop, code, query), tapped(shop, code, query)
    assert first == again
    other = tapped(shop, code, query, **{"User-Agent": OTHER_PHONE})
    assert said(other) == ("invalid", ["replayed_counter"], 0)
    assert other["scan_id"] != first["scan_id"]


def test_a_stale_counter_proves_nothing(shop: Shop) -> None:
    code, chip = enrol(shop), Tag()
    early, late = chip.tap(), chip.tap()
    assert said(tapped(shop, code, late)) == ("valid", [], 2)
    assert said(tapped(shop, code, early)) == ("invalid", ["replayed_counter"], 0)


def _double(query: dict[str, str]) -> str:
    return urlencode(query) + f"&c={query['c']}"


def _cut(query: dict[str, str]) -> str:
    return urlencode(query)[:-1]


def _wrong(query: dict[str, str]) -> str:
    return urlencode({**query, "c": "0" * 16})


def _no_mac(query: dict[str, str]) -> str:
    return f"e={query['e']}"


def _with_noise(query: dict[str, str]) -> str:
    return f"e={query['e']}&c=%FF%00zz"


def _many(query: dict[str, str]) -> str:
    return urlencode(query) + "&c=" * 300


@pytest.mark.parametrize("spoil", [_double, _cut, _wrong, _no_mac, _with_noise, _many])
def test_what_the_tag_did_not_sign_is_a_page_without_proof(shop: Shop, spoil: Callable[[dict[str, str]], str]) -> None:
    code, query = enrol(shop), Tag().tap()
    assert said(tapped(shop, code, spoil(query))) == ("invalid", ["bad_mac"], 0)
    assert get(shop, code, spoil(query), Accept="text/html").status_code == 200
    assert said(tapped(shop, code, query)) == ("valid", [], 2), "a bad message spends nothing"


def test_order_case_and_other_parameters_do_not_matter(shop: Shop) -> None:
    code, query = enrol(shop), Tag().tap()
    text = f"utm_source=x&c={query['c'].lower()}&lang=fr&e={query['e'].lower()}"
    assert said(tapped(shop, code, text)) == ("valid", [], 2)


def test_other_keys_and_other_tags_prove_nothing(shop: Shop) -> None:
    code = enrol(shop, uid=UID.hex())
    assert said(tapped(shop, code, Tag(file_read=bytes(16)).tap())) == ("invalid", ["bad_mac"], 0)
    assert said(tapped(shop, code, Tag(uid=bytes.fromhex("04958CAA5C5E80")).tap())) == ("invalid", ["bad_mac"], 0)
    assert said(tapped(shop, code, Tag().tap())) == ("valid", [], 2)


def test_a_uid_without_a_counter_is_no_proof(shop: Shop) -> None:
    code = enrol(shop)
    assert said(tapped(shop, code, Tag().tap(plain=True, mirror_counter=False))) == ("valid", ["uid_only"], 0)


def test_the_bare_address_of_a_tag_claims_nothing(shop: Shop) -> None:
    assert said(tapped(shop, enrol(shop), "")) == ("valid", [], 0)


def test_neither_a_head_nor_a_robot_spends_a_tap(shop: Shop) -> None:
    code, query = enrol(shop), Tag().tap()
    assert get(shop, code, query, method="HEAD").status_code == 200
    assert said(tapped(shop, code, query, **{"User-Agent": "WhatsApp/2.23.20.0"}))[0::2] == ("bot", 0)
    assert said(tapped(shop, code, query, Purpose="prefetch"))[0::2] == ("bot", 0)
    assert said(tapped(shop, code, query)) == ("valid", [], 2)


def test_a_position_does_not_lower_what_a_tap_proved(shop: Shop) -> None:
    code = enrol(shop)
    receipt = tapped(shop, code, Tag().tap())["receipt"]
    fix = {"receipt": receipt, "lat": 45.7578, "lon": 4.8320, "accuracy_m": 10, "age_s": 0}
    with shop.server.phone() as phone:
        assert phone.post(f"/t/{code}/position", json=fix).json()["presence"] == 2


def keep_set(shop: Shop, **fields: Any) -> httpx2.Response:
    with shop.server.api() as api:
        return api.post("/v1/tag-key-sets", json={"label": "Roll of October", **KEYS, **fields})


def test_tags_of_a_batch_name_their_keys_by_id(shop: Shop) -> None:
    diversifier = bytes.fromhex("3042F54E585020416275")
    answer = keep_set(shop, diversifier=diversifier.hex())
    kept = made(answer)
    assert not any(key in answer.text.lower() for key in KEYS.values())
    code = enrol(shop, key_set_id=kept["id"])
    assert said(tapped(shop, code, Tag().tap()))[1] == ["bad_mac"], "the master is no tag's own key"
    chip = Tag(file_read=diversify(FILE_READ, UID + diversifier))
    assert said(tapped(shop, code, chip.tap())) == ("valid", [], 2)
    with shop.server.api() as api:
        listed = api.get("/v1/tag-key-sets").json()["data"]
    assert kept in listed


@pytest.mark.parametrize(
    ("sun", "pointer"),
    [
        ({}, "/sun/meta_read_key"),
        ({"meta_read_key": META_READ.hex()}, "/sun/file_read_key"),
        ({"key_set_id": "tks_0", **KEYS}, "/sun"),
        ({"key_set_id": "tks_0", "mode": "lrp"}, "/sun"),
    ],
)
def test_a_tag_has_its_keys_or_those_of_a_set(shop: Shop, sun: Answer, pointer: str) -> None:
    with shop.server.api() as api:
        body = {"medium": "nfc", "kind": "sun", "sun": sun}
        refusal = problem(api.post(f"/v1/campaigns/{shop.campaign}/tokens", json=body), 422)
    assert refusal["errors"][0]["pointer"] == pointer


def test_a_key_set_is_its_organisation_s_own(house: House, shop: Shop) -> None:
    kept = made(keep_set(shop))
    with house.server.api() as api:
        headers = {"Authorization": f"Bearer {house.other_key}"}
        assert api.get("/v1/tag-key-sets", headers=headers).json()["data"] == []
        theirs = made(api.post("/v1/campaigns", json=CAMPAIGN, headers=headers))
        body = {"medium": "nfc", "kind": "sun", "sun": {"key_set_id": kept["id"]}}
        problem(api.post(f"/v1/campaigns/{theirs['id']}/tokens", json=body, headers=headers), 404)


@pytest.mark.parametrize("diversifier", ["", "0", "zz", "00" * 25])
def test_a_diversifier_leaves_room_for_the_uid(shop: Shop, diversifier: str) -> None:
    refusal = problem(keep_set(shop, diversifier=diversifier), 422)
    assert refusal["errors"][0]["pointer"] == "/diversifier"
