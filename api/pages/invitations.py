"""Word of mouth on a phone: a person's own link, ways to pass it on, and how many came by it."""

from datetime import datetime
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from sqlmodel import Session as DbSession
from starlette.concurrency import run_in_threadpool

from api import problems, schemas
from api.dependencies import Core, Now, Services
from api.forms import read_fields, require_same_site, wants_json
from api.pages import views
from api.pages.ages import Age
from api.pages.one_act import act_once, adult, step_named
from api.pages.phone import (
    ClientId,
    MissionName,
    Tongue,
    cookie_of,
    is_young,
    language_for,
    mission_named,
    objected,
    onward,
    phone_of,
)
from api.policies import PUBLIC
from campaigns import missions
from campaigns.errors import CampaignError
from campaigns.missions import Mission, StepKind
from campaigns.missions.models import text_in
from campaigns.participants import Participant
from campaigns.planning import Campaign
from campaigns.tokens import qr

router = APIRouter(prefix="/m", tags=["phones"], dependencies=[PUBLIC])


class InvitationCreate(schemas.Request):
    """A link needs nothing but the wish to invite; `age` is asked once."""

    client_id: ClientId | None = None
    age: Age = None


@router.get("/{mission}/invitations", response_class=HTMLResponse)
def invitations_page(request: Request, core: Core, mission: MissionName, now: Now, lang: Tongue = None) -> Response:
    """This person's link and how many came by it: never who. JSON when asked for: `url` is null without a link.

    `claimed` took part and have not come to a place yet, `qualified` came, `rewarded` came and did this person's step,
    `blocked` count for nobody.
    """
    with core.database.snapshot() as session:
        found = mission_named(session, mission)
        campaign = session.get_one(Campaign, found.campaign_id)
        person = missions.recognise(session, campaign, cookie_of(request, campaign), objected=objected(request))
        step_named(session, found, None, (StepKind.REFERRAL,))
        if wants_json(request):
            code = missions.find_public_code(session, found, person) if person else None
            body = _body(core, session, found, campaign, person, code)
            return JSONResponse(body, headers={"Cache-Control": "no-store"})
        return _page(request, core, session, found, campaign, person, now, lang=lang)


@router.post("/{mission}/invitations")
async def invite(request: Request, core: Core, mission: MissionName, now: Now) -> Response:
    """Make this person's link, or read it again. Form: 303 to the page that shows it. JSON: as the page's.

    409 `no_such_step` in a mission that asks for no referrals, 403 `under_age` under 15.
    """
    require_same_site(request)
    asked = await read_fields(request, InvitationCreate)
    return await run_in_threadpool(_invite, request, core, mission, asked, now)


def _invite(request: Request, core: Services, mission: str, asked: InvitationCreate, now: datetime) -> Response:
    phone = phone_of(request, now)

    def act(session: DbSession, found: Mission, campaign: Campaign, person: Participant) -> dict[str, Any]:
        person = adult(request, session, person, asked.age, now)
        code = missions.invite(session, found, campaign, person, phone, now=now)
        return _body(core, session, found, campaign, person, code)

    def onto(found: Mission, _: dict[str, Any]) -> str:
        return f"/m/{found.slug}/invitations"

    try:
        return act_once(request, core, mission, act, onto, age=asked.age, now=now)
    except CampaignError as error:
        if wants_json(request) or error.code != "age_missing":
            raise
        with core.database.snapshot() as session:
            found = mission_named(session, mission)
            campaign = session.get_one(Campaign, found.campaign_id)
            person = missions.recognise(session, campaign, cookie_of(request, campaign), objected=objected(request))
            text = core.renderer.word(language_for(request, None), "Say whether you are 15 or older.")
            page = _page(request, core, session, found, campaign, person, now, problem=text)
        page.status_code = problems.status_of(error)
        return page


def _body(
    core: Services,
    session: DbSession,
    mission: Mission,
    campaign: Campaign,
    person: Participant | None,
    code: str | None,
) -> dict[str, Any]:
    nobody = {state.value: 0 for state in missions.ReferralState}
    phase = missions.phase_shown(campaign, person)
    came = missions.came_by(session, mission, person.id, phase=phase) if person else nobody
    return {"url": _url(core, mission, code), **came}


def _url(core: Services, mission: Mission, code: str | None) -> str | None:
    return f"{core.settings.base_url}/m/{mission.slug}?s={code}" if code else None


def _page(
    request: Request,
    core: Services,
    session: DbSession,
    mission: Mission,
    campaign: Campaign,
    person: Participant | None,
    now: datetime,
    *,
    lang: str | None = None,
    problem: str = "",
) -> HTMLResponse:
    language = language_for(request, lang)
    step = step_named(session, mission, None, (StepKind.REFERRAL,))
    code = missions.find_public_code(session, mission, person) if person else None
    too_young = is_young(request) or (person is not None and bool(person.is_under_15))
    body = _body(core, session, mission, campaign, person, code)
    url = body.pop("url")
    title = text_in(mission.title, language)
    page = core.renderer.page(
        "invitations.html",
        language,
        **views.house(session, mission.organisation_id),
        js=core.renderer.script("shopper.js"),
        rules_url=f"/m/{mission.slug}/rules",
        mission=mission,
        mission_url=onward(request, f"/m/{mission.slug}"),
        action=onward(request, f"/m/{mission.slug}/invitations"),
        is_open=missions.state_shown(campaign, person, now=now).value in ("live", "draft", "pilot"),
        least=max(1, step.min_presence),
        too_young=too_young,
        asks_age=person is None or person.age_declared_at is None,
        problem=problem,
        url=url or "",
        mail=f"mailto:?subject={quote(title)}&body={quote(url)}" if url else "",
        text=f"sms:?&body={quote(f'{title} {url}')}" if url else "",
        svg=_svg(url) if url else "",
        came=body,
        other_lang_url=f"/m/{mission.slug}/invitations?lang={'en' if language == 'fr' else 'fr'}",
    )
    return HTMLResponse(page, headers={"Cache-Control": "no-store"})


def _svg(url: str) -> str:
    made = qr.svg(url, error_correction=qr.ErrorCorrection.M, module_px=5).decode()
    return made[made.index("<svg") :]
