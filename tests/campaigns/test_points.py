"""Points and badges: earned once by an act beyond doubt, spent once, taken back with their act. On both databases."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text, update
from sqlalchemy.exc import DatabaseError, IntegrityError
from sqlmodel import col, select

from campaigns import missions, planning, privacy, rewards, worker
from campaigns.errors import Conflict, Invalid, NotFound
from campaigns.missions import Mission, Repeat, StepKind, StepPlan
from campaigns.participants import Participant
from campaigns.planning import Campaign, State
from campaigns.rewards import (
    Badge,
    BadgeAward,
    BadgeKind,
    BadgePlan,
    Bought,
    LotState,
    OfferPlan,
    OncePer,
    PointsLot,
    PointsSpendLine,
    Unlock,
)
from campaigns.storage import Database
from tests.campaigns.counter import Counter, set_counter
from tests.campaigns.test_merging import merge
from tests.campaigns.test_reversal import void
from tests.factories import NOON
from tests.racing import race
from tests.scene import FAR, INSIDE

DAY = timedelta(days=1)
STEPS = [StepPlan(StepKind.SCAN, 0, Repeat.DAILY, points=10), StepPlan(StepKind.IDEA, points=5)]


def set_purse(database: Database, *, points: int = 10, days: int | None = None, **overrides: Any) -> Counter:
    """A scene whose visits are worth ten points, with an offer for points."""
    steps = overrides.pop("steps", STEPS)
    counter = set_counter(database, steps=steps, unlock=Unlock.POINTS, points=points, **overrides)
    with database.transaction() as session:
        session.get_one(Mission, counter.scene.mission.id).points_expire_days = days
    return counter


def lots_of(counter: Counter, person: Participant | None = None) -> list[PointsLot]:
    mine = select(PointsLot).where(PointsLot.campaign_id == counter.scene.campaign.id)
    query = mine.order_by(col(PointsLot.earned_at), col(PointsLot.id))
    with counter.database.snapshot() as session:
        return list(session.exec(query if person is None else query.where(PointsLot.participant_id == person.id)))


def standing(counter: Counter) -> list[tuple[str, int, int]]:
    return [(one.state, one.amount, one.spent) for one in lots_of(counter)]


def buy(counter: Counter, person: Participant, *, client_id: str | None = None, now: datetime = NOON) -> Bought:
    with counter.database.transaction() as session:
        campaign = session.get_one(Campaign, counter.scene.campaign.id)
        offer = session.get_one(rewards.Offer, counter.offer_id)
        return rewards.buy(session, campaign, person, offer, client_id=client_id or uuid4().hex, now=now)


def balance(counter: Counter, person: Participant, *, now: datetime = NOON, phase: str = "live") -> int:
    with counter.database.snapshot() as session:
        return rewards.balance(session, counter.scene.campaign.id, person.id, phase, now=now)


def make_badge(counter: Counter, kind: BadgeKind = BadgeKind.COMPLETIONS, at_least: int = 2, **more: Any) -> Badge:
    with counter.database.transaction() as session:
        campaign = session.get_one(Campaign, counter.scene.campaign.id)
        plan = BadgePlan({"fr": "Fidèle", "en": "Regular"}, kind, at_least, **more)
        return rewards.make_badge(session, campaign, plan, now=NOON)


def awards(counter: Counter) -> list[tuple[str, str | None]]:
    """The phase of each award and why it was revoked."""
    with counter.database.snapshot() as session:
        rows = session.exec(select(BadgeAward).order_by(col(BadgeAward.id))).all()
    return [(one.phase, one.reason) for one in rows]


def test_a_visit_the_judge_found_valid_gives_its_points_once(database: Database) -> None:
    counter = set_purse(database)
    _, person, _ = counter.visit()
    assert standing(counter) == [("available", 10, 0)]
    assert balance(counter, person) == 10
    with database.transaction() as session:
        done = [lots_of(counter)[0].completion_id]
        rewards.give(session, rewards.due_for(session, completion_ids=done, now=NOON), now=NOON)
    assert standing(counter) == [("available", 10, 0)], "the same completion again gives none"
    assert counter.scene.problems() == []


def test_points_wait_for_the_judge_and_those_of_an_act_online_do_not(database: Database) -> None:
    counter = set_purse(database)
    row = counter.scene.scan()
    done = counter.scene.check_in(row, position=INSIDE)
    with database.snapshot() as session:
        found = rewards.due_for(session, scan_ids=[UUID(row.id)], now=NOON)
    assert [one.is_sure for one in found.earnings] == [False]
    with database.transaction() as session:
        rewards.give(session, found, now=NOON)
    assert standing(counter) == [("pending", 10, 0)]
    assert balance(counter, done.person) == 0
    with pytest.raises(Conflict) as refused:
        buy(counter, done.person)
    assert refused.value.code == "points_short"
    counter.scene.drain()
    assert standing(counter) == [("available", 10, 0)]
    counter.scene.post_idea(done.person)
    counter.scene.drain()
    assert balance(counter, done.person) == 15


def test_a_far_visit_and_a_test_of_a_draft_give_no_points(database: Database) -> None:
    counter = set_purse(database)
    counter.scene.check_in(counter.scene.scan(), position=FAR)
    counter.scene.drain()
    assert [one for one in standing(counter) if one[0] != "pending"] == []
    with database.transaction() as session:
        session.get_one(Campaign, counter.scene.campaign.id).state = State.DRAFT.value
    _, person, _ = counter.visit()
    assert lots_of(counter, person) == []


def test_one_spend_draws_the_lots_that_end_first_and_its_lines_say_so(database: Database) -> None:
    counter = set_purse(database, points=15, days=30)
    _, person, cookie = counter.visit()
    with database.transaction() as session:
        session.get_one(Mission, counter.scene.mission.id).points_expire_days = 5
    counter.visit(now=NOON + DAY, cookie=cookie)
    with database.transaction() as session:
        session.get_one(Mission, counter.scene.mission.id).points_expire_days = None
    counter.visit(now=NOON + 2 * DAY, cookie=cookie)
    bought = buy(counter, person, now=NOON + 2 * DAY)
    assert standing(counter) == [("available", 10, 5), ("spent", 10, 10), ("available", 10, 0)]
    with database.snapshot() as session:
        lines = session.exec(select(PointsSpendLine).order_by(col(PointsSpendLine.points))).all()
    first, second, _ = lots_of(counter)
    assert [(one.lot_id, one.points) for one in lines] == [(first.id, 5), (second.id, 10)]
    assert (bought.coupon.participant_id, bought.coupon.source_id) == (person.id, bought.spend.id)
    assert balance(counter, person, now=NOON + 2 * DAY) == 15
    assert balance(counter, person, now=NOON + 31 * DAY) == 10, "what is past its date is not there"
    assert counter.scene.problems() == []


def test_a_repeat_gets_the_first_coupon_and_spends_nothing(database: Database) -> None:
    counter = set_purse(database, once_per=OncePer.ACT)
    _, person, cookie = counter.visit()
    counter.visit(now=NOON + DAY, cookie=cookie)
    first = buy(counter, person, client_id="tap-1", now=NOON + DAY)
    again = buy(counter, person, client_id="tap-1", now=NOON + DAY)
    assert (first.is_replay, again.is_replay, again.coupon.id) == (False, True, first.coupon.id)
    assert balance(counter, person, now=NOON + DAY) == 10
    buy(counter, person, client_id="tap-2", now=NOON + DAY)
    assert balance(counter, person, now=NOON + DAY) == 0


def test_who_has_too_few_points_or_their_one_coupon_spends_nothing(database: Database) -> None:
    counter = set_purse(database, points=5)
    _, person, _ = counter.visit()
    buy(counter, person)
    with pytest.raises(Conflict) as refused:
        buy(counter, person)
    assert refused.value.code == "has_coupon"
    assert balance(counter, person) == 5
    counter.edit(max_issue=1, max_redemptions=1)
    _, other, _ = counter.visit()
    with pytest.raises(Conflict) as refused:
        buy(counter, other)
    assert refused.value.code == "no_coupon_left"
    dear = set_purse(database, points=11)
    _, poor, _ = dear.visit()
    with pytest.raises(Conflict) as refused:
        buy(dear, poor)
    assert refused.value.code == "points_short"
    assert (balance(counter, other), balance(dear, poor)) == (10, 10)
    assert counter.scene.problems() == []


def test_a_voided_visit_takes_back_what_is_left_of_its_points_and_says_why(database: Database) -> None:
    counter = set_purse(database, points=4)
    row, person, cookie = counter.visit()
    buy(counter, person)
    later, _, _ = counter.visit(now=NOON + DAY, cookie=cookie)
    assert ("points", "used") in void(counter.scene, row.id, now=NOON + DAY)
    first, second = lots_of(counter)
    assert (first.state, first.amount, first.spent, first.reason) == ("revoked", 10, 4, "Scanned from home")
    assert second.state == "available"
    assert balance(counter, person, now=NOON + DAY) == 10, "never below zero: what was spent is gone, and is told"
    assert [one.state for one in counter.coupons()] == ["issued"]
    void(counter.scene, later.id, now=NOON + DAY)
    assert balance(counter, person, now=NOON + DAY) == 0
    counter.scene.drain(now=NOON + DAY)
    assert [one.state for one in lots_of(counter)] == ["revoked", "revoked"]
    assert counter.scene.problems() == []


def test_points_end_after_the_days_of_their_mission(database: Database) -> None:
    counter = set_purse(database, days=3)
    _, person, _ = counter.visit()
    worker.expire_coupons(database, now=NOON + 2 * DAY)
    assert [one.state for one in lots_of(counter)] == ["available"]
    over = NOON + 3 * DAY
    assert lots_of(counter)[0].state_at(over) is LotState.EXPIRED
    with pytest.raises(Conflict) as refused:
        buy(counter, person, now=over)
    assert refused.value.code == "points_short"
    worker.expire_coupons(database, now=over)
    (lot,) = lots_of(counter)
    assert (lot.state, lot.ended_at) == ("expired", over)


@pytest.mark.parametrize("how", ["resumed", "ended", "over"])
def test_nothing_is_given_while_a_campaign_is_paused_and_all_of_it_after(database: Database, how: str) -> None:
    """The act was done while it was live, and judged while it was paused: it is worth what it was."""
    over = NOON + DAY
    counter = set_purse(database, campaign={"ends_at": over})
    make_badge(counter, BadgeKind.PLACES, 1)
    with database.transaction() as session:
        campaign = session.get_one(Campaign, counter.scene.campaign.id)
        first = missions.steps_of(session, counter.scene.mission.id)[0]
        plan = OfferPlan({"en": "A gift"}, 10, Unlock.STEP, step_id=first.id)
        gift = rewards.make_offer(session, campaign, plan, now=NOON)
    row = counter.scene.scan()
    person = counter.scene.check_in(row, position=INSIDE).person
    with database.transaction() as session:
        planning.pause(session, session.get_one(Campaign, counter.scene.campaign.id), now=NOON)
    counter.scene.drain()
    worker.post_accruals(database, now=NOON)
    counter.scene.drain()
    with database.snapshot() as session:
        assert (lots_of(counter), rewards.coupons_of(session, [person.id], now=NOON), awards(counter)) == ([], [], [])
    if how == "over":
        worker.post_accruals(database, now=over)  # nobody resumes it: its time is over
    else:
        act = planning.resume if how == "resumed" else planning.end
        with database.transaction() as session:
            act(session, session.get_one(Campaign, counter.scene.campaign.id), now=NOON)
    counter.scene.drain(now=over if how == "over" else NOON)
    assert balance(counter, person) == 10
    with database.snapshot() as session:
        assert [one.offer.id for one in rewards.coupons_of(session, [person.id], now=NOON)] == [gift.id]
    assert awards(counter) == [("live", None)]
    assert counter.scene.problems() == []


def test_two_names_bring_their_points_and_one_erased_leaves_them_counted(database: Database) -> None:
    counter = set_purse(database, points=15)
    _, older, _ = counter.visit()
    _, newer, _ = counter.visit(now=NOON + DAY)
    merge(database, older, newer, now=NOON + DAY)
    counter.scene.drain(now=NOON + DAY)
    assert balance(counter, older, now=NOON + DAY) == 20
    buy(counter, older, now=NOON + DAY)
    with database.erasing() as session:
        privacy.erase(session, older.id, note=lambda *_: None, now=NOON + DAY)
    assert sorted(standing(counter)) == [("available", 10, 5), ("spent", 10, 10)]
    assert lots_of(counter, older) == []
    with pytest.raises(NotFound):
        buy(counter, older, now=NOON + DAY)
    assert counter.scene.problems() == []


def test_of_one_days_visit_under_two_names_one_keeps_its_points(database: Database) -> None:
    counter = set_purse(database)
    _, older, _ = counter.visit()
    _, newer, _ = counter.visit(now=NOON + timedelta(minutes=30))
    merge(database, older, newer, now=NOON + DAY)
    assert [(one.state, one.reason) for one in lots_of(counter)] == [("available", None), ("revoked", "merged")]
    assert balance(counter, older, now=NOON + DAY) == 10
    assert counter.scene.problems() == []


def test_of_many_spends_of_the_last_points_at_once_one_gets_its_coupon(database: Database) -> None:
    counter = set_purse(database, once_per=OncePer.ACT)
    _, person, _ = counter.visit()
    told = race(8, lambda n: buy(counter, person, client_id=f"tap-{n}"))
    assert sum(isinstance(one, Bought) for one in told) == 1
    assert {one.code for one in told if isinstance(one, Conflict)} == {"points_short"}
    assert sum(isinstance(one, Conflict) for one in told) == 7
    again = race(8, lambda _: buy(counter, person, client_id="tap-x"))
    assert {getattr(one, "code", None) for one in again} == {"points_short"}
    assert standing(counter) == [("spent", 10, 10)]
    assert len(counter.coupons()) == 1
    assert counter.scene.problems() == []


def test_one_spend_sent_many_times_at_once_is_one_coupon(database: Database) -> None:
    counter = set_purse(database, points=3, once_per=OncePer.ACT)
    _, person, _ = counter.visit()
    told = race(8, lambda _: buy(counter, person, client_id="tap"))
    assert {one.coupon.id for one in told if isinstance(one, Bought)} == {counter.coupons()[0].id}
    assert [one for one in told if not isinstance(one, Bought)] == []
    assert balance(counter, person) == 7


def test_one_client_id_of_both_names_is_no_hindrance_to_a_merge(database: Database) -> None:
    counter = set_purse(database, once_per=OncePer.ACT)
    _, older, _ = counter.visit()
    _, newer, _ = counter.visit(now=NOON + DAY)
    first = buy(counter, older, client_id="tap", now=NOON + DAY)
    buy(counter, newer, client_id="tap", now=NOON + DAY)
    merge(database, older, newer, now=NOON + DAY)
    assert buy(counter, older, client_id="tap", now=NOON + DAY).coupon.id == first.coupon.id
    assert counter.scene.problems() == []


def test_what_was_spent_is_never_rewritten_and_never_more_than_there_was(database: Database) -> None:
    counter = set_purse(database)
    _, person, _ = counter.visit()
    buy(counter, person)
    for statement in ("UPDATE points_spend_lines SET points = 1", "DELETE FROM points_spend_lines"):
        with pytest.raises(DatabaseError), database.transaction() as session:
            session.execute(text(statement))
    with pytest.raises(IntegrityError), database.transaction() as session:
        session.execute(update(PointsLot).values(spent=11))


BROKEN = [
    ("points_lots", "amount", "UPDATE points_lots SET amount = 0, spent = 0"),
    ("points_lots", "spent", "UPDATE points_lots SET spent = -1"),
    ("points_lots", "used_up", "UPDATE points_lots SET state = 'spent'"),
    ("points_lots", "pending", "UPDATE points_lots SET state = 'pending', spent = 0"),
    ("points_lots", "pending", "UPDATE points_lots SET state = 'pending', available_at = NULL"),
    ("points_lots", "ended", "UPDATE points_lots SET state = 'expired'"),
    ("points_lots", "ended", "UPDATE points_lots SET ended_at = earned_at"),
    ("points_lots", "reason", "UPDATE points_lots SET reason = 'voided'"),
    ("points_lots", "reason", "UPDATE points_lots SET state = 'revoked', ended_at = earned_at"),
    ("points_spends", "points", "UPDATE points_spends SET points = 0"),
    (
        "points_spend_lines",
        "points",
        "INSERT INTO points_spend_lines SELECT spend_id, lot_id, 0 FROM points_spend_lines",
    ),
    ("badges", "at_least", "UPDATE badges SET at_least = 0"),
    ("badge_awards", "reason", "UPDATE badge_awards SET reason = 'voided'"),
    ("badge_awards", "reason", "UPDATE badge_awards SET revoked_at = awarded_at"),
]


def test_the_database_refuses_what_points_and_badges_cannot_be(database: Database) -> None:
    counter = set_purse(database, points=4)
    make_badge(counter, at_least=1)
    _, person, _ = counter.visit()
    buy(counter, person)
    for table, check, statement in BROKEN:
        with pytest.raises(IntegrityError) as refused, database.transaction() as session:
            session.execute(text(statement))
        assert f"ck_{table}_{check}" in str(refused.value), statement
    assert counter.scene.problems() == []


def test_the_recount_finds_a_lot_that_counts_other_than_its_lines(database: Database) -> None:
    counter = set_purse(database, points=4)
    _, person, _ = counter.visit()
    buy(counter, person)
    with database.transaction() as session:
        session.execute(update(PointsLot).values(spent=3))
    assert any("3 points spent stored, 4 counted" in one for one in counter.scene.problems())


def test_a_badge_comes_with_the_act_that_is_enough_and_goes_with_it(database: Database) -> None:
    counter = set_purse(database)
    make_badge(counter)
    first, _, cookie = counter.visit()
    assert awards(counter) == []
    counter.visit(now=NOON + DAY, cookie=cookie)
    assert awards(counter) == [("live", None)]
    assert ("badge", "reversed") in void(counter.scene, first.id, now=NOON + DAY)
    assert awards(counter) == [("live", "Scanned from home")]
    counter.visit(now=NOON + 2 * DAY, cookie=cookie)
    assert awards(counter) == [("live", None)], "one row, given again"


def test_badges_count_places_votes_and_chosen_ideas_and_leave_out_what_is_not_beyond_doubt(
    database: Database,
) -> None:
    counter = set_purse(database)
    make_badge(counter, BadgeKind.PLACES, 1)
    make_badge(counter, BadgeKind.PLACES, 2)
    mission_id = counter.scene.mission.id
    make_badge(counter, BadgeKind.PLACES, 1, mission_id=mission_id)
    make_badge(counter, BadgeKind.IDEAS_SELECTED, 1)
    make_badge(counter, BadgeKind.VOTES, 1)
    counter.scene.check_in(counter.scene.scan(), position=FAR)
    counter.scene.drain()
    assert awards(counter) == []
    _, person, _ = counter.visit()
    assert len(awards(counter)) == 2, "one place, in the campaign and in the mission"
    counter.scene.post_idea(person)
    counter.scene.drain()
    assert len(awards(counter)) == 2, "an idea that was not chosen"


def test_a_badge_of_another_missions_or_of_an_ended_campaign_is_refused(database: Database) -> None:
    counter = set_purse(database)
    with pytest.raises(Invalid):
        make_badge(counter, mission_id=uuid4())
    with database.transaction() as session:
        planning.end(session, session.get_one(Campaign, counter.scene.campaign.id), now=NOON)
    with pytest.raises(Conflict):
        make_badge(counter)


def test_two_names_have_one_badge_and_what_they_did_together_is_enough(database: Database) -> None:
    counter = set_purse(database)
    make_badge(counter, at_least=2)
    make_badge(counter, at_least=1)
    _, older, _ = counter.visit()
    _, newer, _ = counter.visit(now=NOON + DAY)
    assert awards(counter) == [("live", None)] * 2
    merge(database, older, newer, now=NOON + DAY)
    assert awards(counter) == [("live", None)] * 2
    with database.snapshot() as session:
        assert {badge.at_least for _, badge in rewards.awards_of(session, older.id)} == {1, 2}


def test_a_person_is_told_why_they_have_points(database: Database) -> None:
    counter = set_purse(database, points=4, days=9)
    _, person, _ = counter.visit()
    bought = buy(counter, person)
    counter.scene.post_idea(person)
    counter.scene.drain()
    with database.snapshot() as session:
        visit, idea = sorted(rewards.told(session, person.id), key=lambda one: one.step.position)
    assert (idea.step.kind, idea.place, idea.spends) == ("idea", None, [])
    assert (visit.step.kind, visit.place, visit.lot.earned_at) == ("scan", counter.place.name, NOON)
    assert visit.lot.expires_at == NOON + 9 * DAY
    assert [(spend.id, offer.id, points) for spend, offer, points in visit.spends] == [
        (bought.spend.id, counter.offer_id, 4)
    ]


def test_pilot_points_buy_nothing_once_the_campaign_is_live(database: Database) -> None:
    counter = set_purse(database)
    _, person, _ = counter.visit()
    with database.transaction() as session:
        session.execute(update(PointsLot).values(phase="pilot"))
    assert (balance(counter, person), balance(counter, person, phase="pilot")) == (0, 10)
    with pytest.raises(Conflict) as refused:
        buy(counter, person)
    assert refused.value.code == "points_short"
