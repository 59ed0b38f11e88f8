"""The shop's figures: now, today beside last week, the week by the hour, its codes; live, and of this place alone."""

from datetime import datetime

from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from sqlmodel import Session as DbSession

from api import figures_now
from api.dependencies import Core, Services
from api.pages import figure_views, views
from api.pages.phone import language_for
from api.pages.staff_session import Staff, Watching
from api.policies import STAFF
from api.streams import Reading, Watcher
from campaigns import care, ids, stats
from campaigns.places import Place, StaffSession
from campaigns.stats import Scope

router = APIRouter(prefix="/staff/figures", tags=["staff"], dependencies=[STAFF])
CASES_SHOWN = 5


@router.get("", response_class=HTMLResponse)
def show_figures(request: Request, core: Core, staff: Staff) -> HTMLResponse:
    """The figures of the place of this phone, and of no other, whatever is asked for."""
    language = language_for(request, None)
    now = core.clock()
    with core.database.moment() as session:
        place = session.get_one(Place, staff.place_id)
        scope = stats.scope_of_place(session, place, now=now)
        shown = figure_views.board(Reading.begin(session, now), scope, language)
        cases = [
            {
                "id": ids.show("cas", one.id),
                "reference": one.reference,
                "due": views.moment(one.due_at, place, language),
            }
            for one in care.cases_of_place(session, place.id, limit=CASES_SHOWN)
        ]
        brand = views.brand(session, place.organisation_id)
    page = core.renderer.page(
        "staff_figures.html",
        language,
        brand=brand,
        js=core.renderer.script("figures.js"),
        figures_css=core.renderer.figures_css,
        title=place.name,
        stream_url="/staff/figures/stream",
        newest_url="/staff/figures/now",
        cases=cases,
        **shown,
    )
    return HTMLResponse(page, headers={"Cache-Control": "no-store"})


@router.get("/stream", response_class=Response)
def stream_figures(request: Request, core: Core, staff: Watching) -> Response:
    """The headline figures of the place as server-sent events `figures`. It ends when the phone locks or is signed out.

    It is no use of the phone: an open page keeps none unlocked.
    """
    place_id, session_id = staff.place_id, staff.id

    def may_still(session: DbSession, now: datetime) -> bool:
        found = session.get(StaffSession, session_id)
        if found is None or found.place_id != place_id:
            return False
        return found.is_standing(now) and not found.is_locked(now)

    return figures_now.stream(request, _scope(core, staff), Watcher("page", staff.id, may_still))


@router.get("/now", response_class=Response)
async def newest_figures(request: Request, core: Core, staff: Watching) -> Response:
    """The same once, for a page whose stream does not come through; 304 to the tag of what it shows."""
    return await figures_now.newest(request, await to_thread.run_sync(_scope, core, staff))


def _scope(core: Services, staff: StaffSession) -> Scope:
    with core.database.snapshot() as session:
        return stats.scope_of_place(session, session.get_one(Place, staff.place_id), now=core.clock())
