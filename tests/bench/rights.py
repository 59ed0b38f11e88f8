"""What asking for a right costs, as a share of a request of the API; and what of it a scan and an unknown id see.

In this process, in turns, the lower quartile of blocks. The question itself is some microseconds beside a millisecond
that wanders by a tenth, so it is measured alone and set against the whole: the policy of a route, called as the
framework calls it, less the look-up of the key that it begins with.
"""

import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi import Request
from sqlmodel import Session

from api.dependencies import authenticate
from api.policies import May, policy_of
from campaigns import places
from campaigns.errors import NotFound
from campaigns.ids import uuid7
from tests.api.peers import Peers, make_peers, name_of
from tests.bench.measure import Bench
from tests.bench.report import Figure, Line

BLOCK = 5  # requests, or ten times as many calls, before the other kind has its turn
POLICY_SHARE = 1.05
SCAN_SHARE = 1.05
APART = 1.05  # of another's id to nobody's


def rights(bench: Bench, kind: str) -> Iterator[Line]:
    """The share of the policy in a request, a scan with a key and without, another's id and one of nobody."""
    with peers_on_disk() as peers:
        place, key = f"/v1/places/{peers.one.ids['place_id']}", peers.one.keys["owner"]
        alone, asked = policies(peers, bench.seconds)
        whole, _ = compare(bench.seconds, requests(peers, peers.inner, place, key), None)
        share = Figure("a request / one without the right", whole / (whole - (asked - alone)), at_most=POLICY_SHARE)
        parts = [Figure("key alone", alone, "us"), Figure("key and right", asked, "us"), Figure("request", whole, "us")]
        yield Line("rights", kind, "a place is read", None, [*parts, share])
        scan, app = f"/t/{peers.one.ids['code']}", peers.client.app
        costs = compare(bench.seconds, requests(peers, app, scan, None), requests(peers, app, scan, key))
        yield Line("rights", kind, "a scan", None, shown("with a key", "without", costs, SCAN_SHARE))
        yield Line("rights", kind, "an id", None, shown("another's", "nobody's", look_ups(peers, bench.seconds), APART))


def shown(tried: str, base: str, costs: tuple[float, float], at_most: float) -> list[Figure]:
    """The two costs and their ratio."""
    figures = [Figure(base, costs[0], "us"), Figure(tried, costs[1], "us")]
    return [*figures, Figure(f"{tried} / {base}", costs[1] / costs[0], at_most=at_most)]


@contextmanager
def peers_on_disk() -> Iterator[Peers]:
    """The organisations of the tests, in a file of their own."""
    with tempfile.TemporaryDirectory() as folder:
        yield from make_peers(f"sqlite:///{folder}/passerelle.db", Path(folder))


def policies(peers: Peers, seconds: float) -> tuple[float, float]:
    """Microseconds of the look-up of a key, and of the policy of a route with it."""
    (route,) = [one for one in peers.api() if name_of(one) == "GET /v1/places/{place_id}"]
    policy = policy_of(route)
    assert isinstance(policy, May)
    headers = [(b"authorization", f"Bearer {peers.one.keys['owner']}".encode())]
    request = Request({"type": "http", "headers": headers, "state": {}, "app": peers.inner})
    core = peers.services

    def look_up() -> None:
        with core.database.snapshot() as session:
            authenticate(request, core, session)

    return compare(seconds, calls(look_up), calls(lambda: policy(request, core)))


def look_ups(peers: Peers, seconds: float) -> tuple[float, float]:
    """Microseconds of looking for nobody's place, and for another organisation's."""
    with peers.services.database.snapshot() as session:
        nobodys, theirs = f"plc_{uuid7().hex}", peers.one.ids["place_id"]
        return compare(seconds, calls(missing(session, peers, nobodys)), calls(missing(session, peers, theirs)))


def missing(session: Session, peers: Peers, name: str) -> Callable[[], None]:
    """A look-up by the other organisation that finds nothing."""

    def look() -> None:
        try:
            places.place_by_name(session, peers.other.id, name)
        except NotFound:
            return
        raise AssertionError(name)

    return look


def compare(seconds: float, base: Callable[[], float], tried: Callable[[], float] | None) -> tuple[float, float]:
    """Microseconds of each of two kinds, that take turns as first and second; of the first alone where there is one."""
    found: list[list[float]] = [[], []]
    end = time.monotonic() + seconds
    while time.monotonic() < end or len(found[0]) < 6:
        for index in (0, 1, 1, 0):
            found[index].append((base if index == 0 or tried is None else tried)())
    return quartile(found[0]), quartile(found[1])


def quartile(blocks: list[float]) -> float:
    """What it costs when nothing else happens: where a machine does other things, the median wanders."""
    return statistics.quantiles(blocks[1:], n=4)[0]


def calls(act: Callable[[], object]) -> Callable[[], float]:
    """A block of calls in this thread: its microseconds of CPU a call."""

    def block() -> float:
        began = time.thread_time()
        for _ in range(10 * BLOCK):
            act()
        return (time.thread_time() - began) / (10 * BLOCK) * 1e6

    return block


def requests(peers: Peers, app: Any, path: str, key: str | None) -> Callable[[], float]:
    """A block of requests: its microseconds of CPU a request, of all threads."""

    async def run() -> float:
        began = time.process_time()
        for _ in range(BLOCK):
            answered = await ask(app, path, key)
            assert answered == 200, answered
        return (time.process_time() - began) / BLOCK * 1e6

    portal = peers.client.portal
    assert portal is not None
    return lambda: portal.call(run)


async def ask(app: Callable[..., Awaitable[None]], path: str, key: str | None) -> int:
    """The status of a GET, asked of the application itself."""
    headers = [(b"host", b"testserver"), (b"user-agent", b"Mozilla/5.0 (Linux) Mobile")]
    if key is not None:
        headers.append((b"authorization", f"Bearer {key}".encode()))
    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode()}
    scope |= {"query_string": b"", "state": {}, "headers": headers, "client": ("127.0.0.1", 1)}
    scope |= {"server": ("testserver", 80), "scheme": "http", "http_version": "1.1", "root_path": ""}
    answered: list[int] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answered.append(message["status"])

    await app(scope, receive, send)
    return answered[0]
