"""A receiver of webhooks: HTTPS (or HTTP) on 127.0.0.1 under a certificate of its own, that answers as it is told."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from campaigns.clock import utc_now
from campaigns.webhooks.addresses import is_loopback
from campaigns.webhooks.outbound import Outbound

NAME = "hooks.verger.example"  # that no resolver but the tests' own knows


@dataclass(frozen=True)
class Answer:
    """What to answer: a status, headers, a body."""

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class Arrived:
    """A message that arrived, and the name that the handshake asked for."""

    path: str
    headers: dict[str, str]
    body: bytes
    sni: str | None


@dataclass
class Receiver:
    """What came, in its order; `answers` are given one after the other, then 204. `on_arrival` runs before each."""

    port: int = 0
    scheme: str = "https"
    arrived: list[Arrived] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    always: Answer = Answer()
    on_arrival: Callable[[Arrived], None] = lambda arrived: None
    connections: int = 0
    sni: str | None = None

    @property
    def url(self) -> str:
        return f"{self.scheme}://{NAME if self.scheme == 'https' else '127.0.0.1'}:{self.port}/hook?shop=1"


@contextmanager
def receiver(folder: Path, *, tls: bool = True) -> Iterator[Receiver]:
    """One on a free port, in threads of its own."""
    found = Receiver(scheme="https" if tls else "http")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(found))
    server.daemon_threads = True
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate(folder))
        context.sni_callback = lambda _, name, __: setattr(found, "sni", name)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    found.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def raw_receiver(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server of plain TCP whose every connection is given to `talk`; its port."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                threading.Thread(target=_talk, args=(talk, connection), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.shutdown(socket.SHUT_RDWR)  # ends the waiting for another client
        thread.join(timeout=5)
        listening.close()


def trusting(folder: Path) -> ssl.SSLContext:
    """What a client needs to trust the receiver."""
    return ssl.create_default_context(cadata=certificate(folder).read_text())


def here(_: str, __: int) -> list[str]:
    """A resolver to which every name is this machine."""
    return ["127.0.0.1"]


def to_here(folder: Path, resolve: Callable[[str, int], Sequence[str]] = here, *, deadline_s: float = 10) -> Outbound:
    """Requests that may go to a receiver of these tests, whose name the tests' own resolver knows."""
    return Outbound(context=trusting(folder), resolve=resolve, is_reachable=is_loopback, deadline_s=deadline_s)


def certificate(folder: Path, name: str = NAME) -> Path:
    """A key and a certificate that it signed itself, for the receiver's name and 127.0.0.1; made at the first call."""
    path = folder / f"{name}.pem"
    if path.exists():
        return path
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    names = x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ip_address("127.0.0.1"))])
    begun = utc_now() - timedelta(days=1)
    made = x509.CertificateBuilder().subject_name(who).issuer_name(who).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number()).not_valid_before(begun)
    made = made.not_valid_after(begun + timedelta(days=30)).add_extension(names, critical=False)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    signed = made.sign(key, hashes.SHA256())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
    return path


def _talk(talk: Callable[[socket.socket], None], connection: socket.socket) -> None:
    with connection, suppress(OSError):
        talk(connection)


def _handler(found: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 20

        def setup(self) -> None:
            found.connections += 1
            super().setup()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            one = Arrived(self.path, headers, body, found.sni)
            found.arrived.append(one)
            found.on_arrival(one)
            answer = found.answers.pop(0) if found.answers else found.always
            self.send_response(answer.status)
            for name, value in {"content-length": str(len(answer.body)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(answer.body)

        def handle(self) -> None:
            with suppress(OSError):  # a client that does not trust the certificate, or hangs up
                super().handle()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on the tests' output."""

    return Handler
