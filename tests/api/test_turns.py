"""A crowd of people who act at once: each gets its turn, and nobody is stopped by those who wait."""

import socket
import time
from urllib.parse import urlsplit

from tests.api.helpers import PLACE, Shop
from tests.racing import race

CROWD = 60  # more than there are threads: were each waiting in one, whoever has the lock could not go on


def test_a_crowd_of_writers_does_not_stop_itself(shop: Shop) -> None:
    def open_place(number: int) -> int:
        with shop.server.api() as api:
            return api.post("/v1/places", json=PLACE | {"name": f"Shop {number}"}).status_code

    start = time.monotonic()
    assert race(CROWD, open_place) == [201] * CROWD
    assert time.monotonic() - start < 25, "less than the patience for the write lock"


def test_people_and_marketers_act_at_once(shop: Shop) -> None:
    receipts = [shop.scan()["receipt"] for _ in range(CROWD)]

    def act(number: int) -> int:
        if number % 3 == 0:
            with shop.server.api() as api:
                return api.post("/v1/places", json=PLACE | {"name": f"Spot {number}"}).status_code
        with shop.server.phone(Accept="application/json") as phone:
            return phone.post(f"/t/{shop.code}/check-in", data={"receipt": receipts[number]}).status_code

    outcomes = race(CROWD, act)
    assert outcomes == [201 if number % 3 == 0 else 200 for number in range(CROWD)]


def test_a_slow_body_takes_nobodys_turn(shop: Shop) -> None:
    address = urlsplit(shop.server.url)
    slow = [socket.create_connection((address.hostname or "", address.port or 0)) for _ in range(10)]
    for one in slow:
        one.sendall(b"POST /v1/places HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{")
    start = time.monotonic()
    with shop.server.api() as api:
        assert api.post("/v1/places", json=PLACE).status_code == 201
    assert time.monotonic() - start < 8, "less than the deadline of a body"
    for one in slow:
        one.close()
