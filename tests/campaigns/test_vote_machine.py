"""Any order of votes, withdrawals, repeats, visits, closes and erasures against a plain model in memory.

Small by default; `PASSERELLE_SOAK=1` (`make soak`) runs it longer.
"""

import os
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from campaigns import privacy
from campaigns.community import Cast
from campaigns.errors import CampaignError
from campaigns.participants import Participant
from campaigns.storage import Database
from tests.booth import HOUR, Booth, open_booth
from tests.factories import NOON

SOAK = bool(os.environ.get("PASSERELLE_SOAK"))
IDEAS, PEOPLE = 4, 3
ideas, people = st.integers(0, IDEAS - 1), st.integers(0, PEOPLE - 1)
client_ids = st.sampled_from(["a", "b", "c", None])


@dataclass
class Voter:
    """What the model knows of a person: `presence` of their best visit, their votes, and the first answers."""

    participant: Participant
    presence: int | None = None
    ballot: int | None = None  # the presence it was opened with
    votes: set[int] = field(default_factory=set)
    answers: dict[tuple[str, str], UUID] = field(default_factory=dict)


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
        self.now, self.closed, self.number = NOON, False, 0

    @rule(who=people, strong=st.booleans())
    def visit(self, who: int, strong: bool) -> None:
        """Another person takes the place of one without a visit: a check-in is somebody new's here."""
        if self.voters[who].presence is None and not self.voters[who].answers:
            person = self.booth.visitor(at=self.now, till_code_was_right=strong)
            self.voters[who] = Voter(person, presence=2 if strong else 1)

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
            voter.ballot = voter.ballot if voter.ballot is not None else (voter.presence or 0)
            voter.votes.add(idea)
            assert (got.is_replay, got.left, got.vote.presence) == (False, self.quota - len(voter.votes), voter.ballot)
            voter.answers["vote", client or f"own {self.number}"] = got.vote.id
        else:
            assert getattr(got, "code", None) == expected

    def _vote_answer(self, voter: Voter, idea: int, client: str | None) -> str:
        if client and ("vote", client) in voter.answers:
            return "replay"
        if voter.ballot is None and self.min_presence > (voter.presence or 0):
            return "presence_missing"
        if self.closed:
            return "round_over"
        if idea in voter.votes:
            return "already_voted"
        return "quota_used" if len(voter.votes) == self.quota else "counted"

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
            voter.votes.remove(idea)
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
        assert len(self.booth.ballots()) == sum(one.ballot is not None for one in everybody)
        assert len(self.booth.tally()) == sum(votes)
        assert self.booth.scene.counters().get("votes", 0) == sum(votes)

    def teardown(self) -> None:
        if hasattr(self, "booth"):
            assert self.booth.scene.problems() == []


def test_any_order_of_votes_adds_up(database: Database) -> None:
    run_state_machine_as_test(  # any callable will do, its annotation is narrower
        lambda: Votes(database),  # type: ignore[arg-type]
        settings=settings(
            max_examples=150 if SOAK else 6,
            stateful_step_count=50 if SOAK else 20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
