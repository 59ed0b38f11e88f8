"""What the address of a scan proves by itself: a tag's message, or the code a shop's screen shows. No database."""

from datetime import datetime
from typing import Final, NamedTuple

from campaigns.scans.verdict import STRONG, Reason
from campaigns.tokens import live
from campaigns.tokens.directory import Entry
from campaigns.tokens.mirror import read_mirror
from campaigns.tokens.sun import Mode, Tap, is_signed

PLAUSIBLE: Final = 1  # the presence of what anybody could have written, and nobody has yet


class Proof(NamedTuple):
    """A presence, as long as the counter of its `tap`, if it has one, is unused; else why there is none (`unproved`).

    `window_back`: the live code was of so many windows before that of the scan's instant.
    """

    presence: int = 0
    window_back: int = 0
    unproved: str | None = None
    tap: Tap | None = None


NOTHING: Final = Proof()


def prove(entry: Entry, query: bytes, *, live_key: bytes, now: datetime) -> Proof:
    """What the query of a scan proves: presence 2 by a signed tap or a live code, 1 by an unsigned tag's counter."""
    if entry.sun is not None:
        return _of_tap(entry.sun.read(query)) if is_signed(query) else NOTHING
    if entry.is_live:
        found = live.prove(live_key, entry.token_id, query, now)
        return Proof(found.presence, found.window_back, Reason.EXPIRED_LIVE_CODE if found.is_expired else None)
    mirrored = read_mirror(query, entry.bound_uid) if entry.bound_uid is not None else None
    return Proof(PLAUSIBLE, tap=mirrored) if mirrored is not None else NOTHING


def is_slow(entry: Entry) -> bool:
    """Whether proving takes a millisecond of Python (LRP): a thread's work, not the event loop's."""
    return entry.sun is not None and entry.sun.mode == Mode.LRP


def _of_tap(tap: Tap) -> Proof:
    if tap.reason is not None:
        return Proof(unproved=tap.reason.value)
    return Proof(STRONG, tap=tap)
