"""Labels and stickers: many small codes on an A4 page, each whole in its cell."""

import math
from typing import Final

from campaigns.tokens.layouts import BLEED, Grid, Shape, Spot, Words
from campaigns.tokens.lettering import CAP_HEIGHT
from campaigns.tokens.paper import GREY, Pen, Placed
from campaigns.tokens.shapes import Box
from campaigns.tokens.typesetting import LEADING, PT, Block, fit, fit_first, width

_MARK: Final = (2.5, 5.5)  # where a cut mark begins and ends, from the cut: clear of the bleed
_HAIR: Final = 0.09  # a quarter of a point, the width printers give cut marks
_RING: Final = 0.1  # of a sticker's width: the black about its white ground


def label(pen: Pen, spot: Spot, words: Words, grid: Grid) -> None:
    """A label: the code at the left, beside it whose it is, what to do, and the code in letters."""
    inset_x, inset_y = grid.inset
    side = min(grid.down - 2 * inset_y, (grid.across - 2 * inset_x) * 0.55)
    top = (grid.down - side) / 2
    free = side * 0.1
    if spot.url is None:
        pen.waves(inset_x + side / 2, grid.down / 2, side - 2 * free)
    else:
        free = pen.code(spot.url, inset_x, top, side).quiet_mm
    left = inset_x + side + (1.0 if spot.url is None else 0.0)
    across = grid.across - inset_x - left
    _beside(pen, spot, words, Box(left, top + free, across, side - 2 * free))


def _beside(pen: Pen, spot: Spot, words: Words, room: Box) -> None:
    """Whose it is at the top, the code in letters at the bottom, what to do between them."""
    scale = min(1.7, room.height / 20)
    left, top, across, bottom = room.x, room.y, room.width, room.y + room.height
    more = (6 * PT * scale, 4.5 * PT, 3 if scale > 0.8 else 2)
    caption = fit_first(spot.caption, across, (8 * PT * scale, 5.5 * PT, 2), more, bold=True)
    y = pen.block(caption, left, top)
    code = _code_in_letters(spot.code, across, 9 * PT * scale)
    pen.block(code, left, bottom - code.height)
    between = bottom - code.height - y
    has_mark = spot.has_tag and spot.url is not None
    mark = min(7.0 * scale, between - 2) if has_mark else 0.0
    if has_mark:
        pen.waves(left + across - mark / 2, y + between / 2, mark)
    size = 6.5 * PT * scale
    lines = max(1, int((between - 1.5) / (size * LEADING)))
    call = fit(
        words.hold if spot.url is None else words.scan,
        across - (mark + 1 if has_mark else 0),
        most=size,
        least=3.5 * PT,
        lines=min(3, lines),
    )
    pen.block(call, left, y + (between - call.height) / 2, tint=0.8)


def _code_in_letters(code: str, across: float, most: float) -> Block:
    """The code on one line, or on two where it would be too small to read: broken behind its middle hyphen."""
    size = min(most, across / width(code, 1, bold=True))
    if size >= 4.8 * PT:
        return Block((code,), size, is_bold=True)
    groups = code.split("-")
    middle = (len(groups) + 1) // 2
    halves = ("-".join(groups[:middle]) + "-", "-".join(groups[middle:]))
    return Block(halves, min(most, *(across / width(half, 1, bold=True) for half in halves)), is_bold=True)


def sticker(pen: Pen, spot: Spot, words: Words, shape: Shape) -> None:
    """A sticker with its bleed and the marks to cut it by: a white ground in a black ring that says what to do."""
    size = pen.across
    if shape is Shape.ROUND:
        _round(pen, spot, words, size)
    else:
        _square(pen, spot, words, size)
    _cut_marks(pen, size)


def told_beneath(pen: Pen, text: str) -> None:
    """A line in the lower margin of a page, for who prints and cuts it."""
    pen.line(text, pen.across / 2, pen.down - 4.5, 6 * PT, align="middle", tint=GREY)


def _round(pen: Pen, spot: Spot, words: Words, size: float) -> None:
    middle, ring = size / 2, size * _RING
    pen.disc(middle, middle, middle + BLEED)
    pen.disc(middle, middle, middle - ring, tint=0)
    letters = ring * 0.58
    call = words.hold if spot.url is None else words.scan
    for text, below in ((call, False), (spot.code, True)):
        fitting = min(letters, (middle - ring) * math.radians(190) / max(width(text, 1, bold=True), 0.01))
        at = middle - ring / 2 + (1 if below else -1) * fitting * CAP_HEIGHT / 2
        pen.round_line(text, middle, middle, at, fitting, below=below)
    # The corners of the quiet zone may touch the ring, not the code's own.
    side = (size - 2 * ring) / math.sqrt(2)
    _middle_mark(pen, spot, (size - side) / 2, (size - side) / 2, side)


def _square(pen: Pen, spot: Spot, words: Words, size: float) -> None:
    ring = size * 0.05
    band = size * 0.14
    side = size - 2 * band
    pen.box(-BLEED, -BLEED, size + 2 * BLEED, size + 2 * BLEED)
    pen.box(band, band - ring / 2, side, side, radius=size * 0.03, tint=0)
    call = words.hold if spot.url is None else words.scan
    for text, y in ((call, (band - ring / 2) / 2), (spot.code, size - (band + ring / 2) / 2)):
        fitting = min(size * 0.065, (size - 2 * ring) / max(width(text, 1, bold=True), 0.01))
        pen.line(text, size / 2, y + fitting * CAP_HEIGHT / 2, fitting, bold=True, align="middle", tint=0)
    free = side * 0.015  # for the round corners of the ground, which would cut into those of the quiet zone
    _middle_mark(pen, spot, band + free, band - ring / 2 + free, side - 2 * free)


def _middle_mark(pen: Pen, spot: Spot, x: float, y: float, side: float) -> Placed | None:
    if spot.url is not None:
        return pen.code(spot.url, x, y, side)
    pen.waves(x + side / 2, y + side / 2, side * 0.86)
    return None


def _cut_marks(pen: Pen, size: float) -> None:
    near, far = _MARK
    for x, away_x in ((0.0, -1), (size, 1)):
        for y, away_y in ((0.0, -1), (size, 1)):
            pen.rule(x + away_x * near, y, away_x * (far - near), 0, thick=_HAIR)
            pen.rule(x, y + away_y * near, 0, away_y * (far - near), thick=_HAIR)
