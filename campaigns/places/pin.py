"""The PIN of a shop's phone: four digits that its person chose, kept as a keyed hash of the session they open.

Ten thousand PINs are tried in no time by whoever has the hash alone, so the hash takes a key that the database does not
hold; the session's id in it makes equal PINs of two phones look different. Whoever has the phone gets five tries.
"""

import hashlib
import hmac
import re
from typing import Final
from uuid import UUID

from campaigns.errors import Invalid

TRIES: Final = 5  # wrong ones in a row, then the session is over: one in 2,000 guesses right
_SHAPE: Final = re.compile(r"[0-9]{4}")  # not \d, which takes the digits of every script


def check_pin(typed: str) -> str:
    """The PIN a person chose, without spaces around. Invalid for anything but four digits."""
    pin = typed.strip()
    if not _SHAPE.fullmatch(pin):
        raise Invalid("A PIN is exactly four digits, 0 to 9.", code="pin_shape", pointer="/pin")
    return pin


def hash_pin(key: bytes, session_id: UUID, pin: str) -> str:
    """What is kept of a PIN: BLAKE2b under `key`, bound to its session."""
    return hashlib.blake2b(session_id.bytes + pin.encode(), digest_size=16, key=key).hexdigest()


def is_pin(key: bytes, session_id: UUID, typed: str, kept: str | None) -> bool:
    """Whether the typed digits are the PIN that was kept. A session without one has no right PIN."""
    return kept is not None and hmac.compare_digest(hash_pin(key, session_id, typed.strip()), kept)
