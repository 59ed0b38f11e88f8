import ndef
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.errors import Invalid
from campaigns.tokens.ndef import fits, tlv, uri_message

PREFIXES = [
    "http://www.", "https://www.", "http://", "https://", "tel:", "mailto:", "ftp://anonymous:anonymous@",
    "ftp://ftp.", "ftps://", "sftp://", "smb://", "nfs://", "ftp://", "dav://", "news:", "telnet://", "imap:",
    "rtsp://", "urn:", "pop:", "sip:", "sips:", "tftp:", "btspp://", "btl2cap://", "btgoep://", "tcpobex://",
    "irdaobex://", "file://", "urn:epc:id:", "urn:epc:tag:", "urn:epc:pat:", "urn:epc:raw:", "urn:epc:",
    "urn:nfc:",
]  # fmt: skip
tails = st.text("abcXYZ019-._~/?#&=%", max_size=400).map(lambda text: "a.fr/" + text.replace("%", "%41"))


def read(message: bytes) -> list[str]:
    # `iri` is the text as written; ndeflib's `uri` would quote it a second time.
    return [record.iri for record in ndef.message_decoder(message)]


def test_the_example_of_the_standard_is_byte_for_byte_the_same() -> None:
    # NFC Forum URI RTD 1.0, appendix A.1: http://www.nfc.com
    assert uri_message("http://www.nfc.com") == bytes.fromhex("D1010855016E66632E636F6D")


@pytest.mark.parametrize("prefix", PREFIXES)
def test_each_prefix_of_the_standard_takes_one_byte(prefix: str) -> None:
    message = uri_message(prefix + "zzz")
    assert len(message) == 4 + 1 + 3
    assert read(message) == [prefix + "zzz"]


@given(st.sampled_from([*PREFIXES, "HTTPS://", "geo:"]), tails)
def test_ndeflib_reads_back_every_url(prefix: str, tail: str) -> None:
    assert read(uri_message(prefix + tail)) == [prefix + tail]


@given(st.sampled_from(PREFIXES), tails)
def test_messages_are_byte_for_byte_what_ndeflib_writes(prefix: str, tail: str) -> None:
    assert uri_message(prefix + tail) == b"".join(ndef.message_encoder([ndef.UriRecord(prefix + tail)]))


@pytest.mark.parametrize("length", [253, 254, 255, 256, 300])
def test_the_payload_length_grows_to_four_bytes_past_255(length: int) -> None:
    message = uri_message("https://" + "a" * length)
    assert read(message) == ["https://" + "a" * length]
    assert len(message) == length + 1 + (4 if length + 1 < 256 else 7)


def test_a_percent_sign_stays_as_it_was_written() -> None:
    assert uri_message("https://a.fr/caf%C3%A9") == b"\xd1\x01\x0f\x55\x04a.fr/caf%C3%A9"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.fr",
        "https:",
        "https://café.fr",
        "https://a.fr/a b",
        "https://a.fr/\x00",
        "https://a.fr/%zz",
        "https://a.fr/\n",
        "https://a.fr/<b>",
        "https://\ud800.fr",
        " https://a.fr",
    ],
    ids=ascii,
)
def test_what_is_not_an_ascii_url_is_refused(url: str) -> None:
    with pytest.raises(Invalid):
        uri_message(url)


def test_a_short_message_has_a_tlv_of_one_length_byte() -> None:
    assert tlv(b"\xaa" * 254) == b"\x03\xfe" + b"\xaa" * 254 + b"\xfe"


def test_a_message_of_255_bytes_has_a_tlv_of_three_length_bytes() -> None:
    assert tlv(b"\xaa" * 255) == b"\x03\xff\x00\xff" + b"\xaa" * 255 + b"\xfe"


def test_a_tlv_has_an_end() -> None:
    assert len(tlv(bytes(0xFFFE))) == 0xFFFE + 5
    with pytest.raises(Invalid):
        tlv(bytes(0xFFFF))


@pytest.mark.parametrize(("last", "tag"), [(141, "NTAG213"), (254, "NTAG 424 DNA"), (499, "NTAG215"), (883, "NTAG216")])
def test_a_tag_holds_a_message_up_to_its_last_byte(last: int, tag: str) -> None:
    assert tag in fits(bytes(last))
    assert tag not in fits(bytes(last + 1))


def test_tags_come_smallest_first() -> None:
    assert fits(uri_message("https://a.fr/t/7K3Q9XABW4")) == ["NTAG213", "NTAG 424 DNA", "NTAG215", "NTAG216"]
    assert fits(bytes(70_000)) == []
