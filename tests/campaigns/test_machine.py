"""Any order of acts: after every step the books add up, and the totals are those of a plain model in memory.

Small by default; `PASSERELLE_SOAK=1` (`make soak`) runs it longer.
"""

import os
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from campaigns import planning, privacy
from campaigns.errors import Gone
from campaigns.missions import Repeat, StepKind, StepPlan
from campaigns.participants import Participant
from campaigns.planning import Campaign
from campaigns.scans import Position, signals
from campaigns.scans.log import ScanRow
from campaigns.storage import Database
from tests.factories import NOON, PHONE, make_entry
from tests.scene import FAR, INSIDE, VAGUE, set_scene

SOAK = bool(os.environ.get("PASSERELLE_SOAK"))
HOUR, PARIS = timedelta(hours=1), ZoneInfo("Europe/Paris")
WEIGHT = {"inside": 0, "maybe": 15, "outside": 60}
FENCE = {INSIDE: "inside", FAR: "outside", VAGUE: "maybe"}
positions = st.sampled_from([INSIDE, FAR, VAGUE])
_machines = count()
PEOPLE = 2  # on one device within the hour: few acts must show the rule


@dataclass
class Person:
    participant: Participant
    cookie: str


@dataclass
class Fact:
    """All that happened to one scan."""

    row: ScanRow
    at: datetime
    first: str
    confirmed: bool = False
    fixes: list[tuple[float, str]] = field(default_factory=list)
    person: Person | None = None
    presence: int = 0

    def best(self) -> str | None:
        return min(self.fixes, key=lambda fix: fix[0])[1] if self.fixes else None

    def alone(self) -> str:
        """The verdict without a look at other scans."""
        if self.first != "valid":
            return self.first
        best = self.best()
        return "held" if best is not None and WEIGHT[best] >= 50 else "valid"


def shared(fact: Fact, facts: Iterable[Fact]) -> bool:
    """Whether a third person checked in under this scan's visitor key within the hour before it."""
    people = {
        one.person.cookie
        for one in facts
        if one.person is not None
        and one.first != "bot"
        and one.row.visitor_key == fact.row.visitor_key
        and one.row.id <= fact.row.id
        and fact.at - one.at < HOUR
        and fact.at.date() == one.at.date()
    }
    return fact.person is not None and len(people) > PEOPLE


def verdicts(facts: Collection[Fact]) -> dict[str, str]:
    found = {fact.row.id: fact.alone() for fact in facts if fact.confirmed}
    for fact in facts:
        if found.get(fact.row.id) == "valid" and shared(fact, facts):
            found[fact.row.id] = "provisional"
    days: dict[tuple[int, int], list[Fact]] = defaultdict(list)
    for fact in sorted(facts, key=lambda fact: fact.row.id):
        if fact.confirmed and fact.alone() in ("valid", "held"):
            days[fact.row.visitor_key, int(fact.at.timestamp()) // 86_400].append(fact)
    for day in days.values():
        kept: list[Fact] = []
        for fact in sorted(day, key=lambda fact: fact.person is None):  # those who checked in go first
            rivals = [
                one for one in kept if one.person is fact.person or (fact.person is None and one.person is not None)
            ]
            if any(abs(fact.at - one.at) < HOUR for one in rivals):
                found[fact.row.id] = "duplicate"
            else:
                kept.append(fact)
    return found


class Acts(RuleBasedStateMachine):
    scans = Bundle("scans")
    people = Bundle("people")

    def __init__(self, database: Database) -> None:
        super().__init__()
        steps = [StepPlan(StepKind.SCAN, 0, Repeat.DAILY), StepPlan(StepKind.IDEA)]
        self.scene = set_scene(database, steps=steps)
        self.now = NOON
        self.first_key = 2 * next(_machines)  # all machines share a database: a visitor's other codes would count
        self.facts: dict[str, Fact] = {}
        self.visits: set[tuple[str, str]] = set()
        self.done: set[tuple[str, str]] = set()
        self.members: set[str] = set()
        self.ideas: set[tuple[str, int]] = set()
        self.erased: set[str] = set()
        self.paused = False

    @rule(target=scans, key=st.integers(1, 2), bot=st.integers(0, 5), gap=st.integers(0, 50))
    def scan(self, key: int, bot: int, gap: int) -> str:
        self.now += timedelta(minutes=gap)
        agent = PHONE if bot else "Googlebot/2.1 (+http://www.google.com/bot.html)"
        row = self.scene.scan(at=self.now, visitor_key=self.first_key + key, agent=agent)
        first = "bot" if not bot else "invalid" if self.paused else "valid"
        self.facts[row.id] = Fact(row, self.now, first)
        return row.id

    @rule(scan=scans)
    def confirm(self, scan: str) -> None:
        fact = self.facts[scan]
        assert self.scene.confirm(fact.row, at=self.now) is not fact.confirmed
        fact.confirmed = True

    @rule(scan=scans, position=positions)
    def locate(self, scan: str, position: Position) -> None:
        fact = self.facts[scan]
        taken = self.scene.locate(fact.row, position, at=self.now)
        assert (taken is None) is (len(fact.fixes) >= 2)
        fact.confirmed = True
        if taken is not None:
            fact.fixes.append((position.accuracy_m, FENCE[position]))
            assert taken.geofence == fact.best()

    def _check_in(self, fact: Fact, person: Person | None, position: Position | None) -> Person:
        if fact.person is not None and str(fact.person.participant.id) in self.erased:
            with pytest.raises(Gone):
                self.scene.check_in(fact.row, cookie=person.cookie if person else None, now=self.now)
            return fact.person
        done = self.scene.check_in(fact.row, cookie=person.cookie if person else None, position=position, now=self.now)
        assert done.is_replay is (fact.person is not None)
        if fact.person is not None:
            assert done.person.id == fact.person.participant.id
            return fact.person
        if person is None or str(person.participant.id) in self.erased:
            assert done.secret is not None
            person = Person(done.person, done.secret)
        fact.confirmed, fact.person = True, person
        if position is not None and len(fact.fixes) < 2:
            late = self.now - fact.at > timedelta(minutes=10)
            fence = "maybe" if late and position == INSIDE else FENCE[position]
            fact.fixes.append((position.accuracy_m, fence))
        fact.presence = int(fact.best() == "inside")
        verdict = "invalid" if self.paused and fact.first != "bot" else fact.alone()
        assert (done.check_in.presence, done.check_in.verdict) == (fact.presence, verdict)
        self._count(verdict, str(person.participant.id), fact.at)
        return person

    def _count(self, verdict: str, person: str, scanned_at: datetime) -> None:
        day = (person, str(scanned_at.astimezone(PARIS).date()))
        if verdict in ("valid", "held"):
            self.members.add(person)
        if verdict == "valid":
            self.visits.add(day)
            self.done.add(day)

    @rule(target=people, scan=scans, position=st.none() | positions)
    def check_in_as_somebody_new(self, scan: str, position: Position | None) -> Person:
        return self._check_in(self.facts[scan], None, position)

    @rule(scan=scans, person=people, position=st.none() | positions)
    def check_in_again_as(self, scan: str, person: Person, position: Position | None) -> None:
        self._check_in(self.facts[scan], person, position)

    @precondition(lambda self: not self.paused)
    @rule(person=people, client=st.integers(1, 3))
    def post_an_idea(self, person: Person, client: int) -> None:
        if str(person.participant.id) in self.erased:
            return
        who = str(person.participant.id)
        posted = self.scene.post_idea(person.participant, client_id=f"phone-{client}", now=self.now)
        assert posted.is_replay is ((who, client) in self.ideas)
        self.ideas.add((who, client))
        self.members.add(who)
        self.done.add((who, "idea"))

    @rule(person=people)
    def erase(self, person: Person) -> None:
        """Nothing the model counts may change; the next act with that cookie is somebody new's."""
        with self.scene.database.erasing() as session:
            gone = privacy.erase(session, person.participant.id, note=lambda *_: None, now=self.now)
        assert gone is (str(person.participant.id) not in self.erased)
        self.erased.add(str(person.participant.id))

    @rule()
    def judge(self) -> None:
        self.scene.drain(now=self.now)
        self.check_verdicts()

    @rule()
    def pause_or_resume(self) -> None:
        with self.scene.database.transaction() as session:
            campaign = session.get_one(Campaign, self.scene.campaign.id)
            (planning.resume if self.paused else planning.pause)(session, campaign, now=self.now)
        self.paused = not self.paused
        with self.scene.database.snapshot() as session:
            self.scene.entry = make_entry(session, self.scene.token)

    @invariant()
    def the_books_add_up(self) -> None:
        assert self.scene.problems_at_times() == []

    @invariant()
    def the_totals_are_those_of_the_model(self) -> None:
        figures = self.scene.figures()
        bots = sum(fact.first == "bot" for fact in self.facts.values())
        assert (figures.raw, figures.human) == (len(self.facts), len(self.facts) - bots)
        totals = {
            "participants": len(self.members),
            "check_ins": len(self.visits),
            "completions": len(self.done),
            "ideas": len(self.ideas),
        }
        assert self.scene.counters() == {metric: number for metric, number in totals.items() if number}

    def check_verdicts(self) -> None:
        expected = verdicts(self.facts.values())
        for id, fact in self.facts.items():
            assert self.scene.verdict(fact.row) == expected.get(id, fact.first)
        assert self.scene.figures().verified == sum(verdict == "valid" for verdict in expected.values())

    def teardown(self) -> None:
        self.judge()
        assert self.scene.problems() == []
        self.the_totals_are_those_of_the_model()


def test_any_order_of_acts_adds_up(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "SHARED_PEOPLE", PEOPLE)
    run_state_machine_as_test(  # any callable will do, its annotation is narrower
        lambda: Acts(database),  # type: ignore[arg-type]
        settings=settings(
            max_examples=200 if SOAK else 6,
            stateful_step_count=50 if SOAK else 25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
