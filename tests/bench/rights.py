"""What asking for a right costs: a request of the API with its policy, and with the look-up of the key alone.

In this process, without network or middleware: the same requests in turns, CPU of all threads, medians of blocks.
Beside it a scan with a key in its headers and without one, and another organisation's id against one of nobody.
"""

import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi import Depends, Request

from api.dependencies import Core, authenticate
from campaigns.ids import uuid7
from tests.api.peers import Peers, make_peers, name_of, path_of
from tests.bench.measure import Bench
from tests.bench.report import Figure, Line

BLOCK = 25  # requests in a row, before the other kind has its turn
POLICY_SHARE = 1.05
SCAN_SHARE = 1.05
APART = 1.05  # of another's id to nobody's: their statements are the same, a test says so

Asked = tuple[str, str | None]  # a path, and the key to ask it with


def rights(bench: Bench, kind: str) -> Iterator[Line]:
    """Ratios of CPU, each of two kinds of requests that take turns for as long as a run."""
    with peers_on_disk() as peers:
        place, unknown = peers.one.ids["place_id"], f"plc_{uuid7().hex}"
        key, other = peers.one.keys["owner"], peers.other.keys["owner"]
        add_bare_routes(peers)
        for name, path in (("one place", f"/v1/places/{place}"), ("a list of places", "/v1/places")):
            found = compare(peers, bench.seconds, (path.replace("/v1/", "/bare/"), key), (path, key))
            yield Line("rights", kind, name, None, shown("with its policy", "key alone", found, POLICY_SHARE))
        scan = f"/t/{peers.one.ids['code']}"
        found = compare(peers, bench.seconds, (scan, None), (scan, key))
        yield Line("rights", kind, "a scan", None, shown("with a key", "without", found, SCAN_SHARE))
        paths = (f"/v1/places/{unknown}", f"/v1/places/{place}")
        found = compare(peers, bench.seconds, (paths[0], other), (paths[1], other), status=404)
        yield Line("rights", kind, "not found", None, shown("another's id", "nobody's", found, APART))


def shown(tried: str, base: str, found: tuple[float, float], at_most: float) -> list[Figure]:
    """The two medians and their ratio."""
    base_us, tried_us = found
    return [
        Figure(base, base_us, "us"),
        Figure(tried, tried_us, "us"),
        Figure(f"{tried} / {base}", tried_us / base_us, at_most=at_most),
    ]


@contextmanager
def peers_on_disk() -> Iterator[Peers]:
    """The organisations of the tests, in a file of their own."""
    with tempfile.TemporaryDirectory() as folder:
        yield from make_peers(f"sqlite:///{folder}/passerelle.db", Path(folder))


def add_bare_routes(peers: Peers) -> None:
    """The same endpoints a second time, whose keys are looked up and asked for no right."""
    for route in peers.api():
        if name_of(route).startswith("GET /v1/places") and route.endpoint is not None:
            path = path_of(route).replace("/v1/", "/bare/")
            fields = {"response_model": route.response_model, "dependencies": [Depends(key_alone)]}
            peers.inner.add_api_route(path, route.endpoint, **fields)


def key_alone(request: Request, core: Core) -> None:
    """The policy's dependency without its question."""
    authenticate(request, core)


def compare(peers: Peers, seconds: float, base: Asked, tried: Asked, *, status: int = 200) -> tuple[float, float]:
    """Median CPU of a request of each kind, in microseconds."""
    app: Any = peers.client.app if base[0].startswith("/t/") else peers.inner

    async def run() -> tuple[float, float]:
        found: list[list[float]] = [[], []]
        end = time.monotonic() + seconds
        while time.monotonic() < end or len(found[0]) < 3:
            for index in (0, 1, 1, 0):  # what drifts meets both alike
                found[index].append(await block(app, *(base, tried)[index], status))
        return statistics.median(found[0][1:]), statistics.median(found[1][1:])

    portal = peers.client.portal
    assert portal is not None
    return portal.call(run)


async def block(app: Any, path: str, key: str | None, status: int) -> float:
    """Microseconds of CPU a request."""
    began = time.process_time()
    for _ in range(BLOCK):
        answered = await ask(app, path, key)
        assert answered == status, answered
    return (time.process_time() - began) / BLOCK * 1e6


async def ask(app: Callable[..., Awaitable[None]], path: str, key: str | None) -> int:
    """The status of a GET, asked of the application itself."""
    headers: Sequence[tuple[bytes, bytes]] = [(b"host", b"testserver"), (b"user-agent", b"Mozilla/5.0 (Linux) Mobile")]
    if key is not None:
        headers = [*headers, (b"authorization", f"Bearer {key}".encode())]
    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode()}
    scope |= {
        "query_string": b"",
        "state": {},
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("testserver", 80),
        "scheme": "http",
    }
    scope |= {"http_version": "1.1", "root_path": ""}
    answered: list[int] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answered.append(message["status"])

    await app(scope, receive, send)
    return answered[0]
