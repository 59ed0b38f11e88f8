"""Word of mouth: who came by whose link, when it counts, once, and what undoes it. On both databases."""

from datetime import timedelta
from threading import Thread
from uuid import UUID, uuid4

import pytest
from sqlalchemy.exc import IntegrityError
from sqlmodel import select

from campaigns import missions, participants, privacy
from campaigns.errors import Conflict, Forbidden
from campaigns.missions import Link, Mission, Phone, Referral, Repeat, StepKind, StepPlan, merged_referrals
from campaigns.missions.acts import hold_membership
from campaigns.missions.models import Membership, StepCompletion
from campaigns.participants import Participant
from campaigns.planning import Campaign
from campaigns.scans import Position
from campaigns.storage import Database, store
from tests.campaigns.test_reversal import void
from tests.campaigns.test_steps import show, witness
from tests.factories import NOON, make_mission
from tests.racing import PATIENCE_S, race
from tests.scene import FAR, INSIDE, Scene, minutes, set_scene

STEPS = [StepPlan(StepKind.SCAN, 1, Repeat.DAILY), StepPlan(StepKind.REFERRAL, 1, 2, points=5)]
HERS, HIS = Phone(20_000, 1), Phone(20_000, 2)


def someone(scene: Scene) -> Participant:
    return newcomer(scene)[0]


def newcomer(scene: Scene) -> tuple[Participant, str]:
    with scene.database.transaction() as session:
        return participants.join(session, scene.campaign.organisation_id, language="fr", now=NOON)


def invite(scene: Scene, person: Participant, phone: Phone = HERS, mission: Mission | None = None) -> str:
    with scene.database.transaction() as session:
        campaign = session.get_one(Campaign, scene.campaign.id)
        return missions.invite(session, mission or scene.mission, campaign, person, phone, now=NOON)


def come(
    scene: Scene,
    person: Participant,
    code: str,
    phone: Phone = HIS,
    mission: Mission | None = None,
    *,
    objected: bool = False,
    at: float = 0,
) -> Referral | None:
    """A first act by a link: taking part."""
    mission = mission or scene.mission
    with scene.database.transaction() as session:
        campaign = session.get_one(Campaign, scene.campaign.id)
        found = missions.claim(session, mission, campaign, person, Link(code, phone, objected), now=minutes(at))
        missions.take_part(session, mission, person, phase="live", now=minutes(at))
        return found


def visit(scene: Scene, cookie: str, at: float = 1, key: int = 7, position: Position | None = INSIDE) -> str:
    row = scene.scan(at=minutes(at), visitor_key=key)
    scene.check_in(row, cookie=cookie, position=position, now=minutes(at))
    scene.drain(now=minutes(at))
    return row.id


def states(scene: Scene) -> list[str]:
    with scene.database.snapshot() as session:
        return sorted(session.exec(select(Referral.state)))


def points(scene: Scene, person: Participant) -> int:
    with scene.database.snapshot() as session:
        rows = session.exec(select(StepCompletion).where(StepCompletion.participant_id == person.id)).all()
    return sum(row.points for row in rows if row.state == "verified")


def brought(scene: Scene, referrer: Participant, code: str, key: int = 7, at: float = 1) -> str:
    """A newcomer by a link who visits the shop; the scan."""
    person, cookie = newcomer(scene)
    come(scene, person, code)
    return visit(scene, cookie, at, key)


def test_a_referral_counts_once_the_newcomer_came_to_the_shop(database: Database) -> None:
    scene = set_scene(database, steps=STEPS)
    her, (him, cookie) = someone(scene), newcomer(scene)
    code = invite(scene, her)
    assert come(scene, him, code) is not None
    assert (states(scene), points(scene, her)) == (["claimed"], 0)
    for at, nowhere in ((1, None), (70, FAR)):  # without proof, and held for review
        visit(scene, cookie, at, position=nowhere)
        assert states(scene) == ["claimed"]
    visit(scene, cookie, 140)
    visit(scene, cookie, 220)
    assert (states(scene), points(scene, her)) == (["rewarded"], 5)
    with database.snapshot() as session:
        told = missions.word_of_mouth(session, scene.mission.id)
        assert missions.came_by(session, scene.mission, her.id, phase="live")["rewarded"] == 1
    assert (told.people, told.brought, told.k_factor, told.formula) == (2, 1, None, "k_factor/1")
    assert scene.problems() == []


def test_the_k_factor_is_new_people_brought_a_person_and_hidden_below_five(database: Database) -> None:
    scene = set_scene(database, steps=STEPS)
    code = invite(scene, someone(scene))
    for number in range(3):
        brought(scene, her := someone(scene), code, key=number + 10, at=number + 1)
    with database.snapshot() as session:
        assert missions.word_of_mouth(session, scene.mission.id).k_factor is None
    come(scene, her, "NOBODY2345")
    with database.snapshot() as session:
        told = missions.word_of_mouth(session, scene.mission.id)
    assert (told.people, told.brought, told.k_factor) == (5, 3, 0.6)
    assert states(scene) == ["qualified", "rewarded", "rewarded"]  # the step counts twice


def test_an_act_the_shop_witnessed_is_on_site_too(database: Database) -> None:
    scene = set_scene(database, steps=[StepPlan(StepKind.STAFF_VALIDATED), StepPlan(StepKind.REFERRAL, 3)])
    her, (him, cookie) = someone(scene), newcomer(scene)
    come(scene, him, invite(scene, her))
    visit(scene, cookie)
    assert states(scene) == ["claimed"]
    witness(scene, show(scene, him, step=0).code)
    scene.drain()
    assert states(scene) == ["rewarded"]
    assert scene.problems() == []


def test_of_racing_links_one_becomes_the_referrer(database: Database) -> None:
    scene = set_scene(database, steps=STEPS)
    codes = [invite(scene, someone(scene)) for _ in range(6)]
    him = someone(scene)
    outcomes = race(6, lambda number: come(scene, him, codes[number]))
    assert not [one for one in outcomes if isinstance(one, Exception)], outcomes
    assert len([one for one in outcomes if one is not None]) == 1
    assert states(scene) == ["claimed"]


def test_of_two_who_bring_one_another_at_once_one_does(database: Database) -> None:
    scene = set_scene(database, steps=STEPS)
    with database.transaction() as session:
        other = make_mission(session, session.get_one(Campaign, scene.campaign.id), steps=STEPS)
    her, him = someone(scene), someone(scene)
    hers, his = invite(scene, her), invite(scene, him, mission=other)
    acts = [lambda: come(scene, him, hers), lambda: come(scene, her, his, mission=other)]
    outcomes = race(2, lambda number: acts[number]())
    assert not [one for one in outcomes if isinstance(one, Exception)], outcomes
    assert len([one for one in outcomes if one is not None]) == 1


@pytest.mark.parametrize("same", ["referrer", "pair", "newcomer"])
def test_the_database_refuses_oneself_a_loop_of_two_and_a_second_referrer(database: Database, same: str) -> None:
    scene = set_scene(database, steps=STEPS)
    her, him, third = (someone(scene).id for _ in range(3))
    with database.snapshot() as session:
        step = missions.steps_of(session, scene.mission.id)[1].id

    def bring(referrer: UUID, who: UUID) -> None:
        with database.transaction() as session:
            store(
                session,
                Referral,
                id=uuid4(),
                mission_id=scene.mission.id,
                step_id=step,
                referrer_id=referrer,
                newcomer_id=who,
                pair="".join(sorted((referrer.hex, who.hex))),
                phase="live",
                state="claimed",
                claimed_at=NOON,
            )

    bring(her, him)
    with pytest.raises(IntegrityError):
        bring(*{"referrer": (third, third), "pair": (him, her), "newcomer": (third, him)}[same])


def test_nobody_is_brought_by_themselves_by_nobody_or_who_was_there_before(database: Database) -> None:
    scene = set_scene(database, steps=STEPS)
    her = someone(scene)
    code = invite(scene, her)
    assert come(scene, her, code) is None
    assert come(scene, someone(scene), "NOBODY2345") is None
    member = someone(scene)
    assert come(scene, member, "") is None
    assert come(scene, member, code) is None
    assert states(scene) == []


def test_who_objects_or_is_under_15_is_linked_to_nobody(database: Database) -> None:
    scene = set_scene(database, steps=STEPS)
    code = invite(scene, someone(scene))
    assert come(scene, someone(scene), code, objected=True) is None
    young = someone(scene)
    with database.transaction() as session:
        young = participants.declare_age(session, young, is_under_15=True, now=NOON)
    assert come(scene, young, code) is None
    with pytest.raises(Forbidden):
        invite(scene, young)
    assert states(scene) == []


def test_a_mission_without_the_step_keeps_no_link(database: Database) -> None:
    scene = set_scene(database)
    with pytest.raises(Conflict):
        invite(scene, someone(scene))


def test_the_referrers_own_phone_of_the_day_brings_nobody(database: Database) -> None:
    scene = set_scene(database, steps=STEPS)
    her, (him, cookie) = someone(scene), newcomer(scene)
    code = invite(scene, her)
    blocked = come(scene, him, code, HERS)
    assert blocked is not None
    assert (blocked.state, blocked.reason) == ("blocked", "same_phone")
    visit(scene, cookie)
    assert (states(scene), points(scene, her)) == (["blocked"], 0)
    come(scene, someone(scene), code, Phone(HERS.day + 1, HERS.key))
    assert states(scene) == ["blocked", "claimed"]


def test_a_phone_that_checked_in_as_the_referrer_that_day_brings_nobody(database: Database) -> None:
    scene = set_scene(database, steps=STEPS)
    her, hers = newcomer(scene)
    visit(scene, hers, 0, key=5)
    him, cookie = newcomer(scene)
    come(scene, him, invite(scene, her))
    visit(scene, cookie, 20, key=5)
    assert (states(scene), points(scene, her)) == (["blocked"], 0)
    with database.snapshot() as session:
        assert missions.blocked_by(session, scene.mission.id, phase="live") == {"same_phone": 1}


def test_a_voided_visit_undoes_the_referral_and_another_one_keeps_it(database: Database) -> None:
    scene = set_scene(database, steps=[STEPS[0], StepPlan(StepKind.REFERRAL, 1, points=5)])
    her, (him, cookie) = someone(scene), newcomer(scene)
    come(scene, him, invite(scene, her))
    first, second = visit(scene, cookie), visit(scene, cookie, 90)
    assert ("referral", "kept") in effects(scene, first)
    assert (states(scene), points(scene, her)) == (["rewarded"], 5)
    assert {("referral", "reversed"), ("completion", "reversed")} <= effects(scene, second)
    assert (states(scene), points(scene, her)) == (["claimed"], 0)
    assert scene.counters()["referrals"] == 0
    visit(scene, cookie, 200)
    assert (states(scene), points(scene, her)) == (["rewarded"], 5)
    assert scene.problems() == []


def test_another_newcomer_of_theirs_keeps_the_step_of_a_referrer(database: Database) -> None:
    scene = set_scene(database, steps=[STEPS[0], StepPlan(StepKind.REFERRAL, 1, points=5)])
    her = someone(scene)
    code = invite(scene, her)
    first = brought(scene, her, code, key=21)
    brought(scene, her, code, key=22, at=2)
    assert states(scene) == ["qualified", "rewarded"]
    assert {("referral", "reversed"), ("completion", "kept")} <= effects(scene, first)
    assert (states(scene), points(scene, her)) == (["claimed", "rewarded"], 5)
    assert scene.problems() == []


def effects(scene: Scene, scan_id: str) -> set[tuple[str, str]]:
    return set(void(scene, scan_id, now=minutes(300)))


def test_of_racing_judges_one_qualifies_a_referral(database: Database) -> None:
    scene = set_scene(database, steps=STEPS)
    her, (him, cookie) = someone(scene), newcomer(scene)
    referral = come(scene, him, invite(scene, her))
    assert referral is not None
    scene.check_in(scene.scan(at=minutes(1), visitor_key=7), cookie=cookie, position=INSIDE, now=minutes(1))

    def qualify(_: int) -> None:
        with database.transaction() as session:
            missions.referrals.qualify(session, referral.id, now=minutes(2))

    assert race(8, qualify) == [None] * 8
    assert scene.counters()["referrals"] == 1
    assert points(scene, her) == 5


def test_who_brought_somebody_and_acts_at_that_moment_completes_the_mission(database: Database) -> None:
    """Each act closes one of two steps: the second to come must see what the first did."""
    scene = set_scene(database, steps=[StepPlan(StepKind.SCAN, 1), StepPlan(StepKind.REFERRAL, 1)])
    (her, hers), (him, his) = newcomer(scene), newcomer(scene)
    referral = come(scene, him, invite(scene, her))
    assert referral is not None
    scene.check_in(scene.scan(visitor_key=7), cookie=his, position=INSIDE)
    row = scene.scan(visitor_key=8)
    acting = Thread(target=lambda: scene.check_in(row, cookie=hers, position=INSIDE), daemon=True)
    with database.transaction() as session:
        missions.referrals.qualify(session, referral.id, now=NOON)
        acting.start()
        acting.join(timeout=0.5)  # it waits for hers
    acting.join(timeout=PATIENCE_S)
    with database.snapshot() as session:
        assert session.get_one(Membership, (scene.mission.id, her.id, "live")).completed_at == NOON
    assert scene.problems() == []


def test_erasing_either_changes_no_total_and_a_late_visit_counts_for_nobody(database: Database) -> None:
    scene = set_scene(database, steps=STEPS)
    her, (him, cookie), late = someone(scene), newcomer(scene), newcomer(scene)
    code = invite(scene, her)
    come(scene, him, code)
    come(scene, late[0], code)
    visit(scene, cookie)
    before = scene.counters()
    for person in (her, him):
        with database.erasing() as session:
            privacy.erase(session, person.id, note=lambda *_: None, now=minutes(5))
    assert scene.counters() == before
    visit(scene, late[1], 30, key=9)
    assert states(scene) == ["qualified", "rewarded"]
    assert scene.counters()["referrals"] == 2
    with database.snapshot() as session:
        rows = session.exec(select(Referral)).all()
        assert not {her.id, him.id} & {id for row in rows for id in (row.referrer_id, row.newcomer_id)}
        assert not [row.pair for row in rows if her.id.hex in row.pair or him.id.hex in row.pair]
    assert scene.problems() == []


def test_a_referral_of_the_past_is_not_qualified_by_a_visit_before_it(database: Database) -> None:
    scene = set_scene(database, steps=STEPS, campaign={"now": NOON - timedelta(days=1)})
    her, (him, cookie) = someone(scene), newcomer(scene)
    visit(scene, cookie, -60)
    assert come(scene, him, invite(scene, her)) is None  # who visited is a member
    assert states(scene) == []


def merge(scene: Scene, older: Participant, newer: Participant, *, reverses: bool = False) -> int:
    """Two names of one person become one, as far as word of mouth goes."""
    with scene.database.transaction() as session:
        for mission_id, person_id, phase in sorted(merged_referrals.touching(session, (older.id, newer.id))):
            hold_membership(session, mission_id, person_id, phase)
        gone = merged_referrals.merge(session, older=older.id, newer=newer.id)
        for row in session.exec(select(StepCompletion).where(StepCompletion.participant_id == newer.id)):
            row.participant_id, row.period = older.id, f"{row.period} of the newer"
            row.state = "reversed" if reverses else row.state
            session.add(row)
        session.flush()
        merged_referrals.settle(session, older.id)
    return gone


def test_of_two_names_that_brought_one_another_or_had_a_referrer_each_one_referral_stays(database: Database) -> None:
    scene = set_scene(database, steps=STEPS)
    her, (alias, cookie), third = someone(scene), newcomer(scene), someone(scene)
    code, thirds = invite(scene, her), invite(scene, third)
    come(scene, alias, code)
    visit(scene, cookie, 1, key=31)
    him, his = newcomer(scene)
    come(scene, him, thirds)
    visit(scene, his, 2, key=32)
    assert (states(scene), scene.counters()["referrals"]) == (["rewarded", "rewarded"], 2)
    assert merge(scene, her, alias) == 1  # nobody is brought by themselves
    assert (states(scene), points(scene, her), scene.counters()["referrals"]) == (["rewarded"], 0, 1)
    other, others = newcomer(scene)
    come(scene, other, code, at=3)
    visit(scene, others, 3, key=33)
    assert merge(scene, him, other) == 1  # the third brought him first
    assert (states(scene), points(scene, third), points(scene, her)) == (["rewarded"], 5, 0)
    assert scene.problems() == []


def test_whom_two_names_brought_one_name_has_brought(database: Database) -> None:
    scene = set_scene(database, steps=STEPS)
    her, alias = someone(scene), someone(scene)
    brought(scene, her, invite(scene, her), key=41)
    brought(scene, alias, invite(scene, alias), key=42, at=2)
    assert merge(scene, her, alias) == 0
    assert (states(scene), points(scene, her)) == (["rewarded", "rewarded"], 10)
    with database.snapshot() as session:
        assert missions.came_by(session, scene.mission, her.id, phase="live")["rewarded"] == 2
        assert all(len(row.pair) == 64 and her.id.hex in row.pair for row in session.exec(select(Referral)))
    assert scene.problems() == []


def test_a_ring_that_two_names_hid_is_opened(database: Database) -> None:
    scene = set_scene(database, steps=STEPS)
    her, him, alias = someone(scene), someone(scene), someone(scene)
    come(scene, him, invite(scene, her))
    come(scene, alias, invite(scene, him), at=1)
    assert merge(scene, her, alias) == 1
    with database.snapshot() as session:
        (row,) = session.exec(select(Referral)).all()
    assert (row.referrer_id, row.newcomer_id) == (her.id, him.id)


def test_a_referral_whose_step_a_merge_reversed_did_none(database: Database) -> None:
    scene = set_scene(database, steps=STEPS)
    her, alias = someone(scene), someone(scene)
    brought(scene, her, invite(scene, her), key=51)
    brought(scene, alias, invite(scene, alias), key=52, at=2)
    assert merge(scene, her, alias, reverses=True) == 0
    assert (states(scene), points(scene, her)) == (["qualified", "rewarded"], 5)
