"""The funnel: whatever it says of people equals a naive recount of the same history, on both databases."""

import os
from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import update
from sqlmodel import col, select

from campaigns import ids, missions, participants, reversals, rewards, scans, stats
from campaigns.community import Idea
from campaigns.identity import Organisation
from campaigns.missions import Membership
from campaigns.missions.models import Step, StepCompletion
from campaigns.participants import Cohort, Participant
from campaigns.rewards import OfferPlan, OncePer, Unlock, Want
from campaigns.rewards.models import Coupon, Offer
from campaigns.scans import CheckIn, Scan
from campaigns.stats import Asked
from campaigns.stats import people as ways
from campaigns.storage import Database
from tests.factories import make_campaign, make_entry, make_mission, make_place, make_token
from tests.machines import SOAK
from tests.scene import INSIDE, Scene, set_scene

ZONES = ("Europe/Paris", "America/New_York", "Asia/Kolkata")
# Around both changes of the clock in Paris and New York, and over a new year's week.
STARTS = tuple(datetime(*day, tzinfo=UTC) for day in ((2026, 10, 24, 20), (2026, 12, 31, 17), (2027, 3, 27, 20)))
LATER = datetime(2027, 4, 20, tzinfo=UTC)
LEAST = 5

histories = st.tuples(
    st.sampled_from(ZONES),
    st.lists(
        st.tuples(
            st.integers(0, 11),  # the person
            st.integers(0, 2),  # the code
            st.integers(0, 2),  # the season
            st.integers(0, 16 * 24 * 60),  # minutes after its start
            st.sampled_from(["visit"] * 6 + ["idea", "idea", "join", "coupon", "redeemed", "revoked", "void", "pilot"]),
        ),
        min_size=10,
        max_size=60,
    ),
)


@dataclass
class World:
    """A campaign of its own in a zone: codes at three places, twelve people of whom three are insiders."""

    scene: Scene
    codes: list[Scene]
    people: list[Participant]
    cookies: list[str]
    offer: Offer

    def act(self, number: int, who: int, code: int, at: datetime, what: str) -> None:
        scene, person = self.codes[code], self.people[who]
        if what in ("visit", "void", "pilot"):
            self.visit(scene, who, at, what)
        elif what == "idea":
            scene.post_idea(person, client_id=str(number), now=at)
        elif what == "join":
            with scene.database.transaction() as session:
                missions.take_part(session, scene.mission, person, phase="live", now=at)
        else:
            self.coupon(person, at, what)

    def visit(self, scene: Scene, who: int, at: datetime, what: str) -> None:
        row = scene.scan(at=at, visitor_key=who << 40 | int(at.timestamp()) // 86400)
        position = INSIDE if scene.entry.place else None
        done = scene.check_in(row, now=at, cookie=self.cookies[who], position=position)
        with scene.database.between_rounds() as session:
            if what == "void":
                scan = session.exec(select(Scan).where(Scan.id == UUID(row.id))).one()
                reversals.void_scan(
                    session, self.offer.organisation_id, scan, reason="A test", ballot_secret=lambda _: b"", now=at
                )
            if what == "pilot":  # no act of a live campaign is one: its row is made to be
                made = session.get_one(CheckIn, done.check_in.id)
                made.phase = "pilot"
                session.flush()
                scans.note_way(session, scene.campaign.id, made.participant_id)

    def coupon(self, person: Participant, at: datetime, what: str) -> None:
        with self.scene.database.transaction() as session:
            want = Want(self.offer.id, person.id, ids.uuid7_at(at), "live")
            (coupon,) = rewards.issue(session, [want], now=at)
            values: dict[str, Any] = {"coupon": {}, "redeemed": {"state": "redeemed", "redeemed_at": at + HOUR}}.get(
                what, {"state": "revoked", "ended_at": at, "reason": "A test"}
            )
            if values:
                session.execute(update(Coupon).where(col(Coupon.id) == coupon.id).values(**values))


HOUR = timedelta(hours=1)


def world_of(scene: Scene, zone: str) -> World:
    before = STARTS[0] - timedelta(days=9)
    with scene.database.transaction() as session:
        organisation = session.get_one(Organisation, scene.campaign.organisation_id)
        campaign = make_campaign(session, organisation, time_zone=zone, now=before)
        mission = make_mission(session, campaign)
        joined = [participants.join(session, organisation.id, language="fr", now=before) for _ in range(12)]
        for person, _ in joined[:3]:
            session.get_one(Participant, person.id).cohort = Cohort.EMPLOYEE
        plan = OfferPlan({"": "Pears"}, 1000, Unlock.STAFF, once_per=OncePer.ACT)
        offer = rewards.make_offer(session, campaign, plan, now=before)
        codes = []
        for where in ZONES:
            place = make_place(session, organisation, name=where, time_zone=where)
            token = make_token(session, campaign, place, random_bytes=os.urandom)
            entry = make_entry(session, token)
            codes.append(replace(scene, campaign=campaign, mission=mission, token=token, entry=entry))
    return World(codes[0], codes, [person for person, _ in joined], [cookie for _, cookie in joined], offer)


# The naive recount ------------------------------------------------------------------------------------------------


@dataclass
class Person:
    first: CheckIn
    steps: dict[str, datetime]
    acts: list[datetime]


def recount(world: World) -> dict[UUID, Person]:
    """Everybody with a counted check-in: it, when they came how far, and all their acts."""
    campaign = world.scene.campaign
    found: dict[UUID, Person] = {}
    with world.scene.database.snapshot() as session:
        for row in session.exec(select(CheckIn).where(CheckIn.campaign_id == campaign.id).order_by(col(CheckIn.id))):
            if row.counted and row.phase == "live":
                person = found.setdefault(row.participant_id, Person(row, {}, []))
                person.steps.setdefault("check_in", row.checked_in_at)
                person.acts.append(row.checked_in_at)
        online = [(one.participant_id, one.created_at) for one in session.exec(select(Idea)) if one.phase == "live"]
        steps = {one.id: one.mode for one in session.exec(select(Step))}
        online += [
            (one.participant_id, one.completed_at)
            for one in session.exec(select(StepCompletion))
            if steps[one.step_id] == "online" and one.phase == "live" and one.state == "verified"
        ]
        for id, at in online:
            if id in found:
                found[id].acts.append(at)
                if at >= found[id].steps["check_in"]:
                    note(found[id], "online_act", at)
        for member in session.exec(select(Membership)):
            if member.participant_id in found and member.phase == "live":
                note(found[member.participant_id], "join", member.joined_at)
        for coupon in session.exec(select(Coupon)):
            if coupon.participant_id in found and coupon.state != "revoked":
                note(found[coupon.participant_id], "coupon", coupon.issued_at)
                if coupon.redeemed_at:
                    note(found[coupon.participant_id], "redemption", coupon.redeemed_at)
    return found


def note(person: Person, step: str, at: datetime) -> None:
    person.steps[step] = min(at, person.steps.get(step, at))


def check_steps(steps: list[stats.Reached], people: list[Person], *, is_shown: bool, is_timed: bool) -> None:
    before = "check_in"
    for one in steps[3:-1]:
        if not is_shown:
            assert (one.number, one.from_before, one.median_s) == (None, None, None)
            continue
        did = [person for person in people if one.step in person.steps]
        assert one.number == len(did), one
        assert one.from_before == len([person for person in did if before in person.steps]), one
        if is_timed and one.step != "check_in":
            gaps = sorted(
                (person.steps[one.step] - person.steps[before]).total_seconds()
                for person in did
                if before in person.steps and person.steps[one.step] >= person.steps[before]
            )
            assert one.timed == len(gaps)
            assert one.median_s == (round(gaps[len(gaps) // 2]) if len(gaps) >= LEAST else None)
            assert one.p90_s == (round(gaps[int(len(gaps) * 0.9)]) if len(gaps) >= LEAST else None)
        before = one.step


def monday_of(at: datetime, zone: str) -> date:
    day = at.astimezone(ZoneInfo(zone)).date()
    return day - timedelta(days=day.weekday())


def check_cohorts(cohorts: list[stats.Cohort], people: list[Person], zone: str) -> None:
    won: dict[date, list[Person]] = defaultdict(list)
    for person in people:
        won[monday_of(person.first.checked_in_at, zone)].append(person)
    assert {date.fromisoformat(one.week) for one in cohorts} >= won.keys()
    for one in cohorts:
        week = date.fromisoformat(one.week)
        if 0 < len(won[week]) < LEAST:
            assert (one.people, one.active) == (None, None)
            continue
        weeks = range((monday_of(LATER, zone) - week).days // 7 + 1)
        active = [
            sum(any(monday_of(at, zone) == week + timedelta(days=7 * later) for at in each.acts) for each in won[week])
            for later in weeks
        ]
        assert (one.people, one.active) == (len(won[week]), active)


def key_of(by: str, first: CheckIn) -> str:
    if by == "token":
        return ids.show("tok", first.token_id)
    return ids.show("plc", first.place_id) if first.place_id else ""


_scenes: dict[str, Scene] = {}  # by database: each example has a campaign of its own there


@settings(
    max_examples=8 if SOAK else 4, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(history=histories)
def test_every_number_of_people_equals_a_recount_of_the_history(database: Database, history: Any) -> None:
    with database.snapshot() as session:
        is_new = session.exec(select(Organisation)).first() is None
    if is_new:
        _scenes[database.url] = set_scene(database)
    zone, log = history
    world = world_of(_scenes[database.url], zone)
    for number, (who, code, season, minute, what) in enumerate(sorted(log, key=lambda one: (one[2], one[3]))):
        world.act(number, who, code, STARTS[season] + timedelta(minutes=minute), what)
    world.scene.drain(now=LATER)
    with database.snapshot() as session:
        assert scans.recount(session) == []
    people = list(recount(world).values())
    campaign = world.scene.campaign
    midnight = datetime(2026, 10, 25, tzinfo=ZoneInfo(zone))
    for asked in (
        Asked(),
        Asked(midnight, midnight + timedelta(days=2)),
        Asked(midnight - timedelta(days=1), midnight + timedelta(days=80)),
        Asked(where={"place": place_of(world)}),
        Asked(where={"token": ids.show("tok", world.codes[2].token.id)}),
    ):
        of_it = [one for one in people if is_asked(asked, one.first)]
        for by in (None, next(iter(asked.where), "place"), next(iter(asked.where), "token")):
            with database.moment() as session:
                found = stats.funnel(session, campaign, asked, can_measure=True, by=by, now=LATER)
            assert found.people == found.sampled == len(of_it), asked
            is_shown = stats.is_whole(asked) or not 0 < len(of_it) < LEAST
            check_steps(found.steps, of_it, is_shown=is_shown, is_timed=True)
            check_cohorts(found.cohorts, of_it, zone)
            for key, steps in found.groups.items():
                some = [one for one in of_it if key_of(by or "", one.first) == key]
                check_steps(steps, some, is_shown=not 0 < len(some) < LEAST, is_timed=False)
            assert {key_of(by, one.first) for one in of_it} <= found.groups.keys() if by else not found.groups
            assert [one.lost for one in found.drop_offs] == sorted((one.lost for one in found.drop_offs), reverse=True)
    crossed = len([one for one in people if "online_act" in one.steps])
    with database.moment() as session:
        rate = stats.bridge_rate(session, campaign.id)
    assert rate == (round(crossed / len(people), 4) if people else None)


def place_of(world: World) -> str:
    assert world.codes[0].entry.place is not None
    return ids.show("plc", world.codes[0].entry.place.id)


def is_asked(asked: Asked, first: CheckIn) -> bool:
    if asked.since and asked.until and not asked.since <= first.checked_in_at < asked.until:
        return False
    return all(key_of(name, first) == value for name, value in asked.where.items())


def test_a_sample_is_drawn_by_chance_and_told(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways, "SAMPLE", 40)
    scene = set_scene(database)
    world = world_of(scene, ZONES[0])
    with database.transaction() as session:
        brand = scene.campaign.organisation_id
        more = [participants.join(session, brand, language="fr", now=STARTS[0]) for _ in range(150)]
    world.people += [person for person, _ in more]
    world.cookies += [cookie for _, cookie in more]
    for who in range(160):
        world.visit(world.codes[2], who, STARTS[0] + timedelta(minutes=who), "visit")
    with database.moment() as session:
        found = stats.funnel(session, world.scene.campaign, Asked(), can_measure=True, by=None, now=LATER)
    assert found.people == found.steps[3].number == 160
    assert 15 <= found.sampled <= 70
    assert found.cohorts[0].people == found.sampled
