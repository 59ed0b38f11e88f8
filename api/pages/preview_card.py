"""The picture that a messenger or a network shows of a shared link: 1200 by 630 pixels, drawn here, without a font."""

import math
import threading
from dataclasses import dataclass
from functools import lru_cache

from campaigns.errors import Invalid
from campaigns.tokens.lettering import CAP_HEIGHT, Curve, Point, outlines, printable
from campaigns.tokens.picture import Fill, Letters, Picture, Size
from campaigns.tokens.shapes import Box
from campaigns.tokens.typesetting import LEADING, fit

WIDTH, HEIGHT = 1200, 630  # what the networks cut least of
_SUN, _INK, _PALE = "#ffc53d", "#2b1138", "#e0a92f"
_MARGIN, _FOOT = 72, 110
_BAR_TOP = HEIGHT - _FOOT - 76
_KEPT = 256  # of some 30 kB each
_drawing = threading.Lock()  # one at a time: the interpreter belongs to whoever scans


@dataclass(frozen=True)
class Card:
    """What a picture says: a short line above, the text, the brand beneath. `percent` draws how far a mission is."""

    kicker: str
    text: str
    brand: str
    percent: int | None = None


@lru_cache(maxsize=_KEPT)
def draw(card: Card) -> bytes:
    """The card as PNG. Letters that the font lacks leave their line away: the brand's picture remains."""
    with _drawing:
        top = _MARGIN + 90
        room = (_BAR_TOP if card.percent is not None else HEIGHT - _FOOT) - 44 - top
        layers: list[Fill | Letters] = [Fill(_INK, [Box(0, HEIGHT - _FOOT, WIDTH, _FOOT)])]
        curves = _line(card.kicker, _MARGIN, _MARGIN + 30, 34)
        block = fit(_drawable(card.text), WIDTH - 2 * _MARGIN, most=84, least=36, lines=6, bold=True)
        while block.height > room and block.size > 24:
            block = fit(_drawable(card.text), WIDTH - 2 * _MARGIN, most=block.size * 0.9, least=24, lines=8, bold=True)
        baseline = top + block.size * CAP_HEIGHT
        for number, line in enumerate(block.lines):
            curves += outlines(line, x=_MARGIN, baseline=baseline + number * block.size * LEADING, size=block.size)
        layers.append(Letters(_INK, curves))
        if card.percent is not None:
            layers += _bar(card.percent)
        layers.append(Letters(_SUN, [_arch(_MARGIN + 42, HEIGHT - 36), *_line(card.brand, 180, HEIGHT - 38, 44)]))
        return Picture(WIDTH, HEIGHT, _SUN, [*layers], is_square=False).png(Size(module_px=1))


def _drawable(text: str) -> str:
    try:
        return printable(text, "")
    except Invalid:
        return ""


def _line(text: str, x: float, baseline: float, size: float) -> list[Curve]:
    block = fit(_drawable(text), WIDTH - x - _MARGIN, most=size, least=size * 0.6, lines=1, bold=True)
    return outlines(block.lines[0], x=x, baseline=baseline, size=block.size) if block.lines else []


def _bar(percent: int) -> list[Fill | Letters]:
    """How far a mission is: a track and what is done of it."""
    across, top, thick = WIDTH - 2 * _MARGIN, _BAR_TOP, 28
    done = max(thick, across * percent / 100) if percent else 0
    track = Fill(_PALE, [Box(_MARGIN, top, across, thick, *([thick / 2] * 4))])
    return [track, Fill(_INK, [Box(_MARGIN, top, done, thick, *([thick / 2] * 4))])] if done else [track]


def _arch(x: float, y: float) -> Curve:
    """The house's bridge: half a ring that stands on `y`, its middle above `x`."""
    steps: list[tuple[Point | None, Point]] = []
    pieces = 8

    def around(radius: float, first: float, last: float) -> None:
        part = (last - first) / pieces
        for piece in range(pieces):
            middle, end = first + part * (piece + 0.5), first + part * (piece + 1)
            far = radius / math.cos(part / 2)
            control = (x + far * math.cos(middle), y - far * math.sin(middle))
            steps.append((control, (x + radius * math.cos(end), y - radius * math.sin(end))))

    around(42, math.pi, 0)
    steps.append((None, (x + 26, y)))
    around(26, 0, math.pi)
    return Curve((x - 42, y), tuple(steps))
