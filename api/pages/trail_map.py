"""The map of a mission's trails: its places, in what order, and what this person has done. A table says the same."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from babel.numbers import format_decimal
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from sqlmodel import Session as DbSession

from api.dependencies import Core, ReadSession
from api.forms import wants_json
from api.pages import views
from api.pages.cartography import Chart, Mark, chart
from api.pages.phone import MissionName, Tongue, cookie_of, language_for, mission_named, objected, onward
from api.policies import PUBLIC
from campaigns import ids, missions
from campaigns.errors import NotFound
from campaigns.missions import Mission, Step, StepKind
from campaigns.missions.models import LocalText
from campaigns.missions.tours import Stop, stops_of, tours_of
from campaigns.participants import Participant
from campaigns.planning import Campaign

router = APIRouter(prefix="/m", tags=["phones"], dependencies=[PUBLIC])


@dataclass(frozen=True)
class StopView:
    """A stop of the table; `mark` is its marker, None for a place without a position."""

    number: int
    name: str
    address: str
    state: str
    mark: Mark | None


@dataclass(frozen=True)
class TourView:
    """A trail, or places in any order: the map and its table. `legs` join the stops of a trail, done ones first."""

    kind: str
    title: LocalText | None
    n: int
    done: int
    stops: list[StopView]
    chart: Chart
    scale: str
    legs: list[tuple[Mark, Mark, bool]]


@router.get("/{mission}/map", response_class=HTMLResponse)
def trail_map(
    request: Request, core: Core, session: ReadSession, mission: MissionName, lang: Tongue = None
) -> Response:
    """A map of the mission's trails with what this person has done. JSON when asked for: the stops with their state.

    404 in a mission without one. A stop is `done`, of a trail the `next`, or `open`.
    """
    found = mission_named(session, mission)
    campaign = session.get_one(Campaign, found.campaign_id)
    person = missions.recognise(session, campaign, cookie_of(request, campaign), objected=objected(request))
    tours = sorted(tours_of(session, found.id), key=lambda step: step.position)
    if not tours:
        raise NotFound("This mission has no trail.")
    phase = missions.phase_shown(campaign, person)
    stops = [(step, stops_of(session, found, step, person, phase=phase)) for step in tours]
    if wants_json(request):
        return JSONResponse({"data": [_body(*one) for one in stops]}, headers={"Cache-Control": "no-store"})
    return _page(request, core, session, found, person, stops, lang)


def _page(
    request: Request,
    core: Core,
    session: DbSession,
    mission: Mission,
    person: Participant | None,
    tours: list[tuple[Step, list[Stop]]],
    lang: str | None,
) -> HTMLResponse:
    language = language_for(request, lang)
    page = core.renderer.page(
        "map.html",
        language,
        **views.house(session, mission.organisation_id),
        rules_url=f"/m/{mission.slug}/rules",
        mission=mission,
        mission_url=onward(request, f"/m/{mission.slug}"),
        person=person,
        tours=[_view(step, stops, language) for step, stops in tours],
        other_lang_url=f"/m/{mission.slug}/map?lang={'en' if language == 'fr' else 'fr'}",
    )
    return HTMLResponse(page, headers={"Cache-Control": "no-store"})


def _view(step: Step, stops: list[Stop], language: str) -> TourView:
    placed = [stop for stop in stops if stop.place.lat is not None and stop.place.lon is not None]
    drawn = chart([(stop.place.lat or 0.0, stop.place.lon or 0.0, stop.place.name) for stop in placed])
    marks = dict(zip([stop.place.id for stop in placed], drawn.marks, strict=True))
    shown = [
        StopView(number, stop.place.name, stop.place.address or "", stop.state.value, marks.get(stop.place.id))
        for number, stop in enumerate(stops, 1)
    ]
    done = sum(stop.state == "done" for stop in shown)
    on_map = [stop for stop in shown if stop.mark is not None] if step.kind == StepKind.TRAIL else []
    legs = [(one.mark, other.mark, other.state == "done") for one, other in pairwise(on_map) if one.mark and other.mark]
    n = int(step.params.get("n", len(stops)))
    return TourView(step.kind, step.title, n, min(done, n), shown, drawn, _scale(drawn.scale_m, language), legs)


def _scale(metres: int, language: str) -> str:
    far = metres >= 1000
    return f"{format_decimal(metres // 1000 if far else metres, locale=language)} {'km' if far else 'm'}"


def _body(step: Step, stops: list[Stop]) -> dict[str, Any]:
    return {
        "step": ids.show("stp", step.id),
        "kind": step.kind,
        "stops": [
            {
                "place": ids.show("plc", stop.place.id),
                "name": stop.place.name,
                "lat": stop.place.lat,
                "lon": stop.place.lon,
                "state": stop.state.value,
            }
            for stop in stops
        ],
    }
