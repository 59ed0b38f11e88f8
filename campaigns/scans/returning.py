"""Which visitors scanned a code before, today, as far as this process remembers.

The scan path may not ask the database, so a process keeps what it saw itself, the last 50,000 visitors of codes that
have a rule about it: some 10 MB. After a restart, and at another process, everybody is new once more. The visitor key
is another one every UTC day, so nobody returns from yesterday, and nothing here says who anybody is.
"""

REMEMBERED = 50_000


class Returns:
    """First scans by token and visitor key. Used on the event loop only."""

    def __init__(self, limit: int = REMEMBERED) -> None:
        self._first: dict[tuple[str, int], str] = {}
        self._limit = limit

    def is_returning(self, token_hex: str, visitor_key: int, scan_hex: str) -> bool:
        """Whether an earlier scan than this one is known."""
        return self._first.get((token_hex, visitor_key), scan_hex) != scan_hex

    def note(self, token_hex: str, visitor_key: int, scan_hex: str) -> None:
        """Remember a scan, if it is the first of its visitor; the oldest is forgotten for it."""
        self._first.setdefault((token_hex, visitor_key), scan_hex)
        if len(self._first) > self._limit:
            del self._first[next(iter(self._first))]
