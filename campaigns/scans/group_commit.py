"""Group commit: requests append to a list, one thread writes the whole list, then all of them are answered.

All bookkeeping happens on the event loop: at most one batch is with the writer while the next one grows, so batches
grow with load and latency stays flat. One plain future a request: measured no dearer than one a batch for all, and a
client that leaves cancels its own wait only.
"""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Sequence

import psycopg

from campaigns.errors import Conflict, TooMany
from campaigns.scans.log import Entry, Result, Writer


class LogUnavailable(TooMany):
    """The log cannot take this scan now: the queue is full or the database does not answer."""

    code = "log_unavailable"

    def __init__(self, detail: str = "Too many people are scanning just now. Try again in a moment.") -> None:
        super().__init__(detail, retry_after_s=2)


class _Batch:
    """Entries and, in the same order, the futures of their results."""

    __slots__ = ("entries", "waiting")

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.waiting: list[asyncio.Future[Result]] = []


class GroupCommit:
    """The queue in front of a `Writer`. Everything but the thread's work is called on the event loop."""

    def __init__(self, writer: Writer, limit: int) -> None:
        self._writer = writer
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._growing = _Batch()
        self._is_writing = False
        self._is_closed = False
        self._handed: queue.SimpleQueue[_Batch | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write_batches, name="scan-log", daemon=True)
        self._thread.start()

    async def append(self, entry: Entry) -> Result:
        """Store an entry; returns after its commit. LogUnavailable when the queue is full or closed, or it failed."""
        if self._is_closed:
            raise LogUnavailable("The server is stopping. Try again in a moment.")
        batch = self._growing
        if len(batch.entries) >= self._limit:
            raise LogUnavailable
        future: asyncio.Future[Result] = self._loop.create_future()
        batch.entries.append(entry)
        batch.waiting.append(future)
        if not self._is_writing:
            # Not at once: the requests of the same turn of the loop come along instead of waiting for a batch of one.
            self._is_writing = True
            self._loop.call_soon(self._hand_over)
        return await future

    async def close(self) -> None:
        """Write what is waiting, then stop the thread. What comes from now on is refused."""
        self._is_closed = True
        while self._is_writing:
            await asyncio.sleep(0.005)
        self._handed.put(None)
        await asyncio.to_thread(self._thread.join)
        self._writer.close()

    def _hand_over(self) -> None:
        batch, self._growing = self._growing, _Batch()
        self._handed.put(batch)

    def _written(self, batch: _Batch, results: Sequence[Result | Exception]) -> None:
        self._is_writing = bool(self._growing.entries)
        if self._is_writing:
            self._hand_over()
        for future, result in zip(batch.waiting, results, strict=True):
            if future.done():  # cancelled: its client left
                continue
            if isinstance(result, Exception):
                future.set_exception(_refused(result))
            else:
                future.set_result(result)

    def _write_batches(self) -> None:
        while (batch := self._handed.get()) is not None:
            self._loop.call_soon_threadsafe(self._written, batch, self._write(batch.entries))

    def _write(self, entries: Sequence[Entry]) -> Sequence[Result | Exception]:
        try:
            return self._writer.write(entries)
        except (sqlite3.OperationalError, psycopg.OperationalError, OSError, Conflict) as error:
            # The disk, the server or the write lock: each entry alone would fare no better, and wait as long.
            return [error] * len(entries)
        except Exception as error:
            if len(entries) == 1:
                return [error]
            # One entry that cannot be stored must not cost the others theirs.
            return [self._write([entry])[0] for entry in entries]


def _refused(cause: Exception) -> LogUnavailable:
    refusal = LogUnavailable("This scan could not be stored. Try again in a moment.")
    refusal.__cause__ = cause
    return refusal
