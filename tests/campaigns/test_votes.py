"""Votes, on both databases: quota, window, electorate, replays, races, and what outlives the voter."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text, update
from sqlmodel import col, select

from campaigns import community, privacy
from campaigns.community import Cast, voter_of
from campaigns.errors import CampaignError, Conflict, Forbidden, NotFound
from campaigns.missions import StepKind, StepPlan
from campaigns.missions.models import StepCompletion
from campaigns.participants import Participant, declare_age
from campaigns.planning import Campaign
from campaigns.scans import CheckIn
from campaigns.storage import Database
from tests.booth import HOUR, SECRET, STEPS, Booth, open_booth
from tests.conftest import wait_until
from tests.factories import NOON
from tests.racing import race
from tests.scene import FAR, another_place, colleague, minutes, open_pilot

TICK = timedelta(microseconds=1)


def refusal(act: Any, *arguments: Any, **options: Any) -> CampaignError:
    with pytest.raises(CampaignError) as refused:
        act(*arguments, **options)
    return refused.value


def erase(booth: Booth, person: Participant) -> None:
    with booth.database.erasing() as session:
        assert privacy.erase(session, person.id, note=lambda *_: None, now=NOON)


def test_a_vote_counts_joins_and_completes_its_step(database: Database) -> None:
    booth = open_booth(database)
    idea, person = booth.idea(), booth.somebody()
    cast = booth.vote(person, idea)
    assert (cast.is_replay, cast.left, cast.vote.slot, cast.vote.presence) == (False, 2, 1, 0)
    assert booth.scene.counters() == {"participants": 2, "ideas": 1, "completions": 2, "votes": 1}
    with database.snapshot() as session:
        done = session.exec(select(StepCompletion).where(StepCompletion.participant_id == person.id)).one()
    assert done.source_id == booth.round.id  # it names the round: no row joins the person to what they chose
    result = booth.result()
    assert (result.voters, result.votes, [(one.rank, one.votes) for one in result.ranking]) == (1, 1, [(1, 1)])
    assert booth.scene.problems() == []


def test_a_person_has_one_vote_an_idea_and_no_more_than_the_quota(database: Database) -> None:
    booth = open_booth(database, quota=2)
    first, second, third = booth.idea(), booth.idea(), booth.idea()
    person = booth.somebody()
    booth.vote(person, first)
    assert refusal(booth.vote, person, first).code == "already_voted"
    assert booth.vote(person, second).left == 0
    assert refusal(booth.vote, person, third).code == "quota_used"
    assert booth.vote(booth.somebody(), third).left == 1
    assert booth.scene.counters()["votes"] == 3
    assert booth.scene.problems() == []


def test_a_vote_taken_back_is_free_again_and_leaves_nobody_behind(database: Database) -> None:
    booth = open_booth(database, quota=1)
    first, second, person = booth.idea(), booth.idea(), booth.somebody()
    booth.vote(person, first)
    assert booth.withdraw(person, first).left == 1
    assert (booth.result().voters, booth.result().votes, booth.result().ranking) == (0, 0, [])
    assert refusal(booth.withdraw, person, first).code == "not_voted"
    booth.vote(person, second)
    booth.withdraw(person, second)
    booth.vote(person, first)
    assert [(one.idea_id, one.slot) for one in booth.votes()] == [(first, 1)]
    assert booth.result().voters == 1
    assert booth.scene.problems() == []


def test_a_repeated_act_gets_its_first_answer_whatever_came_between(database: Database) -> None:
    booth = open_booth(database)
    idea, person = booth.idea(), booth.somebody()
    first = booth.vote(person, idea, client_id="a")
    assert booth.vote(person, booth.idea(), client_id="a").vote.idea_id == idea
    booth.withdraw(person, idea, client_id="b")
    second = booth.vote(person, idea, client_id="c")
    late = booth.withdraw(person, idea, client_id="b")  # sent again from a queue: the new vote stands
    assert (late.is_replay, late.vote.id) == (True, first.vote.id)
    again = booth.vote(person, idea, client_id="a", now=NOON + 3 * HOUR)  # even after the close
    assert (again.is_replay, again.vote.id, again.vote.state) == (True, first.vote.id, "withdrawn")
    assert [one.id for one in booth.votes()] == [second.vote.id]
    assert booth.scene.problems() == []


@pytest.mark.parametrize(("at", "code"), [(-HOUR - TICK, "round_ahead"), (HOUR, "round_over")])
def test_no_vote_is_cast_or_taken_back_outside_the_window(database: Database, at: timedelta, code: str) -> None:
    booth = open_booth(database)
    idea, person = booth.idea(), booth.somebody()
    booth.vote(person, idea, now=NOON - HOUR)
    assert refusal(booth.vote, person, booth.idea(), now=NOON + at).code == code
    assert refusal(booth.withdraw, person, idea, now=NOON + at).code == code
    booth.vote(person, booth.idea(), now=NOON + HOUR - TICK)
    assert len(booth.votes()) == 2


def test_only_an_idea_of_the_mission_that_is_there_takes_votes(database: Database) -> None:
    booth, other = open_booth(database), open_booth(database)
    person = booth.somebody()
    assert isinstance(refusal(booth.vote, person, other.idea()), NotFound)
    idea = booth.idea()
    for state in ("erased", "merged"):
        booth.set_state(idea, state)
        assert refusal(booth.vote, person, idea).code == "idea_closed"
    assert booth.votes() == []


def test_votes_for_an_idea_that_its_author_took_back_stay_counted(database: Database) -> None:
    booth = open_booth(database)
    idea, person = booth.idea(), booth.somebody()
    booth.vote(person, idea)
    erase(booth, booth.author)
    assert [(one.text, one.votes) for one in booth.result().ranking] == [("", 1)]
    assert booth.withdraw(person, idea).left == 3
    assert refusal(booth.vote, person, idea).code == "idea_closed"


def test_who_is_under_15_and_a_campaign_that_rests_cast_no_vote(database: Database) -> None:
    booth = open_booth(database)
    idea, person = booth.idea(), booth.somebody()
    with database.transaction() as session:
        young = declare_age(session, person, is_under_15=True, now=NOON)
    assert refusal(booth.vote, young, idea).code == "under_age"
    with database.transaction() as session:
        session.get_one(Campaign, booth.scene.campaign.id).state = "paused"
    assert refusal(booth.vote, booth.somebody(), idea).code == "campaign_closed"
    assert refusal(booth.withdraw, person, idea).code == "campaign_closed"


def test_a_ballot_asks_for_the_presence_of_its_round(database: Database) -> None:
    booth = open_booth(database, min_presence=1)
    idea = booth.idea()
    far = booth.scene.check_in(booth.scene.scan(), position=FAR).person
    bare = booth.scene.check_in(booth.scene.scan()).person
    for person in (booth.somebody(), far, bare):
        assert refusal(booth.vote, person, idea).code == "presence_missing"
    assert booth.vote(booth.visitor(), idea).vote.presence == 1
    assert booth.vote(booth.visitor(till_code_was_right=True), idea).vote.presence == 2
    assert booth.scene.problems() == []


def test_a_vote_step_that_asks_for_more_than_the_round_is_not_completed(database: Database) -> None:
    booth = open_booth(database, steps=[*STEPS[:2], StepPlan(StepKind.VOTE, 2)])
    idea = booth.idea()
    before = booth.scene.counters()["completions"]
    booth.vote(booth.visitor(), idea)
    assert booth.scene.counters()["completions"] == before + 1  # the scan
    booth.vote(booth.visitor(till_code_was_right=True), idea)
    assert booth.scene.counters()["completions"] == before + 3


def give(booth: Booth, giver: Participant, to: Participant) -> None:
    """Hand a person's check-ins to another, as a merge does."""
    with booth.database.transaction() as session:
        moved = update(CheckIn).where(col(CheckIn.participant_id) == giver.id).values(participant_id=to.id)
        session.execute(moved.execution_options(synchronize_session=False))


def test_one_proof_of_presence_opens_one_ballot(database: Database) -> None:
    """However the check-in came to another person."""
    booth = open_booth(database, min_presence=1)
    idea, person, other = booth.idea(), booth.visitor(), booth.somebody()
    booth.vote(person, idea)
    give(booth, person, other)
    assert refusal(booth.vote, other, idea).code == "proof_used"
    booth.vote(person, booth.idea())  # a ballot that is open stays so
    give(booth, booth.visitor(at=NOON + TICK), other)
    booth.vote(other, idea)
    assert sorted(one.live for one in booth.ballots()) == [1, 2]


def test_visitors_vote_with_their_feet(database: Database) -> None:
    """Only who was verified at one of the round's places within its window votes."""
    booth = open_booth(database)
    elsewhere = another_place(booth.scene, name="Croix-Rousse")
    here = booth.scene.entry.place
    assert here is not None
    booth.change(electorate="visitors", min_presence=1, place_ids=(f"plc_{here.id.hex}",))
    idea = booth.idea()
    before = booth.visitor(at=NOON - HOUR - timedelta(minutes=1))
    away = booth.visitor(entry=elsewhere)
    for person in (booth.somebody(), before, away, booth.scene.check_in(booth.scene.scan()).person):
        assert refusal(booth.vote, person, idea).code == "visit_missing"
    booth.vote(booth.visitor(at=NOON - HOUR), idea)
    booth.change(now=NOON, closes_at=NOON + TICK)
    assert booth.result().voters == 1


def test_a_trial_in_a_draft_freezes_nothing_and_enters_no_total(database: Database) -> None:
    booth = open_booth(database, live=False)
    booth.vote(booth.somebody(), booth.idea())
    assert booth.change(quota=5).quota == 5
    assert (booth.result().votes, booth.result("draft").votes) == (0, 1)
    assert booth.tally() == []
    assert booth.scene.counters() == {}
    assert booth.scene.problems() == []


def test_erasure_changes_no_total_and_opens_neither_ballot_nor_proof_again(database: Database) -> None:
    booth = open_booth(database, min_presence=1)
    idea, person = booth.idea(), booth.visitor()
    booth.vote(person, idea)
    before, tally, totals = booth.result(), booth.tally(), booth.scene.counters()
    key = voter_of(SECRET, person.id)
    with database.snapshot() as session:
        mine = session.exec(select(CheckIn).where(CheckIn.participant_id == person.id)).one()
    erase(booth, person)
    assert (booth.result(), booth.tally(), booth.scene.counters()) == (before, tally, totals)
    assert [one.voter for one in booth.ballots()] == [key]
    assert booth.scene.problems() == []
    anew = booth.somebody()
    assert refusal(booth.vote, anew, idea).code == "presence_missing"
    with database.transaction() as session:  # even if the old check-in came to them
        session.get_one(CheckIn, mine.id).participant_id = anew.id
    assert refusal(booth.vote, anew, idea).code == "proof_used"


def test_no_row_of_a_vote_names_its_voter_their_scan_or_their_phones_act(database: Database) -> None:
    booth = open_booth(database, min_presence=1)
    person = booth.visitor()
    booth.vote(person, booth.idea(), client_id="made-on-the-phone")
    with database.snapshot() as session:
        scan = session.exec(select(CheckIn.scan_id).where(CheckIn.participant_id == person.id)).one()
    rows = str([one.model_dump() for one in [*booth.votes(), *booth.ballots()]])
    assert [one for one in (str(person.id), person.id.hex, str(scan), scan.hex, "made-on") if one in rows] == []
    assert voter_of(SECRET, person.id) != voter_of(b"of another campaign", person.id)


def test_of_two_hundred_racing_votes_exactly_the_quota_counts(database: Database) -> None:
    booth = open_booth(database, min_presence=1)
    ideas = [booth.idea() for _ in range(5)]
    people = [booth.visitor() for _ in range(8)]
    outcomes = race(200, lambda index: booth.vote(people[index % 8], ideas[index // 8 % 5]))
    for person in people:
        mine = [one for one in booth.votes() if one.voter == voter_of(SECRET, person.id)]
        assert sorted(str(one.slot) for one in mine) == ["1", "2", "3"]
        assert len({one.idea_id for one in mine}) == 3
    assert sum(isinstance(one, Cast) for one in outcomes) == 24
    codes = {one.code for one in outcomes if isinstance(one, Conflict)}
    assert codes <= {"quota_used", "already_voted", "busy"}
    assert all(isinstance(one, Cast | Conflict) for one in outcomes), outcomes
    assert (booth.result().voters, booth.result().votes, len(booth.ballots())) == (8, 24, 8)
    assert booth.scene.problems() == []


def test_a_vote_that_meets_another_one_of_its_voter_waits_and_finds_no_slot(postgres_database: Database) -> None:
    """Where writers do not queue: the second vote has counted the slots before the first one is there to be seen."""
    booth = open_booth(postgres_database, quota=1)
    first, second, person = booth.idea(), booth.idea(), booth.somebody()
    booth.vote(person, first)
    booth.withdraw(person, first)  # the ballot is open: neither vote waits for the other to open it
    with ThreadPoolExecutor(1) as pool:
        with postgres_database.transaction() as session:
            campaign = session.get_one(Campaign, booth.scene.campaign.id)
            options: dict[str, Any] = {"idea_id": first, "client_id": "held", "secret": SECRET, "now": NOON}
            community.cast_vote(session, booth.round.id, booth.scene.mission, campaign, person, **options)
            other = pool.submit(booth.vote, person, second)
            wait_until(lambda: waiting(postgres_database))
        assert getattr(other.exception(timeout=30), "code", None) == "quota_used"
    assert [one.idea_id for one in booth.votes()] == [first]


def waiting(database: Database) -> bool:
    """Whether a transaction waits for a lock of another."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with database.engine.connect() as connection:
        return bool(connection.execute(text(query)).scalar_one())


def test_one_proof_in_two_browsers_opens_one_ballot(database: Database) -> None:
    booth = open_booth(database, min_presence=1, quota=1)
    for _ in range(4):
        ideas, person = [booth.idea() for _ in range(4)], booth.visitor()
        outcomes = race(4, lambda index, who=person, of=ideas: booth.vote(who, of[index]))  # type: ignore[misc]  # bound in the loop
        assert sum(isinstance(one, Cast) for one in outcomes) == 1
        assert {one.code for one in outcomes if isinstance(one, Conflict)} == {"quota_used"}
    assert [one.live for one in booth.ballots()] == [1] * 4
    assert booth.scene.problems() == []


def test_of_racing_repeats_one_vote_is_kept_and_all_get_its_answer(database: Database) -> None:
    booth = open_booth(database)
    ideas = [booth.idea() for _ in range(3)]
    for _ in range(4):
        person = booth.somebody()
        cast = race(6, lambda index, who=person: booth.vote(who, ideas[index % 3], client_id="a"))  # type: ignore[misc]  # bound in the loop
        answers = {(one.vote.id, one.vote.idea_id) for one in cast if isinstance(one, Cast)}
        assert len(answers) == 1
        assert sum(isinstance(one, Cast) and not one.is_replay for one in cast) == 1
        idea = next(iter(answers))[1]
        back = race(6, lambda _, who=person, of=idea: booth.withdraw(who, of, client_id="b"))  # type: ignore[misc]  # bound in the loop
        assert sum(isinstance(one, Cast) and not one.is_replay for one in back) == 1
        assert all(isinstance(one, Cast) for one in [*cast, *back]), [*cast, *back]
    assert booth.votes() == []
    assert len(booth.ballots()) == 4
    assert booth.scene.problems() == []


def test_votes_that_race_with_the_close_are_in_the_window_or_not_at_all(database: Database) -> None:
    booth = open_booth(database)
    idea, people = booth.idea(), [booth.somebody() for _ in range(12)]
    instants = [NOON + HOUR + (index % 3 - 1) * TICK for index in range(12)]
    outcomes = race(12, lambda index: booth.vote(people[index], idea, now=instants[index]))
    assert [isinstance(one, Cast) for one in outcomes] == [index % 3 == 0 for index in range(12)]
    assert booth.result().votes == 4


def test_rules_that_race_with_the_first_vote_hold_for_it_or_are_refused(database: Database) -> None:
    for _ in range(4):
        booth = open_booth(database)
        idea, people = booth.idea(), [booth.somebody() for _ in range(3)]

        def act(index: int, booth: Booth = booth, idea: Any = idea, people: Any = people) -> Any:
            return booth.change(min_presence=1) if index == 0 else booth.vote(people[index - 1], idea)

        changed, *cast = race(4, act)
        if isinstance(changed, Conflict):
            assert changed.code == "rules_frozen"
            assert any(isinstance(one, Cast) for one in cast)
        else:
            assert all(isinstance(one, Forbidden) for one in cast), cast
            assert booth.votes() == []
        assert booth.scene.problems() == []


def test_a_vote_of_a_pilot_freezes_the_rules(database: Database) -> None:
    booth = open_booth(database, live=False)
    idea = booth.idea()
    booth.change(quota=2)
    open_pilot(booth.scene)
    mine = booth.scene.post_idea(colleague(booth.scene), client_id="p").idea.id
    booth.vote(colleague(booth.scene), mine)
    with pytest.raises(Conflict) as refused:
        booth.change(quota=1)
    assert (refused.value.code, booth.result().votes, booth.result("pilot").votes) == ("rules_frozen", 0, 1)
    assert idea != mine
    assert booth.change(closes_at=minutes(5), now=minutes(1)).closes_at == minutes(5)
