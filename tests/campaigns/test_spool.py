"""The spool: what it takes it keeps in order, and it enters the log once."""

import os
import stat
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from sqlmodel import select

from campaigns import ids
from campaigns.scans.log import BestFix, Confirmation, Entry, PositionFix, Result, ScanRow, Spent, TappedScan
from campaigns.scans.models import Scan, ScanConfirmation, ScanCounter, ScanPosition
from campaigns.scans.postgres_log import PostgresWriter
from campaigns.scans.recount import recount
from campaigns.scans.spool import Spool, SpoolingWriter, SpoolPlace
from campaigns.storage import Database
from tests.conftest import wait_until
from tests.factories import NOON, make_scan
from tests.scene import set_scene, signed, stored, with_tag

TOKEN = UUID(int=7).hex


def scan(number: int) -> ScanRow:
    id = f"{ids.uuid7_int(ids.milliseconds(NOON) + number):032x}"
    return make_scan(None)._replace(id=id, token_id=TOKEN, code='a"b\\é', verdict="valid", visitor_key=number)


def fix(row: ScanRow) -> PositionFix:
    return PositionFix(Confirmation(row.id, TOKEN, row.visitor_key, NOON), "inside", None, 12, b"\x00\xff")


class Fragile(PostgresWriter):
    """A writer whose database can be taken away, before a batch or right after its commit."""

    is_away = False
    loses_answers = 0

    def write(self, batch: Sequence[Entry]) -> list[Result]:
        if self.is_away:
            raise psycopg.OperationalError("away")
        return super().write(batch)

    def store_once(self, batch: Sequence[Entry]) -> None:
        super().store_once(batch)
        if self.loses_answers:
            self.loses_answers -= 1
            raise psycopg.OperationalError("the answer was lost")

    def reconnect(self) -> None:
        if self.is_away:
            raise psycopg.OperationalError("away")
        super().reconnect()


@pytest.fixture
def place(tmp_path: Path) -> SpoolPlace:
    return SpoolPlace(tmp_path / "spool", "mark")


@pytest.fixture
def fragile(postgres_database: Database) -> Iterator[Fragile]:
    writer = Fragile(postgres_database.dsn, 5, lambda: NOON)
    yield writer
    writer.close()


def logged(database: Database) -> set[str]:
    with database.snapshot() as session:
        return {id.hex for id in session.exec(select(Scan.id))}


def test_a_spool_gives_back_what_it_took_in_order(place: SpoolPlace) -> None:
    row = scan(1)
    signed = TappedScan(scan(3), 7, "04DE5F1EACC040")
    others: list[Entry] = [replace(fix(row), distance_m=50), scan(2), signed, TappedScan(scan(4), 8, None)]
    entries: list[Entry] = [row, fix(row).confirmation, fix(row), *others]
    spool = Spool.open(place.file_of(1))
    assert spool is not None
    assert stat.S_IMODE(os.stat(spool.path).st_mode) == 0o600
    spool.append(entries[:2])
    spool.append(entries[2:])
    assert [entry for _, entry in spool.first(10)] == entries
    spool.drop(spool.first(2)[-1][0])
    assert [entry for _, entry in spool.first(10)] == entries[2:]
    assert Spool.open(place.file_of(1)) is None, "a living process holds it"
    spool.close()
    again = Spool.open(place.file_of(1), only_existing=True)
    assert again is not None
    again.drop(1000)
    again.close()
    assert place.files() == []
    assert Spool.open(place.file_of(1), only_existing=True) is None


def test_what_comes_while_the_database_is_away_enters_the_log_once(
    postgres_database: Database, place: SpoolPlace, fragile: Fragile
) -> None:
    writer = SpoolingWriter(postgres_database, fragile, 5, lambda: NOON, place)
    rows = [scan(number) for number in range(700)]
    writer.write(rows[:10])
    fragile.is_away = True
    assert writer.write(rows[10:300]) == [None] * 290
    wait_until(lambda: postgres_database.is_away)
    confirmation = fix(rows[0]).confirmation
    assert writer.write([confirmation, fix(rows[1])]) == [True, BestFix("inside", None, 12)]
    writer.write(rows[290:])  # ten of them again
    assert logged(postgres_database) == {row.id for row in rows[:10]}
    fragile.loses_answers = 2  # stored, but the spool does not hear of it
    fragile.is_away = False
    wait_until(lambda: not writer._is_away)
    assert logged(postgres_database) == {row.id for row in rows}
    wait_until(lambda: not postgres_database.is_away)
    writer.write([scan(900)])
    with postgres_database.snapshot() as session:
        assert sum(session.exec(select(ScanCounter.scans))) == 701
        assert len(session.exec(select(ScanConfirmation)).all()) == 2
        assert len(session.exec(select(ScanPosition)).all()) == 1
        assert recount(session) == []
    writer.close()
    assert place.files() == []


def test_a_tap_that_waited_spends_its_counter_when_it_enters_the_log(
    postgres_database: Database, place: SpoolPlace, fragile: Fragile
) -> None:
    scene = with_tag(set_scene(postgres_database))
    writer = SpoolingWriter(postgres_database, fragile, 5, lambda: NOON, place)
    fragile.is_away = True
    first, second = (signed(scene, 7, visitor_key=key) for key in (1, 2))
    assert writer.write([first, second]) == [Spent(first.row.id, 2), Spent(second.row.id, 2)]  # for all anyone knows
    fragile.loses_answers = 1
    fragile.is_away = False
    wait_until(lambda: not writer._is_away)
    assert scene.check_in(first.row, presence=2).check_in.presence == 2
    assert scene.check_in(second.row, presence=2).check_in.presence == 0
    assert [stored(scene, one.row)[1] for one in (first, second)] == ["", "replayed_counter"]
    writer.close()


class Slow(Fragile):
    """The same, whose drain waits for leave."""

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn, 5, lambda: NOON)
        self.draining, self.leave = threading.Event(), threading.Event()

    def store_once(self, batch: Sequence[Entry]) -> None:
        self.draining.set()
        assert self.leave.wait(timeout=20)
        super().store_once(batch)


def test_what_comes_during_a_drain_goes_behind_it(postgres_database: Database, place: SpoolPlace) -> None:
    """Else a confirmation overtakes its scan, and two threads share one connection's transactions."""
    first, second = scan(1), scan(2)
    inner = Slow(postgres_database.dsn)
    writer = SpoolingWriter(postgres_database, inner, 5, lambda: NOON, place)
    inner.is_away = True
    writer.write([first])
    inner.is_away = False
    assert inner.draining.wait(timeout=20)
    writer.write([fix(first).confirmation, second])
    assert logged(postgres_database) == set()
    inner.leave.set()
    wait_until(lambda: logged(postgres_database) == {first.id, second.id})
    with postgres_database.snapshot() as session:
        assert recount(session) == []
    writer.close()
    assert place.files() == []


def test_the_file_of_a_dead_process_is_adopted_and_that_of_a_living_one_is_not(
    postgres_database: Database, place: SpoolPlace, fragile: Fragile
) -> None:
    dead, living, foreign = place.file_of(1), place.file_of(2), SpoolPlace(place.folder, "other").file_of(3)
    spools = {}
    for number, path in enumerate((dead, living, foreign)):
        spool = Spool.open(path)
        assert spool is not None
        spool.append([scan(number)])
        spools[path] = spool
    spools[dead].close()
    spools[foreign].close()
    writer = SpoolingWriter(postgres_database, fragile, 5, lambda: NOON, place)
    wait_until(lambda: not dead.exists())
    assert len(logged(postgres_database)) == 1
    assert living.exists()
    assert foreign.exists(), "it belongs to another database"
    writer.close()
    spools[living].close()


def test_an_entry_the_log_refuses_holds_up_no_other(
    postgres_database: Database, place: SpoolPlace, fragile: Fragile
) -> None:
    writer = SpoolingWriter(postgres_database, fragile, 5, lambda: NOON, place)
    fragile.is_away = True
    writer.write([scan(1), scan(2)._replace(code="a\x00b"), scan(3)])
    fragile.is_away = False
    wait_until(lambda: not writer._is_away)
    assert len(logged(postgres_database)) == 2
    writer.close()
    assert place.files() != [], "what was refused is kept for the operator"


def test_a_confirmation_that_came_before_its_scan_is_judged_when_the_scan_comes(
    postgres_database: Database, fragile: Fragile
) -> None:
    row = scan(1)
    fragile.write([fix(row).confirmation])
    with psycopg.connect(postgres_database.dsn, autocommit=True) as connection:
        connection.execute("DELETE FROM events")
        fragile.store_once([row])
        found = connection.execute("SELECT name, payload FROM events ORDER BY name").fetchall()
    assert [name for name, _ in found] == ["scans.confirmed", "scans.recorded"]
    assert row.id in found[0][1]
