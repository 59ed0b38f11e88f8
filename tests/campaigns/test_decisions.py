"""What becomes of ideas, on both databases: one decision at a time, merges that move no vote, edits nobody answered."""

import threading
import time
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError
from sqlmodel import select

from campaigns import community, identity, privacy
from campaigns.audit import AuditEntry
from campaigns.community import By, Decision, Idea, IdeaState, Rule, SubjectKind, following
from campaigns.community.models import Follow, ModerationAct
from campaigns.community.record import public_record
from campaigns.errors import CampaignError, Conflict, Invalid, NotFound
from campaigns.identity import RIGHTS, Role
from campaigns.participants import Participant
from campaigns.planning import Campaign
from campaigns.storage import Database
from tests.booth import Booth, open_booth
from tests.racing import race
from tests.scene import minutes

WHY = "It costs little and Mrs Zwetschgen likes it."


def a_member(booth: Booth) -> By:
    fields: dict[str, Any] = {"email": "m@b.example", "name": "Ana", "role": Role.OWNER, "most": RIGHTS[Role.OWNER]}
    with booth.database.transaction() as session:
        found = identity.invite_member(session, booth.scene.campaign.organisation_id, now=minutes(-60), **fields)
    return By(member_id=found[0].id)


def act(booth: Booth, what: Any, idea: UUID, *given: Any, **fields: Any) -> Decision:
    with booth.database.transaction() as session:
        row = session.get_one(Idea, idea)
        options = {"reason": WHY, "now": minutes(1), **fields}
        found: Decision = what(session, booth.scene.mission, row, *given, **options)
        return found


def state_of(booth: Booth, idea: UUID) -> str:
    with booth.database.snapshot() as session:
        return session.get_one(Idea, idea).state


def edit(booth: Booth, idea: UUID, words: str, person: Participant | None = None, **fields: Any) -> Idea:
    with booth.database.transaction() as session:
        campaign = session.get_one(Campaign, booth.scene.campaign.id)
        who, options = person or booth.author, {"text": words, "now": minutes(1), **fields}
        return community.edit_idea(session, booth.scene.mission, campaign, who, idea, **options)


def comment(booth: Booth, idea: UUID, person: Participant) -> None:
    with booth.database.transaction() as session:
        campaign = session.get_one(Campaign, booth.scene.campaign.id)
        said = {"text": "Yes", "client_id": "c-1", "language": "en", "now": minutes(0)}
        community.post_comment(session, booth.scene.mission, campaign, person, idea, **said)  # type: ignore[arg-type]  # as it is named


def follow(booth: Booth, idea: UUID, person: Participant, phase: str = "live") -> int:
    with booth.database.transaction() as session:
        return community.follow(session, booth.scene.mission, idea, person, phase=phase, now=minutes(1))


def test_an_idea_goes_its_way_and_back_only_where_a_decision_is_corrected(database: Database) -> None:
    booth = open_booth(database)
    idea, by = booth.idea(), a_member(booth)
    for minute, state in enumerate(("shortlisted", "selected", "funded", "delivered", "funded")):
        act(booth, community.decide, idea, IdeaState(state), by=by, now=minutes(minute))
        assert state_of(booth, idea) == state
    for wrong in ("published", "shortlisted", "not_selected", "hidden", "merged", "erased"):
        with pytest.raises(Conflict) as refused:
            act(booth, community.decide, idea, IdeaState(wrong), by=by)
        assert refused.value.code == "wrong_state"
    with database.snapshot() as session:
        steps = community.history_of(session, idea)
    assert [(one.state_before, one.state) for one in steps][-1] == ("delivered", "funded")
    assert {(one.reason, one.member_id) for one in steps} == {(WHY, by.member_id)}
    assert booth.scene.problems() == []


def test_a_decision_is_never_changed_has_a_decider_and_its_reason_stays_out_of_the_log(database: Database) -> None:
    booth = open_booth(database)
    idea, by = booth.idea(), a_member(booth)
    act(booth, community.decide, idea, IdeaState.SELECTED, by=by)
    for statement in ("UPDATE idea_decisions SET reason = 'x'", "DELETE FROM idea_decisions"):
        with pytest.raises(DatabaseError, match="idea_decisions only grows"), database.transaction() as session:
            session.connection().execute(text(statement))
    with pytest.raises(DatabaseError, match="decider"):
        act(booth, community.decide, idea, IdeaState.FUNDED, by=By())
    with database.snapshot() as session:
        entries = session.exec(select(AuditEntry).where(AuditEntry.action == "idea_decision.created")).all()
        log = str([one.model_dump() for one in session.exec(select(AuditEntry))])
    assert [one.changes["state"] for one in entries] == [["selected"]]
    assert "Zwetschgen" not in log


def test_a_decision_needs_a_reason(database: Database) -> None:
    booth = open_booth(database)
    idea, other, by = booth.idea(), booth.idea(), a_member(booth)
    for reason in ("", " \n ", "x" * 501):
        with pytest.raises(Invalid):
            act(booth, community.decide, idea, IdeaState.SELECTED, by=by, reason=reason)
        with pytest.raises(Invalid):
            act(booth, community.merge_idea, idea, other, by=by, reason=reason)
    assert state_of(booth, idea) == "published"


def test_of_racing_members_one_decides(database: Database) -> None:
    booth = open_booth(database)
    idea, by = booth.idea(), a_member(booth)
    states = (IdeaState.SELECTED, IdeaState.NOT_SELECTED)
    outcomes = race(8, lambda index: act(booth, community.decide, idea, states[index % 2], by=by))
    won = [one for one in outcomes if isinstance(one, Decision)]
    lost = [one for one in outcomes if isinstance(one, CampaignError)]
    assert (len(won), {one.code for one in lost}) == (1, {"wrong_state"}), outcomes
    assert state_of(booth, idea) == won[0].state
    assert booth.scene.problems() == []


def test_a_merge_moves_no_vote_and_the_result_shows_both(database: Database) -> None:
    booth = open_booth(database)
    idea, into, by = booth.idea("Pears"), booth.idea("More pears"), a_member(booth)
    first, second, third = booth.somebody(), booth.somebody(), booth.somebody()
    booth.vote(first, idea)
    booth.vote(second, idea)
    booth.vote(third, into)
    before = booth.tally()
    act(booth, community.merge_idea, idea, into, by=by)
    assert booth.tally() == before
    ranking = [(one.idea_id, one.votes, one.beside, one.merged_into_id) for one in booth.result().ranking]
    assert ranking == [(idea, 2, 0, into), (into, 1, 2, None)]
    with pytest.raises(Conflict) as refused:
        booth.vote(third, idea)
    assert refused.value.code == "idea_closed"
    booth.withdraw(first, idea)
    booth.vote(first, into)
    assert [one.votes for one in booth.result().ranking] == [2, 1]
    assert booth.scene.problems() == []


def test_a_merge_is_undone_to_what_the_idea_was(database: Database) -> None:
    booth = open_booth(database)
    idea, into, by = booth.idea(), booth.idea(), a_member(booth)
    act(booth, community.decide, idea, IdeaState.SHORTLISTED, by=by)
    act(booth, community.merge_idea, idea, into, by=by, now=minutes(2))
    act(booth, community.separate, idea, by=by, now=minutes(3))
    with database.snapshot() as session:
        found = session.get_one(Idea, idea)
        assert (found.state, found.merged_into_id) == ("shortlisted", None)
        assert community.merged_into(session, [into]) == {}
    booth.vote(booth.somebody(), idea)
    with pytest.raises(Conflict):
        act(booth, community.separate, idea, by=by)
    assert booth.scene.problems() == []


def test_what_cannot_be_merged_is_not(database: Database) -> None:
    booth, elsewhere = open_booth(database), open_booth(database)
    idea, into, third, by = booth.idea(), booth.idea(), booth.idea(), a_member(booth)
    with pytest.raises(Invalid):
        act(booth, community.merge_idea, idea, idea, by=by)
    with pytest.raises(NotFound):
        act(booth, community.merge_idea, idea, elsewhere.idea(), by=by)
    act(booth, community.merge_idea, idea, into, by=by)
    for source, target, code in (
        (into, third, "has_merged"),
        (third, idea, "wrong_state"),
        (idea, third, "wrong_state"),
    ):
        with pytest.raises(Conflict) as refused:
            act(booth, community.merge_idea, source, target, by=by)
        assert refused.value.code == code
    act(booth, community.decide, third, IdeaState.SELECTED, by=by)
    with pytest.raises(Conflict):
        act(booth, community.merge_idea, third, into, by=by)
    with database.transaction() as session:
        subject = community.subject_in(session, booth.scene.mission, SubjectKind.IDEA, third)
        options = {"reason": "x", "now": minutes(2), "member_id": by.member_id, "rule": Rule.PRIVATE_DATA}
        community.hide(session, booth.scene.mission, subject, **options)  # type: ignore[arg-type]  # as it is named
    with pytest.raises(Conflict):
        act(booth, community.merge_idea, into, third, by=by)


def test_racing_merges_make_no_chain_and_no_ring(database: Database) -> None:
    booth = open_booth(database)
    first, second, third, by = booth.idea(), booth.idea(), booth.idea(), a_member(booth)
    ways = ((first, second), (second, third), (third, first), (second, first))
    race(8, lambda index: act(booth, community.merge_idea, ways[index % 4][0], ways[index % 4][1], by=by))
    with database.snapshot() as session:
        ideas = session.exec(select(Idea)).all()
    merged = {one.id: one.merged_into_id for one in ideas if one.merged_into_id}
    assert merged
    assert not set(merged.values()) & merged.keys()
    assert booth.scene.problems() == []


def test_restored_and_shortlisted_ideas_take_votes_and_decided_ones_none(database: Database) -> None:
    booth = open_booth(database)
    for state in ("restored", "shortlisted"):
        idea = booth.idea()
        booth.set_state(idea, state)
        booth.vote(booth.somebody(), idea)
    for state in ("selected", "not_selected", "funded", "delivered", "hidden"):
        idea = booth.idea()
        booth.set_state(idea, state)
        with pytest.raises(Conflict):
            booth.vote(booth.somebody(), idea)


def test_an_idea_is_edited_by_its_author_within_half_an_hour(database: Database) -> None:
    booth = open_booth(database)
    idea, stranger = booth.idea("Plant paers"), booth.somebody()
    with pytest.raises(NotFound):
        edit(booth, idea, "Plant pears", stranger)
    for bad in ("", "x" * 501, "http://a.fr http://b.fr", "\u200b\u3164 "):
        with pytest.raises(Invalid):
            edit(booth, idea, bad)
    edited = edit(booth, idea, "Plant  pears", now=minutes(29.9))
    assert (edited.text, edited.edited_at) == ("Plant pears", minutes(29.9))
    with pytest.raises(Conflict) as refused:
        edit(booth, idea, "Plant figs", now=minutes(30))
    assert refused.value.code == "edit_closed"


def test_what_others_answered_or_members_decided_is_edited_no_more(database: Database) -> None:
    booth = open_booth(database)
    voted, talked, own, decided = booth.idea(), booth.idea(), booth.idea(), booth.idea()
    booth.vote(booth.somebody(), voted)
    comment(booth, talked, booth.somebody())
    comment(booth, own, booth.author)
    act(booth, community.decide, decided, IdeaState.SHORTLISTED, by=a_member(booth))
    for idea in (voted, talked, decided):
        with pytest.raises(Conflict):
            edit(booth, idea, "Something else")
    assert edit(booth, own, "Something else").text == "Something else"


def test_an_edit_waits_for_a_vote_that_is_on_its_way(database: Database) -> None:
    booth = open_booth(database)
    idea, person = booth.idea(), booth.somebody()
    outcomes: list[Any] = []

    def try_to_edit() -> None:
        try:
            outcomes.append(edit(booth, idea, "Something else"))
        except CampaignError as error:
            outcomes.append(error.code)

    thread = threading.Thread(target=try_to_edit, daemon=True)
    with database.transaction() as session:
        campaign = session.get_one(Campaign, booth.scene.campaign.id)
        options: dict[str, Any] = {"idea_id": idea, "client_id": "v-1", "secret": b"s" * 32, "now": minutes(0)}
        community.cast_vote(session, booth.round.id, booth.scene.mission, campaign, person, **options)
        thread.start()
        time.sleep(0.3)
    thread.join(timeout=30)
    assert outcomes == ["edit_closed"]


def test_who_follows_counts_once_and_stays_counted_when_erased(database: Database) -> None:
    booth = open_booth(database)
    idea, person, other = booth.idea(), booth.somebody(), booth.somebody()
    outcomes = race(8, lambda index: follow(booth, idea, (person, other)[index % 2]))
    assert max(outcomes) == 2, outcomes  # type: ignore[type-var]  # all numbers, or this fails
    with database.transaction() as session:
        assert community.unfollow(session, idea, other) == 1
        assert community.unfollow(session, idea, other) == 1
    with database.erasing() as session:
        privacy.erase(session, person.id, note=lambda *_: None, now=minutes(2))
    with database.snapshot() as session:
        (kept,) = session.exec(select(Follow)).all()
        assert session.get_one(Idea, idea).followers == 1
    assert kept.participant_id != person.id
    assert booth.scene.problems() == []


def test_a_recount_tells_of_followers_and_states_that_do_not_add_up(database: Database) -> None:
    booth = open_booth(database)
    idea = booth.idea()
    act(booth, community.decide, idea, IdeaState.SELECTED, by=a_member(booth))
    with database.transaction() as session:
        row = session.get_one(Idea, idea)
        row.followers, row.state = 7, "funded"
    problems = " ".join(booth.scene.problems())
    assert "7 stored, 0 counted" in problems
    assert "is funded, decided was selected" in problems


def test_nobody_follows_more_than_a_hundred(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("campaigns.community.following.MOST", 1)
    booth = open_booth(database)
    idea, other, person = booth.idea(), booth.idea(), booth.somebody()
    follow(booth, idea, person)
    assert follow(booth, idea, person) == 1
    with pytest.raises(Conflict) as refused:
        follow(booth, other, person)
    assert refused.value.code == "too_many_follows"


def test_the_public_record_tells_no_decision_of_a_trial_and_names_replies_as_they_are_named(database: Database) -> None:
    booth = open_booth(database, live=False)
    idea, by = booth.idea(), a_member(booth)
    act(booth, community.decide, idea, IdeaState.SELECTED, by=by)
    assert by.member_id is not None
    with database.transaction() as session:
        fields: dict[str, Any] = {
            "organisation_id": booth.scene.campaign.organisation_id,
            "mission_id": booth.scene.mission.id,
        }
        fields |= {"subject_id": uuid4(), "act": "hidden", "rule": "private_data", "reason": WHY, "phase": "live"}
        session.add(
            ModerationAct(
                id=uuid4(),
                subject_kind="reply",
                state_before="published",
                member_id=by.member_id,
                acted_at=minutes(2),
                **fields,
            )
        )
    with database.snapshot() as session:
        lines = [line for page in public_record(session, booth.scene.mission, now=minutes(3)) for line in page]
        trial = public_record(session, booth.scene.mission, now=minutes(3), phase="draft")
        of_trial = [line.record for page in trial for line in page]
    assert [one.record for one in lines if one.record in ("idea", "decision")] == []
    assert [one.about.partition("_")[0] for one in lines if one.record == "moderation"] == ["rpl"]
    assert of_trial.count("decision") == 1


def test_nobody_follows_an_idea_of_another_phase(database: Database) -> None:
    booth = open_booth(database, live=False)
    idea, reader = booth.idea(), booth.somebody()
    assert follow(booth, idea, reader, phase="draft") == 1
    with pytest.raises(NotFound):
        follow(booth, idea, booth.somebody())


def test_of_many_follows_at_once_a_hundred_stand(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    booth = open_booth(database)
    monkeypatch.setattr(following, "MOST", 3)
    ideas, reader = [booth.idea(now=minutes(one * 60), text=f"Idea {one}") for one in range(6)], booth.somebody()
    found = race(6, lambda index: follow(booth, ideas[index], reader))
    assert [one.code for one in found if isinstance(one, CampaignError)] == ["too_many_follows"] * 3
    with database.snapshot() as session:
        assert len(session.exec(select(Follow)).all()) == 3
    assert booth.scene.problems() == []
