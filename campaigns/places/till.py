"""The till code: six digits on the shop's screen that change every 30 seconds (after RFC 6238, TOTP).

Every place has a key of its own, derived from the installation's secret, so nothing is stored and nobody but the
server can make a code. One window of grace: a code is good for the window it was shown in and the next.
"""

import hashlib
import hmac
import struct
from datetime import datetime
from uuid import UUID

WINDOW_S = 30
DIGITS = 6
GRACE_WINDOWS = 1
TRIES_PER_RECEIPT = 5
WRONG_PER_DAY = 100  # of one place: a hundred guesses find a code of 10^6, two of which are good, once in 5,000 days


def window_of(now: datetime) -> int:
    """The number of the 30-second window an instant falls in, counted since 1970."""
    return int(now.timestamp()) // WINDOW_S


def till_code(key: bytes, place_id: UUID, window: int) -> str:
    """The six digits a place shows in a window."""
    digest = hmac.digest(key, place_id.bytes + struct.pack(">Q", window), hashlib.sha256)
    offset = digest[-1] & 0x0F  # dynamic truncation, RFC 4226 section 5.3
    number = struct.unpack(">I", digest[offset : offset + 4])[0] & 0x7FFFFFFF
    return f"{number % 10**DIGITS:0{DIGITS}d}"


def window_if_good(key: bytes, place_id: UUID, typed: str, now: datetime) -> int | None:
    """The window of the typed digits, the present one or the one before; None for others. Spaces do not matter."""
    digits = "".join(typed.split())
    windows = [window_of(now) - back for back in range(GRACE_WINDOWS + 1)]
    good = [hmac.compare_digest(till_code(key, place_id, window).encode(), digits.encode()) for window in windows]
    return next((window for window, is_good in zip(windows, good, strict=True) if is_good), None)


def seconds_left(now: datetime) -> int:
    """Seconds until the code on the screen changes, 1 to 30."""
    return WINDOW_S - int(now.timestamp()) % WINDOW_S
