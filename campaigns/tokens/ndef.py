"""What is written on an NFC tag: one NDEF message with one URI record, and whether a tag can hold it.

Sources: NFC Forum NDEF 1.0, URI Record Type Definition 1.0, Type 2 Tag Operation; NXP data sheets of
NTAG213/215/216 and NTAG 424 DNA.
"""

import re
from typing import Final

from campaigns.errors import Invalid

# URI RTD 1.0, table 3: the position in the list is the code.
_PREFIXES: Final = (
    "",
    "http://www.",
    "https://www.",
    "http://",
    "https://",
    "tel:",
    "mailto:",
    "ftp://anonymous:anonymous@",
    "ftp://ftp.",
    "ftps://",
    "sftp://",
    "smb://",
    "nfs://",
    "ftp://",
    "dav://",
    "news:",
    "telnet://",
    "imap:",
    "rtsp://",
    "urn:",
    "pop:",
    "sip:",
    "sips:",
    "tftp:",
    "btspp://",
    "btl2cap://",
    "btgoep://",
    "tcpobex://",
    "irdaobex://",
    "file://",
    "urn:epc:id:",
    "urn:epc:tag:",
    "urn:epc:pat:",
    "urn:epc:raw:",
    "urn:epc:",
    "urn:nfc:",
)
# RFC 3986: a scheme, then only unreserved, reserved and percent-encoded characters.
_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+")

_ONLY_RECORD: Final = 0xC1  # message begin and end, type name format 1 (NFC Forum well-known)
_SHORT_RECORD: Final = 0x10  # the payload length takes one byte instead of four
_TLV_NDEF: Final = 0x03
_TLV_END: Final = 0xFE
_TLV_LONGEST: Final = 0xFFFE

# User memory in bytes, which holds the message inside its TLV.
_TYPE_2_BYTES: Final = {"NTAG213": 144, "NTAG215": 504, "NTAG216": 888}
# NTAG 424 DNA is a Type 4 tag: a file of 256 bytes that starts with the two of NLEN, and no TLV.
_NTAG424_MESSAGE_BYTES: Final = 256 - 2


def uri_message(url: str) -> bytes:
    """The NDEF message with one URI record for `url`, shortened by the longest prefix the standard names.

    Invalid when the URL is not ASCII of RFC 3986 (an IRI must be percent-encoded, its host in punycode,
    first).
    """
    if not _URI.fullmatch(url):
        raise Invalid("A tag holds a complete URL in plain ASCII; percent-encode its other characters first.")
    code = max(range(len(_PREFIXES)), key=lambda n: len(_PREFIXES[n]) if url.startswith(_PREFIXES[n]) else -1)
    payload = bytes([code]) + url[len(_PREFIXES[code]) :].encode("ascii")
    if len(payload) < 256:
        return bytes([_ONLY_RECORD | _SHORT_RECORD, 1, len(payload)]) + b"U" + payload
    return bytes([_ONLY_RECORD, 1]) + len(payload).to_bytes(4, "big") + b"U" + payload


def tlv(message: bytes) -> bytes:
    """The message as it lies in a Type 2 tag from page 4: NDEF TLV, then the terminator.

    Invalid over 65,534 bytes, the most a TLV can say.
    """
    if len(message) > _TLV_LONGEST:
        raise Invalid("No tag holds a message this long; use a shorter URL.")
    size = len(message)
    length = bytes([size]) if size < 0xFF else b"\xff" + size.to_bytes(2, "big")
    return bytes([_TLV_NDEF]) + length + message + bytes([_TLV_END])


def fits(message: bytes) -> list[str]:
    """The tag types that can hold `message`, smallest memory first: NTAG213, NTAG 424 DNA, NTAG215, NTAG216.

    By user memory. Between 496 and 504 bytes an NTAG215, and between 872 and 888 an NTAG216, needs its
    capability container enlarged first: from the factory it declares the smaller number.
    """
    room = {name: size - _tlv_overhead(message) for name, size in _TYPE_2_BYTES.items()}
    room["NTAG 424 DNA"] = _NTAG424_MESSAGE_BYTES
    return [name for name, size in sorted(room.items(), key=lambda item: item[1]) if len(message) <= size]


def _tlv_overhead(message: bytes) -> int:
    # Tag and terminator one byte each, the length one byte below 255 and three from there.
    return 3 if len(message) < 0xFF else 5
