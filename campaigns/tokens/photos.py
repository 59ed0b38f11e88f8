"""Photos of codes from a phone: the texts of the QR codes in them, and nothing kept of the picture.

A file is judged by its bytes before it is decoded, as a logo is. A photo may be larger than a logo, for phones take
twelve megapixels, and more may follow its end, for they add films and depths there; nothing of that is read. A JPEG is
decoded at a fraction of its size, which is enough for a code that fills a tenth of the picture.
"""

import io
import struct
from typing import Final

import zxingcpp
from PIL import Image, ImageOps

from campaigns.errors import Invalid
from campaigns.tokens.logos import MOST_PIXELS, frame_of

MOST_BYTES: Final = 8_000_000
MOST_JPEG_PIXELS: Final = 25_000_000  # of a phone's camera; others unfold in memory and have what a logo has
_QR: Final = zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode)
_SIDE_PX: Final = 1_600  # that is looked at


def texts_in(file: bytes) -> list[str]:
    """The texts of the QR codes in a PNG, JPEG or WebP photo; none where none is seen.

    Invalid (`unreadable_picture`) for anything else: another format, too large, animated or cut short.
    """
    if len(file) > MOST_BYTES:
        raise _unreadable("A photo has at most 8 MB.")
    try:
        kind, width, height = frame_of(file, alone=False)
    except Invalid as error:
        raise _unreadable("A photo is a PNG, JPEG or WebP file, whole and still.") from error
    if not 0 < width * height <= (MOST_JPEG_PIXELS if kind == "JPEG" else MOST_PIXELS):
        raise _unreadable("A photo has at most 25 megapixels as a JPEG, 4 as a PNG or WebP.")
    return [code.text for code in zxingcpp.read_barcodes(_pixels(file, kind), formats=_QR)]


def _pixels(file: bytes, kind: str) -> Image.Image:
    try:
        with Image.open(io.BytesIO(file), formats=(kind,)) as picture:
            if kind == "JPEG":
                picture.draft("L", (_SIDE_PX, _SIDE_PX))
            grey = _on_white(ImageOps.exif_transpose(picture))
    except (OSError, ValueError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError) as error:
        raise _unreadable("The photo cannot be decoded; take it again.") from error
    grey.thumbnail((2 * _SIDE_PX, 2 * _SIDE_PX))
    return grey


def _on_white(picture: Image.Image) -> Image.Image:
    """In grey; what is transparent is paper."""
    if not picture.has_transparency_data:
        return picture.convert("L")
    coloured = picture.convert("RGBA")
    paper = Image.new("RGBA", coloured.size, "white")
    return Image.alpha_composite(paper, coloured).convert("L")


def _unreadable(detail: str) -> Invalid:
    return Invalid(detail, code="unreadable_picture", pointer="/picture")
