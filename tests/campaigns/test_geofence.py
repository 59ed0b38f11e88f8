from math import cos, inf, nan, radians

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from campaigns.places.geofence import Geofence, bucket, cell, distance_m, judge, near

latitudes = st.floats(-90, 90) | st.sampled_from([-90.0, -89.9999, 0.0, 89.9999, 90.0])
longitudes = st.floats(-180, 180) | st.sampled_from([-180.0, -179.9999, 0.0, 179.9999, 180.0])
metres = st.floats(0, 21_000_000) | st.floats(0, 1_000)
radii = st.floats(10, 50_000) | st.floats(10, 300)


def the_rule_of_the_domain(d: float, acc: float, r: float) -> Geofence:
    if acc > max(250, 2 * r):
        return Geofence.MAYBE
    if d <= r and acc <= r:
        return Geofence.INSIDE
    if d - acc > r:
        return Geofence.OUTSIDE
    if d <= r:
        return Geofence.INSIDE
    return Geofence.MAYBE


@given(metres, metres, radii)
@example(100.0, 0.0, 100.0)
@example(100.0, 250.0, 100.0)
@example(100.0, 250.1, 100.0)
@example(350.0, 250.0, 100.0)
def test_the_judgement_is_the_rule_of_the_domain(d: float, acc: float, r: float) -> None:
    assert judge(d, acc, r) is the_rule_of_the_domain(d, acc, r)


@pytest.mark.parametrize(
    ("d", "acc", "r", "expected"),
    [
        (0, 10, 100, Geofence.INSIDE),
        (100, 100, 100, Geofence.INSIDE),
        (90, 200, 100, Geofence.INSIDE),
        (101, 5, 100, Geofence.MAYBE),
        (105, 5, 100, Geofence.MAYBE),
        (106, 5, 100, Geofence.OUTSIDE),
        (350, 250, 100, Geofence.MAYBE),
        (351, 250, 100, Geofence.OUTSIDE),
        (0, 251, 100, Geofence.MAYBE),
        (0, 251, 130, Geofence.INSIDE),
        (2_000, 3_000, 100, Geofence.MAYBE),
        (0, inf, 100, Geofence.MAYBE),
        (0, nan, 100, Geofence.MAYBE),
        (nan, 10, 100, Geofence.MAYBE),
        (None, 10, 100, Geofence.NONE),
    ],
)
def test_a_position_is_judged_by_its_error_circle(d: float | None, acc: float, r: float, expected: Geofence) -> None:
    assert judge(d, acc, r) is expected


def test_the_distance_of_the_surveyors_is_found_to_the_millimetre() -> None:
    # Geoscience Australia, Flinders Peak to Buninyong: 54,972.271 m (GRS80, a tenth of a millimetre from
    # WGS84).
    flinders = -(37 + 57 / 60 + 3.72030 / 3600), 144 + 25 / 60 + 29.52440 / 3600
    buninyong = -(37 + 39 / 60 + 10.15610 / 3600), 143 + 55 / 60 + 35.38390 / 3600
    assert distance_m(*flinders, *buninyong) == pytest.approx(54_972.271, abs=0.001)


def test_a_quarter_of_the_meridian_is_its_published_length() -> None:
    assert distance_m(0, 0, 90, 0) == pytest.approx(10_001_965.729, abs=0.001)


def test_the_antimeridian_is_no_wall() -> None:
    assert distance_m(0, 179.9999, 0, -179.9999) == pytest.approx(22.264, abs=0.001)
    assert distance_m(10, 180, 10, -180) == 0
    assert near(0, 179.9999, 0, -179.9999, 25)
    assert not near(0, 179.9999, 0, -179.9999, 20)


def test_at_a_pole_every_longitude_is_the_same_place() -> None:
    assert distance_m(90, 0, 90, 135) == pytest.approx(0, abs=1e-6)
    assert distance_m(89.9999, 0, 89.9999, 180) == pytest.approx(22.339, abs=0.001)
    assert near(89.9999, 0, 89.9999, 180, 25)
    assert near(-90, 0, -90, 135, 0)


@settings(max_examples=500)
@given(latitudes, longitudes, latitudes, longitudes)
def test_a_near_point_is_never_called_far(lat1: float, lon1: float, lat2: float, lon2: float) -> None:
    assert near(lat1, lon1, lat2, lon2, distance_m(lat1, lon1, lat2, lon2))


@settings(max_examples=500)
@given(latitudes, longitudes, st.floats(-0.02, 0.02), st.floats(-0.02, 0.02), st.booleans())
def test_a_neighbour_is_never_called_far(lat: float, lon: float, north: float, east: float, turned: bool) -> None:
    lat2 = max(-90.0, min(90.0, lat + north))
    lon2 = lon + east + (180 if turned else 0)
    lon2 = (lon2 + 180) % 360 - 180
    assert near(lat, lon, lat2, lon2, distance_m(lat, lon, lat2, lon2))


@given(latitudes, longitudes, latitudes, longitudes, st.floats(10, 50_000))
def test_the_box_spares_the_geodesic_where_it_should(
    lat1: float, lon1: float, lat2: float, lon2: float, within: float
) -> None:
    # Twenty times the distance away, off the poles, the box alone must tell.
    assume(abs(lat2) < 80)
    assume(distance_m(lat1, lon1, lat2, lon2) > 20 * within + 1)
    assume(abs(lat1 - lat2) > 10 or abs(lat1) < 80)
    assert not near(lat1, lon1, lat2, lon2, within)


@pytest.mark.parametrize(
    ("distance", "bound"),
    [
        (0, 50),
        (50, 50),
        (50.1, 100),
        (100, 100),
        (249, 250),
        (500, 500),
        (1_000, 1_000),
        (1_001, 5_000),
        (25_000, 25_000),
        (25_001, 20_100_000),
        (20_003_931, 20_100_000),
        (inf, 20_100_000),
    ],
)
def test_a_distance_is_kept_as_the_upper_bound_of_its_bucket(distance: float, bound: int) -> None:
    assert bucket(distance) == bound


# Cells ------------------------------------------------------------------------------------------------------------


@given(latitudes, longitudes, st.floats(-0.2, 0.2), st.floats(-0.2, 0.2))
def test_two_positions_of_one_cell_are_less_than_nine_kilometres_apart(
    lat: float, lon: float, north: float, east: float
) -> None:
    other = (max(-90.0, min(90.0, lat + north)), (lon + east + 180) % 360 - 180)
    if cell(lat, lon) == cell(*other):
        assert distance_m(lat, lon, *other) < 9_000


@given(st.floats(-80, 80), longitudes)
def test_a_cell_is_five_kilometres_wide_wherever_people_live(lat: float, lon: float) -> None:
    """What stays of a position must not say more in the north than at the equator."""
    around = {cell(lat + north * 0.045, lon) for north in (-1, 0, 1)}
    assert len(around) >= 2
    step = 0.03 / max(0.17, cos(radians(lat)))  # 3.3 km to the east
    assert len({cell(lat, (lon + east * step + 180) % 360 - 180) for east in (0, 1)}) <= 2
    row, column = cell(lat, lon).split("-")
    assert 0 <= int(row) < 3_600
    assert 0 <= int(column) < 7_200


def test_cells_meet_at_the_antimeridian_and_the_poles() -> None:
    assert cell(10, 180) == cell(10, -180)
    assert {cell(90, lon) for lon in range(-180, 181)} == {f"3599-{column}" for column in range(6)}
    assert {cell(-90, lon) for lon in range(-180, 181)} == {f"0-{column}" for column in range(6)}
    assert cell(45.7578, 4.8320) == cell(45.7581, 4.8323)
    assert cell(45.7578, 4.8320) != cell(45.84, 4.8320)
