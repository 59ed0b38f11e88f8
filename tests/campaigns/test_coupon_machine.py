"""Any order of issue, choice, use, retry, roll back, expiry, void, merge and erasure against a plain model in memory.

The ledger adds up to zero throughout. Small by default; `PASSERELLE_SOAK=1` (`make soak`) runs it longer.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, invariant, rule, run_state_machine_as_test

from campaigns import privacy, rewards, worker
from campaigns.errors import Conflict, NotFound
from campaigns.participants import Participant
from campaigns.rewards import Answer, Choice, Coupon, CouponState
from campaigns.storage import Database
from tests.campaigns.counter import Counter, set_counter
from tests.campaigns.test_merging import merge
from tests.campaigns.test_reversal import void
from tests.factories import NOON
from tests.machines import Recounted, sized

DAYS, VALUE, MOST, USES = 3, 200, 6, 4
GOOD = ("issued", "locked", "rolled_back")


@dataclass(eq=False)
class Held:
    """What the model knows of a coupon."""

    coupon: Coupon
    scan_id: str
    issued_at: datetime
    state: str = "issued"
    gives: bool = False
    was_rolled_back: bool = False
    is_earned: bool = True  # its completion stands; a used one says when it does not any more, and gives nothing then
    uses: list[tuple[str, Answer, datetime]] = field(default_factory=list)  # nonce, answer, when

    @property
    def day(self) -> date:
        """The civil day of its visit in Paris, in summer: a step that counts daily is done once on it."""
        return (self.issued_at + timedelta(hours=2)).date()

    def unearn(self) -> None:
        """Its completion is reversed: unused it goes, used it stays."""
        self.is_earned = False
        if self.state in GOOD:
            self.state = "revoked"

    def is_over(self, now: datetime) -> bool:
        return now >= self.issued_at + timedelta(days=DAYS)


@dataclass(eq=False)
class Person:
    participant: Participant
    coupons: list[Held] = field(default_factory=list)
    visits: dict[str, date] = field(default_factory=dict)  # those that were not voided, by their scans
    erased: bool = False
    into: "Person | None" = None

    @property
    def now_is(self) -> "Person":
        return self.into.now_is if self.into else self


class Coupons(Recounted):
    people = Bundle("people")

    def __init__(self, database: Database) -> None:
        super().__init__()
        self.counter: Counter = set_counter(database, max_issue=MOST, max_redemptions=USES, coupon_days=DAYS)
        self.counter.name_cause()
        self.now = NOON
        self.all: list[Held] = []

    def _one(self, person: Person, which: int) -> Held | None:
        held = person.now_is.coupons
        return held[which % len(held)] if held else None

    @rule(target=people)
    def come(self) -> Person:
        """A visit beyond doubt gives a coupon while any is left."""
        self.now += timedelta(minutes=20)
        row, participant, _ = self.counter.visit(now=self.now)
        person = Person(participant)
        is_left = sum(one.state != "revoked" for one in self.all) < MOST
        found = self.counter.coupons(participant)
        assert len(found) == is_left
        for coupon in found:
            held = Held(coupon, row.id, self.now)
            person.coupons.append(held)
            self.all.append(held)
        person.visits[row.id] = (self.now + timedelta(hours=2)).date()
        return person

    @rule(hours=st.sampled_from([1, 14, 80]))
    def wait(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @rule(person=people, which=st.integers(0, 3), gives=st.booleans())
    def choose(self, person: Person, which: int, gives: bool) -> None:
        held = self._one(person, which)
        if held is None:
            return
        may = held.state in GOOD and not held.is_over(self.now) and not (held.state == "locked" and gives != held.gives)
        choice = Choice.GIVE if gives else Choice.KEEP
        if may:
            self.counter.choose(held.coupon, choice, now=self.now)
            held.gives = gives
        else:
            with pytest.raises(Conflict):
                self.counter.choose(held.coupon, choice, now=self.now)

    @rule(person=people, which=st.integers(0, 3), back=st.booleans())
    def show(self, person: Person, which: int, back: bool) -> None:
        held = self._one(person, which)
        if held is None:
            return
        act = rewards.put_back if back else rewards.show_coupon
        may = held.state in GOOD and not held.is_over(self.now)
        try:
            with self.counter.database.transaction() as session:
                act(session, held.coupon.id, now=self.now)
        except Conflict:
            assert not may
            return
        assert may
        held.state = ("rolled_back" if held.was_rolled_back else "issued") if back else "locked"

    @rule(person=people, which=st.integers(0, 3), late_h=st.sampled_from([0, 0, 30]))
    def use(self, person: Person, which: int, late_h: int) -> None:
        held = self._one(person, which)
        if held is None:
            return
        at = self.now - timedelta(hours=late_h)
        nonce = f"m{len(held.uses)}-{held.coupon.code}"
        answer = self.counter.redeem(
            held.coupon.code, now=self.now, nonce=nonce, occurred_at=at if late_h else None, basket_minor=900
        )
        expected = {"revoked": "revoked", "redeemed": "already_redeemed", "expired": "expired"}.get(held.state)
        if expected is None and held.is_over(at):
            expected = "expired"
        if expected is None and sum(one.state == "redeemed" for one in self.all) >= USES:
            expected = "frozen"
        assert answer.redemption.reason == expected
        held.uses.append((nonce, answer, self.now))
        if expected is None:
            held.state = "redeemed"
            assert answer.deduct_minor == (0 if held.gives else VALUE)

    @rule(person=people, which=st.integers(0, 3), back=st.integers(0, 3))
    def send_again(self, person: Person, which: int, back: int) -> None:
        held = self._one(person, which)
        if held is None or not held.uses:
            return
        nonce, first, _ = held.uses[back % len(held.uses)]
        again = self.counter.redeem(held.coupon.code, now=self.now, nonce=nonce)
        assert again.is_replay
        assert (again.redemption.id, again.deduct_minor) == (first.redemption.id, first.deduct_minor)

    @rule(person=people, which=st.integers(0, 3), back=st.integers(0, 3))
    def roll_back(self, person: Person, which: int, back: int) -> None:
        held = self._one(person, which)
        if held is None or not held.uses:
            return
        _, answer, at = held.uses[back % len(held.uses)]
        stands = [one for _, one, _ in held.uses if one.redemption.outcome == "accepted"][-1:]
        day = (at + timedelta(hours=2)).date() == (self.now + timedelta(hours=2)).date()  # Europe/Paris, in summer
        may = held.state == "redeemed" and not held.was_rolled_back and day
        may = may and [one.redemption.id for one in stands] == [answer.redemption.id]
        try:
            self.counter.roll_back(answer.redemption.id, now=self.now)
        except Conflict:
            assert not may
            return
        assert may
        held.was_rolled_back = True
        held.state = "rolled_back" if held.is_earned else "revoked"

    @rule()
    def expire(self) -> None:
        worker.expire_coupons(self.counter.database, now=self.now)
        for held in self.all:
            if held.state in GOOD and self.now >= held.issued_at + timedelta(days=DAYS) + rewards.LATE:
                held.state = "expired"

    @rule(person=people, which=st.integers(0, 3))
    def void(self, person: Person, which: int) -> None:
        """What another visit of that day supports as well stays."""
        held = self._one(person, which)
        if held is None:
            return
        void(self.counter.scene, held.scan_id, now=self.now)
        owner = person.now_is
        owner.visits.pop(held.scan_id, None)
        for one in owner.coupons:
            if one.is_earned and one.day not in owner.visits.values():
                one.unearn()

    @rule(one=people, other=people)
    def merge(self, one: Person, other: Person) -> None:
        one, other = one.now_is, other.now_is
        if one is other:
            return
        if one.erased or other.erased:
            with pytest.raises(NotFound):
                merge(self.counter.database, one.participant, other.participant, now=self.now)
            return
        older, newer = sorted((one, other), key=lambda each: (each.participant.created_at, each.participant.id))
        merge(self.counter.database, one.participant, other.participant, now=self.now)
        newer.into = older
        older.coupons += newer.coupons
        order = {"redeemed": 0, "expired": 2}
        standing = [held for held in older.coupons if held.state != "revoked"]
        for held in sorted(standing, key=lambda each: (order.get(each.state, 1), each.issued_at))[1:]:
            if held.state in GOOD:
                held.state = "revoked"
        older.visits |= newer.visits
        days: set[date] = set()
        for held in sorted((one for one in older.coupons if one.is_earned), key=lambda each: each.issued_at):
            if held.day in days:
                held.unearn()
            days.add(held.day)
        self.work()

    @rule(person=people)
    def erase(self, person: Person) -> None:
        """Nothing the model counts may change, and the coupon stays good for who holds its code."""
        person = person.now_is
        with self.counter.database.erasing() as session:
            gone = privacy.erase(session, person.participant.id, note=lambda *_: None, now=self.now)
        assert gone is not person.erased
        person.erased = True

    @rule()
    def work(self) -> None:
        self.counter.scene.drain(now=self.now)

    @invariant()
    def each_coupon_stands_where_the_model_has_it(self) -> None:
        stored = {one.id: one.state for one in self.counter.coupons()}
        assert stored == {held.coupon.id: held.state for held in self.all}

    @invariant()
    def the_books_are_those_of_the_model_and_add_up_to_zero(self) -> None:
        held = self.counter.balances()
        used = [one for one in self.all if one.state == CouponState.REDEEMED]
        assert held.get("due", 0) == VALUE * sum(not one.gives for one in used)
        assert held.get("given", 0) == VALUE * sum(one.gives and one.is_earned for one in used)
        assert held.get("liability", 0) == VALUE * sum(one.state in GOOD for one in self.all)
        assert sum(held.values()) == 0

    def problems(self) -> list[str]:
        return self.counter.scene.problems()


def test_any_order_of_acts_on_coupons_adds_up(anew: Callable[[], Database]) -> None:
    run_state_machine_as_test(  # any callable will do, its annotation is narrower
        lambda: Coupons(anew()),  # type: ignore[arg-type]
        settings=sized(examples=5, soak=150, steps=20, soak_steps=50),
    )
