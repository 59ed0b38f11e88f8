"""What the modules of a code look like: boxes with round or square corners, in modules, from the top left.

Runs of dark modules in a row become one box: a drawing has a third of the shapes, and no hairline shows between
neighbours. The three finder patterns are drawn as rings of their own, for readers look for them first.
"""

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Final, NamedTuple

Matrix = tuple[tuple[bool, ...], ...]

FINDER_SIDE: Final = 7
_DARK: Final = re.compile(b"\x01+")  # dark modules in a row, as bytes
# Of a dot: the standard wants modules as wide as their pitch. At 0.92 neighbours stay apart and readers that
# measure a row of modules still find its ratios.
_DOT_RADIUS: Final = 0.46


class Style(StrEnum):
    """The shape of a module: `rounded` joins neighbours and rounds the ends, `dots` keeps every module apart."""

    SQUARE = "square"
    ROUNDED = "rounded"
    DOTS = "dots"


class Finder(StrEnum):
    """The shape of the three finder patterns: `dot` is a square ring around a round core.

    Phones read them all. OpenCV's reader, which sorting machines and web shops use, misses every circle and now and
    then a rounded ring, so those two are drawn for who asks, never by themselves.
    """

    SQUARE = "square"
    DOT = "dot"
    ROUNDED = "rounded"
    CIRCLE = "circle"


# What a finder pattern looks like when nobody says.
SUITING: Final = {Style.SQUARE: Finder.SQUARE, Style.ROUNDED: Finder.DOT, Style.DOTS: Finder.DOT}
# Radii of a finder's ring, its hole and its core, outermost first.
_RADII: Final = {
    Finder.SQUARE: (0.0, 0.0, 0.0),
    Finder.DOT: (0.0, 0.0, 1.5),
    Finder.ROUNDED: (1.0, 0.5, 0.9),
    Finder.CIRCLE: (3.5, 2.5, 1.5),
}


class Box(NamedTuple):
    """A box and the radii of its corners. One within another, in one fill, is a hole (even-odd rule)."""

    x: float
    y: float
    width: float
    height: float
    top_left: float = 0
    top_right: float = 0
    bottom_right: float = 0
    bottom_left: float = 0


def rounded(x: float, y: float, width: float, height: float, radius: float) -> Box:
    """A box with four like corners."""
    return Box(x, y, width, height, radius, radius, radius, radius)


def boxes(modules: Matrix, style: Style, finder: Finder, start: int) -> list[Box]:
    """The dark shapes of a code whose first module stands at `start`, across and down."""
    if style is Style.SQUARE and finder is Finder.SQUARE:
        return list(_runs(modules, start))
    rest = _without_finders(modules)
    drawn = {Style.SQUARE: _runs, Style.ROUNDED: _joined, Style.DOTS: _dots}[style](rest, start)
    return [*_finders(len(modules), finder, start), *drawn]


def cleared(modules: Matrix, across: int, down: int) -> Matrix:
    """The modules with a rectangle in the middle taken out."""
    columns, rows = (range((len(modules) - room) // 2, (len(modules) + room) // 2) for room in (across, down))
    return tuple(
        tuple(dark and not (x in columns and y in rows) for x, dark in enumerate(row)) for y, row in enumerate(modules)
    )


def _runs(modules: Matrix, start: int) -> Iterator[Box]:
    for y, row in enumerate(modules, start):
        for run in _DARK.finditer(bytes(row)):
            first, last = run.span()
            yield Box(start + first, y, last - first, 1)


def _joined(modules: Matrix, start: int) -> Iterator[Box]:
    """Runs whose corners are round where nothing dark is above or below them."""
    blank = (False,) * len(modules)
    for run in _runs(modules, start):
        x, y, last = int(run.x) - start, int(run.y) - start, int(run.x + run.width) - start - 1
        above = modules[y - 1] if y else blank
        below = modules[y + 1] if y + 1 < len(modules) else blank
        ends = (above[x], above[last], below[last], below[x])
        yield Box(*run[:4], *(0 if is_joined else 0.5 for is_joined in ends))


def _dots(modules: Matrix, start: int) -> Iterator[Box]:
    edge, side = 0.5 - _DOT_RADIUS, 2 * _DOT_RADIUS
    for y, row in enumerate(modules, start):
        for x, dark in enumerate(row, start):
            if dark:
                yield rounded(x + edge, y + edge, side, side, _DOT_RADIUS)


def _finders(side: int, finder: Finder, near: int) -> Iterator[Box]:
    far = near + side - FINDER_SIDE
    for x, y in ((near, near), (far, near), (near, far)):
        for inset, radius in zip((0, 1, 2), _RADII[finder], strict=True):
            across = FINDER_SIDE - 2 * inset
            yield rounded(x + inset, y + inset, across, across, radius)


def _without_finders(modules: Matrix) -> Matrix:
    far = len(modules) - FINDER_SIDE

    def is_finder(x: int, y: int) -> bool:
        return (x < FINDER_SIDE and (y < FINDER_SIDE or y >= far)) or (x >= far and y < FINDER_SIDE)

    return tuple(tuple(dark and not is_finder(x, y) for x, dark in enumerate(row)) for y, row in enumerate(modules))
