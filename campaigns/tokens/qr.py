"""QR codes (ISO/IEC 18004) as SVG, PNG, PDF and terminal text; no image leaves before it was read back from its
bytes.

`qrcode` gives the modules, `shapes` and `picture` draw them, and zxing-cpp reads the picture as a phone would. A
poster cannot be redeployed, so a colour, a logo or a size that does not read is refused with what to change.
"""

import math
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import qrcode
from qrcode import constants

from campaigns.errors import Invalid
from campaigns.tokens.lettering import CAP_HEIGHT, outlines, width_of
from campaigns.tokens.logos import Logo
from campaigns.tokens.picture import Fill, Format, Letters, Photo, Picture, Size
from campaigns.tokens.readback import reads_as
from campaigns.tokens.shapes import SUITING, Box, Finder, Matrix, Style, boxes, cleared, rounded

__all__ = ["ErrorCorrection", "Finder", "Format", "Look", "Size", "Style", "draw", "matrix", "svg", "terminal"]

QUIET_ZONE: Final = 4  # modules of free space around the code, the standard's own number
QUIET_ZONES: Final = range(2, 21)
LEAST_CONTRAST: Final = 4.0  # WCAG contrast ratio; scanners in poor light lose codes below it
LONGEST_FRAME: Final = 30  # characters
LONGEST_CAPTION: Final = 40

_COLOUR: Final = re.compile(r"#[0-9a-fA-F]{6}")
# How wide a logo may be, of the code's side. Its square takes 4 % to 7 % of the modules, where Q makes good 25 % of
# the codewords and H 30 %: the rest is for dirt, folds and glare.
_LOGO_SHARE: Final = {"Q": 0.21, "H": 0.26}
_LEAST_LETTER: Final = 1.0  # modules: smaller letters are not read by people
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


@dataclass(frozen=True)
class Look:
    """How a code is to look. `frame` is a call to action in a band below the code, `caption` a line beneath."""

    error_correction: ErrorCorrection = ErrorCorrection.M
    quiet_zone: int = QUIET_ZONE
    dark: str = "#000000"
    light: str = "#ffffff"
    style: Style = Style.SQUARE
    finder: Finder | None = None
    logo: Logo | None = None
    frame: str = ""
    caption: str = ""

    @property
    def level(self) -> ErrorCorrection:
        """The error correction to draw with: under a logo Q stays Q, and anything less becomes H."""
        if self.logo is None or self.error_correction is ErrorCorrection.Q:
            return self.error_correction
        return ErrorCorrection.H

    def require_readable(self) -> None:
        """Invalid for colours, a quiet zone or texts that readers or people would miss."""
        _require_readable_colours(self.dark, self.light)
        if self.quiet_zone not in QUIET_ZONES:
            raise Invalid(
                "The quiet zone is 2 to 20 modules wide: the standard (ISO/IEC 18004) asks for 4, and below 2 readers "
                "take what stands beside the code for a part of it.",
                pointer="/quiet_zone",
            )
        for pointer, text, longest in (
            ("/frame", self.frame, LONGEST_FRAME),
            ("/caption", self.caption, LONGEST_CAPTION),
        ):
            if len(text) > longest:
                raise Invalid(f"This line has at most {longest} characters; shorten it.", pointer=pointer)


def matrix(text: str, error_correction: ErrorCorrection, *, mask: int | None = None) -> Matrix:
    """The modules of the smallest code that holds `text`, rows from the top, True for dark, without quiet
    zone.

    Upper-case URLs take the alphanumeric mode and give a smaller code. A `mask` (0 to 7) spares
    choosing the best of them. Invalid for an empty or too long text.
    """
    if not text:
        raise Invalid("A code cannot be empty; give it a text.")
    code = qrcode.QRCode(error_correction=_LEVELS[error_correction], border=0, mask_pattern=mask)
    try:
        code.add_data(text)
        code.make()
    except UnicodeEncodeError as error:
        raise Invalid("The text holds half a character (a surrogate); write it again.") from error
    except ValueError as error:
        # The library says "Invalid version (was 41)": the largest code is version 40.
        raise Invalid("The text is too long for a QR code; shorten it or lower the error correction.") from error
    return tuple(tuple(bool(module) for module in row) for row in code.modules)


def draw(text: str, look: Look, *, format: Format, size: Size) -> bytes:
    """The code as an image of that format, read back from its bytes.

    Invalid when it would not read: colours, contrast under 4:1, sizes out of range, or a failed read-back.
    """
    look.require_readable()
    size = size.fitting(format)
    picture = _picture(matrix(text, look.level), look)
    size.require_printable(max(picture.width, picture.height))
    image = {Format.SVG: picture.svg, Format.PNG: picture.png, Format.PDF: picture.pdf}[format](size)
    _require_reads_back(image, text, look, format, width_px=picture.seen_px)
    return image


def svg(text: str, *, error_correction: ErrorCorrection = ErrorCorrection.M, module_px: int) -> bytes:
    """A plain code for a page of ours: black on white, one path, its quiet zone painted."""
    return draw(text, Look(error_correction=error_correction), format=Format.SVG, size=Size(module_px=module_px))


def terminal(text: str) -> str:
    """The code in half blocks, two rows a line, black on white whatever the terminal's theme."""
    modules = _with_quiet_zone(matrix(text, ErrorCorrection.M), QUIET_ZONE)
    blank = (False,) * len(modules)
    pairs = zip(modules[::2], [*modules[1::2], blank], strict=True)  # the side of a code is always odd
    lines = ("".join(_HALF_BLOCKS[pair] for pair in zip(upper, lower, strict=True)) for upper, lower in pairs)
    return "".join(f"{_BLACK_ON_WHITE}{line}{_RESET}\n" for line in lines)


def _picture(modules: Matrix, look: Look) -> Picture:
    """From the outside in: the frame and its band, the quiet zone, the code, the logo; the caption beneath."""
    side = len(modules) + 2 * look.quiet_zone
    edge, band = (max(1, round(side / 25)), round(side / 5)) if look.frame else (0, 0)
    foot = round(side / 7) if look.caption else 0
    width, framed = side + 2 * edge, side + edge + max(edge, band)
    finder = look.finder or SUITING[look.style]
    layers: list[Fill | Letters | Photo] = []
    if look.frame:
        layers.append(Fill(look.dark, [rounded(0, 0, width, framed, 2.0 * edge)]))
        layers.append(Fill(look.light, [rounded(edge, edge, side, side, 1.0 * edge)]))
    start, photo = edge + look.quiet_zone, None
    if look.logo is not None:
        hole = _hole(look.logo, len(modules), look.level)
        modules, photo = cleared(modules, *hole), _photo(look.logo, start + len(modules) / 2, *hole)
    layers.append(Fill(look.dark, boxes(modules, look.style, finder, start)))
    if photo is not None:
        layers.append(photo)
    if look.frame:
        layers.append(_line_of_text(look.frame, look.light, width, edge + side, band, band * 0.5, "/frame"))
    if look.caption:
        layers.append(_line_of_text(look.caption, look.dark, width, framed, foot, side / 14, "/caption"))
    is_square = look.style is Style.SQUARE and finder is Finder.SQUARE and len(layers) == 1
    return Picture(width, framed + foot, look.light, layers, is_square)


def _hole(logo: Logo, side: int, level: ErrorCorrection) -> tuple[int, int]:
    """The modules that give way to a logo, across and down: odd numbers, as the side is, to be in the middle."""
    most = max(3, (int(side * _LOGO_SHARE[level]) - 1) // 2 * 2 + 1)
    longer = max(logo.width_px, logo.height_px)
    return math.ceil(most * logo.width_px / longer) | 1, math.ceil(most * logo.height_px / longer) | 1


def _photo(logo: Logo, middle: float, across: int, down: int) -> Photo:
    # With a little air around it.
    scale = min((across - 0.6) / logo.width_px, (down - 0.6) / logo.height_px)
    width, height = logo.width_px * scale, logo.height_px * scale
    return Photo(logo, Box(middle - width / 2, middle - height / 2, width, height))


def _line_of_text(
    text: str, colour: str, width: float, top: float, height: float, most: float, pointer: str
) -> Letters:
    ems = width_of(text, pointer)
    if not ems:
        raise Invalid("This line shows nothing; write a word or leave it out.", pointer=pointer)
    size = min(most, (width - 3) / ems)
    if size < _LEAST_LETTER:
        raise Invalid("This line is too long to be read beneath the code; shorten it.", pointer=pointer)
    baseline = top + height / 2 + size * CAP_HEIGHT / 2
    return Letters(colour, outlines(text, x=(width - ems * size) / 2, baseline=baseline, size=size))


def _require_readable_colours(dark: str, light: str) -> None:
    for pointer, colour in (("/dark", dark), ("/light", light)):
        if not _COLOUR.fullmatch(colour):
            raise Invalid("Colours are written #rrggbb, as in #1a2b3c (in a URL: %231a2b3c).", pointer=pointer)
    dark_luminance, light_luminance = _luminance(dark), _luminance(light)
    if dark_luminance > light_luminance:
        raise Invalid("Many readers miss a light code on a dark ground; exchange the two colours.", pointer="/dark")
    contrast = (light_luminance + 0.05) / (dark_luminance + 0.05)
    if contrast < LEAST_CONTRAST:
        raise Invalid(
            f"The contrast is {contrast:.2f}:1; choose a darker dark or a lighter light, for 4:1 or more.",
            pointer="/dark",
        )


def _luminance(colour: str) -> float:
    # WCAG 2.2, relative luminance of an sRGB colour.
    shares = (channel / 255 for channel in bytes.fromhex(colour[1:]))
    red, green, blue = (s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _with_quiet_zone(modules: Matrix, quiet_zone: int) -> Matrix:
    side = (False,) * quiet_zone
    blank = ((False,) * (len(modules) + 2 * quiet_zone),) * quiet_zone
    return (*blank, *((*side, *row, *side) for row in modules), *blank)


def _require_reads_back(image: bytes, text: str, look: Look, format: Format, *, width_px: int) -> None:
    if reads_as(image, format, width_px=width_px) == [text]:
        return
    if look.quiet_zone < QUIET_ZONE:
        remedy, pointer = "use a quiet zone of 4, the standard (ISO/IEC 18004)", "/quiet_zone"
    elif look.logo is not None:
        remedy, pointer = "use a plainer logo, or square modules around it", "/logo"
    elif look.style is not Style.SQUARE or look.finder not in (None, Finder.SQUARE):
        remedy, pointer = "use more pixels a module, or style=square", "/style"
    else:
        remedy, pointer = "use more pixels a module or plain characters", "/module_px"
    raise Invalid(f"The code does not read back as its text; {remedy}.", pointer=pointer)
