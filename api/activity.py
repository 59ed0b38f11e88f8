"""Which phones, members' sessions and keys are in use, noted beside the requests: no read waits for the write lock."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from sqlmodel import Session

from campaigns.storage import Database

log = logging.getLogger("passerelle.activity")


class Activity:
    """Writes on one thread of its own, in the order of the requests.

    A read that waited for the lock would hold one of the few threads that the holder of the lock needs to go on.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._thread = ThreadPoolExecutor(1, "activity")

    def note(self, write: Callable[[Session], object]) -> None:
        """Write soon, in a transaction of its own, that something was used."""
        self._thread.submit(self._write, write)

    def close(self) -> None:
        """Write what is still to be noted."""
        self._thread.shutdown()

    def _write(self, write: Callable[[Session], object]) -> None:
        try:
            with self._database.transaction() as session:
                write(session)
        except Exception:  # a phone asks for its PIN a little early, no more
            log.exception("a use was not noted")
