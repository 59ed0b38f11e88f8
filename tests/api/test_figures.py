"""The board of figures and its streams, through HTTP on both databases: moved by a scan, of one's own places alone."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2

from tests.api.conftest import House
from tests.api.helpers import Shop, issue, made, make_shop, owner, problem, signed_in
from tests.conftest import Server, wait_until

Events = Iterator[tuple[str, dict[str, Any]]]


@contextmanager
def watching(client: httpx2.Client, path: str, **headers: str) -> Iterator[Events]:
    """A stream: the tag and the figures of each frame."""
    with client.stream("GET", path, headers=headers, timeout=20) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield frames_of(answer)


def frames_of(answer: httpx2.Response) -> Events:
    tag = ""
    for line in answer.iter_lines():
        if line.startswith("id: "):
            tag = line[4:]
        if line.startswith("data: "):
            yield tag, json.loads(line[6:])


def path_of(shop: Shop) -> str:
    return f"/v1/campaigns/{shop.campaign}/stats/stream"


def another_place(shop: Shop) -> Shop:
    """A second place of the same campaign, with a code of its own."""
    with shop.server.api() as api:
        place = made(
            api.post("/v1/places", json={"name": "Far away", "lat": 48.8, "lon": 2.3, "time_zone": "Europe/Paris"})
        )
        token = issue(api, shop, place_id=place["id"], label="Their window")
    return Shop(shop.server, place["id"], shop.campaign, shop.mission, shop.slug, token["id"], token["code"])


def test_a_scan_moves_the_stream_and_its_tag_brings_only_what_is_new(server: Server) -> None:
    shop = make_shop(server)
    with server.api() as api:
        with watching(api, path_of(shop)) as events:
            _, first = next(events)
            assert first["today"]["raw"] == 0
            shop.scan()
            tag, moved = next(events)
            assert (moved["today"]["raw"], sum(moved["minutes"])) == (1, 1)
        shop.scan()
        with watching(api, path_of(shop), **{"Last-Event-ID": tag}) as events:
            _, newest = next(events)
            assert newest["today"]["raw"] == 2


def test_a_staff_phone_sees_its_own_place_alone(server: Server) -> None:
    """Neither on the page, nor in the stream, nor by any parameter."""
    mine = make_shop(server)
    theirs = another_place(mine)
    for number in range(7):
        theirs.scan(
            **{"User-Agent": f"Mozilla/5.0 (Linux; Android 14; Pixel {number}) Chrome/130 Mobile Safari/537.36"}
        )
    mine.scan()
    ask = f"?place_id={theirs.place}&places={theirs.place}&campaign_id={mine.campaign}"
    with signed_in(mine) as phone:
        with watching(phone, f"/staff/figures/stream{ask}") as events:
            _, shown = next(events)
            assert (shown["today"]["raw"], sum(shown["minutes"])) == (1, 1)
        assert phone.get(f"/staff/figures/now{ask}").json()["today"]["raw"] == 1
        page = phone.get(f"/staff/figures{ask}").text
        assert "Far away" not in page
        assert "Their window" not in page
        assert theirs.code[:4] not in page
    with server.api() as api, watching(api, path_of(mine)) as events:
        assert next(events)[1]["today"]["raw"] == 8


def test_a_code_that_came_from_another_place_brings_none_of_its_numbers(server: Server) -> None:
    mine = make_shop(server)
    theirs = another_place(mine)
    for number in range(7):
        theirs.scan(**{"User-Agent": f"Mozilla/5.0 (Linux; Android 13; SM-{number}) Chrome/130 Mobile Safari/537.36"})
    with server.api() as api:
        answer = api.patch(f"/v1/tokens/{theirs.token}", json={"place_id": mine.place})
        assert answer.status_code == 200, answer.text
    with signed_in(mine) as phone:
        assert "Their window" not in phone.get("/staff/figures").text
        assert phone.get("/staff/figures/now").json()["today"]["raw"] == 0


def test_a_key_bound_to_places_streams_those_alone(server: Server) -> None:
    mine = make_shop(server)
    theirs = another_place(mine)
    theirs.scan()
    with server.api() as api:
        wanted = {"name": "bound", "role": "staff", "place_ids": [mine.place]}
        key = made(api.post("/v1/api-keys", json=wanted))["key"]
    with owner(server, key) as bound, watching(bound, path_of(mine)) as events:
        assert next(events)[1]["today"]["raw"] == 0


def test_the_newest_figures_are_not_sent_twice(server: Server) -> None:
    shop = make_shop(server)
    with signed_in(shop) as phone:
        tag = phone.get("/staff/figures/now").headers["etag"]
        assert phone.get("/staff/figures/now", headers={"If-None-Match": tag}).status_code == 304
        shop.scan()
        wait_until(lambda: phone.get("/staff/figures/now", headers={"If-None-Match": tag}).status_code == 200)


def test_one_phone_has_a_bound_of_streams(server: Server) -> None:
    shop = make_shop(server)
    with signed_in(shop) as phone:
        held = [phone.stream("GET", "/staff/figures/stream") for _ in range(8)]
        for one in held:
            assert one.__enter__().status_code == 200
        try:
            refused = phone.get("/staff/figures/stream", headers={"Accept": "application/json"})
            assert refused.headers["retry-after"] == "5"
            problem(refused, 503, "busy")
        finally:
            for one in held:
                one.__exit__(None, None, None)
        wait_until(lambda: phone.get("/staff/figures/now").status_code == 200)


def test_another_organisation_streams_nothing_of_ours(house: House, shop: Shop) -> None:
    with owner(house.server, house.other_key) as api:
        problem(api.get(path_of(shop)), 404)
