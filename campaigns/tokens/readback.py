"""Reading a picture as a phone would, from the very bytes that will leave: zxing-cpp on what resvg, PDFium or Pillow
make of them."""

import io
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any, Final

import pypdfium2
import resvg_py
import zxingcpp
from PIL import Image

from campaigns.tokens.picture import Format
from campaigns.tokens.shapes import Matrix

# "PDFium is not thread-safe": two threads in it at once may crash the process.
_pdfium = threading.Lock()
_AS_GREY: Final = bytes((255, *bytes(255)))  # False, a light module, is white; True is black


def reads_as(image: bytes, format: Format, *, width_px: int) -> list[str]:
    """The texts of the QR codes in an image; PDF and SVG are made into `width_px` pixels across first.

    The reader gets no help: neither inverting, nor the hint that the picture is only a code.
    """
    return _texts(_pixels(image, format, width_px))


def modules_read_as(modules: Matrix) -> list[str]:
    """The texts in modules with their quiet zone, at one pixel each: what costs a tenth of reading a finished image."""
    side = len(modules)
    grey = b"".join(map(bytes, modules)).translate(_AS_GREY)
    return _texts(memoryview(grey).cast("B", (side, side)))


def pages_read_as(pdf: bytes, pages: Iterable[int], *, pixels_a_point: float) -> Iterator[list[str]]:
    """The texts of the QR codes on those pages of a PDF, counted from 0. Other threads have their turn between two."""
    with _pdfium:
        document = pypdfium2.PdfDocument(pdf)
    try:
        for number in pages:
            with _pdfium, closing(document[number]) as page:
                pixels = _raster(page, pixels_a_point)
            yield _texts(pixels)
    finally:
        with _pdfium:
            document.close()


def _texts(pixels: Any) -> list[str]:
    found = zxingcpp.read_barcodes(
        pixels,
        # Not the whole family: in a corner of a code the reader now and then sees a Micro QR code.
        formats=zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCodeModel2),
        try_invert=False,
        text_mode=zxingcpp.TextMode.Plain,
    )
    return [code.text for code in found]


def _pixels(image: bytes, format: Format, width_px: int) -> Any:
    if format is Format.PDF:
        return _page(image, width_px)
    if format is Format.SVG:
        image = resvg_py.svg_to_bytes(svg_string=image.decode(), width=width_px, dpi=96, skip_system_fonts=True)
    with Image.open(io.BytesIO(image)) as picture:
        return picture.convert("L")


def _page(image: bytes, width_px: int) -> Any:
    with _pdfium, closing(pypdfium2.PdfDocument(image)) as document:
        return _raster(document[0], width_px / document[0].get_width())


def _raster(page: Any, scale: float) -> Any:
    with closing(page.render(scale=scale, grayscale=True)) as bitmap:
        return bitmap.to_numpy().copy()
