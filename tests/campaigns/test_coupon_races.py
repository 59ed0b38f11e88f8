"""Coupons under racing clients, and a process killed at each of its statements, on both databases (I14 to I16)."""

import os
import signal
from collections import Counter as Tally
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event
from sqlmodel import col, select

from campaigns import rewards
from campaigns.errors import Conflict
from campaigns.places import Place
from campaigns.rewards import Answer, Claim, CouponState, Redemption, Want
from campaigns.storage import Database, insert_once
from campaigns.verify import verify
from tests.campaigns.counter import set_counter
from tests.conftest import open_migrated
from tests.factories import NOON
from tests.racing import race

SOAK = bool(os.environ.get("PASSERELLE_SOAK"))
TILLS = 200 if SOAK else 20


def answers(outcomes: list[Answer | Exception]) -> list[Answer]:
    assert [one for one in outcomes if isinstance(one, Exception)] == []
    return [one for one in outcomes if isinstance(one, Answer)]


def test_of_many_tills_at_once_one_is_told_yes_and_all_others_the_same_no(database: Database) -> None:
    counter = set_counter(database)
    coupon = counter.coupon()
    told = answers(race(TILLS, lambda n: counter.redeem(coupon.code, device=f"till-{n}", nonce="1")))
    assert Tally(one.redemption.outcome for one in told) == {"accepted": 1, "refused": TILLS - 1}
    (yes,) = (one.redemption.id for one in told if one.redemption.outcome == "accepted")
    noes = {(one.redemption.reason, one.redemption.other_id, one.deduct_minor) for one in told if one.other}
    assert noes == {("already_redeemed", yes, 0)}
    assert counter.balances() == {"budget": -200, "due": 200}
    assert counter.scene.problems() == []


def test_one_message_sent_many_times_at_once_is_one_use(database: Database) -> None:
    counter = set_counter(database)
    coupon = counter.coupon()
    told = answers(race(TILLS, lambda _: counter.redeem(coupon.code, nonce="ticket-7")))
    assert len({one.redemption.id for one in told}) == 1
    assert {(one.redemption.outcome, one.deduct_minor) for one in told} == {("accepted", 200)}
    with database.snapshot() as session:
        assert len(session.exec(select(Redemption)).all()) == 1


def test_no_more_is_used_than_there_may_be(database: Database) -> None:
    counter = set_counter(database, max_redemptions=3)
    coupons = [counter.coupon() for _ in range(8)]
    told = answers(race(8, lambda n: counter.redeem(coupons[n].code, device=f"till-{n}")))
    assert Tally(one.redemption.reason for one in told) == {None: 3, "frozen": 5}
    assert counter.offer().redeemed == 3
    assert counter.scene.problems() == []


def test_no_more_is_issued_than_there_may_be(database: Database) -> None:
    counter = set_counter(database, max_issue=5)
    people = [counter.person() for _ in range(8)]

    def issue(number: int) -> int:
        with database.transaction() as session:
            want = Want(counter.offer_id, people[number].id, uuid4(), "live")
            return len(rewards.issue(session, [want], now=NOON))

    assert Tally(race(8, issue)) == {1: 5, 0: 3}
    assert (counter.offer().issued, len(counter.coupons())) == (5, 5)
    assert counter.scene.problems() == []


def test_a_person_gets_one_however_many_ask_at_once(database: Database) -> None:
    counter = set_counter(database)
    person = counter.person()

    def issue(_: int) -> int:
        with database.transaction() as session:
            return len(rewards.issue(session, [Want(counter.offer_id, person.id, uuid4(), "live")], now=NOON))

    assert Tally(race(8, issue)) == {1: 1, 0: 7}
    assert counter.offer().issued == 1


def test_uses_and_roll_backs_at_once_leave_books_that_add_up(database: Database) -> None:
    counter = set_counter(database)
    coupon = counter.coupon()
    done = counter.redeem(coupon.code).redemption

    def act(number: int) -> object:
        if number % 2:
            return counter.redeem(coupon.code, device=f"till-{number}").redemption.outcome
        try:
            return counter.roll_back(done.id)
        except Conflict as refused:
            return refused.code

    outcomes = race(8, act)
    assert [one for one in outcomes if isinstance(one, Exception)] == []
    assert sum(isinstance(one, Redemption) for one in outcomes) == 1
    assert counter.read(coupon).state in (CouponState.REDEEMED, CouponState.ROLLED_BACK)
    assert counter.scene.problems() == []


def test_staff_who_hand_out_while_tills_use_and_coupons_expire_wait_for_nobody_for_ever(database: Database) -> None:
    counter = set_counter(database, once_per=rewards.OncePer.ACT)
    people = [counter.person() for _ in range(3)]
    coupons = [counter.coupon(one) for one in people for _ in range(2)]

    def act(number: int) -> object:
        person = people[number % 3]
        if number % 3 == 0:
            return counter.redeem(coupons[number % 6].code, device=f"till-{number}")
        with database.transaction() as session:
            if number % 3 == 1:
                return rewards.issue(session, [Want(counter.offer_id, person.id, uuid4(), "live")], now=NOON)
            return rewards.show_coupon(session, coupons[5 - number % 2].id, now=NOON)

    outcomes = race(12, act)
    assert [one for one in outcomes if isinstance(one, Exception)] == []
    assert counter.scene.problems() == []


def test_a_use_takes_no_coupon_that_another_statement_turned_just_before(database: Database) -> None:
    """Whatever it said when it was held: the statement that uses it asks once more, and nothing of the use is kept."""
    counter = set_counter(database)
    coupon = counter.coupon()

    def turn(_: object, cursor: Any, statement: str, *__: object) -> None:
        if statement.startswith("UPDATE coupons"):
            cursor.connection.cursor().execute(f"UPDATE coupons SET state = 'expired', ended_at = '{NOON}'")

    event.listen(database.engine, "before_cursor_execute", turn)
    try:
        with pytest.raises(Conflict) as refused:
            counter.redeem(coupon.code)
    finally:
        event.remove(database.engine, "before_cursor_execute", turn)
    assert refused.value.code == "coupon_over"
    assert (counter.read(coupon).state, counter.offer().redeemed) == (CouponState.ISSUED, 0)
    assert counter.scene.problems() == []


def statements(database: Database, act: object) -> int:
    """How many statements an act sends."""
    seen = 0

    def note(*_: object) -> None:
        nonlocal seen
        seen += 1

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        act()  # type: ignore[operator]  # a callable
    finally:
        event.remove(database.engine, "before_cursor_execute", note)
    return seen


def killed_at(database: Database, number: int, code: str, place_id: UUID) -> int:
    """Use a coupon in a child that is killed before its statement of that number; how it ended."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    left = number

    def count_down(*_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        own = open_migrated(database.url)
        event.listen(own.engine, "before_cursor_execute", count_down)
        with own.transaction() as session:
            place = session.get_one(Place, place_id)
            rewards.redeem(session, place, Claim(code, "till-1", f"n{number}"), now=NOON)
        os._exit(0)
    finally:
        os._exit(1)


def test_a_kill_before_any_statement_of_a_use_leaves_nothing_half_done(database: Database) -> None:
    counter = set_counter(database)
    trial, coupon = counter.coupon(), counter.coupon()
    number = statements(database, lambda: counter.redeem(trial.code))
    assert number > 12
    database.engine.dispose()
    for point in range(1, number + 1):
        assert killed_at(database, point, coupon.code, counter.place.id) == -signal.SIGKILL, point
        assert verify(database) == [], point
        assert counter.read(coupon).state == CouponState.ISSUED, point
        database.engine.dispose()
    assert killed_at(database, number + 50, coupon.code, counter.place.id) == 0
    assert counter.read(coupon).state == CouponState.REDEEMED
    assert verify(database) == []


@pytest.mark.parametrize("field", ["device", "nonce"])
def test_the_database_keeps_one_answer_a_message(database: Database, field: str) -> None:
    counter = set_counter(database)
    done = counter.redeem(counter.coupon().code).redemption
    with database.transaction() as session:
        copied = {**done.model_dump(), "id": uuid4(), "coupon_id": None, "outcome": "refused", "reason": "unknown"}
        assert not insert_once(session, Redemption, **copied)
        assert insert_once(session, Redemption, **copied | {field: "another"})
        assert session.exec(select(col(Redemption.id)).where(Redemption.id == copied["id"])).one() == copied["id"]
