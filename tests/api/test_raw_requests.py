"""What no browser sends, byte by byte through a socket: answered or refused cleanly, and never a 5xx."""

import json
import os
import re
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from tests.api.helpers import Shop, make_shop, raw
from tests.conftest import Server, run_passerelle, running_server

PHONE = b"User-Agent: Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Safari/604.1\r\n"
CLOSE = b"Host: shop.example\r\nConnection: close\r\n" + PHONE
FULL_WIDTH = str.maketrans(
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", "０１２３４５６７８９ＡＢＣＤＥＦＧＨＩＪＫＬＭＮＯＰＱＲＳＴＵＶＷＸＹＺ"
)
CYRILLIC = str.maketrans("ABCEHKMOPTXY", "АВСЕНКМОРТХУ")
HUGE = 2**63


def get(path: bytes, *headers: bytes, version: bytes = b"1.1") -> bytes:
    return b"GET " + path + b" HTTP/" + version + b"\r\n" + b"".join(one + b"\r\n" for one in headers) + CLOSE + b"\r\n"


def scan_of(shop: Shop) -> bytes:
    return b"/t/" + shop.code.encode()


def refusal(answer: bytes) -> str:
    """The code of a refusal, which has the headers of every answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    assert b"x-content-type-options: nosniff" in head.lower()
    return str(json.loads(body)["code"])


@pytest.mark.parametrize("size", [100_000, 300_000])
def test_headers_of_a_hundred_kilobytes_are_refused_with_the_reason(server: Server, shop: Shop, size: int) -> None:
    for headers in (
        [b"X-Long: " + b"a" * size],
        [b"X-%d: %s" % (number, b"a" * 990) for number in range(size // 1000)],
        [b"Cookie: " + b"a=b; " * (size // 5)],
    ):
        status, answer = raw(server, get(scan_of(shop), *headers))
        assert status == 431
        assert refusal(answer) == "head_too_large"
    status, answer = raw(server, get(b"/t/" + b"A" * size))
    assert status == 431


@pytest.mark.parametrize(
    "line",
    [
        b"GET /t/\xff\xfe HTTP/1.1",
        b"GET /t/A\x00B HTTP/1.1",
        b"GET  /t/A HTTP/1.1",
        b"GET /t/A B HTTP/1.1",
        b"GET /t/A HTTP/9.9",
        b"GET /t/A",
        b"get /t/A HTTP/1.1",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0",
        b"CONNECT shop.example:443 HTTP/1.1",
        b"GET http:// HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
        b"GET /t/A HTTP/1.1\r\nX: a\x00b",
        b"GET /t/A HTTP/1.1\r\nX\xff: a",
        b"GET /t/A HTTP/1.1\r\n folded: a",
        b"GET /t/A HTTP/1.1\r\nContent-Length: -1",
        b"GET /t/A HTTP/1.1\r\nContent-Length: 1, 1",
        b"GET /t/A HTTP/1.1\r\nContent-Length: %d" % 2**64,
        b"GET /t/A HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 5",
        b"POST /t/A/confirm HTTP/1.1\r\nContent-Length: %d" % HUGE,
        b"POST /v1/places HTTP/1.1\r\nContent-Length: %d" % HUGE,
    ],
)
def test_what_is_no_request_is_refused_cleanly(server: Server, line: bytes) -> None:
    status, answer = raw(server, line + b"\r\n" + CLOSE + b"\r\n")
    assert 400 <= status < 500, answer[:300]
    assert b"x-content-type-options: nosniff" in answer.lower()


@pytest.mark.parametrize("path", ["/t/{code}/confirm", "/v1/places", "/t/{code}/check-in"])
def test_two_lengths_of_one_body_are_refused(server: Server, shop: Shop, path: str) -> None:
    """Who reads it one way and a proxy the other would disagree on where the next request begins."""
    smuggled = b"0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    line = b"POST " + path.format(code=shop.code).encode() + b" HTTP/1.1\r\nHost: x\r\n"
    for fields in (
        b"Content-Length: %d\r\nTransfer-Encoding: chunked" % len(smuggled),
        b"Transfer-Encoding: chunked\r\nContent-Length: 5",
        b"Transfer-Encoding: chunked, identity",
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding : chunked",
        b"Content-Length: 5\r\nContent-Length: 6",
    ):
        status, answer = raw(server, line + fields + b"\r\n\r\n" + smuggled)
        assert status == 400, fields
        assert answer.count(b"HTTP/1.1 ") == 1, "nothing after it is taken for a request"
        assert b'"status":"ok"' not in answer


@pytest.mark.parametrize("alphabet", [FULL_WIDTH, CYRILLIC], ids=["full-width", "Cyrillic"])
def test_look_alikes_of_a_code_never_fail(server: Server, shop: Shop, alphabet: dict[int, str]) -> None:
    lookalike = shop.code.translate(alphabet)
    for code in (quote(lookalike), quote(lookalike.lower()), quote(lookalike.encode("utf-16")), "%FF%FE", "%00", "%"):
        status, answer = raw(server, get(b"/t/" + code.encode(), b"Accept: text/html"))
        assert status in (200, 404), answer[:200]
        status, _ = raw(server, get(b"/find?code=" + code.encode(), b"Accept: text/html"))
        assert status in (303, 404, 422)
    status, _ = raw(server, get(b"/t/" + lookalike.encode()))  # not even percent-encoded
    assert status in (200, 400, 404)


def test_an_absolute_target_is_the_same_scan(server: Server, shop: Shop) -> None:
    for origin in (b"http://shop.example", b"http://127.0.0.1:1", b"https://[::1]"):
        status, answer = raw(server, get(origin + scan_of(shop), b"Accept: application/json"))
        assert status == 200
        assert b"receipt" in answer
    for target in (b"http://user:secret@shop.example", b"http:///t/", b"ftp://shop.example", b"//shop.example"):
        status, _ = raw(server, get(target + scan_of(shop)))
        assert status in (200, 400, 404)


def test_hosts_of_all_kinds_never_cost_the_page(server: Server, shop: Shop) -> None:
    for host in (None, b"", b"[", b"[::1", b"a b", b"\xff", b"x" * 5_000, b"a:99999999", b"a@b", b"a/../b", b"%00"):
        for path in (scan_of(shop), b"/", b"/me", b"/v1/places", b"/v1/places/", b"/m/nowhere", b"/healthz/"):
            line = b"" if host is None else b"Host: " + host + b"\r\n"
            wanted = b"GET " + path + b" HTTP/1.1\r\n" + line + b"Connection: close\r\nAccept: text/html\r\n\r\n"
            status, answer = raw(server, wanted)
            assert status < 500, (host, path, answer[-300:])
            assert path != scan_of(shop) or status in (200, 400), (host, status)


def test_old_versions_and_pipelines_are_answered_in_order(server: Server, shop: Shop) -> None:
    for headers in (b"", b"Connection: keep-alive\r\n"):
        status, answer = raw(server, b"GET " + scan_of(shop) + b" HTTP/1.0\r\n" + headers + PHONE + b"\r\n")
        assert status == 200
        assert b"connection: close" in answer.lower()
    asked = b"".join(
        b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nAccept: application/json\r\n" + PHONE + b"\r\n"
        for path in (b"/healthz", scan_of(shop), b"/t/UNKNOWN", scan_of(shop), b"/v1/places")
    )
    _, answer = raw(server, asked + get(b"/healthz"))
    assert re.findall(rb"HTTP/1\.1 (\d+)", answer) == [b"200", b"200", b"404", b"200", b"401", b"200"]
    assert len(set(re.findall(rb'"scan_id": "(scn_\w+)"', answer))) == 2


def test_a_client_that_leaves_amid_its_request_is_no_mishap(server: Server, shop: Shop) -> None:
    address = urlsplit(server.url)
    for part in (
        b"GET /t/",
        b"POST /t/A/confirm HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\nrec",
        get(scan_of(shop)),
    ):
        for _ in range(5):
            with socket.create_connection((address.hostname or "", address.port or 0)) as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
                connection.sendall(part)
    scan = shop.scan()
    assert scan["verdict"] == "valid", scan


@pytest.mark.parametrize("number", [HUGE, -HUGE, HUGE - 1, 2**64, 10**30])
def test_numbers_of_64_bits_and_more_are_refused_wherever_they_go(server: Server, shop: Shop, number: int) -> None:
    receipt = shop.scan()["receipt"]
    where = [
        ("GET", f"/v1/scans?limit={number}", ""),
        ("GET", f"/v1/campaigns/{shop.campaign}/scans?limit={number}", ""),
        ("GET", f"/v1/places?limit={number}&cursor={number}", ""),
        ("GET", f"/v1/campaigns/{shop.campaign}/scans?since={number}", ""),
        ("POST", "/v1/places", json.dumps({"name": "x", "lat": 1, "lon": 1, "time_zone": "UTC", "radius_m": number})),
        ("POST", f"/v1/campaigns/{shop.campaign}/tokens", json.dumps({"medium": "qr", "count": number})),
        (
            "POST",
            f"/t/{shop.code}/position",
            json.dumps({"receipt": receipt, "lat": number, "lon": 1, "accuracy_m": 1}),
        ),
        (
            "POST",
            f"/t/{shop.code}/position",
            json.dumps({"receipt": receipt, "lat": 1, "lon": 1, "accuracy_m": number}),
        ),
        (
            "POST",
            f"/t/{shop.code}/position",
            json.dumps({"receipt": receipt, "lat": 1, "lon": 1, "accuracy_m": 5, "age_s": number}),
        ),
        ("POST", f"/t/{shop.code}/confirm", json.dumps({"receipt": number})),
        ("GET", f"/t/{number}", ""),
    ]
    for method, path, body in where:
        fields = [
            f"Authorization: Bearer {server.key}".encode(),
            b"Content-Type: application/json",
            b"Content-Length: %d" % len(body),
        ]
        wanted = method.encode() + b" " + path.encode() + b" HTTP/1.1\r\n" + b"\r\n".join(fields) + b"\r\n"
        status, answer = raw(server, wanted + CLOSE + b"\r\n" + body.encode())
        assert 400 <= status < 500, (path, body, answer[-300:])


@pytest.fixture(scope="module")
def behind_a_proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shop, Path]]:
    """A server that believes the proxies on this machine and in a network of examples."""
    path = tmp_path_factory.mktemp("proxied") / "passerelle.db"
    proxies = {"PASSERELLE_TRUSTED_PROXIES": "127.0.0.1,198.51.100.0/24"}
    with running_server(f"sqlite:///{path}", **proxies) as server:
        yield make_shop(server), path


@pytest.fixture(scope="module")
def in_the_open(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shop, Path]]:
    path = tmp_path_factory.mktemp("open") / "passerelle.db"
    with running_server(f"sqlite:///{path}") as server:
        yield make_shop(server), path


def keys_of(shop: Shop, path: Path, claims: list[list[bytes]]) -> list[int]:
    """The visitor keys of scans that claim these addresses; one list of headers a scan."""
    for headers in claims:
        status, answer = raw(shop.server, get(scan_of(shop), *headers))
        assert status == 200, answer[:200]
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    keys = [
        row[0] for row in connection.execute("SELECT visitor_key FROM scans ORDER BY id DESC LIMIT ?", [len(claims)])
    ]
    connection.close()
    return keys[::-1]


LIES = [
    b"X-Forwarded-For: 192.0.2.1",
    b"X-Forwarded-For: 192.0.2.1, 192.0.2.2",
    b"X-Forwarded-For: \xff\xfe",
    b"X-Forwarded-For: 127.0.0.1",
    b"X-Forwarded-For: ,,, ,",
    b"X-Forwarded-For: " + b"1.1.1.1," * 5_000,
    b"X-Forwarded-For: [::1]:99999999999999999999, [",
    b"X-Real-IP: 192.0.2.9",
    b"Forwarded: for=192.0.2.9",
    b"X-Forwarded-Proto: javascript",
]


def test_without_a_proxy_nobody_says_where_they_come_from(in_the_open: tuple[Shop, Path]) -> None:
    shop, path = in_the_open
    assert len(set(keys_of(shop, path, [[], *([lie] for lie in LIES)]))) == 1


def test_behind_a_proxy_the_address_is_read_from_the_right(behind_a_proxy: tuple[Shop, Path]) -> None:
    shop, path = behind_a_proxy
    mine = b"203.0.113.77"
    first, *same = keys_of(
        shop,
        path,
        [
            [b"X-Forwarded-For: " + mine],
            [b"X-Forwarded-For: 192.0.2.1, " + mine],  # what the client claimed stands on the left
            [b"X-Forwarded-For: 127.0.0.1, 198.51.100.7, " + mine],
            [b"X-Forwarded-For: " + mine + b", 198.51.100.7"],  # a second proxy of ours
            [b"X-Forwarded-For: 192.0.2.1", b"X-Forwarded-For: " + mine],
            [b"X-Forwarded-For: \xff\xfe, " + mine],
            [b"X-Forwarded-For: " + b"192.0.2.1, " * 3_000 + mine],
        ],
    )
    assert set(same) == {first}
    others = keys_of(shop, path, [[b"X-Forwarded-For: " + mine + b", 192.0.2.1"], []])
    assert first not in others
    assert len(keys_of(shop, path, [[lie] for lie in LIES])) == len(LIES), "and no lie costs the page"


def test_trusting_everybody_is_refused_at_the_start(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PASSERELLE_")}
    environment |= {"PASSERELLE_DATABASE_URL": f"sqlite:///{tmp_path}/x.db", "PASSERELLE_TRUSTED_PROXIES": "*"}
    refused = run_passerelle(environment, "serve")
    assert refused.returncode == 1
    assert "PASSERELLE_TRUSTED_PROXIES" in refused.stderr
