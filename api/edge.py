"""The outermost callables: the gate to the scan path, headers on every answer, and a limit for bodies."""

import logging
from collections.abc import Callable
from contextlib import suppress

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import problems
from api.scan import is_scan_path

BODY_LIMIT = 1_000_000  # bytes of any request body
TOO_LARGE = "A request body has at most 1 MB."

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
                given = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(h for h in self._headers if h[0] not in given)]
            await send(message)

        await self._app(scope, receive, send_with_headers)


class BodyLimit:
    """Answers 413 to a body that is larger than it says it may be, before anyone reads it whole."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > BODY_LIMIT:
            await refuse(send, 413, "too_large", TOO_LARGE, scope["path"])
            return
        taken = 0

        async def receive_limited() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > BODY_LIMIT:  # a body without a length: FastAPI answers 413 to this
                raise BodyTooLargeError(413)
            return message

        try:
            await self._app(scope, receive_limited, send)
        except BodyTooLargeError:  # whoever read it was outside FastAPI
            await refuse(send, 413, "too_large", TOO_LARGE, scope["path"])


async def _fail(scope: Scope, _: Receive, send: Send) -> None:
    await refuse(send, 500, "internal", problems.PROBLEMS["internal"][1], scope["path"])


async def refuse(send: Send, status: int, code: str, detail: str, path: str) -> None:
    """A problem+json answer from outside FastAPI."""
    body = problems.problem(status, code, detail, instance=path[:200])
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
