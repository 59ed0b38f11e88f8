"""Guessing: who asks for many unknown codes is told to wait, and the orphans say why (`enumeration`)."""

from collections import OrderedDict
from typing import Final

WINDOW_S: Final = 60.0
# Different unknown codes of one address within a minute. One a second: nobody types so fast, and a shop full of people
# behind one address has one misprint, not sixty. With 31 characters in ten places the sixty it gets find nothing.
UNKNOWN_CODES: Final = 60
ADDRESSES: Final = 10_000  # remembered at once, the last to ask; some 50 MB if all of them guess


class _Asking:
    __slots__ = ("codes", "since")

    def __init__(self, since: float) -> None:
        self.since = since
        self.codes: set[int] = set()


class Guessing:
    """What each address asked for in vain in its last minute. In memory only, under a hash of the address."""

    def __init__(self) -> None:
        self._asking: OrderedDict[int, _Asking] = OrderedDict()

    def ask(self, address_key: int, code: str, now_s: float) -> int:
        """Note an unknown code; how many seconds this address should wait, 0 for none."""
        asking = self._asking.get(address_key)
        if asking is None or now_s - asking.since >= WINDOW_S:
            asking = self._asking[address_key] = _Asking(now_s)
        self._asking.move_to_end(address_key)
        if len(self._asking) > ADDRESSES:
            self._asking.popitem(last=False)
        if len(asking.codes) <= UNKNOWN_CODES:
            asking.codes.add(hash(code))
        if len(asking.codes) <= UNKNOWN_CODES:
            return 0
        return max(1, round(asking.since + WINDOW_S - now_s))
