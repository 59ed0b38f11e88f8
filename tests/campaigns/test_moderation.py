"""Flags and moderation, on both databases: nothing vanishes silently, and no total moves."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError
from sqlmodel import select

from campaigns import community, identity, participants, privacy
from campaigns.audit import AuditEntry
from campaigns.community import Flagged, FlagKind, Idea, Rule, SubjectKind
from campaigns.community.models import Flag, FlaggedSubject
from campaigns.errors import CampaignError, Conflict, Invalid, NotFound, TooMany
from campaigns.identity import RIGHTS, Role
from campaigns.participants import Participant
from campaigns.storage import Database
from tests.factories import NOON, make_campaign, make_mission, make_organisation
from tests.racing import race
from tests.scene import Scene, minutes, set_scene

WORDS = "Quetsches-Zwetschgen-1871"


def someone(scene: Scene) -> Participant:
    with scene.database.transaction() as session:
        return participants.join(session, scene.campaign.organisation_id, language="fr", now=NOON)[0]


def an_idea(scene: Scene) -> UUID:
    return scene.post_idea(someone(scene), text=WORDS).idea.id


def a_moderator(scene: Scene) -> UUID:
    with scene.database.transaction() as session:
        member, *_ = identity.invite_member(
            session,
            scene.campaign.organisation_id,
            email="m@b.example",
            name="Ana",
            role=Role.MODERATOR,
            most=RIGHTS[Role.OWNER],
            now=NOON,
        )
    return member.id


def flag(scene: Scene, idea: UUID, person: Participant | None = None, **fields: Any) -> Flagged:
    given: dict[str, Any] = {"kind": FlagKind.ATTACK, "text": "", "day": 20_000, "reporter_key": 1, **fields}
    with scene.database.transaction() as session:
        subject = community.subject_in(session, scene.mission, SubjectKind.IDEA, idea)
        return community.flag(session, scene.mission, subject, person=person, now=NOON, **given)


def act(scene: Scene, what: Any, idea: UUID, **fields: Any) -> Any:
    given = {"reason": "It names a neighbour.", "now": NOON, **fields}
    with scene.database.transaction() as session:
        subject = community.subject_in(session, scene.mission, SubjectKind.IDEA, idea)
        return what(session, scene.mission, subject, **given)


def shown(scene: Scene) -> list[tuple[str, str | None]]:
    with scene.database.snapshot() as session:
        return [(idea.state, idea.hidden_rule) for idea, _ in community.list_ideas(session, scene.mission.id, limit=9)]


def test_of_twenty_racing_flags_of_one_person_one_is_kept_and_counted(database: Database) -> None:
    scene = set_scene(database)
    idea, person = an_idea(scene), someone(scene)
    outcomes = race(20, lambda index: flag(scene, idea, person if index % 2 else None))
    flags = [one for one in outcomes if isinstance(one, Flagged)]
    assert len(flags) == 20, outcomes
    assert sum(not one.is_replay for one in flags) == 2, "the person's, and that of the phone without a cookie"
    with database.snapshot() as session:
        (total,) = session.exec(select(FlaggedSubject)).all()
    assert (total.flags, total.open_flags) == (2, 2)
    assert scene.problems() == []


def test_the_queue_has_what_is_flagged_most_first_with_what_readers_said(database: Database) -> None:
    scene = set_scene(database)
    less, most = an_idea(scene), an_idea(scene)
    flag(scene, less, kind=FlagKind.OTHER)
    for number in range(3):
        flag(scene, most, reporter_key=number, kind=FlagKind.PRIVATE, text=f"number {number}")
    with database.transaction() as session:
        other = make_organisation(session, name="Autre")
        make_mission(session, make_campaign(session, other))
    with database.snapshot() as session:
        found = community.queue(session, scene.campaign.organisation_id, limit=9)
        nobody = community.queue(session, other.id, limit=9)
    assert [(one.subject.row.id, one.open_flags) for one in found] == [(most, 3), (less, 1)]
    assert (found[0].kinds, set(found[0].texts)) == ({"private": 3}, {"number 0", "number 1", "number 2"})
    assert nobody == []


def test_a_hidden_idea_keeps_its_place_and_its_totals_and_can_be_restored(database: Database) -> None:
    scene = set_scene(database)
    idea, member = an_idea(scene), a_moderator(scene)
    before = scene.counters()
    act(scene, community.hide, idea, rule=Rule.PRIVATE_DATA, member_id=member)
    assert shown(scene) == [("hidden", "private_data")]
    assert scene.counters() == before | {"hidden_private_data": 1}
    act(scene, community.restore, idea, member_id=member, now=minutes(1))
    assert shown(scene) == [("restored", None)]
    act(scene, community.hide, idea, rule=Rule.PERSONAL_ATTACK, member_id=member, now=minutes(2))
    with database.snapshot() as session:
        assert community.removals(scene.counters()) == {"personal_attack": 1, "private_data": 1, "restored": 1}
        last = community.last_act(session, idea)
    assert last is not None
    assert (last.rule, last.reason, last.member_id) == ("personal_attack", "It names a neighbour.", member)
    assert scene.problems() == []


def test_what_had_got_further_is_restored_to_where_it_was(database: Database) -> None:
    scene = set_scene(database)
    idea, member = an_idea(scene), a_moderator(scene)
    with database.transaction() as session:
        session.get_one(Idea, idea).state = "shortlisted"
    act(scene, community.hide, idea, rule=Rule.PRIVATE_DATA, member_id=member)
    act(scene, community.restore, idea, member_id=member, now=minutes(1))
    with database.snapshot() as session:
        assert session.get_one(Idea, idea).state == "shortlisted"


def test_of_racing_moderators_one_hides(database: Database) -> None:
    scene = set_scene(database)
    idea, member = an_idea(scene), a_moderator(scene)
    outcomes = race(8, lambda _: act(scene, community.hide, idea, rule=Rule.PRIVATE_DATA, member_id=member))
    refused = [one for one in outcomes if isinstance(one, CampaignError)]
    assert {one.code for one in refused} == {"wrong_state"}
    assert len(refused) == 7
    assert scene.counters()["hidden_private_data"] == 1
    assert scene.problems() == []


def test_criticism_that_nobody_flagged_cannot_be_hidden(database: Database) -> None:
    scene = set_scene(database)
    idea, member = an_idea(scene), a_moderator(scene)
    for rule in (Rule.OFF_TOPIC, Rule.ADVERTISING, Rule.UNLAWFUL):
        with pytest.raises(Conflict) as refused:
            act(scene, community.hide, idea, rule=rule, member_id=member)
        assert refused.value.code == "not_flagged"
    flag(scene, idea)
    act(scene, community.hide, idea, rule=Rule.OFF_TOPIC, member_id=member)
    assert shown(scene) == [("hidden", "off_topic")]


def test_what_is_left_leaves_the_queue_until_somebody_else_flags_it(database: Database) -> None:
    scene = set_scene(database)
    idea, member = an_idea(scene), a_moderator(scene)
    flag(scene, idea)
    act(scene, community.leave, idea, member_id=member)
    flag(scene, idea, someone(scene))
    with database.snapshot() as session:
        (one,) = community.queue(session, scene.campaign.organisation_id, limit=9)
    assert (one.flags, one.open_flags) == (2, 1)
    assert shown(scene) == [("published", None)]


@pytest.mark.parametrize("reason", ["", " \n ", "x" * 501])
def test_hiding_needs_a_reason(database: Database, reason: str) -> None:
    scene = set_scene(database)
    idea, member = an_idea(scene), a_moderator(scene)
    with pytest.raises(Invalid):
        act(scene, community.hide, idea, rule=Rule.PRIVATE_DATA, member_id=member, reason=reason)
    assert shown(scene) == [("published", None)]


def test_a_moderation_act_is_never_changed_and_the_log_has_nobodys_words(database: Database) -> None:
    scene = set_scene(database)
    idea, member = an_idea(scene), a_moderator(scene)
    flag(scene, idea, text=WORDS)
    act(scene, community.hide, idea, rule=Rule.PRIVATE_DATA, member_id=member)
    for statement in ("UPDATE moderation_acts SET reason = 'x'", "DELETE FROM moderation_acts"):
        with pytest.raises(DatabaseError, match="moderation_acts only grows"), database.transaction() as session:
            session.connection().execute(text(statement))
    with database.snapshot() as session:
        entries = session.exec(select(AuditEntry).where(AuditEntry.action == "moderation_act.created")).all()
        log = str([one.model_dump() for one in session.exec(select(AuditEntry))])
    assert [one.changes["rule"] for one in entries] == [["private_data"]]
    assert WORDS not in log
    assert "neighbour" not in log


def test_a_person_is_forgotten_in_what_they_flagged_and_what_was_hidden(database: Database) -> None:
    scene = set_scene(database)
    person = someone(scene)
    idea = scene.post_idea(person, text=WORDS).idea.id
    other = an_idea(scene)
    flag(scene, other, person, text="My neighbour Zwetschgen")
    act(scene, community.hide, idea, rule=Rule.PRIVATE_DATA, member_id=a_moderator(scene))
    with database.erasing() as session:
        privacy.erase(session, person.id, note=lambda *_: None, now=minutes(1))
    with database.snapshot() as session:
        (kept,) = session.exec(select(Flag)).all()
        erased = session.get_one(Idea, idea)
    assert (kept.text, kept.participant_id == person.id) == ("", False)
    assert (erased.state, erased.text, erased.hidden_rule) == ("erased", "", None)
    with pytest.raises(NotFound):
        act(scene, community.restore, idea, member_id=uuid4())
    assert scene.problems() == []


def test_a_flood_of_flags_ends(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("campaigns.community.moderation.FLAGS_AT_MOST", 3)
    scene = set_scene(database)
    idea = an_idea(scene)
    for number in range(3):
        flag(scene, idea, reporter_key=number)
    with pytest.raises(TooMany) as refused:
        flag(scene, idea, reporter_key=3)
    assert refused.value.code == "flagged"
    with database.snapshot() as session:
        assert len(session.exec(select(Flag)).all()) == 3
    assert scene.problems() == []


def test_a_contribution_of_another_mission_is_not_found(database: Database) -> None:
    scene = set_scene(database)
    idea = an_idea(scene)
    with database.transaction() as session:
        other = make_mission(session, scene.campaign)
    with database.snapshot() as session, pytest.raises(NotFound):
        community.subject_in(session, other, SubjectKind.IDEA, idea)
