"""Two names of one person become one: what one person could not have done twice goes, and every figure stays exact."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select as columns
from sqlmodel import SQLModel, select

from campaigns import community, merging, participants, privacy, verify
from campaigns.community import Cast, Comment, FlagKind, Idea, voter_of
from campaigns.community.models import CommentMark, Flag, FlaggedSubject
from campaigns.errors import CampaignError, Conflict, NotFound
from campaigns.missions import CheckedIn, StepKind, StepPlan
from campaigns.missions.models import FriendNaming, Membership, StepCompletion
from campaigns.participants import Cohort, Merge, Participant
from campaigns.scans import CheckIn
from campaigns.storage import Database
from tests.booth import HOUR, SECRET, STEPS, Booth, open_booth
from tests.campaigns.test_comments import mark, say
from tests.campaigns.test_comments import someone as commenter
from tests.campaigns.test_moderation import flag
from tests.campaigns.test_reversal import void
from tests.campaigns.test_steps import FRIENDS, name_friend, set_tour, share, show, visit
from tests.campaigns.test_votes import waiting
from tests.conftest import wait_until
from tests.factories import NOON
from tests.racing import race
from tests.scene import INSIDE, Scene, minutes, set_scene

LATER = NOON + timedelta(hours=2)


def merge(database: Database, one: Participant, other: Participant, *, now: datetime = NOON) -> Merge:
    with database.between_rounds() as session:
        return merging.merge(session, one.id, other.id, ballot_secret=lambda _: SECRET, now=now)


def all_well(scene: Scene, *, now: datetime = LATER) -> None:
    assert scene.problems() == []
    scene.drain(now=now)
    assert scene.problems() == []
    assert verify.rejudge(scene.database) == []


def states(scene: Scene, person: Participant) -> list[tuple[str, str | None]]:
    """The state and reason of each completion of a person."""
    with scene.database.snapshot() as session:
        rows = session.exec(select(StepCompletion).where(StepCompletion.participant_id == person.id)).all()
    return sorted((one.state, one.reason) for one in rows)


def recognised(database: Database, cookie: str | None) -> Participant | None:
    with database.snapshot() as session:
        return participants.recognise(session, cookie)


def test_a_visit_of_one_day_counts_once_and_both_cookies_lead_to_the_older_name(database: Database) -> None:
    scene = set_scene(database, steps=[StepPlan(StepKind.SCAN, 0, "daily")])
    older, newer = visit(scene, scene.entry, 0), visit(scene, scene.entry, 30)
    assert scene.counters() == {"participants": 2, "check_ins": 2, "completions": 2}
    done = merge(database, newer.person, older.person, now=LATER)
    assert dict(done.undone) == {"visits": 1, "steps": 1}
    assert scene.counters() == {"participants": 1, "check_ins": 1, "completions": 1}
    assert states(scene, older.person) == [("reversed", "merged"), ("verified", None)]
    for cookie in (older.secret, newer.secret):
        found = recognised(database, cookie)
        assert found is not None
        assert found.id == older.person.id
    again = visit(scene, scene.entry, 24 * 60, newer.secret)
    assert again.person.id == older.person.id
    all_well(scene, now=minutes(24 * 60 + 1))


def test_a_visit_that_a_merge_found_one_too_many_counts_when_another_one_is_voided(database: Database) -> None:
    scene = set_scene(database, steps=[StepPlan(StepKind.SCAN, 0, 2)])
    older = visit(scene, scene.entry, 0)
    visit(scene, scene.entry, 24 * 60, older.secret)
    newer = visit(scene, scene.entry, 48 * 60)
    merge(database, older.person, newer.person, now=minutes(48 * 60 + 1))
    assert scene.counters() == {"participants": 1, "check_ins": 3, "completions": 2}
    void(scene, older.check_in.scan_id, now=minutes(48 * 60 + 2))
    assert scene.counters() == {"participants": 1, "check_ins": 2, "completions": 2}
    all_well(scene, now=minutes(48 * 60 + 3))


def test_a_replay_of_the_newer_names_check_in_gets_its_first_answer_as_the_older_one(database: Database) -> None:
    scene = set_scene(database, steps=[StepPlan(StepKind.SCAN)])
    visit(scene, scene.entry, 0)
    row = scene.scan(at=minutes(10))
    newer = scene.check_in(row, now=minutes(10), position=INSIDE)
    older = visit(scene, scene.entry, -60 * 24)
    merge(database, newer.person, older.person)
    again = scene.check_in(row, now=minutes(20), cookie=newer.secret)
    assert (again.is_replay, again.check_in.id) == (True, newer.check_in.id)
    all_well(scene)


def test_two_places_within_three_minutes_are_no_two_visits_of_one_person(database: Database) -> None:
    scene, (one, two) = set_tour(database, StepKind.VISIT_PLACES, 2, n=2)
    older, newer = visit(scene, one, 0), visit(scene, two, 2)
    merge(database, older.person, newer.person, now=LATER)
    assert scene.counters() == {"participants": 1, "check_ins": 1}
    all_well(scene)


def test_places_seen_under_two_names_do_a_tour_together(database: Database) -> None:
    scene, (one, two, three) = set_tour(database, StepKind.VISIT_PLACES, 3, n=3)
    older = visit(scene, one, 0)
    visit(scene, two, 20, older.secret)
    newer = visit(scene, two, 40)
    visit(scene, three, 60, newer.secret)
    merge(database, older.person, newer.person, now=LATER)
    assert scene.counters() == {"participants": 1, "check_ins": 3, "completions": 1}
    with database.snapshot() as session:
        assert session.exec(select(Membership)).one().completed_at is not None
    all_well(scene)


def test_a_live_code_used_under_both_names_proved_one_presence(database: Database) -> None:
    booth = open_booth(database, min_presence=2)
    scene = booth.scene
    older = scene.check_in(scene.scan(), till_code_was_right=True)
    newer = scene.check_in(scene.scan(at=minutes(0.2)), now=minutes(0.2), till_code_was_right=True)
    for act in (older, newer):
        booth.vote(act.person, booth.idea())
    assert +merge(database, older.person, newer.person).undone == {"visits": 1, "steps": 2}
    assert (booth.result().voters, booth.result().votes, scene.counters()["completions"]) == (1, 2, 3)
    assert [one.is_void for one in booth.ballots() if one.live] == [False]
    with database.snapshot() as session:
        acts = session.exec(select(CheckIn).order_by(CheckIn.id)).all()  # type: ignore[arg-type]  # a column
    assert sorted((one.presence, one.voided_at is not None) for one in acts) == [(2, False), (2, True)]
    all_well(scene)


def test_nobody_is_a_friend_of_their_own(database: Database) -> None:
    scene = set_scene(database, steps=FRIENDS)
    one, other = visit(scene, scene.entry, 0), visit(scene, scene.entry, 2)
    for who, friend in ((one, other), (other, one)):
        name_friend(scene, who.person, show(scene, friend.person, now=minutes(3)).code, now=minutes(3))
    before = scene.counters()["completions"]
    merge(database, one.person, other.person)
    assert scene.counters()["completions"] == before - 2
    with database.snapshot() as session:
        assert session.exec(select(FriendNaming)).all() == []
    all_well(scene)


def test_a_friend_met_under_two_names_is_met_once(database: Database) -> None:
    scene = set_scene(database, steps=FRIENDS)
    one, other, friend = (visit(scene, scene.entry, at) for at in (0, 2, 4))
    for who in (one, other):
        for a, b in ((who, friend), (friend, who)):
            name_friend(scene, a.person, show(scene, b.person, now=minutes(5)).code, now=minutes(5))
    merge(database, one.person, other.person)
    with database.snapshot() as session:
        assert len(session.exec(select(FriendNaming)).all()) == 2
    assert ("verified", None) in states(scene, friend.person)
    all_well(scene)
    void(scene, friend.check_in.scan_id)
    assert states(scene, friend.person)[-1][0] == "reversed"
    all_well(scene)


@pytest.mark.parametrize(("quota", "undone"), [(2, 2), (4, 1)])
def test_one_ballot_a_round_by_the_hours_of_the_votes(database: Database, quota: int, undone: int) -> None:
    booth = open_booth(database, quota=quota)
    ideas = [booth.idea() for _ in range(4)]
    older, newer = booth.somebody(), booth.somebody()
    older, newer = participants.by_age(older, newer)
    booth.vote(newer, ideas[0], now=NOON - HOUR)
    booth.vote(older, ideas[1])
    booth.vote(older, ideas[2])
    booth.vote(newer, ideas[1])
    done = merge(database, older, newer)
    assert done.undone["votes"] == undone
    standing = {one.idea_id: one for one in booth.votes()}
    left = min(quota, 3)
    assert set(standing) == {*ideas[:left]}, "the first hour, then the older name's first"
    assert {one.voter for one in booth.votes(standing=False)} == {voter_of(SECRET, older.id)}
    assert (booth.result().voters, booth.result().votes, booth.result().voided) == (1, left, {"merged": undone})
    assert booth.withdraw(older, ideas[0]).left == quota - left + 1
    booth.vote(older, ideas[3])
    assert booth.scene.problems() == []


def test_marks_flags_and_texts_are_one_persons(database: Database) -> None:
    scene = set_scene(database, steps=STEPS[1:2])
    author, one, other, third = (commenter(scene) for _ in range(4))
    idea = scene.post_idea(author).idea.id
    said, own = say(scene, idea, author).comment.id, say(scene, idea, one, client_id="x").comment.id
    for comment, person in ((said, one), (said, other), (said, third), (own, other), (own, third)):
        mark(scene, comment, person)
    for person in (one, other):
        scene.post_idea(person, text="The same words", client_id="phone-1")
        flag(scene, idea, person, kind=FlagKind.OTHER)
    merge(database, one, other)
    with database.snapshot() as session:
        assert [session.get_one(Comment, id).useful for id in (said, own)] == [2, 1]
        assert len(session.exec(select(CommentMark)).all()) == 3
        assert len(session.exec(select(Flag)).all()) == session.exec(select(FlaggedSubject)).one().flags == 1
        assert len(session.exec(select(Idea)).all()) == 3
    assert scene.counters()["ideas"] == 3
    all_well(scene)


def test_a_share_of_one_day_is_one_and_the_older_code_stays(database: Database) -> None:
    scene = set_scene(database, steps=[StepPlan(StepKind.SHARE, 0, 3)])
    one, other = participants.by_age(commenter(scene), commenter(scene))
    code, _ = share(scene, one)
    share(scene, other)
    share(scene, other, now=NOON + timedelta(days=1))
    merge(database, one, other)
    assert scene.counters() == {"participants": 1, "completions": 2}
    assert share(scene, one, now=NOON + timedelta(days=2)) == (code, "verified")
    all_well(scene)


def test_nothing_names_the_newer_one_but_the_note_that_they_were_merged(database: Database) -> None:
    booth = open_booth(database, steps=[*STEPS, StepPlan(StepKind.SHARE), *FRIENDS])
    older, newer = visit(booth.scene, booth.scene.entry, 0), visit(booth.scene, booth.scene.entry, 5)
    for done in (older, newer):
        booth.vote(done.person, booth.idea())
        booth.scene.post_idea(done.person)
        share(booth.scene, done.person)
    booth.scene.drain()
    merge(database, older.person, newer.person)
    booth.scene.drain()
    with database.snapshot() as session:
        named = [
            table.name
            for table in SQLModel.metadata.sorted_tables
            for row in session.execute(columns(table)).all()
            if newer.person.id.hex in str(row).replace("-", "") or voter_of(SECRET, newer.person.id) in str(row)
        ]
    assert set(named) - {"ballots"} == {"merged_people"}, "a ballot keeps its proof spent, under a key of nobody's"
    assert booth.scene.problems() == []


def test_who_is_erased_after_a_merge_is_noted_under_both_names(database: Database) -> None:
    scene = set_scene(database, steps=STEPS)
    older, newer = visit(scene, scene.entry, 0), visit(scene, scene.entry, 5)
    merge(database, older.person, newer.person)
    noted: list[Any] = []
    with database.erasing() as session:
        assert privacy.erase(session, older.person.id, note=lambda id, _: noted.append(id), now=LATER)
    assert noted == [older.person.id, newer.person.id], "an older backup has them both"
    assert recognised(database, newer.secret) is None
    with pytest.raises(NotFound):
        merge(database, older.person, newer.person)
    all_well(scene)


def test_an_employee_stays_one_and_the_younger_age_holds(database: Database) -> None:
    scene = set_scene(database, steps=STEPS)
    older, newer = visit(scene, scene.entry, 0), visit(scene, scene.entry, 5)
    with database.transaction() as session:
        session.get_one(Participant, newer.person.id).cohort = Cohort.EMPLOYEE.value
        participants.declare_age(session, older.person, is_under_15=False, now=NOON)
        participants.declare_age(session, newer.person, is_under_15=True, now=NOON)
    merged = merge(database, older.person, newer.person).older
    assert (merged.cohort, merged.is_under_15) == ("employee", True)


def test_who_is_known_in_one_campaign_alone_is_merged_with_nobody_of_the_brand(database: Database) -> None:
    scene = set_scene(database, steps=STEPS)
    open_name, objecting = visit(scene, scene.entry, 0), visit(scene, scene.entry, 5, objected=True)
    with pytest.raises(Conflict) as refused:
        merge(database, open_name.person, objecting.person)
    assert refused.value.code == "other_scope"
    assert scene.counters()["participants"] == 2


Act = Callable[[int], Any]


def test_acts_that_race_with_a_merge_are_the_older_names_and_counted_once(database: Database) -> None:
    booth = open_booth(database, quota=3)
    scene, ideas = booth.scene, [booth.idea() for _ in range(4)]
    for number in range(3):
        at = minutes(5 * number)
        older, newer = (scene.check_in(scene.scan(at=at), now=at, position=INSIDE) for _ in range(2))
        rows = [scene.scan(at=at + timedelta(minutes=1)) for _ in range(2)]
        acts: list[Callable[[], Any]] = [
            lambda a=older, b=newer: merge(database, a.person, b.person),  # type: ignore[misc]  # bound in the loop
            lambda r=rows[0], c=newer: scene.check_in(r, cookie=c.secret, now=minutes(20), position=INSIDE),  # type: ignore[misc]
            lambda r=rows[1], c=older: scene.check_in(r, cookie=c.secret, now=minutes(20), position=INSIDE),  # type: ignore[misc]
            lambda c=newer: vote_by(booth, c.secret, ideas[0]),  # type: ignore[misc]
            lambda c=older: vote_by(booth, c.secret, ideas[0]),  # type: ignore[misc]
            lambda c=newer: vote_by(booth, c.secret, ideas[1]),  # type: ignore[misc]
        ]
        done = race(len(acts), lambda index, all=acts: all[index]())  # type: ignore[misc]  # bound in the loop
        refused = [one for one in done if isinstance(one, Exception)]
        assert all(isinstance(one, CampaignError) and one.code == "already_voted" for one in refused), refused
        for secret in (older.secret, newer.secret):
            found = recognised(database, secret)
            assert found is not None
            assert found.id == done[0].ids[0]  # type: ignore[union-attr]  # a merge
        assert all(isinstance(one, Merge | CheckedIn | Cast | CampaignError) for one in done)
    assert scene.counters()["participants"] == 4  # the author and three
    assert booth.result().voters == 3
    all_well(scene, now=minutes(30))


def vote_by(booth: Booth, secret: str | None, idea: Any) -> Cast:
    """Vote as the phone with this cookie: who it is, is asked in the vote's own transaction."""
    with booth.database.transaction() as session:
        person = participants.recognise(session, secret, to_act=True)
        assert person is not None, "a cookie leads to somebody, before a merge and after"
        return community.cast_vote(
            session,
            booth.round.id,
            booth.scene.mission,
            session.get_one(type(booth.scene.campaign), booth.scene.campaign.id),
            person,
            idea_id=idea,
            client_id=f"{secret}-{idea}",
            secret=SECRET,
            now=NOON,
        )


def test_the_further_key_of_a_name_that_is_being_merged_waits_and_leads_to_the_older_one(
    postgres_database: Database,
) -> None:
    """Where writers do not queue: else who acts at that moment would be somebody new."""
    scene = set_scene(postgres_database, steps=STEPS[:1])
    older, newer = visit(scene, scene.entry, 0), visit(scene, scene.entry, 5)
    with postgres_database.transaction() as session:
        key = participants.add_key(session, newer.person, now=NOON)

    def act() -> Participant | None:
        with postgres_database.transaction() as session:
            return participants.recognise(session, key, to_act=True)

    with ThreadPoolExecutor(1) as pool:
        with postgres_database.between_rounds() as session:
            merging.merge(session, older.person.id, newer.person.id, ballot_secret=lambda _: SECRET, now=NOON)
            acting = pool.submit(act)
            wait_until(lambda: waiting(postgres_database))
        found = acting.result(timeout=30)
    assert found is not None
    assert found.id == older.person.id


def test_merges_that_race_leave_one_name(database: Database) -> None:
    scene = set_scene(database, steps=STEPS[:1])
    people = [visit(scene, scene.entry, at) for at in range(4)]
    pairs = [(0, 1), (1, 0), (1, 2), (2, 3), (3, 0), (0, 2)]
    done = race(6, lambda index: merge(database, *(people[one].person for one in pairs[index])))
    assert all(isinstance(one, Merge | NotFound) for one in done), done
    assert sum(isinstance(one, Merge) for one in done) >= 1
    left = {found.id for one in people if (found := recognised(database, one.secret)) is not None}
    merges = sum(isinstance(one, Merge) for one in done)
    assert len(left) == 4 - merges
    assert scene.counters()["participants"] == 4 - merges
    all_well(scene)


def test_a_queued_repeat_of_the_newer_names_vote_gets_its_first_answer(database: Database) -> None:
    booth = open_booth(database, quota=2)
    older, newer, idea, other = booth.visitor(), booth.visitor(at=minutes(1)), booth.idea(), booth.idea()
    booth.vote(older, other, client_id="alike")
    first = booth.vote(newer, idea, client_id="queued")
    booth.vote(newer, other, client_id="alike")  # what both phones called alike is two acts
    taken = booth.withdraw(newer, idea, client_id="taken-back")
    merge(database, older, newer)
    for act, name in ((booth.vote, "queued"), (booth.withdraw, "taken-back")):
        again = act(older, idea, client_id=name)
        assert (again.is_replay, again.vote.id) == (True, first.vote.id)
    assert taken.vote.id == first.vote.id
    assert booth.vote(older, other, client_id="alike").is_replay
    assert booth.result().votes == 1
    all_well(booth.scene)
