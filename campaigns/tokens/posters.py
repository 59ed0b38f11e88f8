"""Posters, thanks and tent cards: one for each spot. Everything hangs from the left margin, the code included."""

from typing import Final

from campaigns.tokens import notices
from campaigns.tokens.layouts import Spot, Words
from campaigns.tokens.lettering import CAP_HEIGHT
from campaigns.tokens.paper import GREY, Pen, Placed
from campaigns.tokens.typesetting import PT, fit, fit_first, width

_MARGIN: Final = 20.0
_SIDE: Final = 100.0  # of a large code: its quiet zone has 16 mm at most, and ends before column and rule
_BOTTOM: Final = 238.0  # of the codes
_LIFT: Final = 10.0  # of codes and foot, where a notice stands beneath
_FULL: Final = 170.0  # between the margins of an A4 page
_COLUMN: Final = 137.0  # where the right column begins, one quiet zone beside a large code
_NARROW: Final = 53.0
FACE: Final = (210.0, 148.5)  # of a tent card, half an A4 page


def poster(pen: Pen, spot: Spot, words: Words) -> None:
    """An A4 page to hang: what it is about, a code to scan from a metre away, and the code in letters."""
    bottom = _bottom(words)
    _heading(pen, words, rule_y=30)
    title = fit_first(words.title, _FULL, (44 * PT, 22 * PT, 3), (24 * PT, 15 * PT, 4), bold=True)
    below = pen.block(title, _MARGIN, 42)
    room = max(1, int((bottom - _SIDE - 16 - below - 9) / (15 * PT * 1.22)))
    pen.block(fit(words.promise, _FULL, most=16 * PT, least=10 * PT, lines=min(4, room)), _MARGIN, below + 9, tint=0.75)
    placed = None
    if spot.url is None:
        pen.waves(_MARGIN + _SIDE / 2, bottom - _SIDE / 2, _SIDE)
    else:
        placed = _aligned_code(pen, spot.url, _MARGIN, bottom, _SIDE)
    _call(pen, spot, words, bottom)
    _foot(pen, spot, words, placed)


def thanks(pen: Pen, spot: Spot, words: Words) -> None:
    """The page that follows the poster into its frame: thanks, what was reached, and where to read on."""
    _heading(pen, words, rule_y=30)
    y = pen.block(
        fit(words.thanks, _FULL, most=84 * PT, least=40 * PT, lines=1, bold=True), _MARGIN - 1.4, 50
    )  # the M stands that far into its own width
    y = pen.block(
        fit_first(words.title, _FULL, (26 * PT, 16 * PT, 3), (16 * PT, 12 * PT, 4), bold=True),
        _MARGIN,
        y + (14 if words.notice else 18),
    )
    y = pen.block(fit(words.promise, _FULL, most=15 * PT, least=10 * PT, lines=4), _MARGIN, y + 8, tint=0.75)
    if words.figure:
        _reached(pen, words, max(y + (18 if words.notice else 24), 150))
    placed = None
    if spot.url is not None:
        bottom = _bottom(words)
        placed = _aligned_code(pen, spot.url, _MARGIN, bottom, 36)
        look = fit(words.look, 100, most=15 * PT, least=10 * PT, lines=3, bold=True)
        pen.block(look, _MARGIN + 45, bottom - 36)
    _foot(pen, spot, words, placed)


def face(pen: Pen, spot: Spot, words: Words) -> None:
    """One face of a tent card, 210 by 148.5 units."""
    left, column, across = 16.0, 108.0, 86.0
    side, bottom = (66.0, 103.0) if words.notice else (76.0, 113.5)  # of the code
    pen.line(words.brand, left, 19, _line_size(words.brand, 178, 12 * PT, bold=True), bold=True)
    pen.rule(left, 25, 178, 0)
    y = pen.block(fit_first(words.title, across, (21 * PT, 13 * PT, 4), (12 * PT, 9 * PT, 5), bold=True), column, 37.5)
    pen.block(fit(words.promise, across, most=11 * PT, least=8 * PT, lines=4), column, y + 5, tint=0.75)
    if spot.url is None:
        pen.waves(left + side / 2, bottom - side / 2, side)
    else:
        _aligned_code(pen, spot.url, left, bottom, side)
    call = fit(words.hold if spot.url is None else words.scan, across, most=14 * PT, least=9 * PT, lines=2, bold=True)
    if spot.has_tag and spot.url is not None:
        there = fit(words.or_hold, across - 16, most=12 * PT, least=8 * PT, lines=2, bold=True)
        pen.waves(column + 6, bottom - 6, 12)
        pen.block(there, column + 16, bottom - 6 - there.height / 2)
        pen.block(call, column, bottom - 16.5 - call.height)
    else:
        pen.block(call, column, bottom - call.height)
    foot = 114.5 if words.notice else 126.0
    pen.rule(left, foot, 178, 0)
    pen.line(words.type_at, left, foot + 7, _line_size(words.type_at, 88, 7.5 * PT), tint=GREY)
    pen.line(spot.code, left, foot + 13.5, _line_size(spot.code, 88, 12 * PT, bold=True), bold=True)
    pen.block(fit(spot.caption, across, most=9 * PT, least=6 * PT, lines=2, bold=True), column, foot + 5)
    notices.strip(pen, words.notice, left, foot + 16.5, 178)


def _heading(pen: Pen, words: Words, *, rule_y: float) -> None:
    size = _line_size(words.brand, _FULL, 15 * PT, bold=True)
    pen.line(words.brand, _MARGIN, rule_y - 6, size, bold=True)
    pen.rule(_MARGIN, rule_y, _FULL, 0)


def _aligned_code(pen: Pen, url: str, left: float, bottom: float, side: float) -> Placed:
    """A code whose dark modules end at `left` and `bottom`; its quiet zone is the white around."""
    free = pen.quiet_share(url) * side
    return pen.code(url, left - free, bottom - side - free, side + 2 * free)


def _bottom(words: Words) -> float:
    return _BOTTOM - (_LIFT if words.notice else 0)


def _call(pen: Pen, spot: Spot, words: Words, bottom: float) -> None:
    """Beside the code: what to do, and that it costs nothing."""
    call = words.hold if spot.url is None else words.scan
    y = pen.block(fit(call, _NARROW, most=21 * PT, least=12 * PT, lines=4, bold=True), _COLUMN, bottom - _SIDE)
    y = pen.block(fit(words.ease, _NARROW, most=11.5 * PT, least=8 * PT, lines=3), _COLUMN, y + 6, tint=0.75)
    if spot.has_tag and spot.url is not None:
        words_there = fit(words.or_hold, _NARROW, most=14 * PT, least=9 * PT, lines=2, bold=True)
        pen.waves(_COLUMN + 19, bottom - words_there.height - 6 - 19, 38)
        pen.block(words_there, _COLUMN, bottom - words_there.height)


def _foot(pen: Pen, spot: Spot, words: Words, placed: Placed | None) -> None:
    lift = _BOTTOM - _bottom(words)
    pen.rule(_MARGIN, 255 - lift, _FULL, 0)
    pen.line(words.type_at, _MARGIN, 264 - lift, _line_size(words.type_at, 108, 10.5 * PT), tint=0.75)
    pen.line(spot.code, _MARGIN, 275 - lift, _line_size(spot.code, 108, 25 * PT, bold=True), bold=True)
    pen.line(words.keep, _MARGIN, 281.5 - lift, _line_size(words.keep, 108, 8.5 * PT), tint=GREY)
    caption = fit(spot.caption, _NARROW, most=12 * PT, least=8 * PT, lines=4, bold=True)
    pen.block(caption, _COLUMN, 261.4 - lift)
    if placed is not None:
        told = words.reads % {"mm": round(placed.side_mm), "cm": placed.distance_cm}
        pen.line(told, _MARGIN, 289 - lift * 1.2, 6 * PT, tint=GREY)
    notices.strip(pen, words.notice, _MARGIN, 281, _FULL)


def _reached(pen: Pen, words: Words, top: float) -> None:
    """The figure, what it counts, and a bar as long as the way that was made."""
    size = _line_size(words.figure, 110, 54 * PT, bold=True)
    pen.line(words.reached, _MARGIN, top - 8, _line_size(words.reached, _FULL, 13 * PT, bold=True), bold=True)
    y = top + CAP_HEIGHT * size
    pen.line(words.figure, _MARGIN - 1, y, size, bold=True)
    beside = _MARGIN + width(words.figure, size, bold=True) + 6
    said = fit(words.goal, 190 - beside, most=14 * PT, least=8 * PT, lines=2)
    pen.block(said, beside, y - said.height, tint=0.75)
    if words.share is not None:
        pen.box(_MARGIN, y + 7, _FULL, 3, tint=0.12)
        if words.share > 0:
            pen.box(_MARGIN, y + 7, _FULL * min(1.0, words.share), 3)


def _line_size(text: str, across: float, most: float, *, bold: bool = False) -> float:
    """The size at which a line goes into `across`."""
    return min(most, across / max(width(text, 1, bold=bold), 0.01))
