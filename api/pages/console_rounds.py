"""Rounds at the console: the votes of each mission, a form for one more, and the button that closes one early."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response
from sqlmodel import Session as DbSession

from api.pages.console_names import Names
from api.pages.console_session import Form, Posted, Seat, member_may
from api.pagination import before
from api.policies import MEMBER
from campaigns import clock, community, ids, missions, places, planning
from campaigns.community import Electorate, Round, RoundPlan, Totals
from campaigns.errors import CampaignError, Conflict, Invalid, NotFound
from campaigns.identity import Right
from campaigns.missions import Mission
from campaigns.planning import Campaign

router = APIRouter(prefix="/console", include_in_schema=False, dependencies=[MEMBER])
CAMPAIGNS_SHOWN = 10
ROUNDS_SHOWN = 20  # of a mission
RANKED = 5
PLACES_OFFERED = 200
FIELDS = ("opens_at", "closes_at", "quota", "min_presence", "electorate", "totals")
Reader = Annotated[Seat, member_may(Right.MISSIONS_READ)]
Planner = Annotated[Seat, member_may(Right.MISSIONS_WRITE)]


@dataclass(frozen=True)
class RoundView:
    """A round. `result` is None while its totals are hidden: from the console too."""

    id: str
    state: str
    opens_at: datetime
    closes_at: datetime
    quota: int
    min_presence: int
    electorate: str
    places: list[str]
    totals: str
    can_be_repeated: bool
    result: community.Result | None
    url: str


@dataclass(frozen=True)
class MissionView:
    """A mission with its rounds, newest first."""

    id: str
    title: Any
    campaign: str
    zone: str
    is_over: bool
    rounds: list[RoundView]


@router.get("/rounds", response_class=HTMLResponse)
def show_rounds(seat: Reader, cursor: str | None = None) -> HTMLResponse:
    """The missions of the newest campaigns, each with its rounds."""
    return _page(seat, cursor=cursor)


@router.post("/rounds/{mission_id}")
def plan_round(seat: Planner, form: Form, mission_id: str) -> Response:
    """Plan a round. Its times are those of the campaign's zone."""
    try:
        with seat.writing() as session:
            mission = missions.mission_by_id(session, seat.organisation.id, ids.parse("mis", mission_id))
            zone = session.get_one(Campaign, mission.campaign_id).time_zone
            community.plan_round(session, mission, _plan(form, zone), now=seat.now)
    except CampaignError as error:
        if isinstance(error, NotFound) and error.code == "not_found" and "place" not in error.detail:
            raise
        typed = {name: form[name] for name in FIELDS} | {"place_ids": form.all("place_ids")}
        return _page(seat, error=error, typed={mission_id: typed})
    return seat.see("/console/rounds", done="round_planned")


@router.get("/rounds/{round_id}/closing", response_class=HTMLResponse)
def ask_closing(seat: Planner, round_id: str) -> HTMLResponse:
    """Closing is for good: a page that asks once more."""
    with seat.reading() as session:
        found = community.round_by_id(session, seat.organisation.id, ids.parse("rnd", round_id))
        whom = Names(session, seat.language).of("mission", found.mission_id)
    return seat.page("console_sure.html", what="close", whom=whom, action=f"/console/rounds/{round_id}/closing")


@router.post("/rounds/{round_id}/closing")
def close(seat: Planner, form: Form, round_id: str) -> Response:
    """Close an open round now: its result is public from here on."""
    try:
        with seat.writing() as session:
            found = community.round_by_id(session, seat.organisation.id, ids.parse("rnd", round_id))
            if not found.is_open(seat.now):
                word = "over" if found.is_over(seat.now) else "ahead"
                raise Conflict("Only a round that is open can be closed.", code=f"round_{word}")
            community.change_round(session, found, now=seat.now, closes_at=seat.now)
    except NotFound:
        raise
    except CampaignError as error:
        return _page(seat, error=error)
    return seat.see("/console/rounds", done="round_closed")


def _plan(form: Posted, zone: str) -> RoundPlan:
    electorate = _choice(form, "electorate", Electorate)
    place_ids = tuple(form.all("place_ids")) if electorate is Electorate.VISITORS else ()
    return RoundPlan(
        opens_at=_instant(form, "opens_at", zone),
        closes_at=_instant(form, "closes_at", zone),
        quota=_number(form, "quota", *community.QUOTAS),
        min_presence=_number(form, "min_presence", 0, 3),
        electorate=electorate,
        place_ids=place_ids or None,
        totals=_choice(form, "totals", Totals),
    )


def _instant(form: Posted, name: str, zone: str) -> datetime:
    """An hour on the clocks of the campaign's zone, as a browser's field for one writes it."""
    try:
        local = datetime.fromisoformat(form[name].strip())
    except ValueError as error:
        raise Invalid("A day and an hour are written like 2027-01-31T18:00.", pointer=f"/{name}") from error
    found = (local if local.tzinfo else local.replace(tzinfo=clock.zone(zone))).astimezone(UTC)
    if not 2000 <= found.year < 2100:
        raise Invalid("Times are between 2000 and 2100.", pointer=f"/{name}")
    return found


def _number(form: Posted, name: str, least: int, most: int) -> int:
    text = form[name].strip()
    if text.isascii() and text.isdigit() and len(text) < 4 and least <= int(text) <= most:
        return int(text)
    raise Invalid(f"A number from {least} to {most}.", pointer=f"/{name}")


def _choice(form: Posted, name: str, choices: Any) -> Any:
    if form[name] not in set(choices):
        raise Invalid("Choose one of the two.", pointer=f"/{name}")
    return choices(form[name])


def _page(
    seat: Seat,
    *,
    cursor: str | None = None,
    error: CampaignError | None = None,
    typed: dict[str, dict[str, Any]] | None = None,
) -> HTMLResponse:
    with seat.reading() as session:
        owner, names = seat.organisation.id, Names(session, seat.language)
        rows = planning.list_campaigns(session, owner, before=before(cursor), limit=CAMPAIGNS_SHOWN + 1)
        shown = [
            _mission(session, names, campaign, mission, seat.now)
            for campaign in rows[:CAMPAIGNS_SHOWN]
            for mission in missions.list_missions(session, campaign.id)
        ]
        offered = [
            (ids.show("plc", one.id), one.name)
            for one in places.list_places(session, owner, before=None, limit=PLACES_OFFERED)
        ]
    more = ids.show("cur", rows[CAMPAIGNS_SHOWN - 1].id) if len(rows) > CAMPAIGNS_SHOWN else ""
    return seat.page("console_rounds.html", error=error, missions=shown, places=offered, more=more, typed=typed or {})


def _mission(session: DbSession, names: Names, campaign: Campaign, mission: Mission, now: datetime) -> MissionView:
    rounds = community.list_rounds(session, mission.id, limit=ROUNDS_SHOWN)
    return MissionView(
        id=ids.show("mis", mission.id),
        title=mission.title,
        campaign=campaign.name,
        zone=campaign.time_zone,
        is_over=campaign.state_at(now) == planning.State.ENDED,
        rounds=[_round(session, names, mission, one, now) for one in rounds],
    )


def _round(session: DbSession, names: Names, mission: Mission, round: Round, now: datetime) -> RoundView:
    shows = round.shows_totals(now)
    return RoundView(
        id=ids.show("rnd", round.id),
        state="open" if round.is_open(now) else "over" if round.is_over(now) else "ahead",
        opens_at=round.opens_at,
        closes_at=round.closes_at,
        quota=round.quota,
        min_presence=round.min_presence,
        electorate=round.electorate,
        places=[names.place(_id(one)) for one in round.place_ids or ()],
        totals=round.totals,
        can_be_repeated=round.can_be_repeated,
        result=community.result_of(session, round, phase="live", limit=RANKED) if shows else None,
        url=f"/m/{mission.slug}/rounds/{ids.show('rnd', round.id)}",
    )


def _id(place: str) -> UUID:
    return ids.parse("plc", place)
