"""The demo's three stories beside its shops' scans: a vote among visitors, a trail for two, a mission of the team.

Each begins with a template of `campaigns/templates`, set in the demo's own shops.
"""

import random
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import resources
from itertools import count
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from sqlmodel import Session, select

from campaigns import blueprint, clock, community, missions, participants, planning, tokens
from campaigns.blueprint import Blueprint
from campaigns.community import RoundPlan, Totals
from campaigns.community.models import Electorate
from campaigns.missions import Mission, StepKind
from campaigns.participants import Participant
from campaigns.planning import Campaign
from campaigns.tokens import Token
from campaigns.tokens.directory import Directory, Entry

TRAIL = ("bellecour", "vieux-lyon", "croix-rousse", "part-dieu", "brotteaux")
TEAM = {"north": "croix-rousse", "centre": "bellecour", "south": "gerland"}
TEAM_SIZE = 8
SINCE = timedelta(days=12)  # of trail and pilot
BETWEEN_STOPS = timedelta(minutes=9)
DONE = 0.55  # of those who set out and reach the last stop


class Stop(NamedTuple):
    """A visit that somebody will make."""

    entry: Entry
    at: datetime
    is_last: bool


@dataclass(frozen=True)
class Story:
    """A mission with its codes, in the order in which its places are named."""

    campaign_id: UUID
    slug: str
    entries: list[Entry]

    def mission(self, session: Session) -> tuple[Campaign, Mission]:
        """Its campaign and mission as they are."""
        campaign = session.get_one(Campaign, self.campaign_id)
        return campaign, missions.list_missions(session, campaign.id)[0]


@dataclass(frozen=True)
class Stories:
    """What was made: the trail, the team's pilot with the cookies of its people, and a link for one more of them."""

    trail: Story
    team: Story
    cookies: list[str]
    team_link: str


def plan_vote(session: Session, mission: Mission, *, began_at: datetime, now: datetime) -> None:
    """A round that is open: three votes each, for who was verified in a shop while it is."""
    plan = RoundPlan(
        opens_at=began_at + timedelta(days=8),
        closes_at=now + timedelta(days=9),
        quota=3,
        min_presence=1,
        electorate=Electorate.VISITORS,
        totals=Totals.SHOWN,
    )
    community.plan_round(session, mission, plan, now=began_at)


def tell_stories(session: Session, organisation_id: UUID, shops: dict[str, dict[str, Any]], now: datetime) -> Stories:
    """Make the trail and the team's pilot in these shops, by their external id, some days before `now`."""
    since = clock.start_of_day(now - SINCE, "Europe/Paris")
    trail = _template("trail", {old: shops[new] for old, new in zip(_places_of("trail"), TRAIL, strict=True)})
    team = _template("employees", {old: shops[new] for old, new in TEAM.items()})
    walk = _apply(session, organisation_id, trail, since)
    campaign, _ = walk.mission(session)
    planning.launch(session, campaign, tokens.launch_facts(session, campaign.id, missions=1), now=since)
    office = _apply(session, organisation_id, team, since)
    campaign, _ = office.mission(session)
    planning.start_pilot(session, campaign, now=since)
    link, _ = participants.issue_cohort_link(
        session, organisation_id, max_uses=TEAM_SIZE, label="Équipe", expires_at=since + timedelta(days=60), now=since
    )
    cookies = []
    for _ in range(TEAM_SIZE):
        person, cookie = participants.join(session, organisation_id, language="fr", now=since)
        participants.enter_cohort(session, link, person, now=since)
        cookies.append(cookie)
    _, secret = participants.issue_cohort_link(session, organisation_id, max_uses=20, label="Démo", now=now)
    return Stories(_opened(session, walk, trail), _opened(session, office, team), cookies, secret)


def walk_of(chance: random.Random, entries: Sequence[Entry], start: datetime) -> Iterator[Stop]:
    """One person's way along these places, from some moment of the afternoon on; not everybody reaches the end."""
    at = start + timedelta(hours=14, minutes=chance.randrange(200))
    stops = len(entries) if chance.random() < DONE else chance.randrange(1, len(entries))
    for number, entry in enumerate(entries[:stops], 1):
        yield Stop(entry, at, number == stops)
        at += BETWEEN_STOPS + timedelta(seconds=chance.randrange(240))


def meet(session: Session, story: Story, pair: Sequence[Participant], now: datetime) -> None:
    """Two friends name one another, as their phones would."""
    campaign, mission = story.mission(session)
    step = missions.require_step(session, mission, StepKind.BRING_FRIEND)
    codes = [missions.show_code(session, mission, campaign, step, one, now=now).code for one in pair]
    for one, code in zip(pair, reversed(codes), strict=True):
        missions.name_friend(session, mission, campaign, step, one, code, now=now)


_told = count()


def work(session: Session, story: Story, entry: Entry, person: Participant, now: datetime) -> None:
    """Somebody of the team at the end of their way: the shop confirms the hour, another system the training."""
    campaign, mission = story.mission(session)
    assert entry.place is not None  # noqa: S101  # the team's codes all stand in a place
    step = missions.require_step(session, mission, StepKind.STAFF_VALIDATED)
    code = missions.show_code(session, mission, campaign, step, person, now=now)
    missions.validate(session, entry.place, uuid4(), code.code, now=now)
    name = missions.public_code(session, mission, person, now=now)
    missions.tell(session, mission, campaign, code=name, external_id=f"module-{next(_told)}", now=now)


def _places_of(name: str) -> list[str]:
    return [one["external_id"] for one in _read(name)["places"]]


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((resources.files("campaigns") / "templates" / f"{name}.toml").read_text(encoding="utf-8"))


def _template(name: str, places: dict[str, dict[str, Any]]) -> Blueprint:
    """A template with its places replaced by these."""
    plan = _read(name)
    plan["places"] = list(places.values())
    for step in plan["mission"]["steps"]:
        named = step.get("params", {}).get("places")
        if named:
            step["params"]["places"] = [places[one]["external_id"] for one in named]
    return Blueprint.model_validate(plan)


def _apply(session: Session, organisation_id: UUID, plan: Blueprint, now: datetime) -> Story:
    done = blueprint.apply(session, organisation_id, plan, geocode=None, now=now)
    assert done.campaign_id is not None  # noqa: S101  # apply sets it
    mission = missions.list_missions(session, done.campaign_id)[0]
    return Story(done.campaign_id, mission.slug, [])


def _opened(session: Session, story: Story, plan: Blueprint) -> Story:
    """The story with its codes, in the order of its file's places."""
    session.flush()
    issued = session.exec(select(Token).where(Token.campaign_id == story.campaign_id)).all()
    codes = {one.external_id: one.code for one in issued}
    names = [f"{plan.tokens[0].channel}-{place.external_id}-qr" for place in plan.places]
    directory = Directory()
    entries = [entry for name in names if (entry := directory.load(session, codes[name]))]
    return Story(story.campaign_id, story.slug, entries)
