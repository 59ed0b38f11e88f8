"""Ink on paper: pages of a PDF in millimetres from the top left, in black ink alone, every code on them read back.

Black is 100 % K (CMYK 0, 0, 0, 1), so that a printer lays one plate and a module has one edge; a grey is a tint of
it. Modules are boxes, never pixels; fonts are embedded.
"""

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, NamedTuple

from reportlab.pdfgen.canvas import FILL_EVEN_ODD, Canvas

from campaigns.errors import Invalid
from campaigns.tokens import qr
from campaigns.tokens.lettering import CAP_HEIGHT
from campaigns.tokens.picture import LEAST_MODULE_MM, pdf_boxes
from campaigns.tokens.readback import pages_read_as
from campaigns.tokens.shapes import SUITING, Matrix, Style, boxes
from campaigns.tokens.typesetting import BOLD, LEADING, REGULAR, Block, width

POINTS_A_MM: Final = 72 / 25.4
A4: Final = (210.0, 297.0)
A5: Final = (148.0, 210.0)
GREY: Final = 0.62  # of black: 5:1 against white paper, so it is still read
_PIXELS_A_MODULE: Final = 4  # a page is read back as coarsely as a phone sees a code at arm's length


@dataclass(frozen=True)
class Ink:
    """How the codes of a sheet are drawn: black only, so colours have no place here.

    A `mask` is taken for all instead of the best for each, which takes six times as long to find.
    """

    error_correction: qr.ErrorCorrection = qr.ErrorCorrection.M
    style: Style = Style.SQUARE
    mask: int | None = None


class Placed(NamedTuple):
    """A code on a page: what it says, the width of its modules and of the whole without its quiet zone."""

    text: str
    module_mm: float
    side_mm: float

    @property
    def quiet_mm(self) -> float:
        """The width of its quiet zone."""
        return self.module_mm * qr.QUIET_ZONE

    @property
    def distance_cm(self) -> int:
        """From how far a phone reads it: ten times its width, from 20 cm on in steps of five."""
        wide = round(self.side_mm)
        return wide if wide < 20 else wide // 5 * 5


@dataclass(frozen=True)
class Printed:
    """A finished PDF. `read_back` of its pages were made into pixels and every code on them was read."""

    pdf: bytes = field(repr=False)
    pages: int
    codes: int
    read_back: int
    module_mm: float | None
    distance_cm: int | None


class Pen:
    """Draws on a page, or on a part of it, in units of `unit_mm` from its top left corner, y downwards."""

    def __init__(self, canvas: Any, ink: Ink, across: float, down: float, pointer: str) -> None:
        self.across = across
        self.down = down
        self.placed: list[Placed] = []
        self._canvas = canvas
        self._ink = ink
        self._pointer = pointer  # the field of a request that makes its codes larger
        self._unit_mm = 1.0

    @contextmanager
    def panel(
        self, x: float, y: float, across: float, down: float, *, scale: float = 1, turned: bool = False
    ) -> Iterator["Pen"]:
        """A part of the page as a page of its own, `across` by `down` of its own units; `turned` stands on its head."""
        inner = Pen(self._canvas, self._ink, across, down, self._pointer)
        inner.placed, inner._unit_mm = self.placed, self._unit_mm * scale
        self._canvas.saveState()
        self._canvas.translate(x, -y)
        self._canvas.scale(scale, scale)
        if turned:
            self._canvas.translate(across, -down)
            self._canvas.rotate(180)
        yield inner
        self._canvas.restoreState()

    def line(self, text: str, x: float, y: float, size: float, **how: Any) -> None:
        """One line whose baseline is at y. `align` is left, middle or right of x; `tint` is a share of black."""
        bold, align, tint = how.get("bold", False), how.get("align", "left"), how.get("tint", 1)
        self._canvas.setFillColorCMYK(0, 0, 0, tint)
        self._canvas.setFont(BOLD if bold else REGULAR, size)
        x -= width(text, size, bold=bold) * {"left": 0, "middle": 0.5, "right": 1}[align]
        self._canvas.drawString(x, -y, text)

    def block(self, block: Block, x: float, top: float, **how: Any) -> float:
        """A text whose first capitals begin at `top`; where its last baseline is."""
        y = top + CAP_HEIGHT * block.size
        for text in block.lines:
            self.line(text, x, y, block.size, bold=block.is_bold, **how)
            y += LEADING * block.size
        return top + block.height

    def rule(
        self, x: float, y: float, dx: float, dy: float, *, thick: float = 0.25, tint: float = 1, **how: Any
    ) -> None:
        """A straight line; `dash` is a pair of lengths."""
        self._stroke(thick, tint, how.get("dash"))
        self._canvas.line(x, -y, x + dx, -y - dy)

    def box(self, x: float, y: float, across: float, down: float, *, radius: float = 0, tint: float = 1) -> None:
        """A filled box; tint 0 is white."""
        self._canvas.setFillColorCMYK(0, 0, 0, tint)
        self._canvas.roundRect(x, -y - down, across, down, radius, stroke=0, fill=1)

    def disc(self, x: float, y: float, radius: float, *, tint: float = 1) -> None:
        """A filled circle."""
        self._canvas.setFillColorCMYK(0, 0, 0, tint)
        self._canvas.circle(x, -y, radius, stroke=0, fill=1)

    def waves(self, x: float, y: float, size: float, *, tint: float = 1) -> None:
        """The mark of a spot to hold a phone to: waves in a ring, `size` wide, about a middle."""
        self._stroke(size * 0.045, tint, None)
        self._canvas.circle(x, -y, size * 0.4775, stroke=1, fill=0)
        self._stroke(size * 0.062, tint, None)
        self._canvas.setLineCap(1)
        left = x - size * 0.35
        for radius in (0.14, 0.28, 0.42, 0.56):
            r, spread = radius * size, 38
            path = self._canvas.beginPath()
            path.arc(left - r, -y - r, left + r, -y + r, -spread, 2 * spread)
            self._canvas.drawPath(path, stroke=1, fill=0)
        self._canvas.setLineCap(0)

    def round_line(self, text: str, x: float, y: float, radius: float, size: float, *, below: bool = False) -> None:
        """White bold letters along a circle, upright above its middle, or below it."""
        turn = math.degrees(width(text, size, bold=True) / radius) / 2
        self._canvas.setFillColorCMYK(0, 0, 0, 0)
        self._canvas.setFont(BOLD, size)
        for letter in text:
            half = math.degrees(width(letter, size, bold=True) / radius) / 2
            turn -= half
            self._canvas.saveState()
            self._canvas.translate(x, -y)
            self._canvas.rotate(-turn if below else turn)
            self._canvas.drawCentredString(0, -radius if below else radius, letter)
            self._canvas.restoreState()
            turn -= half

    def quiet_share(self, text: str) -> float:
        """How wide the quiet zone of a code is, of the code without it."""
        return qr.QUIET_ZONE / len(_modules(text, self._ink.error_correction, self._ink.mask))

    def code(self, text: str, x: float, y: float, side: float) -> Placed:
        """A code, `side` wide with its quiet zone. Invalid where its modules would be under 0.4 mm wide."""
        modules = _modules(text, self._ink.error_correction, self._ink.mask)
        module = side / (len(modules) + 2 * qr.QUIET_ZONE)
        placed = Placed(text, module * self._unit_mm, module * len(modules) * self._unit_mm)
        if placed.module_mm < LEAST_MODULE_MM:
            raise Invalid(
                f"The modules of these codes would be {placed.module_mm:.2f} mm wide; below {LEAST_MODULE_MM} mm they "
                "smear in print. Take a larger size, or less error correction.",
                pointer=self._pointer,
            )
        self._canvas.saveState()
        self._canvas.translate(x, -y)
        self._canvas.scale(module, -module)
        self._canvas.setFillColorCMYK(0, 0, 0, 1)
        self._modules(modules)
        self._canvas.restoreState()
        self.placed.append(placed)
        return placed

    def _modules(self, modules: Matrix) -> None:
        style = self._ink.style
        shapes = boxes(modules, style, SUITING[style], qr.QUIET_ZONE)
        if style is Style.SQUARE:  # whole numbers, which ReportLab would spend half of a sheet's time on writing
            self._canvas.addLiteral("".join(f"{x} {y} {wide} 1 re " for x, y, wide, *_ in shapes) + "f")
            return
        path = self._canvas.beginPath()
        pdf_boxes(path, shapes)
        self._canvas.drawPath(path, stroke=0, fill=1, fillMode=FILL_EVEN_ODD)

    def _stroke(self, thick: float, tint: float, dash: Sequence[float] | None) -> None:
        self._canvas.setStrokeColorCMYK(0, 0, 0, tint)
        self._canvas.setLineWidth(thick)
        self._canvas.setDash(*([list(dash)] if dash else []))


class Press:
    """Makes pages of one size into a PDF, the same bytes each time."""

    def __init__(self, title: str, paper: tuple[float, float], ink: Ink, *, pointer: str = "/ec") -> None:
        self._pointer = pointer
        self._across, self._down = paper
        self._output = io.BytesIO()
        size = (self._across * POINTS_A_MM, self._down * POINTS_A_MM)
        self._canvas = Canvas(self._output, pagesize=size, invariant=1, pageCompression=1, initialFontName=REGULAR)
        self._canvas.setTitle(title)
        self._canvas.setCreator("Passerelle")
        self._ink = ink
        self._pages: list[list[Placed]] = []

    @contextmanager
    def page(self) -> Iterator[Pen]:
        """The next page."""
        pen = Pen(self._canvas, self._ink, self._across, self._down, self._pointer)
        self._canvas.translate(0, self._down * POINTS_A_MM)
        self._canvas.scale(POINTS_A_MM, POINTS_A_MM)
        yield pen
        self._canvas.showPage()
        self._pages.append(pen.placed)

    def finish(self, *, every: int = 1) -> Printed:
        """The PDF, once every code on its pages was read back, or on one page in `every`.

        Invalid names the page where one does not read.
        """
        self._canvas.save()
        pdf = self._output.getvalue()
        codes = [one for page in self._pages for one in page]
        read = range(0, len(self._pages), every) if codes else range(0)
        least = min((one.module_mm for one in codes), default=None)
        if least is not None:
            scale = _PIXELS_A_MODULE / (least * POINTS_A_MM)
            for number, found in zip(read, pages_read_as(pdf, read, pixels_a_point=scale), strict=True):
                if sorted(found) != sorted(one.text for one in self._pages[number]):
                    raise Invalid(
                        f"A code on page {number + 1} does not read back; take a larger size, or style=square.",
                        pointer=self._pointer,
                    )
        distance = min((one.distance_cm for one in codes), default=None)
        return Printed(pdf, len(self._pages), len(codes), len(read), least, distance)


@lru_cache(2)
def _modules(text: str, level: qr.ErrorCorrection, mask: int | None) -> Matrix:
    """The code that was drawn last, asked for again at once: its size first, or the other face of a card."""
    return qr.matrix(text, level, mask=mask)
