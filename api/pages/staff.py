"""The shop's view: what to do now, today live, the till code, and the phones signed in."""

import asyncio
import json
from collections.abc import AsyncIterable
from datetime import datetime

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from sqlmodel import Session as DbSession

from api.dependencies import Core, Now, ReadSession, Services
from api.pages import views
from api.pages.phone import language_for
from api.pages.staff_session import Watching, at_work, sign_in_page
from api.policies import STAFF
from campaigns import care, ids, places, tokens
from campaigns.errors import Forbidden
from campaigns.places import Locked, Place, StaffSession

router = APIRouter(prefix="/staff", tags=["staff"], dependencies=[STAFF])
CASES_SHOWN = 50
LOOK_S = 0.7  # between two looks at the figures: a scan shows well within two seconds


@router.get("", response_class=HTMLResponse)
def console(request: Request, core: Core, session: ReadSession, now: Now) -> HTMLResponse:
    """The staff page of a place. Signed in by a staff link; else it says how. A locked phone shows its PIN first."""
    language = language_for(request, None)
    try:
        staff = at_work(request, core)
    except Locked:
        raise
    except Forbidden:
        return sign_in_page(core, language, status=401)
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
        is_manager=staff.is_manager,
        cases=[
            {
                "id": ids.show("cas", one.id),
                "reference": one.reference,
                "state": one.state,
                "due": views.moment(one.due_at, place, language),
                "is_late": one.due_at < now,
            }
            for one in care.cases_of_place(session, place.id, limit=CASES_SHOWN)
        ],
        sessions=[
            {
                "label": one.label,
                "since": views.day(one.created_at, place, language),
                "current": one.id == staff.id,
                "is_manager": one.is_manager,
                "id": ids.show("ses", one.id),
            }
            for one in places.list_staff_sessions(session, place.id, now=now)
        ],
    )
    return HTMLResponse(page, headers={"Cache-Control": "no-store"})


@router.get("/stream", response_class=EventSourceResponse)
async def stream(request: Request, core: Core, staff: Watching) -> AsyncIterable[ServerSentEvent]:
    """The live part of the staff page as server-sent events `live`: HTML, sent when a figure changed.

    It is no use of the phone, and ends when the phone locks.
    """
    language = language_for(request, None)
    shown: object = None
    while not request.app.state.stopping.is_set():
        html, figures = await asyncio.to_thread(_look, core, staff, language)
        if html is None:
            return
        if figures != shown:
            shown = figures
            yield ServerSentEvent(event="live", raw_data=json.dumps(html))
        await asyncio.sleep(LOOK_S)


def live_fragment(
    core: Services, session: DbSession, place: Place, language: str, now: datetime
) -> tuple[str, tuple[object, ...]]:
    """The live part as HTML, and what makes it differ from another moment's: not the seconds that pass."""
    view = views.shop_view(session, core.renderer, place, language=language, till_key=core.till_key, now=now)
    html = core.renderer.page("staff_live.html", language, **{name: getattr(view, name) for name in _FIELDS})
    return html, (view.todo, view.till_code, view.today, view.hours)


_FIELDS = ("todo", "till_code", "till_seconds_left", "today", "hours", "max_raw", "as_of")


def _look(core: Services, staff: StaffSession, language: str) -> tuple[str | None, object]:
    """One look at the figures; None when the session is over or locked."""
    now = core.clock()
    with core.database.snapshot() as session:
        standing = session.get(StaffSession, staff.id)
        if standing is None or not standing.is_standing(now) or standing.is_locked(now):
            return None, None
        return live_fragment(core, session, session.get_one(Place, staff.place_id), language, now)
