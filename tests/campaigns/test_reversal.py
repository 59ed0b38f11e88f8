"""Voiding a scan: exactly what rested on it goes, once, with the reason; on both databases."""

import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import DatabaseError
from sqlmodel import select

from campaigns import missions, privacy, reversals, scans, verify
from campaigns.errors import Invalid
from campaigns.identity import Organisation
from campaigns.missions import CheckedIn, Repeat, StepKind, StepPlan
from campaigns.missions.cards import Presented
from campaigns.missions.models import FriendNaming, Membership, MissionPlace, StaffAct, StaffRecord, StepCompletion
from campaigns.participants import Participant
from campaigns.places import Place
from campaigns.scans import CheckIn
from campaigns.scans.log import ScanRow
from campaigns.scans.models import ScanJudgement, ScanVoid, Visit, VoidEffect
from campaigns.storage import Database
from tests.booth import SECRET
from tests.campaigns.test_steps import FRIENDS, name_friend, outcomes, set_tour, show, visit
from tests.factories import NOON, make_participant, make_scan, write
from tests.racing import PATIENCE_S, race
from tests.scene import FAR, INSIDE, Scene, another_token, minutes, set_scene

DAILY = [StepPlan(StepKind.SCAN, 0, Repeat.DAILY)]
Told = tuple[str, str]


def void(scene: Scene, scan_id: str | UUID, *, reason: str = "Scanned from home", now: datetime = NOON) -> list[Told]:
    """Void a scan; what it did."""
    id = UUID(str(scan_id))
    with scene.database.between_rounds() as session:
        scan = scans.scan_of(session, scene.campaign.organisation_id, id)
        found, effects = reversals.void_scan(
            session, scene.campaign.organisation_id, scan, reason=reason, ballot_secret=lambda _: SECRET, now=now
        )
    assert found.scan_id == id
    return sorted((one.what, one.outcome) for one in effects)


def one_of(scene: Scene, done: CheckedIn) -> CheckIn:
    with scene.database.snapshot() as session:
        return session.get_one(CheckIn, done.check_in.id)


def all_well(scene: Scene, *, now: datetime = NOON) -> None:
    """The books add up, and judging the log again says what stands."""
    assert scene.problems() == []
    scene.drain(now=now)
    assert scene.problems() == []
    assert verify.rejudge(scene.database) == []


def test_a_voided_scan_takes_check_in_visit_completion_and_mission_along(database: Database) -> None:
    scene = set_scene(database, steps=DAILY)
    row = scene.scan()
    done = scene.check_in(row, position=INSIDE)
    scene.drain()
    assert scene.counters() == {"participants": 1, "check_ins": 1, "completions": 1}
    gone = [("check_in", "reversed"), ("completion", "reversed"), ("mission", "reversed"), ("visit", "reversed")]
    assert void(scene, row.id) == gone
    assert scene.counters() == {"participants": 1, "check_ins": 0, "completions": 0}
    assert (scene.verdict(row), scene.reasons(row), scene.figures().verified) == ("invalid", "voided", 0)
    act = one_of(scene, done)
    assert (act.verdict, act.counted, act.voided_at) == ("invalid", False, NOON)
    with database.snapshot() as session:
        (completion,) = session.exec(select(StepCompletion)).all()
        (membership,) = session.exec(select(Membership)).all()
        assert session.exec(select(Visit)).all() == []
        assert missions.standing(session, scene.mission, done.person).presence is None
    assert (completion.state, completion.reason, membership.completed_at) == ("reversed", "Scanned from home", None)
    all_well(scene, now=minutes(1))


def test_voiding_twice_gives_the_first_answer_and_undoes_nothing_more(database: Database) -> None:
    scene = set_scene(database, steps=DAILY)
    row = scene.scan()
    scene.check_in(row, position=INSIDE)
    first = void(scene, row.id)
    assert void(scene, row.id, reason="Again", now=minutes(1)) == first
    with database.snapshot() as session:
        (kept,) = session.exec(select(ScanVoid)).all()
        assert len(session.exec(select(ScanJudgement)).all()) == 1
    assert (kept.reason, kept.voided_at) == ("Scanned from home", NOON)
    all_well(scene, now=minutes(2))


def test_of_twenty_racing_voids_one_undoes(database: Database) -> None:
    scene = set_scene(database, steps=DAILY)
    row = scene.scan()
    scene.check_in(row, position=INSIDE)
    answers = race(20, lambda _: tuple(void(scene, row.id)))
    assert len(set(answers)) == 1, answers
    assert scene.counters() == {"participants": 1, "check_ins": 0, "completions": 0}
    with database.snapshot() as session:
        assert len(session.exec(select(ScanJudgement)).all()) == 1
        assert len(session.exec(select(VoidEffect)).all()) == 4
    all_well(scene, now=minutes(1))


def test_voids_that_race_check_ins_and_the_judge_leave_the_books_in_order(database: Database) -> None:
    scene = set_scene(database, steps=DAILY)
    rows = [scene.scan(at=minutes(number), visitor_key=number + 1) for number in range(6)]

    def act(number: int) -> object:
        row = rows[number % 6]
        if number < 6:
            return scene.check_in(row, position=INSIDE, now=minutes(7))
        if number < 12:
            return void(scene, row.id, now=minutes(7))
        scene.drain(now=minutes(7))
        return None

    answers = race(14, act)
    assert [one for one in answers if isinstance(one, Exception)] == []
    with database.snapshot() as session:
        assert [act.verdict for act in session.exec(select(CheckIn))] == ["invalid"] * 6
        assert session.exec(select(Visit)).all() == []
    assert scene.counters().get("check_ins", 0) == scene.counters().get("completions", 0) == 0
    all_well(scene, now=minutes(8))
    assert [scene.verdict(row) for row in rows] == ["invalid"] * 6


@pytest.mark.parametrize("is_same_code", [True, False])
@pytest.mark.parametrize("is_void_first", [True, False])
def test_a_void_and_another_check_in_of_its_day_wait_for_one_another(
    database: Database, is_same_code: bool, is_void_first: bool
) -> None:
    """Whoever is first: the other check-in is the visit of the day, and the step rests on it."""
    scene = set_scene(database, steps=DAILY)
    row = scene.scan()
    cookie = scene.check_in(row, position=INSIDE).secret
    entry = scene.entry if is_same_code else another_token(scene)
    later = scene.scan(entry=entry, at=minutes(70))
    acts: list[Callable[[], object]] = [
        lambda: void(scene, row.id, now=minutes(71)),
        lambda: scene.check_in(later, entry=entry, cookie=cookie, position=INSIDE, now=minutes(71)),
    ]
    side_by_side(database, *(acts if is_void_first else reversed(acts)))
    assert scene.counters() == {"participants": 1, "check_ins": 1, "completions": 1}
    with database.snapshot() as session:
        (stands,) = session.exec(select(CheckIn).where(CheckIn.verdict == "valid")).all()
        (completion,) = session.exec(select(StepCompletion)).all()
        (counted,) = session.exec(select(Visit)).all()
    assert stands.counted
    assert (completion.state, completion.source_id, counted.check_in_id) == ("verified", stands.id, stands.id)
    all_well(scene, now=minutes(72))


@pytest.mark.parametrize("moment", ["INSERT INTO visits", "COMMIT"])
def test_a_void_and_what_the_staff_record_of_its_day_wait_in_one_order(database: Database, moment: str) -> None:
    """Of somebody with a phone and a card. Each holds the visit before the membership, so none waits in a ring."""
    scene = set_scene(database, steps=DAILY)
    row = scene.scan()
    person = scene.check_in(row, position=INSIDE).person

    side_by_side(
        database, lambda: witness(scene, person, 70), lambda: void(scene, row.id, now=minutes(71)), moment=moment
    )
    assert scene.counters() == {"participants": 1, "check_ins": 1, "completions": 1}
    all_well(scene, now=minutes(72))


def test_what_the_staff_record_while_their_first_record_is_voided_counts(database: Database) -> None:
    scene = set_scene(database, steps=DAILY)
    with database.transaction() as session:
        person = make_participant(session, session.get_one(Organisation, scene.campaign.organisation_id))
    first = witness(scene, person, 0)

    def void_first() -> None:
        with database.between_rounds() as session:
            row = session.get_one(StaffRecord, first.id)
            owner, secret = scene.campaign.organisation_id, SECRET
            reversals.void_record(session, owner, row, reason="Mixed up", ballot_secret=lambda _: secret, now=NOON)

    side_by_side(database, void_first, lambda: witness(scene, person, 1))
    assert scene.counters() == {"participants": 1, "check_ins": 1, "completions": 1}
    all_well(scene, now=minutes(2))


def witness(scene: Scene, person: Participant, minute: float) -> StaffRecord:
    """The staff record that a card's person is there."""
    shown = Presented(scene.token, scene.campaign, scene.mission, person, scene.token.code)
    assert scene.entry.place is not None
    about: dict[str, Any] = {"client_id": f"form-{minute}", "subject_id": None, "outcome": "verified"}
    with scene.database.transaction() as session:
        place = session.get_one(Place, scene.entry.place.id)
        missions.check_in_card(session, shown, scene.entry, person, now=minutes(minute))
        return missions.record(session, shown, place, person, StaffAct.CHECK_IN, **about, now=minutes(minute))


def side_by_side(
    database: Database, act: Callable[[], object], other: Callable[[], object], *, moment: str = "COMMIT"
) -> None:
    """Do one act, and begin the other half a second before a statement of it: its commit, unless told otherwise."""
    second, first = threading.Thread(target=other, daemon=True), threading.current_thread()

    def begin(_: object, __: object = None, statement: str = "COMMIT", *___: object) -> None:
        if statement.startswith(moment) and threading.current_thread() is first and second.ident is None:
            second.start()
            second.join(timeout=0.5)

    name = "commit" if moment == "COMMIT" else "before_cursor_execute"
    event.listen(database.engine, name, begin)
    try:
        act()
    finally:
        event.remove(database.engine, name, begin)
    second.join(timeout=PATIENCE_S)


def test_no_round_of_the_judge_overlaps_a_void(database: Database) -> None:
    """A judge that read before the void and wrote after it would count a verified scan that is not."""
    scene = set_scene(database, steps=DAILY)
    row = scene.scan_and_confirm()
    judge = threading.Thread(target=lambda: scene.drain(now=minutes(1)), daemon=True)
    with database.between_rounds() as session:
        scan = scans.scan_of(session, scene.campaign.organisation_id, UUID(row.id))
        owner = scene.campaign.organisation_id
        reversals.void_scan(session, owner, scan, reason="Why not", ballot_secret=lambda _: SECRET, now=NOON)
        judge.start()
        judge.join(timeout=1.5)
    judge.join(timeout=30)
    all_well(scene, now=minutes(2))
    assert scene.figures().verified == 0


def test_another_check_in_of_the_day_takes_the_place_of_the_voided_one(database: Database) -> None:
    scene = set_scene(database, steps=DAILY)
    first_row = scene.scan()
    first = scene.check_in(first_row, position=INSIDE)
    second = scene.check_in(scene.scan(at=minutes(70)), cookie=first.secret, position=INSIDE, now=minutes(71))
    assert outcomes(second) == [("already", None)]
    assert void(scene, first_row.id, now=minutes(80)) == [
        ("check_in", "reversed"),
        ("completion", "kept"),
        ("visit", "kept"),
    ]
    assert scene.counters() == {"participants": 1, "check_ins": 1, "completions": 1}
    assert one_of(scene, second).counted
    with database.snapshot() as session:
        (completion,) = session.exec(select(StepCompletion)).all()
    assert (completion.state, completion.source_id) == ("verified", second.check_in.id)
    all_well(scene, now=minutes(81))


@pytest.mark.parametrize("days", [0, 1])
def test_the_person_can_act_anew(database: Database, days: int) -> None:
    scene = set_scene(database, steps=[StepPlan(StepKind.SCAN)])
    row = scene.scan()
    first = scene.check_in(row, position=INSIDE)
    void(scene, row.id, now=minutes(1))
    again = NOON + timedelta(days=days, hours=2)
    done = scene.check_in(scene.scan(at=again), cookie=first.secret, position=INSIDE, now=again)
    assert outcomes(done) == [("verified", None)]
    assert scene.counters() == {"participants": 1, "check_ins": 1, "completions": 1}
    all_well(scene, now=again)


def test_a_voided_scan_takes_no_check_in_that_counts(database: Database) -> None:
    scene = set_scene(database, steps=DAILY)
    row = scene.scan()
    assert void(scene, row.id) == []
    done = scene.check_in(row, position=INSIDE, now=minutes(1))
    assert (done.check_in.verdict, outcomes(done)) == ("invalid", [("refused", "not_counted")])
    assert scene.counters() == {}
    all_well(scene, now=minutes(2))


def test_a_replay_of_a_voided_check_in_says_that_it_does_not_count(database: Database) -> None:
    scene = set_scene(database, steps=DAILY)
    row = scene.scan()
    scene.check_in(row, position=INSIDE)
    void(scene, row.id)
    again = scene.check_in(row, position=INSIDE, now=minutes(1))
    assert (again.is_replay, outcomes(again)) == (True, [("refused", "not_counted")])


def test_the_judge_leaves_a_void_and_lifts_the_duplicate_beside_it(database: Database) -> None:
    scene = set_scene(database, steps=DAILY)
    first, second = scene.scan_and_confirm(), scene.scan_and_confirm(at=minutes(5))
    scene.drain(now=minutes(6))
    assert [scene.verdict(row) for row in (first, second)] == ["valid", "duplicate"]
    void(scene, first.id, now=minutes(7))
    scene.drain(now=minutes(8))
    assert [scene.verdict(row) for row in (first, second)] == ["invalid", "valid"]
    all_well(scene, now=minutes(9))


@pytest.mark.parametrize("kind", [StepKind.TRAIL, StepKind.VISIT_PLACES])
def test_a_tour_that_misses_a_place_is_not_done_any_more(database: Database, kind: StepKind) -> None:
    params = {"n": 3} if kind is StepKind.VISIT_PLACES else {}
    scene, entries = set_tour(database, kind, 3, **params)
    done: list[CheckedIn] = []
    for number, entry in enumerate(entries):
        done.append(visit(scene, entry, number * 10, done[0].secret if done else None))
    assert scene.counters()["completions"] == 1
    void(scene, done[1].check_in.scan_id, now=minutes(40))
    assert scene.counters() == {"participants": 1, "check_ins": 2, "completions": 0}
    with database.snapshot() as session:
        places = len(session.exec(select(MissionPlace)).all())
    assert places == (2 if kind is StepKind.VISIT_PLACES else 0)
    anew = visit(scene, entries[1], 60, done[0].secret)
    assert outcomes(anew) == [("progress", None) if kind is StepKind.TRAIL else ("verified", None)]
    all_well(scene, now=minutes(61))


def test_a_place_visited_twice_stands_on_the_other_visit(database: Database) -> None:
    scene, (one, two) = set_tour(database, StepKind.VISIT_PLACES, 2, n=2)
    first = visit(scene, one, 0)
    visit(scene, one, 20, first.secret)
    visit(scene, two, 40, first.secret)
    assert ("completion", "reversed") not in void(scene, first.check_in.scan_id, now=minutes(50))
    assert scene.counters() == {"participants": 1, "check_ins": 2, "completions": 1}
    all_well(scene, now=minutes(51))


def together(scene: Scene, at: float, cookies: Sequence[str | None] = (None, None)) -> list[CheckedIn]:
    return [visit(scene, scene.entry, at + number, cookie) for number, cookie in enumerate(cookies)]


def test_a_meeting_of_friends_goes_for_both(database: Database) -> None:
    scene = set_scene(database, steps=FRIENDS)
    pair = together(scene, 0)
    codes = [show(scene, one.person).code for one in pair]
    name_friend(scene, pair[0].person, codes[1])
    name_friend(scene, pair[1].person, codes[0])
    told = void(scene, pair[1].check_in.scan_id, now=minutes(5))
    assert [one for one in told if one[0] == "completion"] == [("completion", "reversed")] * 2
    assert [one for one in told if one[0] == "mission"] == [("mission", "reversed")] * 2
    assert scene.counters()["completions"] == 0
    with database.snapshot() as session:
        assert session.exec(select(FriendNaming)).all() == []
    all_well(scene, now=minutes(6))


def test_a_meeting_stays_when_they_met_again(database: Database) -> None:
    scene = set_scene(database, steps=FRIENDS)
    pair = together(scene, 0)
    codes = [show(scene, one.person).code for one in pair]
    name_friend(scene, pair[0].person, codes[1])
    name_friend(scene, pair[1].person, codes[0])
    together(scene, 70, [one.secret for one in pair])
    told = void(scene, pair[1].check_in.scan_id, now=minutes(80))
    assert [one for one in told if one[0] == "completion"] == [("completion", "kept")] * 2
    assert scene.counters()["completions"] == 2
    all_well(scene, now=minutes(81))


def test_a_held_check_in_loses_what_waited(database: Database) -> None:
    scene = set_scene(database, steps=DAILY)
    row = scene.scan()
    scene.check_in(row, position=FAR)
    assert ("completion", "reversed") in void(scene, row.id)
    assert scene.counters() == {"participants": 1}
    all_well(scene, now=minutes(1))


def test_a_trial_of_a_draft_is_undone_in_the_draft(database: Database) -> None:
    scene = set_scene(database, live=False, steps=DAILY)
    row = scene.scan()
    scene.check_in(row, position=INSIDE)
    void(scene, row.id)
    assert scene.counters("draft") == {"participants": 1, "completions": 0}
    assert scene.verdict(row) == "test"
    all_well(scene, now=minutes(1))


def test_an_idea_stays_when_the_visit_before_it_goes(database: Database) -> None:
    scene = set_scene(database, steps=[StepPlan(StepKind.SCAN), StepPlan(StepKind.IDEA, 1)])
    row = scene.scan()
    done = scene.check_in(row, position=INSIDE)
    scene.post_idea(done.person)
    void(scene, row.id)
    assert scene.counters() == {"participants": 1, "check_ins": 0, "completions": 1, "ideas": 1}
    all_well(scene, now=minutes(1))


def test_an_erased_persons_scan_can_be_voided(database: Database) -> None:
    scene = set_scene(database, steps=DAILY)
    row = scene.scan()
    done = scene.check_in(row, position=INSIDE)
    with database.erasing() as session:
        privacy.erase(session, done.person.id, note=lambda *_: None, now=NOON)
    void(scene, row.id)
    assert scene.counters() == {"participants": 1, "check_ins": 0, "completions": 0}
    all_well(scene, now=minutes(1))


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501])
def test_a_void_needs_a_reason(database: Database, reason: str) -> None:
    scene = set_scene(database, steps=DAILY)
    row = scene.scan()
    with pytest.raises(Invalid):
        void(scene, row.id, reason=reason)


@pytest.mark.parametrize("statement", ["UPDATE scan_voids SET reason = 'x'", "DELETE FROM void_effects"])
def test_what_was_voided_is_never_rewritten(database: Database, statement: str) -> None:
    scene = set_scene(database, steps=DAILY)
    row: ScanRow = scene.scan()
    scene.check_in(row)
    void(scene, row.id)
    with pytest.raises(DatabaseError, match="only grows"), database.transaction() as session:
        session.connection().execute(text(statement))


def test_verify_finds_a_mission_that_ended_too_early_and_a_place_without_its_visit(database: Database) -> None:
    scene, (one, _) = set_tour(database, StepKind.VISIT_PLACES, 2, n=2)
    visit(scene, one, 0)
    assert scene.problems() == []
    with database.transaction() as session:
        session.exec(select(Membership)).one().completed_at = NOON
    assert "done stored, 0 of 1 steps done" in scene.problems()[0]
    with database.transaction() as session:
        session.exec(select(Membership)).one().completed_at = None
        session.exec(select(MissionPlace)).one().presence = 3
    assert "no such visit" in scene.problems()[0]


def test_a_capability_joins_by_a_function(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[UUID] = []

    def of_votes(_: object, voided: scans.Voided, __: datetime) -> list[scans.Effect]:
        seen.append(voided.scan_id)
        return [scans.Effect("vote", voided.scan_id)]

    monkeypatch.setattr(reversals, "REVERSALS", (*reversals.REVERSALS, of_votes))
    scene = set_scene(database, steps=DAILY)
    row = scene.scan()
    scene.check_in(row)
    assert ("vote", "reversed") in void(scene, row.id)
    void(scene, row.id)
    assert seen == [UUID(row.id)]


def test_only_another_pack_stands_in_for_a_voided_one(database: Database) -> None:
    scene = set_scene(database, steps=[StepPlan(StepKind.SCAN, 0, Repeat.DAILY, params={"possession": True})])
    row = make_scan(scene.entry)._replace(reasons="possession")
    write(database, row)
    done = scene.check_in(row)
    assert outcomes(done) == [("verified", None)]
    plain = scene.scan(at=minutes(5))
    assert outcomes(scene.check_in(plain, now=minutes(5), cookie=done.secret)) == [("refused", "possession")]
    assert ("completion", "reversed") in void(scene, row.id, now=minutes(6))
    assert scene.counters()["completions"] == 0
    all_well(scene, now=minutes(7))
