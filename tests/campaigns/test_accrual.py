"""What acts accrue on pledges: once, in any order of events, within every cap; on both databases."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy.exc import IntegrityError
from sqlmodel import select

from campaigns import missions, planning, scans, sponsorship, worker
from campaigns.errors import Conflict
from campaigns.events import Event, record_event
from campaigns.identity import Organisation
from campaigns.missions import CheckedIn, Repeat, StepKind, StepPlan
from campaigns.missions.models import CompletionState, StepCompletion
from campaigns.scans.judge import id_after
from campaigns.scans.log import ScanRow
from campaigns.scans.models import ScanJudgement
from campaigns.sponsorship import ledger
from campaigns.sponsorship.models import (
    Accrual,
    CauseChoice,
    LastSlice,
    Payout,
    PayoutItem,
    Pledge,
    PledgeKind,
    WaitingAct,
)
from campaigns.storage import Database, store
from tests.campaigns.test_reversal import void
from tests.factories import NOON, make_participant
from tests.scene import FAR, INSIDE, Scene, minutes, set_scene
from tests.sponsors import accruals, book, make_cause, pledged, standing, told, turn_campaign

DAILY = [StepPlan(StepKind.SCAN, 0, Repeat.DAILY)]
REVIEW = timedelta(hours=72)


def act(scene: Scene, number: int = 1, *, at: datetime = NOON, **options: Any) -> tuple[ScanRow, CheckedIn]:
    """Somebody new checks in."""
    row = scene.scan(at=at, visitor_key=1000 + number)
    return row, scene.check_in(row, now=at, **{"position": INSIDE, **options})


def acts(scene: Scene, number: int, *, at: datetime = NOON, first: int = 0) -> list[ScanRow]:
    """Several people, an hour apart: no burst, no shared position within the hour."""
    return [act(scene, first + one, at=at + timedelta(seconds=one), position=None)[0] for one in range(number)]


def judge_as(scene: Scene, row: ScanRow, verdict: str, *, now: datetime = NOON) -> None:
    """What the judge does when a verdict changes, for the money: a row and an event."""
    with scene.database.transaction() as session:
        before = scans.standing_judgements(session, [UUID(row.id)]).get(UUID(row.id))
        session.add(
            ScanJudgement(
                id=id_after(before.id if before else None, now),
                scan_id=UUID(row.id),
                rules_version=row.rules_version,
                verdict=verdict,
                score=0,
                reasons="",
                decided_at=now,
                decided_by="judge",
            )
        )
        record_event(session, "scans.judged", now=now, scan_ids=[row.id])


def test_an_act_accrues_once_the_judge_has_looked(database: Database) -> None:
    scene = set_scene(database, steps=DAILY)
    pledge = pledged(database, scene.mission)
    act(scene)
    assert told(database) == []
    scene.drain()
    assert told(database) == [(10, "pending", None)]
    assert book(database, pledge) == {"commitment": -10, "pending": 10}
    assert standing(database, pledge).acts == 1
    (one,) = accruals(database)
    assert one.review_until == NOON + REVIEW
    assert one.place_id == scene.entry.place.id if scene.entry.place else False
    assert scene.problems() == []


@pytest.mark.parametrize("times", [1, 2])
def test_reckoning_again_changes_nothing(database: Database, times: int) -> None:
    scene = set_scene(database, steps=DAILY)
    pledge = pledged(database, scene.mission)
    row, _ = act(scene)
    scene.drain()
    for _ in range(times):
        judge_as(scene, row, "valid")
        scene.drain()
    assert book(database, pledge) == {"commitment": -10, "pending": 10}
    assert len(accruals(database)) == 1


def test_the_database_lets_one_accrual_of_an_act_stand(database: Database) -> None:
    scene = set_scene(database, steps=DAILY)
    pledged(database, scene.mission)
    act(scene)
    scene.drain()
    (one,) = accruals(database)
    twin = {**one.model_dump(), "id": uuid4()}
    with database.transaction() as session, pytest.raises(IntegrityError), session.begin_nested():
        store(session, Accrual, **twin)


@pytest.mark.parametrize("position", [FAR])
def test_an_act_on_a_doubtful_scan_accrues_nothing(database: Database, position: Any) -> None:
    scene = set_scene(database, steps=DAILY)
    pledged(database, scene.mission)
    act(scene, position=position)
    scene.drain()
    assert told(database) == []


def test_a_verdict_that_falls_voids_and_one_that_rises_accrues_anew(database: Database) -> None:
    scene = set_scene(database, steps=DAILY)
    pledge = pledged(database, scene.mission)
    row, _ = act(scene)
    scene.drain()
    judge_as(scene, row, "held")
    scene.drain()
    assert told(database) == [(10, "voided", "held")]
    assert book(database, pledge) == {}
    judge_as(scene, row, "valid", now=minutes(1))
    scene.drain(now=minutes(1))
    assert told(database) == [(10, "voided", "held"), (10, "pending", None)]
    assert scene.problems() == []


def test_what_the_judge_changed_around_a_scan_is_reckoned(database: Database) -> None:
    """The second of two confirmed scans of one visitor turns into a duplicate: nobody of its own checked in."""
    scene = set_scene(database, steps=DAILY)
    pledged(database, scene.mission)
    _, done = act(scene)
    again = scene.scan(at=minutes(5), visitor_key=1001)
    scene.check_in(again, cookie=done.secret, now=minutes(5), position=INSIDE)
    scene.drain(now=minutes(5))
    assert scene.verdict(again) == "duplicate"
    assert len(told(database)) == 1


def test_only_live_acts_of_the_window_with_the_presence_are_paid(database: Database) -> None:
    scene = set_scene(database, steps=DAILY)
    strict = pledged(database, scene.mission, min_presence=2)
    early = pledged(database, scene.mission, ends_at=NOON)
    late = pledged(database, scene.mission, starts_at=NOON + timedelta(seconds=1))
    fits = pledged(database, scene.mission, starts_at=NOON, ends_at=minutes(1), min_presence=1)
    act(scene)
    scene.drain()
    assert [bool(accruals(database, one)) for one in (strict, early, late, fits)] == [False, False, False, True]


def test_acts_of_a_draft_and_of_a_pilot_accrue_nothing(database: Database) -> None:
    scene = set_scene(database, steps=DAILY, live=False)
    pledged(database, scene.mission)
    row = scene.scan(visitor_key=5)
    scene.check_in(row, position=INSIDE)
    scene.drain()
    assert scene.verdict(row) == "test"
    with database.transaction() as session:
        for done in session.exec(select(StepCompletion)):
            record_event(session, "step.completed", now=NOON, completion_id=done.id)
    scene.drain()
    assert told(database) == []


@pytest.mark.parametrize("phase", ["draft", "pilot"])
def test_a_witnessed_act_of_another_phase_accrues_nothing(database: Database, phase: str) -> None:
    """I21."""
    scene = set_scene(database, steps=[StepPlan(StepKind.STAFF_VALIDATED, 0, Repeat.DAILY)])
    pledged(database, scene.mission)
    witnessed(scene, 1, phase=phase)
    scene.drain()
    assert told(database) == []


def test_a_pledge_pays_its_step_or_every_offline_one(database: Database) -> None:
    scene = set_scene(database, steps=[*DAILY, StepPlan(StepKind.IDEA)])
    with database.snapshot() as session:
        steps = missions.steps_of(session, scene.mission.id)
    offline = pledged(database, scene.mission)
    ideas = pledged(database, scene.mission, step_id=steps[1].id, unit_minor=50)
    _, done = act(scene)
    scene.post_idea(done.person)
    scene.drain()
    assert (told(database, offline), told(database, ideas)) == ([(10, "pending", None)], [(50, "pending", None)])


@pytest.mark.parametrize(
    ("rule", "spent", "last"), [(LastSlice.KEEP_REMAINDER, 90, 30), (LastSlice.PAY_REMAINDER, 100, 10)]
)
def test_the_last_slice_follows_the_declared_rule(database: Database, rule: LastSlice, spent: int, last: int) -> None:
    scene = set_scene(database, steps=DAILY)
    pledge = pledged(database, scene.mission, unit_minor=30, cap_minor=100, last_slice=rule.value)
    acts(scene, 5)
    scene.drain()
    assert book(database, pledge) == {"commitment": -spent, "pending": spent}
    assert accruals(database)[-1].amount_minor in (last, 30)
    now = standing(database, pledge)
    assert (now.state, now.state_reason, now.acts) == ("exhausted", "cap_reached", len(accruals(database)))
    assert scene.problems() == []


def test_thirty_cents_an_act_against_a_hundred_euros_give_99_90_and_keep_the_rest(database: Database) -> None:
    scene = set_scene(database, steps=[StepPlan(StepKind.STAFF_VALIDATED, 0, Repeat.DAILY)])
    pledge = pledged(
        database, scene.mission, unit_minor=30, cap_minor=10_000, last_slice=LastSlice.KEEP_REMAINDER.value
    )
    witnessed(scene, 340)
    scene.drain()
    assert book(database, pledge) == {"commitment": -9_990, "pending": 9_990}
    assert (standing(database, pledge).state, standing(database, pledge).acts) == ("exhausted", 333)
    assert scene.problems() == []


def witnessed(scene: Scene, number: int, *, at: datetime = NOON, phase: str = "live") -> list[UUID]:
    """So many acts that rest on no scan, each of somebody new."""
    done = []
    with scene.database.transaction() as session:
        step = missions.steps_of(session, scene.mission.id)[0]
        owner = planning.campaign_by_id(session, scene.mission.organisation_id, scene.campaign.id)
        for one in range(number):
            person = make_participant(session, owner_of(session, owner), now=at + timedelta(milliseconds=one))
            if phase == "live":
                missions.take_part(session, scene.mission, person, phase=phase, now=at)
            missions.complete(
                session,
                scene.mission,
                step,
                person,
                period=missions.period_of(step.repeat, at, "Europe/Paris"),
                presence=3,
                phase=phase,
                source_id=uuid4(),
                state=CompletionState.VERIFIED,
                now=at + timedelta(milliseconds=one),
            )
            done.append(person.id)
    return done


def owner_of(session: Any, campaign: Any) -> Any:
    return session.get_one(Organisation, campaign.organisation_id)


def test_a_person_and_a_day_have_caps_of_their_own(database: Database) -> None:
    scene = set_scene(database, steps=DAILY)
    pledge = pledged(database, scene.mission, unit_minor=10, per_person_cap_minor=25, per_day_cap_minor=30)
    _, done = act(scene)
    scene.drain()
    for day in range(1, 4):
        at = NOON + timedelta(days=day)
        row = scene.scan(at=at, visitor_key=7)
        scene.check_in(row, cookie=done.secret, now=at, position=INSIDE)
        scene.drain(now=at)
    assert [one.amount_minor for one in accruals(database)] == [10, 10, 5]
    acts(scene, 5, at=NOON + timedelta(days=9), first=50)
    scene.drain(now=NOON + timedelta(days=9))
    assert sum(one.amount_minor for one in accruals(database, pledge)) == 25 + 30
    with database.snapshot() as session:
        assert session.exec(select(Event)).all() == []  # none was refused by the CHECK behind it
    assert scene.problems() == []


def test_a_match_adds_its_share_of_what_it_matches_and_goes_with_it(database: Database) -> None:
    scene = set_scene(database, steps=DAILY)
    base = pledged(database, scene.mission, unit_minor=33)
    match = pledged(
        database, scene.mission, kind=PledgeKind.MATCH.value, matches_id=base.id, match_percent=50, cap_minor=20
    )
    rows = acts(scene, 2)
    scene.drain()
    assert [one.amount_minor for one in accruals(database, match)] == [16, 4]
    assert standing(database, match).state == "exhausted"
    void(scene, rows[0].id)
    assert [one[1] for one in told(database, base)] == ["voided", "pending"]
    assert sorted(one[1] for one in told(database, match)) == ["pending", "voided"]
    assert standing(database, match).state == "active"
    assert scene.problems() == []


def test_a_threshold_pays_each_time_it_is_reached_and_takes_the_last_back(database: Database) -> None:
    scene = set_scene(database, steps=DAILY)
    pledge = pledged(database, scene.mission, kind=PledgeKind.THRESHOLD.value, threshold=2, unit_minor=500)
    rows = acts(scene, 5)
    scene.drain()
    assert book(database, pledge) == {"commitment": -1000, "pending": 1000}
    assert standing(database, pledge).acts == 5
    void(scene, rows[0].id)
    assert (standing(database, pledge).acts, book(database, pledge)["pending"]) == (4, 1000)
    void(scene, rows[1].id)
    assert (standing(database, pledge).acts, book(database, pledge)["pending"]) == (3, 500)
    acts(scene, 1, first=70, at=minutes(2))
    scene.drain(now=minutes(2))
    assert (standing(database, pledge).acts, book(database, pledge)["pending"]) == (4, 1000)
    assert scene.problems() == []


def test_things_are_counted_like_money(database: Database) -> None:
    scene = set_scene(database, steps=DAILY)
    pledge = pledged(database, scene.mission, kind=PledgeKind.IN_KIND.value, currency="XXX", unit_minor=1, cap_minor=2)
    acts(scene, 3)
    scene.drain()
    assert book(database, pledge) == {"commitment": -2, "pending": 2}


def test_who_chose_a_cause_funds_it_where_the_pledge_names_it(database: Database) -> None:
    scene = set_scene(database, steps=DAILY)
    with database.transaction() as session:
        owner = scene.mission.organisation_id
        first, second, other = (make_cause(session, owner, name) for name in ("First", "Second", "Other"))
    pledged(database, scene.mission, causes=[first, second])
    for number, cause in enumerate((None, second, other)):
        _, done = act(scene, number)
        if cause is not None:
            with database.transaction() as session:
                key = {"mission_id": scene.mission.id, "participant_id": done.person.id}
                session.add(CauseChoice(**key, beneficiary_id=cause.id, chosen_at=NOON))
    scene.drain()
    assert sorted(one.beneficiary_id for one in accruals(database)) == sorted([first.id, second.id, first.id])


def test_a_person_has_one_random_name_in_a_ledger(database: Database) -> None:
    scene = set_scene(database, steps=DAILY)
    pledged(database, scene.mission)
    _, done = act(scene)
    at = NOON + timedelta(days=1)
    row = scene.scan(at=at, visitor_key=3)
    scene.check_in(row, cookie=done.secret, now=at, position=INSIDE)
    scene.drain(now=at)
    names = {one.surrogate for one in accruals(database)}
    assert len(names) == 1
    assert names != {done.person.id}


def test_after_the_review_it_is_due(database: Database) -> None:
    scene = set_scene(database, steps=DAILY)
    pledge = pledged(database, scene.mission)
    acts(scene, 3)
    scene.drain()
    worker.post_accruals(database, now=NOON + REVIEW - timedelta(seconds=1))
    assert book(database, pledge) == {"commitment": -30, "pending": 30}
    worker.post_accruals(database, now=NOON + REVIEW)
    assert book(database, pledge) == {"commitment": -30, "due": 30}
    worker.post_accruals(database, now=NOON + REVIEW)
    assert [one.state for one in accruals(database)] == ["posted"] * 3
    assert scene.problems() == []


def test_more_than_a_hundred_are_posted_in_one_round(database: Database) -> None:
    scene = set_scene(database, steps=[StepPlan(StepKind.STAFF_VALIDATED, 0, Repeat.DAILY)])
    pledge = pledged(database, scene.mission)
    witnessed(scene, 230)
    scene.drain()
    worker.post_accruals(database, now=NOON + REVIEW)
    assert book(database, pledge) == {"commitment": -2300, "due": 2300}


def test_a_release_ends_the_review_of_one_or_of_all(database: Database) -> None:
    scene = set_scene(database, steps=DAILY)
    pledge = pledged(database, scene.mission)
    acts(scene, 3)
    scene.drain()
    first = accruals(database)[0]
    with database.transaction() as session:
        assert sponsorship.release(session, standing(database, pledge), accrual_id=first.id, now=minutes(1)) == 1
    assert book(database, pledge) == {"commitment": -30, "pending": 20, "due": 10}
    with database.transaction() as session:
        assert sponsorship.release(session, standing(database, pledge), now=minutes(1)) == 2
    assert book(database, pledge) == {"commitment": -30, "due": 30}
    assert scene.problems() == []


def test_a_reversal_after_posting_frees_the_room_exactly_and_the_pledge_is_active_again(database: Database) -> None:
    scene = set_scene(database, steps=DAILY)
    pledge = pledged(database, scene.mission, cap_minor=25)
    rows = acts(scene, 3)
    scene.drain()
    worker.post_accruals(database, now=NOON + REVIEW)
    assert standing(database, pledge).state == "exhausted"
    void(scene, rows[0].id, now=NOON + REVIEW)
    assert book(database, pledge)["commitment"] in (-15, -20)
    assert sorted(one.state for one in accruals(database)) == ["posted", "posted", "reversed"]
    assert standing(database, pledge).state == "active"
    with database.snapshot() as session:
        moved = session.exec(select(ledger.Transfer)).all()
    undone = [one for one in moved if one.reverses is not None]
    assert len(undone) == 2
    assert len({one.group_id for one in undone}) == 1
    scene.drain(now=NOON + REVIEW)
    assert scene.problems() == []


def test_an_act_done_anew_in_its_period_accrues_anew(database: Database) -> None:
    scene = set_scene(database, steps=DAILY)
    pledge = pledged(database, scene.mission)
    row, done = act(scene)
    scene.drain()
    void(scene, row.id, now=minutes(1))
    again = scene.scan(at=minutes(90), visitor_key=1001)
    scene.check_in(again, cookie=done.secret, now=minutes(90), position=INSIDE)
    scene.drain(now=minutes(90))
    assert told(database) == [(10, "voided", "Scanned from home"), (10, "pending", None)]
    assert len({one.completion_id for one in accruals(database)}) == 1
    assert book(database, pledge) == {"commitment": -10, "pending": 10}
    assert scene.problems() == []


def test_a_completion_that_another_act_keeps_keeps_its_accrual(database: Database) -> None:
    scene = set_scene(database, steps=DAILY)
    pledge = pledged(database, scene.mission)
    row, done = act(scene)
    again = scene.scan(at=minutes(90), visitor_key=1001)
    scene.check_in(again, cookie=done.secret, now=minutes(90), position=INSIDE)
    scene.drain(now=minutes(90))
    assert ("completion", "kept") in void(scene, row.id, now=minutes(91))
    scene.drain(now=minutes(91))
    assert told(database) == [(10, "pending", None)]
    assert book(database, pledge) == {"commitment": -10, "pending": 10}


def test_a_void_names_the_accruals_it_took_along_once(database: Database) -> None:
    scene = set_scene(database, steps=DAILY)
    pledged(database, scene.mission)
    row, _ = act(scene)
    scene.drain()
    first = void(scene, row.id)
    assert ("accrual", "reversed") in first
    assert void(scene, row.id) == first
    assert len(accruals(database)) == 1


def pay(database: Database, pledge: Pledge, *ids: UUID, state: str = "sent") -> UUID:
    """A payout of these accruals, as far as it has come."""
    with database.transaction() as session:
        rows = [one for one in accruals(database, pledge) if one.id in ids]
        payout = Payout(
            organisation_id=pledge.organisation_id,
            beneficiary_id=rows[0].beneficiary_id,
            currency="EUR",
            amount_minor=sum(one.amount_minor for one in rows),
            state=state,
            proposed_by=uuid4(),
            proposed_at=NOON,
        )
        session.add(payout)
        session.flush()
        session.add_all(PayoutItem(accrual_id=one.id, payout_id=payout.id) for one in rows)
        if state == "sent":
            kinds = (ledger.AccountKind.DUE, ledger.AccountKind.SETTLED)
            move = ledger.Move(*kinds, payout.amount_minor, ledger.Code.PAYOUT, payout.id)
            book_ = ledger.book_of(session, pledge.id, mission_id=pledge.mission_id)
            ledger.post(session, book_, [move], now=NOON)
    return payout.id


def test_what_was_sent_stays_paid_and_says_that_its_act_was_undone(database: Database) -> None:
    scene = set_scene(database, steps=DAILY)
    pledge = pledged(database, scene.mission)
    row, _ = act(scene)
    scene.drain()
    worker.post_accruals(database, now=NOON + REVIEW)
    pay(database, pledge, accruals(database)[0].id)
    assert ("accrual", "kept") in void(scene, row.id, now=NOON + REVIEW)
    (one,) = accruals(database)
    assert (one.state, one.reason, one.act_undone_at) == ("posted", "Scanned from home", NOON + REVIEW)
    assert book(database, pledge) == {"commitment": -10, "settled": 10}
    scene.drain(now=NOON + REVIEW)
    assert scene.problems() == []


@pytest.mark.parametrize("state", ["proposed", "approved"])
def test_a_payout_that_was_not_sent_is_cancelled_and_lets_the_others_go(database: Database, state: str) -> None:
    scene = set_scene(database, steps=DAILY)
    pledge = pledged(database, scene.mission)
    rows = acts(scene, 2)
    scene.drain()
    worker.post_accruals(database, now=NOON + REVIEW)
    payout_id = pay(database, pledge, *[one.id for one in accruals(database)], state=state)
    void(scene, rows[0].id, now=NOON + REVIEW)
    with database.snapshot() as session:
        payout = session.get_one(Payout, payout_id)
        assert session.exec(select(PayoutItem)).all() == []
    assert (payout.state, payout.state_reason) == ("cancelled", "Scanned from home")
    assert sorted(one.state for one in accruals(database)) == ["posted", "reversed"]
    assert book(database, pledge) == {"commitment": -10, "due": 10}


def void_one(scene: Scene, accrual_id: UUID, *, reason: str = "Fraud", by: UUID | None = None) -> None:
    with scene.database.transaction() as session:
        one, pledge = sponsorship.accrual_of(session, scene.mission.organisation_id, accrual_id)
        sponsorship.void(session, one, pledge, reason=reason, by=by or uuid4(), now=minutes(1))


def test_a_member_voids_an_accrual_for_good_with_what_matches_it(database: Database) -> None:
    scene = set_scene(database, steps=DAILY)
    base = pledged(database, scene.mission)
    match = pledged(database, scene.mission, kind=PledgeKind.MATCH.value, matches_id=base.id, match_percent=100)
    row, _ = act(scene)
    scene.drain()
    member = uuid4()
    void_one(scene, accruals(database, base)[0].id, reason="A photo of the code", by=member)
    judge_as(scene, row, "valid", now=minutes(2))
    scene.drain(now=minutes(2))
    assert told(database, base) == [(10, "voided", "A photo of the code")]
    assert told(database, match) == [(10, "voided", "A photo of the code")]
    assert accruals(database, base)[0].undone_by == member
    assert scene.problems() == []


def test_what_was_paid_cannot_be_voided(database: Database) -> None:
    scene = set_scene(database, steps=DAILY)
    pledge = pledged(database, scene.mission)
    act(scene)
    scene.drain()
    worker.post_accruals(database, now=NOON + REVIEW)
    pay(database, pledge, accruals(database)[0].id)
    with pytest.raises(Conflict, match="what was paid stays"):
        void_one(scene, accruals(database)[0].id)
    assert accruals(database)[0].act_undone_at is None


def test_while_a_campaign_is_paused_nothing_accrues_or_is_posted_and_all_is_caught_up(database: Database) -> None:
    """I20."""
    scene = set_scene(database, steps=DAILY)
    pledge = pledged(database, scene.mission)
    acts(scene, 2)
    scene.drain()
    acts(scene, 2, first=20, at=minutes(1))
    turn_campaign(database, scene.campaign, planning.pause, now=minutes(2))
    scene.drain(now=minutes(2))
    worker.post_accruals(database, now=NOON + REVIEW)
    assert book(database, pledge) == {"commitment": -20, "pending": 20}
    with database.transaction() as session, pytest.raises(Conflict, match="paused"):
        sponsorship.release(session, standing(database, pledge), now=minutes(3))
    turn_campaign(database, scene.campaign, planning.resume, now=minutes(4))
    scene.drain(now=minutes(4))
    assert book(database, pledge) == {"commitment": -40, "pending": 40}
    worker.post_accruals(database, now=NOON + REVIEW + timedelta(minutes=4))
    assert book(database, pledge) == {"commitment": -40, "due": 40}
    with database.snapshot() as session:
        assert session.exec(select(WaitingAct)).all() == []
    assert scene.problems() == []


@pytest.mark.parametrize("is_paused", [False, True])
def test_what_was_done_while_it_was_live_accrues_though_the_campaign_ended(database: Database, is_paused: bool) -> None:
    scene = set_scene(database, steps=DAILY)
    pledge = pledged(database, scene.mission)
    acts(scene, 2)
    if is_paused:
        turn_campaign(database, scene.campaign, planning.pause, now=minutes(1))
        scene.drain(now=minutes(1))
        assert book(database, pledge) == {}
    turn_campaign(database, scene.campaign, planning.end, now=minutes(2))
    scene.drain(now=minutes(2))
    assert book(database, pledge) == {"commitment": -20, "pending": 20}
    worker.post_accruals(database, now=NOON + REVIEW + timedelta(minutes=2))
    assert book(database, pledge) == {"commitment": -20, "due": 20}


@pytest.mark.parametrize("is_resumed", [True, False])
def test_a_pledge_does_not_settle_while_acts_of_its_window_wait(database: Database, is_resumed: bool) -> None:
    scene = set_scene(database, steps=DAILY)
    pledge = pledged(database, scene.mission, ends_at=NOON + timedelta(hours=1))
    acts(scene, 2)
    turn_campaign(database, scene.campaign, planning.pause, now=minutes(1))
    scene.drain(now=minutes(2))
    later = NOON + timedelta(hours=1) + 2 * REVIEW
    for at in (NOON + timedelta(hours=1), later):
        worker.end_pledges(database, now=at)
    assert standing(database, pledge).state == "ended"
    turn_campaign(database, scene.campaign, planning.resume if is_resumed else planning.end, now=later)
    worker.post_accruals(database, now=later)
    worker.end_pledges(database, now=later)  # they are handed on, and not reckoned yet
    scene.drain(now=later)
    assert book(database, pledge) == {"commitment": -20, "pending": 20}
    assert scene.problems() == []


def test_a_void_does_not_wait_for_a_paused_campaign(database: Database) -> None:
    scene = set_scene(database, steps=DAILY)
    pledge = pledged(database, scene.mission)
    row, _ = act(scene)
    scene.drain()
    turn_campaign(database, scene.campaign, planning.pause, now=minutes(1))
    void(scene, row.id, now=minutes(2))
    assert book(database, pledge) == {}


def test_acts_done_while_a_pledge_became_active_are_not_missed(database: Database) -> None:
    scene = set_scene(database, steps=DAILY)
    act(scene)
    scene.drain()  # nobody had pledged anything: the events are gone
    pledge = pledged(database, scene.mission)
    with database.transaction() as session:
        record_event(session, "pledge.activated", now=minutes(1), pledge_id=pledge.id)
    scene.drain(now=minutes(1))
    assert book(database, pledge) == {"commitment": -10, "pending": 10}


def test_whatever_the_order_of_events_the_outcome_is_the_same(database: Database) -> None:
    scene = set_scene(database, steps=DAILY)
    pledge = pledged(database, scene.mission)
    act(scene)
    with database.transaction() as session:  # the completion's own event comes long before the judge's
        events = session.exec(select(Event).where(Event.name != "step.completed")).all()
        kept = [one.model_dump() for one in events]
        for one in events:
            session.delete(one)
    scene.drain()
    assert book(database, pledge) == {}
    with database.transaction() as session:
        session.add_all(Event(**one) for one in kept)
    scene.drain()
    assert book(database, pledge) == {"commitment": -10, "pending": 10}


def test_no_pledge_no_event_and_no_row(database: Database) -> None:
    scene = set_scene(database, steps=DAILY)
    row, _ = act(scene)
    worker.drain(database, now=NOON)
    with database.snapshot() as session:
        assert session.exec(select(Event)).all() == []
    void(scene, row.id)
    assert told(database) == []
