"""Signing in and out of the console: a one-time link shows a button, and the button uses it; links by mail."""

import logging

from fastapi import APIRouter, BackgroundTasks, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from api.dependencies import Core, Now, ReadSession, Services, Session
from api.pages import views
from api.pages.console_session import (
    Form,
    address,
    cookie_name,
    forget_once,
    give_cookie,
    language_for,
    take_cookie,
)
from api.policies import PUBLIC
from api.problems import status_of
from api.sign_in_links import url_of
from campaigns import identity
from campaigns.audit import Author, AuthorKind
from campaigns.errors import CampaignError, Conflict, Forbidden, NotFound
from campaigns.scans.agents import classify

router = APIRouter(prefix="/console", include_in_schema=False, dependencies=[PUBLIC])
LONGEST = 254  # characters of an address

log = logging.getLogger("passerelle.console")


@router.get("/sign-in", response_class=HTMLResponse)
def how_to_sign_in(request: Request, core: Core) -> HTMLResponse:
    """How to sign in: a form for one's address where mail is set up, else who makes links."""
    return _page(request, core)


@router.post("/sign-in")
def ask_for_link(request: Request, core: Core, form: Form, after: BackgroundTasks) -> Response:
    """Send a link to an address, if it is a member's. The answer is the same for every address, and as fast."""
    if core.postman is not None and 0 < len(form["email"].strip()) <= LONGEST:
        after.add_task(send_links, core, form["email"])
    return RedirectResponse(address(request, "/console/sign-in", done="asked"), 303)


@router.get("/sign-in/{secret}", response_class=HTMLResponse)
def show_link(request: Request, core: Core, session: ReadSession, now: Now, secret: str) -> HTMLResponse:
    """What a one-time link opens: a button. Opening it uses nothing, so previews cannot burn it."""
    try:
        _, member = identity.link_by_secret(session, secret[:100], now=now)
    except CampaignError as error:
        return _page(request, core, error=error)
    return _page(
        request,
        core,
        brand=views.brand(session, member.organisation_id),
        whom=member.name,
        action=address(request, f"/console/sign-in/{secret}"),
    )


@router.post("/sign-in/{secret}")
def sign_in(request: Request, core: Core, form: Form, now: Now, secret: str) -> Response:
    """Use the link: a new session with a new secret, whatever cookie the browser came with; that one's session ends."""
    label = browser_name(request)
    replaces = request.cookies.get(cookie_name(core))
    try:
        with core.database.transaction(author=lambda: request.state.author) as session:
            _, member = identity.link_by_secret(session, secret[:100], now=now)
            request.state.author = Author(AuthorKind.MEMBER, member.id)
            signed, fresh = identity.sign_in_member(session, secret[:100], label=label, replaces=replaces, now=now)
    except CampaignError as error:
        return _page(request, core, error=error)
    answer = RedirectResponse(address(request, "/console"), 303)
    give_cookie(answer, core, cookie_name(core), fresh, int((signed.expires_at - now).total_seconds()))
    return answer


@router.post("/sign-out")
def sign_out(request: Request, core: Core, form: Form, session: Session, now: Now) -> Response:
    """End this session on the server, and take the cookie back."""
    answer = RedirectResponse(address(request, "/console/sign-in", done="out"), 303)
    take_cookie(answer, core, cookie_name(core))
    forget_once(answer, core)
    try:
        found = identity.member_by_session(session, request.cookies.get(cookie_name(core), ""), now=now)
    except Forbidden:  # it is over already
        return answer
    request.state.author = Author(AuthorKind.MEMBER, found.member.id)
    identity.revoke_session(session, found.member, found.session.id, now=now)
    return answer


def send_links(core: Services, email: str) -> None:
    """A link to each member with that address, one an organisation. After five in half an hour none."""
    assert core.postman is not None  # noqa: S101  # nobody is asked for an address without one
    now = core.clock()
    with core.database.snapshot() as session:
        found = identity.find_members(session, email)
    for one in found:
        try:
            with core.database.transaction() as session:
                member = identity.member_by_id(session, one.organisation_id, one.id)
                link, secret = identity.new_sign_in_link(session, member, most=member.rights, now=now)
                brand = views.brand(session, member.organisation_id)
        except NotFound:  # removed meanwhile
            continue
        except Conflict:
            log.warning("a member was sent five sign-in links in half an hour, and gets no more for now")
            continue
        core.postman.post_sign_in_link(member.email or "", brand, url_of(core, secret), link.expires_at)


def browser_name(request: Request) -> str:
    """What a list of sessions calls a browser: `macOS, Firefox`."""
    agent = classify(request.headers.get("user-agent", ""))
    system = {"ios": "iOS", "mac os x": "macOS"}.get(agent.os, agent.os.title())
    return f"{system}, {agent.browser.title()}"


def _page(
    request: Request,
    core: Services,
    *,
    error: CampaignError | None = None,
    brand: str = "",
    whom: str = "",
    action: str = "",
) -> HTMLResponse:
    language = language_for(request)
    html = core.renderer.page(
        "console_sign_in.html",
        language,
        brand=brand,
        whom=whom,
        action=action,
        problem=core.renderer.sentence(language, error.code, error.detail) if error else "",
        done=request.query_params.get("done", ""),
        has_mail=core.postman is not None,
        ask_action=address(request, "/console/sign-in"),
    )
    return HTMLResponse(html, status_of(error) if error else 200)
