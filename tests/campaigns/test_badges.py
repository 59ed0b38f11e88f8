"""Badges of each kind: earned by what is enough, revoked when it is undone, and recounted. On both databases."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update
from sqlmodel import col, select

from campaigns import community, rewards
from campaigns.community import IdeaState
from campaigns.ids import uuid7_at
from campaigns.missions import StepKind, StepPlan
from campaigns.participants import Participant
from campaigns.planning import Campaign
from campaigns.rewards import Badge, BadgeAward, BadgeKind, BadgePlan, badges
from campaigns.storage import Database, store
from tests.booth import open_booth
from tests.campaigns import test_decisions as decisions
from tests.campaigns.test_referrals import STEPS as REFERRING
from tests.campaigns.test_referrals import come, invite, newcomer, someone, visit
from tests.campaigns.test_reversal import void
from tests.campaigns.test_voided_votes import VOTE, scan_of
from tests.factories import NOON, make_mission
from tests.scene import Scene, minutes, set_scene


def make_badge(scene: Scene, kind: BadgeKind, at_least: int = 1, **more: Any) -> Badge:
    with scene.database.transaction() as session:
        campaign = session.get_one(Campaign, scene.campaign.id)
        return rewards.make_badge(session, campaign, BadgePlan({"en": kind.value}, kind, at_least, **more), now=NOON)


def held(scene: Scene, person: Participant) -> list[tuple[str, str | None]]:
    """The kind of each badge of a person, and why it was revoked."""
    with scene.database.snapshot() as session:
        return [(badge.kind, award.reason) for award, badge in rewards.awards_of(session, person.id)]


def standing(scene: Scene) -> list[UUID]:
    with scene.database.snapshot() as session:
        return list(session.exec(select(BadgeAward.id).where(col(BadgeAward.revoked_at).is_(None))))


def test_who_brings_somebody_has_a_badge_until_their_visit_is_voided(database: Database) -> None:
    scene = set_scene(database, steps=[REFERRING[0], StepPlan(StepKind.REFERRAL, 1)])
    make_badge(scene, BadgeKind.REFERRALS)
    make_badge(scene, BadgeKind.REFERRALS, 2)
    her, (him, cookie) = someone(scene), newcomer(scene)
    come(scene, him, invite(scene, her))
    assert held(scene, her) == [], "who took part only has not come to the shop"
    scan = visit(scene, cookie)
    assert held(scene, her) == [("referrals", None)]
    assert held(scene, him) == []
    assert ("badge", "reversed") in void(scene, scan)
    assert held(scene, her) == [("referrals", "Scanned from home")]
    visit(scene, cookie, 200)
    assert held(scene, her) == [("referrals", None)]
    assert scene.problems() == []


def test_who_votes_has_a_badge_until_the_visit_behind_the_vote_is_voided(database: Database) -> None:
    booth = open_booth(database, min_presence=1, steps=VOTE)
    make_badge(booth.scene, BadgeKind.VOTES)
    idea, person, other = booth.idea(), booth.visitor(), booth.visitor()
    booth.scene.drain()
    assert held(booth.scene, person) == []
    booth.vote(person, idea)
    booth.vote(other, idea)
    booth.scene.drain()
    assert (held(booth.scene, person), held(booth.scene, other)) == ([("votes", None)],) * 2
    void(booth.scene, scan_of(booth, person))
    assert (held(booth.scene, person), held(booth.scene, other)) == (
        [("votes", "Scanned from home")],
        [("votes", None)],
    )
    booth.withdraw(other, idea)
    assert booth.scene.problems() == [], "the event that takes the badge back waits"
    booth.scene.drain()
    assert held(booth.scene, other) == [("votes", "criteria_lost")]
    assert booth.scene.problems() == []


def test_whose_idea_is_chosen_has_a_badge_until_the_decision_is_corrected(database: Database) -> None:
    booth = open_booth(database)
    make_badge(booth.scene, BadgeKind.IDEAS_SELECTED)
    idea, by = booth.idea(), decisions.a_member(booth)

    def decide(state: IdeaState, minute: int) -> list[tuple[str, str | None]]:
        decisions.act(booth, community.decide, idea, state, by=by, now=minutes(minute))
        assert booth.scene.problems() == []
        booth.scene.drain()
        return held(booth.scene, booth.author)

    assert decide(IdeaState.SHORTLISTED, 1) == []
    assert decide(IdeaState.SELECTED, 2) == [("ideas_selected", None)]
    assert decide(IdeaState.FUNDED, 3) == [("ideas_selected", None)], "it is chosen all the more"
    assert decide(IdeaState.SELECTED, 4) == [("ideas_selected", None)]
    assert decide(IdeaState.SHORTLISTED, 5) == [("ideas_selected", "criteria_lost")]
    assert booth.scene.problems() == []


@pytest.mark.parametrize("kind", list(BadgeKind))
def test_the_recount_lists_a_badge_that_somebody_made_by_hand(database: Database, kind: BadgeKind) -> None:
    scene = set_scene(database, steps=REFERRING)
    badge, person = make_badge(scene, kind), someone(scene)
    assert scene.problems() == []
    key = {"badge_id": badge.id, "participant_id": person.id, "phase": "live"}
    with database.transaction() as session:
        store(session, BadgeAward, id=uuid7_at(NOON), awarded_at=NOON, **key)
    (problem,) = scene.problems()
    assert problem.endswith(f"1 {kind.value} asked, 0 counted")
    with database.transaction() as session:
        session.execute(update(BadgeAward).values(revoked_at=NOON, reason="voided"))
    assert scene.problems() == []


def test_the_recount_lists_a_badge_that_a_void_left_standing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = set_scene(database, steps=REFERRING)
    for kind in (BadgeKind.COMPLETIONS, BadgeKind.PLACES):
        make_badge(scene, kind)
    _, cookie = newcomer(scene)
    scan = visit(scene, cookie)
    assert len(standing(scene)) == 2
    assert scene.problems() == []
    monkeypatch.setattr(badges, "lose", lambda *_, **__: [])  # the guard, as if nobody had written it
    void(scene, scan)
    scene.drain()
    assert len(standing(scene)) == 2
    assert sorted(one.partition(": ")[2] for one in scene.problems()) == [
        "1 completions asked, 0 counted",
        "1 places asked, 0 counted",
    ]


def test_a_badge_of_one_mission_counts_no_other(database: Database) -> None:
    scene = set_scene(database, steps=REFERRING)
    with database.transaction() as session:
        campaign = session.get_one(Campaign, scene.campaign.id)
        other = make_mission(session, campaign, steps=[StepPlan(StepKind.IDEA)], now=minutes(1))
    for kind in (BadgeKind.COMPLETIONS, BadgeKind.REFERRALS):
        make_badge(scene, kind, mission_id=scene.mission.id)
        make_badge(scene, kind, mission_id=other.id)
    her, (him, cookie) = someone(scene), newcomer(scene)
    come(scene, him, invite(scene, her))
    visit(scene, cookie)
    assert held(scene, him) == [("completions", None)]
    assert sorted(held(scene, her)) == [("completions", None), ("referrals", None)]
    assert scene.problems() == []
