"""One drawing, three formats: SVG, PNG and PDF of the same shapes, measured in modules from the top left.

Everything is filled outlines and at most one image, so no printer misses a font; a grey is written as a grey, so
that black prints with black ink alone.
"""

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import resvg_py
from PIL import Image
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import FILL_EVEN_ODD, FILL_NON_ZERO, Canvas

from campaigns.errors import Invalid
from campaigns.tokens.lettering import Curve, Point
from campaigns.tokens.logos import Logo
from campaigns.tokens.shapes import Box

MODULE_PX: Final = range(1, 41)
LEAST_MODULE_MM: Final = 0.4  # phones read smaller ones only from very near, and cheap printers smear them
MOST_MODULE_MM: Final = 50.0
# Reading a picture back takes its pixels in memory: 4,000 squared are 64 MB in RGBA. It prints 34 cm at 300
# dpi.
LONGEST_SIDE_PX: Final = 4_000
LONGEST_SIDE_MM: Final = 5_000  # a PDF page ends at 14,400 points (ISO 32000, annex C)
_POINTS_A_MM: Final = 72 / 25.4
_HOLES: Final = ' fill-rule="evenodd"'
_ARC: Final = 0.5522847498  # of the radius: where the controls of a cubic lie that follows a quarter of a circle


class Format(StrEnum):
    """What a code is handed out as."""

    SVG = "svg"
    PNG = "png"
    PDF = "pdf"


@dataclass(frozen=True)
class Size:
    """How large a module is: pixels on a screen (SVG, PNG) or millimetres on paper (SVG, PDF)."""

    module_px: int | None = None
    module_mm: float | None = None

    def fitting(self, format: Format) -> "Size":
        """This size, or the format's own (8 pixels, 1 mm) where none is said. Invalid in the other's unit."""
        if self == Size():
            return Size(module_mm=1.0) if format is Format.PDF else Size(module_px=8)
        if self.module_px is not None and self.module_mm is not None:
            raise Invalid("Give module_px or module_mm, not both.", pointer="/module_mm")
        if format is Format.PDF and self.module_px is not None:
            raise Invalid("A PDF is measured on paper: give module_mm, not module_px.", pointer="/module_px")
        if format is Format.PNG and self.module_mm is not None:
            raise Invalid("A PNG is measured in pixels: give module_px, or ask for a PDF.", pointer="/module_mm")
        return self

    def require_printable(self, longest_side: float) -> None:
        """Invalid when a module, or the whole of `longest_side` modules, is out of range."""
        if self.module_px is not None:
            if self.module_px not in MODULE_PX:
                raise Invalid("A module is 1 to 40 pixels wide; give module_px in that range.", pointer="/module_px")
            if longest_side * self.module_px > LONGEST_SIDE_PX:
                detail = f"The image would be over {LONGEST_SIDE_PX} pixels long; give fewer pixels a module."
                raise Invalid(detail, pointer="/module_px")
        if self.module_mm is not None:
            if not LEAST_MODULE_MM <= self.module_mm <= MOST_MODULE_MM:
                detail = "A module is 0.4 to 50 mm wide on paper: finer ones smear in print; give module_mm there."
                raise Invalid(detail, pointer="/module_mm")
            if longest_side * self.module_mm > LONGEST_SIDE_MM:
                detail = f"The sheet would be over {LONGEST_SIDE_MM} mm long; give fewer millimetres a module."
                raise Invalid(detail, pointer="/module_mm")


@dataclass(frozen=True)
class Fill:
    """Boxes of one colour; a box within a box is a hole."""

    colour: str
    boxes: list[Box]


@dataclass(frozen=True)
class Letters:
    """Outlines of letters of one colour."""

    colour: str
    curves: list[Curve]


@dataclass(frozen=True)
class Photo:
    """The logo, filling a box."""

    logo: Logo
    box: Box


@dataclass(frozen=True)
class Picture:
    """A drawing on a painted ground: what comes later lies above."""

    width: float
    height: float
    ground: str
    layers: list[Fill | Letters | Photo]
    is_square: bool  # nothing but whole modules: drawn without smoothing, two colours are enough

    @property
    def seen_px(self) -> int:
        """How wide the drawing is made to be read back, where it has no pixels of its own.

        Four pixels a module are what a phone sees at arm's length, and far less than what it prints: what reads so
        reads larger. Whole modules are as sharp with two, and half as dear to draw.
        """
        return round(self.width * (2 if self.is_square else 4))

    def svg(self, size: Size) -> bytes:
        """UTF-8, no script, no text, no style; one path a colour."""
        unit, module = ("mm", size.module_mm) if size.module_mm is not None else ("", size.module_px)
        width, height = (f"{_n(side * float(module or 0))}{unit}" for side in (self.width, self.height))
        sharp = ' shape-rendering="crispEdges"' if self.is_square else ""
        has_photo = any(isinstance(layer, Photo) for layer in self.layers)
        links = ' xmlns:xlink="http://www.w3.org/1999/xlink"' if has_photo else ""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg"{links} width="{width}" height="{height}" '
            f'viewBox="0 0 {_n(self.width)} {_n(self.height)}"{sharp}>'
            f'<rect width="{_n(self.width)}" height="{_n(self.height)}" fill="{self.ground}"/>'
            f"{''.join(_svg_layer(layer, '' if self.is_square else _HOLES) for layer in self.layers)}</svg>"
        ).encode()

    def png(self, size: Size) -> bytes:
        """One bit a pixel where two colours are enough, else true colour."""
        module_px = size.module_px or 1
        width_px, height_px = round(self.width * module_px), round(self.height * module_px)
        output = io.BytesIO()
        if self.is_square:
            self._bitmap().resize((width_px, height_px), Image.Resampling.NEAREST).save(
                output, "PNG", bits=1, optimize=True
            )
            return output.getvalue()
        drawn = resvg_py.svg_to_bytes(svg_string=self.svg(size).decode(), dpi=96, skip_system_fonts=True)
        with Image.open(io.BytesIO(drawn)) as picture:
            picture.convert("RGB").save(output, "PNG")
        return output.getvalue()

    def pdf(self, size: Size) -> bytes:
        """One page of the drawing's own size, the same bytes each time."""
        points = (size.module_mm or 1.0) * _POINTS_A_MM
        output = io.BytesIO()
        canvas = Canvas(output, pagesize=(self.width * points, self.height * points), invariant=1, pageCompression=1)
        canvas.setTitle("QR code")
        canvas.translate(0, self.height * points)
        canvas.scale(points, -points)
        _pdf_layer(canvas, Fill(self.ground, [Box(0, 0, self.width, self.height)]))
        for layer in self.layers:
            _pdf_layer(canvas, layer)
        canvas.showPage()
        canvas.save()
        return output.getvalue()

    def _bitmap(self) -> Image.Image:
        rows = [bytearray(int(self.width)) for _ in range(int(self.height))]
        (fill,) = (layer for layer in self.layers if isinstance(layer, Fill))
        for box in fill.boxes:
            start, length = int(box.x), int(box.width)
            rows[int(box.y)][start : start + length] = b"\x01" * length
        bitmap = Image.frombytes("P", (int(self.width), int(self.height)), b"".join(rows))
        bitmap.putpalette(bytes.fromhex(self.ground[1:] + fill.colour[1:]))
        return bitmap


def _svg_layer(layer: Fill | Letters | Photo, rule: str) -> str:
    if isinstance(layer, Fill) and not rule:  # whole modules: numbers that need no rounding
        path = "".join(f"M{box.x} {box.y}h{box.width}v{box.height}h-{box.width}z" for box in layer.boxes)
        return f'<path fill="{layer.colour}" d="{path}"/>'
    if isinstance(layer, Fill):
        return f'<path fill="{layer.colour}"{rule} d="{"".join(map(_svg_box, layer.boxes))}"/>'
    if isinstance(layer, Letters):
        return f'<path fill="{layer.colour}" d="{"".join(map(_svg_curve, layer.curves))}"/>'
    data, box = base64.b64encode(layer.logo.png).decode(), layer.box
    return (
        f'<image x="{_n(box.x)}" y="{_n(box.y)}" width="{_n(box.width)}" height="{_n(box.height)}" '
        f'xlink:href="data:image/png;base64,{data}"/>'
    )


def _svg_box(box: Box) -> str:
    x, y, width, height, *radii = box
    if not any(radii):
        return f"M{_n(x)} {_n(y)}h{_n(width)}v{_n(height)}h-{_n(width)}z"
    a, b, c, d = radii
    return (
        f"M{_n(x + a)} {_n(y)}{_line('h', width - a - b)}{_corner(b, b, b)}{_line('v', height - b - c)}"
        f"{_corner(c, -c, c)}{_line('h', c + d - width)}{_corner(d, -d, -d)}{_line('v', d + a - height)}"
        f"{_corner(a, a, -a)}z"
    )


def _line(direction: str, length: float) -> str:
    return f"{direction}{_n(length)}" if abs(length) > 1e-6 else ""


def _corner(radius: float, dx: float, dy: float) -> str:
    return f"a{_n(radius)} {_n(radius)} 0 0 1 {_n(dx)} {_n(dy)}" if radius else ""


def _svg_curve(curve: Curve) -> str:
    steps = (f"L{_pair(end)}" if control is None else f"Q{_pair(control)} {_pair(end)}" for control, end in curve.steps)
    return f"M{_pair(curve.start)}{''.join(steps)}z"


def _pair(point: Point) -> str:
    return f"{_n(point[0])} {_n(point[1])}"


def _n(number: float) -> str:
    return f"{number:.3f}".rstrip("0").rstrip(".") if isinstance(number, float) else str(number)


def _pdf_layer(canvas: Any, layer: Fill | Letters | Photo) -> None:
    if isinstance(layer, Photo):
        box = layer.box
        canvas.saveState()
        canvas.translate(box.x, box.y + box.height)  # images stand upright only where y points up
        canvas.scale(1, -1)
        canvas.drawImage(ImageReader(io.BytesIO(layer.logo.png)), 0, 0, box.width, box.height, mask="auto")
        canvas.restoreState()
        return
    red, green, blue = (share / 255 for share in bytes.fromhex(layer.colour[1:]))
    if red == green == blue:
        canvas.setFillGray(red)
    else:
        canvas.setFillColorRGB(red, green, blue)
    path = canvas.beginPath()
    if isinstance(layer, Fill):
        pdf_boxes(path, layer.boxes)
        canvas.drawPath(path, stroke=0, fill=1, fillMode=FILL_EVEN_ODD)
    else:
        _pdf_curves(path, layer.curves)
        canvas.drawPath(path, stroke=0, fill=1, fillMode=FILL_NON_ZERO)


def pdf_boxes(path: Any, boxes: Iterable[Box]) -> None:
    """Add boxes to a path of ReportLab's, y downwards as in modules."""
    for x, y, width, height, a, b, c, d in boxes:
        right, bottom = x + width, y + height
        path.moveTo(x + a, y)
        path.lineTo(right - b, y)
        _pdf_corner(path, (right - b, y), (right, y), (right, y + b))
        path.lineTo(right, bottom - c)
        _pdf_corner(path, (right, bottom - c), (right, bottom), (right - c, bottom))
        path.lineTo(x + d, bottom)
        _pdf_corner(path, (x + d, bottom), (x, bottom), (x, bottom - d))
        path.lineTo(x, y + a)
        _pdf_corner(path, (x, y + a), (x, y), (x + a, y))
        path.close()


def _pdf_corner(path: Any, start: Point, corner: Point, end: Point) -> None:
    if start != end:
        path.curveTo(*_towards(start, corner, _ARC), *_towards(end, corner, _ARC), *end)


def _pdf_curves(path: Any, curves: Iterable[Curve]) -> None:
    for curve in curves:
        path.moveTo(*curve.start)
        here = curve.start
        for control, end in curve.steps:
            if control is None:
                path.lineTo(*end)
            else:  # a quadratic as the cubic that PDF knows
                path.curveTo(*_towards(here, control, 2 / 3), *_towards(end, control, 2 / 3), *end)
            here = end
        path.close()


def _towards(start: Point, end: Point, share: float) -> Point:
    return start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share
