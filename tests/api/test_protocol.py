"""The protocol's own part of an answer: one write for head and body, streams at once, idle connections closed."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from api import deadlines

BODY = b"hello"
IDLE_S = 1


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"] == "/stream":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await asyncio.sleep(1.5)
        await send({"type": "http.response.body", "body": b"last"})
        return
    if scope["path"] == "/echo":
        await receive()
    length = (b"content-length", b"%d" % len(BODY))
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": BODY})


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    listening = socket.create_server(("127.0.0.1", 0))
    http = deadlines.protocol(2, 2, {})
    config = uvicorn.Config(app, http=http, lifespan="off", timeout_keep_alive=IDLE_S, log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield listening.getsockname()[1]
    server.should_exit = True
    thread.join(timeout=10)
    listening.close()


@pytest.fixture
def line(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        yield connection


def read_until(line: socket.socket, end: bytes) -> bytes:
    found = b""
    while not found.endswith(end):
        piece = line.recv(65536)
        assert piece, found
        found += piece
    return found


def test_an_answer_of_known_length_comes_in_one_piece(line: socket.socket) -> None:
    for _ in range(20):
        line.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert line.recv(65536).endswith(b"\r\n\r\n" + BODY)


def test_a_head_without_a_body_is_sent(line: socket.socket) -> None:
    for _ in range(2):
        line.sendall(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"content-length: 5" in read_until(line, b"\r\n\r\n")


def test_requests_sent_together_are_answered_in_order(line: socket.socket) -> None:
    line.sendall(
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\nHEAD / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"
    )
    found = read_until(line, BODY)
    while found.count(b"HTTP/1.1 200") < 3:
        found += read_until(line, BODY)
    assert found.count(BODY) == 2


def test_a_client_that_asks_first_whether_to_send_is_told_at_once(line: socket.socket) -> None:
    line.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert read_until(line, b"\r\n\r\n").startswith(b"HTTP/1.1 100")
    line.sendall(b"ab")
    assert read_until(line, BODY).startswith(b"HTTP/1.1 200")


def test_a_stream_begins_before_it_ends(line: socket.socket) -> None:
    line.sendall(b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
    asked = time.monotonic()
    read_until(line, b"first\r\n")
    assert time.monotonic() - asked < 1
    assert read_until(line, b"0\r\n\r\n").endswith(b"last\r\n0\r\n\r\n")


def test_the_last_answer_of_a_connection_arrives_whole(line: socket.socket) -> None:
    line.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert read_until(line, BODY).startswith(b"HTTP/1.1 200")
    assert line.recv(10) == b""


def test_an_idle_connection_is_closed_in_its_time_and_not_before(line: socket.socket) -> None:
    line.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    read_until(line, BODY)
    time.sleep(IDLE_S * 0.6)
    line.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    read_until(line, BODY)
    asked = time.monotonic()
    assert line.recv(10) == b""
    assert IDLE_S * 0.9 < time.monotonic() - asked < IDLE_S + 3
