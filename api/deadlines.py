"""Deadlines for slow clients: uvicorn waits for ever for a head or a body that never ends, and for a reader that stops.

Uvicorn's httptools protocol with a due time on each connection and one timer a process that looks at all of them, so a
request costs no timer of its own. What arrives too late, too long or malformed is answered as a problem, and closed;
idle keep-alive connections are closed after uvicorn's own `timeout_keep_alive`. The head and the body of an answer
leave in one write.
"""

import asyncio
import logging
import socket
import struct
from collections.abc import Mapping
from functools import partial
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from api import problems

HEAD_LIMIT = 65_536  # bytes of request line and headers; browsers stay below 16 kB
WRITE_DEADLINE_S = 30.0  # a client that reads nothing for so long is gone
STREAM_DEADLINE_S = 10.0  # one of events is dropped sooner: what it would read is old, and it comes back for the newest
STREAM_BUFFER = 32_768  # bytes of events that wait for a reader: here, and in the kernel
LINGER_S = 2.0  # what a refused client still sends is read so long: a reset could overtake the answer
NEVER = float("inf")

log = logging.getLogger("passerelle.deadlines")


class Watch:
    """The connections of one process and when they are due. `head_due` and `body_due` hold for what begins now."""

    def __init__(self, head_s: float, body_s: float, headers: Mapping[str, str], write_s: float) -> None:
        self.head_due = self.body_due = self.write_due = self.linger_due = self.soon = NEVER
        self.stream_due = NEVER
        self._head_s = head_s
        self._body_s = body_s
        self._write_s = write_s
        self._step_s = min(1.0, head_s / 4, body_s / 4)
        self._connections: set[Deadlined] = set()
        self._is_looking = False
        self._refusals = {code: _refusal(code, headers) for code in ("malformed", "head_too_large", "too_slow")}

    def begin(self, connection: "Deadlined") -> None:
        """Watch a connection until `end`."""
        self._connections.add(connection)
        if not self._is_looking:
            self._is_looking = True
            self._look(connection.loop)

    def end(self, connection: "Deadlined") -> None:
        self._connections.discard(connection)

    def refusal(self, code: str) -> tuple[bytes, bytes]:
        """An answer's status line, and what follows uvicorn's own headers."""
        return self._refusals[code]

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close what is overdue, and look again in a moment for as long as there is a connection."""
        now = loop.time()
        slow = sum(connection.close_if_due(now) for connection in list(self._connections))
        if slow:
            log.warning("%d connections were too slow and were closed", slow)
        # What begins before the next look is never cut short: it gets up to one step more.
        ahead = now + self._step_s
        self.head_due, self.body_due = ahead + self._head_s, ahead + self._body_s
        self.write_due, self.linger_due, self.soon = ahead + self._write_s, ahead + LINGER_S, ahead
        self.stream_due = ahead + min(self._write_s, STREAM_DEADLINE_S)
        self._is_looking = bool(self._connections)
        if self._is_looking:
            loop.call_later(self._step_s, self._look, loop)


class _Joined:
    """The transport as answers see it: a head with a length waits for the body behind it, as ASGI allows.

    A second write costs 5 µs and its reader a second read; a streamed answer has no length and begins at once.
    """

    __slots__ = ("_begun", "_head", "_transport", "is_closing", "is_stream")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""
        self._begun = False
        self.is_stream = False
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        if self._begun:
            self._transport.write(self._head + data)
            self._head = b""
        elif b"\r\ncontent-length: " in data:
            self._begun = True
            self._head = data
        else:
            self._begun = not data.startswith(b"HTTP/1.1 100")  # the answer itself is still to come
            if b"\r\ncontent-type: text/event-stream" in data:
                self._begin_stream()
            self._transport.write(data)

    def _begin_stream(self) -> None:
        """Events that nobody reads pile up nowhere: neither here nor in the kernel, which would take megabytes."""
        self.is_stream = True
        self._transport.set_write_buffer_limits(high=STREAM_BUFFER)
        peer = self._transport.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, STREAM_BUFFER)

    def end(self) -> None:
        """The answer is complete, with a body or, to a HEAD, without one."""
        self._begun = self.is_stream = False
        if self._head:
            self._transport.write(self._head)
            self._head = b""

    def close(self) -> None:
        self.end()
        self._transport.close()


class Deadlined(HttpToolsProtocol):
    """One connection. `due` is when what it is sending must have arrived; never while it sends nothing."""

    def __init__(self, *args: Any, watch: Watch, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._watch = watch
        self._due = self._write_due = self._idle_due = NEVER
        self._is_body = False
        self._is_refused = False
        self._fed = 0  # bytes since the head of this request began, or a little more
        self._fault = "malformed"

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own type
        super().connection_made(transport)
        self._joined: Any = _Joined(transport)
        self._watch.begin(self)
        self._due = self._watch.head_due

    def connection_lost(self, exc: Exception | None) -> None:
        self._watch.end(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        if self._due == NEVER:  # empty lines before a request, which the parser skips, are the beginning of its head
            self._due = self._watch.head_due
        self._fed += len(data)
        super().data_received(data)
        if self._is_body or self._due == NEVER:
            self._fed = 0
        elif self._fed > HEAD_LIMIT and not self._is_refused:
            self._refuse("head_too_large")

    def on_message_begin(self) -> None:
        self._due = self._watch.head_due
        self._idle_due = NEVER
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        if self._fed > HEAD_LIMIT and self._head_size() > HEAD_LIMIT:
            self._fault = "head_too_large"
            raise ValueError(self._fault)  # the parser stops, and `send_400_response` says why
        self._due = self._watch.body_due
        self._is_body = True
        super().on_headers_complete()
        if self.cycle is not None:
            self.cycle.transport = self._joined

    def on_message_complete(self) -> None:
        super().on_message_complete()
        # An answer that came before the end of its body has used up uvicorn's idle timer.
        answered = self.cycle is not None and self.cycle.response_complete
        self._due = self._watch.head_due if answered else NEVER
        self._is_body = False
        self._fed = 0  # what was counted in this read was body, and must not pass for the next head

    def on_response_complete(self) -> None:
        """As uvicorn's own, but without a timer of its own for each answer."""
        self._joined.end()
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._idle_due = self._watch.soon + self.timeout_keep_alive

    def pause_writing(self) -> None:
        self._write_due = self._watch.stream_due if self._joined.is_stream else self._watch.write_due
        super().pause_writing()

    def resume_writing(self) -> None:
        self._write_due = NEVER
        super().resume_writing()

    def shutdown(self) -> None:
        """Where uvicorn stops: it would wait for a stream, which never ends by itself."""
        if self._joined.is_stream and self.cycle is not None and not self.cycle.response_complete:
            if self.flow.write_paused:
                self.transport.abort()
            else:
                self.transport.write(b"0\r\n\r\n")  # the last chunk: the browser comes back as after any end
                self.transport.close()
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            return
        super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """Where uvicorn answers a request it cannot read."""
        if not self._is_refused:
            self._refuse(self._fault)

    def close_if_due(self, now: float) -> bool:
        """Close the connection when it is overdue; whether it was slow."""
        if self._write_due <= now:
            # Reset: after a plain close the kernel keeps its megabytes for minutes, for a reader that may come back.
            peer = self.transport.get_extra_info("socket")
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
            return True
        if self.transport.is_closing():
            if self._write_due == NEVER:  # closed, and waiting for its client to read the rest
                self._write_due = self._watch.write_due
            return False
        if self._due > now:
            if self._idle_due <= now and self._due == NEVER:
                self.transport.close()
            return False
        if self._is_refused:
            self.transport.close()
            return False
        is_busy = self.cycle is not None and not self.cycle.response_complete
        if self._is_body and self.flow.read_paused:  # it is we who do not read
            self._due = self._watch.body_due
            return False
        if is_busy and not self._is_body:  # the next request dawdles; the one before it keeps its answer
            self.cycle.keep_alive = False
            self._due = NEVER
            return False
        if is_busy and self.cycle.response_started:
            self.transport.close()
        else:
            self._refuse("too_slow")
        return True

    def _refuse(self, code: str) -> None:
        """Answer a problem and read on for a moment. A request before it that is still at work loses its client."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            if self.cycle.response_started:
                self.transport.close()
                return
        status, rest = self._watch.refusal(code)
        default = [b"%s: %s\r\n" % header for header in self.server_state.default_headers]
        self.transport.write(b"".join((status, *default, rest)))
        self._is_refused = True
        self._due = self._watch.linger_due
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)


def protocol(head_s: float, body_s: float, headers: Mapping[str, str], *, write_s: float = WRITE_DEADLINE_S) -> Any:
    """The protocol for uvicorn's `http`: seconds until the end of a head and of a body, and every answer's headers."""
    return partial(Deadlined, watch=Watch(head_s, body_s, headers, write_s))


def _refusal(code: str, headers: Mapping[str, str]) -> tuple[bytes, bytes]:
    status = problems.status_of_code(code)
    body = problems.problem(status, code, problems.PROBLEMS[code][1], instance="")
    fields = {
        **headers,
        "Cache-Control": "no-store",
        "Content-Type": "application/problem+json",
        "Content-Length": str(len(body)),
        "Connection": "close",
    }
    lines = [f"{name.lower()}: {value}\r\n".encode() for name, value in fields.items()]
    return STATUS_LINE[status], b"".join((*lines, b"\r\n", body))
