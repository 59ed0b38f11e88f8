"""A request to an address that somebody else chose: where it may go, and how little of it may cost.

The name is resolved once, all its addresses must be public, and the connection goes to one of those very addresses,
with the name in SNI, certificate and Host: a name that leads elsewhere the next moment leads nowhere (DNS rebinding).
No redirect is followed, no proxy of the environment asked, one deadline bounds all of it, and little is read.
"""

import math
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any

import httpcore2

from campaigns.clock import utc_now
from campaigns.webhooks.addresses import Reachable, is_local, is_loopback, is_public

DEADLINE_S = 15.0  # for all of an attempt, from the first look-up to the last byte read
CONNECT_S = 5.0  # for one of several addresses
MOST_READ = 16_384  # bytes of an answer: more is cut off, and the connection with it
AGENT = "Passerelle-Webhooks/1"


class Fault(StrEnum):
    """Why an attempt failed: one word, for people to look up."""

    UNRESOLVED = "unresolved"  # the name leads nowhere
    ADDRESS = "address"  # it leads to an address that is not public
    CONNECTION = "connection"  # nobody answers there, or stopped midway
    TLS = "tls"  # no certificate that fits
    TIMEOUT = "timeout"
    PROTOCOL = "protocol"  # what came back is no HTTP
    REDIRECT = "redirect"  # a 3xx: give the address it leads to instead
    STATUS = "status"  # any other answer but 2xx


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended. `retry_after_s`: what a 429 or 503 asked for. `is_silent`: the receiver did not answer."""

    status: int | None
    fault: Fault | None
    took: timedelta
    retry_after_s: int | None = None

    @property
    def is_silent(self) -> bool:
        return self.status is None


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a name, in the system's order. OSError when there is none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


@dataclass(frozen=True)
class Outbound:
    """How requests leave. Tests give a resolver, a certificate authority and addresses of their own."""

    allow_local: bool = False
    context: ssl.SSLContext = field(default_factory=ssl.create_default_context)
    resolve: Callable[[str, int], Sequence[str]] = resolve
    is_reachable: Reachable = is_public
    deadline_s: float = DEADLINE_S

    @contextmanager
    def line(self, url: str) -> Iterator["Line"]:
        """A connection to one address, for several messages one after the other. Opened by the first."""
        line = Line(self, url)
        try:
            yield line
        finally:
            line.close()


class Line:
    """A connection that is opened when it is needed, and anew after a failure."""

    def __init__(self, outbound: Outbound, url: str) -> None:
        self._outbound = outbound
        self._url = httpcore2.URL(url)
        is_ours = outbound.allow_local and is_local(url)
        self._is_reachable = is_loopback if is_ours else outbound.is_reachable
        self._is_allowed = is_ours or self._url.scheme == b"https"
        self._backend = _Backend(outbound.resolve, self._is_reachable)
        self._connection: httpcore2.HTTPConnection | None = None

    def post(self, body: bytes, headers: dict[str, str]) -> Outcome:
        """Send a message, and how that ended. Raises nothing of the network's."""
        began = time.monotonic()
        status, fault, wait = None, None, None
        try:
            self._backend.deadline = began + self._outbound.deadline_s
            status, wait = self._ask(body, headers)
            fault = _fault_of(status)
        except Refused as error:
            fault = error.fault
        except httpcore2.TimeoutException:
            fault = Fault.TIMEOUT
        except (httpcore2.ProtocolError, httpcore2.UnsupportedProtocol, UnicodeError):
            fault = Fault.PROTOCOL
        except (httpcore2.NetworkError, OSError) as error:
            fault = Fault.TLS if isinstance(error.__cause__ or error, ssl.SSLError) else Fault.CONNECTION
        if status is None:
            self.close()
        return Outcome(status, fault, timedelta(seconds=time.monotonic() - began), wait)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _ask(self, body: bytes, headers: dict[str, str]) -> tuple[int, int | None]:
        if not self._is_allowed:
            raise Refused(Fault.ADDRESS)
        connection = self._connect()
        given: list[tuple[bytes | str, bytes | str]] = [("content-type", "application/json"), ("user-agent", AGENT)]
        given += headers.items()
        with connection.stream("POST", self._url, headers=given, content=body) as answer:
            read = 0
            for chunk in answer.iter_stream():
                read += len(chunk)
                if read > MOST_READ:
                    break  # the connection is closed with the answer, as what is left of it was not read
            return answer.status, _retry_after(answer.headers) if answer.status in (429, 503) else None

    def _connect(self) -> httpcore2.HTTPConnection:
        if self._connection is not None and self._connection.is_available() and not self._connection.has_expired():
            return self._connection
        self.close()
        self._connection = httpcore2.HTTPConnection(
            self._url.origin, ssl_context=self._outbound.context, network_backend=self._backend, retries=0
        )
        return self._connection


class Refused(Exception):
    """A name that leads nowhere, or where no request of ours goes."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.value)
        self.fault = fault


class _Backend(httpcore2.NetworkBackend):
    """Resolves once a connection, judges every address, and connects to one of them before the deadline."""

    def __init__(self, resolve: Callable[[str, int], Sequence[str]], is_reachable: Reachable) -> None:
        self._resolve, self._is_reachable = resolve, is_reachable
        self.deadline = 0.0  # by the monotonic clock; each message has its own

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        try:
            addresses = self._resolve(host.strip("[]"), port)
        except (OSError, UnicodeError) as error:
            raise Refused(Fault.UNRESOLVED) from error
        if not addresses:
            raise Refused(Fault.UNRESOLVED)
        if not all(self._is_reachable(one) for one in addresses):
            raise Refused(Fault.ADDRESS)
        for number, address in enumerate(addresses, start=1):
            left = self.left()
            try:
                stream = httpcore2.SyncBackend().connect_tcp(address, port, timeout=min(CONNECT_S, left))
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                if number == len(addresses):
                    raise
                continue
            return _Stream(stream, self)
        raise AssertionError("unreachable")

    def left(self) -> float:
        """Seconds before the deadline. TimeoutException after it."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise httpcore2.ReadTimeout
        return left


class _Stream(httpcore2.NetworkStream):
    """A connection whose every wait ends at the deadline: a receiver that drips holds nobody longer."""

    def __init__(self, stream: httpcore2.NetworkStream, backend: _Backend) -> None:
        self._stream, self._backend = stream, backend

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._backend.left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._backend.left())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        name = (server_hostname or "").strip("[]")
        return _Stream(self._stream.start_tls(ssl_context, name, self._backend.left()), self._backend)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _fault_of(status: int) -> Fault | None:
    if 200 <= status < 300:
        return None
    return Fault.REDIRECT if 300 <= status < 400 else Fault.STATUS


def _retry_after(headers: Iterable[tuple[bytes, bytes]]) -> int | None:
    """Seconds that an answer asks for, as a number or as an instant (RFC 9110, section 10.2.3); None for neither."""
    given = next((value for name, value in headers if name.lower() == b"retry-after"), b"").decode("latin-1").strip()
    if given.isascii() and given.isdigit():
        return int(given) if len(given) <= 9 else None
    try:
        return max(0, math.ceil((parsedate_to_datetime(given) - utc_now()).total_seconds()))
    except (TypeError, ValueError):  # no date, or one without a zone
        return None
