"""Which phones are in use, noted beside the requests: a page that is only read never waits for the write lock."""

import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from uuid import UUID

from campaigns import places
from campaigns.storage import Database

log = logging.getLogger("passerelle.activity")


class Activity:
    """Writes on one thread of its own, in the order of the requests.

    A read that waited for the lock would hold one of the few threads that the holder of the lock needs to go on.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._thread = ThreadPoolExecutor(1, "activity")

    def note(self, session_id: UUID, now: datetime) -> None:
        """Note soon that a person used this phone at `now`."""
        self._thread.submit(self._write, session_id, now)

    def close(self) -> None:
        """Write what is still to be noted."""
        self._thread.shutdown()

    def _write(self, session_id: UUID, now: datetime) -> None:
        try:
            with self._database.transaction() as session:
                places.note_activity(session, session_id, now=now)
        except Exception:  # the phone asks for its PIN a little early, no more
            log.exception("the use of a phone was not noted")
