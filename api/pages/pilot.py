"""The team's pages: entering the cohort of employees by a link, and the pilots it tries out."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import HTMLResponse, Response
from sqlmodel import Session as DbSession
from sqlmodel import select

from api.dependencies import Core, Now, ReadSession
from api.forms import require_same_site
from api.pages import views
from api.pages.phone import (
    cookies_of,
    house_cookie,
    keep_cookie,
    language_for,
    moved,
    participant_shown,
)
from api.policies import PUBLIC
from campaigns import identity, missions, participants, pilots, planning, privacy
from campaigns.identity import Organisation
from campaigns.missions import Mission
from campaigns.missions.models import LocalText
from campaigns.participants import Cohort, Participant
from campaigns.places import Place
from campaigns.planning import Campaign, State, Threshold

router = APIRouter(tags=["phones"], dependencies=[PUBLIC])
Secret = Annotated[str, Path(max_length=100)]
MISSIONS_SHOWN = 20  # of a brand that are open to everybody


@dataclass(frozen=True)
class PilotView:
    """A pilot before a person of its team. Figures are hidden while fewer than five people take part."""

    name: str
    people: int
    max_people: int
    places: list[str]
    missions: list[tuple[LocalText, str]]
    thresholds: list[Threshold]
    shows_figures: bool


@router.get("/pilot", response_class=HTMLResponse)
def team_page(request: Request, core: Core, session: ReadSession, now: Now) -> HTMLResponse:
    """What this phone's person tries out with their team; who is in no team reads how to enter one."""
    language = language_for(request, None)
    mine = [one for one in privacy.people_of(session, cookies_of(request).values()) if one.cohort == Cohort.EMPLOYEE]
    teams = [_team(session, one, now) for one in mine]
    page = core.renderer.page(
        "pilot.html",
        language,
        **(views.house(session, mine[0].organisation_id) if len(mine) == 1 else {"brand": ""}),
        teams=teams,
        just=request.query_params.get("just", ""),
        other_lang_url=f"/pilot?lang={'en' if language == 'fr' else 'fr'}",
    )
    return HTMLResponse(page, headers={"Cache-Control": "no-store"})


@router.get("/pilot/join/{secret}", response_class=HTMLResponse)
def ask_to_enter(request: Request, core: Core, session: ReadSession, now: Now, secret: Secret) -> HTMLResponse:
    """What entering the team means, and the button. Opening the link enters nobody: previews open links too."""
    language = language_for(request, None)
    link = participants.cohort_link_by_secret(session, secret, now=now)
    page = core.renderer.page(
        "pilot_join.html",
        language,
        **views.house(session, link.organisation_id),
        action=f"/pilot/join/{secret}?lang={language}",
        other_lang_url=f"/pilot/join/{secret}?lang={'en' if language == 'fr' else 'fr'}",
    )
    return HTMLResponse(page, headers={"Cache-Control": "no-store", "Referrer-Policy": "same-origin"})


@router.post("/pilot/join/{secret}")
def enter(request: Request, core: Core, now: Now, secret: Secret) -> Response:
    """Enter the cohort of employees by a link. Who is in already uses nothing of it. Form: 303 to /pilot.

    404 `unknown_cohort_link`, 410 `cohort_link_over`.
    """
    require_same_site(request)
    with core.database.transaction() as session:
        link = participants.cohort_link_by_secret(session, secret, now=now)
        person = participants.recognise(session, house_cookie(request, link.organisation_id), to_act=True)
        fresh = None
        if person is None or person.organisation_id != link.organisation_id or person.campaign_id is not None:
            language = language_for(request, None)
            person, fresh = participants.join(session, link.organisation_id, language=language, now=now)
        person = participants.enter_cohort(session, link, person, now=now)
    answer = moved(request, "/pilot?just=entered", {"participant": participant_shown(person), "cohort": person.cohort})
    if fresh:
        keep_cookie(answer, core, person, fresh)
    return answer


def _team(session: DbSession, person: Participant, now: Any) -> dict[str, Any]:
    organisation: Organisation = identity.organisation_by_id(session, person.organisation_id)
    query = select(Campaign).where(Campaign.organisation_id == organisation.id)
    trials = session.exec(query.where(Campaign.state == State.PILOT).order_by(Campaign.id)).all()  # type: ignore[arg-type]  # a column
    open_ones = [
        mission
        for campaign in planning.list_campaigns(session, organisation.id, before=None, limit=MISSIONS_SHOWN)
        if campaign.state_at(now) == State.LIVE
        for mission in missions.list_missions(session, campaign.id)
    ]
    return {
        "brand": organisation.name,
        "pseudonym": person.pseudonym,
        "pilots": [_pilot(session, one) for one in trials],
        "missions": [(one.title, _url(one)) for one in open_ones[:MISSIONS_SHOWN]],
    }


def _pilot(session: DbSession, campaign: Campaign) -> PilotView:
    pilot = planning.require_declared(session, campaign.id)
    found = [session.get(Place, id) for id in planning.pilot_places(pilot)]
    return PilotView(
        name=campaign.name,
        people=pilot.people,
        max_people=pilot.max_people,
        places=[place.name for place in found if place is not None],
        missions=[(one.title, _url(one)) for one in missions.list_missions(session, campaign.id)],
        thresholds=pilots.pilot_standing(session, campaign),
        shows_figures=pilot.people >= missions.LEAST_GROUP,
    )


def _url(mission: Mission) -> str:
    return f"/m/{mission.slug}"
