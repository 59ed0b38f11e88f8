"""Voiding a scan voids the votes of the ballot it opened, once, in public, and what the votes completed; and taking
the last vote back opens the vote step again. On both databases."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlmodel import select

from campaigns import community, privacy, reversals, scans
from campaigns.community import Cast
from campaigns.errors import Forbidden
from campaigns.missions import Membership, StepKind, StepPlan
from campaigns.missions.models import StepCompletion
from campaigns.participants import Participant
from campaigns.scans import CheckIn
from campaigns.scans.models import VoidEffect
from campaigns.storage import Database
from tests.booth import HOUR, SECRET, Booth, open_booth
from tests.campaigns.test_reversal import void
from tests.campaigns.test_votes import refusal, waiting
from tests.conftest import wait_until
from tests.factories import NOON
from tests.racing import race
from tests.scene import INSIDE, another_place, minutes

VOTE = [StepPlan(StepKind.IDEA), StepPlan(StepKind.VOTE)]


def scan_of(booth: Booth, person: Participant, number: int = 0) -> UUID:
    """The scan of a person's check-in, by the order of their visits."""
    with booth.database.snapshot() as session:
        mine = select(CheckIn.scan_id).where(CheckIn.participant_id == person.id).order_by(CheckIn.id)  # type: ignore[arg-type]  # a column
        return session.exec(mine).all()[number]


def come_again(booth: Booth, person: Participant, secret: str, *, minute: int = 30, **options: Any) -> None:
    at = minutes(minute)
    entry = another_place(booth.scene, name="Another shop")
    row = booth.scene.scan(at=at, entry=entry)
    done = booth.scene.check_in(row, entry=entry, now=at, cookie=secret, position=INSIDE, **options)
    assert done.person.id == person.id


def vote_step(booth: Booth, person: Participant) -> list[tuple[str, str | None]]:
    """The state and reason of each completion of a person that rests on the round."""
    with booth.database.snapshot() as session:
        mine = select(StepCompletion).where(StepCompletion.participant_id == person.id)
        return [
            (one.state, one.reason)
            for one in session.exec(mine.where(StepCompletion.source_id == booth.round.id)).all()
        ]


def test_a_voided_scan_takes_the_votes_of_its_ballot_along_once_and_in_public(database: Database) -> None:
    booth = open_booth(database, min_presence=1, steps=VOTE)
    first, second, person, other = booth.idea(), booth.idea(), booth.visitor(), booth.visitor()
    lines = [booth.vote(person, first).vote.line, booth.vote(person, second).vote.line]
    booth.vote(other, first)
    told = void(booth.scene, scan_of(booth, person))
    assert ("ballot", "reversed") in told
    assert ("completion", "reversed") in told
    assert void(booth.scene, scan_of(booth, person)) == told
    result = booth.result()
    assert (result.voters, result.votes, result.voided) == (1, 1, {"scan_voided": 2})
    assert [(one.idea_id, one.votes) for one in result.ranking] == [(first, 1)]
    assert booth.scene.counters()["votes"] == 1
    assert vote_step(booth, person) == [("reversed", "Scanned from home")]
    tally = booth.tally()
    assert sorted((bool(one.idea), one.voided) for one in tally) == [
        (False, "scan_voided"),
        (False, "scan_voided"),
        (True, ""),
    ]
    assert not {one.line for one in tally} & set(lines), "who has an earlier download could tell whose they were"
    assert refusal(booth.vote, person, first).code == "presence_missing"
    assert refusal(booth.withdraw, person, first).code == "not_voted"
    assert booth.scene.problems() == []


def test_a_ballot_with_another_visit_behind_it_stays_and_shows_the_presence_of_that_one(database: Database) -> None:
    booth = open_booth(database, min_presence=1, steps=VOTE)
    done = booth.scene.check_in(booth.scene.scan(), till_code_was_right=True)
    assert done.secret is not None
    come_again(booth, done.person, done.secret)
    assert booth.vote(done.person, booth.idea()).vote.presence == 2
    strong, plain = scan_of(booth, done.person), scan_of(booth, done.person, 1)
    assert ("ballot", "kept") in void(booth.scene, strong)
    assert (booth.result().votes, booth.votes()[0].presence, booth.ballots()[0].presence) == (1, 1, 1)
    assert vote_step(booth, done.person) == [("verified", None)]
    assert booth.scene.problems() == []
    assert ("ballot", "reversed") in void(booth.scene, plain)
    assert (booth.result().votes, booth.result().voters) == (0, 0)
    assert booth.scene.problems() == []


def test_who_comes_again_votes_again_after_a_void(database: Database) -> None:
    booth = open_booth(database, min_presence=1, steps=VOTE, quota=1)
    done = booth.scene.check_in(booth.scene.scan(), position=INSIDE)
    assert done.secret is not None
    idea = booth.idea()
    booth.vote(done.person, idea)
    void(booth.scene, scan_of(booth, done.person))
    come_again(booth, done.person, done.secret, till_code_was_right=True)
    again = booth.vote(done.person, idea)
    assert (again.vote.presence, again.left, vote_step(booth, done.person)) == (2, 0, [("verified", None)])
    assert (booth.result().votes, booth.result().voided, len(booth.ballots())) == (1, {"scan_voided": 1}, 1)
    assert booth.scene.problems() == []


def test_a_proof_that_opened_no_ballot_takes_no_vote_along(database: Database) -> None:
    booth = open_booth(database)  # open to everybody: no proof opened it
    person = booth.visitor()
    booth.vote(person, booth.idea())
    void(booth.scene, scan_of(booth, person))
    booth.vote(person, booth.idea())
    assert (booth.result().votes, booth.result().voided) == (2, {})
    assert booth.scene.problems() == []


def test_the_votes_of_an_erased_person_go_with_their_scan_after_the_close_too(database: Database) -> None:
    booth = open_booth(database, min_presence=1, steps=VOTE)
    person = booth.visitor()
    booth.vote(person, booth.idea())
    scan = scan_of(booth, person)
    with database.erasing() as session:
        assert privacy.erase(session, person.id, note=lambda *_: None, now=NOON)
    assert ("ballot", "reversed") in void(booth.scene, scan, now=NOON + 3 * HOUR)
    assert booth.result().voided == {"scan_voided": 1}
    assert booth.scene.counters()["completions"] == 1  # the author's idea
    assert booth.scene.problems() == []


def test_what_a_void_leaves_behind_leads_to_no_vote(database: Database) -> None:
    booth = open_booth(database, min_presence=1)
    person = booth.visitor()
    booth.vote(person, booth.idea())
    void(booth.scene, scan_of(booth, person))
    with database.snapshot() as session:
        effects = session.exec(select(VoidEffect)).all()
    rows = {one.id for one in [*booth.votes(standing=False), *booth.ballots()]}
    assert {one.subject_id for one in effects} & rows == set()
    assert booth.round.id in {one.subject_id for one in effects if one.what == "ballot"}


@pytest.mark.parametrize("again", [False, True])
def test_the_last_vote_taken_back_opens_its_step_again(database: Database, again: bool) -> None:
    booth = open_booth(database, steps=VOTE)
    first, second, person = booth.idea(), booth.idea(), booth.somebody()
    booth.vote(person, first)
    booth.vote(person, second)
    booth.withdraw(person, first)
    assert vote_step(booth, person) == [("verified", None)], "the other vote is what the step counted as well"
    booth.withdraw(person, second)
    assert vote_step(booth, person) == [("reversed", "withdrawn")]
    assert booth.scene.counters()["completions"] == 1
    if again:
        booth.vote(person, first)
        assert vote_step(booth, person) == [("verified", None)]
    assert booth.scene.problems() == []


def test_votes_given_and_taken_back_in_turn_do_a_step_of_so_many_no_more_often_than_votes_stand(
    database: Database,
) -> None:
    booth = open_booth(database, quota=3, steps=[StepPlan(StepKind.IDEA), StepPlan(StepKind.VOTE, 0, 3)])
    ideas, person = [booth.idea() for _ in range(3)], booth.somebody()
    booth.vote(person, ideas[0])
    for _ in range(3):
        booth.vote(person, ideas[1])
        booth.withdraw(person, ideas[1])
    assert sorted(state for state, _ in vote_step(booth, person)) == ["reversed", "verified"]
    booth.vote(person, ideas[1])
    booth.vote(person, ideas[2])
    assert [state for state, _ in vote_step(booth, person)] == ["verified"] * 3
    with database.snapshot() as session:
        member = session.get_one(Membership, (booth.scene.mission.id, person.id, "live"))
    assert member.completed_at is None  # the idea is missing
    assert booth.scene.problems() == []


def test_a_step_rests_on_the_vote_of_another_round_when_that_of_the_first_goes(database: Database) -> None:
    booth = open_booth(database, min_presence=1, steps=VOTE)
    idea, person = booth.idea(), booth.visitor()
    booth.vote(person, idea)
    rules = community.RoundPlan(opens_at=NOON + HOUR, closes_at=NOON + 3 * HOUR, quota=1)
    with database.transaction() as session:
        second = community.plan_round(session, booth.scene.mission, rules, now=NOON)
    booth.vote(person, idea, round=second.id, now=NOON + 2 * HOUR)
    told = void(booth.scene, scan_of(booth, person))
    assert {("ballot", "reversed"), ("completion", "kept")} <= set(told)
    assert booth.scene.counters()["completions"] == 2
    assert booth.scene.problems() == []


def test_a_vote_that_opens_its_ballot_while_the_scan_is_voided_waits_and_finds_no_proof(
    postgres_database: Database,
) -> None:
    """Where writers do not queue: else a vote would stand on a scan that is void."""
    booth = open_booth(postgres_database, min_presence=1)
    idea, person = booth.idea(), booth.visitor()
    owner, id = booth.scene.campaign.organisation_id, scan_of(booth, person)
    with ThreadPoolExecutor(1) as pool:
        with postgres_database.between_rounds() as session:
            scan = scans.scan_of(session, owner, id)
            reversals.void_scan(session, owner, scan, reason="x", ballot_secret=lambda _: SECRET, now=NOON)
            vote = pool.submit(booth.vote, person, idea)
            wait_until(lambda: waiting(postgres_database))
        assert isinstance(vote.exception(timeout=30), Forbidden)
    assert booth.votes() == []
    assert booth.scene.problems() == []


def test_votes_that_race_with_the_void_of_their_scan_never_outlive_it(database: Database) -> None:
    booth = open_booth(database, min_presence=1)
    ideas = [booth.idea() for _ in range(3)]
    for number in range(4):
        person, is_first = booth.visitor(at=NOON + timedelta(seconds=number)), number % 2 == 0
        scan = scan_of(booth, person)
        if is_first:  # the ballot is open already
            booth.vote(person, ideas[0])

        def act(index: int, scan: UUID = scan, who: Participant = person, skip: int = is_first) -> Any:
            return void(booth.scene, scan) if index == 0 else booth.vote(who, ideas[index - 1 + skip])

        voided, *cast = race(3, act)
        assert not isinstance(voided, Exception), voided
        assert all(isinstance(one, Cast) or getattr(one, "code", "") == "presence_missing" for one in cast), cast
    assert booth.votes() == []
    assert booth.result().votes == booth.scene.counters().get("votes", 0) == 0
    assert booth.scene.problems() == []
