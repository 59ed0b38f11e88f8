"""Who stands before a staff page: the session of a shop's phone, from its cookie; and whether it must show its PIN."""

import re
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, Response

from api import problems
from api.dependencies import Core, Services
from api.pages import views
from api.pages.render import language_of
from campaigns import places
from campaigns.audit import Author, AuthorKind
from campaigns.errors import Forbidden
from campaigns.places import Locked, Place, StaffSession

# Where an unlocked phone may be led: our own staff pages. No dot, percent sign or backslash, so nothing leads out.
_ONWARD = re.compile(r"/staff(/[A-Za-z0-9_/-]*)?(\?[A-Za-z0-9_=&-]*)?")


def cookie_name(core: Services) -> str:
    """`__Host-` where the base URL is https: no other host of the domain can plant such a cookie."""
    return "__Host-passerelle_staff" if core.settings.is_https else "passerelle_staff"


def signed_in(request: Request, core: Core) -> StaffSession:
    """The session of this phone, locked or not; Forbidden when there is none, or it was revoked."""
    secret = request.cookies.get(cookie_name(core))
    if not secret:
        raise Forbidden("This phone is not signed in. Open a staff link of your shop.", code="not_signed_in")
    with core.database.snapshot() as session:
        return places.staff_session_by_secret(session, secret, now=core.clock())


def unlocked(request: Request, core: Core) -> StaffSession:
    """The same, and its PIN is not asked for; Locked else."""
    staff = signed_in(request, core)
    if staff.is_locked(core.clock()):
        raise Locked(staff.place_id)
    request.state.author = Author(AuthorKind.STAFF, staff.id)
    return staff


def at_work(request: Request, core: Core) -> StaffSession:
    """The same, by an act of the person: the phone is in use. What a page asks for by itself must not count."""
    staff = unlocked(request, core)
    now = core.clock()
    if staff.is_to_note(now):
        core.activity.note(lambda session: places.note_activity(session, staff.id, now=now))
    return staff


SignedIn = Annotated[StaffSession, Depends(signed_in)]
Watching = Annotated[StaffSession, Depends(unlocked)]
Staff = Annotated[StaffSession, Depends(at_work)]


def keep_cookie(answer: Response, core: Services, secret: str, max_age: int) -> None:
    """Give the phone its session's secret."""
    answer.set_cookie(
        cookie_name(core),
        secret,
        max_age=max_age,
        path="/",
        secure=core.settings.is_https,
        httponly=True,
        samesite="lax",
    )


def drop_cookie(answer: Response, core: Services) -> None:
    """Take it back. A `__Host-` cookie is dropped only by one with the same attributes."""
    answer.delete_cookie(cookie_name(core), path="/", secure=core.settings.is_https, httponly=True, samesite="lax")


def onward(asked: str) -> str:
    """The staff page to go on to: the one asked for when it is one of ours, else the first."""
    return asked if _ONWARD.fullmatch(asked) else "/staff"


def refuse_locked(request: Request, error: Exception) -> Response:
    """A locked phone: the page that asks for its PIN, or a problem where no person is looking."""
    assert isinstance(error, Locked)  # noqa: S101  # FastAPI calls it for nothing else
    if not problems.wants_page(request):
        return problems.refuse(request, error)
    is_act = request.method not in ("GET", "HEAD")
    url = request.url
    came_for = "/staff" if is_act else f"{url.path}?{url.query}" if url.query else url.path
    core: Services = request.app.state.services
    return unlock_page(request, core, error.place_id, following=came_for, was_refused=is_act)


def unlock_page(
    request: Request,
    core: Services,
    place_id: UUID,
    *,
    following: str,
    was_refused: bool = False,
    tries_left: int | None = None,
    status: int = 403,
) -> HTMLResponse:
    """The page that asks for the PIN. `was_refused`: a form was sent, and nothing was done."""
    language = language_of(request.query_params.get("lang"), request.headers.get("accept-language", ""))
    with core.database.snapshot() as session:
        place = session.get_one(Place, place_id)
        brand = views.brand(session, place.organisation_id)
    page = core.renderer.page(
        "staff_locked.html",
        language,
        brand=brand,
        place=place,
        following=onward(following),
        was_refused=was_refused,
        tries_left=tries_left,
        other_lang_url="",
    )
    return HTMLResponse(page, status, headers={"Cache-Control": "no-store"})


def sign_in_page(
    core: Services,
    language: str,
    *,
    brand: str = "",
    place: Place | None = None,
    action: str = "",
    problem: str = "",
    fault: str = "",
    typed: str = "",
    status: int = 200,
) -> HTMLResponse:
    """The form of a staff link, with the `fault` of a PIN that was `typed`; without `action` the `problem`, or how."""
    page = core.renderer.page(
        "staff_signin.html",
        language,
        brand=brand,
        place=place,
        action=action,
        problem=problem,
        fault=fault,
        typed=typed[:20],
        other_lang_url="",
    )
    return HTMLResponse(page, status, headers={"Cache-Control": "no-store", "Referrer-Policy": "same-origin"})
