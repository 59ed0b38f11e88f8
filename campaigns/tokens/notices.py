"""The notice that the law asks for on paper: whole wherever it stands, or refused before anything is printed."""

from typing import Final

from campaigns.errors import Invalid
from campaigns.tokens.layouts import Grid
from campaigns.tokens.lettering import printable
from campaigns.tokens.paper import Pen
from campaigns.tokens.typesetting import PT, Block, fit, fit_first

_POINTER: Final = "/mandatory_notice"
_EDGE: Final = 4.5  # what most printers leave white
_MARKS: Final = 6.0  # above stickers: their cut marks
_LEAST: Final = 4.5 * PT
_SMALLEST_CELL: Final = (24.0, 24.0)  # of a sticker
_NARROWEST: Final = 116.0  # a page of a kit
_TRIES: Final = ((10 * PT, 8 * PT, 1), (8.5 * PT, 7 * PT, 2), (8 * PT, 4 * PT, 3))


def require_printable(notice: dict[str, str] | None) -> None:
    """Invalid for a notice with letters that the fonts lack, or one that is too wide for the narrowest sheet."""
    for text in (notice or {}).values():
        shown = printable(text, _POINTER)
        if not shown:
            raise Invalid("This notice shows nothing on paper: write it in words.", pointer=_POINTER)
        if _set(shown, *_SMALLEST_CELL).is_cut or fit_first(shown, _NARROWEST, *_TRIES).is_cut:
            raise Invalid("This notice does not fit on a label: break its long words, or shorten it.", pointer=_POINTER)


def strip(pen: Pen, text: str, left: float, top: float, across: float) -> None:
    """The notice in up to three lines, under a rule, as wide as what stands above it."""
    if text:
        pen.rule(left, top, across, 0, thick=0.2)
        pen.block(fit_first(text, across, *_TRIES), left, top + 2.4)


def takes_a_cell(text: str, grid: Grid, *, is_cut: bool) -> bool:
    """Whether the notice takes the last cell of each page: where there is none, or no margin above that holds it."""
    return bool(text) and _set(text, *_above(grid, is_cut=is_cut)).is_cut


def in_margin(pen: Pen, text: str, grid: Grid, *, is_cut: bool) -> None:
    """The notice above the cells of a page."""
    across, down = _above(grid, is_cut=is_cut)
    block = _set(text, across, down)
    pen.block(block, (pen.across - across) / 2, _EDGE + (down - block.height) / 2)


def in_cell(pen: Pen, text: str, inset: float) -> None:
    """The notice alone in a cell, to be stuck beside the codes."""
    across, down = pen.across - 2 * inset, pen.down - 2 * inset
    block = _set(text, across, down)
    pen.block(block, inset, (pen.down - block.height) / 2)


def _above(grid: Grid, *, is_cut: bool) -> tuple[float, float]:
    return 200.0, max(0.0, grid.top - _EDGE - (_MARKS if is_cut else 1.0))


def _set(text: str, across: float, down: float) -> Block:
    """The text as large as it goes into a box, from 11 points down; cut off where it does not go in at 4.5."""
    size = 11 * PT
    while size >= _LEAST:
        block = fit(text, across, most=size, least=size, lines=max(1, _lines(down, size)))
        if not block.is_cut and block.height <= down:
            return block
        size *= 0.94
    return fit(text, across, most=_LEAST, least=_LEAST, lines=1)._replace(is_cut=True)


def _lines(down: float, size: float) -> int:
    return int((down / size - 0.73) / 1.22) + 1
