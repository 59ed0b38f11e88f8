"""The judge and the worker that drives it, on both databases."""

import random
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, update
from sqlmodel import Session, col, select

from campaigns import scans, verify, worker
from campaigns.events import Event, record_event
from campaigns.reactions import REACTIONS, Effect, Reaction
from campaigns.scans import Position, signals
from campaigns.scans.judge import Rulings
from campaigns.scans.log import PositionFix, ScanRow
from campaigns.scans.models import Scan, ScanJudgement, ScanPosition
from campaigns.scans.rollups import Rollups
from campaigns.scans.signals import BURST_CODES, BURST_SCANS, SHARED_PEOPLE, SPREAD_VISITORS
from campaigns.scans.writers import open_writer
from campaigns.storage import Database
from tests.factories import NOON, make_scan, write
from tests.machines import SOAK
from tests.scene import FAR, INSIDE, VAGUE, another_place, another_token, confirmation, minutes, set_scene


def test_a_confirmed_scan_is_verified_once(database: Database) -> None:
    scene = set_scene(database)
    row = scene.scan()
    assert scene.figures().verified == 0
    assert scene.confirm(row)
    assert not scene.confirm(row)
    assert scene.problems() == []
    scene.drain()
    with database.transaction() as session:
        assert scans.judge(session, [UUID(row.id)], now=NOON) == Rulings(Counter(), [], [], Rollups({}, {}, {}))
    assert (scene.figures().raw, scene.figures().verified) == (1, 1)
    assert scene.problems() == []


@pytest.mark.parametrize("apart", [0.9, 0.01])
def test_sixty_reloads_of_one_phone_are_one_verified_scan(database: Database, apart: float) -> None:
    scene = set_scene(database)
    rows = []
    for number in range(60):
        rows.append(scene.scan(at=minutes(number * apart)))
    write(database, *(confirmation(row, NOON) for row in rows))
    scene.drain()
    figures = scene.figures()
    assert (figures.raw, figures.verified, figures.by_verdict["duplicate"]) == (60, 1, 59)
    assert figures.inflation == 60
    assert scene.problems() == []


def test_sixty_phones_behind_one_wifi_that_check_in_are_sixty_verified_scans(database: Database) -> None:
    """In ten minutes, one model of phone, one address: one visitor key. Each types the till code."""
    scene = set_scene(database)
    rows = [scene.scan_and_confirm(at=minutes(number / 6)) for number in range(60)]
    scene.drain(now=minutes(10))
    assert scene.figures().verified == 1
    done = [scene.check_in(row, now=minutes(10), till_code_was_right=True) for row in rows]
    assert scene.problems() == []
    scene.drain(now=minutes(11))
    assert len({one.person.id for one in done}) == 60
    assert all((one.check_in.presence, one.check_in.counted) == (2, True) for one in done)
    assert [scene.verdict(row) for row in rows] == ["valid"] * 60
    assert (scene.figures().verified, scene.counters()["check_ins"]) == (60, 60)
    assert scene.problems() == []


def test_below_presence_2_one_person_too_many_on_one_device_is_only_audience(database: Database) -> None:
    scene = set_scene(database)
    rows = [scene.scan_and_confirm(at=minutes(number / 6)) for number in range(SHARED_PEOPLE + 4)]
    for row in reversed(rows):
        scene.check_in(row, now=minutes(9), position=INSIDE)
    scene.drain(now=minutes(10))
    assert [scene.verdict(row) for row in rows] == ["valid"] * SHARED_PEOPLE + ["provisional"] * 4
    assert scene.figures().human == SHARED_PEOPLE + 4
    assert scene.reasons(rows[-1]) == "shared_device"
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
        assert scans.judge(session, [UUID(row.id) for row in rows], now=minutes(130)) == Rulings(
            Counter(), [], [], Rollups({}, {}, {})
        )
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
                scans.judge(session, [UUID(row.id)], now=minutes(90)).write(session)
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


# Signals: what only shows among others --------------------------------------------------------------------------


def test_one_source_on_many_codes_is_a_burst_from_one_too_many_on(database: Database) -> None:
    scene = set_scene(database)
    entries = [scene.entry, *(another_token(scene) for _ in range(BURST_CODES + 2))]
    rows = [scene.scan(entry=entry, at=minutes(number / 6)) for number, entry in enumerate(entries)]
    for row in reversed(rows):  # the first ones arrive last, and the later ones are looked at again
        scene.confirm(row, at=minutes(5))
        scene.drain(now=minutes(5))
    assert [scene.verdict(row) for row in rows] == ["valid"] * BURST_CODES + ["provisional"] * 3
    assert scene.reasons(rows[-1]) == "burst_source"
    assert scene.problems() == []


def test_a_code_scanned_faster_than_people_come_is_a_burst(database: Database) -> None:
    scene = set_scene(database)
    rows = [make_scan(scene.entry, at=minutes(number / 100), visitor_key=number) for number in range(BURST_SCANS + 5)]
    write(database, *rows)
    late = rows[7]
    write(database, *(confirmation(row, minutes(4)) for row in rows if row is not late))
    scene.drain(now=minutes(5))
    assert [row for row in rows if scene.verdict(row) == "provisional"] == rows[BURST_SCANS + 1 :]
    scene.confirm(late, at=minutes(6))
    scene.drain(now=minutes(6))
    assert [row for row in rows if scene.verdict(row) == "provisional"] == rows[BURST_SCANS:]
    assert scene.reasons(rows[-1]) == "burst_token"
    assert scene.problems() == []


def test_one_position_to_a_centimetre_given_by_many_is_held_back(database: Database) -> None:
    scene = set_scene(database)
    rows = [scene.scan(at=minutes(number), visitor_key=number) for number in range(1, 10)]
    for row in reversed(rows):
        scene.locate(row, INSIDE, at=minutes(10), point=77)
        scene.drain(now=minutes(10))
    elsewhere = scene.scan(at=minutes(8), visitor_key=90)
    scene.locate(elsewhere, INSIDE, at=minutes(10), point=78)
    scene.drain(now=minutes(10))
    assert [scene.verdict(row) for row in rows] == ["valid"] * 5 + ["provisional"] * 4
    assert scene.reasons(rows[8]) == "shared_position"
    assert scene.verdict(elsewhere) == "valid"
    with database.snapshot() as session:
        assert list(scans.rejudge(session)) == []
    worker.purge(database, now=NOON + timedelta(days=4))
    with database.snapshot() as session:
        assert session.exec(select(ScanPosition).where(col(ScanPosition.point).is_not(None))).all() == []
        assert list(scans.rejudge(session)) == []


def test_a_fix_of_a_mast_is_the_same_for_everyone_and_blames_nobody(database: Database) -> None:
    scene = set_scene(database)
    rows = [scene.scan(at=minutes(number), visitor_key=number) for number in range(1, 10)]
    for row in rows:
        scene.locate(row, VAGUE, at=minutes(10), point=77)
    scene.drain(now=minutes(10))
    assert {scene.verdict(row) for row in rows} == {"valid"}


def test_a_photographed_code_is_doubted_except_for_those_who_are_there(database: Database) -> None:
    scene = set_scene(database)
    far = [scene.scan(at=minutes(number), visitor_key=number) for number in range(1, SPREAD_VISITORS + 1)]
    unlocated, inside, early = (scene.scan(at=minutes(at), visitor_key=100 + at) for at in (20, 21, 0))
    strong = scene.scan(at=minutes(22), visitor_key=130)
    for row in (unlocated, early, strong):
        scene.confirm(row, at=minutes(23))
    scene.locate(inside, INSIDE, at=minutes(23))
    scene.check_in(strong, now=minutes(23), till_code_was_right=True)
    scene.drain(now=minutes(24))
    assert {scene.verdict(row) for row in (unlocated, inside, early, strong)} == {"valid"}
    for row in far:
        scene.locate(row, FAR, at=minutes(25))
    scene.drain(now=minutes(26))
    assert (scene.verdict(unlocated), scene.reasons(unlocated)) == ("provisional", "spread")
    assert {scene.verdict(row) for row in (inside, early, strong)} == {"valid"}
    assert {scene.verdict(row) for row in far} == {"held"}
    with database.snapshot() as session:
        assert scans.photographed(session, [scene.token.id], now=minutes(30)) == {
            scene.token.id: minutes(SPREAD_VISITORS)
        }
        assert scans.photographed(session, [scene.token.id], now=NOON + timedelta(hours=30)) == {}
    assert scene.problems() == []


def test_nobody_is_in_two_towns_within_a_minute(database: Database) -> None:
    scene = set_scene(database)
    lyon = scene.scan()
    other = another_place(scene, lat=43.2965, lon=5.3698)
    marseille = scene.scan(entry=other, at=minutes(1), visitor_key=2)
    back = scene.scan(at=minutes(70), visitor_key=3)
    cookie = scene.check_in(lyon, now=minutes(0), position=INSIDE).secret
    scene.check_in(back, now=minutes(71), position=INSIDE, cookie=cookie)
    there = Position(43.2965, 5.3698, accuracy_m=10)
    scene.check_in(marseille, now=minutes(1), position=there, cookie=cookie, entry=other)
    scene.drain(now=minutes(72))
    assert [scene.verdict(row) for row in (lyon, marseille, back)] == ["valid", "held", "valid"]
    assert scene.reasons(marseille) == "impossible_travel"
    assert scene.problems() == []


@pytest.mark.parametrize("seed", range(2 if SOAK else 1))
def test_the_verdicts_are_the_same_from_one_writer_and_from_four_in_any_order(
    database: Database, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One log of everything that blames anybody, written again by four writers in another order."""
    monkeypatch.setattr(signals, "BURST_CODES", 6)  # nine codes are enough to show it
    scene = set_scene(database)
    others = [another_token(scene) for _ in range(8)]
    chance = random.Random(seed)
    asked: list[tuple[str, ScanRow, Any]] = []
    for number in range(240):
        entry = chance.choice([scene.entry, *others])
        row = make_scan(entry, at=minutes(chance.random() * 40), visitor_key=1 + chance.randrange(6))
        position = chance.choice([None, None, INSIDE, FAR, VAGUE])
        asked.append((f"{number}", row, position))
    found = []
    for writers in (1, 4):
        shift = writers << 40  # the same log again, of other visitors: a key is 63 bits
        rows = {
            name: row._replace(id=_again(row.id, writers), visitor_key=row.visitor_key + shift)
            for name, row, _ in asked
        }
        tokens = {entry.token_hex: another_token(scene) for entry in [scene.entry, *others]}
        rows = {name: row._replace(token_id=tokens[row.token_id or ""].token_hex) for name, row in rows.items()}
        order = [(name, position) for name, _, position in asked]
        if writers > 1:
            chance.shuffle(order)
        open_ = [open_writer(database, 10 * writers + n, lambda: NOON) for n in range(writers)]
        for start in range(0, len(order), 20):
            batch = order[start : start + 20]
            facts = []
            for name, position in batch:
                seen = confirmation(rows[name], minutes(41))
                fence, distance = position.fence(scene.entry.place) if position else (None, None)
                accuracy = int(position.accuracy_m) if position else 0
                facts.append(
                    PositionFix(seen, fence, distance, accuracy, b"s", writers if int(name) % 4 else None)
                    if fence
                    else seen
                )
            open_[start // 20 % writers].write([rows[name] for name, _ in batch])
            open_[(start // 20 + 1) % writers].write(facts)
            if start % 60 == 0:
                scene.drain(now=minutes(42))
        for writer in open_:
            writer.close()
        scene.drain(now=minutes(43))
        found.append({name: scene.verdict(row) for name, row in rows.items()})
        reasons = {reason for row in rows.values() for reason in scene.reasons(row).split(",")}
        assert reasons >= {"duplicate", "burst_source", "shared_position", "spread", "far"}
        assert scene.problems() == []
    assert found[0] == found[1]
    with database.snapshot() as session:
        assert list(scans.rejudge(session)) == []


def _again(id: str, number: int) -> str:
    """The id of a scan of the same millisecond."""
    return f"{int(id, 16) + number:032x}"


def test_rejudging_finds_a_verdict_that_was_altered_and_a_judgement_that_was_lost(database: Database) -> None:
    scene = set_scene(database)
    first, second = scene.scan_and_confirm(), scene.scan_and_confirm(at=minutes(5))
    scene.drain()
    assert verify.rejudge(database) == []
    with database.transaction() as session:
        session.execute(delete(ScanJudgement).where(col(ScanJudgement.scan_id) == UUID(second.id)))
        session.execute(update(Scan).where(col(Scan.id) == UUID(first.id)).values(verdict="held"))
    problems = verify.rejudge(database)
    assert len(problems) == 3
    assert f"scan scn_{first.id} was written as held and should be valid" in problems
    assert [problem for problem in problems if second.id in problem and "should be duplicate" in problem]


def test_rejudging_leaves_out_what_waits_for_the_judge(database: Database) -> None:
    scene = set_scene(database)
    row = scene.scan_and_confirm()
    scene.drain()
    scene.locate(row, FAR)
    assert verify.rejudge(database) == []
    scene.drain()
    assert scene.verdict(row) == "held"
    assert verify.rejudge(database) == []


def test_a_scan_keeps_the_rules_it_was_made_under(database: Database) -> None:
    scene = set_scene(database)
    old = [make_scan(scene.entry, at=minutes(n), visitor_key=n)._replace(rules_version=1) for n in range(1, 9)]
    write(database, *old)
    for row in old:
        scene.locate(row, INSIDE, at=minutes(9), point=77)
    scene.drain(now=minutes(9))
    assert {scene.verdict(row) for row in old} == {"valid"}
    assert verify.rejudge(database) == []


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


def noting(into: list[UUID]) -> Reaction:
    """A reaction that writes down which events it was given."""

    def react(session: Session, events: Sequence[Event], now: datetime) -> Effect:
        return lambda _: into.extend(event.id for event in events)

    return react


def test_every_event_is_delivered_once(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[UUID] = []
    monkeypatch.setitem(REACTIONS, "test.happened", noting(heard))
    with database.transaction() as session:
        for _ in range(250):
            record_event(session, "test.happened", now=NOON)
        record_event(session, "nobody.listens", now=NOON)
    while worker.drain(database, now=NOON).done:
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
    assert worker.drain(database, now=NOON + timedelta(seconds=3)).done == 0
    healed: list[UUID] = []
    monkeypatch.setitem(REACTIONS, "test.fails", noting(healed))
    assert worker.drain(database, now=NOON + timedelta(seconds=4)).done == 1
    assert len(healed) == 1
    assert worker.drain(database, now=NOON + timedelta(seconds=9)).done == 0


def test_an_event_that_always_fails_is_given_up_after_twelve_tries(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(REACTIONS, "test.fails", failing)
    with database.transaction() as session:
        record_event(session, "test.fails", now=NOON)
    assert [worker.drain(database, now=NOON + timedelta(hours=3 * n)).done for n in range(14)] == [1] * 12 + [0, 0]


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


def test_the_points_of_a_day_are_dropped_together(database: Database) -> None:
    """One by one, the judge of tomorrow would see fewer of a day's shared positions than the judge of today."""
    scene = set_scene(database)
    for number, at in enumerate((minutes(-8 * 60), minutes(8 * 60))):
        scene.locate(scene.scan(at=at, visitor_key=number), INSIDE, at=at, point=5)

    def points() -> list[int | None]:
        with database.snapshot() as session:
            return list(session.exec(select(ScanPosition.point)))

    worker.purge(database, now=NOON + timedelta(hours=48))  # the first is past its 48 hours, its day is not
    assert points() == [5, 5]
    worker.purge(database, now=NOON + timedelta(hours=63))
    assert points() == [None, None]
