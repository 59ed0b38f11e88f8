"""Secure unique NFC (SUN): what an NTAG 424 DNA tag says at each tap, and whether it is believed.

At each tap the tag writes its UID and its read counter into the URL, plain (`uid`, `ctr`) or encrypted (`e`, the PICC
data), at will encrypts a part of its file (`f`), and signs them (`c`, the MAC). `verify` is the front door: pure, and
nothing that a phone sends makes it raise. That a counter was not used before is the database's to say.
Sources: NXP AN12196 and data sheet NT4H2421Gx (messages, session keys), AN10922 (a key for each tag), AN12304 (LRP).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple
from urllib.parse import parse_qsl

from cryptography.hazmat.primitives import cmac as library
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.constant_time import bytes_eq

from campaigns.errors import Invalid
from campaigns.tokens.lrp import BLOCK, Lrp, double, encrypt_block, padded, xor

NAMES: Final = ("e", "c", "f", "uid", "ctr")
KEY_BYTES: Final = 16
UID_BYTES: Final = 7  # the only length an NTAG 424 DNA has
COUNTER_BYTES: Final = 3

_FILE_BYTES: Final = 128  # two characters each fill the tag's file of 256
_LONGEST_QUERY: Final = 2_000  # characters; the tag's file has 256, and what links gather on their way adds some
_MOST_PARAMETERS: Final = 50
_HEX: Final = re.compile(r"(?:[0-9A-Fa-f]{2})+").fullmatch
_PICC_BYTES: Final = {"aes": BLOCK, "lrp": 8 + BLOCK}  # in LRP mode eight random bytes come first
_SIZES: Final = {"e": tuple(_PICC_BYTES.values()), "c": (8,), "uid": (UID_BYTES,), "ctr": (COUNTER_BYTES,)}

# The tag of the PICC data: what follows it, and how long the UID is. Bits 5 and 4 are for future use.
_HAS_UID: Final = 0x80
_HAS_COUNTER: Final = 0x40
_FUTURE: Final = 0x30
_UID_LENGTH: Final = 0x0F

# AN12196, sections 3.3 and 4: a purpose, one block of key, 128 bits.
_SV1: Final = bytes.fromhex("C33C00010080")
_SV2: Final = bytes.fromhex("3CC300010080")
_SV_LRP: Final = bytes.fromhex("00010080")
_SV_LRP_END: Final = bytes.fromhex("1EE1")

# AN10922: what the diversification input begins with, for each length of key; the two longer keys take two rounds.
_ROUNDS: Final = {16: (0x01,), 24: (0x11, 0x12), 32: (0x41, 0x42)}
_LONGEST_INPUT: Final = 2 * BLOCK - 1


class Mode(StrEnum):
    """Which primitives the tag was set to; it cannot go back from LRP."""

    AES = "aes"
    LRP = "lrp"


class MacInput(StrEnum):
    """What the tag signs besides UID and counter: nothing, or the text `{f}&c=` (its `f` stands right before `c`)."""

    EMPTY = "empty"
    FILE = "file"


class Reason(StrEnum):
    """Why a message proves nothing, by the names of the scan log."""

    BAD_MAC = "bad_mac"
    UID_ONLY = "uid_only"


@dataclass(frozen=True, slots=True)
class Keys:
    """A tag's two keys of 16 bytes: `meta_read` opens the PICC data, `file_read` signs and opens the file data.

    With a `diversifier` (application id and system identifier) `file_read` is a master key, and each tag has the one
    that AN10922 makes of it for its UID and the diversifier. The keys never show in a `repr`.
    """

    meta_read: bytes = field(repr=False)
    file_read: bytes = field(repr=False)
    diversifier: bytes | None = None

    def __post_init__(self) -> None:
        if len(self.meta_read) != KEY_BYTES or len(self.file_read) != KEY_BYTES:
            raise Invalid("A tag's key has 16 bytes: 32 hexadecimal digits.")
        if self.diversifier is not None and UID_BYTES + len(self.diversifier) > _LONGEST_INPUT:
            raise Invalid("A diversifier has at most 24 bytes, so that the UID fits before it.")


@dataclass(frozen=True, slots=True)
class Tap:
    """A message that was verified, or the reason it proves nothing. What is not authentic is not handed out.

    `uid` is upper-case hexadecimal, None when the tag does not mirror it; `counter` is from 0 to 2^24 - 1. With
    `uid_only` the MAC is right and `uid` is given, but it is the same at every tap: a photograph of it is as good.
    """

    uid: str | None = None
    counter: int | None = None
    file_data: bytes | None = None
    reason: Reason | None = None

    @property
    def is_authentic(self) -> bool:
        """Whether the tag itself made this message, now or before: the counter says which."""
        return self.reason is None


_BAD: Final = Tap(reason=Reason.BAD_MAC)


class _Mirrors(NamedTuple):
    """What the tag mirrored; the counter as three bytes, the lowest first."""

    uid: bytes | None
    counter: bytes | None


class _AesSession:
    """The keys of one tap in AES mode."""

    def __init__(self, key: bytes, mirrors: _Mirrors) -> None:
        self._for_file, self._for_mac = session_keys(key, *mirrors)

    def mac(self, signed: bytes) -> bytes:
        return cmac(self._for_mac, signed)

    def open(self, sealed: bytes, counter: bytes) -> bytes:
        start = encrypt_block(self._for_file, counter.ljust(BLOCK, b"\0"))
        return _open_chain(self._for_file, sealed, start)


class _LrpSession:
    """The key of one tap in LRP mode."""

    def __init__(self, key: bytes, mirrors: _Mirrors) -> None:
        self._key = session_key_lrp(key, *mirrors)

    def mac(self, signed: bytes) -> bytes:
        return Lrp(self._key).mac(signed)

    def open(self, sealed: bytes, counter: bytes) -> bytes:
        return Lrp(self._key, 1).decrypt(sealed, counter=counter + bytes(3))


def verify(
    parameters: str | bytes | Mapping[str, object],
    keys: Keys,
    *,
    mode: Mode = Mode.AES,
    mac_input: MacInput | bytes = MacInput.EMPTY,
    uid: str | None = None,
) -> Tap:
    """What the tag says in these parameters: a query string, or a mapping of names to values.

    The parameters are `e` and `c`, or `uid`, `ctr` and `c`, and `f` with the file data; whole names, in any order,
    other names ignored, hexadecimal digits of either case (a tag writes upper case and signs that; what a phone or a
    chat made lower case says the same). `mac_input` as bytes is the very text that the tag signs, for tags written by
    others; `uid` is the tag that is expected. `bad_mac` for all else: a wrong or missing MAC, another tag, a parameter
    given twice, cut or not hexadecimal, plain and encrypted mirrors together, file data that the MAC does not cover.
    `uid_only` for a tag that mirrors no counter, and for the plain counter 0, whose MAC is the same.
    """
    try:
        given = _given(parameters)
        mirrors = _mirrors(given, keys, mode)
        signed = _signed(given.get("f"), mac_input)
    except ValueError:
        return _BAD
    named = mirrors.uid or (bytes.fromhex(uid) if uid else None)
    is_another = uid is not None and mirrors.uid is not None and mirrors.uid.hex() != uid.lower()
    if mirrors == (None, None) or is_another or (keys.diversifier is not None and named is None):
        return _BAD
    session = (_LrpSession if mode == Mode.LRP else _AesSession)(_file_read_key(keys, named), mirrors)
    if not bytes_eq(session.mac(signed)[1::2], given["c"]):
        return _BAD
    shown = mirrors.uid.hex().upper() if mirrors.uid else None
    if mirrors.counter is None:
        return Tap(uid=shown, reason=Reason.UID_ONLY)
    file_data = session.open(given["f"], mirrors.counter) if "f" in given else None
    return Tap(shown, int.from_bytes(mirrors.counter, "little"), file_data)


@dataclass(frozen=True, slots=True)
class SignedTag:
    """A tag as it was enrolled, its keys open: what it says can be read. `uid` is None until it is known."""

    keys: Keys
    mode: Mode = Mode.AES
    mac_input: MacInput = MacInput.EMPTY
    uid: str | None = None

    def read(self, parameters: str | bytes | Mapping[str, object]) -> Tap:
        """What the tag says in the parameters of a tap. Whether its counter is unused, the scan log says."""
        return verify(parameters, self.keys, mode=self.mode, mac_input=self.mac_input, uid=self.uid)


class Offsets(NamedTuple):
    """Where in its file the tag writes, as `ChangeFileSettings` takes it; bytes from the start, the length first."""

    picc_data: int
    mac_input: int
    mac: int
    file_data: int | None
    file_data_length: int


def placeholders(mode: Mode, mac_input: MacInput) -> str:
    """The query to write on a tag: zeros where it will mirror PICC data, file data that it signs, and the MAC."""
    sealed = f"e={'00' * _PICC_BYTES[mode]}&"
    file = f"f={'00' * BLOCK}&" if mac_input == MacInput.FILE else ""
    return f"?{sealed}{file}c={'00' * _SIZES['c'][0]}"


def offsets(message: bytes) -> Offsets:
    """Where the placeholders lie in the tag's file, which holds two bytes of length and then the NDEF message."""
    file = bytes(2) + message
    picc_data, mac = file.rindex(b"?e=") + 3, file.rindex(b"&c=") + 3
    found = file.find(b"&f=", picc_data)
    if found < 0:
        return Offsets(picc_data, mac, mac, None, 0)
    return Offsets(picc_data, found + 3, mac, found + 3, 2 * BLOCK)


def is_signed(parameters: str | bytes | Mapping[str, object]) -> bool:
    """Whether any parameter of a tag is there. A tag's bare address is a claim without proof, not a forged tap."""
    try:
        pairs = _pairs(parameters)
    except ValueError:
        return True
    return any(name in NAMES for name, _ in pairs)


def session_keys(file_read: bytes, uid: bytes | None, counter: bytes | None) -> tuple[bytes, bytes]:
    """The keys of a tap in AES mode, for file data (SV1) and for the MAC (SV2). The counter's lowest byte is first."""
    mirrored = (uid or b"") + (counter or b"")
    for_file, for_mac = ((start + mirrored).ljust(BLOCK, b"\0") for start in (_SV1, _SV2))
    return cmac(file_read, for_file), cmac(file_read, for_mac)


def session_key_lrp(file_read: bytes, uid: bytes | None, counter: bytes | None) -> bytes:
    """The one key of a tap in LRP mode; its first updated key is for the MAC, its second for file data."""
    mirrored = (_SV_LRP + (uid or b"") + (counter or b"")).ljust(BLOCK - len(_SV_LRP_END), b"\0")
    return Lrp(file_read).mac(mirrored + _SV_LRP_END)


def diversify(master: bytes, data: bytes) -> bytes:
    """A tag's own key from a master key of 16, 24 or 32 bytes (AN10922); `data` is UID, application id, system id.

    Invalid for another length of key, and unless `data` has 1 to 31 bytes.
    """
    if len(master) not in _ROUNDS or not 1 <= len(data) <= _LONGEST_INPUT:
        raise Invalid("A master key has 16, 24 or 32 bytes, a diversification input 1 to 31.")
    made = [_two_blocks(master, bytes([start]) + data) for start in _ROUNDS[len(master)]]
    if len(master) == 24:
        first, second = made
        return first[:8] + xor(first[8:], second[:8]) + second[8:]
    return b"".join(made)


def cmac(key: bytes, message: bytes) -> bytes:
    """AES-CMAC: 16 bytes (RFC 4493). A tag sends every second one of them."""
    mac = library.CMAC(algorithms.AES(key))
    mac.update(message)
    return mac.finalize()


def _given(parameters: str | bytes | Mapping[str, object]) -> dict[str, bytes]:
    """The tag's parameters as bytes, `c` among them. ValueError when one is there twice, cut or no hexadecimal."""
    found: dict[str, bytes] = {}
    for name, value in _pairs(parameters):
        if name not in NAMES:
            continue
        if name in found or not isinstance(value, str) or not _HEX(value):
            raise ValueError(name)
        found[name] = bytes.fromhex(value)
        if not _has_its_length(name, len(found[name])):
            raise ValueError(name)
    if "c" not in found:
        raise ValueError("c")
    return found


def _has_its_length(name: str, size: int) -> bool:
    if name == "f":
        return size % BLOCK == 0 and size <= _FILE_BYTES
    return size in _SIZES[name]


def _pairs(parameters: str | bytes | Mapping[str, object]) -> list[tuple[str, object]]:
    if isinstance(parameters, Mapping):
        return list(parameters.items())
    text = parameters.decode("latin-1") if isinstance(parameters, bytes) else parameters
    if len(text) > _LONGEST_QUERY:
        raise ValueError("too long")
    return list(parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_PARAMETERS))


def _mirrors(given: Mapping[str, bytes], keys: Keys, mode: Mode) -> _Mirrors:
    uid, counter, sealed = given.get("uid"), given.get("ctr"), given.get("e")
    if sealed is None:
        # A chip counts before it writes, so no tap is number 0. The MAC of number 0 is that of the UID alone: what a
        # tag without a counter signs every time would be taken for a tap.
        low_first = counter[::-1] if counter and any(counter) else None
        return _Mirrors(uid, low_first)
    if uid is not None or counter is not None or len(sealed) != _PICC_BYTES[mode]:
        raise ValueError("e")
    return _read_picc_data(_open_picc_data(sealed, keys.meta_read, mode))


def _open_picc_data(sealed: bytes, key: bytes, mode: Mode) -> bytes:
    if mode == Mode.LRP:
        return Lrp(key).decrypt(sealed[8:], counter=sealed[:8])
    return _open_chain(key, sealed, bytes(BLOCK))


def _read_picc_data(data: bytes) -> _Mirrors:
    """Take PICC data apart: its tag, the UID and the counter as far as it says they are there, and random bytes."""
    tag, rest = data[0], data[1:]
    length = UID_BYTES if tag & _HAS_UID else 0
    if tag & _FUTURE or (tag & _UID_LENGTH) not in {length, UID_BYTES}:
        raise ValueError("tag")
    counter = rest[length : length + COUNTER_BYTES] if tag & _HAS_COUNTER else None
    return _Mirrors(rest[:length] or None, counter)


def _signed(sealed: bytes | None, mac_input: MacInput | bytes) -> bytes:
    """The text the tag signed. ValueError when there are file data that it does not cover: who would vouch for them?"""
    written = sealed.hex().upper().encode() if sealed else b""
    text = written + b"&c=" if mac_input == MacInput.FILE else b""
    if isinstance(mac_input, bytes):
        text = mac_input
    if written not in text:
        raise ValueError("f")
    return text


def _open_chain(key: bytes, sealed: bytes, start: bytes) -> bytes:
    return Cipher(algorithms.AES(key), modes.CBC(start)).decryptor().update(sealed)


def _file_read_key(keys: Keys, uid: bytes | None) -> bytes:
    return keys.file_read if keys.diversifier is None else diversify(keys.file_read, (uid or b"") + keys.diversifier)


def _two_blocks(key: bytes, message: bytes) -> bytes:
    """CMAC of a message filled up to two blocks, as AN10922 has it; the library leaves a short one at one block."""
    subkey = double(encrypt_block(key, bytes(BLOCK)))
    if len(message) < 2 * BLOCK:
        message, subkey = padded(message, 2 * BLOCK), double(subkey)
    first, last = message[:BLOCK], message[BLOCK:]
    return encrypt_block(key, xor(xor(encrypt_block(key, first), last), subkey))
