"""The lock that writers of a SQLite file queue on, in one process."""

import threading
from collections import deque

from campaigns.errors import Conflict

LOCK_PATIENCE_S = 30.0  # longer than any transaction we know; beyond it something is wrong and saying so is better


class WriteLock:
    """A fair lock for threads whose urgent waiters are always next. May be released by another thread."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._held = False
        self._waiting: deque[threading.Lock] = deque()
        self._urgent: deque[threading.Lock] = deque()

    def acquire(self, *, urgent: bool = False) -> None:
        with self._mutex:
            if not self._held:
                self._held = True
                return
            gate = threading.Lock()
            gate.acquire()
            queue = self._urgent if urgent else self._waiting
            queue.append(gate)
        if gate.acquire(timeout=LOCK_PATIENCE_S):
            return
        with self._mutex:
            if gate in queue:
                queue.remove(gate)
                raise Conflict("The database is busy; try again in a moment.", code="busy")

    def release(self) -> None:
        with self._mutex:
            if self._urgent:
                self._urgent.popleft().release()
            elif self._waiting:
                self._waiting.popleft().release()
            else:
                self._held = False
