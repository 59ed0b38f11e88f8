"""Sun tokens over HTTP, on both databases: their keys go in and never come out."""

from typing import Any
from uuid import uuid4

import httpx2
import pytest

from campaigns import ids, tokens
from campaigns.sealing import Keyring
from campaigns.storage import Database
from tests.api.conftest import House
from tests.api.helpers import Shop, made, problem
from tests.conftest import SECRET

META, FILE = "8f1c0c2e5d7a4b3699887766554433ab", "C0FFEE00C0FFEE00C0FFEE00C0FFEE11"
SUN: dict[str, Any] = {"meta_read_key": META, "file_read_key": FILE}
WANTED: dict[str, Any] = {"medium": "nfc", "kind": "sun", "sun": SUN}


def ask(shop: Shop, headers: dict[str, str] | None = None, **body: Any) -> httpx2.Response:
    with shop.server.api() as api:
        return api.post(f"/v1/campaigns/{shop.campaign}/tokens", json=body, headers=headers)


def shows_a_key(text: str) -> bool:
    return any(key in text.lower() for key in (META.lower(), FILE.lower()))


def test_a_sun_token_keeps_its_keys_to_itself(house: House, shop: Shop) -> None:
    answer = ask(shop, **WANTED, place_id=shop.place)
    token = made(answer)
    assert (token["kind"], token["medium"], token["state"]) == ("sun", "nfc", "active")
    with shop.server.api() as api:
        texts = [api.get(f"/v1/tokens/{token['id']}").text, api.get(f"/v1/campaigns/{shop.campaign}/tokens").text]
    assert not any(shows_a_key(text) for text in [answer.text, *texts])
    database = Database(house.database_url)
    with database.snapshot() as session:
        tag = tokens.find_tag(session, ids.parse("tok", token["id"]))
        assert tag is not None
        assert (tag.mode, tag.mac_input, tag.uid) == ("aes", "empty", None)
        assert Keyring(SECRET).open_tag_keys(tag.sealed_keys) == bytes.fromhex(META + FILE)
    database.close()


def test_a_tag_is_described_as_it_was_written(house: House, shop: Shop) -> None:
    token = made(ask(shop, **WANTED | {"sun": {**SUN, "uid": "04de5f1eacc040", "mode": "lrp", "mac_input": "file"}}))
    database = Database(house.database_url)
    with database.snapshot() as session:
        tag = tokens.find_tag(session, ids.parse("tok", token["id"]))
        assert tag is not None
        assert (tag.mode, tag.mac_input, tag.uid) == ("lrp", "file", "04DE5F1EACC040")
    database.close()


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"sun": None}, "/sun"),
        ({"kind": "static"}, "/sun"),
        ({"medium": "qr"}, "/medium"),
        ({"kind": "serial"}, "/kind"),
        ({"sun": {"meta_read_key": META}}, "/sun/file_read_key"),
        ({"sun": {**SUN, "file_read_key": FILE[:-1]}}, "/sun/file_read_key"),
        ({"sun": {**SUN, "file_read_key": FILE + "0"}}, "/sun/file_read_key"),
        ({"sun": {**SUN, "meta_read_key": META[:-1] + "g"}}, "/sun/meta_read_key"),
        ({"sun": {**SUN, "meta_read_key": [META]}}, "/sun/meta_read_key"),
        ({"sun": {**SUN, "uid": "04de5f1eacc0"}}, "/sun/uid"),
        ({"sun": {**SUN, "mode": "des"}}, "/sun/mode"),
        ({"sun": {**SUN, "mac_input": "all"}}, "/sun/mac_input"),
        ({"sun": {**SUN, "counter": 3}}, "/sun/counter"),
        ({"sun": META}, "/sun"),
    ],
)
def test_a_refused_tag_is_named_and_its_keys_are_not(shop: Shop, change: dict[str, Any], pointer: str) -> None:
    answer = ask(shop, **WANTED | change)
    assert [fault["pointer"] for fault in problem(answer, 422)["errors"]] == [pointer]
    assert not shows_a_key(answer.text)
    assert FILE[:-1].lower() not in answer.text.lower()


def test_a_tag_is_told_what_to_write_and_where(shop: Shop) -> None:
    token = made(ask(shop, **WANTED))
    with shop.server.api() as api:
        message = api.get(f"/v1/tokens/{token['id']}/ndef").content
        told = api.get(f"/v1/tokens/{token['id']}/ndef", headers={"Accept": "application/json"}).json()
        plain = api.get(f"/v1/tokens/{shop.token}/ndef", headers={"Accept": "application/json"}).json()
    assert message.endswith(f"/t/{token['code']}?e={'0' * 32}&c={'0' * 16}".encode())
    assert bytes.fromhex(told["hex"]) == message
    assert told["sun"]["mac"] == told["sun"]["mac_input"] == 2 + len(message) - 16
    assert told["sun"]["picc_data"] == 2 + len(message) - 16 - 3 - 32
    assert "sun" not in plain


def test_a_batch_has_no_sun_tokens(shop: Shop) -> None:
    with shop.server.api() as api:
        path = f"/v1/campaigns/{shop.campaign}/token-batches"
        assert problem(api.post(path, json={"kind": "sun", "count": 3, "medium": "nfc"}), 422)


def test_a_repeated_request_enrols_one_tag(shop: Shop) -> None:
    headers = {"Idempotency-Key": str(uuid4())}
    first, second = (ask(shop, headers=headers, **WANTED) for _ in range(2))
    assert made(first) == made(second)
    assert ask(shop, headers=headers, **WANTED | {"sun": {**SUN, "mode": "lrp"}}).status_code == 422


def test_the_contract_says_that_keys_are_written_only(shop: Shop) -> None:
    with shop.server.api() as api:
        schemas = api.get("/openapi.json").json()["components"]["schemas"]
    keys = [schemas["SunCreate"]["properties"][name] for name in ("meta_read_key", "file_read_key")]
    assert all(key["writeOnly"] for key in keys)
    assert "sun" not in schemas["TokenRead"]["properties"]
