"""Money in a race: acts against caps, beside voids, posting and releases, from a barrier; on both databases.

Small by default; `PASSERELLE_SOAK=1` (`make soak`) takes 5,000 acts.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from threading import Thread
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event
from sqlmodel import col, select

from campaigns import missions, planning, sponsorship, worker
from campaigns.errors import Conflict
from campaigns.identity import Organisation
from campaigns.missions import Repeat, StepKind, StepPlan
from campaigns.missions.models import CompletionState, StepCompletion
from campaigns.planning import Campaign
from campaigns.sponsorship import accrual, payouts
from campaigns.sponsorship.models import Accrual, Beneficiary, LastSlice, Pledge
from campaigns.storage import Database
from tests.campaigns.test_payouts import invited
from tests.factories import NOON, make_mission, make_participant
from tests.racing import race
from tests.scene import Scene, set_scene
from tests.sponsors import accruals, book, make_cause, pledged, standing, turn_campaign

ACTS = 5000 if os.environ.get("PASSERELLE_SOAK") else 60
PATIENCE_S = 60 + ACTS * 0.3  # on a machine that has other things to do as well
CLIENTS = 12
CROSSINGS = 12  # without one order of payouts most of them end in a deadlock
WITNESSED = [StepPlan(StepKind.STAFF_VALIDATED, 0, Repeat.DAILY)]


def act(scene: Scene) -> UUID:
    """Somebody new does an act that a shop witnessed, in a transaction of its own; its completion."""
    with scene.database.transaction() as session:
        person = make_participant(session, session.get_one(Organisation, scene.mission.organisation_id))
        step = missions.steps_of(session, scene.mission.id)[0]
        missions.take_part(session, scene.mission, person, phase="live", now=NOON)
        missions.complete(
            session,
            scene.mission,
            step,
            person,
            period="2026-10-14",
            presence=3,
            phase="live",
            source_id=uuid4(),
            state=CompletionState.VERIFIED,
            now=NOON,
        )
        mine = select(StepCompletion.id).where(StepCompletion.participant_id == person.id)
        return session.exec(mine).one()


def test_who_reckons_many_acts_holds_all_their_people_before_the_first_pledge(
    postgres_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A merge holds people, then pledges: who held a pledge and waited for people would wait for ever."""
    monkeypatch.setattr(accrual, "ACTS_AT_ONCE", 1)
    scene = set_scene(postgres_database, steps=WITNESSED)
    pledge = pledged(postgres_database, scene.mission)
    done = [act(scene) for _ in range(3)]
    held: list[str] = []

    def hear(_: object, __: object, sql: str, *___: object) -> None:
        held.extend(name for name in ("participants", "pledges") if f"FROM {name}" in sql and " FOR " in sql)

    event.listen(postgres_database.engine, "before_cursor_execute", hear)
    try:
        with postgres_database.transaction() as session:
            sponsorship.reckon(session, done, now=NOON)
    finally:
        event.remove(postgres_database.engine, "before_cursor_execute", hear)
    assert (held[0], held.count("participants"), set(held)) == ("participants", 1, {"participants", "pledges"})
    assert book(postgres_database, pledge) == {"commitment": -30, "pending": 30}


def spent(pledge: Pledge) -> tuple[int, int]:
    """What a cap is spent to by more acts than it has units, and in how many slices."""
    units, rest = divmod(pledge.cap_minor, pledge.unit_minor)
    pays = pledge.last_slice == LastSlice.PAY_REMAINDER and rest > 0
    return units * pledge.unit_minor + pays * rest, units + pays


@pytest.mark.parametrize("rule", list(LastSlice))
def test_acts_in_a_race_end_exactly_at_the_declared_last_slice(database: Database, rule: LastSlice) -> None:
    """Acts beside the worker, which drains from two threads as two servers would."""
    scene = set_scene(database, steps=WITNESSED)
    cap = 30 * (ACTS // 2) + 17
    pledge = pledged(database, scene.mission, unit_minor=30, cap_minor=cap, last_slice=rule.value)

    def run(index: int) -> None:
        for _ in range(ACTS // (CLIENTS - 2)):
            if index < 2:
                worker.drain(database, now=NOON)
            else:
                act(scene)

    assert race(CLIENTS, run, patience_s=PATIENCE_S) == [None] * CLIENTS
    scene.drain()
    amount, number = spent(pledge)
    assert book(database, pledge) == {"commitment": -amount, "pending": amount}
    assert (standing(database, pledge).state, standing(database, pledge).acts) == ("exhausted", number)
    assert scene.problems() == []


@pytest.mark.parametrize("rule", list(LastSlice))
def test_reckonings_in_a_race_wait_for_the_pledge(database: Database, rule: LastSlice) -> None:
    """Whoever reckons holds the pledge: none fails, and none is paid from room that another saw as well."""
    scene = set_scene(database, steps=WITNESSED)
    pledge = pledged(
        database,
        scene.mission,
        unit_minor=30,
        cap_minor=30 * 6 + 17,
        per_day_cap_minor=30 * 6 + 17,
        last_slice=rule.value,
    )
    done = [act(scene) for _ in range(CLIENTS)]

    def run(index: int) -> None:
        with database.transaction() as session:
            sponsorship.reckon(session, [done[index]], now=NOON)

    assert race(CLIENTS, run) == [None] * CLIENTS
    amount, number = spent(pledge)
    assert book(database, pledge) == {"commitment": -amount, "pending": amount}
    assert len(accruals(database)) == number
    scene.drain()
    assert scene.problems() == []


def test_one_act_reckoned_by_many_at_once_accrues_once(database: Database) -> None:
    scene = set_scene(database, steps=WITNESSED)
    pledge = pledged(database, scene.mission)
    done = act(scene)

    def run(_: int) -> None:
        with database.transaction() as session:
            sponsorship.reckon(session, [done], now=NOON)

    assert race(CLIENTS, run) == [None] * CLIENTS
    assert book(database, pledge) == {"commitment": -10, "pending": 10}


def test_who_pauses_a_campaign_waits_for_what_accrues(database: Database) -> None:
    """So nothing accrues in a campaign that is paused already."""
    scene = set_scene(database, steps=WITNESSED)
    pledged(database, scene.mission)
    done = act(scene)
    pausing = Thread(target=lambda: turn_campaign(database, scene.campaign, planning.pause, now=NOON), daemon=True)
    with database.transaction() as session:
        sponsorship.reckon(session, [done], now=NOON)
        pausing.start()
        pausing.join(timeout=0.5)
        assert pausing.is_alive()
    pausing.join(timeout=PATIENCE_S)
    assert not pausing.is_alive()
    assert scene.problems() == []


def test_voids_beside_accruals_beside_posting_leave_the_books_whole(database: Database) -> None:
    scene = set_scene(database, steps=WITNESSED)
    pledge = pledged(database, scene.mission, unit_minor=30, cap_minor=30 * (ACTS // 3) + 7, review_h=0)

    def void_one(index: int) -> None:
        with database.transaction() as session:
            stands = col(Accrual.state).in_(("pending", "posted"))
            ids = session.exec(select(Accrual.id).where(stands).order_by(col(Accrual.id))).all()
        if ids:
            with database.transaction() as session:
                one, of = sponsorship.accrual_of(session, scene.mission.organisation_id, ids[index % len(ids)])
                sponsorship.void(session, one, of, reason="Fraud", by=uuid4(), now=NOON)

    def release(_: int) -> None:
        with database.transaction() as session:
            sponsorship.release(session, session.get_one(Pledge, pledge.id), now=NOON)

    turns: list[Callable[[int], object]] = [
        lambda _: act(scene),
        lambda _: worker.drain(database, now=NOON),
        void_one,
        lambda _: worker.post_accruals(database, now=NOON),
        lambda _: act(scene),
        release,
    ]

    def run(index: int) -> None:
        for number in range(ACTS // CLIENTS):
            turns[index % len(turns)](index + number)

    outcomes = race(CLIENTS, run, patience_s=PATIENCE_S)
    failed = [one for one in outcomes if one is not None and not isinstance(one, Conflict)]
    assert failed == []
    scene.drain()
    worker.post_accruals(database, now=NOON)
    held = book(database, pledge)
    assert held.keys() <= {"commitment", "due"}
    assert -held["commitment"] == held["due"] <= pledge.cap_minor
    assert scene.problems() == []


def test_voids_of_two_missions_that_meet_in_two_payouts_do_not_wait_for_each_other(database: Database) -> None:
    """Each undoes accruals of two payouts, in the order of its pledges: crosswise, so each holds them all first."""
    first = set_scene(database, steps=WITNESSED)
    with database.transaction() as session:
        campaign = session.get_one(Campaign, first.campaign.id)
        second = make_mission(session, campaign, steps=WITNESSED)
        owner = session.get_one(Organisation, first.mission.organisation_id)
        causes = [make_cause(session, owner.id, name) for name in ("Les Jardins", "La Chorale")]
        maker = invited(session, owner.id, "ana")
    scenes = [first, replace(first, mission=second)]
    for scene, order in zip(scenes, (causes, causes[::-1]), strict=True):
        base = pledged(database, scene.mission, causes=[order[0]], review_h=0, cap_minor=100_000)
        match = {"kind": "match", "matches_id": base.id, "match_percent": 100}
        pledged(database, scene.mission, causes=[order[1]], review_h=0, cap_minor=100_000, **match)
    for _ in range(CROSSINGS):
        done = [act(scene) for scene in scenes]
        first.drain()
        worker.post_accruals(database, now=NOON)
        with database.transaction() as session:
            for cause in causes:
                payouts.propose(session, session.get_one(Beneficiary, cause.id), currency="EUR", by=maker, now=NOON)

        def void_one(index: int, done: list[UUID] = done) -> None:
            with database.transaction() as session:
                query = select(Accrual.id).join(Pledge, col(Pledge.id) == Accrual.pledge_id)
                mine = (Accrual.completion_id == done[index], col(Pledge.matches_id).is_(None))
                id = session.exec(query.where(*mine)).one()
                one, of = sponsorship.accrual_of(session, first.mission.organisation_id, id)
                sponsorship.void(session, one, of, reason="Fraud", by=uuid4(), now=NOON)

        assert race(2, void_one) == [None, None]
    assert first.problems() == []
