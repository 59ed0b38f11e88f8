"""Logos from strangers: what may be decoded at all, and the clean PNG that is kept of it.

A file is judged by its bytes, never by its name or declared type. Its size is read from the header and its whole
frame is walked before anything is decoded: a 10 kB PNG can unfold to 324 MB, a 1 MB JPEG of 50,000 empty scans can
take minutes, and a file that is an image and an archive at once is not an image. What passes is decoded, made small
and written anew, so nothing of the sender's file but its pixels goes on.
"""

import hashlib
import io
import struct
from dataclasses import dataclass, field
from typing import Final, NoReturn

from PIL import Image, ImageOps

from campaigns.errors import Invalid

MOST_PIXELS: Final = 4_000_000
MOST_BYTES: Final = 1_000_000
# A logo covers about 15 mm of a printed code: 512 pixels there are over 800 dpi.
SIDE_PX: Final = 512
_MOST_SCANS: Final = 30  # of a progressive JPEG; encoders write about ten, each costs a walk over the whole image

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_JPEG: Final = b"\xff\xd8\xff"
_ALONE: Final = frozenset((0x01, *range(0xD0, 0xD9)))  # JPEG markers without a length: TEM, RST0 to RST7, SOI


@dataclass(frozen=True)
class Logo:
    """A logo as it will be drawn: a PNG of our own making. `digest` stands for its bytes wherever it is compared."""

    png: bytes = field(repr=False)
    width_px: int
    height_px: int
    digest: str


def read_logo(file: bytes) -> Logo:
    """The logo in a PNG, JPEG or WebP file of at most 1 MB and 4 megapixels, made anew.

    Invalid for anything else: SVG, animations, files cut short or with something behind their end.
    """
    if len(file) > MOST_BYTES:
        _refuse("A logo file has at most 1 MB.")
    kind, width, height = frame_of(file)
    if not width or not height:
        _refuse("The logo says that it has no pixels.")
    if width * height > MOST_PIXELS:
        _refuse(f"The logo has {width:,} by {height:,} pixels; at most 4 megapixels are taken. Make it smaller.")
    try:
        with Image.open(io.BytesIO(file), formats=(kind,)) as picture:
            if (picture.width, picture.height) != (width, height) or getattr(picture, "n_frames", 1) > 1:
                _refuse("The logo is animated or says two sizes; save it as a single still image.")
            pixels = ImageOps.exif_transpose(picture).convert("RGBA")  # a phone stores which way is up
    except (OSError, ValueError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError) as error:
        raise Invalid("The logo cannot be decoded; save it anew as a PNG.", pointer="/logo") from error
    pixels.thumbnail((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)
    output = io.BytesIO()
    pixels.save(output, "PNG")
    made = output.getvalue()
    return Logo(made, pixels.width, pixels.height, hashlib.sha256(made).hexdigest())


def frame_of(file: bytes, *, alone: bool = True) -> tuple[str, int, int]:
    """Format, width and height, from a walk over the whole file that decodes nothing.

    Invalid for what is none of the three, cut short or animated, and, if it must be `alone`, for more behind its end.
    """
    try:
        if file.startswith(_PNG):
            return "PNG", *_walk_png(file)
        if file.startswith(_JPEG):
            return "JPEG", *_walk_jpeg(file, alone=alone)
        if file.startswith(b"RIFF") and file[8:12] == b"WEBP":
            return "WEBP", *_walk_webp(file)
    except (struct.error, IndexError) as error:
        raise Invalid("The logo file is cut short; send it again.", pointer="/logo") from error
    detail = "A logo is a PNG, JPEG or WebP file. Others, SVG among them, are not taken: export it as PNG."
    raise Invalid(detail, pointer="/logo")


def _walk_png(file: bytes) -> tuple[int, int]:
    # PNG specification, third edition, section 5: length, type, data, CRC; IHDR first, IEND last.
    at, kind = len(_PNG), b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", file, at)
        if (at == len(_PNG)) != (kind == b"IHDR"):
            _refuse("The logo is no proper PNG; save it anew.")
        if kind == b"acTL":
            _refuse("The logo is animated; save it as a single still image.")
        at += length + 12
    _require_end(file, at)
    width, height = struct.unpack_from(">II", file, 16)
    return int(width), int(height)


def _walk_jpeg(file: bytes, *, alone: bool) -> tuple[int, int]:
    # ITU-T T.81, annex B: markers with their lengths, and after each SOS a scan that runs to the next marker.
    at, scans, size = 2, 0, (0, 0)
    while True:
        lead, marker = file[at], file[at + 1]
        if lead != 0xFF:
            _refuse("The logo is no proper JPEG; save it anew.")
        at += 1 if marker == 0xFF else 2  # any number of fill bytes may stand before a marker
        if marker == 0xD9:
            if alone:
                _require_end(file, at)
            return size
        if marker in _ALONE or marker == 0xFF:
            continue
        (length,) = struct.unpack_from(">H", file, at)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", file, at + 3)
            size = (int(width), int(height))
        at += length
        if marker == 0xDA:
            scans += 1
            if scans > _MOST_SCANS:
                _refuse("The logo is a JPEG of too many scans; save it as a baseline JPEG or a PNG.")
            at = _end_of_scan(file, at)


def _end_of_scan(file: bytes, at: int) -> int:
    while True:
        at = file.find(b"\xff", at)
        if at < 0:
            raise IndexError
        following = file[at + 1]
        if following != 0 and following != 0xFF and not 0xD0 <= following <= 0xD7:
            return at
        at += 1 if following == 0xFF else 2


def _walk_webp(file: bytes) -> tuple[int, int]:
    # RFC 9649, section 2: RIFF, the length of the rest, WEBP, then the chunk that tells the size.
    (length,) = struct.unpack_from("<I", file, 4)
    _require_end(file, length + 8)
    chunk, body = file[12:16], file[20:30]
    if len(body) < 10:
        raise IndexError
    if chunk == b"VP8X":
        if body[0] & 0x02:
            _refuse("The logo is animated; save it as a single still image.")
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if chunk == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", body, 6)
    return width & 0x3FFF, height & 0x3FFF


def _require_end(file: bytes, end: int) -> None:
    if end > len(file):
        raise IndexError
    if end < len(file):
        _refuse("The logo file goes on behind the image's end; save the image anew.")


def _refuse(detail: str) -> NoReturn:
    raise Invalid(detail, pointer="/logo")
