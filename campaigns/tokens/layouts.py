"""What is printed of a campaign's codes: posters, thanks, tent cards, labels and stickers, and their layouts as data.

All measures are millimetres. What is said comes from the caller in its language, finished; a text that was written
for a screen may have an emoji, which paper leaves out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Final, NamedTuple

from campaigns.errors import Invalid
from campaigns.tokens.lettering import printable
from campaigns.tokens.paper import A4, A5, Ink

LONGEST_CAPTION: Final = 80  # characters
STICKER_MM: Final = (30.0, 90.0)
BLEED: Final = 2.0  # black that goes on beyond the cut, for a knife that strays
_EDGE: Final = 5.0  # what most printers leave white


class Sheet(StrEnum):
    """What is printed."""

    A4 = "a4"
    THANKS = "thanks"
    LABELS = "labels"
    TENT = "tent"
    STICKERS = "stickers"


class Paper(StrEnum):
    """What a tent card is folded from."""

    A4 = "a4"
    A5 = "a5"

    @property
    def size(self) -> tuple[float, float]:
        """Width and height, upright."""
        return A4 if self is Paper.A4 else A5


class Shape(StrEnum):
    """What a sticker is cut to."""

    ROUND = "round"
    SQUARE = "square"


class LabelGrid(StrEnum):
    """Sheets of labels by the size of one in millimetres, as they are sold."""

    G70X37 = "70x37"
    G63X38 = "63.5x38.1"
    G99X67 = "99.1x67.7"
    G52X29 = "52.5x29.7"
    G38X21 = "38.1x21.2"


class Grid(NamedTuple):
    """Cells on an A4 page: how many, how large, the first one's corner, and the gaps between them."""

    columns: int
    rows: int
    across: float
    down: float
    left: float
    top: float
    gap_x: float = 0.0
    gap_y: float = 0.0

    @property
    def cells(self) -> int:
        return self.columns * self.rows

    def corner(self, number: int) -> tuple[float, float]:
        """The left and top of a cell, by rows."""
        row, column = divmod(number, self.columns)
        return self.left + column * (self.across + self.gap_x), self.top + row * (self.down + self.gap_y)

    @property
    def inset(self) -> tuple[float, float]:
        """What a label keeps free at its sides and above, so that nothing is lost at the edge of the page."""
        return max(2.0, _EDGE - self.left), max(1.5, _EDGE - self.top)


# Avery 3474, L7160, L7165, 3651 and L7651, as the maker's templates have them.
GRIDS: Final = {
    LabelGrid.G70X37: Grid(3, 8, 70, 37, 0, 0.5),
    LabelGrid.G63X38: Grid(3, 7, 63.5, 38.1, 7.2, 15.15, 2.5),
    LabelGrid.G99X67: Grid(2, 4, 99.1, 67.7, 4.65, 13.1, 2.5),
    LabelGrid.G52X29: Grid(4, 10, 52.5, 29.7, 0, 0),
    LabelGrid.G38X21: Grid(5, 13, 38.1, 21.2, 4.75, 10.7, 2.5),
}


def sticker_grid(size: float) -> Grid:
    """As many stickers as an A4 page has room for, with bleed and cut marks between them. Invalid out of range."""
    if not STICKER_MM[0] <= size <= STICKER_MM[1]:
        raise Invalid(f"A sticker is {STICKER_MM[0]:.0f} to {STICKER_MM[1]:.0f} mm wide.", pointer="/size_mm")
    gap, least = 9.0, 12.0
    columns, rows = (int((side - 2 * least + gap) // (size + gap)) for side in A4)
    left, top = ((side - n * size - (n - 1) * gap) / 2 for side, n in zip(A4, (columns, rows), strict=True))
    return Grid(columns, rows, size, size, left, top, gap, gap)


@dataclass(frozen=True)
class Layout:
    """What is to be printed and how: each format takes of these what it knows."""

    sheet: Sheet
    ink: Ink = field(default_factory=Ink)
    grid: LabelGrid = LabelGrid.G70X37
    paper: Paper = Paper.A4
    shape: Shape = Shape.ROUND
    size_mm: float = 50.0

    @property
    def pointer(self) -> str:
        """The field that makes its codes larger."""
        return {Sheet.LABELS: "/grid", Sheet.STICKERS: "/size_mm", Sheet.TENT: "/paper"}.get(self.sheet, "/ec")


@dataclass(frozen=True)
class Spot:
    """A frame, card, label or sticker: what its code says and how it is written beneath, and whose it is.

    `has_tag`: a phone may be held to it. Without `url` that is all it may: the token itself is the tag.
    """

    url: str | None
    code: str
    caption: str
    has_tag: bool = False


@dataclass(frozen=True)
class Words:
    """What a sheet says, finished in one language. `reads` has `%(mm)s` and `%(cm)s`, the code and its distance.

    `notice` is what the law asks of the organisation: each sheet shows all of it.
    """

    brand: str
    title: str
    promise: str
    scan: str
    hold: str
    or_hold: str
    ease: str
    type_at: str
    keep: str
    reads: str
    cut: str
    thanks: str
    reached: str
    look: str
    figure: str = ""
    goal: str = ""
    notice: str = ""
    share: float | None = None

    def printable(self) -> "Words":
        """The same with what paper can show. Invalid for letters of another script."""
        texts = {one.name: getattr(self, one.name) for one in fields(self)}
        shown: dict[str, Any] = {
            name: printable(text, f"/{name}") for name, text in texts.items() if isinstance(text, str)
        }
        return replace(self, **shown)


def printable_spots(spots: Sequence[Spot]) -> list[Spot]:
    """The same with captions that paper can show. Invalid names the caption that has letters of another script."""
    return [replace(spot, caption=_caption(spot.caption)) for spot in spots]


def _caption(text: str) -> str:
    try:
        return printable(text, "/caption")
    except Invalid as error:
        detail = f"{error.detail} This is of the place {text[:60]!r}: name it otherwise, or give a caption."
        raise Invalid(detail, pointer="/caption") from error
