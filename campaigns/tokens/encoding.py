"""What an encoder writes on the tag of a token: the URL, its bytes, and where the chip puts in what it knows itself.

A plain NTAG21x may mirror its UID and its read counter into the URL as text, unsigned; an NTAG 424 DNA signs both.
Sources: NXP data sheets NTAG213/215/216 (ASCII mirror function, configuration pages) and NT4H2421Gx.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

from campaigns.tokens import mirror, ndef, sun
from campaigns.tokens.models import SunTag

SIGNING_CHIP: Final = "NTAG 424 DNA"
# Fourteen characters of UID, an x that the chip puts there itself, six of counter.
_FIRST_PAGE: Final = 4  # of user memory
_PAGE_BYTES: Final = 4
_BOTH: Final = 0b11 << 6  # MIRROR_CONF: UID and counter
_STRONG_MODULATION: Final = 0b1 << 2  # STRG_MOD_EN, on from the factory: it stays on
_CONFIGURATION_PAGES: Final = {"NTAG213": 0x29, "NTAG215": 0x83, "NTAG216": 0xE3}


@dataclass(frozen=True, slots=True)
class Encoding:
    """A URL for a tag, its NDEF message, and the chips it is for, smallest memory first."""

    url: str
    message: bytes
    fits: list[str]
    offsets: sun.Offsets | None = None

    @property
    def tlv(self) -> bytes:
        """The message as it lies in a Type 2 tag from page 4 on."""
        return ndef.tlv(self.message)


class Mirror(NamedTuple):
    """How to set an NTAG21x up so that it mirrors: `page` and `byte` (0 to 3) are where its first character goes.

    `octet` is the first byte of CFG0 (MIRROR), with strong modulation left on as it comes from the factory.
    """

    encoding: Encoding
    page: int
    byte: int
    octet: int

    @property
    def configuration_pages(self) -> dict[str, int]:
        """The page of CFG0 by chip; CFG1, whose first byte switches the counter on with 0x10, is the next one."""
        return {chip: page for chip, page in _CONFIGURATION_PAGES.items() if chip in self.encoding.fits}


def encoding_of(code: str, base_url: str, tag: SunTag | None) -> Encoding:
    """What stands on the tag of a code. That of a `sun` token has zeros where its tag will write."""
    url = f"{base_url}/t/{code}"
    if tag is None:
        message = ndef.uri_message(url)
        return Encoding(url, message, ndef.fits(message))
    url += sun.placeholders(sun.Mode(tag.mode), sun.MacInput(tag.mac_input))
    message = ndef.uri_message(url)
    fits = [chip for chip in ndef.fits(message) if chip == SIGNING_CHIP]
    return Encoding(url, message, fits, sun.offsets(message))


def mirror_of(url: str, *, before: int = 0) -> Mirror:
    """The same URL with a place for the mirror of an NTAG21x, `?m=<UID>x<counter>`.

    `before` counts the bytes in user memory before the NDEF TLV, such as a Lock Control TLV of five.
    """
    url = f"{url}?{mirror.NAME}={mirror.BLANK}"
    message = ndef.uri_message(url)
    fits = [chip for chip in ndef.fits(message) if chip in _CONFIGURATION_PAGES]
    start = before + ndef.tlv(message).rindex(mirror.BLANK.encode())
    page, byte = _FIRST_PAGE + start // _PAGE_BYTES, start % _PAGE_BYTES
    return Mirror(Encoding(url, message, fits), page, byte, _BOTH | byte << 4 | _STRONG_MODULATION)


def pages_of(content: bytes) -> list[tuple[int, bytes]]:
    """The content of a Type 2 tag by page: (number, four bytes), the last filled up with zeros."""
    starts = range(0, len(content), _PAGE_BYTES)
    return [
        (_FIRST_PAGE + at // _PAGE_BYTES, content[at : at + _PAGE_BYTES].ljust(_PAGE_BYTES, b"\0")) for at in starts
    ]
