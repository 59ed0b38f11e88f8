"""Any order of visits, codes, replays, voids, merges and erasures: the totals are those of a plain model in memory.

Small by default; `PASSERELLE_SOAK=1` (`make soak`) runs it longer.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import combinations
from uuid import UUID

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, invariant, rule, run_state_machine_as_test
from sqlmodel import col, select

from campaigns import clock, ids, missions, privacy, scans, stats, verify, worker
from campaigns.errors import Conflict, Gone, NotFound
from campaigns.missions import Membership, StepKind, StepPlan
from campaigns.missions.tours import stops_done
from campaigns.participants import Participant
from campaigns.scans import CheckIn, Scan, marks
from campaigns.stats import Asked, Window
from campaigns.stats.service import start_of
from campaigns.storage import Database
from campaigns.tokens.directory import Entry
from tests.campaigns.test_merging import merge
from tests.campaigns.test_reversal import void
from tests.campaigns.test_steps import show, witness
from tests.factories import NOON, make_scan
from tests.machines import Recounted, sized
from tests.scene import INSIDE, another_place, set_scene

STOPS = 3
TODAY = clock.day_of(NOON)
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


@dataclass(eq=False)
class Person:
    participant: Participant
    cookie: str
    acts: list[Act] = field(default_factory=list)
    witnessed: bool = False
    code: str = ""
    erased: bool = False
    into: "Person | None" = None

    @property
    def now_is(self) -> "Person":
        """Who they are after the merges: the older name."""
        return self.into.now_is if self.into else self

    def good(self) -> list[Act]:
        return [act for act in self.acts if not act.voided]

    def visits(self) -> int:
        return len({(act.place, act.day) for act in self.good()})

    def steps(self) -> list[bool]:
        """Which of the mission's steps are done: a trail, all places, so many visits, the shop's word."""
        places = [act.place for act in sorted(self.good(), key=lambda act: act.at)]
        names = [UUID(int=one) for one in range(STOPS)]
        trail = stops_done(names, [names[one] for one in places]) == STOPS
        return [trail, len(set(places)) == STOPS, self.visits() >= TIMES, self.witnessed]

    def completions(self) -> int:
        trail, places, _, witnessed = self.steps()
        return trail + places + min(self.visits(), TIMES) + witnessed


class Acts(Recounted):
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
        ]
        with database.transaction() as session:
            missions.set_steps(session, self.scene.mission, plans, now=NOON)
        self.now = NOON
        self.everybody: list[Person] = []  # by their visitor keys; a merged name's place has the older one
        self.merged: list[Person] = []

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

    @rule(person=people, place=st.integers(0, STOPS - 1), hours=st.sampled_from([0.2, 1.5, 13]))
    def come_again(self, person: Person, place: int, hours: float) -> None:
        cookie, person = person.cookie, person.now_is  # the cookie of a name that is gone leads to the older one
        if person.erased:
            return
        self._later(hours)
        key = self.everybody.index(person) + 1
        row = self.scene.scan(entry=self.entries[place], at=self.now, visitor_key=key)
        done = self.scene.check_in(row, entry=self.entries[place], cookie=cookie, position=INSIDE, now=self.now)
        assert done.person.id == person.participant.id
        person.acts.append(Act(row.id, place, self.now))

    @rule(person=people, which=st.integers(0, 9))
    def replay(self, person: Person, which: int) -> None:
        cookie, person = person.cookie, person.now_is
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
        again = self.scene.check_in(row, entry=entry, cookie=cookie, now=self.now)
        assert (again.is_replay, again.person.id) == (True, person.participant.id)
        assert (again.check_in.voided_at is not None) is act.voided

    @rule(person=people, which=st.integers(0, 9))
    def void(self, person: Person, which: int) -> None:
        person = person.now_is
        act = person.acts[which % len(person.acts)]
        first = void(self.scene, act.scan_id, now=self.now)
        act.voided = True
        assert void(self.scene, act.scan_id, now=self.now) == first

    @rule(person=people)
    def show_a_code(self, person: Person) -> None:
        person = person.now_is
        if not person.erased:
            person.code = show(self.scene, person.participant, now=self.now, step=3).code

    @rule(person=people)
    def witness(self, person: Person) -> None:
        person = person.now_is
        if not person.code:
            return
        try:
            witness(self.scene, person.code, now=self.now)
        except (Conflict, NotFound):
            return  # used, older than ten minutes, or its person erased
        assert not person.erased
        person.witnessed = True

    @rule(person=people)
    def erase(self, person: Person) -> None:
        """Nothing the model counts may change."""
        person = person.now_is
        with self.scene.database.erasing() as session:
            gone = privacy.erase(session, person.participant.id, note=lambda *_: None, now=self.now)
        assert gone is not person.erased
        person.erased = True

    @rule(one=people, other=people)
    def merge(self, one: Person, other: Person) -> None:
        """Two names of one person: the older one has done what both did, as if one person had."""
        one, other = one.now_is, other.now_is
        if one is other:
            return
        if one.erased or other.erased:
            with pytest.raises(NotFound):
                merge(self.scene.database, one.participant, other.participant, now=self.now)
            return
        older, newer = sorted((one, other), key=lambda each: (each.participant.created_at, each.participant.id))
        done = merge(self.scene.database, one.participant, other.participant, now=self.now)
        assert done.ids == (older.participant.id, newer.participant.id)
        newer.into = older
        older.acts += newer.acts
        older.witnessed |= newer.witnessed
        older.code = older.code or newer.code
        self.merged.append(newer)
        self.everybody = [older if each is newer else each for each in self.everybody]

    @rule()
    def judge(self) -> None:
        self.scene.drain(now=self.now)

    @rule()
    def set_marks(self) -> None:
        worker.set_marks(self.scene.database, now=self.now)

    @invariant()
    def check_ins_are_counted_as_if_there_were_no_marks(self) -> None:
        people = list({id(one): one for one in self.everybody}.values())
        with self.scene.database.snapshot() as session:
            found = scans.visits_between(session, self.scene.campaign.id)
            rows = session.exec(select(CheckIn).where(CheckIn.counted, CheckIn.phase == "live")).all()
            for days in combinations([TODAY, TODAY + 1, TODAY + 2, TODAY + 9], 2):
                since, until = (start_of(self.scene.campaign, day) for day in days)
                asked = Asked(since, until)
                acts = stats.acts_of(session, self.scene.campaign, asked, Window("day", *days))
                some = [row for row in rows if since <= row.checked_in_at < until]
                assert (acts.check_ins, acts.people) == (len(some), len({row.participant_id for row in some})), asked
        assert found.check_ins == sum(one.visits() for one in people)
        assert found.firsts == sum(one.visits() > 0 for one in people)

    @invariant()
    def the_totals_are_those_of_the_model(self) -> None:
        totals = self.scene.counters()
        people = list({id(one): one for one in self.everybody}.values())
        assert totals.get("participants", 0) == len(people)
        assert totals.get("check_ins", 0) == sum(one.visits() for one in people)
        assert totals.get("completions", 0) == sum(one.completions() for one in people)
        with self.scene.database.snapshot() as session:
            done = session.exec(
                select(Membership).where(
                    Membership.mission_id == self.scene.mission.id, col(Membership.completed_at).is_not(None)
                )
            ).all()
        assert len(done) == sum(all(one.steps()) for one in people)

    def problems(self) -> list[str]:
        return self.scene.problems()

    def teardown(self) -> None:
        self.judge()
        super().teardown()
        assert verify.rejudge(self.scene.database) == []


def test_any_order_of_acts_voids_and_erasures_adds_up(
    anew: Callable[[], Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marks, "APART", 2)
    monkeypatch.setattr(marks, "SETTLED", timedelta(0))
    run_state_machine_as_test(  # any callable will do, its annotation is narrower
        lambda: Acts(anew()),  # type: ignore[arg-type]
        settings=sized(examples=5, soak=150, steps=15, soak_steps=40),
    )
