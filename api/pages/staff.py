"""The shop's view: signing a phone in by a one-time link, what to do now, today live, and the till code."""

import asyncio
import json
from collections.abc import AsyncIterable
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from sqlmodel import Session as DbSession

from api.dependencies import Core, Now, ReadSession, Services, Session
from api.forms import require_same_site
from api.pages import views
from api.pages.render import language_of
from api.pages.staff_session import COOKIE, Staff, signed_in
from api.policies import STAFF
from api.problems import status_of
from campaigns import ids, places, tokens
from campaigns.errors import CampaignError, Forbidden
from campaigns.places import Place, StaffSession
from campaigns.scans.agents import Agent, classify

router = APIRouter(prefix="/staff", tags=["staff"], dependencies=[STAFF])
LOOK_S = 0.7  # between two looks at the figures: a scan shows well within two seconds
Tongue = Annotated[str | None, Query(max_length=20)]


@router.get("/sign-in/{secret}", response_class=HTMLResponse, include_in_schema=False)
def show_link(request: Request, core: Core, session: ReadSession, now: Now, secret: str) -> HTMLResponse:
    """What a one-time link opens: a button. Opening it uses nothing, so previews cannot burn it."""
    language = _language(request)
    try:
        link = places.link_by_secret(session, secret[:100], now=now)
    except CampaignError as error:
        problem = core.renderer.sentence(language, error.code, error.detail)
        return _sign_in_page(core, language, problem=problem, status=status_of(error))
    place = session.get_one(Place, link.place_id)
    brand = views.brand(session, place.organisation_id)
    return _sign_in_page(core, language, brand=brand, place=place, action=f"/staff/sign-in/{secret}")


@router.post("/sign-in/{secret}", include_in_schema=False)
def sign_in(request: Request, core: Core, session: Session, now: Now, secret: str) -> Response:
    """Use the link: a session of 90 days for this phone."""
    require_same_site(request)
    agent = classify(request.headers.get("user-agent", ""))
    staff, fresh = places.sign_in(session, secret[:100], label=_phone_name(agent), now=now)
    answer = RedirectResponse("/staff", 303)
    answer.set_cookie(
        COOKIE,
        fresh,
        max_age=int((staff.expires_at - now).total_seconds()),
        httponly=True,
        samesite="lax",
        secure=core.settings.is_https,
    )
    return answer


@router.get("", response_class=HTMLResponse)
def console(request: Request, core: Core, session: ReadSession, now: Now) -> HTMLResponse:
    """The staff page of a place. Signed in by a staff link; else it says how."""
    language = _language(request)
    try:
        staff = signed_in(request, core)
    except Forbidden:
        return _sign_in_page(core, language, status=401)
    place = session.get_one(Place, staff.place_id)
    page = core.renderer.page(
        "staff.html",
        language,
        brand=views.brand(session, place.organisation_id),
        js=core.renderer.script("staff.js"),
        place=place,
        session_until=views.day(staff.expires_at, place, language),
        live_html=live_fragment(core, session, place, language, now)[0],
        has_screen=bool(tokens.live_tokens_of_place(session, place.id, now=now)),
        stream_url=f"/staff/stream?lang={language}",
        sessions=[
            {
                "label": one.label,
                "since": views.day(one.created_at, place, language),
                "current": one.id == staff.id,
                "id": ids.show("ses", one.id),
            }
            for one in places.list_staff_sessions(session, place.id, now=now)
        ],
    )
    return HTMLResponse(page, headers={"Cache-Control": "no-store"})


@router.get("/stream", response_class=EventSourceResponse)
async def stream(request: Request, core: Core, staff: Staff) -> AsyncIterable[ServerSentEvent]:
    """The live part of the staff page as server-sent events `live`: HTML, sent when a figure changed."""
    language = _language(request)
    shown: object = None
    while not request.app.state.stopping.is_set():
        html, figures = await asyncio.to_thread(_look, core, staff, language)
        if html is None:
            return
        if figures != shown:
            shown = figures
            yield ServerSentEvent(event="live", raw_data=json.dumps(html))
        await asyncio.sleep(LOOK_S)


@router.post("/sessions/{session_id}/revocation")
def revoke(request: Request, core: Core, session: Session, now: Now, staff: Staff, session_id: str) -> Response:
    """Sign another phone of this shop out."""
    require_same_site(request)
    places.revoke_staff_session(session, staff.place_id, ids.parse("ses", session_id), now=now)
    return RedirectResponse("/staff", 303)


@router.post("/sign-out")
def sign_out(request: Request, session: Session, now: Now, staff: Staff) -> Response:
    """Sign this phone out."""
    require_same_site(request)
    places.revoke_staff_session(session, staff.place_id, staff.id, now=now)
    answer = RedirectResponse("/staff", 303)
    answer.delete_cookie(COOKIE)
    return answer


def live_fragment(
    core: Services, session: DbSession, place: Place, language: str, now: datetime
) -> tuple[str, tuple[object, ...]]:
    """The live part as HTML, and what makes it differ from another moment's: not the seconds that pass."""
    view = views.shop_view(session, core.renderer, place, language=language, till_key=core.till_key, now=now)
    html = core.renderer.page("staff_live.html", language, **{name: getattr(view, name) for name in _FIELDS})
    return html, (view.todo, view.till_code, view.today, view.hours)


_FIELDS = ("todo", "till_code", "till_seconds_left", "today", "hours", "max_raw", "as_of")


def _look(core: Services, staff: StaffSession, language: str) -> tuple[str | None, object]:
    """One look at the figures; None when the session is over."""
    now = core.clock()
    with core.database.snapshot() as session:
        standing = session.get(StaffSession, staff.id)
        if standing is None or standing.revoked_at is not None or standing.expires_at <= now:
            return None, None
        return live_fragment(core, session, session.get_one(Place, staff.place_id), language, now)


def _sign_in_page(
    core: Services,
    language: str,
    *,
    brand: str = "",
    place: Place | None = None,
    problem: str = "",
    action: str = "",
    status: int = 200,
) -> HTMLResponse:
    page = core.renderer.page(
        "staff_signin.html", language, brand=brand, place=place, problem=problem, action=action, other_lang_url=""
    )
    return HTMLResponse(page, status, headers={"Cache-Control": "no-store", "Referrer-Policy": "same-origin"})


def _phone_name(agent: Agent) -> str:
    """What a list of phones calls one: `iOS, Mobile Safari`."""
    os = {"ios": "iOS", "mac os x": "macOS"}.get(agent.os, agent.os.title())
    return f"{os}, {agent.browser.title()}"


def _language(request: Request) -> str:
    return language_of(request.query_params.get("lang"), request.headers.get("accept-language", ""))
