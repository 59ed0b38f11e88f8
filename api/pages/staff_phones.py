"""A shop's phones: signing one in by a one-time link, its PIN, and what a manager's phone does with the others."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from sqlmodel import Session as DbSession

from api import problems
from api.dependencies import Core, Now, ReadSession, Services, Session
from api.forms import require_same_site
from api.pages import views
from api.pages.phone import language_for
from api.pages.staff_session import (
    SignedIn,
    Staff,
    cookie_name,
    drop_cookie,
    keep_cookie,
    onward,
    sign_in_page,
    unlock_page,
)
from api.policies import STAFF
from campaigns import ids, participants, places
from campaigns.audit import Author, AuthorKind
from campaigns.errors import CampaignError, Invalid
from campaigns.places import Place, StaffRole, pin
from campaigns.places.phones import SHOWN_LINK_LIFE
from campaigns.scans.agents import Agent, classify
from campaigns.sealing import new_secret
from campaigns.tokens import qr

TEAM_LINK_LIFE = timedelta(days=1)  # of a link into the team: the phones are in the shop
router = APIRouter(prefix="/staff", tags=["staff"], dependencies=[STAFF])
Tongue = Annotated[str | None, Query(max_length=20)]
Typed = Annotated[str, Form(max_length=200)]


@router.get("/sign-in/{secret}", response_class=HTMLResponse, include_in_schema=False)
def show_link(request: Request, core: Core, session: ReadSession, now: Now, secret: str) -> HTMLResponse:
    """What a one-time link opens: a form. Opening it uses nothing, so previews cannot burn it."""
    language = language_for(request, None)
    try:
        return _sign_in_form(core, session, language, places.link_by_secret(session, secret[:100], now=now), secret)
    except CampaignError as error:
        problem = core.renderer.sentence(language, error.code, error.detail)
        return sign_in_page(core, language, problem=problem, status=problems.status_of(error))


@router.post("/sign-in/{secret}", include_in_schema=False)
def sign_in(
    request: Request,
    core: Core,
    session: Session,
    now: Now,
    secret: str,
    chosen: Annotated[Typed, Form(alias="pin")] = "",
) -> Response:
    """Use the link, with a PIN the person chooses: a session of 90 days for this phone, in place of the one it had."""
    require_same_site(request)
    link = places.link_by_secret(session, secret[:100], now=now)
    try:
        pin.check_pin(chosen)
    except Invalid as error:
        if not problems.wants_page(request):
            raise
        language = language_for(request, None)
        fault = core.renderer.sentence(language, error.code)
        return _sign_in_form(core, session, language, link, secret, fault=fault, typed=chosen)
    staff, fresh = places.sign_in(
        session,
        secret[:100],
        pin=chosen,
        pin_key=core.pin_key,
        label=_phone_name(classify(request.headers.get("user-agent", ""))),
        replaces=request.cookies.get(cookie_name(core)),
        now=now,
    )
    request.state.author = Author(AuthorKind.STAFF, staff.id)
    answer = RedirectResponse("/staff", 303)
    keep_cookie(answer, core, fresh, int((staff.expires_at - now).total_seconds()))
    return answer


@router.get("/unlock", include_in_schema=False)
def show_lock() -> Response:
    """The address of the form below, loaded again: the staff page asks for the PIN if it must."""
    return RedirectResponse("/staff", 303)


@router.post("/unlock")
def unlock(
    request: Request,
    core: Core,
    session: Session,
    now: Now,
    staff: SignedIn,
    typed: Annotated[Typed, Form(alias="pin")] = "",
    following: Annotated[Typed, Form(alias="next")] = "/staff",
) -> Response:
    """Unlock this phone with its PIN, and go on to `next`, one of our staff pages. Five wrong PINs sign it out."""
    require_same_site(request)
    tried = places.unlock(session, staff.id, typed, pin_key=core.pin_key, now=now)
    if tried.is_open:
        return RedirectResponse(onward(following), 303)
    if not tried.tries_left:
        return _signed_out_by_guessing(request, core)
    if not problems.wants_page(request):
        return problems.answer(request, 422, "pin_wrong", problems.PROBLEMS["pin_wrong"][1])
    return unlock_page(request, core, staff.place_id, following=following, tries_left=tried.tries_left, status=422)


@router.post("/links", response_class=HTMLResponse)
def show_new_link(
    request: Request,
    core: Core,
    session: Session,
    now: Now,
    staff: Staff,
    role: Annotated[StaffRole, Form()] = StaffRole.STAFF,
) -> HTMLResponse:
    """A sign-in link for another phone of this place, as QR and text, good for 15 minutes. For a manager's phone."""
    require_same_site(request)
    secret = new_secret()
    url = f"{core.settings.base_url}/staff/sign-in/{secret}"
    svg = qr.svg(url, error_correction=qr.ErrorCorrection.M, module_px=6).decode()  # before the transaction begins
    places.require_manager(session, staff.id, now=now)
    place = session.get_one(Place, staff.place_id)
    places.issue_staff_link(session, place, role=role, secret=secret, life=SHOWN_LINK_LIFE, now=now)
    language = language_for(request, None)
    page = core.renderer.page(
        "staff_link.html",
        language,
        brand=views.brand(session, place.organisation_id),
        place=place,
        url=url,
        qr_svg=svg[svg.index("<svg") :],
        is_manager=role == StaffRole.MANAGER,
        minutes=int(SHOWN_LINK_LIFE.total_seconds()) // 60,
        other_lang_url="",
    )
    return HTMLResponse(page, headers={"Cache-Control": "no-store"})


@router.post("/team-links", response_class=HTMLResponse)
def show_team_link(
    request: Request,
    core: Core,
    session: Session,
    now: Now,
    staff: Staff,
    max_uses: Annotated[int, Form(ge=1, le=100)] = 1,
) -> HTMLResponse:
    """A link into the employee cohort, as QR and text, for so many people and a day. For a manager's phone."""
    require_same_site(request)
    secret = new_secret()
    url = f"{core.settings.base_url}/pilot/join/{secret}"
    svg = qr.svg(url, error_correction=qr.ErrorCorrection.M, module_px=6).decode()  # before the transaction begins
    places.require_manager(session, staff.id, now=now)
    place = session.get_one(Place, staff.place_id)
    participants.issue_cohort_link(
        session,
        place.organisation_id,
        max_uses=max_uses,
        place_id=place.id,
        expires_at=now + TEAM_LINK_LIFE,
        secret=secret,
        now=now,
    )
    page = core.renderer.page(
        "team_link.html",
        language_for(request, None),
        brand=views.brand(session, place.organisation_id),
        place=place,
        url=url,
        qr_svg=svg[svg.index("<svg") :],
        max_uses=max_uses,
        other_lang_url="",
    )
    return HTMLResponse(page, headers={"Cache-Control": "no-store"})


@router.post("/sessions/{session_id}/revocation")
def revoke(request: Request, core: Core, session: Session, now: Now, staff: Staff, session_id: str) -> Response:
    """Sign another phone of this shop out, from a manager's phone; or this one."""
    require_same_site(request)
    id = ids.parse("ses", session_id)
    if id != staff.id:
        places.require_manager(session, staff.id, now=now)
    places.revoke_staff_session(session, staff.place_id, id, now=now)
    return RedirectResponse("/staff", 303)


@router.post("/sign-out")
def sign_out(request: Request, core: Core, session: Session, now: Now, staff: Staff) -> Response:
    """Sign this phone out: its cookie is good for nothing any more."""
    require_same_site(request)
    places.revoke_staff_session(session, staff.place_id, staff.id, now=now)
    answer = RedirectResponse("/staff", 303)
    drop_cookie(answer, core)
    return answer


def _sign_in_form(
    core: Services,
    session: DbSession,
    language: str,
    link: places.StaffLink,
    secret: str,
    *,
    fault: str = "",
    typed: str = "",
) -> HTMLResponse:
    place = session.get_one(Place, link.place_id)
    return sign_in_page(
        core,
        language,
        brand=views.brand(session, place.organisation_id),
        place=place,
        action=f"/staff/sign-in/{secret}",
        fault=fault,
        typed=typed,
        status=422 if fault else 200,
    )


def _signed_out_by_guessing(request: Request, core: Services) -> Response:
    """The fifth wrong PIN: what happened and what to do. No exception, or its count would be undone."""
    code, language = "pin_tries", language_for(request, None)
    status = problems.status_of_code(code)
    answer: Response
    if problems.wants_page(request):
        answer = sign_in_page(core, language, problem=core.renderer.sentence(language, code), status=status)
    else:
        answer = problems.answer(request, status, code, problems.PROBLEMS[code][1])
    drop_cookie(answer, core)
    return answer


def _phone_name(agent: Agent) -> str:
    """What a list of phones calls one: `iOS, Mobile Safari`."""
    os = {"ios": "iOS", "mac os x": "macOS"}.get(agent.os, agent.os.title())
    return f"{os}, {agent.browser.title()}"
