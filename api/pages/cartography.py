"""Drawing places on a small map: a projection, markers that do not cover one another, names where there is room.

All lengths are units of a drawing 320 wide, which a phone shows at about one pixel each.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH = 320.0
LEAST_HEIGHT, MOST_HEIGHT = 170.0, 400.0
MARGIN = 30.0  # of marker centres to the edge
MARKER = 12.0  # a marker's radius
ROUND = MARKER + 4.0  # with its ring or tick
APART = 2 * MARKER + 4  # of two markers' centres
LEAST_SPAN_M = 150.0  # so that neighbours do not look like towns
METRES_A_DEGREE = 111_195.0  # of latitude, on the mean sphere
LETTER, LINE = 6.3, 14.0  # a letter's mean width and a line's height, at 12
NAME_LENGTH = 20  # letters of a name; the table has all of it
SCALE_MOST = 90.0  # the length of the scale bar


@dataclass(frozen=True)
class Mark:
    """A marker: its centre, the spot it stands for, and its name with where that is written; no name without room."""

    x: float
    y: float
    spot: tuple[float, float]
    name: str = ""
    name_x: float = 0.0
    name_y: float = 0.0
    anchor: str = "start"

    @property
    def is_moved(self) -> bool:
        """Whether it stands beside its spot."""
        return math.dist((self.x, self.y), self.spot) > 3


@dataclass(frozen=True)
class Chart:
    """A map: its height, its markers in the order of the places, and a scale of so many metres and units."""

    height: float
    marks: list[Mark]
    scale_m: int
    scale_length: float


def chart(places: Sequence[tuple[float, float, str]]) -> Chart:
    """A map of places (degrees WGS84, latitude before longitude, and a name), north up, distances true to scale.

    An equirectangular projection about their middle: over a town or a country its error is no wider than a marker.
    """
    flat = _flatten([(lat, lon) for lat, lon, _ in places])
    xs, ys = [x for x, _ in flat] or [0.0], [y for _, y in flat] or [0.0]
    span_x, span_y = max(max(xs) - min(xs), LEAST_SPAN_M), max(max(ys) - min(ys), LEAST_SPAN_M / 2)
    scale = min((WIDTH - 2 * MARGIN) / span_x, (MOST_HEIGHT - 2 * MARGIN - LINE) / span_y)
    height = min(max(span_y * scale + 2 * MARGIN + LINE, LEAST_HEIGHT), MOST_HEIGHT)
    middle = ((max(xs) + min(xs)) / 2, (max(ys) + min(ys)) / 2)
    spots = [(WIDTH / 2 + (x - middle[0]) * scale, (height - LINE) / 2 - (y - middle[1]) * scale) for x, y in flat]
    centres = _spread(spots, height - LINE)
    scale_m = _round_length(SCALE_MOST / scale)
    return Chart(height, _named(centres, spots, [name for *_, name in places], height), scale_m, scale_m * scale)


def _flatten(positions: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Metres east and north. Places on both sides of the date line stay neighbours."""
    lons = [lon for _, lon in positions]
    wraps = bool(lons) and max(lons) - min(lons) > 180
    middle = math.radians(sum(lat for lat, _ in positions) / max(1, len(positions)))
    across = METRES_A_DEGREE * max(math.cos(middle), 0.01)
    return [((lon + 360 if wraps and lon < 0 else lon) * across, lat * METRES_A_DEGREE) for lat, lon in positions]


def _spread(spots: Sequence[tuple[float, float]], height: float) -> list[tuple[float, float]]:
    """Push markers apart until none covers another, or two hundred times; each stays on the map."""
    found = [list(one) for one in spots]
    for _ in range(200):
        is_moved = False
        for i in range(len(found)):
            for j in range(i):
                is_moved |= _push(found[i], found[j], turn=i)
        for one in found:
            one[0] = min(max(one[0], MARKER + 2), WIDTH - MARKER - 2)
            one[1] = min(max(one[1], MARKER + 2), height - MARKER - 2)
        if not is_moved:
            break
    return [(x, y) for x, y in found]


def _push(one: list[float], other: list[float], *, turn: int) -> bool:
    """Move two markers that cover one another apart, each by half; whether they did. On one spot each goes its way."""
    dx, dy = one[0] - other[0], one[1] - other[1]
    apart = math.hypot(dx, dy)
    if apart >= APART - 0.01:
        return False
    along = (dx / apart, dy / apart) if apart > 0.01 else (math.cos(turn * 2.4), math.sin(turn * 2.4))
    for axis in (0, 1):
        one[axis] += along[axis] * (APART - apart) / 2
        other[axis] -= along[axis] * (APART - apart) / 2
    return True


Box = tuple[float, float, float, float]  # left, top, right, bottom


def _named(
    centres: Sequence[tuple[float, float]], spots: Sequence[tuple[float, float]], names: Sequence[str], height: float
) -> list[Mark]:
    """Markers with their names: beside, above or below, where nothing is covered; else without."""
    taken: list[Box] = [(x - ROUND, y - ROUND, x + ROUND, y + ROUND) for x, y in centres]
    taken.append((0, height - LINE - 4, SCALE_MOST + 60, height))  # the scale
    found = []
    for (x, y), spot, name in zip(centres, spots, names, strict=True):
        short = name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 1].rstrip()}…"
        width = LETTER * len(short)
        mark = Mark(x, y, spot)
        for left, base, anchor in _beside(x, y, width):
            box = (left, base - LINE + 3, left + width, base + 3)
            is_on = box[0] >= 2 and box[2] <= WIDTH - 2 and box[1] >= 0 and box[3] <= height
            if is_on and not any(_cover(box, other) for other in taken):
                at = {"start": left, "end": left + width, "middle": left + width / 2}[anchor]
                mark = Mark(x, y, spot, short, at, base, anchor)
                taken.append(box)
                break
        found.append(mark)
    return found


def _beside(x: float, y: float, width: float) -> list[tuple[float, float, str]]:
    """Where a name may be written: its left end, its base line, and which end of it is fixed."""
    gap, below, above = ROUND + 3, y + ROUND + LINE - 3, y - ROUND - 4
    return [
        (x + gap, y + 4, "start"),
        (x - gap - width, y + 4, "end"),
        (x - width / 2, below, "middle"),
        (x - width / 2, above, "middle"),
        (x + 4, below, "start"),
        (x - 4 - width, below, "end"),
        (x + 4, above, "start"),
        (x - 4 - width, above, "end"),
    ]


def _cover(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _round_length(most_m: float) -> int:
    """The longest of 1, 2 and 5 times a power of ten metres that is not longer."""
    power = 10 ** math.floor(math.log10(max(most_m, 1)))
    return int(max(factor * power for factor in (1, 2, 5) if factor * power <= max(most_m, 1)))
