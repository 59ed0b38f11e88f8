"""What a transaction writes last, on both databases."""

from threading import Thread
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event
from sqlmodel import Session, col, select

from campaigns import missions
from campaigns.events import Event, record_event
from campaigns.last_writes import add_up_last, savepoint
from campaigns.missions.models import MissionCounter
from campaigns.storage import Database
from tests.factories import NOON
from tests.racing import PATIENCE_S, race
from tests.scene import set_scene


def names(database: Database) -> list[str]:
    with database.snapshot() as session:
        return sorted(session.exec(select(Event.name)).all())


def count(session: Session, mission_id: UUID, metric: str, number: int, writer: int = 0) -> None:
    key = {"mission_id": mission_id, "phase": "live", "metric": metric, "writer": writer}
    add_up_last(session, MissionCounter, key, total=number)


def totals(database: Database, mission_id: UUID) -> dict[str, int]:
    with database.snapshot() as session:
        return missions.counters(session, mission_id)


def test_they_take_a_statement_a_table_and_go_with_the_commit(database: Database) -> None:
    scene = set_scene(database)
    written: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        written.append(statement.split(" (")[0])

    event.listen(database.engine, "before_cursor_execute", note)
    with database.transaction() as session:
        for number in range(3):
            record_event(session, "idea.posted", now=NOON, number=number)
            count(session, scene.mission.id, "ideas", 1)
            count(session, scene.mission.id, "votes", 2 - number)
            count(session, scene.mission.id, "flags", number - 1)
    event.remove(database.engine, "before_cursor_execute", note)
    assert [one for one in written if one.startswith("INSERT")] == [
        "INSERT INTO events",
        "INSERT INTO mission_counters",
    ]
    assert totals(database, scene.mission.id) == {"ideas": 3, "votes": 3}  # of `flags` the sum is nothing


def test_nothing_is_written_of_a_transaction_that_fails(database: Database) -> None:
    scene = set_scene(database)
    before = names(database)

    def fail() -> None:
        with database.transaction() as session:
            record_event(session, "idea.posted", now=NOON)
            count(session, scene.mission.id, "ideas", 1)
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        fail()
    assert (names(database), totals(database, scene.mission.id)) == (before, {})


def test_a_savepoint_that_fails_takes_its_own_along_and_nothing_else(database: Database) -> None:
    scene = set_scene(database)
    before = names(database)

    def fail(session: Session) -> None:
        with savepoint(session):
            record_event(session, "inside.lost", now=NOON)
            count(session, scene.mission.id, "ideas", 10)
            raise ArithmeticError

    with database.transaction() as session:
        record_event(session, "before.kept", now=NOON)
        count(session, scene.mission.id, "ideas", 1)
        with pytest.raises(ArithmeticError):
            fail(session)
        with savepoint(session):
            record_event(session, "inside.kept", now=NOON)
        record_event(session, "after.kept", now=NOON)
        count(session, scene.mission.id, "ideas", 1)
    assert names(database) == sorted([*before, "after.kept", "before.kept", "inside.kept"])
    assert totals(database, scene.mission.id) == {"ideas": 2}


def test_a_total_is_the_sum_over_writers_and_a_new_process_folds_what_was(database: Database) -> None:
    scene = set_scene(database)
    for writer in (3, 4):
        database.writer = writer
        scene.check_in(scene.scan())
    before = scene.counters()
    assert before["participants"] == 2
    with database.transaction() as session:
        missions.fold_counters(session)
    with database.snapshot() as session:
        rows = session.exec(select(MissionCounter.writer).where(col(MissionCounter.metric) == "participants")).all()
    assert (rows, scene.counters(), scene.problems()) == ([0], before, [])


def test_folding_beside_acts_loses_none(database: Database) -> None:
    scene = set_scene(database)
    database.writer = 7

    def act(number: int) -> None:
        if number % 4 == 0:
            with database.transaction() as session:
                missions.fold_counters(session)
        else:
            with database.transaction() as session:
                count(session, scene.mission.id, "flags", 1, writer=7)

    assert race(16, act) == [None] * 16
    assert totals(database, scene.mission.id) == {"flags": 12}


def test_folding_waits_for_an_act_and_never_in_a_ring_with_it(database: Database) -> None:
    """It holds counters in the order of acts, in whatever order they came to stand in the table."""
    scene = set_scene(database)
    for metric in ("votes", "flags"):
        with database.transaction() as session:
            count(session, scene.mission.id, metric, 1, writer=7)

    def fold() -> None:
        with database.transaction() as session:
            missions.fold_counters(session)

    folding = Thread(target=fold, daemon=True)
    with database.transaction() as session:
        with savepoint(session):
            count(session, scene.mission.id, "flags", 1, writer=7)
        folding.start()
        folding.join(timeout=0.5)
        count(session, scene.mission.id, "votes", 1, writer=7)
    folding.join(timeout=PATIENCE_S)
    assert totals(database, scene.mission.id) == {"flags": 2, "votes": 2}
    with database.snapshot() as session:
        assert set(session.exec(select(MissionCounter.writer))) == {0}
