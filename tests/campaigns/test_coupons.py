"""Coupons: earned by an act beyond doubt, used once, taken back once; the ledger follows. On both databases."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import col

from campaigns import missions, planning, rewards, worker
from campaigns.errors import Conflict, Invalid, NotFound
from campaigns.missions import Repeat, StepKind, StepPlan
from campaigns.planning import Campaign
from campaigns.rewards import Choice, Coupon, CouponState, OncePer, Refusal, Unlock, Want
from campaigns.scans.models import ScanConfirmation
from campaigns.storage import Database
from campaigns.tokens import codes
from tests.campaigns.counter import set_counter
from tests.campaigns.test_merging import merge
from tests.campaigns.test_reversal import void
from tests.factories import NOON
from tests.scene import FAR, INSIDE

DAY = timedelta(days=1)


def test_a_visit_the_judge_found_valid_gives_one_coupon_and_its_money_is_set_aside(database: Database) -> None:
    counter = set_counter(database)
    _, person, cookie = counter.visit()
    (coupon,) = counter.coupons()
    assert (coupon.participant_id, coupon.state, len(coupon.code)) == (person.id, "issued", codes.LENGTH)
    assert codes.normalise(coupon.code) == coupon.code
    assert counter.balances() == {"budget": -200, "liability": 200}
    counter.visit(now=NOON + DAY, cookie=cookie)
    assert len(counter.coupons()) == 1, "one a person"
    assert counter.totals() == {"coupons_issued": 1}
    assert counter.scene.problems() == []


def test_nothing_is_issued_before_the_judge_has_seen_the_scan(database: Database) -> None:
    counter = set_counter(database)
    row = counter.scene.scan()
    counter.scene.check_in(row, position=INSIDE)

    def is_due() -> bool:
        with database.snapshot() as session:
            return rewards.due(session, scan_ids=[UUID(row.id)], now=NOON) != []

    assert not is_due()
    with database.transaction() as session:
        session.execute(update(ScanConfirmation).values(is_judged=True))
    assert is_due()


def test_a_scan_that_was_found_wanting_gives_nothing(database: Database) -> None:
    counter = set_counter(database)
    row = counter.scene.scan()
    counter.scene.check_in(row, position=FAR)
    counter.scene.drain()
    assert counter.coupons() == []


def test_an_offer_may_give_one_for_each_completion(database: Database) -> None:
    counter = set_counter(database, once_per=OncePer.ACT)
    _, person, cookie = counter.visit()
    counter.visit(now=NOON + DAY, cookie=cookie)
    assert [one.participant_id for one in counter.coupons()] == [person.id] * 2


def test_an_act_online_gives_its_coupon_at_once_and_is_told_apart(database: Database) -> None:
    counter = set_counter(database, steps=[StepPlan(StepKind.IDEA)])
    person = counter.person()
    counter.scene.post_idea(person)
    counter.scene.drain()
    (coupon,) = counter.coupons()
    assert coupon.was_online
    counter.redeem(coupon.code)
    assert counter.totals() == {
        "coupons_issued": 1,
        "coupons_redeemed": 1,
        "online_coupons_issued": 1,
        "online_coupons_redeemed": 1,
    }
    assert counter.scene.problems() == []


def test_a_coupon_is_used_once_and_the_shop_is_owed_its_value(database: Database) -> None:
    counter = set_counter(database)
    coupon = counter.coupon()
    spoken = f" {coupon.code[:4].lower()}-{coupon.code[4:8]} {coupon.code[8:]} "
    done = counter.redeem(spoken, basket_minor=1500)
    assert (done.redemption.outcome, done.deduct_minor, done.is_replay) == ("accepted", 200, False)
    assert counter.balances() == {"budget": -200, "due": 200}
    again = counter.redeem(coupon.code, now=NOON + timedelta(minutes=5))
    assert (again.redemption.reason, again.deduct_minor) == (Refusal.ALREADY_REDEEMED, 0)
    assert again.other is not None
    assert (again.other.id, again.other_place) == (done.redemption.id, counter.place.name)
    assert counter.scene.problems() == []


def test_the_same_message_gets_the_same_answer_and_another_coupon_under_it_none(database: Database) -> None:
    counter = set_counter(database)
    first, second = counter.coupon(), counter.coupon()
    done = counter.redeem(first.code, nonce="ticket-7")
    again = counter.redeem(first.code.lower(), nonce="ticket-7", now=NOON + DAY)
    assert again.is_replay
    assert (again.redemption, again.deduct_minor) == (done.redemption, 200)
    with pytest.raises(Conflict) as refused:
        counter.redeem(second.code, nonce="ticket-7")
    assert refused.value.code == "one_coupon_a_purchase"
    assert counter.read(second).state == CouponState.ISSUED
    refusal = counter.redeem(first.code, nonce="ticket-8")
    assert counter.redeem(first.code, nonce="ticket-8").redemption == refusal.redemption
    assert counter.redeem(second.code, nonce="ticket-7", device="till-2").redemption.outcome == "accepted"


def test_a_given_coupon_takes_nothing_off_the_basket_and_is_owed_to_the_cause(database: Database) -> None:
    counter = set_counter(database)
    cause = counter.name_cause()
    coupon = counter.coupon()
    counter.choose(coupon, Choice.GIVE)
    with database.snapshot() as session:
        looked = rewards.look_up(session, counter.place, coupon.code, now=NOON)
    assert (looked.refusal, looked.deduct_minor) == (None, 0)
    done = counter.redeem(coupon.code)
    assert (done.deduct_minor, done.redemption.value_minor, done.redemption.beneficiary_id) == (0, 200, cause)
    assert counter.balances() == {"budget": -200, "given": 200}
    assert counter.scene.problems() == []


def test_what_has_no_cause_cannot_be_given(database: Database) -> None:
    counter = set_counter(database)
    coupon = counter.coupon()
    with pytest.raises(Conflict) as refused:
        counter.choose(coupon, Choice.GIVE)
    assert refused.value.code == "not_givable"
    assert counter.choose(coupon, Choice.KEEP).choice == "keep"


def test_a_coupon_on_show_keeps_its_choice_until_it_is_put_back(database: Database) -> None:
    counter = set_counter(database)
    counter.name_cause()
    coupon = counter.coupon()
    with database.transaction() as session:
        assert rewards.show_coupon(session, coupon.id, now=NOON).state == CouponState.LOCKED
    with pytest.raises(Conflict) as refused:
        counter.choose(coupon, Choice.GIVE)
    assert refused.value.code == "coupon_shown"
    with database.transaction() as session:
        assert rewards.put_back(session, coupon.id, now=NOON).state == CouponState.ISSUED
    counter.choose(coupon, Choice.GIVE)
    with database.transaction() as session:
        rewards.show_coupon(session, coupon.id, now=NOON)
    assert counter.redeem(coupon.code).redemption.choice == "give"
    for act in (rewards.show_coupon, rewards.put_back):
        with pytest.raises(Conflict) as over, database.transaction() as session:
            act(session, coupon.id, now=NOON)
        assert over.value.code == "coupon_over"


def test_using_a_coupon_completes_the_redeem_step_as_witnessed_and_rolling_back_takes_it_away(
    database: Database,
) -> None:
    counter = set_counter(database)
    person = counter.person()
    coupon = counter.coupon(person)
    done = counter.redeem(coupon.code)
    with database.snapshot() as session:
        stands = missions.standing(session, counter.scene.mission, person)
    assert (stands.member, stands.done) == (True, {2: "verified"})
    counter.roll_back(done.redemption.id)
    with database.snapshot() as session:
        assert missions.standing(session, counter.scene.mission, person).done == {}
    assert counter.scene.problems() == []


def test_a_mistake_is_taken_back_once_the_same_day(database: Database) -> None:
    counter = set_counter(database)
    coupon = counter.coupon()
    done = counter.redeem(coupon.code)
    with pytest.raises(Conflict) as late:
        counter.roll_back(done.redemption.id, now=NOON + DAY)
    assert late.value.code == "not_today"
    counter.roll_back(done.redemption.id)
    assert counter.read(coupon).state == CouponState.ROLLED_BACK
    assert counter.balances() == {"budget": -200, "liability": 200}
    with pytest.raises(Conflict):
        counter.roll_back(done.redemption.id)
    second = counter.redeem(coupon.code)
    assert second.redemption.outcome == "accepted"
    with pytest.raises(Conflict) as twice:
        counter.roll_back(second.redemption.id)
    assert twice.value.code == "rolled_back_before"
    assert counter.balances() == {"budget": -200, "due": 200}
    assert counter.totals()["coupons_redeemed"] == 1
    assert counter.scene.problems() == []


def test_a_refusal_cannot_be_taken_back_nor_the_use_of_another_place(database: Database) -> None:
    counter = set_counter(database)
    refused = counter.redeem("7K3Q-9XAB-W4")
    assert refused.redemption.reason == Refusal.UNKNOWN
    with pytest.raises(Conflict):
        counter.roll_back(refused.redemption.id)
    done = counter.redeem(counter.coupon().code)
    with pytest.raises(NotFound):
        counter.roll_back(done.redemption.id, place=counter.another())


def test_each_refusal_has_its_reason(database: Database) -> None:
    counter = set_counter(database, valid_from=NOON + DAY, valid_until=NOON + 3 * DAY, max_redemptions=1)
    coupon, elsewhere = counter.coupon(), counter.another()

    def reason(**options: Any) -> str | None:
        return counter.redeem(coupon.code, **options).redemption.reason

    assert reason() == Refusal.NOT_YET_VALID
    assert reason(now=NOON + 3 * DAY) == Refusal.EXPIRED
    counter.edit(place_ids=[f"plc_{elsewhere.id.hex}"])
    assert reason(now=NOON + DAY) == Refusal.WRONG_PLACE
    counter.edit(place_ids=None)
    with database.transaction() as session:
        rewards.pause_offer(session, counter.held(session), now=NOON)
    assert reason(now=NOON + DAY) == Refusal.FROZEN
    with database.transaction() as session:
        rewards.resume_offer(session, counter.held(session), now=NOON)
        planning.pause(session, session.get_one(Campaign, counter.scene.campaign.id), now=NOON)
    assert reason(now=NOON + DAY) == Refusal.FROZEN
    with database.transaction() as session:
        planning.resume(session, session.get_one(Campaign, counter.scene.campaign.id), now=NOON)
    further = counter.coupon(now=NOON)
    assert reason(now=NOON + DAY) is None
    assert counter.redeem(further.code, now=NOON + DAY).redemption.reason == Refusal.FROZEN, "one use is the most"


def test_a_coupon_of_another_organisation_is_unknown(database: Database) -> None:
    counter = set_counter(database)
    coupon = counter.coupon()
    other = set_counter(database)
    assert other.redeem(coupon.code).redemption.reason == Refusal.UNKNOWN
    assert counter.read(coupon).state == CouponState.ISSUED


@pytest.mark.parametrize("typed", ["", "7K3Q", "7K3Q-9XAB-W5", "7К3Q-9XAB-W4", "7K3Q-9XAB-W!", "U" * 10, "0" * 16])
def test_what_cannot_be_a_code_is_refused_in_words_and_nothing_is_written(database: Database, typed: str) -> None:
    counter = set_counter(database)
    with pytest.raises(Invalid) as refused:
        counter.redeem(typed)
    assert refused.value.code == "unreadable_code"


def test_an_unused_coupon_expires_a_week_after_its_date_and_its_money_is_free_again(database: Database) -> None:
    counter = set_counter(database, coupon_days=2)
    coupon, used = counter.coupon(), counter.coupon()
    counter.redeem(used.code)
    worker.expire_coupons(database, now=NOON + 8 * DAY)
    assert counter.read(coupon).state == CouponState.ISSUED
    worker.expire_coupons(database, now=NOON + 9 * DAY)
    assert (counter.read(coupon).state, counter.read(used).state) == ("expired", "redeemed")
    assert counter.balances() == {"budget": -200, "due": 200}
    assert counter.offer().issued == 2, "it had its turn"
    assert counter.scene.problems() == []


def test_a_till_without_network_is_judged_by_when_it_took_the_coupon(database: Database) -> None:
    counter = set_counter(database, coupon_days=2)
    coupon = counter.coupon()
    done = counter.redeem(coupon.code, now=NOON + 3 * DAY, occurred_at=NOON + DAY)
    assert (done.redemption.outcome, done.redemption.is_offline) == ("accepted", True)
    assert done.redemption.civil_day.isoformat() == "2026-10-15"
    for wrong in (NOON + 4 * DAY, NOON - 5 * DAY):
        with pytest.raises(Invalid):
            counter.redeem(coupon.code, now=NOON + 3 * DAY, occurred_at=wrong)
    late, fast = counter.coupon(now=NOON + 3 * DAY), NOON + 3 * DAY + timedelta(minutes=4)
    told = counter.redeem(late.code, now=NOON + 3 * DAY, occurred_at=fast)
    assert told.redemption.occurred_at == NOON + 3 * DAY, "a till whose clock is a little fast used it now"


def test_an_earlier_use_that_is_told_later_wins_nothing_and_both_shops_are_told(database: Database) -> None:
    counter = set_counter(database)
    coupon, elsewhere = counter.coupon(), counter.another()
    done = counter.redeem(coupon.code, now=NOON + DAY)
    late = counter.redeem(coupon.code, now=NOON + 2 * DAY, occurred_at=NOON, place=elsewhere)
    assert (late.redemption.reason, late.redemption.other_id) == (Refusal.ALREADY_REDEEMED, done.redemption.id)
    with database.snapshot() as session:
        told = [[one.id for one in rewards.conflicts(session, place)] for place in (counter.place, elsewhere)]
    assert told == [[late.redemption.id]] * 2
    assert counter.balances() == {"budget": -200, "due": 200}


def test_a_voided_visit_takes_its_unused_coupon_along_and_leaves_a_used_one(database: Database) -> None:
    counter = set_counter(database)
    first, one, _ = counter.visit()
    second, other, _ = counter.visit()
    (unused,), (used,) = counter.coupons(one), counter.coupons(other)
    counter.redeem(used.code)
    assert ("coupon", "reversed") in void(counter.scene, first.id)
    assert ("coupon", "used") in void(counter.scene, second.id)
    found = counter.read(unused)
    assert (found.state, found.reason) == (CouponState.REVOKED, "Scanned from home")
    assert counter.read(used).source_voided_at is not None
    assert counter.redeem(unused.code).redemption.reason == Refusal.REVOKED
    assert counter.balances() == {"budget": -200, "due": 200}
    assert counter.offer().issued == 1
    counter.scene.drain()
    assert counter.scene.problems() == []


def test_a_mistaken_use_of_a_coupon_whose_visit_was_voided_leaves_it_revoked(database: Database) -> None:
    counter = set_counter(database)
    row, _, _ = counter.visit()
    (coupon,) = counter.coupons()
    done = counter.redeem(coupon.code)
    void(counter.scene, row.id)
    counter.roll_back(done.redemption.id)
    assert counter.read(coupon).state == CouponState.REVOKED
    assert counter.balances() == {}
    assert counter.scene.problems() == []


def test_who_does_the_step_again_after_a_void_gets_another(database: Database) -> None:
    counter = set_counter(database)
    row, person, cookie = counter.visit()
    void(counter.scene, row.id)
    counter.visit(now=NOON + DAY, cookie=cookie)
    assert [one.state for one in counter.coupons(person)] == ["revoked", "issued"]


def test_two_names_of_one_person_keep_one_coupon(database: Database) -> None:
    counter = set_counter(database)
    older, newer = counter.person(), counter.person(now=NOON + DAY)
    first, second = counter.coupon(older), counter.coupon(newer, now=NOON + DAY)
    merge(database, older, newer, now=NOON + DAY)
    assert (counter.read(first).state, counter.read(second).reason) == ("issued", "merged")
    assert {one.participant_id for one in counter.coupons()} == {older.id}
    assert counter.scene.problems() == []


def test_of_two_names_the_used_coupon_stays_and_two_used_ones_both(database: Database) -> None:
    counter = set_counter(database)
    older, newer, third = (counter.person(now=NOON + n * DAY) for n in range(3))
    unused, used, further = counter.coupon(older), counter.coupon(newer), counter.coupon(third)
    counter.redeem(used.code)
    counter.redeem(further.code)
    merge(database, older, newer, now=NOON + DAY)
    assert (counter.read(unused).state, counter.read(used).state) == ("revoked", "redeemed")
    merge(database, older, third, now=NOON + DAY)
    assert sorted(one.state for one in counter.coupons(older)) == ["redeemed", "redeemed", "revoked"]
    assert counter.scene.problems() == []


def test_staff_hand_one_to_who_shows_a_code_and_a_second_try_gives_the_same(database: Database) -> None:
    steps = [StepPlan(StepKind.STAFF_VALIDATED, repeat=Repeat.DAILY)]
    counter = set_counter(database, steps=steps, unlock=Unlock.STAFF)
    person = counter.person()
    with database.transaction() as session:
        step = missions.steps_of(session, counter.scene.mission.id)[0]
        campaign = session.get_one(Campaign, counter.scene.campaign.id)
        shown = missions.show_code(session, counter.scene.mission, campaign, step, person, now=NOON)
        public = missions.public_code(session, counter.scene.mission, person, now=NOON)
    handing = uuid4()

    def hand_out(typed: str, id: UUID) -> Coupon:
        with database.transaction() as session:
            found = rewards.hand_out(session, counter.place, counter.offer_id, typed, handing_id=id, now=NOON)
            return found.coupon

    with database.snapshot() as session:
        assert [one.id for one in rewards.handable(session, counter.place, now=NOON)] == [counter.offer_id]
    first = hand_out(f"{shown.code[:3]} {shown.code[3:]}", handing)
    assert hand_out(shown.code, handing).id == first.id
    for typed in (shown.code, public.lower()):
        with pytest.raises(Conflict) as has:
            hand_out(typed, uuid4())
        assert has.value.code == "has_coupon"
    for typed in ("000000", "", "7K3Q-9XAB-W4"):
        with pytest.raises(NotFound):
            hand_out(typed, uuid4())
    assert counter.scene.problems() == []


def test_what_was_earned_while_an_offer_was_paused_is_issued_when_it_goes_on(database: Database) -> None:
    counter = set_counter(database)
    with database.transaction() as session:
        rewards.pause_offer(session, counter.held(session), now=NOON)
    counter.visit()
    assert counter.coupons() == []
    with database.transaction() as session:
        rewards.resume_offer(session, counter.held(session), now=NOON)
    counter.scene.drain()
    assert len(counter.coupons()) == 1


def test_a_price_stays_at_least_the_value(database: Database) -> None:
    counter = set_counter(database)
    counter.edit(price_minor=200)
    with pytest.raises(Invalid) as refused:
        counter.edit(price_minor=199)
    assert refused.value.context["pointer"] == "/price"
    assert counter.offer().price_minor == 200


def test_no_more_is_issued_than_there_is(database: Database) -> None:
    counter = set_counter(database, max_issue=2)
    people = [counter.person() for _ in range(3)]
    with database.transaction() as session:
        wants = [Want(counter.offer_id, one.id, uuid4(), "live") for one in people]
        issued = rewards.issue(session, wants, now=NOON)
    assert [one.participant_id for one in issued] == [one.id for one in people[:2]]
    assert len(counter.coupons()) == 2
    assert counter.offer().issued == 2
    assert counter.scene.problems() == []


def test_an_offer_changes_but_never_below_what_is_out(database: Database) -> None:
    counter = set_counter(database, max_issue=3)
    counter.coupon(), counter.coupon()
    with pytest.raises(Conflict) as refused:
        counter.edit(max_issue=1, max_redemptions=1)
    assert refused.value.code == "coupons_out"
    counter.edit(max_issue=2, max_redemptions=2)
    with database.transaction() as session:
        assert rewards.issue(session, [Want(counter.offer_id, uuid4(), uuid4(), "live")], now=NOON) == []
    counter.edit(max_issue=5)
    counter.coupon()
    assert counter.balances() == {"budget": -600, "liability": 600}


def test_steps_that_an_offer_rests_on_are_not_replaced(database: Database) -> None:
    counter = set_counter(database)
    with pytest.raises(Conflict) as refused, database.transaction() as session:
        missions.set_steps(session, counter.scene.mission, [StepPlan(StepKind.IDEA)], now=NOON)
    assert refused.value.code == "rules_frozen"


@pytest.mark.parametrize(
    "change",
    [
        {"issued": 101},
        {"redeemed": 101},
        {"redeemed": -1},
        {"max_redemptions": 101},
    ],
)
def test_the_database_keeps_an_offers_counters_in_their_bounds(database: Database, change: dict[str, int]) -> None:
    counter = set_counter(database)
    with pytest.raises(IntegrityError), database.transaction() as session:
        session.execute(update(rewards.Offer).where(col(rewards.Offer.id) == counter.offer_id).values(**change))


def test_the_database_takes_no_second_use_that_stands(database: Database) -> None:
    counter = set_counter(database)
    done = counter.redeem(counter.coupon().code).redemption
    copied = {**done.model_dump(), "id": uuid4(), "nonce": "another"}
    with pytest.raises(IntegrityError), database.transaction() as session:
        session.add(rewards.Redemption(**copied))


def test_verify_finds_a_coupon_turned_by_hand(database: Database) -> None:
    counter = set_counter(database)
    coupon = counter.coupon()
    with database.transaction() as session:
        session.execute(
            text("UPDATE coupons SET state = 'redeemed', redeemed_at = issued_at WHERE id = :id"),
            {"id": coupon.id.hex if database.is_sqlite else coupon.id},
        )
    found = counter.scene.problems()
    assert any("uses that stand" in one for one in found)
    assert any("in the ledger" in one for one in found)
    assert any("redeemed stored" in one for one in found)
    assert any("coupons_redeemed" in one for one in found)
