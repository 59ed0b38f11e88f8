"""Replies to questions: one a person and period, counted once, changed for a while, gone with the person."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.exc import IntegrityError
from sqlmodel import select

from campaigns import community, missions, privacy
from campaigns.community import Given, Reply, Results, Rule, SubjectKind, replies
from campaigns.community.models import ReplyCounter
from campaigns.errors import Conflict, Forbidden, Invalid, NotFound, TooMany
from campaigns.missions import Repeat, Step, StepKind, StepPlan
from campaigns.participants import Participant, declare_age
from campaigns.planning import Campaign
from campaigns.storage import Database, store
from tests.campaigns.test_comments import a_member, someone
from tests.factories import NOON
from tests.racing import race
from tests.scene import Scene, minutes, set_scene

CHOICES = {"choices": ["Pears", {"fr": "Cerises", "en": "Cherries"}, "Plums"], "editable_h": 2}
STEPS = [
    StepPlan(StepKind.ANSWER, title={"": "Which trees?"}, params=CHOICES, points=3),
    StepPlan(StepKind.RATE, repeat=Repeat.DAILY),
    StepPlan(StepKind.ANSWER, title={"": "What is missing?"}, min_presence=1),
]
WORDS = "Mirabellen-Nancy-1754"


def step(scene: Scene, number: int = 0) -> Step:
    with scene.database.snapshot() as session:
        return missions.steps_of(session, scene.mission.id)[number]


def reply(scene: Scene, person: Participant, value: int | None = 1, number: int = 0, **fields: Any) -> Given:
    given = {"text": "", "client_id": uuid4().hex, "language": "fr", "now": NOON, **fields}
    with scene.database.transaction() as session:
        campaign = session.get_one(Campaign, scene.campaign.id)
        question = community.question_of(session, scene.mission, step(scene, number).id)
        return community.give_reply(session, scene.mission, campaign, person, question, value=value, **given)


def results(scene: Scene, number: int = 0) -> Results:
    with scene.database.snapshot() as session:
        return community.results(session, step(scene, number), phase="live")


def totals(scene: Scene) -> dict[int, tuple[int, int]]:
    with scene.database.snapshot() as session:
        return {row.value: (row.total, row.erased) for row in session.exec(select(ReplyCounter)) if row.total}


def test_a_reply_completes_its_step_once_and_a_repeat_gets_the_first_answer(database: Database) -> None:
    scene = set_scene(database, steps=STEPS)
    person = someone(scene)
    first = reply(scene, person, 1, client_id="a")
    changed = reply(scene, person, 2, client_id="b")
    again = reply(scene, person, 3, client_id="a")
    assert (again.is_replay, again.reply.id, again.reply.value) == (True, first.reply.id, 1)
    assert changed.editable_until == NOON + timedelta(hours=2)
    assert totals(scene) == {2: (1, 0)}
    assert scene.counters()["completions"] == 1
    assert scene.problems() == []


def test_a_reply_is_changed_only_for_a_while(database: Database) -> None:
    scene = set_scene(database, steps=STEPS)
    person = someone(scene)
    reply(scene, person, 1)
    reply(scene, person, 2, now=minutes(119))
    with pytest.raises(Conflict) as refused:
        reply(scene, person, 3, now=minutes(120))
    assert refused.value.code == "reply_fixed"
    assert totals(scene) == {2: (1, 0)}


def test_a_reply_is_changed_twenty_times_at_most(database: Database) -> None:
    scene = set_scene(database, steps=STEPS)
    person = someone(scene)
    for number in range(20):
        reply(scene, person, number % 2 + 1)
    with pytest.raises(TooMany):
        reply(scene, person, 3)
    assert totals(scene) == {2: (1, 0)}


def test_a_daily_mark_counts_each_day(database: Database) -> None:
    scene = set_scene(database, steps=STEPS)
    person = someone(scene)
    reply(scene, person, 5, 1)
    reply(scene, person, 4, 1, now=NOON + timedelta(days=1), text=WORDS)
    assert totals(scene) == {5: (1, 0), 4: (1, 0)}
    assert scene.counters()["completions"] == 2
    assert scene.problems() == []


@pytest.mark.parametrize("same", [True, False])
def test_of_racing_replies_of_one_person_one_stands(database: Database, same: bool) -> None:
    scene = set_scene(database, steps=STEPS)
    person = someone(scene)
    outcomes = race(8, lambda number: reply(scene, person, number % 3 + 1, client_id="a" if same else f"a{number}"))
    assert all(isinstance(one, Given) for one in outcomes), outcomes
    assert sum(total for total, _ in totals(scene).values()) == 1
    assert scene.counters()["completions"] == 1
    with database.snapshot() as session:
        rows = session.exec(select(Reply)).all()
    assert len([row for row in rows if row.state != "erased"]) == 1
    assert not same or len(rows) == 1
    assert scene.problems() == []


def test_the_database_keeps_one_standing_reply_a_person_and_period(database: Database) -> None:
    scene = set_scene(database, steps=STEPS)
    person = someone(scene)
    kept = reply(scene, person, 1).reply
    with pytest.raises(IntegrityError), database.transaction() as session:
        store(session, Reply, **kept.model_dump(exclude={"id", "client_id"}), id=uuid4(), client_id="other")


@pytest.mark.parametrize(
    ("number", "value", "text", "code"),
    [
        (0, None, "", "reply_missing"),
        (0, 0, "", "reply_missing"),
        (0, 4, "", "reply_missing"),
        (1, 6, "", "reply_missing"),
        (1, 5, "x" * 501, "reply_too_long"),
        (1, 5, "see a.example.com and b.example.org", "one_link"),
        (2, None, " \n ", "reply_empty"),
    ],
)
def test_a_reply_that_is_none_is_refused(database: Database, number: int, value: int, text: str, code: str) -> None:
    scene = set_scene(database, steps=[*STEPS[:2], StepPlan(StepKind.ANSWER, title={"": "What is missing?"})])
    with pytest.raises(Invalid) as refused:
        reply(scene, someone(scene), value, number, text=text)
    assert refused.value.code == code
    assert totals(scene) == {}


def test_presence_and_age_are_asked_for(database: Database) -> None:
    scene = set_scene(database, steps=STEPS)
    with pytest.raises(Forbidden) as refused:
        reply(scene, someone(scene), None, 2, text=WORDS)
    assert refused.value.code == "presence_missing"
    with database.transaction() as session:
        young = declare_age(session, someone(scene), is_under_15=True, now=NOON)
    with pytest.raises(Forbidden):
        reply(scene, young, 1)


def test_groups_below_ten_are_kept_back_and_what_would_give_one_away(database: Database) -> None:
    scene = set_scene(database, steps=STEPS)

    def fill(counts: dict[int, int], number: int = 0) -> Results:
        with database.transaction() as session:
            for value, total in counts.items():
                session.merge(ReplyCounter(step_id=step(scene, number).id, phase="live", value=value, total=total))
        return results(scene, number)

    few = fill({1: 5, 2: 4})
    assert (few.people, few.groups, few.is_whole) == (None, {}, False)
    some = fill({1: 40, 2: 12, 3: 3})
    assert (some.people, some.groups) == (55, {1: 40})  # of the three left out none follows
    assert fill({1: 40, 2: 12, 3: 10}).groups == {1: 40, 2: 12, 3: 10}
    marks = fill({1: 10, 5: 30}, 1)
    assert (marks.average, marks.is_whole) == (4.0, True)
    assert fill({1: 10, 5: 30, 2: 1}, 1).average is None


def test_who_is_erased_takes_their_replies_along_and_the_totals_stand(database: Database) -> None:
    scene = set_scene(database, steps=STEPS)
    person, other = someone(scene), someone(scene)
    reply(scene, other, 2)
    reply(scene, person, 1)
    reply(scene, person, 2)
    reply(scene, person, 5, 1, text=WORDS)
    before = scene.counters()
    with database.erasing() as session:
        privacy.erase(session, person.id, note=lambda *_: None, now=minutes(1))
    assert totals(scene) == {2: (2, 1), 5: (1, 1)}
    assert scene.counters() == before
    with database.snapshot() as session:
        assert [row.participant_id for row in session.exec(select(Reply))] == [other.id]
    assert scene.problems() == []


def test_hidden_words_stay_counted_and_are_not_changed(database: Database) -> None:
    scene = set_scene(database, steps=STEPS)
    person, member = someone(scene), a_member(scene)
    given = reply(scene, person, 1, 1, text=WORDS)
    with database.transaction() as session:
        subject = community.subject_in(session, scene.mission, SubjectKind.REPLY, given.reply.id)
        why: dict[str, Any] = {"rule": Rule.PRIVATE_DATA, "reason": "A name", "member_id": member}
        community.hide(session, scene.mission, subject, now=NOON, **why)
    with pytest.raises(Conflict) as refused:
        reply(scene, person, 5, 1)
    assert refused.value.code == "reply_hidden"
    with database.snapshot() as session:
        ((shown, name),) = community.words_on(session, [step(scene, 1).id], phase="live", limit=9)
        assert (shown.hidden_rule, name) == ("private_data", person.pseudonym)
    assert totals(scene) == {1: (1, 0)}
    assert scene.problems() == []


def test_words_that_were_changed_are_shown_to_nobody(database: Database) -> None:
    scene = set_scene(database, steps=STEPS)
    person = someone(scene)
    first = reply(scene, person, 1, 1, text=WORDS)
    reply(scene, person, 1, 1, text="Better words")
    with database.snapshot() as session:
        rows = community.words_on(session, [step(scene, 1).id], phase="live", limit=9)
        assert [one.text for one, _ in rows] == ["Better words"]
        with pytest.raises(NotFound):
            community.subject_in(session, scene.mission, SubjectKind.REPLY, first.reply.id)


@pytest.mark.parametrize(
    ("plan", "pointer"),
    [
        (StepPlan(StepKind.ANSWER), "/steps/0/title"),
        (StepPlan(StepKind.ANSWER, title={"": "?"}, params={"choices": ["one"]}), "/steps/0/params/choices"),
        (StepPlan(StepKind.ANSWER, title={"": "?"}, params={"choices": ["a", "a"]}), "/steps/0/params/choices"),
        (StepPlan(StepKind.ANSWER, title={"": "?"}, params={"choices": ["a", ""]}), "/steps/0/params/choices/1"),
        (StepPlan(StepKind.RATE, params={"choices": ["a", "b"]}), "/steps/0/params/choices"),
        (StepPlan(StepKind.RATE, params={"editable_h": 999}), "/steps/0/params/editable_h"),
        (StepPlan(StepKind.RATE, repeat="3"), "/steps/0/repeat"),
    ],
)
def test_a_question_that_does_not_fit_names_the_field(database: Database, plan: StepPlan, pointer: str) -> None:
    with pytest.raises(Invalid) as refused:
        set_scene(database, steps=[plan])
    assert refused.value.context["pointer"] == pointer


def test_of_the_replies_of_two_names_the_first_stands(database: Database) -> None:
    scene = set_scene(database, steps=STEPS)
    older, newer = someone(scene), someone(scene)
    reply(scene, newer, 1, client_id="a")
    reply(scene, older, 2, client_id="a", now=minutes(1))
    reply(scene, newer, 5, 1, client_id="b", now=minutes(2))
    with database.transaction() as session:
        assert replies.merge(session, older=older.id, newer=newer.id) == 1
    assert totals(scene) == {1: (1, 0), 5: (1, 0)}
    with database.snapshot() as session:
        rows = session.exec(select(Reply)).all()
        assert {row.participant_id for row in rows} == {older.id}
        assert sorted(row.value for row in rows if row.state != "erased") == [1, 5]
    assert scene.problems() == []
