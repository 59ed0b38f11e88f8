"""500 open streams of a campaign's figures while its scans come in, beside the same scans with nobody watching."""

import os
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx2

from tests.bench.cpu import CpuOf, tree_of
from tests.bench.measure import Bench
from tests.bench.report import Figure, Line
from tests.bench.servers import Shop, shop_on
from tests.bench.wrk import hot

STREAMS: Final = 500
SCANS: Final = 20  # a second
LEAST_S: Final = 10.0
MOST_CORES, MOST_MB = 0.5, 50.0
HEAD: Final = b"HTTP/1.1 200"


def streams(bench: Bench, kind: str) -> Iterator[Line]:
    """What the streams cost beyond the scans: the server's CPU as a share of a core, and its memory."""
    seconds = max(bench.seconds, LEAST_S)
    with shop_on(kind) as shop, shop.serving() as pid:
        _scan(shop, 2)
        alone = _cores(shop, pid, seconds)
        before_mb = _resident_mb(pid)
        with crowd(shop) as watching:
            time.sleep(2)
            grown_mb = _resident_mb(pid) - before_mb
            watching.frames = watching.bytes = 0
            beside = _cores(shop, pid, seconds)
            frames, sent = watching.frames, watching.bytes
            in_the_end_mb = _resident_mb(pid) - before_mb
        if watching.opened != STREAMS or watching.closed:
            bench.faults.append(f"streams {kind}: {watching.opened} opened, {watching.closed} closed meanwhile")
        a_second = frames / STREAMS / seconds
        if not 1 <= a_second <= 2.1:
            bench.faults.append(f"streams {kind}: {a_second:.2f} frames a second of each")
        bench.faults += shop.verify()
    server, database = (with_them - without for with_them, without in zip(beside, alone, strict=True))
    yield Line(
        "streams",
        kind,
        f"{STREAMS} open, {SCANS} scans a second",
        None,
        [
            Figure("CPU of the scans alone", alone[0], "cores"),
            Figure("CPU of the streams", server, "cores", at_most=MOST_CORES),
            *([Figure("and of the database", database, "cores")] if shop.postmaster else []),
            Figure("memory as they open", grown_mb, "MB"),
            Figure("memory in the end", in_the_end_mb, "MB", at_most=MOST_MB),
            Figure("frames a second of each", a_second),
            Figure("bytes of a frame", sent / max(frames, 1), "B"),
        ],
    )


def _cores(shop: Shop, pid: int, seconds: float) -> tuple[float, float]:
    """The CPU of the server and of its database while scans come in, as shares of a core."""
    server, database, began = CpuOf(pid), CpuOf(shop.postmaster), time.monotonic()
    _scan(shop, seconds)
    took = time.monotonic() - began
    return server.seconds() / took, database.seconds() / took


def _scan(shop: Shop, seconds: float) -> None:
    """Scans at their pace, one after the other."""
    work = hot(shop.hot)
    with httpx2.Client(base_url=shop.url, headers=dict(work.headers), timeout=10) as phone:
        began = time.monotonic()
        for number in range(round(seconds * SCANS)):
            time.sleep(max(0.0, began + number / SCANS - time.monotonic()))
            assert phone.get(work.path).status_code == work.status


def _resident_mb(pid: int) -> float:
    pages = sum(int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in tree_of(pid))
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


class Crowd:
    """Open streams, read by a thread as fast as they come."""

    def __init__(self, url: str, request: bytes) -> None:
        self.opened = self.closed = self.frames = self.bytes = 0
        self._selector = selectors.DefaultSelector()
        self._is_over = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        address = urlsplit(url)
        for _ in range(STREAMS):
            one = socket.create_connection((address.hostname or "", address.port or 0), timeout=10)
            one.sendall(request)
            self.opened += one.recv(65536).startswith(HEAD)
            one.setblocking(False)
            self._selector.register(one, selectors.EVENT_READ)
        self._thread.start()

    def _read(self) -> None:
        while not self._is_over:
            for key, _ in self._selector.select(0.2):
                assert isinstance(key.fileobj, socket.socket)
                chunk = key.fileobj.recv(65536)
                self.frames += chunk.count(b"event: figures\n")
                self.bytes += len(chunk)
                if not chunk:
                    self.closed += 1
                    self._selector.unregister(key.fileobj)

    def end(self) -> None:
        self._is_over = True
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self._selector.close()


@contextmanager
def crowd(shop: Shop) -> Iterator[Crowd]:
    """The streams of the campaign that is scanned, until the end of the block."""
    with shop.api() as api:
        found = api.get("/v1/campaigns").json()["data"]
    campaign = next(one["id"] for one in found if one["name"] == "Redirect")
    lines = (
        f"GET /v1/campaigns/{campaign}/stats/stream HTTP/1.1",
        f"Host: {urlsplit(shop.url).netloc}",
        f"Authorization: Bearer {shop.key}",
    )
    watching = Crowd(shop.url, "".join(f"{one}\r\n" for one in (*lines, "")).encode())
    try:
        yield watching
    finally:
        watching.end()
