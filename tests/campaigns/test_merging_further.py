"""Two names of one person in follows, replies, an address, word of mouth, paper cards and a pilot."""

import threading
import time
from datetime import timedelta
from typing import Any

from sqlmodel import select

from campaigns import community, letters, missions, participants, planning, scans
from campaigns.community import Reply
from campaigns.community.models import Follow
from campaigns.letters import Contact
from campaigns.missions import Referral, StepKind, StepPlan
from campaigns.missions.check_ins import counted_for
from campaigns.missions.models import Card
from campaigns.participants import Participant
from campaigns.planning import Campaign
from campaigns.planning.models import Pilot, PilotPerson
from campaigns.scans.models import ScanVoid
from campaigns.storage import Database, store
from campaigns.tokens import Good
from campaigns.tokens.models import SerialUse
from tests.booth import open_booth
from tests.campaigns import test_letters, test_referrals, test_replies
from tests.campaigns.test_batches import open_packs
from tests.campaigns.test_decisions import follow
from tests.campaigns.test_merging import merge, states
from tests.factories import NOON
from tests.racing import race
from tests.scene import Scene, colleague, minutes, open_pilot, set_scene


def names(scene: Scene) -> tuple[Participant, Participant]:
    """Two names: the first one is the older."""
    with scene.database.transaction() as session:
        organisation = scene.campaign.organisation_id
        pair = [
            participants.join(session, organisation, language="fr", now=NOON + timedelta(seconds=one))[0]
            for one in range(2)
        ]
    return pair[0], pair[1]


def test_an_idea_followed_under_both_names_has_one_follower(database: Database) -> None:
    booth = open_booth(database)
    both, one = booth.idea(), booth.idea()
    older, newer = names(booth.scene)
    follow(booth, both, older)
    follow(booth, both, newer)
    assert follow(booth, one, newer) == 1
    merge(database, older, newer)
    with database.snapshot() as session:
        assert set(session.exec(select(Follow.idea_id).where(Follow.participant_id == older.id))) == {both, one}
    assert booth.scene.problems() == []


def test_of_two_replies_of_a_period_the_first_stands(database: Database) -> None:
    scene = set_scene(database, steps=test_replies.STEPS)
    older, newer = names(scene)
    test_replies.reply(scene, newer, 1, client_id="same", now=minutes(0))
    test_replies.reply(scene, older, 2, client_id="same", now=minutes(5))
    test_replies.reply(scene, newer, 4, 1, now=minutes(6))
    done = merge(database, older, newer, now=minutes(10))
    assert done.undone["replies"] == 1
    assert states(scene, older) == [("reversed", "merged"), ("verified", None), ("verified", None)]
    assert test_replies.totals(scene) == {1: (1, 0), 4: (1, 0)}
    with database.snapshot() as session:
        assert {one.participant_id for one in session.exec(select(Reply))} == {older.id}
    assert scene.problems() == []


def test_the_confirmed_address_stays(database: Database) -> None:
    booth = open_booth(database)
    older, newer = names(booth.scene)
    test_letters.leave(booth, older, "older@verger.example")
    wanted = test_letters.confirm(booth, test_letters.leave(booth, newer, "newer@verger.example"))
    merge(database, older, newer)
    with database.snapshot() as session:
        (kept,) = session.exec(select(Contact)).all()
        assert (kept.id, kept.participant_id) == (wanted.id, older.id)
        assert letters.contact_of(session, older.id) is not None


def test_who_brought_themselves_brought_nobody_and_is_brought_once(database: Database) -> None:
    scene = set_scene(database, steps=test_referrals.STEPS)
    older, newer = names(scene)
    her = test_referrals.someone(scene)
    own = test_referrals.invite(scene, older)
    hers = test_referrals.invite(scene, her)
    friend = test_referrals.newcomer(scene)
    assert test_referrals.come(scene, newer, own) is not None
    assert test_referrals.come(scene, friend[0], own) is not None
    test_referrals.visit(scene, friend[1], 2)
    assert scene.counters()["referrals"] == 1
    merge(database, older, newer, now=minutes(9))
    with database.snapshot() as session:
        (kept,) = session.exec(select(Referral)).all()
    assert (kept.referrer_id, kept.newcomer_id) == (older.id, friend[0].id)
    assert test_referrals.come(scene, older, hers) is None  # takes part already
    assert scene.problems() == []


def test_the_step_of_a_referral_that_was_none_goes(database: Database) -> None:
    scene = set_scene(database, steps=test_referrals.STEPS)
    her = test_referrals.someone(scene)
    newer, cookie = test_referrals.newcomer(scene)
    test_referrals.come(scene, newer, test_referrals.invite(scene, her))
    test_referrals.visit(scene, cookie, 2)
    assert test_referrals.points(scene, her) == 5
    merge(database, her, newer, now=minutes(9))
    assert scene.counters()["referrals"] == 0
    assert ("reversed", "merged") in states(scene, min(her, newer, key=lambda one: (one.created_at, one.id)))
    assert scene.problems() == []


def test_two_paper_cards_lead_to_one_person(database: Database) -> None:
    scene = set_scene(database)
    older, newer = names(scene)
    with database.transaction() as session:
        store(session, Card, token_id=scene.token.id, participant_id=newer.id, first_used_at=NOON)
    merge(database, older, newer)
    with database.snapshot() as session:
        found = missions.holder_of(session, scene.token.id)
    assert found is not None
    assert found.id == older.id


def test_two_places_in_a_pilot_become_one(database: Database) -> None:
    scene = set_scene(database, live=False)
    older, newer = names(scene)
    assert scene.entry.place is not None
    with database.transaction() as session:
        campaign = session.get_one(Campaign, scene.campaign.id)
        plan = planning.PilotPlan([f"plc_{scene.entry.place.id.hex}"], 10, {"people": 5})
        planning.declare_pilot(session, campaign, plan, now=NOON)
        pilot = planning.require_declared(session, campaign.id)
        for one in (older, newer):
            store(session, PilotPerson, pilot_id=pilot.id, participant_id=one.id, admitted_at=NOON)
        pilot.people = 2
    merge(database, older, newer)
    with database.snapshot() as session:
        assert session.get_one(Pilot, pilot.id).people == 1
        assert session.exec(select(PilotPerson.participant_id)).all() == [older.id]


def test_visits_of_a_pilot_that_are_one_take_their_counted_steps_along(database: Database) -> None:
    scene = set_scene(database, live=False, steps=[StepPlan(StepKind.SCAN, 0, 2)])
    open_pilot(scene)
    older, newer = colleague(scene), colleague(scene)
    with database.transaction() as session:
        for minute, one in ((0, older), (30, newer)):
            done, _ = scans.witness(session, scene.entry, one, phase="pilot", presence=3, now=minutes(minute))
            steps = missions.steps_of(session, scene.mission.id)
            counted_for(session, scene.mission, steps, one, done, scene.entry, now=minutes(minute))
    assert scene.counters("pilot") == {"participants": 2, "check_ins": 2, "completions": 2}
    merge(database, older, newer, now=minutes(60))
    assert scene.counters("pilot") == {"participants": 1, "check_ins": 1, "completions": 1}
    assert scene.problems() == []


def test_a_merge_in_a_pilot_waits_for_who_takes_a_place_in_it(database: Database) -> None:
    """Who enters a pilot holds its row and then touches what the merge holds: held first, nobody waits in a ring."""
    scene = set_scene(database, live=False)
    open_pilot(scene)
    older, newer, fresh = colleague(scene), colleague(scene), colleague(scene, phase=None)
    idea = scene.post_idea(older).idea.id
    entered, merging_now = threading.Event(), threading.Event()

    def comment() -> None:
        with database.transaction() as session:
            campaign = session.get_one(Campaign, scene.campaign.id)
            missions.take_part(session, scene.mission, fresh, phase="pilot", now=NOON)
            entered.set()
            merging_now.wait(5)
            time.sleep(0 if database.is_sqlite else 0.3)  # until the merge waits for the pilot's row
            words: dict[str, Any] = {"text": "Yes", "client_id": "c", "language": "fr", "now": NOON}
            community.post_comment(session, scene.mission, campaign, fresh, idea, **words)

    def join_both() -> None:
        entered.wait(5)
        merging_now.set()
        merge(database, older, newer)

    assert race(2, lambda index: (comment, join_both)[index]()) == [None, None]
    assert scene.problems() == []


def test_a_link_that_the_newer_name_shared_leads_to_the_older_one(database: Database) -> None:
    scene = set_scene(database, steps=[StepPlan(StepKind.REFERRAL), StepPlan(StepKind.SCAN)])
    older, newer = names(scene)
    with database.transaction() as session:
        shown, shared = (missions.public_code(session, scene.mission, one, now=NOON) for one in (older, newer))
    merge(database, older, newer)
    with database.transaction() as session:
        assert missions.find_inviter(session, scene.mission, shared) == older.id
        assert missions.find_inviter(session, scene.mission, shown) == older.id
        assert missions.find_public_code(session, scene.mission, older) == shown
        assert missions.public_code(session, scene.mission, older, now=NOON) == shown
    third = names(scene)[1]
    merge(database, older, third)
    with database.snapshot() as session:
        assert missions.find_inviter(session, scene.mission, shared) == older.id


def test_a_serial_used_under_two_names_is_used_once(database: Database) -> None:
    packs = open_packs(database, good=Good.ONCE_PER_PERSON)
    first, second = packs.use(), packs.use(at=1)
    assert packs.counted() == 2
    done = merge(database, first.person, second.person, now=minutes(2))
    assert (done.undone["visits"], packs.counted()) == (1, 1)
    with database.snapshot() as session:
        voided = session.exec(select(ScanVoid.scan_id)).all()
        (use,) = session.exec(select(SerialUse).where(SerialUse.person_id == first.person.id)).all()
    assert (voided, use.scan_id) == ([second.check_in.scan_id], first.check_in.scan_id)
    assert packs.scene.problems() == []
