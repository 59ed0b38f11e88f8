"""What a shop's screen holds: the matrices of a live token's next windows, ready to be shown without a network.

All of one size, for the URLs of all windows are of one length. One mask, for choosing among eight would take three
times as long; each matrix is read back, at one pixel a module, before it is handed out.
"""

import math
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, NamedTuple
from uuid import UUID

from campaigns.errors import Invalid
from campaigns.tokens import live, qr
from campaigns.tokens.qr import ErrorCorrection
from campaigns.tokens.readback import modules_read_as
from campaigns.tokens.shapes import Matrix

HELD_WINDOWS: Final = 120  # an hour: what a screen lasts without a network
_MASKS: Final = (3, 0, 1, 2, 4, 5, 6, 7)  # the first that reads; the order is of no weight
_TOKENS_KEPT: Final = 256  # of a process; an hour of one has some 40 kB


class Packed(NamedTuple):
    """A square of modules as bits, rows from the top, one for dark.

    Filled up with zeros to whole groups of three bytes: so each begins with a character of its own in base64, and what
    all codes have in common is compressed away.
    """

    side: int
    bits: bytes


def window_matrix(url: str, code: str) -> Matrix:
    """The modules of a window's code, read back. Invalid for a URL that does not read."""
    text = live.window_url(url, code)
    for mask in _MASKS:
        modules = qr.matrix(text, ErrorCorrection.M, mask=mask)
        if modules_read_as(qr.with_quiet_zone(modules, qr.QUIET_ZONE)) == [text]:
            return modules
    raise Invalid("The code of this screen does not read back; use a shorter PASSERELLE_BASE_URL.")


def pack(modules: Matrix) -> Packed:
    """The modules as bits."""
    bits = "".join("1" if dark else "0" for row in modules for dark in row)
    size = math.ceil(len(bits) / 24) * 3
    return Packed(len(modules), int(bits.ljust(8 * size, "0"), 2).to_bytes(size, "big"))


class Screens:
    """Matrices by token and window: a renewal a minute draws two new ones, not 120."""

    def __init__(self) -> None:
        self._drawn: OrderedDict[UUID, tuple[str, dict[int, Packed]]] = OrderedDict()
        self._lock = threading.Lock()  # of two requests at once both may draw; the matrices are the same

    def matrices(self, key: bytes, token_id: UUID, url: str, windows: Sequence[int]) -> list[Packed]:
        """The matrix of each window, all of one size. Invalid for a URL that does not read."""
        known = self._known(token_id, url)
        made = {window: known.get(window) or _drawn(key, token_id, url, window) for window in windows}
        with self._lock:
            self._drawn[token_id] = url, made
            self._drawn.move_to_end(token_id)
            while len(self._drawn) > _TOKENS_KEPT:
                self._drawn.popitem(last=False)
        return list(made.values())

    def _known(self, token_id: UUID, url: str) -> dict[int, Packed]:
        with self._lock:
            drawn_for, known = self._drawn.get(token_id, ("", {}))
        return known if drawn_for == url else {}


def _drawn(key: bytes, token_id: UUID, url: str, window: int) -> Packed:
    return pack(window_matrix(url, live.window_code(key, token_id, window)))
