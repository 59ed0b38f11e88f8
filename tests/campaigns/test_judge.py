"""The judge and the worker that drives it, on both databases."""

import random
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import pytest
from sqlmodel import Session, col, select

from campaigns import scans, worker
from campaigns.events import Event, record_event
from campaigns.reactions import REACTIONS
from campaigns.scans.models import ScanJudgement, ScanPosition
from campaigns.storage import Database
from tests.factories import NOON, write
from tests.scene import FAR, INSIDE, VAGUE, another_token, confirmation, minutes, set_scene


def test_a_confirmed_scan_is_verified_once(database: Database) -> None:
    scene = set_scene(database)
    row = scene.scan()
    assert scene.figures().verified == 0
    assert scene.confirm(row)
    assert not scene.confirm(row)
    assert scene.problems() == []
    scene.drain()
    with database.transaction() as session:
        assert scans.judge(session, [UUID(row.id)], now=NOON) == 0
    assert (scene.figures().raw, scene.figures().verified) == (1, 1)
    assert scene.problems() == []


def test_sixty_reloads_of_one_phone_are_one_verified_scan(database: Database) -> None:
    scene = set_scene(database)
    rows = []
    for number in range(60):
        rows.append(scene.scan(at=minutes(number * 0.9)))
    write(database, *(confirmation(row, NOON) for row in rows))
    scene.drain()
    figures = scene.figures()
    assert (figures.raw, figures.verified, figures.by_verdict["duplicate"]) == (60, 1, 59)
    assert figures.inflation == 60
    assert scene.problems() == []


def test_sixty_phones_behind_one_wifi_that_check_in_are_sixty_verified_scans(database: Database) -> None:
    scene = set_scene(database)
    rows = [scene.scan_and_confirm(at=minutes(number * 0.5)) for number in range(60)]
    scene.drain()
    assert scene.figures().verified == 1
    for number, row in enumerate(rows):
        scene.check_in(row, now=minutes(number * 0.5 + 1), position=INSIDE)
    assert scene.problems() == []
    scene.drain(now=minutes(32))
    assert (scene.figures().verified, scene.counters()["check_ins"]) == (60, 60)
    assert scene.problems() == []


def test_a_duplicate_moves_the_counters_and_a_check_in_of_another_person_lifts_it(database: Database) -> None:
    scene = set_scene(database)
    scene.scan_and_confirm()
    second = scene.scan_and_confirm(at=minutes(5))
    scene.drain()
    assert scene.problems() == []
    assert scene.verdict(second) == "duplicate"
    scene.check_in(second, now=minutes(6), position=INSIDE)
    assert scene.problems() == []
    scene.drain(now=minutes(7))
    assert scene.verdict(second) == "valid"
    assert scene.problems() == []


def test_a_second_scan_of_the_same_person_stays_a_duplicate(database: Database) -> None:
    scene = set_scene(database)
    first, second = scene.scan(), scene.scan(at=minutes(5))
    cookie = scene.check_in(first, position=INSIDE).secret
    scene.check_in(second, now=minutes(6), cookie=cookie, position=INSIDE)
    scene.drain(now=minutes(7))
    assert (scene.verdict(first), scene.verdict(second)) == ("valid", "duplicate")
    assert scene.problems() == []


def test_a_far_position_holds_the_scan(database: Database) -> None:
    scene = set_scene(database)
    row = scene.scan()
    scene.locate(row, FAR)
    scene.drain()
    assert scene.verdict(row) == "held"
    assert scene.figures().verified == 0
    assert scene.problems() == []


def test_a_better_position_frees_a_held_scan(database: Database) -> None:
    scene = set_scene(database)
    row = scene.scan()
    scene.locate(row, FAR)
    scene.drain()
    best = scene.locate(row, INSIDE, at=minutes(1))
    assert best is not None
    assert best.geofence == "inside"
    scene.drain(now=minutes(2))
    assert scene.verdict(row) == "valid"
    assert scene.problems() == []


def test_a_vague_position_alone_holds_nothing(database: Database) -> None:
    scene = set_scene(database)
    row = scene.scan()
    scene.locate(row, VAGUE)
    scene.drain()
    assert scene.verdict(row) == "valid"
    assert scene.figures().verified == 1


def test_a_bot_that_confirms_stays_a_bot(database: Database) -> None:
    scene = set_scene(database)
    row = scene.scan(agent="Googlebot/2.1 (+http://www.google.com/bot.html)")
    scene.confirm(row)
    scene.drain()
    assert (scene.figures().human, scene.figures().verified, scene.figures().by_verdict["bot"]) == (0, 0, 1)
    assert scene.problems() == []


def test_judging_again_changes_nothing(database: Database) -> None:
    scene = set_scene(database)
    rows = [scene.scan_and_confirm(at=minutes(number * 20)) for number in range(6)]
    scene.drain()
    before = dict(scene.figures().by_verdict), scene.figures().verified
    with database.transaction() as session:
        assert scans.judge(session, [UUID(row.id) for row in rows], now=minutes(130)) == 0
    assert (dict(scene.figures().by_verdict), scene.figures().verified) == before
    assert scene.problems() == []


@pytest.mark.parametrize("seed", range(4))
def test_the_verdicts_do_not_depend_on_the_order_in_which_confirmations_arrive(database: Database, seed: int) -> None:
    """Scans 40 minutes apart: whether one counts depends on all those before it, back to a quiet hour."""
    scene = set_scene(database)
    rows = [scene.scan(at=minutes(number * 40)) for number in range(9)]
    order = list(range(9))
    random.Random(seed).shuffle(order)
    for place, index in enumerate(order):
        scene.confirm(rows[index], at=minutes(400))
        if place % 3 == 0:
            scene.drain(now=minutes(400))
            assert scene.problems() == []
    scene.drain(now=minutes(400))
    assert [scene.verdict(row) for row in rows] == ["valid", "duplicate"] * 4 + ["valid"]
    assert scene.problems() == []


def test_two_verdicts_of_one_millisecond_leave_the_later_one_standing(database: Database) -> None:
    for _ in range(6):  # by chance the ids of one millisecond would be in order half of the time
        scene = set_scene(database)
        first, second, third = (scene.scan(at=minutes(number * 40)) for number in range(3))
        for row in (third, second, first):  # each moves the ones after it: the third is judged three times
            scene.confirm(row, at=minutes(90))
            with database.transaction() as session:
                scans.judge(session, [UUID(row.id)], now=minutes(90))
        assert [scene.verdict(row) for row in (first, second, third)] == ["valid", "duplicate", "valid"]
        assert scene.problems() == []
        with database.snapshot() as session:
            rows = session.exec(select(ScanJudgement).where(ScanJudgement.scan_id == UUID(third.id))).all()
        assert len(rows) == 2


def test_two_codes_are_two_visits(database: Database) -> None:
    scene = set_scene(database)
    other = another_token(scene)
    rows = [scene.scan_and_confirm(), scene.scan_and_confirm(entry=other, at=minutes(1))]
    scene.drain()
    assert [scene.verdict(row) for row in rows] == ["valid", "valid"]


def test_a_confirmation_whose_scan_is_missing_is_reported_and_stops_nobody(database: Database) -> None:
    scene = set_scene(database)
    lost = scene.scan()._replace(id=f"{UUID(scene.scan().id).int + 1:032x}")
    row = scene.scan(at=minutes(90))
    write(database, confirmation(lost, NOON), confirmation(row, NOON))
    scene.drain()
    assert scene.verdict(row) == "valid"
    assert [problem for problem in scene.problems() if "not in the log" in problem] != []


# The worker ----------------------------------------------------------------------------------------------------


def failing(session: Session, events: Sequence[Event], now: object) -> None:
    session.add(
        ScanJudgement(
            scan_id=events[0].id,
            rules_version=0,
            verdict="x",
            score=0,
            reasons="",
            decided_at=NOON,
            decided_by="a reaction that fails after it wrote",
        )
    )
    session.flush()
    raise RuntimeError("no luck")


def test_every_event_is_delivered_once(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[UUID] = []
    monkeypatch.setitem(
        REACTIONS, "test.happened", lambda session, events, now: heard.extend(event.id for event in events)
    )
    with database.transaction() as session:
        for _ in range(250):
            record_event(session, "test.happened", now=NOON)
        record_event(session, "nobody.listens", now=NOON)
    while worker.drain(database, now=NOON):
        pass
    assert len(heard) == len(set(heard)) == 250
    with database.snapshot() as session:
        assert session.exec(select(Event)).all() == []


def test_an_event_of_a_transaction_that_failed_was_never_there(database: Database) -> None:
    def fail() -> None:
        with database.transaction() as session:
            record_event(session, "scans.confirmed", now=NOON, scan_ids=[])
            session.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with database.snapshot() as session:
        assert session.exec(select(Event)).all() == []


def test_a_failing_reaction_is_tried_again_later_and_holds_up_nobody(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = set_scene(database)
    monkeypatch.setitem(REACTIONS, "test.fails", failing)
    with database.transaction() as session:
        record_event(session, "test.fails", now=NOON - timedelta(hours=1))
    scene.drain(now=NOON - timedelta(hours=1))
    row = scene.scan_and_confirm()
    scene.drain(now=NOON)
    assert scene.figures().verified == 1
    assert scene.verdict(row) == "valid"
    with database.snapshot() as session:
        (event,) = session.exec(select(Event)).all()
        assert event.attempts == 2
        assert event.retry_at == NOON + timedelta(seconds=4)
        assert event.error == "RuntimeError: no luck"
        assert session.exec(select(ScanJudgement)).all() == []
    assert worker.drain(database, now=NOON + timedelta(seconds=3)) == 0
    healed: list[UUID] = []
    monkeypatch.setitem(
        REACTIONS, "test.fails", lambda session, events, now: healed.extend(event.id for event in events)
    )
    assert worker.drain(database, now=NOON + timedelta(seconds=4)) == 1
    assert len(healed) == 1
    assert worker.drain(database, now=NOON + timedelta(seconds=9)) == 0


def test_an_event_that_always_fails_is_given_up_after_twelve_tries(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(REACTIONS, "test.fails", failing)
    with database.transaction() as session:
        record_event(session, "test.fails", now=NOON)
    assert [worker.drain(database, now=NOON + timedelta(hours=3 * n)) for n in range(14)] == [1] * 12 + [0, 0]


def test_a_precise_position_is_forgotten_after_three_days(database: Database) -> None:
    scene = set_scene(database)
    old, young = scene.scan(), scene.scan(at=minutes(90))
    scene.locate(old, INSIDE)
    scene.locate(young, INSIDE, at=minutes(90))
    worker.purge(database, now=NOON + timedelta(hours=72, minutes=1))
    with database.snapshot() as session:
        kept = {one.scan_id: one for one in session.exec(select(ScanPosition).order_by(col(ScanPosition.scan_id)))}
    assert kept[UUID(old.id)].sealed is None
    assert kept[UUID(old.id)].geofence == "inside"
    assert kept[UUID(young.id)].sealed == b"sealed"
