"""Streams of figures on a real server: they end when it stops or who watches may no longer, and pile up nowhere."""

import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from api import deadlines
from api.streams import MOST_OF_ONE, Reading, Streams, Watched, Watcher
from campaigns import clock
from campaigns.storage import Database
from tests.api.helpers import made, make_shop, signed_in
from tests.conftest import Server, free_port, running_server, wait_until

RECHECK_S = 0.5
PATIENCE_S = 10.0


@pytest.fixture
def watchful(database_url: str) -> Iterator[Server]:
    """A server that looks often whether each may still watch."""
    with running_server(database_url, PASSERELLE_STREAM_RECHECK_S=str(RECHECK_S)) as server:
        yield server


class Watching:
    """A stream over a plain socket: what arrives, and when."""

    def __init__(self, url: str, path: str, headers: dict[str, str], receive_buffer: int = 0) -> None:
        address = urlsplit(url)
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect((address.hostname, address.port))
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode())
        self.said = b""

    def read_for(self, seconds: float) -> list[tuple[float, str, Any]]:
        """The frames of so many seconds: when each arrived, its tag and its figures."""
        found, end = [], time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            frame = self.next_frame(left)
            if frame is not None:
                found.append(frame)
        return found

    def next_frame(self, seconds: float = PATIENCE_S) -> tuple[float, str, Any] | None:
        """None when nothing comes in time."""
        end = time.monotonic() + seconds
        while (frame := self._taken()) is None:
            if not self._receive(end - time.monotonic()):
                return None
        return time.monotonic(), *frame

    def ends(self, seconds: float = PATIENCE_S) -> bool:
        """Whether it is over in time, as chunked answers end."""
        end = time.monotonic() + seconds
        while self._receive(end - time.monotonic()):
            pass
        return self.said.endswith(b"0\r\n\r\n")

    def _receive(self, seconds: float) -> bool:
        if seconds <= 0:
            return False
        self.socket.settimeout(seconds)
        try:
            chunk = self.socket.recv(65536)
        except TimeoutError:
            return False
        self.said += chunk
        return bool(chunk) and not self.said.endswith(b"\r\n0\r\n\r\n")

    def _taken(self) -> tuple[str, Any] | None:
        begin = self.said.find(b"id: ")
        end = self.said.find(b"\n\n", begin)
        if begin < 0 or end < 0:
            return None
        id, _, data = self.said[begin:end].decode().split("\n")
        self.said = self.said[end + 2 :]
        return id.removeprefix("id: "), json.loads(data.removeprefix("data: "))


def key_of(server: Server) -> tuple[str, str]:
    """A key for figures: its id and itself."""
    with server.api() as api:
        body = made(api.post("/v1/api-keys", json={"name": "watcher", "role": "marketer"}))
    return body["id"], body["key"]


def watch(server: Server, campaign: str, key: str, last_id: str = "") -> Watching:
    path = f"/v1/campaigns/{campaign}/stats/stream"
    resume = {"Last-Event-ID": last_id} if last_id else {}
    return Watching(server.url, path, {"Authorization": f"Bearer {key}", **resume})


def test_a_server_with_open_streams_stops_at_once(server: Server) -> None:
    shop = make_shop(server)
    with ExitStack() as open_streams:
        watching = [watch(server, shop.campaign, server.key) for _ in range(5)]
        for one in watching:
            open_streams.enter_context(closing(one.socket))
            assert one.next_frame() is not None
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert all(one.ends() for one in watching)
        server.process.wait(timeout=20)
        assert time.monotonic() - began < 5


def test_a_revoked_key_and_a_signed_out_phone_lose_their_streams(watchful: Server) -> None:
    shop = make_shop(watchful)
    key_id, key = key_of(watchful)
    with signed_in(shop) as phone:
        cookies = "; ".join(f"{name}={value}" for name, value in phone.cookies.items())
        mine = watch(watchful, shop.campaign, watchful.key)
        theirs = watch(watchful, shop.campaign, key)
        till = Watching(watchful.url, "/staff/figures/stream", {"Cookie": cookies})
        with closing(mine.socket), closing(theirs.socket), closing(till.socket):
            for one in (mine, theirs, till):
                assert one.next_frame() is not None
            with watchful.api() as api:
                assert api.post(f"/v1/api-keys/{key_id}/revocation").status_code == 200
            assert theirs.ends(RECHECK_S + 5)
            assert not till.ends(RECHECK_S * 3)
            assert phone.post("/staff/sign-out").status_code == 303
            assert till.ends(RECHECK_S + 5)
            shop.scan()
            shown = [figures["today"]["raw"] for _, _, figures in mine.read_for(3)]
            assert shown[-1:] == [1], "the others go on"


def test_a_tag_brings_a_frame_at_once_only_when_there_is_another(server: Server) -> None:
    shop = make_shop(server)
    shop.scan()
    time.sleep(2.5)  # the worker has counted it
    first = watch(server, shop.campaign, server.key)
    with closing(first.socket):
        found = first.next_frame()
        assert found is not None
        _, tag, _ = found
        same = watch(server, shop.campaign, server.key, tag)
        other = watch(server, shop.campaign, server.key, "0" * 16)
        with closing(same.socket), closing(other.socket):
            began = time.monotonic()
            again = other.next_frame()
            assert again is not None
            assert again[0] - began < 1
            minutes = again[2]["minutes"]
            late = same.next_frame(2)  # unless a minute went by meanwhile, there is nothing to tell
            assert late is None or late[2]["minutes"] != minutes


def test_at_most_two_frames_a_second_while_scans_pour_in(server: Server) -> None:
    shop = make_shop(server)
    stop = threading.Event()

    def pour() -> None:
        with server.phone(Accept="application/json") as phone:
            while not stop.wait(0.02):
                assert phone.get(f"/t/{shop.code}").status_code == 200

    pouring = threading.Thread(target=pour)
    one = watch(server, shop.campaign, server.key)
    with closing(one.socket):
        assert one.next_frame() is not None
        pouring.start()
        try:
            frames = one.read_for(4)
        finally:
            stop.set()
            pouring.join()
    assert 3 <= len(frames) <= 9, f"{len(frames)} frames in four seconds"
    assert frames[-1][2]["today"]["raw"] > frames[0][2]["today"]["raw"]


def test_a_closed_stream_frees_its_place(sqlite_server: Server) -> None:
    shop = make_shop(sqlite_server)
    with signed_in(shop) as phone:
        cookies = "; ".join(f"{name}={value}" for name, value in phone.cookies.items())

        def opened() -> Watching:
            one = Watching(sqlite_server.url, "/staff/figures/stream", {"Cookie": cookies})
            one._receive(PATIENCE_S)
            return one

        for _ in range(2):
            held = [opened() for _ in range(MOST_OF_ONE["page"])]
            assert all(one.said.startswith(b"HTTP/1.1 200") for one in held)
            more = opened()
            assert more.said.startswith(b"HTTP/1.1 503")
            for one in (*held, more):
                one.socket.close()
            time.sleep(0.5)


# A reader that takes nothing ------------------------------------------------------------------------------------


@contextmanager
def served(database: Database, write_s: float) -> Iterator[tuple[str, Streams, list[int]]]:
    """A hub of large frames behind our protocol, in a thread: its URL, the hub, and how many frames were made."""
    made: list[int] = []

    def read(reading: Reading) -> dict[str, Any]:
        made.append(len(made) + 1)
        return {"number": len(made), "filling": "x" * 500_000}

    streams = Streams(database, clock.utc_now, recheck_s=20)
    watched, watcher = Watched("large", read), Watcher("key", "one", lambda session, now: True)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        stream = streams.open(watched, watcher)
        assert stream is not None
        await stream(scope, receive, send)

    http = deadlines.protocol(1.0, 1.5, {}, write_s=write_s)
    config = uvicorn.Config(answer, port=free_port(), http=http, lifespan="off", log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{config.port}", streams, made
    finally:
        streams.close()
        server.should_exit = True
        thread.join(timeout=20)


def test_a_reader_that_takes_nothing_is_dropped_and_its_place_is_free(database: Database) -> None:
    with served(database, write_s=1.0) as (url, streams, _):
        one = Watching(url, "/", {}, receive_buffer=4096)
        with closing(one.socket):
            wait_until(lambda: streams.number == 1)
            wait_until(lambda: streams.number == 0)


def test_frames_a_reader_did_not_take_are_one_when_it_goes_on(database: Database) -> None:
    with served(database, write_s=30.0) as (url, _, made):
        one = Watching(url, "/", {}, receive_buffer=4096)
        with closing(one.socket):
            wait_until(lambda: len(made) >= 6)
            newest = len(made) - 1  # the last may be in the making
            numbers = [frame[2]["number"] for frame in one.read_for(1.5)]
    assert numbers[:2] == [1, 2], "one on its way and one behind it"
    assert numbers[2] >= newest, f"{numbers}: what it missed is told by the newest"
