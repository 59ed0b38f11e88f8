"""Any order of earn, spend, retry, expire, reverse, merge and erase of points against a plain model in memory.

Small by default; `PASSERELLE_SOAK=1` (`make soak`) runs it longer.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from campaigns import privacy, worker
from campaigns.errors import Conflict, NotFound
from campaigns.participants import Participant
from campaigns.rewards import Bought, OncePer, PointsLot
from campaigns.storage import Database
from tests.campaigns.counter import Counter
from tests.campaigns.test_merging import merge
from tests.campaigns.test_points import balance, buy, lots_of, set_purse
from tests.campaigns.test_reversal import void
from tests.factories import NOON
from tests.scene import INSIDE

SOAK = bool(os.environ.get("PASSERELLE_SOAK"))
DAYS, WORTH, COST, MOST = 6, 10, 14, 4
NEXT_DAY = timedelta(hours=25)  # each visit is of a day of its own: no two names share one


@dataclass(eq=False)
class Lot:
    """What the model knows of a lot."""

    stored: PointsLot
    scan_id: str
    expires_at: datetime
    state: str = "available"
    spent: int = 0

    def left(self, now: datetime) -> int:
        return WORTH - self.spent if self.state == "available" and now < self.expires_at else 0


@dataclass(eq=False)
class Person:
    participant: Participant
    cookie: str
    lots: list[Lot] = field(default_factory=list)
    bought: list[tuple[str, Bought]] = field(default_factory=list)
    erased: bool = False
    into: "Person | None" = None

    @property
    def now_is(self) -> "Person":
        return self.into.now_is if self.into else self


class Points(RuleBasedStateMachine):
    people = Bundle("people")

    def __init__(self, database: Database) -> None:
        super().__init__()
        self.counter: Counter = set_purse(
            database, points=COST, days=DAYS, once_per=OncePer.ACT, max_issue=MOST, max_redemptions=MOST
        )
        self.now = NOON
        self.lots: list[Lot] = []
        self.known: list[Person] = []
        self.taken = 0
        self.numbers: Iterator[int] = count(1)

    def _visit(self, cookie: str | None) -> tuple[Lot, Participant, str]:
        self.now += NEXT_DAY
        number = next(self.numbers)
        row = self.counter.scene.scan(at=self.now, visitor_key=number)
        where = replace(INSIDE, lat=INSIDE.lat + number * 1e-6)
        done = self.counter.scene.check_in(row, position=where, now=self.now, cookie=cookie)
        self.counter.scene.drain(now=self.now)
        known = {one.stored.id for one in self.lots}
        (stored,) = (one for one in lots_of(self.counter) if one.id not in known)
        lot = Lot(stored, row.id, self.now + timedelta(days=DAYS))
        self.lots.append(lot)
        return lot, done.person, done.secret or cookie or ""

    @rule(target=people)
    def come(self) -> Person:
        lot, participant, cookie = self._visit(None)
        person = Person(participant, cookie, [lot])
        self.known.append(person)
        return person

    @rule(person=people)
    def come_again(self, person: Person) -> None:
        person = person.now_is
        if not person.erased:
            lot, participant, _ = self._visit(person.cookie)
            assert participant.id == person.participant.id
            person.lots.append(lot)

    @rule(hours=st.sampled_from([1, 30, 90]))
    def wait(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @rule(person=people)
    def spend(self, person: Person) -> None:
        person = person.now_is
        client_id = f"tap-{next(self.numbers)}"
        missing, drawn = COST, []
        for lot in sorted(person.lots, key=lambda one: (one.expires_at, one.stored.id)):
            part = min(lot.left(self.now), missing)
            missing -= part
            drawn.append((lot, part))
        if missing or person.erased or self.taken >= MOST:
            with pytest.raises((Conflict, NotFound)) as refused:
                buy(self.counter, person.participant, client_id=client_id, now=self.now)
            expected = "not_found" if person.erased else "points_short" if missing else "no_coupon_left"
            assert refused.value.code == expected
            return
        person.bought.append((client_id, buy(self.counter, person.participant, client_id=client_id, now=self.now)))
        self.taken += 1
        for lot, part in drawn:
            lot.spent += part
            if part and lot.spent == WORTH:
                lot.state = "spent"

    @rule(person=people, which=st.integers(0, 3))
    def send_again(self, person: Person, which: int) -> None:
        person = person.now_is
        if person.bought and not person.erased:
            client_id, first = person.bought[which % len(person.bought)]
            again = buy(self.counter, person.participant, client_id=client_id, now=self.now)
            assert (again.is_replay, again.coupon.id) == (True, first.coupon.id)

    @rule()
    def expire(self) -> None:
        worker.expire_coupons(self.counter.database, now=self.now)
        for lot in self.lots:
            if lot.state == "available" and lot.expires_at <= self.now:
                lot.state = "expired"

    @rule(person=people, which=st.integers(0, 5))
    def reverse(self, person: Person, which: int) -> None:
        lots = person.now_is.lots
        if lots:
            lot = lots[which % len(lots)]
            void(self.counter.scene, lot.scan_id, now=self.now)
            lot.state = "revoked"

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
        older.lots += newer.lots
        older.bought += newer.bought

    @rule(person=people)
    def erase(self, person: Person) -> None:
        """Nothing the model counts may change."""
        person = person.now_is
        with self.counter.database.erasing() as session:
            gone = privacy.erase(session, person.participant.id, note=lambda *_: None, now=self.now)
        assert gone is not person.erased
        person.erased = True

    @rule()
    def work(self) -> None:
        self.counter.scene.drain(now=self.now)

    @invariant()
    def each_lot_stands_where_the_model_has_it(self) -> None:
        stored = {one.id: (one.state, one.spent) for one in lots_of(self.counter)}
        assert stored == {one.stored.id: (one.state, one.spent) for one in self.lots}

    @invariant()
    def who_is_there_has_what_the_model_says_and_history_adds_up(self) -> None:
        for person in self.known:
            if person.into is None and not person.erased:
                held = balance(self.counter, person.participant, now=self.now)
                assert held == sum(lot.left(self.now) for lot in person.lots) >= 0
        assert self.counter.scene.problems_at_times() == []

    def teardown(self) -> None:
        assert self.counter.scene.problems() == []


def test_any_order_of_acts_on_points_adds_up(database: Database) -> None:
    run_state_machine_as_test(  # any callable will do, its annotation is narrower
        lambda: Points(database),  # type: ignore[arg-type]
        settings=settings(
            max_examples=150 if SOAK else 4,
            stateful_step_count=50 if SOAK else 18,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
