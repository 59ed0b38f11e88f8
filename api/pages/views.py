"""What the templates are given: small records, read in one session, with no database behind them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from babel.dates import format_date, format_datetime
from sqlalchemy import func, select
from sqlmodel import Session, col

from api.pages.render import Renderer
from api.pages.ways import Spot, counts_with, ways_up
from campaigns import care, clock, community, identity, ids, missions, scans, sponsorship, tokens
from campaigns.identity import Organisation
from campaigns.missions import Mission, Standing, Step
from campaigns.missions.kinds import names_of
from campaigns.missions.models import LocalText, Mode, StepKind
from campaigns.participants import Participant
from campaigns.places import Place, till
from campaigns.planning import Campaign
from campaigns.scans import CheckIn
from campaigns.scans.verdict import Verdict
from campaigns.tokens import Kind, Token, TokenState

IDEAS_SHOWN = 20
IDEAS_ON_SCAN_PAGE = 3
SILENT_AFTER = timedelta(hours=24)


@dataclass(frozen=True)
class StepView:
    """A step as a page shows it."""

    id: str
    position: int
    kind: str
    mode: str
    title: LocalText | None
    min_presence: int
    places: list[str] = field(default_factory=list)
    n: int = 0
    times: int = 1
    counts_with: str = ""


@dataclass(frozen=True)
class IdeaView:
    """An idea and who gave it; both are empty when its author took it back, the words while it is hidden by a rule."""

    id: str
    text: str
    pseudonym: str
    hidden_rule: str | None = None
    comments: int = 0
    state: str = "published"
    is_edited: bool = False
    followers: int = 0


@dataclass(frozen=True)
class MissionView:
    """A mission, how far it is, and its newest ideas."""

    title: LocalText
    promise: LocalText
    url: str
    goal_metric: str
    goal_value: int
    done: int
    done_words: str
    goal_words: str
    percent: int
    steps: list[StepView]
    ideas: list[IdeaView]
    removals: dict[str, int]


@dataclass(frozen=True)
class PersonView:
    """The person in front of a mission page."""

    pseudonym: str
    presence: int | None
    done_step_positions: set[int]
    idea_count: int


def brand(session: Session, organisation_id: UUID) -> str:
    """The name that stands at the top of an organisation's pages."""
    return identity.organisation_by_id(session, organisation_id).name


def house(session: Session, organisation_id: UUID) -> dict[str, Any]:
    """What every page of an organisation shows of it: its name, the notice the law asks for, whose legal pages."""
    return _house(identity.organisation_by_id(session, organisation_id))


def only_house(session: Session) -> dict[str, Any]:
    """The same on a page that is of no organisation, where the installation has just one; nothing else."""
    found = identity.list_organisations(session, limit=2)
    return _house(found[0]) if len(found) == 1 else {}


def _house(found: Organisation) -> dict[str, Any]:
    notices = [found.mandatory_notice] if found.mandatory_notice else []
    return {"brand": found.name, "owner": ids.show("org", found.id), "notices": notices}


def mission_view(
    session: Session,
    mission: Mission,
    *,
    phase: str,
    ideas: int,
    renderer: Renderer,
    language: str,
    spots: Sequence[Spot],
) -> MissionView:
    """A mission for a page; the counters are read, nothing is counted. `spots`: where its steps can be proven."""
    totals = missions.counters(session, mission.id, phase=phase)
    reached = sponsorship.progress(session, mission, totals, phase=phase)
    shown = community.list_ideas(session, mission.id, phase=phase, limit=ideas)
    return MissionView(
        title=mission.title,
        promise=mission.promise,
        url=f"/m/{mission.slug}",
        goal_metric=mission.goal_metric,
        goal_value=mission.goal_value,
        done=reached.done,
        done_words=reached.words(reached.done, language),
        goal_words=reached.words(reached.goal, language),
        percent=reached.percent,
        steps=[
            _step_view(session, step, counts_with(renderer, language, spots, step.min_presence, **_asks(step)))
            for step in missions.steps_of(session, mission.id)
        ],
        ideas=[idea_view(idea, name) for idea, name in shown],
        removals=community.removals(totals),
    )


def idea_view(idea: community.Idea, pseudonym: str) -> IdeaView:
    """An idea as everybody may see it: of a hidden one not the words, and the rule in their place."""
    words = "" if idea.hidden_rule else idea.text
    return IdeaView(
        id=ids.show("ide", idea.id),
        text=words,
        pseudonym=pseudonym,
        hidden_rule=idea.hidden_rule,
        comments=idea.comments,
        state=idea.state,
        is_edited=idea.edited_at is not None,
        followers=idea.followers,
    )


def _asks(step: Step) -> dict[str, bool]:
    return {"possession": bool(step.params.get("possession"))}


def _step_view(session: Session, step: Step, proof: str) -> StepView:
    names = names_of(session, step.places) if step.places else {}
    return StepView(
        ids.show("stp", step.id),
        step.position,
        step.kind,
        step.mode,
        step.title,
        step.min_presence,
        [names[id] for id in step.places if id in names],
        step.params.get("n", 0),
        step.times,
        proof,
    )


def person_view(session: Session, mission: Mission, person: Participant, *, phase: str) -> tuple[PersonView, Standing]:
    """Where a person stands, for a page and for what is missing."""
    standing = missions.standing(session, mission, person, phase=phase)
    mine = [idea for idea in community.ideas_of(session, person.id) if idea.mission_id == mission.id]
    view = PersonView(
        pseudonym=person.pseudonym,
        presence=standing.presence,
        done_step_positions={place for place, state in standing.done.items() if state == "verified"},
        idea_count=len(mine),
    )
    return view, standing


def presence_words(renderer: Renderer, language: str, presence: int | None) -> str:
    """A level of presence in plain words."""
    words = {
        0: "claimed: you scanned a code",
        1: "plausible: your position was in the shop",
        2: "strong: you had the code of the moment",
        3: "witnessed: the staff confirmed it",
    }
    return renderer.word(language, words[presence]) if presence is not None else ""


def verdict_words(renderer: Renderer, language: str, verdict: str, *, counted: bool) -> str:
    """What a visit is worth, in plain words, for the person who made it."""
    further = "a further visit of the day, or without the proof the mission asks for"
    words = {
        Verdict.HELD.value: "it is being checked",
        Verdict.TEST.value: "a test, before the campaign began",
        Verdict.VALID.value: further,
        Verdict.PROVISIONAL.value: further,
    }
    text = "it counts" if counted else words.get(verdict, "it does not count")
    return renderer.word(language, text)


def still_missing(
    renderer: Renderer, language: str, steps: list[Step], standing: Standing, spots: Sequence[Spot]
) -> tuple[list[str], list[str]]:
    """What keeps a person from the open steps, and every other way up, in plain words."""
    missing: list[str] = []
    needed: set[int] = set()
    possession = False
    best = standing.presence if standing.presence is not None else -1
    for step in steps:
        if step.position in standing.done:
            continue
        if step.params.get("possession"):
            missing.append("A pack with a code on it: scan it and check in.")
            possession = True
        elif step.kind == StepKind.SCAN and best >= 0 and best < step.min_presence:
            missing.append("Your visit has no proof yet that you were in the shop.")
            needed.add(step.min_presence)
        elif step.kind == StepKind.SCAN and best < 0:
            missing.append("A visit to a shop: scan the code there and check in.")
            needed.add(step.min_presence)
        elif step.kind == StepKind.IDEA and best < step.min_presence and step.min_presence > 0:
            missing.append("A visit with proof opens the ideas: come to a shop first.")
            needed.add(step.min_presence)
        elif step.kind == StepKind.VOTE and best < step.min_presence and step.min_presence > 0:
            missing.append("A visit with proof opens the vote: come to a shop first.")
            needed.add(step.min_presence)
        elif step.mode == Mode.ONLINE and best < step.min_presence and step.min_presence > 0:
            missing.append("A visit with proof opens another step: come to a shop first.")
            needed.add(step.min_presence)
        elif step.kind in (StepKind.VISIT_PLACES, StepKind.TRAIL, StepKind.BRING_FRIEND) and step.min_presence > 0:
            needed.add(step.min_presence)
    # Every way to any of them: who needs little may take the small one, and is not sent to the till.
    ways = (
        ways_up(renderer, language, spots, min(needed, default=0), possession=possession) if needed or missing else []
    )
    return [renderer.word(language, text) for text in dict.fromkeys(missing)], ways


@dataclass(frozen=True)
class Task:
    """Something for the staff to look at now."""

    text: str
    since: str


@dataclass(frozen=True)
class HourView:
    """An hour of today."""

    label: str
    raw: int
    confirmed: int


@dataclass(frozen=True)
class TodayView:
    """Today's figures of a place."""

    raw: int = 0
    confirmed: int = 0
    people: int = 0
    check_ins: int = 0
    verified_rate_percent: int | None = None


@dataclass(frozen=True)
class ShopView:
    """All that the live part of the staff page shows."""

    todo: list[Task]
    till_code: str
    till_seconds_left: int
    today: TodayView
    hours: list[HourView]
    max_raw: int
    as_of: str = field(compare=False)


def shop_view(
    session: Session, renderer: Renderer, place: Place, *, language: str, till_key: bytes, now: datetime
) -> ShopView:
    """What happens in a shop now, from the counters and today's check-ins."""
    token_ids = tokens.ids_of_place(place.id)
    day = clock.start_of_day(now, place.time_zone)
    first = clock.hour_of(day)
    by_hour = scans.by_hour(session, token_ids, since_hour=first, until_hour=clock.hour_of(now) + 1)
    raw = sum(hour.raw for hour in by_hour.values())
    confirmed = sum(hour.verified for hour in by_hour.values())
    acts, people = session.execute(
        select(func.count(), func.count(func.distinct(col(CheckIn.participant_id)))).where(
            col(CheckIn.place_id) == place.id,
            col(CheckIn.phase) == "live",
            col(CheckIn.checked_in_at) >= day,
            col(CheckIn.id) >= ids.first_of(day),
        )
    ).one()
    hours = [
        HourView(clock.instant_of_hour(hour).astimezone(clock.zone(place.time_zone)).strftime("%H"), f.raw, f.verified)
        for hour, f in by_hour.items()
    ]
    return ShopView(
        todo=_todo(session, renderer, place, language=language, now=now),
        till_code=spaced(till.till_code(till_key, place.id, till.window_of(now))),
        till_seconds_left=till.seconds_left(now),
        today=TodayView(raw, confirmed, people, acts, round(100 * confirmed / raw) if raw else None),
        hours=hours,
        max_raw=max((hour.raw for hour in hours), default=0),
        as_of=now.astimezone(clock.zone(place.time_zone)).strftime("%H:%M:%S"),
    )


def _todo(session: Session, renderer: Renderer, place: Place, *, language: str, now: datetime) -> list[Task]:
    here = [one for one in tokens.tokens_of_place(session, place.id) if one.state_at(now) == TokenState.ACTIVE]
    fallen = care.open_alerts(session, place.id)
    found = _to_look_at(session, renderer, place, here, fallen, language=language, now=now)
    found += _gone_silent(session, renderer, place, here, fallen, language=language, now=now)
    found += _photographed(session, renderer, place, here, language=language, now=now)
    held = session.execute(
        select(func.count(), func.min(col(CheckIn.checked_in_at))).where(
            col(CheckIn.place_id) == place.id,
            col(CheckIn.verdict) == Verdict.HELD.value,
            col(CheckIn.checked_in_at) >= now - timedelta(hours=72),
        )
    ).one()
    if held[0]:
        text = renderer.word(language, "Check-ins held because the position was far away: %(n)s", n=held[0])
        since = clock.EPOCH if held[1] is None else held[1]
        found.append(Task(text, moment(since, place, language)))
    return found


def _gone_silent(
    session: Session,
    renderer: Renderer,
    place: Place,
    here: Sequence[Token],
    fallen: dict[UUID, care.Alert],
    *,
    language: str,
    now: datetime,
) -> list[Task]:
    """Codes nobody scanned for a day, but those on screens, which are not always on."""
    found: list[Task] = []
    last = scans.last_hours(session, [token.id for token in here])
    states: dict[UUID, str] = {}
    for token in here:
        if token.campaign_id not in states:
            states[token.campaign_id] = session.get_one(Campaign, token.campaign_id).state_at(now)
        heard = clock.instant_of_hour(last[token.id] + 1) if token.id in last else token.created_at
        is_expected = states[token.campaign_id] == "live" and token.kind != Kind.LIVE and token.id not in fallen
        if not is_expected or now - heard < SILENT_AFTER:
            continue
        text = renderer.word(
            language, "The code “%(name)s” has gone silent: is it still in its place?", name=_name_of(token)
        )
        found.append(Task(f"{text} ({token.code[:4]}-…)", moment(heard, place, language)))
    return found


def _photographed(
    session: Session, renderer: Renderer, place: Place, here: Sequence[Token], *, language: str, now: datetime
) -> list[Task]:
    """Codes that many people scanned far from here."""
    found: list[Task] = []
    spread = scans.photographed(session, [token.id for token in here], now=now)
    for token in here:
        if token.id in spread:
            text = renderer.word(
                language,
                "The code “%(name)s” is scanned far from here: was it photographed? Change it.",
                name=_name_of(token),
            )
            found.append(Task(f"{text} ({token.code[:4]}-…)", moment(spread[token.id], place, language)))
    return found


def _to_look_at(
    session: Session,
    renderer: Renderer,
    place: Place,
    here: Sequence[Token],
    fallen: dict[UUID, care.Alert],
    *,
    language: str,
    now: datetime,
) -> list[Task]:
    """The codes that people reported, and those whose scans fell off: a sticker may cover them."""
    found: list[Task] = []
    reported = care.complaints(session, place.id, now=now)
    for token in here:
        values: dict[str, object] = {"name": _name_of(token)}
        if token.id in reported:
            said = reported[token.id]
            values["n"] = said.people
            text = renderer.word(
                language,
                "Someone reported the code “%(name)s”: look whether a sticker covers it."
                if said.people == 1
                else "%(n)s people reported the code “%(name)s”: look whether a sticker covers it.",
                **values,
            )
            found.append(Task(f"{text} ({token.code[:4]}-…)", moment(said.since, place, language)))
        if token.id in fallen:
            alert = fallen[token.id]
            values["day"] = format_date(alert.since.astimezone(clock.zone(place.time_zone)), "EEEE", locale=language)
            text = renderer.word(
                language,
                "Hardly anyone has scanned the code “%(name)s” since %(day)s: is it still there and uncovered?",
                **values,
            )
            found.append(Task(f"{text} ({token.code[:4]}-…)", moment(alert.since, place, language)))
    return found


def _name_of(token: Token) -> str:
    return token.label or {"qr": "QR", "nfc": "NFC", "link": "link"}[token.medium]


def day(instant: datetime, place: Place, language: str) -> str:
    """A day at a place, in words: `14 October`."""
    return format_date(instant.astimezone(clock.zone(place.time_zone)), "d MMMM", locale=language)


def moment(instant: datetime, place: Place, language: str) -> str:
    """Day and minute at a place: `14 October 18:00`."""
    return format_datetime(instant, "d MMMM HH:mm", tzinfo=clock.zone(place.time_zone), locale=language)


def spaced(code: str) -> str:
    """Six digits in two groups, to be read aloud."""
    return f"{code[:3]} {code[3:]}"
