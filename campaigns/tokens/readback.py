"""Reading a picture as a phone would, from the very bytes that will leave: zxing-cpp on what resvg, PDFium or Pillow
make of them."""

import io
import threading
from contextlib import closing
from typing import Any

import pypdfium2
import resvg_py
import zxingcpp
from PIL import Image

from campaigns.tokens.picture import Format

# "PDFium is not thread-safe": two threads in it at once may crash the process.
_pdfium = threading.Lock()


def reads_as(image: bytes, format: Format, *, width_px: int) -> list[str]:
    """The texts of the QR codes in an image; PDF and SVG are made into `width_px` pixels across first.

    The reader gets no help: neither inverting, nor the hint that the picture is only a code.
    """
    found = zxingcpp.read_barcodes(
        _pixels(image, format, width_px),
        formats=zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode),
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
        page = document[0]
        with closing(page.render(scale=width_px / page.get_width(), grayscale=True)) as bitmap:
            return bitmap.to_numpy().copy()
