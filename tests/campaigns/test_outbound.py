"""Requests to addresses that somebody else chose: which are refused, and what one attempt may cost.

Tried by hand, each turning a test red: no list of refused networks; NAT64 not judged; one public address of several
being enough; connecting by name; following a redirect; no end of reading; no deadline of a read (`_Stream.read`), one a
read instead of one for all, and none of the handshake (`_Stream.start_tls`).
"""

import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from campaigns.errors import Invalid
from campaigns.webhooks import outbound
from campaigns.webhooks.addresses import checked_url, is_loopback, is_public
from campaigns.webhooks.outbound import Fault, Outbound, Outcome
from tests.receiver import NAME, Answer, here, raw_receiver, receiver, to_here, trusting

PUBLIC = ["1.1.1.1", "8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "2a00:1450:4007::200e", "64:ff9b::808:808"]
REFUSED = {
    "unspecified": ["0.0.0.0", "0.1.2.3", "::"],  # noqa: S104  # refused, not bound
    "loopback": ["127.0.0.1", "127.8.9.1", "::1"],
    "private": ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fc00::1", "fd12:3456::1"],
    "link-local, and what clouds answer there": ["169.254.169.254", "169.254.170.2", "fe80::1", "fe80::1%eth0"],
    "Azure's platform": ["168.63.129.16"],
    "what providers share": ["100.64.0.1", "100.127.255.254"],
    "IPv4 in IPv6": ["::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:169.254.169.254", "::127.0.0.1"],
    "NAT64 of what is refused": ["64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b::a83f:8110", "64:ff9b::6440:1"],
    "NAT64 of one's own": ["64:ff9b:1::808:808"],
    "6to4 and Teredo": ["2002:7f00:1::1", "2002:a9fe:a9fe::1", "2002:808:808::1", "192.88.99.1", "2001:0:808::1"],
    "documentation, benchmarks": ["192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1", "2001:db8::1", "3fff::1"],
    "multicast, reserved, broadcast": ["224.0.0.1", "239.1.1.1", "ff02::1", "240.0.0.1", "255.255.255.255"],
    "site-local and others not handed out": ["fec0::1", "5f00::1", "4000::1", "100::1"],
    "no address": ["", "localhost", "1.1.1", "0x7f000001", "2130706433"],
}
URLS = [
    "http://shop.example/hook",
    "https://",
    "https:///hook",
    "https://user@shop.example/",
    "https://user:word@shop.example/",
    "https://shop.example/#part",
    "https://shop.example:99999/",
    "https://shop.example:port/",
    "https://[::1/",
    "https://[::1]/",
    "https://127.0.0.1/",
    "https://localhost/",
    "https://LOCALHOST/",
    "https://169.254.169.254/latest/meta-data",
    "https://[::ffff:127.0.0.1]/",
    "https://[fe80::1%25eth0]/",
    "https://shop.example/a b",
    "https://shop.example\\@evil.example/",
    "https://shop.example/\r\nHost: evil.example",
    "https://shop_.ex ample/",
    "https://-.example/",
    "https://magasin.exämple/",
    "ftp://shop.example/",
    "gopher://shop.example/",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "shop.example/hook",
    "https://shop.example/" + "a" * 2000,
]


def post(outbound: Outbound, url: str, body: bytes = b"{}") -> Outcome:
    with outbound.line(url) as line:
        return line.post(body, {"webhook-id": "msg_1"})


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_reached(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", [one for some in REFUSED.values() for one in some])
def test_no_other_address_is_reached(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("url", URLS)
def test_a_url_that_is_not_https_of_the_public_internet_is_refused(url: str) -> None:
    with pytest.raises(Invalid) as refusal:
        checked_url(url, allow_local=False)
    assert refusal.value.context["pointer"] == "/url"


def test_a_trial_may_send_to_this_machine_and_to_no_other_over_http() -> None:
    for url in ("http://localhost:9000/hook", "http://127.0.0.1/", "http://[::1]:9/", "https://localhost/"):
        assert checked_url(url, allow_local=True) == url
    for url in ("http://shop.example/", "http://10.0.0.1/", "http://127.0.0.2/", "http://localhost.example/"):
        with pytest.raises(Invalid):
            checked_url(url, allow_local=True)


@pytest.mark.parametrize(
    "url", ["https://shop.example/hook", "https://1.1.1.1/", "https://[2606:4700::1111]:8443/?a=b"]
)
def test_an_address_of_the_public_internet_is_taken(url: str) -> None:
    assert checked_url(url, allow_local=False) == url


def test_a_message_goes_to_the_very_address_with_the_name_in_handshake_and_host(tmp_path: Path) -> None:
    with receiver(tmp_path) as there:
        outcome = post(to_here(tmp_path), there.url, b'{"type":"x"}')
    assert (outcome.status, outcome.fault) == (204, None)
    (one,) = there.arrived
    assert (one.sni, one.headers["host"]) == (NAME, f"{NAME}:{there.port}")
    assert (one.path, one.body, one.headers["content-type"]) == ("/hook?shop=1", b'{"type":"x"}', "application/json")


def test_several_messages_share_a_connection_and_one_look_up(tmp_path: Path) -> None:
    asked = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    with receiver(tmp_path) as there, to_here(tmp_path, resolve).line(there.url) as line:
        assert [line.post(b"{}", {}).status for _ in range(3)] == [204] * 3
    assert (asked, there.connections) == ([NAME], 1)


def test_a_name_is_resolved_once_so_that_it_cannot_lead_elsewhere_the_next_moment(tmp_path: Path) -> None:
    turns = iter([["127.0.0.1"], ["10.0.0.1"], ["10.0.0.1"]])
    with receiver(tmp_path) as there:
        # No resolver but ours knows the name: by name nothing would connect, and a second look-up would be refused.
        assert post(to_here(tmp_path, lambda *_: next(turns)), there.url).status == 204
    assert next(turns) == ["10.0.0.1"]


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["10.0.0.1"], ["93.184.216.34", "10.0.0.1"], ["::ffff:93.184.216.34"], ["not one"]]
)
def test_a_name_that_leads_to_no_public_address_is_not_connected_to(tmp_path: Path, addresses: list[str]) -> None:
    with receiver(tmp_path) as there:
        outcome = post(Outbound(context=trusting(tmp_path), resolve=lambda *_: addresses), there.url)
        assert (outcome.status, outcome.fault) == (None, Fault.ADDRESS)
        assert there.connections == 0


def test_the_systems_own_resolver_leads_no_message_to_this_machine(tmp_path: Path) -> None:
    with receiver(tmp_path) as there:
        for host in ("localhost", "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0"):
            outcome = post(Outbound(context=trusting(tmp_path)), f"https://{host}:{there.port}/")
            assert outcome.fault in (Fault.ADDRESS, Fault.UNRESOLVED), host
        assert there.connections == 0


def test_a_name_that_leads_nowhere_says_so() -> None:
    def nowhere(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    assert post(Outbound(resolve=nowhere), "https://shop.example/").fault is Fault.UNRESOLVED
    assert post(Outbound(resolve=lambda *_: []), "https://shop.example/").fault is Fault.UNRESOLVED


def test_plain_http_goes_to_this_machine_alone_and_only_in_a_trial(tmp_path: Path) -> None:
    with receiver(tmp_path, tls=False) as there:
        assert post(Outbound(allow_local=True), there.url).status == 204
        assert post(Outbound(), there.url).fault is Fault.ADDRESS
        assert post(to_here(tmp_path), f"http://{NAME}:{there.port}/").fault is Fault.ADDRESS
        away = Outbound(allow_local=True, resolve=lambda *_: ["93.184.216.34"])
        assert post(away, f"http://localhost:{there.port}/").fault is Fault.ADDRESS
    assert len(there.arrived) == 1


def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    with receiver(tmp_path) as there:
        there.answers = [Answer(status, {"location": there.url}) for status in (301, 302, 307, 308)]
        outcomes = [post(to_here(tmp_path), there.url) for _ in range(4)]
    assert [(one.status, one.fault) for one in outcomes] == [(n, Fault.REDIRECT) for n in (301, 302, 307, 308)]
    assert len(there.arrived) == 4


def test_a_certificate_of_another_name_or_of_nobody_known_is_refused(tmp_path: Path) -> None:
    with receiver(tmp_path) as there:
        other = there.url.replace(NAME, "other.example")
        assert post(to_here(tmp_path), other).fault is Fault.TLS
        strange = Outbound(context=ssl.create_default_context(), resolve=here, is_reachable=is_loopback)
        assert post(strange, there.url).fault is Fault.TLS
    assert there.arrived == []


def test_of_a_huge_answer_little_is_read(tmp_path: Path) -> None:
    sent = []

    def flood(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n")
        while True:
            sent.append(connection.send(b"x" * 65_536))

    with raw_receiver(flood) as port:
        outcome = post(Outbound(allow_local=True), f"http://127.0.0.1:{port}/")
        assert (outcome.status, outcome.fault) == (200, None)
        time.sleep(0.2)
        held = sum(sent)
        time.sleep(0.2)
        assert sum(sent) == held, "it hung up"


def drip(head: bytes) -> Callable[[socket.socket], None]:
    """Begin an answer, then a byte at a time: each wait is short, and there are many of them. Then hang up."""

    def talk(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(head)
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            connection.sendall(b"a")
            time.sleep(0.05)

    return talk


def listen(connection: socket.socket) -> None:
    """Take all, say nothing, then hang up."""
    connection.settimeout(0.1)
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        with suppress(TimeoutError):
            if not connection.recv(65_536):
                return


HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 9000\r\n"
SERVER_HELLO = b"\x16\x03\x03\x40\x00"  # a TLS record of 16,384 bytes begins
DEADLINE_S = 0.5  # of the sender
PATIENCE_S = 2.5  # of the receiver: who is left alone says `timeout`, else another word


@pytest.mark.parametrize("talk", [drip(HEAD + b"x-a: "), drip(HEAD + b"\r\n"), listen], ids=["head", "body", "nothing"])
def test_a_receiver_that_drips_or_says_nothing_is_left_at_the_deadline(talk: Callable[[socket.socket], None]) -> None:
    with raw_receiver(talk) as port:
        outcome = post(Outbound(allow_local=True, deadline_s=DEADLINE_S), f"http://127.0.0.1:{port}/")
    assert outcome.fault is Fault.TIMEOUT
    assert outcome.took >= timedelta(seconds=DEADLINE_S)


@pytest.mark.parametrize("talk", [drip(SERVER_HELLO), listen], ids=["drips", "nothing"])
def test_a_handshake_that_never_ends_is_left_at_the_deadline(
    tmp_path: Path, talk: Callable[[socket.socket], None]
) -> None:
    with raw_receiver(talk) as port:
        outcome = post(to_here(tmp_path, deadline_s=DEADLINE_S), f"https://{NAME}:{port}/")
    assert outcome.fault is Fault.TIMEOUT


def test_endless_headers_and_what_is_no_http_are_refused(tmp_path: Path) -> None:
    def headers(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            connection.sendall(b"x-a: " + b"a" * 8_000 + b"\r\n")

    def noise(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(b"220 mail.example ESMTP\r\n")
        listen(connection)  # who hangs up with something unread resets the line, before its words are read

    for talk in (headers, noise):
        with raw_receiver(talk) as port:
            outcome = post(Outbound(allow_local=True), f"http://127.0.0.1:{port}/")
        assert outcome.fault is Fault.PROTOCOL, talk


def test_a_receiver_that_hangs_up_and_one_that_is_not_there() -> None:
    with raw_receiver(lambda connection: None) as port:
        assert post(Outbound(allow_local=True), f"http://127.0.0.1:{port}/").fault in (Fault.PROTOCOL, Fault.CONNECTION)
    assert post(Outbound(allow_local=True), f"http://127.0.0.1:{port}/").fault is Fault.CONNECTION


def test_the_first_of_several_addresses_that_answers_is_taken(tmp_path: Path) -> None:
    with receiver(tmp_path) as there:
        two = to_here(tmp_path, lambda *_: ["127.0.0.9", "127.0.0.1"])  # nobody listens at the first
        assert post(two, there.url).status == 204


def test_how_long_a_busy_receiver_asks_to_wait_is_read(tmp_path: Path) -> None:
    given = [
        (429, "120", 120),
        (503, "7", 7),
        (503, "soon", None),
        (429, "-5", None),
        (500, "60", None),
        (200, "60", None),
    ]
    given += [(503, "Fri, 31 Dec 1999 23:59:59 GMT", 0), (429, "9" * 30, None)]
    with receiver(tmp_path) as there:
        there.answers = [Answer(status, {"retry-after": value}) for status, value, _ in given]
        asked = [post(to_here(tmp_path), there.url).retry_after_s for _ in given]
        assert asked == [seconds for *_, seconds in given]
        there.answers = [Answer(503, {"retry-after": "Fri, 31 Dec 2100 23:59:59 GMT"})]
        assert (post(to_here(tmp_path), there.url).retry_after_s or 0) > 10**9


def test_no_proxy_of_the_environment_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with receiver(tmp_path) as there:
        assert post(to_here(tmp_path), there.url).status == 204


def test_the_deadline_leaves_the_lease_of_a_sender() -> None:
    assert outbound.DEADLINE_S + 30 < 60, "a look-up of 30 s and an attempt are over before another sender takes over"
