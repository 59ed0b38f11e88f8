"""The simulator: thirty days of a campaign written through the domain with a past `now`, and shoppers who arrive live.

It writes no counter, verdict or total itself: scans go through `scans.sight` and the log's writer, check-ins and ideas
through their functions, judgements through the worker's. So `passerelle verify` has something real to recount.
"""

import math
import random
import threading
import tomllib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib import resources
from typing import Any, Protocol
from uuid import UUID

from sqlmodel import Session, select

from campaigns import (
    audit,
    blueprint,
    clock,
    community,
    demo_figures,
    demo_money,
    demo_stories,
    identity,
    ids,
    missions,
    participants,
    planning,
    scans,
    tokens,
)
from campaigns.audit import Author, AuthorKind
from campaigns.blueprint import Blueprint
from campaigns.community import By, IdeaState
from campaigns.demo_figures import Sale
from campaigns.demo_money import Purse
from campaigns.demo_stories import Stories
from campaigns.demo_words import PEOPLE, ROBOTS, idea_text
from campaigns.errors import CampaignError
from campaigns.identity import Role
from campaigns.last_writes import savepoint
from campaigns.missions import CheckedIn
from campaigns.participants import Participant
from campaigns.places import Place, till
from campaigns.planning import Campaign
from campaigns.scans import Judgement, Position, ReceiptBook, SealedFix, Verdict
from campaigns.scans.agents import AgentKind, classify
from campaigns.scans.log import Confirmation, PositionFix, ScanRow, Writer
from campaigns.scans.visitor import VisitorKeys
from campaigns.sponsorship.chain import Chainer
from campaigns.storage import Database
from campaigns.tokens import Token
from campaigns.tokens.directory import Directory, Entry
from campaigns.worker import drain

BRAND = "Maison Tilleul"
DAYS = 30
SCANS = 25_000  # of the whole history, about
QR_SHARE = 0.8  # of a shop's scans; the rest are taps
SILENT = 1  # the first shop's tag: somebody covered it, and the staff page says so
SILENT_FOR = timedelta(hours=40)
_FATES = (  # of the oldest ideas, and why
    (IdeaState.SELECTED, "L’école a la place, et le jardinier de la ville dit oui."),
    (IdeaState.NOT_SELECTED, "Le sol y est trop sec."),
)
_CHUNK = 500  # rows of one transaction: bulk work makes nobody wait
_POPULARITY = (1.6, 1.3, 1.5, 1.1, 1.2, 0.7, 0.9, 0.6, 0.8, 1.0, 1.1, 0.9)


@dataclass(frozen=True)
class Town:
    """What the simulator made and where its shoppers go."""

    organisation_id: UUID
    campaign_id: UUID
    mission_slug: str
    api_key: str
    entries: list[Entry]  # two a shop, QR then NFC, in the file's order
    began_at: datetime
    stories: Stories
    purse: Purse
    sale: Sale


@dataclass(frozen=True)
class Rewarded:
    """Somebody whose coupon waits on a phone, with the code that opens their pages; and the shop that took others."""

    coupon_id: UUID
    recovery_code: str
    place_id: UUID


class Seal(Protocol):
    """Encrypts a position as the server does."""

    def __call__(self, position: Position) -> SealedFix: ...


def example_file() -> dict[str, Any]:
    """The demo's campaign file."""
    return tomllib.loads((resources.files("campaigns") / "demo.toml").read_text(encoding="utf-8"))


def found_town(database: Database, *, now: datetime) -> Town:
    """The brand, its shops, campaign, mission, pledge and tokens, launched thirty days before `now`; no offers."""
    began_at = clock.start_of_day(now - timedelta(days=DAYS), "Europe/Paris")
    plan = Blueprint.model_validate(example_file())
    with database.transaction(author=audit.OPERATOR) as session:
        organisation = identity.found_organisation(session, BRAND, now=began_at)
        _, key = identity.issue_key(session, organisation.id, role=Role.OWNER, name="Demo", now=began_at)
        first = plan.model_copy(update={"offers": []})
        done = blueprint.apply(session, organisation.id, first, geocode=None, now=began_at)
        assert done.campaign_id is not None  # noqa: S101  # apply sets it
        campaign = planning.campaign_by_id(session, organisation.id, done.campaign_id)
        facts = tokens.launch_facts(session, campaign.id, missions=1)
        planning.launch(session, campaign, facts, now=began_at)
        mission = missions.list_missions(session, campaign.id)[0]
        demo_stories.plan_vote(session, mission, began_at=began_at, now=now)
        purse = demo_money.sign_pledge(session, mission, began_at)
        demo_figures.watch_silence(session, campaign, began_at)
    with database.transaction(author=audit.OPERATOR) as session:
        shops = {place.external_id: place.model_dump(exclude_none=True) for place in plan.places}
        stories = demo_stories.tell_stories(session, organisation.id, shops, now)
        sale = demo_figures.open_sale(session, organisation.id, shops, began_at)
    with database.snapshot() as session:
        directory = Directory()
        names = [f"counter-{place.external_id}-{medium}" for place in plan.places for medium in ("qr", "nfc")]
        issued = {t.external_id: t.code for t in session.exec(select(Token).where(Token.campaign_id == campaign.id))}
        entries = [entry for name in names if (entry := directory.load(session, issued[name]))]
    return Town(organisation.id, campaign.id, mission.slug, key, entries, began_at, stories, purse, sale)


@dataclass
class Shopper:
    """Someone who comes back: the secret of the cookie, once there is one."""

    agent: str
    language: str
    address: str
    cookie: str | None = None


@dataclass
class Sighting:
    """A scan of the history with what its shopper will do next."""

    entry: Entry
    row: ScanRow
    judgement: Judgement
    at: datetime
    shopper: Shopper
    position: Position | None = None
    checks_in: bool = False
    gives_idea: bool = False
    votes: int = 0
    friends: list[Shopper] | None = None  # who set out together: the last one to check in names the others
    works: bool = False  # the end of a way of somebody of the team


@dataclass
class History:
    """Thirty days, a day at a time. The same seed makes the same town."""

    database: Database
    town: Town
    writer: Writer
    seal: Seal
    seed: int
    scans_wanted: int = SCANS
    ballot_secret: bytes = b""
    _regulars: list[Shopper] = field(default_factory=list)
    _ideas: list[UUID] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._until = self.town.began_at
        self._keys = VisitorKeys(lambda day: day.to_bytes(32, "big"))  # nobody real stands behind these keys
        self._book = ReceiptBook(b"the history of the demo".ljust(32, b"."), 0)
        self._chainer = Chainer(self.database)
        self._guests = [Shopper(one, "fr", f"10.9.7.{at}") for at, one in enumerate(PEOPLE[: demo_money.GUESTS])]
        self._team = [
            Shopper(PEOPLE[number % len(PEOPLE)], "fr", f"10.9.8.{number}", cookie)
            for number, cookie in enumerate(self.town.stories.cookies)
        ]

    def days(self, until: datetime) -> Iterator[float]:
        """Write the days up to `until`, oldest first; yields the share done, 0 to 1."""
        self._until = until
        total = (until - self.town.began_at) / timedelta(days=1)
        day = 0
        while (start := self.town.began_at + timedelta(days=day)) < until:
            end = min(start + timedelta(days=1), until)
            if day == demo_money.OFFERS_ON:
                self._add_offers(start)
            self._write_day(start, end)
            if day == demo_money.PAID_ON:
                demo_money.pay_out(self.database, self.town.purse, end)
            day += 1
            yield min(1.0, day / total)
        self._tell_fates(until)

    def _add_offers(self, now: datetime) -> None:
        """The file is applied again, now with its offers; and there is a badge."""
        with self.database.transaction(author=audit.OPERATOR) as session:
            plan = Blueprint.model_validate(example_file())
            blueprint.apply(session, self.town.organisation_id, plan, geocode=None, now=now)
            mission = missions.mission_by_name(session, self.town.mission_slug)
            demo_money.make_badge(session, session.get_one(Campaign, self.town.campaign_id), mission, now)

    def reward(self, recovery_key: bytes) -> Rewarded:
        """What money and coupons have come to by the end of the history: fraud, a payout that waits, coupons used."""
        now, purse = self._until, self.town.purse
        demo_money.void_fraud(self.database, purse, lambda _: self.ballot_secret, now)
        demo_money.propose(self.database, purse, now)
        place = self.town.entries[0].place
        assert place is not None  # noqa: S101  # the demo's codes all stand in a place
        with self.database.transaction(author=audit.OPERATOR) as session:
            cookies = [one.cookie or "" for one in self._guests]
            waiting = demo_money.use_coupons(session, cookies, session.get_one(Place, place.id), now)
            code = demo_money.keep_place(session, cookies[0], recovery_key, now)
        self._catch_up(now)
        return Rewarded(waiting.id, code, place.id)

    def settle(self) -> UUID:
        """What the sale sold and what its figures say of it; its frozen report."""
        author = Author(AuthorKind.MEMBER, self.town.purse.proposer_id)
        return demo_figures.settle(self.database, self.town.sale, self.seed, author, self._until)

    def _write_day(self, start: datetime, end: datetime) -> None:
        seen = sorted(self._sightings(start, end), key=lambda one: one.at)
        for chunk in _chunks(seen, _CHUNK):
            self.writer.write([one.row for one in chunk])
            self.writer.write([entry for one in chunk for entry in self._further(one)])
        acting = [one for one in seen if one.checks_in]
        for chunk in _chunks(acting, 50):
            self._act(chunk)
        self._catch_up(end)

    def _catch_up(self, now: datetime) -> None:
        """What the worker would have done by then."""
        while drain(self.database, now=now).done:
            pass
        demo_money.close_day(self.database, self._chainer, now)

    def _tell_fates(self, until: datetime) -> None:
        """What became of the oldest ideas, a day ago."""
        with self.database.transaction(author=audit.OPERATOR) as session:
            by = By(key_id=identity.key_by_secret(session, self.town.api_key, now=until).id)
            mission = missions.mission_by_name(session, self.town.mission_slug)
            oldest = community.list_ideas(session, mission.id, limit=1000)[::-1]
            for (idea, _), (state, why) in zip(oldest, _FATES, strict=False):
                at = until - timedelta(days=1)
                community.decide(session, mission, idea, state, reason=why, by=by, now=at)

    def _sightings(self, start: datetime, end: datetime) -> Iterator[Sighting]:
        chance = self._random
        for index, entry in enumerate(self.town.entries):
            share = _POPULARITY[index // 2] * (QR_SHARE if index % 2 == 0 else 1 - QR_SHARE) / sum(_POPULARITY)
            rush = 1.25 if start.weekday() in (4, 5) else 0.9
            number = round(self.scans_wanted / DAYS * share * rush * chance.uniform(0.85, 1.15))
            for _ in range(number):
                at = _within_day(chance, start)
                is_silent = index == SILENT and at > self._until - SILENT_FOR
                if at < end - timedelta(minutes=5) and not is_silent:
                    yield from self._visit(entry, at)
        yield from self._walks(start, end)
        yield from self._guests_come(start, end)
        yield from self._tastings(start, end)

    def _guests_come(self, start: datetime, end: datetime) -> Iterator[Sighting]:
        """Three people, each in two shops on two days, with an idea the second time."""
        day = round((start - self.town.began_at) / timedelta(days=1))
        if day not in demo_money.COME_ON:
            return
        turn = demo_money.COME_ON.index(day)
        for number, one in enumerate(self._guests):
            entry = self.town.entries[2 * (number + turn * len(self._guests))]
            seen = self._sight(entry, start + timedelta(hours=11, minutes=20 * number), one, prefetch=False)
            if entry.place is not None and entry.place.lat is not None and entry.place.lon is not None:
                seen.position = _near(self._random, entry.place.lat, entry.place.lon, 20)
            seen.checks_in, seen.gives_idea = True, turn > 0
            yield seen

    def _tastings(self, start: datetime, end: datetime) -> Iterator[Sighting]:
        """Who scans the codes of the sale."""
        chance = random.Random(f"{start} {self.seed}")
        for entry, at, checks_in in demo_figures.visits(chance, self.town.sale, start):
            if at < end - timedelta(minutes=5):
                seen = self._sight(entry, at, self._newcomer(chance), prefetch=False)
                seen.checks_in = checks_in
                yield seen

    def _walks(self, start: datetime, end: datetime) -> Iterator[Sighting]:
        """Friends on the trail and the team in its shops, since these began."""
        stories, chance = self.town.stories, self._random
        if start < self._until - demo_stories.SINCE:
            return
        for _ in range(chance.randrange(2, 5)):
            pair = [self._newcomer() for _ in range(chance.choice((1, 2, 2)))]
            yield from self._walk(stories.trail.entries, pair, start, end)
        for one in chance.sample(self._team, 2):
            places = chance.sample(stories.team.entries, 2)
            yield from self._walk(places, [one], start, end, works=True)

    def _walk(
        self, entries: list[Entry], walkers: list[Shopper], start: datetime, end: datetime, *, works: bool = False
    ) -> Iterator[Sighting]:
        for number, stop in enumerate(demo_stories.walk_of(self._random, entries, start)):
            for late, one in enumerate(walkers):
                at = stop.at + timedelta(seconds=25 * late)
                if at > end - timedelta(minutes=5):
                    return
                seen = self._sight(stop.entry, at, one, prefetch=False)
                place = stop.entry.place
                if place is not None and place.lat is not None and place.lon is not None:
                    seen.position = _near(self._random, place.lat, place.lon, 20)
                seen.checks_in, seen.works = True, works and stop.is_last
                if number == 0 and one is walkers[-1] and len(walkers) > 1:
                    seen.friends = walkers
                yield seen

    def _visit(self, entry: Entry, at: datetime) -> Iterator[Sighting]:
        chance = self._random
        kind = chance.random()
        if kind < 0.11:
            robot = Shopper(chance.choice(ROBOTS), "en", f"robot {chance.randrange(40)}")
            yield self._sight(entry, at, robot, prefetch=False)
            return
        shopper = self._shopper()
        first = self._sight(entry, at, shopper, prefetch=kind < 0.13)
        if first.judgement.verdict is not Verdict.BOT and chance.random() < 0.78:
            self._decide(first)
        yield first
        if kind > 0.93:  # the page is opened again a little later
            yield self._sight(entry, at + timedelta(minutes=chance.randrange(1, 40)), shopper, prefetch=False)

    def _shopper(self) -> Shopper:
        chance = self._random
        if self._regulars and chance.random() < 0.35:
            return chance.choice(self._regulars)
        return self._newcomer()

    def _newcomer(self, chance: random.Random | None = None) -> Shopper:
        chance = chance or self._random
        address = f"10.{chance.randrange(256)}.{chance.randrange(256)}.{chance.randrange(256)}"
        return Shopper(chance.choice(PEOPLE), "fr" if chance.random() < 0.85 else "en", address)

    def _decide(self, one: Sighting) -> None:
        """What this shopper will do: share a position, check in, give an idea."""
        chance = self._random
        place = one.entry.place
        if place is not None and place.lat is not None and place.lon is not None and chance.random() < 0.3:
            away = chance.choice((2_000, 15_000)) if chance.random() < 0.03 else 30
            one.position = _near(chance, place.lat, place.lon, away)
        one.checks_in = chance.random() < 0.095
        one.gives_idea = one.checks_in and chance.random() < 0.12
        one.votes = chance.choice((0, 1, 1, 2, 3)) if one.checks_in else 0

    def _sight(self, entry: Entry, at: datetime, shopper: Shopper, *, prefetch: bool) -> Sighting:
        day = clock.day_of(at)
        if not self._keys.is_ready(day):
            self._keys.prepare(day)
        row, judgement = scans.sight(
            entry,
            asked=entry.code,
            agent=classify(shopper.agent),
            prefetch=prefetch,
            visitor_key=self._keys.key(shopper.address, shopper.agent),
            language=shopper.language,
            now=at,
        )
        return Sighting(entry, row, judgement, at, shopper)

    def _further(self, one: Sighting) -> Iterator[Confirmation | PositionFix]:
        """What the visitor's browser adds: the page was seen, and perhaps a position."""
        if classify(one.shopper.agent).kind is not AgentKind.PERSON or one.judgement.verdict is Verdict.BOT:
            return
        seen = Confirmation(one.row.id, one.entry.token_hex, one.row.visitor_key, one.at + timedelta(seconds=2))
        if one.position is None:
            yield seen
            return
        fence, distance = one.position.fence(one.entry.place)
        accuracy = scans.accuracy_up(one.position.accuracy_m)
        yield PositionFix(seen, fence.value, distance, accuracy, *self.seal(one.position), cell=one.position.cell)

    def _act(self, acting: list[Sighting]) -> None:
        with self.database.transaction() as session:
            for one in acting:
                now = one.at + timedelta(seconds=40)
                place_id = one.entry.place.id if one.entry.place else None
                minted = self._book.mint(
                    one.row.id, one.entry.token_id, place_id, one.row.visitor_key, one.judgement.verdict, 0, 0
                )
                receipt = self._book.read(minted.decode(), token_id=one.entry.token_id)
                done = missions.check_in(
                    session,
                    receipt,
                    one.entry,
                    missions.ground_of(session, receipt, missions.led_to(session, one.entry.campaign.id)),
                    cookie=one.shopper.cookie,
                    language=one.shopper.language,
                    position=None,
                    seal=self.seal,
                    till_window=till.window_of(now) if self._random.random() < 0.3 else None,
                    occurred_at=None,
                    now=now,
                )
                if done.secret:
                    one.shopper.cookie = done.secret
                    self._regulars.append(one.shopper)
                self._speak(session, one, done, now)
                if one.friends:
                    pair = [self._person(session, one) for one in one.friends]
                    demo_stories.meet(session, self.town.stories.trail, pair, now + timedelta(seconds=30))
                if one.works:
                    demo_stories.work(
                        session, self.town.stories.team, one.entry, done.person, now + timedelta(minutes=4)
                    )

    def _speak(self, session: Session, one: Sighting, done: CheckedIn, now: datetime) -> None:
        """What a visit gives the right to: an idea, and votes for those of others."""
        if done.mission is None:
            return
        campaign = session.get_one(Campaign, self.town.campaign_id)
        for number in range(one.votes if done.check_in.presence and self._ideas else 0):
            with suppress(CampaignError), savepoint(session):  # before the vote opens, or twice for one idea
                community.cast_vote(
                    session,
                    None,
                    done.mission,
                    campaign,
                    done.person,
                    idea_id=self._random.choice(self._ideas[-60:]),
                    client_id=f"{one.row.id}-{number}",
                    secret=self.ballot_secret,
                    now=now + timedelta(minutes=1),
                )
        if one.gives_idea:
            posted = community.post_idea(
                session,
                done.mission,
                campaign,
                done.person,
                text=idea_text(self._random, one.shopper.language),
                client_id=one.row.id,
                language=one.shopper.language,
                now=now + timedelta(minutes=2),
            )
            self._ideas.append(posted.idea.id)

    def _person(self, session: Session, shopper: Shopper) -> Participant:
        found = participants.recognise(session, shopper.cookie, to_act=True)
        assert found is not None  # noqa: S101  # who checked in has a cookie
        return found


def live_shoppers(
    town: Town, new_phone: Callable[[str], Any], *, seed: int, speed: float, stopping: threading.Event
) -> None:
    """Shoppers who arrive now, through the public HTTP API only, until told to stop; `speed` 1 is one in two seconds.

    `new_phone(agent)` is an HTTP client with a cookie jar.
    """
    chance = random.Random(seed)
    while not stopping.wait(chance.expovariate(0.5 * max(speed, 0.01))):
        entry = chance.choices(town.entries, [_weight(i) for i in range(len(town.entries))])[0]
        if chance.random() < 0.12:
            new_phone(chance.choice(ROBOTS)).get(f"/t/{entry.code}")
            continue
        visit_live(chance, entry, new_phone(chance.choice(PEOPLE)), town.mission_slug, stopping)


def visit_live(chance: random.Random, entry: Entry, phone: Any, slug: str, stopping: threading.Event) -> None:
    """One shopper: scans, sees the page, perhaps shares a position, checks in, gives an idea."""
    seen = phone.get(f"/t/{entry.code}", headers={"Accept": "application/json"}).json()
    if "receipt" not in seen:
        return
    receipt = {"receipt": seen["receipt"]}
    wants_json = {"Accept": "application/json"}
    phone.post(f"/t/{entry.code}/confirm", data=receipt, headers=wants_json)
    place: Place | None = entry.place
    if place is not None and place.lat is not None and place.lon is not None and chance.random() < 0.5:
        fix = _near(chance, place.lat, place.lon, 30)
        where = {"lat": fix.lat, "lon": fix.lon, "accuracy_m": fix.accuracy_m, "age_s": 1}
        phone.post(f"/t/{entry.code}/position", data={**receipt, **where}, headers=wants_json)
    if chance.random() < 0.4 and not stopping.wait(chance.uniform(0.2, 1.0)):
        phone.post(f"/t/{entry.code}/check-in", data=receipt, headers=wants_json)
        if chance.random() < 0.3:
            idea = {"text": idea_text(chance, "fr"), "client_id": ids.uuid7().hex, "age": "15_or_older"}
            posted = phone.post(f"/m/{slug}/ideas", data=idea, headers=wants_json).json()
            vote = {"idea": posted.get("id", ""), "client_id": ids.uuid7().hex}
            phone.post(f"/m/{slug}/votes", data=vote, headers=wants_json)


def _weight(index: int) -> float:
    if index == SILENT:
        return 0.0
    return _POPULARITY[index // 2] * (QR_SHARE if index % 2 == 0 else 1 - QR_SHARE)


def _within_day(chance: random.Random, start: datetime) -> datetime:
    """A moment of a shop's day: most between ten and eight, with a rush at noon and at six in the evening."""
    hour = chance.gauss(12.5, 1.2) if chance.random() < 0.4 else chance.gauss(17.5, 1.8)
    return start + timedelta(hours=min(max(hour, 8.6), 19.9), seconds=chance.randrange(60))


def _near(chance: random.Random, lat: float, lon: float, away_m: float) -> Position:
    """A fix about so far from a point, with the accuracy phones have indoors."""
    turn = chance.uniform(0, 2 * math.pi)
    distance = abs(chance.gauss(away_m, away_m / 3))
    north, east = distance * math.cos(turn), distance * math.sin(turn)
    return Position(
        lat + north / 111_320,
        lon + east / (111_320 * math.cos(math.radians(lat))),
        round(chance.uniform(8, 60), 1),
        chance.randrange(5),
    )


def _chunks(items: list[Sighting], size: int) -> Iterator[list[Sighting]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
