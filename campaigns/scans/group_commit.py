"""Group commit: requests append to a list, one thread writes the whole list, then all of them are answered.

All bookkeeping happens on the event loop: at most one batch is with the writer while the next one grows, so batches
grow with load and latency stays flat. One future a batch, not one a request.
"""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Sequence
from typing import Any

import psycopg

from campaigns.errors import TooMany
from campaigns.scans.log import Entry, Result, Writer


class LogUnavailable(TooMany):
    """The log cannot take this scan now: the queue is full or the database does not answer."""

    code = "log_unavailable"

    def __init__(self, detail: str = "Too many people are scanning just now. Try again in a moment.") -> None:
        super().__init__(detail, retry_after_s=2)


class _Batch(asyncio.Future[Sequence[Result | Exception]]):
    """A list of entries and the future of their results. A client that leaves must not cancel the others' wait."""

    entries: list[Entry]

    def cancel(self, msg: Any | None = None) -> bool:
        return False


class GroupCommit:
    """The queue in front of a `Writer`. Everything but the thread's work is called on the event loop."""

    def __init__(self, writer: Writer, limit: int) -> None:
        self._writer = writer
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._growing = self._new_batch()
        self._is_writing = False
        self._handed: queue.SimpleQueue[_Batch | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write_batches, name="scan-log", daemon=True)
        self._thread.start()

    async def append(self, entry: Entry) -> Result:
        """Store an entry; returns after its commit. LogUnavailable when the queue is full or the write failed."""
        batch = self._growing
        entries = batch.entries
        place = len(entries)
        if place >= self._limit:
            raise LogUnavailable
        entries.append(entry)
        if not self._is_writing:
            self._hand_over()
        result = (await batch)[place]
        if isinstance(result, Exception):
            raise LogUnavailable("This scan could not be stored. Try again in a moment.") from result
        return result

    async def close(self) -> None:
        """Write what is waiting, then stop the thread."""
        while self._is_writing:
            await asyncio.sleep(0.005)
        self._handed.put(None)
        await asyncio.to_thread(self._thread.join)
        self._writer.close()

    def _new_batch(self) -> _Batch:
        batch = _Batch(loop=self._loop)
        batch.entries = []
        return batch

    def _hand_over(self) -> None:
        batch, self._growing = self._growing, self._new_batch()
        self._is_writing = True
        self._handed.put(batch)

    def _written(self, batch: _Batch, results: Sequence[Result | Exception]) -> None:
        self._is_writing = False
        if self._growing.entries:
            self._hand_over()
        batch.set_result(results)

    def _write_batches(self) -> None:
        while (batch := self._handed.get()) is not None:
            self._loop.call_soon_threadsafe(self._written, batch, self._write(batch.entries))

    def _write(self, entries: Sequence[Entry]) -> Sequence[Result | Exception]:
        try:
            return self._writer.write(entries)
        except (sqlite3.OperationalError, psycopg.OperationalError, TimeoutError) as error:
            return [error] * len(entries)
        except Exception as error:
            if len(entries) == 1:
                return [error]
            # One entry that cannot be stored must not cost the others theirs.
            return [self._write([entry])[0] for entry in entries]
