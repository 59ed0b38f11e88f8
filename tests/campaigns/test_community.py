"""Ideas, on both databases."""

from datetime import timedelta

import pytest
from sqlmodel import select

from campaigns import community, planning
from campaigns.community import Idea, Posted, tidy
from campaigns.errors import Conflict, Forbidden, Invalid
from campaigns.missions import Repeat, StepKind, StepPlan
from campaigns.participants import Participant, join
from campaigns.planning import Campaign
from campaigns.storage import Database
from tests.factories import NOON
from tests.racing import race
from tests.scene import FAR, INSIDE, Scene, set_scene


def someone(scene: Scene) -> Participant:
    with scene.database.transaction() as session:
        return join(session, scene.campaign.organisation_id, language="fr", now=NOON)[0]


def test_an_idea_joins_its_author_and_completes_the_step(database: Database) -> None:
    scene = set_scene(database)
    posted = scene.post_idea(someone(scene), text="  Plant \t pear trees \n\n  by the   school ")
    assert posted.idea.text == "Plant pear trees\n\nby the school"
    assert scene.counters() == {"participants": 1, "ideas": 1, "completions": 1}
    assert scene.problems() == []


def test_a_repeat_of_a_client_id_gets_the_first_idea(database: Database) -> None:
    scene = set_scene(database)
    person = someone(scene)
    first = scene.post_idea(person)
    again = scene.post_idea(person, text="Something else")
    assert (first.is_replay, again.is_replay) == (False, True)
    assert again.idea == first.idea
    other = scene.post_idea(someone(scene))
    assert other.idea.id != first.idea.id
    assert scene.counters() == {"participants": 2, "ideas": 2, "completions": 2}


def test_of_racing_repeats_of_a_client_id_one_is_kept(database: Database) -> None:
    scene = set_scene(database)
    for number in range(4):
        person = someone(scene)
        outcomes = race(6, lambda _, person=person: scene.post_idea(person))  # type: ignore[misc]  # bound in the loop
        posted = [one for one in outcomes if isinstance(one, Posted)]
        assert sum(not one.is_replay for one in posted) == 1
        assert len({one.idea.id for one in posted}) == 1
        assert all(isinstance(one, Conflict) for one in outcomes if one not in posted)
        assert scene.counters() == {"participants": number + 1, "ideas": number + 1, "completions": number + 1}
    assert scene.problems() == []


def test_a_second_idea_counts_but_completes_nothing_more(database: Database) -> None:
    scene = set_scene(database)
    person = someone(scene)
    scene.post_idea(person)
    scene.post_idea(person, client_id="phone-2", now=NOON + timedelta(days=1))
    assert scene.counters() == {"participants": 1, "ideas": 2, "completions": 1}
    with database.snapshot() as session:
        ideas = community.list_ideas(session, scene.mission.id, limit=10)
        assert [idea.client_id for idea, _ in ideas] == ["phone-2", "phone-1"]
        assert {name for _, name in ideas} == {person.pseudonym}
        assert community.list_ideas(session, scene.mission.id, before=ideas[0][0].id, limit=10) == ideas[1:]
        assert [idea.id for idea in community.ideas_of(session, person.id)] == [idea.id for idea, _ in ideas]


def test_an_idea_that_repeats_daily_goes_by_the_campaigns_civil_day(database: Database) -> None:
    scene = set_scene(database, steps=[StepPlan(StepKind.IDEA, repeat=Repeat.DAILY)])
    person = someone(scene)
    for number, hours in enumerate((0, 11, 12.1)):  # noon, 23:00 and past midnight in Paris
        scene.post_idea(person, client_id=f"phone-{number}", now=NOON + timedelta(hours=hours))
    assert scene.counters()["completions"] == 2


@pytest.mark.parametrize(
    ("text", "code"), [("", "idea_empty"), (" \n\t\u00a0 ", "idea_empty"), ("x" * 501, "idea_too_long")]
)
def test_an_empty_or_endless_idea_is_refused(text: str, code: str) -> None:
    with pytest.raises(Invalid) as refusal:
        tidy(text)
    assert (refusal.value.code, refusal.value.context["pointer"]) == (code, "/text")
    assert tidy("x" * 500) == "x" * 500


def test_a_refused_idea_leaves_nothing(database: Database) -> None:
    scene = set_scene(database)
    person = someone(scene)
    with pytest.raises(Invalid):
        scene.post_idea(person, text=" ")
    assert scene.counters() == {}
    with database.snapshot() as session:
        assert session.exec(select(Idea)).all() == []


def test_a_step_may_ask_that_the_person_was_in_the_shop(database: Database) -> None:
    scene = set_scene(database, steps=[StepPlan(StepKind.SCAN), StepPlan(StepKind.IDEA, 1)])
    with pytest.raises(Forbidden) as refusal:
        scene.post_idea(someone(scene))
    assert refusal.value.code == "presence_missing"
    for position in (None, FAR):
        with pytest.raises(Forbidden):
            scene.post_idea(scene.check_in(scene.scan(), position=position).person)
    assert not scene.post_idea(scene.check_in(scene.scan(), position=INSIDE).person).is_replay


@pytest.mark.parametrize("state", ["paused", "ended", "scheduled"])
def test_a_campaign_that_is_not_running_takes_no_ideas(database: Database, state: str) -> None:
    flight = {"starts_at": NOON + timedelta(days=1)} if state == "scheduled" else {}
    scene = set_scene(database, campaign=flight)
    with database.transaction() as session:
        campaign = session.get_one(Campaign, scene.campaign.id)
        if state == "paused":
            planning.pause(session, campaign, now=NOON)
        if state == "ended":
            planning.end(session, campaign, now=NOON)
    with pytest.raises(Conflict) as refusal:
        scene.post_idea(someone(scene))
    assert refusal.value.code == "campaign_closed"


def test_a_mission_without_an_idea_step_takes_no_ideas(database: Database) -> None:
    scene = set_scene(database, steps=[StepPlan(StepKind.SCAN)])
    with pytest.raises(Conflict) as refusal:
        scene.post_idea(someone(scene))
    assert refusal.value.code == "no_such_step"
