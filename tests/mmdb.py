"""A small writer of MaxMind DB files (format 2.0), for tests: no real one may be shipped."""

import ipaddress
import struct
from collections.abc import Mapping
from typing import Any

_MARKER = b"\xab\xcd\xefMaxMind.com"
_EXTENDED = 7  # type numbers above this are written in a second byte
_MAP, _TEXT, _UINT32, _UINT64, _ARRAY = 7, 2, 6, 9, 11

Node = list[Any]  # two children, each a Node, a record's offset, or None


def mmdb(networks: Mapping[str, Any]) -> bytes:
    """The bytes of a database that says this of these networks (IPv4 or IPv6)."""
    root: Node = [None, None]
    data = b""
    for network, record in networks.items():
        range_ = ipaddress.ip_network(network)
        # An IPv6 tree holds IPv4 addresses below ::/96.
        bits = f"{int(range_.network_address):0{128}b}"[: range_.prefixlen + (96 if range_.version == 4 else 0)]
        _hang(root, bits, len(data))
        data += _encoded(record)
    nodes: list[Node] = []
    _number(root, nodes)
    numbers = {id(node): number for number, node in enumerate(nodes)}
    tree = b"".join(_pointer(child, numbers, len(nodes)).to_bytes(4, "big") for node in nodes for child in node)
    metadata = {
        "node_count": len(nodes),
        "record_size": 32,
        "ip_version": 6,
        "database_type": "Passerelle-Test",
        "languages": ["en"],
        "binary_format_major_version": 2,
        "binary_format_minor_version": 0,
        "build_epoch": 1_760_000_000,
        "description": {"en": "A test"},
    }
    return tree + bytes(16) + data + _MARKER + _encoded(metadata)


def _hang(node: Node, bits: str, offset: int) -> None:
    for bit in bits[:-1]:
        child = node[int(bit)]
        if not isinstance(child, list):
            child = node[int(bit)] = [None, None]
        node = child
    node[int(bits[-1])] = offset


def _number(node: Node, nodes: list[Node]) -> None:
    nodes.append(node)
    for child in node:
        if isinstance(child, list):
            _number(child, nodes)


def _pointer(child: Any, numbers: dict[int, int], count: int) -> int:
    if isinstance(child, list):
        return numbers[id(child)]
    return count if child is None else count + 16 + int(child)


def _encoded(value: Any) -> bytes:
    if isinstance(value, dict):
        return _control(_MAP, len(value)) + b"".join(_encoded(k) + _encoded(v) for k, v in value.items())
    if isinstance(value, list):
        return _control(_ARRAY, len(value)) + b"".join(map(_encoded, value))
    if isinstance(value, str):
        return _control(_TEXT, len(value.encode())) + value.encode()
    packed = struct.pack(">Q", value).lstrip(b"\0")
    return _control(_UINT64 if len(packed) > 4 else _UINT32, len(packed)) + packed


def _control(kind: int, size: int) -> bytes:
    more = b""
    if size >= 285:
        size, more = 30, struct.pack(">H", size - 285)
    elif size >= 29:
        size, more = 29, bytes([size - 29])
    head = bytes([size, kind - _EXTENDED]) if kind > _EXTENDED else bytes([kind << 5 | size])
    return head + more
