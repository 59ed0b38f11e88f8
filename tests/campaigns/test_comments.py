"""Comments on both databases: kept once, counted once, limited for newcomers, and forgotten with their person."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlmodel import select

from campaigns import community, identity, participants, privacy
from campaigns.community import Comment, Idea, Rule, Said, SubjectKind
from campaigns.community.comments import tidy
from campaigns.errors import Conflict, Forbidden, Invalid, NotFound, TooMany
from campaigns.identity import RIGHTS, Role
from campaigns.missions import StepKind, StepPlan
from campaigns.participants import Participant
from campaigns.planning import Campaign
from campaigns.storage import Database
from tests.factories import NOON
from tests.racing import race
from tests.scene import Scene, minutes, set_scene

STEPS = [StepPlan(StepKind.SCAN), StepPlan(StepKind.IDEA), StepPlan(StepKind.COMMENT)]
WORDS = "Quetsches-Zwetschgen-1871"
TOMORROW = NOON + timedelta(days=1)


def someone(scene: Scene) -> Participant:
    with scene.database.transaction() as session:
        return participants.join(session, scene.campaign.organisation_id, language="fr", now=NOON)[0]


def an_idea(scene: Scene) -> UUID:
    return scene.post_idea(someone(scene)).idea.id


def a_member(scene: Scene) -> UUID:
    fields: dict[str, Any] = {"email": "m@b.example", "name": "Ana", "role": Role.OWNER, "most": RIGHTS[Role.OWNER]}
    with scene.database.transaction() as session:
        return identity.invite_member(session, scene.campaign.organisation_id, now=NOON, **fields)[0].id


def say(scene: Scene, idea: UUID, person: Participant, **fields: Any) -> Said:
    given: dict[str, Any] = {"text": WORDS, "client_id": "phone-1", "language": "fr", "now": NOON, **fields}
    with scene.database.transaction() as session:
        campaign = session.get_one(Campaign, scene.campaign.id)
        return community.post_comment(session, scene.mission, campaign, person, idea, **given)


def mark(scene: Scene, comment: UUID, person: Participant) -> int:
    with scene.database.transaction() as session:
        return community.mark_useful(session, scene.mission, comment, person, phase="live", now=NOON)


def hide(scene: Scene, kind: SubjectKind, id: UUID, member: UUID) -> None:
    with scene.database.transaction() as session:
        subject = community.subject_in(session, scene.mission, kind, id)
        why: dict[str, Any] = {"rule": Rule.PRIVATE_DATA, "reason": "A name", "member_id": member}
        community.hide(session, scene.mission, subject, now=NOON, **why)


def test_of_racing_repeats_of_a_client_id_one_comment_is_kept_and_the_step_done_once(database: Database) -> None:
    scene = set_scene(database, steps=STEPS)
    idea, person = an_idea(scene), someone(scene)
    before = scene.counters()
    outcomes = race(12, lambda _: say(scene, idea, person))
    said = [one for one in outcomes if isinstance(one, Said)]
    assert len(said) == 12, outcomes
    assert sum(not one.is_replay for one in said) == 1
    assert len({one.comment.id for one in said}) == 1
    more = {"comments": 1, "completions": before["completions"] + 1, "participants": before["participants"] + 1}
    assert scene.counters() == before | more
    with database.snapshot() as session:
        assert session.get_one(Idea, idea).comments == 1
    assert scene.problems() == []


def test_a_newcomer_writes_three_texts_in_the_first_hour_and_nobody_more_than_twenty_a_day(database: Database) -> None:
    scene = set_scene(database)
    idea, person = an_idea(scene), someone(scene)
    outcomes = race(6, lambda number: say(scene, idea, person, client_id=f"phone-{number}"))
    assert sum(isinstance(one, Said) for one in outcomes) == 3
    refused = [one for one in outcomes if isinstance(one, TooMany)]
    assert [(one.code, one.context["retry_after_s"]) for one in refused] == [("too_many_texts", 3600)] * 3
    for number in range(20):
        say(scene, idea, person, client_id=f"day-{number}", now=TOMORROW)
    with pytest.raises(TooMany):
        scene.post_idea(person, client_id="day-20", now=TOMORROW + timedelta(hours=13))
    assert scene.post_idea(person, client_id="day-20", now=TOMORROW + timedelta(hours=14)).idea.id
    assert scene.problems() == []


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "comment_empty"),
        (" \n\t ", "comment_empty"),
        ("x" * 501, "comment_too_long"),
        ("http://a.example and https://b.example", "one_link"),
        ("buy at poires.shop or www.poires", "one_link"),
    ],
)
def test_an_empty_endless_or_linked_comment_is_refused(text: str, code: str) -> None:
    with pytest.raises(Invalid) as refused:
        tidy(text)
    assert (refused.value.code, refused.value.context["pointer"]) == (code, "/text")
    assert tidy("x" * 500) == "x" * 500
    assert tidy("see https://www.poires.fr/a.html. Good") == "see https://www.poires.fr/a.html. Good"


def test_a_comment_is_marked_useful_once_a_person_and_never_by_its_author(database: Database) -> None:
    scene = set_scene(database)
    author, reader = someone(scene), someone(scene)
    comment = say(scene, an_idea(scene), author).comment.id
    outcomes = race(8, lambda _: mark(scene, comment, reader))
    assert set(map(str, outcomes)) == {"1"}
    assert mark(scene, comment, someone(scene)) == 2
    with pytest.raises(Conflict) as refused:
        mark(scene, comment, author)
    assert refused.value.code == "own_comment"
    assert scene.problems() == []


def test_a_member_answers_officially(database: Database) -> None:
    scene = set_scene(database)
    idea, member = an_idea(scene), a_member(scene)
    say(scene, idea, someone(scene))
    given: dict[str, Any] = {"text": "We will", "member_id": member, "client_id": "c", "language": "fr"}
    for _ in range(2):
        with database.transaction() as session:
            community.post_answer(session, scene.mission, idea, now=minutes(1), **given)
    with database.snapshot() as session:
        found = community.comments_on(session, idea, limit=9)
        assert session.get_one(Idea, idea).comments == 2
    assert [(one.text, one.is_official, name != "") for one, name in found] == [
        (WORDS, False, True),
        ("We will", True, False),
    ]
    assert scene.problems() == []


def test_the_last_comments_come_first_and_those_before_them_after(database: Database) -> None:
    scene = set_scene(database)
    idea = an_idea(scene)
    said = [say(scene, idea, someone(scene), now=minutes(number)).comment.id for number in range(5)]
    with database.snapshot() as session:
        last = community.comments_on(session, idea, limit=3)
        earlier = community.comments_on(session, idea, before=last[0][0].id, limit=3)
    assert [one.id for one, _ in (*earlier, *last)] == said


def test_what_is_hidden_takes_no_comments_and_a_hidden_comment_no_marks(database: Database) -> None:
    scene = set_scene(database)
    idea, other, member = an_idea(scene), an_idea(scene), a_member(scene)
    comment = say(scene, idea, someone(scene)).comment.id
    hide(scene, SubjectKind.COMMENT, comment, member)
    hide(scene, SubjectKind.IDEA, other, member)
    with pytest.raises(NotFound):
        mark(scene, comment, someone(scene))
    with pytest.raises(NotFound):
        say(scene, other, someone(scene))
    assert scene.counters()["hidden_private_data"] == 2
    assert scene.counters()["comments"] == 1
    assert scene.problems() == []


def test_a_step_may_ask_that_the_person_was_in_the_shop_and_that_they_are_old_enough(database: Database) -> None:
    scene = set_scene(database, steps=[StepPlan(StepKind.IDEA), StepPlan(StepKind.COMMENT, 1)])
    idea, person = an_idea(scene), someone(scene)
    with pytest.raises(Forbidden) as refused:
        say(scene, idea, person)
    assert refused.value.code == "presence_missing"
    with database.transaction() as session:
        person = participants.declare_age(session, person, is_under_15=True, now=NOON)
    with pytest.raises(Forbidden) as refused:
        say(scene, idea, person)
    assert refused.value.code == "under_age_text"


def test_a_persons_comments_are_forgotten_with_them(database: Database) -> None:
    scene = set_scene(database, steps=STEPS)
    idea, person = an_idea(scene), someone(scene)
    other = say(scene, idea, someone(scene)).comment.id
    say(scene, idea, person)
    mark(scene, other, person)
    before = scene.counters()
    with database.erasing() as session:
        privacy.erase(session, person.id, note=lambda *_: None, now=minutes(5))
    with database.snapshot() as session:
        found = [(one.text, one.state, name != "") for one, name in community.comments_on(session, idea, limit=9)]
        assert session.exec(select(Comment).where(Comment.participant_id == person.id)).all() == []
    assert sorted(found) == [("", "erased", False), (WORDS, "published", True)]
    assert scene.counters() == before
    assert scene.problems() == []
