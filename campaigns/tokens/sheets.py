"""Sheets for the printer: a campaign's codes as posters, thanks, tent cards, labels or stickers, in one PDF."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from campaigns.tokens import labels, notices, posters
from campaigns.tokens.layouts import GRIDS, Grid, Layout, Sheet, Spot, Words, sticker_grid
from campaigns.tokens.paper import A4, Pen, Press, Printed

# A page of a poster takes 40 ms to draw and read back, a label 3 ms: nobody waits longer than some ten seconds.
MOST: Final = {Sheet.A4: 200, Sheet.THANKS: 200, Sheet.TENT: 200, Sheet.LABELS: 2_000, Sheet.STICKERS: 2_000}
ALL_READ_UP_TO: Final = 10_000  # codes of a batch whose every page is read back
SAMPLE: Final = 50  # beyond it, one page in so many
_MANY: Final = 200  # codes of a sheet that share one mask
_MASK: Final = 2  # vertical stripes of three: it hides long runs, and no code of ours looks like it


def draw(layout: Layout, spots: Sequence[Spot], words: Words, *, every: int = 1) -> Printed:
    """A PDF with each spot once, in their order, read back before it is returned (one page in `every`).

    Texts are already printable. Invalid for modules under 0.4 mm, and where a code does not read back.
    """
    if layout.sheet is Sheet.LABELS:
        return _in_cells(layout, spots, words, GRIDS[layout.grid], every)
    if layout.sheet is Sheet.STICKERS:
        return _in_cells(layout, spots, words, sticker_grid(layout.size_mm), every)
    paper = layout.paper.size if layout.sheet is Sheet.TENT else A4
    press = Press(words.title, paper, layout.ink, pointer=layout.pointer)
    for spot in spots:
        with press.page() as pen:
            if layout.sheet is Sheet.TENT:
                _tent(pen, spot, words)
            else:
                (posters.thanks if layout.sheet is Sheet.THANKS else posters.poster)(pen, spot, words)
    return press.finish(every=every)


def _in_cells(layout: Layout, spots: Sequence[Spot], words: Words, grid: Grid, every: int) -> Printed:
    ink = replace(layout.ink, mask=_MASK) if len(spots) > _MANY else layout.ink
    press = Press(words.title, A4, ink, pointer=layout.pointer)
    is_cut = layout.sheet is Sheet.STICKERS
    last_is_notice = notices.takes_a_cell(words.notice, grid, is_cut=is_cut)
    cells = grid.cells - last_is_notice
    for start in range(0, len(spots), cells):
        with press.page() as pen:
            for number, spot in enumerate(spots[start : start + cells]):
                with pen.panel(*grid.corner(number), grid.across, grid.down) as cell:
                    if is_cut:
                        labels.sticker(cell, spot, words, layout.shape)
                    else:
                        labels.label(cell, spot, words, grid)
            if last_is_notice:
                with pen.panel(*grid.corner(cells), grid.across, grid.down) as cell:
                    notices.in_cell(cell, words.notice, max(3.0, *grid.inset))
            elif words.notice:
                notices.in_margin(pen, words.notice, grid, is_cut=is_cut)
            _tell_printer(pen, words, grid, is_cut=is_cut)
    return press.finish(every=every)


def _tell_printer(pen: Pen, words: Words, grid: Grid, *, is_cut: bool) -> None:
    """Beneath the cells, where there is room: how far each code reads, and to print at full size."""
    last = grid.corner(grid.cells - 1)[1] + grid.down
    if pen.down - last < 10:
        return
    told = [words.cut] if is_cut else []
    if pen.placed:
        least = min(pen.placed, key=lambda one: one.side_mm)
        told.append(words.reads % {"mm": round(least.side_mm), "cm": least.distance_cm})
    labels.told_beneath(pen, " · ".join(told))


def _tent(pen: Pen, spot: Spot, words: Words) -> None:
    """Two faces of half a page: the upper one stands on its head, and upright once the page is folded."""
    half = pen.down / 2
    scale = pen.across / posters.FACE[0]
    for top, is_turned in ((0.0, True), (half, False)):
        with pen.panel(0, top, posters.FACE[0], half / scale, scale=scale, turned=is_turned) as inner:
            posters.face(inner, spot, words)
    pen.rule(0, half, pen.across, 0, thick=0.15, dash=(2.5, 2), tint=0.5)
