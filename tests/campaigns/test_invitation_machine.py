"""Word of mouth beside the rest: any order of acts has the totals of a model in memory.

Small by default; `PASSERELLE_SOAK=1` (`make soak`) runs it longer.
"""

import os
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlmodel import col, select

from campaigns import ids, missions, participants, privacy, verify
from campaigns.errors import Conflict, Gone, NotFound
from campaigns.missions import Membership, StepKind, StepPlan
from campaigns.missions.tours import stops_done
from campaigns.participants import Participant
from campaigns.planning import Campaign
from campaigns.scans import Scan
from campaigns.storage import Database
from campaigns.tokens.directory import Entry
from tests.campaigns.test_reversal import void
from tests.campaigns.test_steps import show, witness
from tests.factories import NOON, make_scan
from tests.scene import INSIDE, another_place, set_scene

SOAK = bool(os.environ.get("PASSERELLE_SOAK"))
STOPS = 3
TIMES = 2  # a step of so many visits


@dataclass
class Act:
    """A check-in of somebody at a place, as long as its scan is not voided."""

    scan_id: str
    place: int
    at: datetime
    voided: bool = False

    @property
    def day(self) -> int:
        return (self.at - NOON + timedelta(hours=12)).days


@dataclass
class Person:
    participant: Participant
    cookie: str
    acts: list[Act] = field(default_factory=list)
    witnessed: bool = False
    code: str = ""
    erased: bool = False
    referrer: "Person | None" = None
    brought: list["Person"] = field(default_factory=list)
    came: bool = False  # by somebody's link, and to a shop
    rewarded: bool = False  # and it did the step of who brought them

    def rewards(self) -> int:
        return sum(one.rewarded for one in self.brought)

    def arrive(self) -> None:
        """They came to a shop: of people who are there still, the first so many do the step."""
        if self.referrer is None or self.came:
            return
        self.came = True
        self.rewarded = not self.referrer.erased and self.referrer.rewards() < TIMES

    def leave(self) -> None:
        """No act of theirs at a place stands any more: another one who came does the step in their place."""
        if self.referrer is None or self.good() or self.witnessed:
            return
        if self.rewarded:
            spare = next((one for one in self.referrer.brought if one.came and not one.rewarded), None)
            if spare is not None:
                spare.rewarded = True
        self.came = self.rewarded = False

    def good(self) -> list[Act]:
        return [act for act in self.acts if not act.voided]

    def visits(self) -> int:
        return len({(act.place, act.day) for act in self.good()})

    def steps(self) -> list[bool]:
        """Which of the mission's steps are done: a trail, all places, so many visits, the shop's word, invitations."""
        places = [act.place for act in self.good()]
        names = [UUID(int=one) for one in range(STOPS)]
        trail = stops_done(names, [names[one] for one in places]) == STOPS
        return [trail, len(set(places)) == STOPS, self.visits() >= TIMES, self.witnessed, self.rewards() >= TIMES]

    def completions(self) -> int:
        trail, places, _, witnessed, _ = self.steps()
        return trail + places + min(self.visits(), TIMES) + witnessed + self.rewards()


class Acts(RuleBasedStateMachine):
    people = Bundle("people")

    def __init__(self, database: Database) -> None:
        super().__init__()
        self.scene = set_scene(database)
        self.entries: list[Entry] = [self.scene.entry]
        self.entries += [another_place(self.scene, name=f"Stop {n}") for n in range(1, STOPS)]
        names = [ids.show("plc", one.place.id) for one in self.entries if one.place]
        plans = [
            StepPlan(StepKind.TRAIL, params={"places": names}),
            StepPlan(StepKind.VISIT_PLACES, params={"n": STOPS}),
            StepPlan(StepKind.SCAN, 0, TIMES),
            StepPlan(StepKind.STAFF_VALIDATED),
            StepPlan(StepKind.REFERRAL, 1, TIMES),
        ]
        with database.transaction() as session:
            missions.set_steps(session, self.scene.mission, plans, now=NOON)
        self.now = NOON
        self.everybody: list[Person] = []

    def _later(self, hours: float) -> None:
        self.now += timedelta(hours=hours)

    @rule(target=people, place=st.integers(0, STOPS - 1))
    def come_anew(self, place: int) -> Person:
        self._later(0.2)
        row = self.scene.scan(entry=self.entries[place], at=self.now, visitor_key=len(self.everybody) + 1)
        done = self.scene.check_in(row, entry=self.entries[place], position=INSIDE, now=self.now)
        assert done.secret is not None
        person = Person(done.person, done.secret, [Act(row.id, place, self.now)])
        self.everybody.append(person)
        return person

    @rule(target=people, referrer=people, place=st.integers(0, STOPS - 1))
    def come_by_a_link(self, referrer: Person, place: int) -> Person | MultipleResults[Person]:
        if referrer.erased:
            return multiple()
        self._later(0.2)
        scene, number = self.scene, len(self.everybody) + 1
        with scene.database.transaction() as session:
            campaign = session.get_one(Campaign, scene.campaign.id)
            who, cookie = participants.join(session, campaign.organisation_id, language="fr", now=self.now)
            phone = missions.Phone(1, self.everybody.index(referrer) + 1)
            code = missions.invite(session, scene.mission, campaign, referrer.participant, phone, now=self.now)
            link = missions.Link(code, missions.Phone(1, number))
            assert missions.claim(session, scene.mission, campaign, who, link, now=self.now) is not None
            missions.take_part(session, scene.mission, who, phase="live", now=self.now)
        person = Person(who, cookie, referrer=referrer)
        referrer.brought.append(person)
        self.everybody.append(person)
        self._visit(person, place, 0.2)
        return person

    @rule(person=people, place=st.integers(0, STOPS - 1), hours=st.sampled_from([0.2, 1.5, 13]))
    def come_again(self, person: Person, place: int, hours: float) -> None:
        if not person.erased:
            self._visit(person, place, hours)

    def _visit(self, person: Person, place: int, hours: float) -> None:
        self._later(hours)
        key = self.everybody.index(person) + 1
        row = self.scene.scan(entry=self.entries[place], at=self.now, visitor_key=key)
        self.scene.check_in(row, entry=self.entries[place], cookie=person.cookie, position=INSIDE, now=self.now)
        person.acts.append(Act(row.id, place, self.now))
        if person.referrer is not None:
            self.judge()
            person.arrive()

    @rule(person=people, which=st.integers(0, 9))
    def replay(self, person: Person, which: int) -> None:
        act = person.acts[which % len(person.acts)]
        if self.now - act.at > timedelta(hours=48):
            return
        entry = self.entries[act.place]
        with self.scene.database.snapshot() as session:
            stored = session.get_one(Scan, UUID(act.scan_id))
        row = make_scan(entry, at=act.at, visitor_key=stored.visitor_key)._replace(id=act.scan_id)
        if person.erased:
            with pytest.raises(Gone):
                self.scene.check_in(row, entry=entry, now=self.now)
            return
        again = self.scene.check_in(row, entry=entry, cookie=person.cookie, now=self.now)
        assert again.is_replay
        assert (again.check_in.voided_at is not None) is act.voided

    @rule(person=people, which=st.integers(0, 9))
    def void(self, person: Person, which: int) -> None:
        act = person.acts[which % len(person.acts)]
        first = void(self.scene, act.scan_id, now=self.now)
        act.voided = True
        person.leave()
        assert void(self.scene, act.scan_id, now=self.now) == first

    @rule(person=people)
    def show_a_code(self, person: Person) -> None:
        if not person.erased:
            person.code = show(self.scene, person.participant, now=self.now, step=3).code

    @rule(person=people)
    def witness(self, person: Person) -> None:
        if not person.code:
            return
        try:
            witness(self.scene, person.code, now=self.now)
        except (Conflict, NotFound):
            return  # used, older than ten minutes, or its person erased
        assert not person.erased
        person.witnessed = True
        if person.referrer is not None:
            self.judge()
            person.arrive()

    @rule(person=people)
    def erase(self, person: Person) -> None:
        """Nothing the model counts may change."""
        with self.scene.database.erasing() as session:
            gone = privacy.erase(session, person.participant.id, note=lambda *_: None, now=self.now)
        assert gone is not person.erased
        person.erased = True

    @rule()
    def judge(self) -> None:
        self.scene.drain(now=self.now)

    @invariant()
    def the_totals_are_those_of_the_model(self) -> None:
        totals = self.scene.counters()
        assert totals.get("participants", 0) == len(self.everybody)
        assert totals.get("check_ins", 0) == sum(one.visits() for one in self.everybody)
        assert totals.get("referrals", 0) == sum(one.came for one in self.everybody)
        assert totals.get("completions", 0) == sum(one.completions() for one in self.everybody)
        with self.scene.database.snapshot() as session:
            done = session.exec(
                select(Membership).where(
                    Membership.mission_id == self.scene.mission.id, col(Membership.completed_at).is_not(None)
                )
            ).all()
        assert len(done) == sum(all(one.steps()) for one in self.everybody)

    @invariant()
    def the_books_add_up(self) -> None:
        assert self.scene.problems_at_times() == []

    def teardown(self) -> None:
        self.judge()
        assert self.scene.problems() == []
        assert verify.rejudge(self.scene.database) == []


def test_any_order_of_acts_voids_and_erasures_adds_up(database: Database) -> None:
    run_state_machine_as_test(  # any callable will do, its annotation is narrower
        lambda: Acts(database),  # type: ignore[arg-type]
        settings=settings(
            max_examples=150 if SOAK else 5,
            stateful_step_count=40 if SOAK else 15,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
