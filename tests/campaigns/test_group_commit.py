"""Group commit: what happens between the requests and the writer's thread."""

import asyncio
import sqlite3
import threading
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import pytest
from sqlmodel import select

from campaigns.errors import Conflict
from campaigns.scans.group_commit import GroupCommit, LogUnavailable
from campaigns.scans.log import Confirmation, Entry, Result, ScanRow
from campaigns.scans.models import Scan
from campaigns.scans.writers import open_writer
from campaigns.storage import Database
from tests.factories import NOON, make_scan

Told = TypeVar("Told")


def scan() -> ScanRow:
    return make_scan(None)


class GatedWriter:
    """A writer that waits for leave before each batch, and may be told to fail."""

    def __init__(self) -> None:
        self.leave = threading.Semaphore(0)
        self.batches: list[list[Entry]] = []
        self.failure: Exception | None = None
        self.closed = False

    def write(self, batch: Sequence[Entry]) -> list[Result]:
        self.leave.acquire(timeout=10)
        if self.failure is not None:
            raise self.failure
        self.batches.append(list(batch))
        return [True] * len(batch)

    def close(self) -> None:
        self.closed = True


def in_time(story: Coroutine[Any, Any, Told]) -> Told:
    """Run a story; a waiter that nobody wakes is a failure, not a test that hangs."""
    return asyncio.run(asyncio.wait_for(story, 20))


async def first_in_hand(log: GroupCommit) -> "asyncio.Task[Result]":
    """A first request, whose batch of one is with the writer; what comes now waits for the next."""
    task = asyncio.create_task(log.append(scan()))
    await asyncio.sleep(0.02)
    return task


async def waiting(log: GroupCommit, number: int) -> "list[asyncio.Task[Result]]":
    tasks = [asyncio.create_task(log.append(scan())) for _ in range(number)]
    await asyncio.sleep(0.02)
    assert not any(task.done() for task in tasks)
    return tasks


def test_what_arrives_while_a_batch_is_written_is_the_next_batch() -> None:
    async def story() -> None:
        writer = GatedWriter()
        log = GroupCommit(writer, 100)
        tasks = [await first_in_hand(log), *await waiting(log, 29)]
        writer.leave.release(2)
        assert await asyncio.gather(*tasks) == [True] * 30
        assert [len(batch) for batch in writer.batches] == [1, 29]
        await log.close()
        assert writer.closed

    in_time(story())


def test_beyond_its_limit_the_queue_refuses_and_loses_nobody() -> None:
    async def story() -> None:
        writer = GatedWriter()
        log = GroupCommit(writer, 10)
        tasks = [await first_in_hand(log), *await waiting(log, 10)]
        with pytest.raises(LogUnavailable) as refusal:
            await log.append(scan())
        assert refusal.value.context["retry_after_s"] > 0
        writer.leave.release(100)
        assert await asyncio.gather(*tasks) == [True] * 11
        assert await log.append(scan()) is True
        await log.close()

    in_time(story())


def test_a_request_that_leaves_does_not_take_the_others_with_it() -> None:
    async def story() -> None:
        writer = GatedWriter()
        log = GroupCommit(writer, 100)
        tasks = [await first_in_hand(log), *await waiting(log, 4)]
        tasks[0].cancel()
        tasks[2].cancel()
        await asyncio.sleep(0)
        writer.leave.release(2)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(one, asyncio.CancelledError) for one in results] == [True, False, True, False, False]
        assert [one for one in results if not isinstance(one, asyncio.CancelledError)] == [True] * 3
        assert sum(len(batch) for batch in writer.batches) == 5
        await log.close()

    in_time(story())


def test_a_database_that_does_not_answer_makes_the_log_unavailable_until_it_does() -> None:
    async def story() -> None:
        writer = GatedWriter()
        writer.leave.release(100)
        writer.failure = sqlite3.OperationalError("disk I/O error")
        log = GroupCommit(writer, 100)
        results = await asyncio.gather(*(log.append(scan()) for _ in range(5)), return_exceptions=True)
        assert [type(one) for one in results] == [LogUnavailable] * 5
        writer.failure = None
        assert await log.append(scan()) is True
        await log.close()

    in_time(story())


def test_closing_writes_what_is_waiting() -> None:
    async def story() -> None:
        writer = GatedWriter()
        log = GroupCommit(writer, 100)
        tasks = [await first_in_hand(log), *await waiting(log, 7)]
        closing = asyncio.create_task(log.close())
        await asyncio.sleep(0.02)
        assert not closing.done()
        writer.leave.release(100)
        await closing
        assert await asyncio.gather(*tasks) == [True] * 8

    in_time(story())


def test_what_comes_after_closing_is_refused_and_not_kept_waiting() -> None:
    async def story() -> None:
        writer = GatedWriter()
        log = GroupCommit(writer, 10)
        tasks = [await first_in_hand(log), *await waiting(log, 10)]  # a full queue
        closing = asyncio.create_task(log.close())
        await asyncio.sleep(0)
        with pytest.raises(LogUnavailable):
            await log.append(scan())
        writer.leave.release(100)
        await closing
        assert await asyncio.gather(*tasks) == [True] * 11
        with pytest.raises(LogUnavailable):
            await log.append(scan())
        assert sum(len(batch) for batch in writer.batches) == 11

    in_time(story())


@pytest.mark.parametrize("failure", [Conflict("busy", code="busy"), OSError(28, "No space left on device")])
def test_a_failure_of_the_whole_batch_is_not_tried_entry_by_entry(failure: Exception) -> None:
    """Each would wait as long for the lock as all of them did together."""

    async def story() -> None:
        writer = GatedWriter()
        writer.failure = failure
        log = GroupCommit(writer, 100)
        writer.leave.release(1)  # for one try: a second would wait 10 s for leave
        results = await asyncio.gather(*(log.append(scan()) for _ in range(5)), return_exceptions=True)
        assert [type(one) for one in results] == [LogUnavailable] * 5
        await log.close()

    asyncio.run(asyncio.wait_for(story(), 5))


def test_one_entry_that_cannot_be_stored_costs_the_others_nothing(database: Database) -> None:
    good = [scan() for _ in range(6)]
    bad = Confirmation(good[0].id, None, 1, NOON)  # type: ignore[arg-type]  # no token: the database refuses it

    async def story() -> "list[Result | BaseException]":
        log = GroupCommit(open_writer(database, 1, lambda: NOON), 100)
        first = asyncio.create_task(log.append(good[0]))
        await asyncio.sleep(0)
        entries: list[Entry] = [*good[1:3], bad, *good[3:], good[1]]  # and one of them twice
        results = await asyncio.gather(first, *map(log.append, entries), return_exceptions=True)
        await log.close()
        return results

    results = in_time(story())
    assert [isinstance(one, LogUnavailable) for one in results] == [
        False,
        False,
        False,
        True,
        False,
        False,
        False,
        True,
    ]
    with database.snapshot() as session:
        assert {one.hex for one in session.exec(select(Scan.id))} == {one.id for one in good}


def test_a_scan_that_was_answered_can_be_read(database: Database) -> None:
    rows = [scan() for _ in range(40)]

    async def story() -> None:
        log = GroupCommit(open_writer(database, 1, lambda: NOON), 100)

        async def ask(row: ScanRow) -> bool:
            await log.append(row)
            with database.snapshot() as session:
                return any(one.hex == row.id for one in session.exec(select(Scan.id)))

        assert await asyncio.gather(*map(ask, rows)) == [True] * 40
        await log.close()

    in_time(story())
