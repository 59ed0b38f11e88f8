"""Visitor keys: one salt a UTC day, whoever asks first, destroyed afterwards."""

import threading
from pathlib import Path

from campaigns.scans.visitor import VisitorKeys, salt_of_day
from campaigns.storage import Database


def test_a_visitor_has_one_key_a_day_and_another_the_next() -> None:
    keys = VisitorKeys(lambda day: day.to_bytes(32, "big"))
    keys.prepare(20_000)
    first = keys.key("192.0.2.7", "a phone")
    assert keys.key("192.0.2.7", "a phone") == first
    assert keys.key("192.0.2.8", "a phone") != first
    assert 0 <= first < 2**63
    keys.prepare(20_001)
    assert keys.key("192.0.2.7", "a phone") != first


def test_a_straggler_at_midnight_does_not_bring_the_old_day_back() -> None:
    asked: list[int] = []

    def load_salt(day: int) -> bytes:
        asked.append(day)
        return day.to_bytes(32, "big")

    keys = VisitorKeys(load_salt)
    keys.prepare(20_001)
    keys.prepare(20_000)
    assert asked == [20_001]


def test_phones_that_come_together_at_the_start_of_a_day_get_one_salt(database: Database) -> None:
    keys = VisitorKeys(lambda day: salt_of_day(database, day))
    barrier = threading.Barrier(8)
    seen: list[int] = []

    def scan() -> None:
        barrier.wait()
        keys.prepare(20_000)
        seen.append(keys.key("192.0.2.7", "a phone"))

    threads = [threading.Thread(target=scan) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(seen)) == 1


def test_every_process_of_a_database_has_the_same_salt_and_yesterdays_is_gone(database: Database) -> None:
    first = salt_of_day(database, 20_000)
    assert salt_of_day(database, 20_000) == first
    second = salt_of_day(database, 20_001)
    assert second != first
    if database.path is not None:
        kept = database.path.with_name(database.path.name + ".salt")
        assert kept.stat().st_mode & 0o777 == 0o600
        assert first.hex() not in kept.read_text()


def test_a_broken_salt_file_is_a_new_salt(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/passerelle.db")
    (tmp_path / "passerelle.db.salt").write_text("{not json")
    assert len(salt_of_day(database, 20_000)) == 32
    database.close()
