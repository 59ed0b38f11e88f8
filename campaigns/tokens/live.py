"""Live codes: what a shop's screen adds to its token's URL, `?k=` and a window code that changes every 30 seconds.

After RFC 6238 (TOTP), with characters instead of digits: they are scanned, not typed. Windows are those of the till
code (`campaigns.places.till`), which is the same window in six digits. Every token has codes of its own, derived from
the installation's secret, so nothing is stored and nobody but the server can make one. No database here.
"""

import hashlib
import hmac
import struct
from datetime import datetime
from typing import Final, NamedTuple
from urllib.parse import parse_qsl
from uuid import UUID

from campaigns.places import till
from campaigns.tokens.codes import ALPHABET

NAME: Final = "k"
# 55 bits. Nothing counts the wrong codes of scans, so none must be found by trying: with two windows good at a time,
# 10,000 tries a second find one in 57,000 years.
LENGTH: Final = 11
_LONGEST_QUERY: Final = 500  # characters of it that are read
_MOST_PARAMETERS: Final = 20


class Proof(NamedTuple):
    """What a scan proves by itself. `window_back`: its code was of so many windows before that of its instant.

    `is_expired`: there was a window code, and it was stale or wrong.
    """

    presence: int = 0
    window_back: int = 0
    is_expired: bool = False


NOTHING: Final = Proof()


def window_code(key: bytes, token_id: UUID, window: int) -> str:
    """The eleven characters a live token carries in a window: upper case, for the QR alphanumeric mode."""
    digest = hmac.digest(key, token_id.bytes + struct.pack(">Q", window), hashlib.sha256)
    number = int.from_bytes(digest[:7], "big")
    return "".join(ALPHABET[number >> shift & 31] for shift in range(5 * (LENGTH - 1), -1, -5))


def window_url(url: str, code: str) -> str:
    """The URL a screen shows: that of the token, and the window code."""
    return f"{url}?{NAME}={code}"


def window_if_good(key: bytes, token_id: UUID, typed: str, now: datetime) -> int | None:
    """The window of a code that is good now, the present one or the one before; None for any other. Case is folded."""
    if len(typed) != LENGTH or not typed.isascii():
        return None
    present, given = till.window_of(now), typed.upper().encode()
    windows = [present - back for back in range(till.GRACE_WINDOWS + 1)]
    good = [hmac.compare_digest(window_code(key, token_id, window).encode(), given) for window in windows]
    return next((window for window, is_good in zip(windows, good, strict=True) if is_good), None)


def prove(key: bytes, token_id: UUID, query: bytes, now: datetime) -> Proof:
    """What the query of a scan of a live token proves: presence 2 with one `k` that is good now, else nothing."""
    try:
        pairs = parse_qsl(
            query[:_LONGEST_QUERY].decode("latin-1"), keep_blank_values=True, max_num_fields=_MOST_PARAMETERS
        )
    except ValueError:  # more fields than anyone sends
        return NOTHING
    given = [value for name, value in pairs if name.lower() == NAME]  # some readers send all of a code in one case
    if not given:
        return NOTHING
    window = window_if_good(key, token_id, given[0], now) if len(given) == 1 else None
    if window is None:
        return Proof(is_expired=True)
    return Proof(2, till.window_of(now) - window)
