"""The cases of a shop on its phone: what shoppers told it, until when an answer is due, and the answer."""

from typing import Annotated

from babel.dates import format_datetime
from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from api import schemas
from api.dependencies import Core, Now, Services, Session
from api.forms import require_same_site
from api.pages import views
from api.pages.phone import language_for, onward
from api.pages.staff_session import Staff
from api.policies import STAFF
from api.problems import status_of
from campaigns import care, clock, ids
from campaigns.care import Speaker
from campaigns.care.cases import TEXT_LIMIT
from campaigns.errors import CampaignError, Invalid, NotFound
from campaigns.places import Place, StaffSession

router = APIRouter(prefix="/staff", tags=["staff"], dependencies=[STAFF])
Typed = Annotated[str, Form(max_length=20_000)]


@router.get("/cases/{case_id}", response_class=HTMLResponse)
def show_case(request: Request, core: Core, staff: Staff, case_id: str) -> HTMLResponse:
    """A case of the phone's place: what was said, and a form to answer."""
    return _page(request, core, staff, case_id)


@router.post("/cases/{case_id}/acknowledgment")
def acknowledge(request: Request, staff: Staff, session: Session, now: Now, case_id: str) -> Response:
    """Tell the person that somebody read it."""
    require_same_site(request)
    case = care.case_of_place(session, staff.place_id, ids.parse("cas", case_id))
    care.acknowledge(session, case, now=now)
    return RedirectResponse(onward(request, f"/staff/cases/{case_id}"), 303)


@router.post("/cases/{case_id}/answer")
def answer(request: Request, core: Core, staff: Staff, now: Now, case_id: str, text: Typed = "") -> Response:
    """Answer a case of the phone's place."""
    require_same_site(request)
    try:
        words = _clean(text)
        with core.database.transaction(author=request.state.author) as session:
            case = care.case_of_place(session, staff.place_id, ids.parse("cas", case_id))
            care.answer(session, case, text=words, speaker=Speaker.SHOP, now=now)
    except NotFound:
        raise
    except CampaignError as error:
        return _page(request, core, staff, case_id, error=error, text=text)
    return RedirectResponse(onward(request, f"/staff/cases/{case_id}"), 303)


def _clean(text: str) -> str:
    try:
        return schemas.clean(text)
    except ValueError as error:
        raise Invalid(str(error), pointer="/text") from error


def _page(
    request: Request,
    core: Services,
    staff: StaffSession,
    case_id: str,
    *,
    error: CampaignError | None = None,
    text: str = "",
) -> HTMLResponse:
    language = language_for(request, None)
    with core.database.snapshot() as session:
        place = session.get_one(Place, staff.place_id)
        case = care.case_of_place(session, place.id, ids.parse("cas", case_id))
        said = care.messages_of(session, case.id)
        brand = views.brand(session, place.organisation_id)
    zone = clock.zone(place.time_zone)
    page = core.renderer.page(
        "staff_case.html",
        language,
        brand=brand,
        place=place,
        case=case,
        case_id=case_id,
        lines=[
            (one.speaker, one.text, format_datetime(one.written_at, "d MMMM, HH:mm", tzinfo=zone, locale=language))
            for one in said
        ],
        due=format_datetime(case.due_at, "EEEE d MMMM, HH:mm", tzinfo=zone, locale=language),
        problem=core.renderer.sentence(language, error.code, error.detail) if error else "",
        text=text,
        text_limit=TEXT_LIMIT,
        other_lang_url=f"/staff/cases/{case_id}?lang={'en' if language == 'fr' else 'fr'}",
    )
    return HTMLResponse(page, status_of(error) if error else 200, headers={"Cache-Control": "no-store"})
