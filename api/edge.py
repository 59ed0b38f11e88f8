"""The outermost callables: the gate to the scan path, headers on every answer, and a limit for bodies."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import problems
from api.scan import is_scan_path

BODY_LIMIT = 1_000_000  # bytes of any request body
BODY_LIMITS = {
    "/v1/places/import": 2_000_000,
    "/v1/conversions/import": 2_000_000,
    "/staff/coupons/pictures": 8_000_000,
}  # but of these
ACTS_AT_ONCE = 3  # requests that may write, in one process; one of them may be asking a geocoder
ACTS_WAITING = 1_000
BUSY = "Too many people are acting just now. Try again in a moment."
TOO_LARGE = "A request body has at most 1 MB, a CSV file 2 MB."

log = logging.getLogger("passerelle.edge")


class BodyTooLargeError(HTTPException):
    """More than the limit arrived."""


class Gate:
    """Gives `/t/...` to the scan path and the rest to FastAPI. A mount inside FastAPI costs 35 µs a scan more.

    What fails in either is logged here and answered 500, without a stack trace.
    """

    def __init__(self, app: ASGIApp, scan_path: Callable[[], ASGIApp], headers: dict[str, str]) -> None:
        self._app = app
        self._scan_path = scan_path
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["type"] == "http" and is_scan_path(scope["path"]):
                await self._scan_path()(scope, receive, send)
            else:
                await self._app(scope, receive, send)
        except Exception:
            if scope["type"] != "http":
                raise
            log.exception("a request failed: %s", scope["method"])
            # The server refuses a second answer; that costs nothing where nothing fails. An exception that left here
            # would make it drop a connection that the client was told it may use again.
            with suppress(RuntimeError):
                await Headers(_fail, self._headers)(scope, receive, send)


class Headers:
    """Adds the security headers to every answer, errors too, without replacing what an answer set itself."""

    def __init__(self, app: ASGIApp, headers: dict[str, str]) -> None:
        self._app = app
        self._headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                if message["status"] == 307:
                    message["headers"] = [_of_this_host(one) for one in message["headers"]]
                given = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(h for h in self._headers if h[0] not in given)]
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _of_this_host(header: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """A header with `location` as a path: the framework's own, of a slash too many, has the request's Host in it."""
    name, value = header
    if name != b"location":
        return header
    url = urlsplit(value)
    return name, b"/" + url.path.lstrip(b"/") + (b"?" + url.query if url.query else b"")


class BodyLimit:
    """Answers 413 to a body that is larger than it says it may be, before anyone reads it whole."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = BODY_LIMITS.get(scope["path"], BODY_LIMIT)
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > limit:
            await refuse(send, 413, "too_large", TOO_LARGE, scope["path"])
            return
        taken = 0

        async def receive_limited() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > limit:  # a body without a length: FastAPI answers 413 to this
                raise BodyTooLargeError(413)
            return message

        try:
            await self._app(scope, receive_limited, send)
        except BodyTooLargeError:  # whoever read it was outside FastAPI
            await refuse(send, 413, "too_large", TOO_LARGE, scope["path"])


class Turns:
    """At most a few acts at once; the others wait here, where they hold no thread.

    An act that waits for a lock holds a thread, and one that has the lock needs a thread for each next step: a crowd of
    the former would stop the latter for good. And each thread more takes the interpreter from the scan path: with 32
    acting clients a scan waited 46 ms at p99. The turn begins when the body is there and ends with the commit.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._turn = asyncio.Semaphore(ACTS_AT_ONCE)
        self._waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        body = await whole(receive)
        if body is None:  # the client left before the end of its request
            return
        if self._waiting >= ACTS_WAITING:
            await refuse(send, 503, "busy", BUSY, scope["path"], [(b"retry-after", b"2")])
            return
        self._waiting += 1
        await self._turn.acquire()
        self._waiting -= 1
        held = True

        async def send_and_end(message: Message) -> None:
            nonlocal held
            if held and message["type"] == "http.response.start":
                held = False
                self._turn.release()
            await send(message)

        try:
            await self._app(scope, again(body, receive), send_and_end)
        finally:
            if held:
                self._turn.release()


async def whole(receive: Receive) -> bytes | None:
    """The body of a request, or None when the client left before its end."""
    body = b""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def again(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives a body that was read already."""
    given = False

    async def receive_again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


async def _fail(scope: Scope, _: Receive, send: Send) -> None:
    await refuse(send, 500, "internal", problems.PROBLEMS["internal"][1], scope["path"])


async def refuse(
    send: Send, status: int, code: str, detail: str, path: str, extra: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    """A problem+json answer from outside FastAPI."""
    body = problems.problem(status, code, detail, instance=path[:200])
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode()), *extra]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
