"""Identifiers: UUIDv7 (RFC 9562), made by us, shown with a prefix: `plc_0198...` (32 hexadecimal digits)."""

import os
import re
import struct
import time
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID

from campaigns.errors import NotFound

NIL = UUID(int=0)
_SHOWN = re.compile(r"[0-9a-f]{32}\Z")
_EXTERNAL = re.compile(r"ext_([A-Za-z0-9._:-]{1,80})\Z")


def uuid7(at_ms: int | None = None) -> UUID:
    """A new UUIDv7 of this millisecond, or of `at_ms` (milliseconds since 1970)."""
    return UUID(int=uuid7_int(time.time_ns() // 1_000_000 if at_ms is None else at_ms))


def uuid7_int(at_ms: int) -> int:
    """The 128-bit integer of a new UUIDv7: 48 bits of milliseconds, version, 74 random bits."""
    return int(uuid7_hex(at_ms), 16)


def uuid7_hex(at_ms: int) -> str:
    """The 32 hexadecimal digits of a new UUIDv7, as the scan log stores it."""
    high, low = _random()
    return f"{at_ms & 0xFFFFFFFFFFFF:012x}{0x7000 | high & 0x0FFF:04x}{1 << 63 | low >> 2:016x}"


def uuid7_at(instant: datetime) -> UUID:
    """A new UUIDv7 carrying `instant`: rows written with a past `now` sort in their own time."""
    return uuid7(milliseconds(instant))


def first_of(instant: datetime) -> UUID:
    """The smallest UUIDv7 of an instant: a bound for `id >= ...`."""
    return UUID(int=(milliseconds(instant) & 0xFFFFFFFFFFFF) << 80 | 0x7000 << 64 | 0b10 << 62)


def milliseconds(instant: datetime) -> int:
    """Milliseconds since 1970."""
    return int(instant.timestamp() * 1000)


def instant_of(id: UUID) -> datetime:
    """The instant a UUIDv7 carries, to the millisecond."""
    return datetime.fromtimestamp((id.int >> 80) / 1000, UTC)


def instant_of_hex(id: str) -> datetime:
    """The same of its 32 hexadecimal digits."""
    return datetime.fromtimestamp(int(id[:12], 16) / 1000, UTC)


def show(prefix: str, id: UUID) -> str:
    """The public form: `show("plc", id)` -> `plc_0198...`."""
    return f"{prefix}_{id.hex}"


def parse(prefix: str, text: str) -> UUID:
    """The id behind its public form. NotFound for anything that could not be one of ours."""
    head, _, tail = text.partition("_")
    if head != prefix or not _SHOWN.match(tail):
        which = "with the id" if external(text) is None else "named"
        raise NotFound(f"There is no {prefix}_... {which} {text[:90]!r}.")
    return UUID(tail)


def external(name: str) -> str | None:
    """The external id behind `ext_<external_id>`; None for anything else."""
    found = _EXTERNAL.match(name)
    return found[1] if found else None


def plain_name(text: str) -> str:
    """A name for a URL or a folder, up to 60 lower-case letters, figures and hyphens: `L’Œuf /` -> `l-oeuf`.

    Empty for a text without a Latin letter or a figure.
    """
    letters = unicodedata.normalize("NFKD", text.lower().replace("œ", "oe").replace("æ", "ae").replace("ß", "ss"))
    bare = "".join(one for one in letters if not unicodedata.combining(one))
    return re.sub(r"[^a-z0-9]+", "-", bare).strip("-")[:60].strip("-")


def _random() -> tuple[int, int]:
    """16 and 64 random bits of the kernel's, fetched 512 at a time: the call costs more than the id."""
    global _pool
    found = next(_pool, None)
    while found is None:
        _pool = struct.iter_unpack(">HQ", os.urandom(5120))
        found = next(_pool, None)
    return found  # type: ignore[return-value]  # the format has two fields


_pool: Iterator[tuple[int, ...]] = iter(())


def _empty_pool() -> None:
    """Of a forked process: what its parent fetched the parent hands out."""
    global _pool
    _pool = iter(())


os.register_at_fork(after_in_child=_empty_pool)
