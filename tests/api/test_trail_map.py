"""The map of a trail: what it draws of any places, and what it tells of one person."""

import math
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.pages.cartography import LETTER, LINE, MARKER, WIDTH, Mark, chart
from tests.api.helpers import PLACE, Shop, made, problem
from tests.api.test_steps import JSON, open_tour
from tests.conftest import Server

LYON = [("Halle", 45.7625, 4.8513), ("Bellecour", 45.7578, 4.8320), ("Gerland", 45.7270, 4.8310)]


def places(names: list[tuple[str, float, float]]) -> list[tuple[float, float, str]]:
    return [(lat, lon, name) for name, lat, lon in names]


def box_of(mark: Mark) -> tuple[float, float, float, float]:
    width = LETTER * len(mark.name)
    left = mark.name_x - {"start": 0.0, "end": width, "middle": width / 2}[mark.anchor]
    return left, mark.name_y - LINE + 3, left + width, mark.name_y + 3


SPOT = st.tuples(
    st.sampled_from(["Halle", "Cave des Carmes", "Boulangerie de la place du Marché"]),
    st.one_of(st.floats(45.7, 45.8), st.floats(-89.9, 89.9)),
    st.one_of(st.floats(4.8, 4.9), st.floats(-180, 180)),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(SPOT, min_size=1, max_size=24))
def test_no_marker_covers_another_and_no_name_covers_anything(spots: list[tuple[str, float, float]]) -> None:
    drawn = chart(places(spots))
    assert len(drawn.marks) == len(spots)
    assert 170 <= drawn.height <= 400
    for mark in drawn.marks:
        assert MARKER <= mark.x <= WIDTH - MARKER
        assert MARKER <= mark.y <= drawn.height - MARKER
    for one, other in combinations(drawn.marks, 2):
        assert math.dist((one.x, one.y), (other.x, other.y)) >= 2 * MARKER
    boxes = [box_of(mark) for mark in drawn.marks if mark.name]
    for box in boxes:
        assert 0 <= box[0] <= box[2] <= WIDTH
        assert 0 <= box[1] <= box[3] <= drawn.height
        for mark in drawn.marks:
            assert not (abs(mark.x - (box[0] + box[2]) / 2) < (box[2] - box[0]) / 2 and box[1] < mark.y < box[3])
    for a, b in combinations(boxes, 2):
        assert a[0] >= b[2] or b[0] >= a[2] or a[1] >= b[3] or b[1] >= a[3]


def test_north_is_up_east_is_right_and_distances_are_to_scale() -> None:
    halle, bellecour, gerland = chart(places(LYON)).marks
    assert halle.y < bellecour.y < gerland.y
    assert halle.x > bellecour.x
    drawn = chart(places(LYON))
    metres_a_unit = drawn.scale_m / drawn.scale_length
    far = math.dist(drawn.marks[0].spot, drawn.marks[1].spot) * metres_a_unit
    assert far == pytest.approx(1586, rel=0.01)  # the geodesic on WGS84, by geopy


def test_places_on_both_sides_of_the_date_line_are_neighbours() -> None:
    drawn = chart(places([("Taveuni", -16.8, 179.9), ("Rabi", -16.8, -179.9)]))
    assert drawn.marks[0].x < drawn.marks[1].x
    assert drawn.scale_m == 5_000


def test_places_on_one_spot_stand_side_by_side_and_point_at_it() -> None:
    marks = chart(places([("A", 45.0, 4.0), ("B", 45.0, 4.0)])).marks
    assert all(mark.is_moved for mark in marks)
    assert marks[0].spot == marks[1].spot


def test_a_trail_shows_what_is_done_the_next_and_what_is_open(server: Server) -> None:
    tour = open_tour(server, 3, [{"kind": "trail", "params": {"places": [0, 1, 2]}}])
    url = f"/m/{tour.mission['slug']}/map"
    with server.phone() as phone:
        page = phone.get(url, params={"lang": "en"})
        assert [one["state"] for one in phone.get(url, headers=JSON).json()["data"][0]["stops"]] == [
            "next",
            "open",
            "open",
        ]
        assert 'href="/m/' in page.text
        tour.check_in(phone, 0)
        page = phone.get(url, params={"lang": "fr"})
        assert page.headers["cache-control"] == "no-store"
        assert "1 sur 3 faits." in page.text
        assert page.text.count('class="mark done"') == 2  # on the map and in its legend
        assert page.text.count('class="mark next"') == 2
        assert '<tr aria-current="step"><td>2</td><th scope="row">Stop 1' in page.text
        assert len(page.content) > 0
        assert f'{url}?lang=en"' in phone.get(f"/t/{tour.codes[0]}", params={"lang": "en"}).text


def test_places_in_any_order_are_those_where_the_campaign_has_codes(server: Server) -> None:
    tour = open_tour(server, 2, [{"kind": "visit_places", "params": {"n": 2}}])
    with server.api() as api:
        further = made(api.post("/v1/places", json=PLACE | {"name": "Cave <b>"}))["id"]
        made(api.post("/v1/places", json=PLACE | {"name": "Of no code"}))
        made(api.post(f"/v1/campaigns/{tour.shop.campaign}/tokens", json={"medium": "qr", "place_id": further}))
    with server.phone() as phone:
        tour.check_in(phone, 1)
        url = f"/m/{tour.mission['slug']}/map"
        (told,) = phone.get(url, headers=JSON).json()["data"]
        assert [(one["name"], one["state"]) for one in told["stops"]] == [
            ("Cave <b>", "open"),
            ("Stop 0", "open"),
            ("Stop 1", "done"),
        ]
        page = phone.get(url, params={"lang": "en"}).text
        assert "Cave &lt;b&gt;" in page
        assert page.count("<circle r=") == 3 + 2  # and the legend


def test_a_mission_without_a_trail_has_no_map(server: Server, shop: Shop) -> None:
    with server.phone() as phone:
        problem(phone.get(f"/m/{shop.slug}/map", headers=JSON), 404)
