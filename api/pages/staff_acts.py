"""A shop's phone witnesses what a person did, by the code on theirs."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from api import problems, schemas
from api.dependencies import Core, Now, Services
from api.forms import read_fields, require_same_site, wants_json
from api.pages import views
from api.pages.phone import language_for
from api.pages.staff_session import Staff
from api.policies import STAFF
from campaigns import missions
from campaigns.errors import CampaignError
from campaigns.missions.codes import Witnessed
from campaigns.places import Place, StaffSession

router = APIRouter(prefix="/staff", tags=["staff"], dependencies=[STAFF])


class ValidationCreate(schemas.Request):
    """The code on a person's phone."""

    code: schemas.Text = Field("", max_length=40)


@router.get("/validations", response_class=HTMLResponse)
def ask_code(request: Request, core: Core, staff: Staff, code: Annotated[str, Query(max_length=40)] = "") -> Response:
    """The form for a person's code. What their QR code opens: nothing is taken before it is sent."""
    return _page(request, core, staff, typed="".join(one for one in code if one.isascii() and one.isdigit())[:6])


@router.post("/validations")
async def validate(request: Request, core: Core, staff: Staff, now: Now) -> Response:
    """Witness an act by the code on a person's phone, once: presence 3. JSON: `{outcome, pseudonym}`.

    404 `unknown_act_code` for one that is none or older than ten minutes, 409 `act_code_used`, 422 `other_place`.
    """
    require_same_site(request)
    asked = await read_fields(request, ValidationCreate)
    return await run_in_threadpool(_validate, request, core, staff, asked, now)


def _validate(
    request: Request, core: Services, staff: StaffSession, asked: ValidationCreate, now: datetime
) -> Response:
    try:
        with core.database.transaction() as session:
            place = session.get_one(Place, staff.place_id)
            done = missions.validate(session, place, staff.id, asked.code, now=now)
    except CampaignError as error:
        if wants_json(request):
            raise
        fault = core.renderer.sentence(language_for(request, None), error.code, error.detail)
        return _page(request, core, staff, typed=asked.code, fault=fault, status=problems.status_of(error))
    if wants_json(request):
        return JSONResponse({"outcome": done.outcome.outcome, "pseudonym": done.person.pseudonym})
    return _page(request, core, staff, done=_told(done))


def _told(done: Witnessed) -> dict[str, Any]:
    return {
        "is_news": done.outcome.outcome == "verified",
        "name": done.person.pseudonym,
        "step": done.outcome.step,
        "mission": done.mission,
    }


def _page(
    request: Request,
    core: Services,
    staff: StaffSession,
    *,
    typed: str = "",
    fault: str = "",
    done: dict[str, Any] | None = None,
    status: int = 200,
) -> HTMLResponse:
    language = language_for(request, None)
    with core.database.snapshot() as session:
        place = session.get_one(Place, staff.place_id)
        brand = views.brand(session, place.organisation_id)
    page = core.renderer.page(
        "act_code.html",
        language,
        brand=brand,
        is_staff=True,
        action=f"/staff/validations?lang={language}",
        fault=fault,
        typed=typed,
        step="",
        back_url="/staff",
        done=done,
        other_lang_url="",
    )
    return HTMLResponse(page, status, headers={"Cache-Control": "no-store"})
