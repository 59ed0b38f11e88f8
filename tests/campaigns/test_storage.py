"""Transactions, the write lock and the statements that settle races, on both databases."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from sqlmodel import Session, func, select

from campaigns import write_lock
from campaigns.announcements import announce
from campaigns.errors import Conflict
from campaigns.ids import uuid7
from campaigns.scans.models import ReceiptTries, ScanCounter, ScanWriter
from campaigns.scans.service import take_writer_number
from campaigns.storage import Database, add_up, changed, insert_once, sole_process, upsert
from campaigns.write_lock import WriteLock
from tests.conftest import wait_until
from tests.factories import NOON
from tests.racing import race


def queue_up(lock: WriteLock, order: list[str], name: str, *, urgent: bool = False) -> threading.Thread:
    """A thread that waits for the lock, writes its name and lets go; returns once it is in the queue."""
    before = len(lock._waiting) + len(lock._urgent)

    def wait() -> None:
        lock.acquire(urgent=urgent)
        order.append(name)
        lock.release()

    thread = threading.Thread(target=wait)
    thread.start()
    wait_until(lambda: len(lock._waiting) + len(lock._urgent) == before + 1)
    return thread


def test_the_write_lock_serves_first_come_first_but_urgent_waiters_next() -> None:
    lock, order = WriteLock(), list[str]()
    lock.acquire()
    threads = [queue_up(lock, order, name) for name in ("first", "second", "third")]
    threads += [queue_up(lock, order, name, urgent=True) for name in ("log", "log again")]
    lock.release()
    for thread in threads:
        thread.join(timeout=5)
    assert order == ["log", "log again", "first", "second", "third"]


def test_two_threads_never_hold_the_write_lock_together() -> None:
    lock, inside, most = WriteLock(), [0], [0]

    def hold(index: int) -> None:
        for _ in range(200):
            lock.acquire(urgent=index == 0)
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0)
            inside[0] -= 1
            lock.release()

    assert race(8, hold) == [None] * 8
    assert most == [1]


def test_whoever_waits_too_long_for_the_write_lock_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_lock, "LOCK_PATIENCE_S", 0.05)
    lock = WriteLock()
    lock.acquire()
    with pytest.raises(Conflict, match="busy"):
        lock.acquire()
    lock.release()
    lock.acquire(urgent=True)  # the one who gave up left no place in the queue
    with pytest.raises(Conflict):
        lock.acquire()


def test_one_process_writes_a_sqlite_file(tmp_path: Path) -> None:
    path = tmp_path / "passerelle.db"
    script = (
        "import sys; from pathlib import Path; from campaigns.storage import sole_process; from campaigns.errors "
        "import Conflict\n"
        "try:\n    with sole_process(Path(sys.argv[1])): print('mine')\nexcept Conflict as error: print(error.detail)"
    )

    def other_process() -> str:
        done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=60)
        return done.stdout

    with sole_process(path):
        assert "Another Passerelle process is writing passerelle.db" in other_process()
    assert other_process() == "mine\n"


def writers(database: Database) -> int:
    with database.snapshot() as session:
        return session.exec(select(func.count()).select_from(ScanWriter)).one()


def test_a_transaction_that_fails_leaves_nothing_and_tells_nobody(database: Database) -> None:
    heard: list[tuple[str, UUID]] = []
    database.listen(lambda kind, id: heard.append((kind, id)))

    def act(fail: bool) -> None:
        with database.transaction() as session:
            insert_once(session, ScanWriter, number=1, started_at=NOON)
            announce(session, "campaign", UUID(int=7))
            if fail:
                raise RuntimeError("no luck")

    with pytest.raises(RuntimeError):
        act(True)
    assert (writers(database), heard) == (0, [])
    act(False)
    assert (writers(database), heard) == (1, [("campaign", UUID(int=7))])


def test_a_listener_hears_of_a_change_when_others_can_read_it(database: Database) -> None:
    seen: list[int] = []
    database.listen(lambda kind, id: seen.append(writers(database)))
    with database.transaction() as session:
        insert_once(session, ScanWriter, number=1, started_at=NOON)
        announce(session, "campaign", UUID(int=7))
        session.flush()
        assert seen == []
    assert seen == [1]


def test_a_snapshot_waits_for_no_writer_and_sees_nothing_uncommitted(database: Database) -> None:
    with database.transaction() as session:
        insert_once(session, ScanWriter, number=1, started_at=NOON)
        assert writers(database) == 0  # would wait for ever if a snapshot took the write lock
    assert writers(database) == 1


def test_insert_once_says_whether_the_row_went_in(database: Database) -> None:
    with database.transaction() as session:
        assert insert_once(session, ScanWriter, number=1, started_at=NOON) is True
        assert insert_once(session, ScanWriter, number=1, started_at=NOON) is False


def test_a_conditional_upsert_says_how_many_rows_it_changed(database: Database) -> None:
    with database.transaction() as session:
        statement = upsert(session, ReceiptTries).values(scan_id=UUID(int=1), tries=1)
        statement = statement.on_conflict_do_update(
            index_elements=["scan_id"],
            set_={"tries": ReceiptTries.tries + 1},
            where=ReceiptTries.tries < 2,
        )
        assert [changed(session, statement) for _ in range(4)] == [1, 1, 0, 0]


def committed(database: Database, act: Callable[[Session], bool]) -> bool:
    with database.transaction() as session:
        return act(session)


def test_of_racing_inserts_one_goes_in(database: Database) -> None:
    for number in range(1, 6):
        outcomes = race(
            8,
            lambda _, number=number: committed(  # type: ignore[misc]  # the default binds the loop's number
                database, lambda session: insert_once(session, ScanWriter, number=number, started_at=NOON)
            ),
        )
        assert sorted(outcomes, key=str) == [False] * 7 + [True]


def test_racing_sums_lose_nothing(database: Database) -> None:
    key = {"token_id": UUID(int=1), "hour": 1, "phase": "live", "verdict": "valid", "writer": 1}

    def add(index: int) -> None:
        for _ in range(10):
            with database.transaction() as session:
                add_up(session, ScanCounter, key, scans=index, confirmed=1)

    assert race(8, add) == [None] * 8
    with database.snapshot() as session:
        (row,) = session.exec(select(ScanCounter)).all()
    assert (row.scans, row.confirmed) == (10 * sum(range(8)), 80)


def test_racing_processes_take_numbers_of_their_own(database: Database) -> None:
    def take(_: int) -> int:
        with database.transaction() as session:
            return take_writer_number(session, now=NOON)

    assert sorted(race(8, take), key=str) == list(range(1, 9))


def test_ids_made_for_an_instant_sort_by_it() -> None:
    ids = [uuid7(ms) for ms in (0, 1, 1_790_000_000_000, 1_790_000_000_001)]
    assert ids == sorted(ids)
    assert {(id.version, id.variant) for id in ids} == {(7, "specified in RFC 4122")}
