"""What the pages of the shop's tags are given: a tag and where it stands, and its bytes for a person to copy."""

from dataclasses import dataclass

from api.pages import views
from campaigns import ids
from campaigns.places import Place
from campaigns.tokens import Kind, PlacedTag, codes, sun
from campaigns.tokens.encoding import Encoding, Mirror, encoding_of, mirror_of, pages_of


@dataclass(frozen=True)
class TagView:
    """A tag of a place. `written` is the day in words, empty for one never written; `uid` what is known of it."""

    path: str
    name: str
    code: str
    url: str
    is_signed: bool
    written: str
    uid: str
    is_locked: bool


@dataclass(frozen=True)
class BytesView:
    """The bytes of a tag. Pages are lines (`04`, `03 1E D1 01`) of a Type 2 tag; a tag that signs has offsets."""

    fits: list[str]
    length: int
    message: str
    tlv: str
    pages: list[tuple[str, str]]
    offsets: sun.Offsets | None
    mirror: "MirrorView | None"


@dataclass(frozen=True)
class MirrorView:
    """How to set a plain NTAG up that mirrors UID and counter. `configuration` is (chip, page of CFG0, of CFG1)."""

    url: str
    length: int
    fits: list[str]
    tlv: str
    pages: list[tuple[str, str]]
    page: str
    byte: int
    octet: str
    configuration: list[tuple[str, str, str]]


def tag_view(one: PlacedTag, place: Place, language: str, base_url: str) -> TagView:
    """A tag for a page of its place."""
    token, held = one.token, one.held
    return TagView(
        path=f"/staff/tags/{ids.show('tok', token.id)}",
        name=token.label or codes.grouped(token.code),
        code=codes.grouped(token.code),
        url=encoding_of(token.code, base_url, one.sun).url,
        is_signed=token.kind == Kind.SUN,
        written=views.day(held.written_at, place, language) if held else "",
        uid=spaced(bytes.fromhex(one.uid or "")),
        is_locked=held is not None and held.locked_at is not None,
    )


def bytes_view(one: PlacedTag, base_url: str) -> BytesView:
    """The bytes of a tag for its page; a Type 4 tag that signs has no pages."""
    written = encoding_of(one.token.code, base_url, one.sun)
    is_plain = written.offsets is None
    return BytesView(
        fits=written.fits,
        length=len(written.message),
        message=spaced(written.message),
        tlv=spaced(written.tlv) if is_plain else "",
        pages=_lines(written) if is_plain else [],
        offsets=written.offsets,
        mirror=_mirror_view(mirror_of(written.url)) if is_plain else None,
    )


def spaced(content: bytes) -> str:
    """Bytes as people compare them: upper-case hexadecimal, a space between two."""
    return content.hex(" ").upper()


def _mirror_view(mirror: Mirror) -> MirrorView:
    return MirrorView(
        url=mirror.encoding.url,
        length=len(mirror.encoding.message),
        fits=mirror.encoding.fits,
        tlv=spaced(mirror.encoding.tlv),
        pages=_lines(mirror.encoding),
        page=f"{mirror.page:02X}",
        byte=mirror.byte,
        octet=f"{mirror.octet:02X}",
        configuration=[(chip, f"{at:02X}", f"{at + 1:02X}") for chip, at in mirror.configuration_pages.items()],
    )


def _lines(written: Encoding) -> list[tuple[str, str]]:
    return [(f"{number:02X}", spaced(content)) for number, content in pages_of(written.tlv)]
