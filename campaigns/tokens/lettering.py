"""Short texts as outlines, so that neither a printer nor a browser needs a font.

The font is Bitstream Vera Sans Bold, which ReportLab carries: Latin letters with their accents, figures and
punctuation. ReportLab reads its tables; the outlines are read here (OpenType specification, `glyf`).
"""

import re
import struct
import unicodedata
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import reportlab
from reportlab.pdfbase.ttfonts import TTFontFile

from campaigns.errors import Invalid

Point = tuple[float, float]
CAP_HEIGHT: Final = 0.73  # of Vera Bold, in em

_FILE: Final = Path(reportlab.__file__).parent / "fonts" / "VeraBd.ttf"
_ON_CURVE, _SHORT_X, _SHORT_Y, _AGAIN, _SAME_X, _SAME_Y = (1 << bit for bit in range(6))
_WORDS, _OFFSETS, _SCALE, _MORE, _TWO_SCALES, _TWO_BY_TWO = 0x1, 0x2, 0x8, 0x20, 0x40, 0x80
_NO_BREAK: Final = "\u00a0"
# What stands for a sign the font lacks, and the kinds of signs that only adorn: marks, joiners, pictures.
_LIKE: Final = {"\u202f": _NO_BREAK, "\u2007": _NO_BREAK, "\u2010": "-", "\u2011": "-", "\u2212": "-"}
_ORNAMENTS: Final = ("So", "Sk", "Sm", "Cf", "Mn", "Me", "Cn", "Co")
_DEEPEST: Final = 4  # accents on letters: a component of a component at most


class Curve(NamedTuple):
    """One closed contour: where it starts, and its quadratic curves as control point and end. A line has no control."""

    start: Point
    steps: tuple[tuple[Point | None, Point], ...]


class _Knot(NamedTuple):
    x: float
    y: float
    is_on: bool


def width_of(text: str, pointer: str) -> float:
    """The width of a line in em. Invalid for characters that have no shape here: emoji, other scripts, controls."""
    known: dict[int, float] = _font().charWidths  # in thousandths of an em
    for character in text:
        if not character.isprintable() or ord(character) not in known:
            raise Invalid(
                f"The character U+{ord(character):04X} cannot be drawn; use Latin letters, figures and punctuation.",
                pointer=pointer,
            )
    return sum(known[ord(character)] for character in text) / 1000


def printable(text: str, pointer: str) -> str:
    """A stored text on one line, without what has no shape here; its no-break spaces stay.

    Emoji and other signs are left out, for the words say the same without them. Invalid for a letter that is missing,
    as of another script: a name with holes is another name.
    """
    known = _font().charWidths
    tidy = "".join(_LIKE.get(one, " " if one.isspace() and one != _NO_BREAK else one) for one in text)
    kept = "".join(one for one in tidy if ord(one) in known or unicodedata.category(one) not in _ORNAMENTS)
    width_of(kept.replace(_NO_BREAK, " "), pointer)
    return re.sub(" +", " ", kept).strip(" ")


def outlines(text: str, *, x: float, baseline: float, size: float) -> list[Curve]:
    """The contours of a line that begins at `x`, y downwards, `size` units an em. Filled by the non-zero rule."""
    font = _font()
    drawn: list[Curve] = []
    for character in text:
        for knots in _glyph(font.charToGlyph[ord(character)]):
            scale = size / font.unitsPerEm
            drawn.append(_curve([_Knot(x + k.x * scale, baseline - k.y * scale, k.is_on) for k in knots]))
        x += font.charWidths[ord(character)] / 1000 * size
    return drawn


@cache
def _font() -> TTFontFile:
    return TTFontFile(str(_FILE))


@cache
def _table() -> bytes:
    table: bytes = _font().get_table("glyf")
    return table


def _curve(knots: list[_Knot]) -> Curve:
    """Off-curve points are controls; between two of them lies an unwritten point on the curve."""
    first = next((at for at, knot in enumerate(knots) if knot.is_on), 0)
    knots = [*knots[first:], *knots[: first + 1]]
    steps: list[tuple[Point | None, Point]] = []
    control: Point | None = None
    for knot in knots[1:]:
        here = (knot.x, knot.y)
        if knot.is_on:
            steps.append((control, here))
            control = None
            continue
        if control is not None:
            steps.append((control, ((control[0] + knot.x) / 2, (control[1] + knot.y) / 2)))
        control = here
    return Curve((knots[0].x, knots[0].y), tuple(steps))


@cache
def _glyph(number: int, depth: int = 0) -> tuple[tuple[_Knot, ...], ...]:
    positions = _font().glyphPos
    glyph = _table()[positions[number] : positions[number + 1]]
    if not glyph or depth > _DEEPEST:  # a space has no outline
        return ()
    (contours,) = struct.unpack_from(">h", glyph)
    if not contours:
        return ()
    return _simple(glyph, contours) if contours >= 0 else _composite(glyph, depth)


def _simple(glyph: bytes, contours: int) -> tuple[tuple[_Knot, ...], ...]:
    ends = struct.unpack_from(f">{contours}H", glyph, 10)
    at = 10 + 2 * contours
    (instructions,) = struct.unpack_from(">H", glyph, at)
    at += 2 + instructions
    flags: list[int] = []
    while len(flags) <= ends[-1]:
        flag = glyph[at]
        at += 1
        times = 1
        if flag & _AGAIN:
            times += glyph[at]
            at += 1
        flags.extend([flag] * times)
    xs, at = _coordinates(glyph, at, flags, _SHORT_X, _SAME_X)
    ys, at = _coordinates(glyph, at, flags, _SHORT_Y, _SAME_Y)
    knots = [_Knot(x, y, bool(flag & _ON_CURVE)) for x, y, flag in zip(xs, ys, flags, strict=True)]
    starts = (0, *(end + 1 for end in ends[:-1]))
    return tuple(tuple(knots[start : end + 1]) for start, end in zip(starts, ends, strict=True))


def _coordinates(glyph: bytes, at: int, flags: list[int], short: int, same: int) -> tuple[list[int], int]:
    values: list[int] = []
    value = 0
    for flag in flags:
        if flag & short:
            value += glyph[at] if flag & same else -glyph[at]
            at += 1
        elif not flag & same:
            value += struct.unpack_from(">h", glyph, at)[0]
            at += 2
        values.append(value)
    return values, at


def _composite(glyph: bytes, depth: int) -> tuple[tuple[_Knot, ...], ...]:
    """A letter and its accent. Vera scales no component and places each by an offset."""
    contours: list[tuple[_Knot, ...]] = []
    at, flags = 10, _MORE
    while flags & _MORE:
        flags, number = struct.unpack_from(">HH", glyph, at)
        at += 4
        dx, dy = struct.unpack_from(">hh" if flags & _WORDS else ">bb", glyph, at)
        at += 4 if flags & _WORDS else 2
        at += 2 if flags & _SCALE else 4 if flags & _TWO_SCALES else 8 if flags & _TWO_BY_TWO else 0
        if not flags & _OFFSETS:
            dx = dy = 0
        for knots in _glyph(number, depth + 1):
            contours.append(tuple(_Knot(knot.x + dx, knot.y + dy, knot.is_on) for knot in knots))
    return tuple(contours)
