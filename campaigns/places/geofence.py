"""Where a phone is with respect to a place: the distance, and the error-circle rule that judges it.

Pure arithmetic: degrees are WGS84 in the order `lat, lon`, distances and accuracies metres.
"""

from bisect import bisect_left
from enum import StrEnum
from math import cos, floor, radians
from typing import Final

# An accuracy worse than this says nothing about a shop, however small its geofence.
VAGUE_FROM_M: Final = 250
# Upper bounds in metres; the last is beyond the farthest two points on Earth can be (20,004 km).
BUCKETS_M: Final = (50, 100, 250, 500, 1_000, 5_000, 25_000, 20_100_000)

# WGS84: a degree of latitude is shortest at the equator, and no parallel's radius of curvature is below the
# equatorial radius. Both bound a distance from below, so the box never calls a near point far.
_SHORTEST_LAT_DEGREE_M: Final = 110_574.0
_EQUATORIAL_RADIUS_M: Final = 6_378_137.0
_ROUNDING_M: Final = 0.01

# The grid of coarse cells: rows of 0.05 degrees, 5.5 km, cut into columns about as wide.
_CELL_DEGREES: Final = 0.05
_ROWS: Final = round(180 / _CELL_DEGREES)


class Geofence(StrEnum):
    """What a position says about a place; `none` when the place has no position to compare with."""

    INSIDE = "inside"
    MAYBE = "maybe"
    OUTSIDE = "outside"
    NONE = "none"


def judge(distance_m: float | None, accuracy_m: float, radius_m: float) -> Geofence:
    """The error circle (radius `accuracy_m`, 95 %) against the geofence: the rule of DOMAIN section 3.

    `distance_m` is None for a place without a position. Numbers that are not numbers judge nothing: maybe.
    """
    if distance_m is None:
        return Geofence.NONE
    if accuracy_m > max(VAGUE_FROM_M, 2 * radius_m) or accuracy_m != accuracy_m:
        return Geofence.MAYBE
    if distance_m <= radius_m:
        # Within the radius the rule's last two lines agree: a wide error circle cannot put it outside.
        return Geofence.INSIDE
    return Geofence.OUTSIDE if distance_m - accuracy_m > radius_m else Geofence.MAYBE


def distance_m(lat1: float, lon1: float, lat2: float, lon2: float) -> float:
    """The geodesic distance on WGS84 in metres, by Karney's algorithm: sound at poles and antimeridian."""
    # Imported on first use: it costs start-up time that most processes never need.
    from geopy.distance import geodesic

    return float(geodesic((lat1, lon1), (lat2, lon2)).m)


def near(lat: float, lon: float, place_lat: float, place_lon: float, within_m: float) -> bool:
    """False when the point is surely farther than `within_m` away; True when only `distance_m` can tell.

    A bounding box, wide enough at the poles and across the antimeridian, that spares the geodesic.
    """
    reach_m = within_m + _ROUNDING_M
    if abs(lat - place_lat) * _SHORTEST_LAT_DEGREE_M > reach_m:
        return False
    # A path no longer than the reach stays below this latitude, where parallels are at least this wide.
    highest_lat = abs(place_lat) + reach_m / _SHORTEST_LAT_DEGREE_M
    if highest_lat >= 90:
        return True
    turn = abs((lon - place_lon + 180) % 360 - 180)
    return radians(turn) * _EQUATORIAL_RADIUS_M * cos(radians(highest_lat)) <= reach_m


def bucket(distance_m: float) -> int:
    """The upper bound in metres of the bucket a distance falls in: what is kept when the position is not."""
    return BUCKETS_M[min(bisect_left(BUCKETS_M, distance_m), len(BUCKETS_M) - 1)]


def cell(lat: float, lon: float) -> str:
    """The grid cell a position falls in, as `row-column`: some 5 km wide everywhere, what is kept beside the bucket.

    A geohash of five characters would be half as wide in Oslo as in Quito, and tell twice as much.
    """
    row = min(floor((lat + 90) / _CELL_DEGREES), _ROWS - 1)
    # The row's edge nearer the equator, where it is widest; around a pole six columns are left.
    edge = min(abs(row * _CELL_DEGREES - 90), abs((row + 1) * _CELL_DEGREES - 90))
    columns = floor(360 * cos(radians(edge)) / _CELL_DEGREES)
    column = floor((lon + 180) / 360 * columns) % columns
    return f"{row}-{column}"
