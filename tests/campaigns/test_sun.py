"""SUN messages of NTAG 424 DNA tags: published vectors, a tag written from the application notes, and garbage."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import ndef
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.errors import Invalid
from campaigns.tokens.lrp import Lrp, encrypt_block
from campaigns.tokens.ndef import uri_message
from campaigns.tokens.sun import (
    Keys,
    MacInput,
    Mode,
    Reason,
    Tap,
    cmac,
    diversify,
    is_signed,
    offsets,
    placeholders,
    session_key_lrp,
    session_keys,
    verify,
)
from tests.ntag424 import FILE_READ, META_READ, UID, Tag

FILES = Path(__file__).resolve().parent.parent / "vectors"
PUBLISHED, MORE = (json.loads((FILES / name).read_text()) for name in ("sun.json", "sun_more.json"))
PARAMETERS = {"picc_data": "e", "cmac": "c", "enc": "f", "plain_uid": "uid", "plain_ctr": "ctr"}
VALID = [*PUBLISHED["valid"], *MORE["valid"]]
KEYS = Keys(META_READ, FILE_READ)
BAD = Tap(reason=Reason.BAD_MAC)
SHOWN_UID = UID.hex().upper()
uids = st.binary(min_size=7, max_size=7)


def parameters_of(vector: dict[str, Any]) -> dict[str, str]:
    return {ours: vector[theirs] for theirs, ours in PARAMETERS.items() if theirs in vector}


def verify_vector(vector: dict[str, Any], **overrides: Any) -> Tap:
    keys = Keys(
        bytes.fromhex(vector["sdm_meta_read_key"]),
        bytes.fromhex(vector["sdm_file_read_key"]),
        bytes.fromhex(vector["diversifier"]) if "diversifier" in vector else None,
    )
    mode = Mode(vector["mode"].lower())
    given = overrides.get("parameters", parameters_of(vector))
    return verify(given, keys, mode=mode, mac_input=vector["mac_input"].encode())


def primitives(*names: str) -> list[Any]:
    found = [one for one in PUBLISHED["primitives"] if one["name"].startswith(names)]
    return [pytest.param(one["input"], bytes.fromhex(one["expected"]), id=one["name"]) for one in found]


def named(vectors: list[dict[str, Any]]) -> list[Any]:
    return [pytest.param(one, id=one.get("name")) for one in vectors]


# Published vectors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", named(VALID))
def test_a_published_message_is_read(vector: dict[str, Any]) -> None:
    file_data = vector.get("expected_file_data")
    counter = vector.get("expected_counter")
    assert verify_vector(vector) == Tap(
        uid=vector.get("expected_uid"),
        counter=counter,
        file_data=bytes.fromhex(file_data) if file_data else None,
        reason=None if counter is not None else Reason.UID_ONLY,
    )


@pytest.mark.parametrize("vector", named(PUBLISHED["invalid"]))
def test_a_published_forgery_is_refused(vector: dict[str, Any]) -> None:
    assert verify_vector(vector) == BAD


def test_a_published_address_is_read_as_it_stands() -> None:
    vector = PUBLISHED["valid"][0]
    assert verify_vector(vector, parameters=urlsplit(vector["url"]).query).counter == 61
    assert verify_vector(vector, parameters=urlsplit(vector["url"]).query.encode()).uid == "04DE5F1EACC040"


@pytest.mark.parametrize("vector", named(VALID))
def test_a_published_message_under_another_key_is_refused(vector: dict[str, Any]) -> None:
    for name in ("sdm_file_read_key", *(["sdm_meta_read_key"] if "picc_data" in vector else [])):
        assert verify_vector({**vector, name: "01" * 16}) == BAD


@pytest.mark.parametrize(("given", "expected"), primitives("rfc4493", "an12196-t5-full", "an12196-t6-full"))
def test_aes_cmac_is_the_standard_s(given: dict[str, str], expected: bytes) -> None:
    message = given["message_ascii"].encode() if "message_ascii" in given else bytes.fromhex(given["message"])
    assert cmac(bytes.fromhex(given["key"]), message) == expected


@pytest.mark.parametrize(("given", "expected"), primitives("an12196-t8"))
def test_a_tag_sends_every_second_byte_of_a_mac(given: dict[str, str], expected: bytes) -> None:
    assert cmac(bytes.fromhex(given["key"]), bytes.fromhex(given["message"]))[1::2] == expected


@pytest.mark.parametrize(
    ("given", "expected"), primitives("an12196-t2-", "an12196-t4-enc", "an12196-t5-mac", "an12196-t6-mac")
)
def test_session_keys_are_the_application_note_s(given: dict[str, str], expected: bytes) -> None:
    keys = session_keys(*(bytes.fromhex(given[name]) for name in ("key", "uid", "ctr_le")))
    assert expected in keys
    if "sv" in given:
        assert cmac(bytes.fromhex(given["key"]), bytes.fromhex(given["sv"])) == expected
        assert keys.index(expected) == (0 if given["sv"].startswith("c33c") else 1)


@pytest.mark.parametrize(("given", "expected"), primitives("an12196-t24"))
def test_keys_of_an_authentication_come_from_the_same_cmac(given: dict[str, str], expected: bytes) -> None:
    """Table 24 is a reader's authentication, which a web server never does: only its CMAC is ours."""
    a, b = bytes.fromhex(given["rnda"]), bytes.fromhex(given["rndb"])
    mixed = a[:2] + bytes(x ^ y for x, y in zip(a[2:8], b[:6], strict=True)) + b[6:] + a[8:]
    vectors = (start + bytes.fromhex("00010080") + mixed for start in (b"\xa5\x5a", b"\x5a\xa5"))
    assert expected in [cmac(bytes.fromhex(given["key"]), vector) for vector in vectors]


@pytest.mark.parametrize(("given", "expected"), primitives("an12196-t4-file-iv"))
def test_a_block_is_encrypted_as_the_application_note_does(given: dict[str, str], expected: bytes) -> None:
    assert encrypt_block(bytes.fromhex(given["key"]), bytes.fromhex(given["block"])) == expected


@pytest.mark.parametrize(("given", "expected"), primitives("an10922"))
def test_a_tag_s_own_key_is_the_application_note_s(given: dict[str, str], expected: bytes) -> None:
    assert diversify(bytes.fromhex(given["master"]), bytes.fromhex(given["div_input"])) == expected


def test_every_published_primitive_is_tried() -> None:
    prefixes = ("rfc4493", "an10922", "an12196-t2", "an12196-t4", "an12196-t5", "an12196-t6", "an12196-t8")
    assert all(one["name"].startswith(prefixes) for one in PUBLISHED["primitives"])


@pytest.mark.parametrize("vector", named(MORE["lrp_mac"]))
def test_an_lrp_mac_is_the_application_note_s(vector: dict[str, Any]) -> None:
    mac = Lrp(bytes.fromhex(vector["key"])).mac(bytes.fromhex(vector["message"]))
    assert mac.hex().upper() == vector["expected"]


@pytest.mark.parametrize("vector", named(MORE["lrp_evaluation"]))
def test_lrp_is_the_application_note_s(vector: dict[str, Any]) -> None:
    made = Lrp(bytes.fromhex(vector["key"]), vector["number"])
    assert made.evaluate(bytes.fromhex(vector["data"]), is_final=vector["is_final"]).hex().upper() == vector["expected"]


@pytest.mark.parametrize("vector", named(MORE["lrp_decryption"]))
def test_lrp_decrypts_as_the_application_note_does(vector: dict[str, Any]) -> None:
    made = Lrp(bytes.fromhex(vector["key"]))
    found = made.decrypt(bytes.fromhex(vector["data"]), counter=bytes.fromhex(vector["counter"]))
    assert found.hex().upper() == vector["expected"]


def test_the_lrp_session_key_is_that_of_a_published_tap() -> None:
    key = session_key_lrp(bytes(16), bytes.fromhex("042E1D222A6380"), bytes.fromhex("6A0000"))
    assert key.hex() == "99c2fd9c885c2ca3c9089c20057310c0"  # sdm-backend tests/test_lrp_sdm.py @0967f76


# A tag that taps -------------------------------------------------------------------------------------------------


def read(tag: Tag, given: Any, **options: Any) -> Tap:
    return verify(given, Keys(tag.meta_read, tag.file_read), mode=Mode.LRP if tag.is_lrp else Mode.AES, **options)


@settings(max_examples=60, deadline=None)
@given(st.booleans(), st.booleans(), st.integers(1, 2**24 - 1), uids, st.binary(max_size=128))
def test_what_a_tag_writes_is_read_back(is_lrp: bool, plain: bool, counter: int, uid: bytes, data: bytes) -> None:
    whole = data[: len(data) // 16 * 16] or None
    tag = Tag(uid=uid, is_lrp=is_lrp, counter=counter - 1)
    taken = read(tag, tag.tap(plain=plain, file_data=whole), mac_input=MacInput.FILE if whole else MacInput.EMPTY)
    assert taken == Tap(uid.hex().upper(), counter, whole)
    assert taken.is_authentic


@settings(max_examples=60, deadline=None)
@given(st.booleans(), st.booleans(), st.booleans(), st.data())
def test_one_flipped_bit_anywhere_is_refused(is_lrp: bool, plain: bool, has_file: bool, data: st.DataObject) -> None:
    tag = Tag(is_lrp=is_lrp, counter=61)
    taken = tag.tap(plain=plain, file_data=b"16 bytes of text" if has_file else None)
    name = data.draw(st.sampled_from(sorted(taken)))
    value = bytearray.fromhex(taken[name])
    bit = data.draw(st.integers(0, len(value) * 8 - 1))
    value[bit // 8] ^= 1 << bit % 8
    flipped = {**taken, name: value.hex().upper()}
    assert read(tag, flipped, mac_input=MacInput.FILE if has_file else MacInput.EMPTY) == BAD


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_garbage_never_raises(garbage: bytes) -> None:
    for mode in Mode:
        for mac_input in (*MacInput, garbage):
            assert verify(garbage, KEYS, mode=mode, mac_input=mac_input) == BAD
            assert verify(garbage.decode("latin-1"), KEYS, mode=mode, mac_input=mac_input) == BAD


values = st.text(max_size=40) | st.binary(max_size=24).map(bytes.hex) | st.none() | st.integers() | st.lists(st.text())


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(["e", "c", "f", "uid", "ctr", "E", "lang"]), values), st.sampled_from(Mode))
def test_wild_parameters_never_raise(wild: dict[str, Any], mode: Mode) -> None:
    assert verify(wild, KEYS, mode=mode) == BAD
    assert verify(urlencode(wild, doseq=True), KEYS, mode=mode, mac_input=MacInput.FILE) == BAD
    assert is_signed(wild) == any(name in wild for name in ("e", "c", "f", "uid", "ctr"))


@settings(max_examples=200, deadline=None)
@given(st.binary(min_size=16, max_size=24), st.binary(min_size=8, max_size=8), st.sampled_from(Mode))
def test_random_messages_of_the_right_size_are_refused(sealed: bytes, mac: bytes, mode: Mode) -> None:
    """A wrong key opens to any tag of PICC data there is."""
    assert verify({"e": sealed.hex(), "c": mac.hex()}, KEYS, mode=mode) == BAD


@pytest.mark.parametrize("is_lrp", [False, True])
@pytest.mark.parametrize("plain", [False, True])
def test_a_tag_without_its_counter_proves_nothing(is_lrp: bool, plain: bool) -> None:
    tag = Tag(is_lrp=is_lrp)
    first, second = (tag.tap(plain=plain, mirror_counter=False) for _ in range(2))
    assert first["c"] == second["c"]
    assert read(tag, first) == Tap(uid=SHOWN_UID, reason=Reason.UID_ONLY)
    assert not read(tag, first).is_authentic
    assert read(tag, {**first, "c": "00" * 8}) == BAD


@pytest.mark.parametrize("is_lrp", [False, True])
def test_a_constant_mac_is_not_taken_for_that_of_counter_zero(is_lrp: bool) -> None:
    """The session vector is filled up with zeros, so the MAC of a UID alone is that of its counter 0."""
    tag = Tag(is_lrp=is_lrp)
    constant = {**tag.tap(plain=True, mirror_counter=False), "ctr": "000000"}
    assert read(tag, constant) == Tap(uid=SHOWN_UID, reason=Reason.UID_ONLY)
    nameless = {**tag.tap(plain=True, mirror_uid=False, mirror_counter=False), "ctr": "000000"}
    assert read(tag, nameless) == BAD


@pytest.mark.parametrize("is_lrp", [False, True])
@pytest.mark.parametrize("plain", [False, True])
def test_a_tag_that_hides_its_uid_is_known_by_its_key(is_lrp: bool, plain: bool) -> None:
    tag = Tag(is_lrp=is_lrp, counter=8)
    taken = tag.tap(plain=plain, mirror_uid=False)
    assert read(tag, taken) == Tap(counter=9)
    assert verify(taken, Keys(META_READ, b"another key, not"), mode=Mode.LRP if is_lrp else Mode.AES) == BAD


@pytest.mark.parametrize("is_lrp", [False, True])
def test_a_tag_that_mirrors_nothing_is_refused(is_lrp: bool) -> None:
    tag = Tag(is_lrp=is_lrp)
    for plain in (False, True):
        assert read(tag, tag.tap(plain=plain, mirror_uid=False, mirror_counter=False)) == BAD


def test_another_tag_with_the_same_keys_is_refused_where_one_is_expected() -> None:
    tag, other = Tag(), Tag(uid=bytes.fromhex("04958CAA5C5E80"))
    for plain in (False, True):
        assert read(tag, tag.tap(plain=plain), uid=SHOWN_UID.lower()).is_authentic
        assert read(tag, other.tap(plain=plain), uid=SHOWN_UID) == BAD
    assert read(tag, other.tap(mirror_counter=False), uid=SHOWN_UID) == BAD


def test_the_mode_of_the_tag_is_the_one_it_was_enrolled_with() -> None:
    for is_lrp in (False, True):
        for plain in (False, True):
            taken = Tag(is_lrp=is_lrp).tap(plain=plain)
            assert verify(taken, KEYS, mode=Mode.AES if is_lrp else Mode.LRP) == BAD


def test_each_tag_may_have_a_key_of_its_own() -> None:
    diversifier = bytes.fromhex("3042F5") + b"NXP Abu"
    own = bytes.fromhex("A8DD63A3B89D54B37CA802473FDA9175")  # NXP AN10922, section 2.2.1
    keys = Keys(META_READ, bytes.fromhex("00112233445566778899AABBCCDDEEFF"), diversifier)
    tag = Tag(uid=bytes.fromhex("04782E21801D80"), file_read=own)
    for plain in (False, True):
        assert verify(tag.tap(plain=plain), keys).uid == "04782E21801D80"
    hidden = tag.tap(mirror_uid=False)
    assert verify(hidden, keys) == verify(hidden, Keys(META_READ, keys.file_read, b"")) == BAD
    assert verify(hidden, keys, uid="04782E21801D80").counter == 3
    assert verify(Tag(uid=UID, file_read=own).tap(), keys) == BAD


# Parameters ------------------------------------------------------------------------------------------------------


def test_parameters_come_in_any_order_and_among_others() -> None:
    taken = Tag().tap(file_data=b"16 bytes of text")
    for order in (taken, dict(reversed(taken.items())), {"ee": "00", "lang": "fr", "E": "zz", **taken, "fbclid": "a"}):
        assert verify(urlencode(order), KEYS, mac_input=MacInput.FILE).file_data == b"16 bytes of text"
        assert verify(order, KEYS, mac_input=MacInput.FILE).counter == 1


def test_lower_case_says_the_same() -> None:
    taken = {name: value.lower() for name, value in Tag().tap(file_data=b"16 bytes of text").items()}
    assert verify(taken, KEYS, mac_input=MacInput.FILE).file_data == b"16 bytes of text"
    assert verify({name.upper(): value for name, value in taken.items()}, KEYS, mac_input=MacInput.FILE) == BAD


@pytest.mark.parametrize("name", ["e", "c", "f"])
@pytest.mark.parametrize("first", [True, False])
def test_a_parameter_given_twice_is_refused(name: str, first: bool) -> None:
    taken = Tag().tap(file_data=b"16 bytes of text")
    twin, whole = urlencode({name: taken[name]}), urlencode(taken)
    query = f"{twin}&{whole}" if first else f"{whole}&{twin}"
    assert verify(query, KEYS, mac_input=MacInput.FILE) == BAD


def cut(value: str) -> list[str]:
    return ["", value[:-1], value[:-2], value[1:], value + "0", value + "00", value[:-1] + "G", value[:-1] + "\u0661"]


@pytest.mark.parametrize("plain", [False, True])
def test_a_cut_or_foreign_value_is_refused(plain: bool) -> None:
    taken = Tag().tap(plain=plain, file_data=b"16 bytes of text")
    for name, value in taken.items():
        wrong = [*cut(value), value[:-3] + " " + value[-2:], "0x" + value[2:], value[:-1] + "\n", value + "\0", None]
        for one in wrong:
            assert verify({**taken, name: one}, KEYS, mac_input=MacInput.FILE) == BAD, (name, one)
            assert verify(urlencode({**taken, name: str(one)}), KEYS, mac_input=MacInput.FILE) == BAD, (name, one)


@pytest.mark.parametrize("plain", [False, True])
def test_a_missing_parameter_is_refused(plain: bool) -> None:
    taken = Tag().tap(plain=plain, file_data=b"16 bytes of text")
    for name in taken:
        left = {other: value for other, value in taken.items() if other != name}
        assert verify(left, KEYS, mac_input=MacInput.FILE) == BAD, name
    assert verify("", KEYS) == verify({}, KEYS) == verify("?", KEYS) == BAD


def test_plain_and_encrypted_mirrors_together_are_refused() -> None:
    taken = Tag().tap()
    assert verify({**taken, "uid": SHOWN_UID}, KEYS) == BAD
    assert verify({**taken, "ctr": "000001"}, KEYS) == BAD


def test_file_data_that_the_mac_does_not_cover_are_refused() -> None:
    taken = Tag().tap()
    assert verify(taken, KEYS).is_authentic
    assert verify({**taken, "f": "00" * 16}, KEYS) == BAD
    assert verify({**taken, "f": "00" * 16}, KEYS, mac_input=b"") == BAD


def test_a_tag_written_by_others_signs_a_text_of_its_own() -> None:
    text = b"uid=04DE5F1EACC040&ctr=000001&c="
    taken = Tag().tap(plain=True, signed=text)
    assert verify(taken, KEYS, mac_input=text).counter == 1
    assert verify(taken, KEYS, mac_input=text + b" ") == BAD


def test_file_data_have_a_length() -> None:
    for size, is_read in ((16, True), (128, True), (144, False), (24, False)):
        taken = Tag().tap(file_data=bytes(size // 16 * 16))
        if size % 16:
            taken["f"] += "00" * (size % 16)
        assert verify(taken, KEYS, mac_input=MacInput.FILE).is_authentic is is_read


def test_an_endless_query_is_refused() -> None:
    taken = urlencode(Tag().tap())
    assert verify(f"{taken}&a={'b' * 1800}", KEYS).is_authentic
    assert verify(f"{taken}&a={'b' * 2000}", KEYS) == BAD
    assert verify(taken + "&a=b" * 60, KEYS) == BAD


@pytest.mark.parametrize("tag", [0x07, 0x47, 0x80, 0x84, 0xC4, 0xCA, 0xD7, 0xE7, 0x40, 0xC7, 0x00, 0xFF])
def test_picc_data_say_what_follows(tag: int) -> None:
    """Of the tags that a chip can write, only those with a UID of seven bytes or none, and no bit of the future."""
    chip = Tag()
    low_first = b"\x01\0\0"
    mirrored = (UID if tag & 0x80 else b"") + (low_first if tag & 0x40 else b"")
    taken = chip.tap(mirror_uid=bool(tag & 0x80), mirror_counter=bool(tag & 0x40))
    taken["e"] = chip._seal_picc_data((bytes([tag]) + mirrored).ljust(16, b"\0"), b"").hex()
    assert verify(taken, KEYS).is_authentic is (tag in (0xC7, 0x47, 0x40))


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("mac_input", MacInput)
@pytest.mark.parametrize(
    "host", ["https://shop.example", "http://" + "long-name." * 12 + "example:8000/go?e=1&f=2&c=3&a"]
)
def test_a_tag_that_writes_where_it_is_told_is_read(mode: Mode, mac_input: MacInput, host: str) -> None:
    message = uri_message(f"{host}/t/7K3Q9XABW4{placeholders(mode, mac_input)}")
    places = offsets(message)
    has_file = mac_input is MacInput.FILE
    taken = Tag(is_lrp=mode is Mode.LRP).tap(file_data=b"0" * 16 if has_file else None)
    file = bytearray(len(message).to_bytes(2, "big") + message)
    for name, start in (("e", places.picc_data), ("f", places.file_data), ("c", places.mac)):
        if start is not None:
            assert set(file[start : start + len(taken[name])]) == {ord("0")}
            file[start : start + len(taken[name])] = taken[name].encode()
    assert file[places.mac_input : places.mac].decode() == (f"{taken['f']}&c=" if has_file else "")
    (record,) = ndef.message_decoder(bytes(file[2:]))
    query = record.iri.rpartition("?")[2]
    assert verify(query, KEYS, mode=mode, mac_input=mac_input) == Tap(SHOWN_UID, 1, b"0" * 16 if has_file else None)


def test_a_bare_address_is_no_forgery() -> None:
    assert not is_signed("")
    assert not is_signed("lang=fr&E=1&ee=2&uids=3")
    assert is_signed("lang=fr&c=")
    assert is_signed(b"uid=%00")
    assert is_signed("a=b&" * 60)  # what cannot be read is not taken for bare


# Keys ------------------------------------------------------------------------------------------------------------


def test_keys_have_sixteen_bytes_and_never_show() -> None:
    for short in (b"", bytes(15), bytes(17), bytes(32)):
        with pytest.raises(Invalid):
            Keys(short, bytes(16))
        with pytest.raises(Invalid):
            Keys(bytes(16), short)
    with pytest.raises(Invalid):
        Keys(bytes(16), bytes(16), bytes(25))
    assert Keys(bytes(16), bytes(16), bytes(24)).diversifier == bytes(24)
    assert META_READ.hex() not in repr(KEYS)
    assert repr(META_READ) not in repr(KEYS)


def test_a_diversification_input_has_an_end() -> None:
    for master, data in ((bytes(15), b"a"), (bytes(16), b""), (bytes(16), bytes(32))):
        with pytest.raises(Invalid):
            diversify(master, data)
    assert len(diversify(bytes(16), bytes(31))) == 16


def test_a_short_diversification_input_is_filled_up_to_two_blocks() -> None:
    # AN10922, section 2.2: padded to 32 bytes whatever its length; libfreefare once had one block (its issue 91).
    assert diversify(bytes(16), UID) != cmac(bytes(16), b"\x01" + UID)
    assert diversify(bytes(16), UID * 3) == cmac(bytes(16), b"\x01" + UID * 3)
