"""Any order of votes, withdrawals, repeats, visits, voids, merges, closes and erasures against a plain model in memory.

Small by default; `PASSERELLE_SOAK=1` (`make soak`) runs it longer.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlmodel import select

from campaigns import privacy
from campaigns.community import Cast
from campaigns.errors import CampaignError
from campaigns.missions.models import StepCompletion
from campaigns.participants import Participant
from campaigns.storage import Database
from tests.booth import HOUR, Booth, open_booth
from tests.campaigns.test_merging import merge
from tests.campaigns.test_reversal import void
from tests.factories import NOON
from tests.machines import sized
from tests.scene import INSIDE

IDEAS, PEOPLE = 4, 3
ideas, people = st.integers(0, IDEAS - 1), st.integers(0, PEOPLE - 1)
client_ids = st.sampled_from(["a", "b", "c", None])


@dataclass
class Act:
    """A check-in, as long as its scan is not voided."""

    scan_id: UUID
    presence: int


@dataclass
class Voter:
    """What the model knows of a person: visits, votes by idea with their slots, and the first answers."""

    participant: Participant
    acts: list[Act] = field(default_factory=list)
    ballot: int | None = None  # the presence it shows
    proof: UUID | None = None  # the scan it rests on; nothing where nothing had to be proved
    is_void: bool = False
    votes: dict[int, int] = field(default_factory=dict)
    answers: dict[tuple[str, str], UUID] = field(default_factory=dict)

    def best(self, least: int) -> Act | None:
        """The visit that opens a ballot."""
        fit = [act for act in self.acts if act.presence >= least]
        return min(fit, key=lambda act: (-act.presence, act.scan_id), default=None)

    def free_slot(self) -> int:
        return next(slot for slot in range(1, 21) if slot not in self.votes.values())


class Votes(RuleBasedStateMachine):
    def __init__(self, database: Database) -> None:
        super().__init__()
        self.database = database

    @initialize(quota=st.integers(1, 3), min_presence=st.integers(0, 2))
    def open(self, quota: int, min_presence: int) -> None:
        self.booth: Booth = open_booth(self.database, quota=quota, min_presence=min_presence)
        self.quota, self.min_presence = quota, min_presence
        self.ideas = [self.booth.idea() for _ in range(IDEAS)]
        self.voters = [Voter(self.booth.somebody()) for _ in range(PEOPLE)]
        self.gone: list[Voter] = []  # erased: their votes stand
        self.visits: list[tuple[Voter, Act]] = []
        self.dropped, self.voided = 0, {"scan_voided": 0, "merged": 0}
        self.now, self.closed, self.number = NOON, False, 0

    @rule(who=people, strong=st.booleans())
    def visit(self, who: int, strong: bool) -> None:
        """Another person takes the place of one without a visit: a check-in is somebody new's here."""
        if not self.voters[who].acts and not self.voters[who].answers:
            row = self.booth.scene.scan(at=self.now)
            done = self.booth.scene.check_in(row, now=self.now, position=INSIDE, till_code_was_right=strong)
            act = Act(UUID(row.id), 2 if strong else 1)
            self.voters[who] = Voter(done.person, [act])
            self.visits.append((self.voters[who], act))

    @rule(who=people, idea=ideas, client=client_ids)
    def vote(self, who: int, idea: int, client: str | None) -> None:
        voter = self.voters[who]
        expected = self._vote_answer(voter, idea, client)
        got = self._act(self.booth.vote, voter, idea, client)
        if expected == "replay":
            assert isinstance(got, Cast)
            assert (got.is_replay, got.vote.id) == (True, voter.answers["vote", client or ""])
        elif expected == "counted":
            assert isinstance(got, Cast), got
            self._open(voter)
            voter.votes[idea] = voter.free_slot()
            assert (got.is_replay, got.left, got.vote.presence) == (False, self.quota - len(voter.votes), voter.ballot)
            voter.answers["vote", client or f"own {self.number}"] = got.vote.id
        else:
            assert getattr(got, "code", None) == expected

    def _vote_answer(self, voter: Voter, idea: int, client: str | None) -> str:
        if client and ("vote", client) in voter.answers:
            return "replay"
        if (voter.ballot is None or voter.is_void) and self.min_presence and voter.best(self.min_presence) is None:
            return "presence_missing"
        if self.closed:
            return "round_over"
        if idea in voter.votes:
            return "already_voted"
        return "quota_used" if len(voter.votes) == self.quota else "counted"

    def _open(self, voter: Voter) -> None:
        if voter.ballot is not None and not voter.is_void:
            return
        best = voter.best(self.min_presence)
        voter.ballot, voter.is_void = best.presence if best else 0, False
        voter.proof = best.scan_id if best and self.min_presence else None

    @rule(which=st.integers(0, 9))
    def void(self, which: int) -> None:
        """A scan is voided, of somebody there or of somebody erased; twice is once."""
        if not self.visits:
            return
        voter, act = self.visits[which % len(self.visits)]
        void(self.booth.scene, act.scan_id, now=self.now)
        if act not in voter.acts:
            return
        voter.acts.remove(act)
        if voter.proof != act.scan_id or voter.is_void:
            return
        best = voter.best(self.min_presence)
        if best is not None:
            voter.ballot, voter.proof = best.presence, best.scan_id
            return
        self.voided["scan_voided"] += len(voter.votes)
        voter.votes, voter.is_void = {}, True

    @rule(one=people, other=people)
    def merge(self, one: int, other: int) -> None:
        """Two names of one person: their votes as one person could have cast them; the newer name is free again."""
        if one == other:
            return
        by_age = sorted((one, other), key=lambda who: _age(self.voters[who].participant))
        older, newer = (self.voters[who] for who in by_age)
        done = merge(self.database, older.participant, newer.participant, now=self.now)
        assert done.ids == (older.participant.id, newer.participant.id)
        self._merge_votes(older, newer)
        older.answers = newer.answers | older.answers  # what either phone had queued and sends again
        older.acts += newer.acts
        self.visits = [(older if voter is newer else voter, act) for voter, act in self.visits]
        self.voters[by_age[1]] = Voter(self.booth.somebody())

    def _merge_votes(self, older: Voter, newer: Voter) -> None:
        if newer.ballot is None:
            return
        if older.ballot is None:
            older.ballot, older.proof, older.is_void, older.votes = (
                newer.ballot,
                newer.proof,
                newer.is_void,
                newer.votes,
            )
            return
        self.dropped += 1
        kept = min((older, newer), key=lambda one: (not one.votes, one.is_void, one is newer))
        theirs = [
            (voter, idea) for voter in (older, newer) for idea in sorted(voter.votes, key=voter.votes.__getitem__)
        ]
        stand: list[tuple[Voter, int]] = []
        for voter, idea in theirs:  # all within one hour: the older name's first
            if idea not in [each for _, each in stand] and len(stand) < self.quota:
                stand.append((voter, idea))
        self.voided["merged"] += len(theirs) - len(stand)
        votes = {idea: voter.votes[idea] for voter, idea in stand if voter is kept}
        for voter, idea in stand:
            if voter is not kept:
                votes[idea] = next(slot for slot in range(1, 21) if slot not in votes.values())
        older.ballot, older.proof, older.is_void, older.votes = kept.ballot, kept.proof, kept.is_void, votes

    @rule(who=people, idea=ideas, client=client_ids)
    def withdraw(self, who: int, idea: int, client: str | None) -> None:
        voter = self.voters[who]
        got = self._act(self.booth.withdraw, voter, idea, client)
        if client and ("withdraw", client) in voter.answers:
            assert isinstance(got, Cast)
            assert (got.is_replay, got.vote.id) == (True, voter.answers["withdraw", client])
        elif self.closed:
            assert getattr(got, "code", None) == "round_over"
        elif idea not in voter.votes:
            assert getattr(got, "code", None) == "not_voted"
        else:
            assert isinstance(got, Cast), got
            del voter.votes[idea]
            voter.answers["withdraw", client or f"own {self.number}"] = got.vote.id

    def _act(self, act: Any, voter: Voter, idea: int, client: str | None) -> Cast | CampaignError:
        self.number += 1
        try:
            cast: Cast = act(voter.participant, self.ideas[idea], client_id=client or f"x{self.number}", now=self.now)
        except CampaignError as error:
            return error
        return cast

    @rule(minutes=st.integers(1, 10))
    def wait(self, minutes: int) -> None:
        self.now = min(self.now + timedelta(minutes=minutes), NOON + HOUR - timedelta(minutes=1))

    @precondition(lambda self: not self.closed)
    @rule(late=st.integers(0, 4))
    def close(self, late: int) -> None:
        """Rarely: after it little is left to happen."""
        if late == 0:
            self.booth.change(now=self.now, closes_at=self.now)
            self.closed = True

    @rule(who=people)
    def erase(self, who: int) -> None:
        """No total changes; who comes back is somebody new, without a ballot."""
        voter = self.voters[who]
        with self.database.erasing() as session:
            assert privacy.erase(session, voter.participant.id, note=lambda *_: None, now=self.now)
        self.gone.append(voter)
        self.voters[who] = Voter(self.booth.somebody())

    @invariant()
    def the_result_is_that_of_the_model(self) -> None:
        if not hasattr(self, "voters"):
            return
        everybody = [*self.voters, *self.gone]
        result = self.booth.result()
        votes = [sum(number in one.votes for one in everybody) for number in range(IDEAS)]
        assert {one.idea_id: one.votes for one in result.ranking} == {
            self.ideas[number]: count for number, count in enumerate(votes) if count
        }
        assert (result.voters, result.votes) == (sum(bool(one.votes) for one in everybody), sum(votes))
        assert result.voided == {why: number for why, number in self.voided.items() if number}
        assert result.mix == {}  # fewer than ten people
        assert len(self.booth.ballots()) == sum(one.ballot is not None for one in everybody) + self.dropped
        assert len([one for one in self.booth.tally() if not one.voided]) == sum(votes)
        assert self.booth.scene.counters().get("votes", 0) == sum(votes)
        levels = sorted(one.ballot for one in everybody if one.votes and one.ballot is not None)
        assert sorted(one.presence for one in self.booth.ballots() if one.live) == levels
        assert self._vote_steps() == len(levels)

    def _vote_steps(self) -> int:
        """How many people have the vote step done: those with a vote that stands."""
        with self.database.snapshot() as session:
            done = select(StepCompletion).where(StepCompletion.source_id == self.booth.round.id)
            return len(session.exec(done.where(StepCompletion.state == "verified")).all())

    def teardown(self) -> None:
        if hasattr(self, "booth"):
            assert self.booth.scene.problems() == []


def _age(person: Participant) -> tuple[object, ...]:
    return person.created_at, person.id


def test_any_order_of_votes_adds_up(anew: Callable[[], Database]) -> None:
    run_state_machine_as_test(  # any callable will do, its annotation is narrower
        lambda: Votes(anew()),  # type: ignore[arg-type]
        settings=sized(examples=6, soak=150, steps=20, soak_steps=50),
    )
