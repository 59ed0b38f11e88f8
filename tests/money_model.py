"""Sponsor money as plain Python objects: what any order of acts, verdicts, voids, payouts and merges must come to."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from uuid import UUID

REVIEW = timedelta(hours=24)
STANDING = ("pending", "posted")


@dataclass(eq=False)
class Person:
    id: UUID
    secret: str
    heir: "Person | None" = None  # who took over what they did
    is_erased: bool = False

    def root(self) -> "Person":
        return self.heir.root() if self.heir else self


@dataclass(eq=False)
class Act:
    """A check-in on a scan."""

    scan_id: UUID
    person: Person
    day: date
    presence: int
    verdict: str = "valid"
    is_judged: bool = False
    is_voided: bool = False


@dataclass(eq=False)
class Done:
    """A completion: `is_current` while it is the one of its person and day."""

    person: Person
    day: date
    at: datetime
    act: Act
    state: str = "verified"
    is_current: bool = True

    def worth(self, min_presence: int) -> bool | None:
        """Whether it is to be paid; None while nobody knows."""
        if self.state == "reversed" or self.act.presence < min_presence:
            return False
        if not self.act.is_judged:
            return None
        return self.act.verdict == "valid" or (self.act.verdict == "provisional" and self.act.presence >= 2)


@dataclass(eq=False)
class Money:
    """An accrual."""

    done: Done
    amount: int
    at: datetime
    day: date
    person: Person
    state: str = "pending"
    payout: "Paid | None" = None
    is_told: bool = False
    is_final: bool = False  # undone by a member or a merge

    @property
    def stands(self) -> bool:
        return self.state in STANDING


@dataclass(eq=False)
class Paid:
    id: UUID
    items: list[Money]
    is_sent: bool


@dataclass(eq=False)
class Promise:
    """A pledge."""

    id: UUID
    unit: int
    cap: int
    pays_remainder: bool = True
    person_cap: int | None = None
    day_cap: int | None = None
    min_presence: int = 0
    threshold: int | None = None
    matches: "Promise | None" = None
    percent: int = 0
    state: str = "active"
    counted: list[Done] = field(default_factory=list)
    money: list[Money] = field(default_factory=list)

    @property
    def acts(self) -> int:
        return len(self.counted) if self.threshold else sum(one.stands for one in self.money)

    def drawn(self, money: Iterable[Money]) -> int:
        return sum(one.amount for one in money if one.stands)

    def on(self, done: Done) -> Money | None:
        return next((one for one in self.money if one.done is done and one.stands), None)

    def worth(self, done: Done) -> bool | None:
        known = done.worth(self.min_presence)
        return False if known and self.matches and self.matches.on(done) is None else known

    def is_blocked(self, done: Done) -> bool:
        return any(one.done is done and one.is_final and one.at >= done.at for one in self.money)

    def give(self, done: Done, now: datetime) -> None:
        """Let a completion accrue what the caps leave it."""
        base = self.matches.on(done) if self.matches else None
        wanted = (base.amount if base else 0) * self.percent // 100 if self.matches else self.unit
        left = [self.cap - self.drawn(self.money)]
        if self.person_cap is not None:
            left.append(self.person_cap - self.drawn(one for one in self.money if self._is_theirs(one, done)))
        if self.day_cap is not None:
            left.append(self.day_cap - self.drawn(one for one in self.money if one.day == done.day))
        most = max(0, min(left))
        amount = wanted if wanted <= most else (most if self.pays_remainder else 0)
        if amount:
            self.money.append(Money(done, amount, now, done.day, done.person))

    def _is_theirs(self, one: Money, done: Done) -> bool:
        return one.person.root() is done.person.root()

    def undo(self, going: Sequence[Money], *, is_final: bool = False) -> None:
        """Cancel payouts that were not sent first: what was in one that was stays."""
        for one in going:
            if one.payout is not None and not one.payout.is_sent:
                for other in one.payout.items:
                    other.payout = None
        for one in going:
            if one.payout is not None:
                one.is_told = True
            else:
                one.state = "voided" if one.state == "pending" else "reversed"
                one.is_final = is_final

    def turn(self) -> None:
        least = 1 if self.pays_remainder else self.unit
        if self.matches and not self.pays_remainder:
            least = max(1, (1 if self.matches.pays_remainder else self.matches.unit) * self.percent // 100)
        self.state = "exhausted" if self.cap - self.drawn(self.money) < least else "active"

    def fall(self, falling: Sequence[Done]) -> None:
        """What is not to be paid any more goes."""
        if self.threshold is None:
            self.undo([one for done in falling if (one := self.on(done))])
        elif any(done in self.counted for done in falling):
            self.counted = [one for one in self.counted if one not in falling]
            units = [one for one in self.money if one.stands]
            self.undo(units[len(self.counted) // self.threshold :])

    def rise(self, rising: Sequence[Done], now: datetime) -> None:
        """What is to be paid and is not yet comes, in the order in which it was done."""
        for done in rising:
            if self.threshold is None:
                self.give(done, now)
                continue
            self.counted.append(done)
            units, reached = sum(one.stands for one in self.money), len(self.counted) // self.threshold
            is_reached = len(self.counted) % self.threshold == 0
            if is_reached and units < reached and self.on(done) is None:
                self.give(done, now)
        if self.threshold is not None and rising:
            for one in [one for one in self.money if one.stands][: len(self.counted) // self.threshold]:
                one.is_told = False  # what was paid and is reached again is simply paid

    def fresh(self, dones: Sequence[Done]) -> list[Done]:
        known = [done for done in dones if self.worth(done)]
        if self.threshold is not None:
            return [done for done in known if done not in self.counted]
        for done in known:
            if (one := self.on(done)) is not None:
                one.is_told = False
        return [done for done in known if self.on(done) is None and not self.is_blocked(done)]


@dataclass
class Model:
    """The pledges of a mission, those that match others last; what waits for the worker and for a paused campaign."""

    pledges: list[Promise]
    dones: list[Done] = field(default_factory=list)
    acts: list[Act] = field(default_factory=list)
    payouts: list[Paid] = field(default_factory=list)
    touched: set[Done] = field(default_factory=set)
    waiting: set[Done] = field(default_factory=set)
    is_paused: bool = False

    def current(self, person: Person, day: date) -> Done | None:
        mine = (one for one in self.dones if one.person.root() is person.root() and one.day == day)
        return next((one for one in mine if one.is_current), None)

    def act(self, act: Act, at: datetime) -> None:
        self.acts.append(act)
        done = self.current(act.person, act.day)
        if done is None:
            done = Done(act.person, act.day, at, act)
            self.dones.append(done)
        elif done.state == "reversed":
            done.state, done.at, done.act = "verified", at, act
        else:
            return
        self.touched.add(done)

    def void(self, act: Act, now: datetime) -> None:
        if act.is_voided:
            return
        act.is_voided, act.verdict = True, "invalid"
        hit = [one for one in self.dones if one.act is act and one.state == "verified"]
        for done in hit:
            taken = {one.act for one in self.dones if one.state == "verified"}
            mine = (one for one in self.acts if one.person.root() is done.person.root() and one.day == done.day)
            other = next((one for one in mine if not one.is_voided and one not in taken), None)
            if other is None:
                done.state = "reversed"
            else:
                done.act = other
        self.reckon(hit, now, undo_only=True)

    def drain(self, now: datetime) -> None:
        while self.touched:
            touched, self.touched = self.touched, set()
            self.reckon(touched, now)

    def reckon(
        self, dones: Iterable[Done], now: datetime, *, undo_only: bool = False, member: Money | None = None
    ) -> None:
        ordered = sorted(set(dones), key=lambda one: one.at)
        for pledge in self.pledges:
            if member is not None and member in pledge.money:
                pledge.undo([member], is_final=True)
            pledge.fall([done for done in ordered if pledge.worth(done) is False])
            fresh = pledge.fresh(ordered)
            if self.is_paused:
                self.waiting |= set(fresh)
            elif undo_only:
                self.touched |= set(fresh)
            else:
                pledge.rise(fresh, now)
            pledge.turn()

    def post(self, now: datetime) -> None:
        if self.is_paused:
            return
        for pledge in self.pledges:
            for one in pledge.money:
                if one.state == "pending" and one.at + REVIEW <= now:
                    one.state = "posted"

    def merge(self, older: Person, newer: Person, now: datetime) -> None:
        """The older name takes over; what one person cannot have done twice, or may not draw, goes."""
        for day in sorted({one.day for one in self.dones if one.person.root() is newer}):
            both = [one for one in (self.current(older, day), self.current(newer, day)) if one is not None]
            for other in sorted(both, key=lambda one: (one.state == "reversed", one.at))[1:]:
                other.is_current, other.state = False, "reversed"
        newer.heir = older
        self.reckon([one for one in self.dones if one.person.root() is older], now, undo_only=True)
        for pledge in self.pledges:
            if pledge.person_cap is None:
                continue
            mine = [one for one in pledge.money if one.stands and one.person.root() is older]
            drawn, going = pledge.drawn(mine), []
            for one in reversed(mine):
                if drawn > pledge.person_cap and one.state == "pending":
                    going.append(one)
                    drawn -= one.amount
            pledge.undo(going, is_final=True)
            pledge.turn()
            self.reckon([one.done for one in going], now, undo_only=True)
