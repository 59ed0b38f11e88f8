"""QR codes (ISO/IEC 18004) as SVG, PNG and terminal text; no image leaves before it was read back from its
bytes.

`qrcode` gives the modules, this file draws them, and zxing-cpp reads the picture as a phone would. A poster
cannot be redeployed, so a colour or size that does not read is refused with what to change.
"""

import io
import re
from enum import StrEnum
from itertools import groupby
from typing import Final

import qrcode
import resvg_py
import zxingcpp
from PIL import Image
from qrcode import constants

from campaigns.errors import Invalid

Matrix = tuple[tuple[bool, ...], ...]

QUIET_ZONE: Final = 4  # modules of free space around the code, the standard's own number
LEAST_CONTRAST: Final = 4.0  # WCAG contrast ratio; scanners in poor light lose codes below it
MODULE_PX: Final = range(1, 41)
QUIET_ZONES: Final = range(21)
# Reading a picture back takes its pixels in memory: 4,000 squared are 64 MB in RGBA. It prints 34 cm at 300
# dpi.
LONGEST_SIDE_PX: Final = 4_000

_COLOUR: Final = re.compile(r"#[0-9a-fA-F]{6}")
# Entries 16 and 231 of the 256-colour cube are black and white under every theme; the first 16 are not.
_BLACK_ON_WHITE: Final = "\x1b[38;5;16;48;5;231m"
_RESET: Final = "\x1b[0m"
_HALF_BLOCKS: Final = {(True, True): "█", (True, False): "▀", (False, True): "▄", (False, False): " "}


class ErrorCorrection(StrEnum):
    """How much of the code may be lost and still read: L 7 %, M 15 %, Q 25 %, H 30 % (ISO/IEC 18004)."""

    L = "L"
    M = "M"
    Q = "Q"
    H = "H"


_LEVELS: Final = {
    ErrorCorrection.L: constants.ERROR_CORRECT_L,
    ErrorCorrection.M: constants.ERROR_CORRECT_M,
    ErrorCorrection.Q: constants.ERROR_CORRECT_Q,
    ErrorCorrection.H: constants.ERROR_CORRECT_H,
}


def matrix(text: str, error_correction: ErrorCorrection) -> Matrix:
    """The modules of the smallest code that holds `text`, rows from the top, True for dark, without quiet
    zone.

    Upper-case URLs take the alphanumeric mode and give a smaller code. Invalid for an empty or too long text.
    """
    if not text:
        raise Invalid("A code cannot be empty; give it a text.")
    code = qrcode.QRCode(error_correction=_LEVELS[error_correction], border=0)
    try:
        code.add_data(text)
        code.make()
    except UnicodeEncodeError as error:
        raise Invalid("The text holds half a character (a surrogate); write it again.") from error
    except ValueError as error:
        # The library says "Invalid version (was 41)": the largest code is version 40.
        raise Invalid("The text is too long for a QR code; shorten it or lower the error correction.") from error
    return tuple(tuple(bool(module) for module in row) for row in code.modules)


def svg(
    text: str,
    *,
    error_correction: ErrorCorrection,
    module_px: int,
    quiet_zone: int = QUIET_ZONE,
    dark: str = "#000000",
    light: str = "#ffffff",
) -> bytes:
    """The code as an SVG of one path, `module_px` pixels a module, its quiet zone painted; UTF-8, no script.

    Invalid when it would not read: colours, contrast under 4:1, sizes out of range, or a failed read-back.
    """
    _require_readable_colours(dark, light)
    modules = _with_quiet_zone(matrix(text, error_correction), quiet_zone)
    side, side_px = len(modules), _side_px(len(modules), module_px)
    image = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{side_px}" height="{side_px}" '
        f'viewBox="0 0 {side} {side}" shape-rendering="crispEdges">'
        f'<rect width="{side}" height="{side}" fill="{light}"/>'
        f'<path fill="{dark}" d="{_path(modules)}"/></svg>'
    ).encode()
    _require_reads_back(resvg_py.svg_to_bytes(svg_string=image.decode(), skip_system_fonts=True), text, quiet_zone)
    return image


def png(
    text: str,
    *,
    error_correction: ErrorCorrection,
    module_px: int,
    quiet_zone: int = QUIET_ZONE,
    dark: str = "#000000",
    light: str = "#ffffff",
) -> bytes:
    """The code as a PNG of two colours, one bit a pixel, refused as `svg` is."""
    _require_readable_colours(dark, light)
    modules = _with_quiet_zone(matrix(text, error_correction), quiet_zone)
    side, side_px = len(modules), _side_px(len(modules), module_px)
    picture = Image.frombytes("P", (side, side), bytes(module for row in modules for module in row))
    picture.putpalette(bytes.fromhex(light[1:] + dark[1:]))
    output = io.BytesIO()
    picture.resize((side_px, side_px), Image.Resampling.NEAREST).save(output, "PNG", bits=1, optimize=True)
    _require_reads_back(output.getvalue(), text, quiet_zone)
    return output.getvalue()


def terminal(text: str) -> str:
    """The code in half blocks, two rows a line, black on white whatever the terminal's theme."""
    modules = _with_quiet_zone(matrix(text, ErrorCorrection.M), QUIET_ZONE)
    blank = (False,) * len(modules)
    pairs = zip(modules[::2], [*modules[1::2], blank], strict=True)  # the side of a code is always odd
    lines = ("".join(_HALF_BLOCKS[pair] for pair in zip(upper, lower, strict=True)) for upper, lower in pairs)
    return "".join(f"{_BLACK_ON_WHITE}{line}{_RESET}\n" for line in lines)


def _require_readable_colours(dark: str, light: str) -> None:
    for colour in (dark, light):
        if not _COLOUR.fullmatch(colour):
            raise Invalid("Colours are written #rrggbb, as in #1a2b3c.")
    dark_luminance, light_luminance = _luminance(dark), _luminance(light)
    if dark_luminance > light_luminance:
        raise Invalid("Many readers miss a light code on a dark ground; exchange the two colours.")
    contrast = (light_luminance + 0.05) / (dark_luminance + 0.05)
    if contrast < LEAST_CONTRAST:
        raise Invalid(f"The contrast is {contrast:.2f}:1; choose a darker dark or a lighter light, for 4:1 or more.")


def _luminance(colour: str) -> float:
    # WCAG 2.2, relative luminance of an sRGB colour.
    shares = (channel / 255 for channel in bytes.fromhex(colour[1:]))
    red, green, blue = (s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _with_quiet_zone(modules: Matrix, quiet_zone: int) -> Matrix:
    if quiet_zone not in QUIET_ZONES:
        raise Invalid("The quiet zone is 0 to 20 modules wide; the standard (ISO/IEC 18004) asks for 4.")
    side = (False,) * quiet_zone
    blank = ((False,) * (len(modules) + 2 * quiet_zone),) * quiet_zone
    return (*blank, *((*side, *row, *side) for row in modules), *blank)


def _side_px(side: int, module_px: int) -> int:
    if module_px not in MODULE_PX:
        raise Invalid("A module is 1 to 40 pixels wide; give module_px in that range.")
    if side * module_px > LONGEST_SIDE_PX:
        raise Invalid(f"The image would be over {LONGEST_SIDE_PX} pixels wide; give fewer pixels a module.")
    return side * module_px


def _path(modules: Matrix) -> str:
    runs: list[str] = []
    for y, row in enumerate(modules):
        x = 0
        for dark, run in groupby(row):
            length = len(list(run))
            if dark:
                runs.append(f"M{x} {y}h{length}v1h-{length}z")
            x += length
    return "".join(runs)


def _require_reads_back(image: bytes, text: str, quiet_zone: int) -> None:
    # Phones differ, so the reader gets no help: neither inverting, nor the hint that the picture is only a
    # code.
    with Image.open(io.BytesIO(image)) as picture:
        found = zxingcpp.read_barcodes(
            picture.convert("RGB"),
            formats=zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode),
            try_invert=False,
            text_mode=zxingcpp.TextMode.Plain,
        )
    if [code.text for code in found] == [text]:
        return
    if quiet_zone < QUIET_ZONE:
        raise Invalid("The code does not read with so narrow a quiet zone; use 4, the standard (ISO/IEC 18004).")
    raise Invalid("The code does not read back as its text; use more pixels a module or plain characters.")
