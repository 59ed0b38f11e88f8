"""What an encoder writes: against the data sheet's own example, an NDEF library, and by hand."""

import ndef as ndeflib
import pytest

from campaigns.ids import NIL
from campaigns.tokens import SunTag
from campaigns.tokens.encoding import encoding_of, mirror_of, pages_of
from campaigns.tokens.ndef import uri_message
from campaigns.tokens.sun import MacInput, Mode

BASE = "https://shop.example"
CODE = "7K3Q9XABW4"


def sun_tag(mode: Mode = Mode.AES, mac_input: MacInput = MacInput.EMPTY) -> SunTag:
    return SunTag(token_id=NIL, sealed_keys=b"", mode=mode, mac_input=mac_input)


def test_the_mirror_lies_where_the_data_sheet_s_example_has_it() -> None:
    # NXP NTAG213F/216F, table 18: a Lock Control TLV of five bytes first, the mirror from page 0Ch, byte 1; CFG0 D4.
    mirror = mirror_of("http://www.nxp.com/index.html", before=5)
    assert mirror.encoding.url == "http://www.nxp.com/index.html?m=00000000000000x000000"
    assert (mirror.page, mirror.byte, mirror.octet) == (0x0C, 1, 0xD4)


@pytest.mark.parametrize("code", ["7", "7K", "7K3", "7K3Q", CODE, "7K3Q9XABW47K3Q9X"])
def test_a_mirror_put_in_at_its_page_and_byte_gives_the_address_of_the_tap(code: str) -> None:
    mirror = mirror_of(f"{BASE}/t/{code}")
    memory = bytearray(16) + mirror.encoding.tlv
    start = 4 * mirror.page + mirror.byte
    memory[start : start + 21] = b"04E141124C2880x003F31"
    length = memory[17]
    (record,) = ndeflib.message_decoder(bytes(memory[18 : 18 + length]))
    assert record.iri == f"{BASE}/t/{code}?m=04E141124C2880x003F31"
    assert mirror.octet == 0xC4 | mirror.byte << 4


def test_a_mirror_is_offered_for_the_chips_that_have_it() -> None:
    mirror = mirror_of(f"{BASE}/t/{CODE}")
    assert mirror.encoding.fits == ["NTAG213", "NTAG215", "NTAG216"]
    assert mirror.configuration_pages == {"NTAG213": 0x29, "NTAG215": 0x83, "NTAG216": 0xE3}
    long = mirror_of(f"{BASE}/{'x' * 200}/t/{CODE}")
    assert long.configuration_pages == {"NTAG215": 0x83, "NTAG216": 0xE3}


def test_a_plain_tag_carries_the_address_alone() -> None:
    written = encoding_of(CODE, BASE, None)
    assert (written.url, written.message) == (f"{BASE}/t/{CODE}", uri_message(f"{BASE}/t/{CODE}"))
    assert written.fits == ["NTAG213", "NTAG 424 DNA", "NTAG215", "NTAG216"]
    assert written.offsets is None


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("mac_input", MacInput)
def test_a_tag_that_signs_is_one_chip_and_its_zeros_are_where_the_offsets_say(mode: Mode, mac_input: MacInput) -> None:
    written = encoding_of(CODE, BASE, sun_tag(mode, mac_input))
    assert written.fits == ["NTAG 424 DNA"]
    file, at = bytes(2) + written.message, written.offsets
    assert at is not None
    assert file[at.picc_data - 3 : at.picc_data] == b"?e="
    assert file[at.mac - 3 : at.mac] == b"&c="
    assert file[at.mac :] == b"0" * 16
    if mac_input is MacInput.FILE:
        assert at.file_data is not None
        assert file[at.file_data : at.file_data + at.file_data_length] == b"0" * 32
        assert at.mac_input == at.file_data
    else:
        assert (at.file_data, at.file_data_length, at.mac_input) == (None, 0, at.mac)


def test_pages_are_four_bytes_from_page_four_on_and_the_last_is_filled_up() -> None:
    content = bytes(range(1, 11))
    assert pages_of(content) == [(4, b"\1\2\3\4"), (5, b"\5\6\7\x08"), (6, b"\x09\x0a\0\0")]
    assert pages_of(b"") == []
