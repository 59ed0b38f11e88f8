"""What is on a printed page, found from its bytes: pixels, codes, ink, fonts, words."""

import base64
import re
import zlib
from collections.abc import Iterator
from typing import Any

import pypdfium2
import zxingcpp
from PIL import Image, ImageFilter
from pypdfium2 import raw

MM = 25.4 / 72


def pages(pdf: bytes, dpi: int = 300) -> list[Image.Image]:
    """Every page as a printer makes it."""
    document = pypdfium2.PdfDocument(pdf)
    made = [page.render(scale=dpi / 72).to_pil().convert("RGB") for page in document]
    document.close()
    return made


def codes_on(page: Image.Image) -> list[Any]:
    """The codes a phone sees on it."""
    return list(zxingcpp.read_barcodes(page, formats=zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCodeModel2)))


def corners(code: Any) -> list[tuple[int, int]]:
    """The four corners of a code, in pixels."""
    at = code.position
    return [(one.x, one.y) for one in (at.top_left, at.top_right, at.bottom_right, at.bottom_left)]


def box_of(code: Any) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of a code without its quiet zone."""
    xs, ys = zip(*corners(code), strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def cut_out(page: Image.Image, code: Any) -> Image.Image:
    """A code with its quiet zone, as printed."""
    left, top, right, bottom = box_of(code)
    free = round((right - left) * 0.15)
    return page.crop((left - free, top - free, right + free, bottom + free))


def from_afar(page: Image.Image, code: Any) -> Image.Image:
    """The same as 120 blurred pixels."""
    return cut_out(page, code).resize((120, 120), Image.Resampling.LANCZOS).filter(ImageFilter.GaussianBlur(0.8))


def streams(pdf: bytes) -> Iterator[str]:
    """What draws each page, as text."""
    for body in re.findall(rb"/Filter \[ /ASCII85Decode /FlateDecode \][^>]*>>\s*stream\r?\n(.*?)endstream", pdf, re.S):
        content = zlib.decompress(
            base64.a85decode(body.strip(), adobe=False)
            if not body.strip().endswith(b"~>")
            else base64.a85decode(b"<~" + body.strip(), adobe=True)
        )
        if b" cm" in content:
            yield content.decode("latin-1")


def images_in(pdf: bytes) -> int:
    """How many raster images its pages have."""
    document = pypdfium2.PdfDocument(pdf)
    found = sum(len(list(page.get_objects(filter=[raw.FPDF_PAGEOBJ_IMAGE]))) for page in document)
    document.close()
    return found


def text_boxes(pdf: bytes, number: int = 0) -> list[tuple[float, float, float, float]]:
    """Left, top, right, bottom in millimetres of the pieces of text on a page."""
    document = pypdfium2.PdfDocument(pdf)
    page = document[number]
    text, down = page.get_textpage(), page.get_height()
    found = []
    for at in range(text.count_rects()):
        left, bottom, right, top = text.get_rect(at)
        found.append((left * MM, (down - top) * MM, right * MM, (down - bottom) * MM))
    document.close()
    return found


def words_in(pdf: bytes) -> str:
    """The words of all its pages, on one line."""
    document = pypdfium2.PdfDocument(pdf)
    found = " ".join(page.get_textpage().get_text_bounded() for page in document)
    document.close()
    return re.sub(r"\s+", " ", found)
