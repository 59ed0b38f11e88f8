"""Behind the till: hand a coupon out, take a mistake back, read the conflicts and what the shop is owed."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from babel.dates import format_date
from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import AfterValidator

from api import problems, schemas
from api.dependencies import Core, Now, ReadSession, Services
from api.forms import require_same_site
from api.pages import till_views, views
from api.pages.phone import language_for, onward
from api.pages.staff_session import Staff
from api.policies import STAFF
from campaigns import identity, ids, missions, places, rewards
from campaigns.clock import civil_day
from campaigns.errors import CampaignError
from campaigns.places import Place, StaffSession
from campaigns.rewards.statement import lines_of, totals
from campaigns.sponsorship import money

router = APIRouter(prefix="/staff/coupons", tags=["staff"], dependencies=[STAFF])
DAYS = 31  # of the statement


class Why(StrEnum):
    """Why a use is taken back: a closed list, so that nobody writes about a customer."""

    MISTAKE = "mistake"
    RETURNED = "returned"
    NOT_GIVEN = "not_given"


@router.post("/handings")
def hand_out(
    request: Request,
    core: Core,
    staff: Staff,
    now: Now,
    offer: Annotated[str, Form(max_length=60)],
    code: Annotated[str, Form(max_length=300), AfterValidator(schemas.clean)],
    handing_id: Annotated[UUID, Form()],
) -> Response:
    """Hand a coupon to the person whose act code, card or public code was read; the same `handing_id` gives one.

    404 for a code of nobody, 409 `has_coupon`, `no_coupon_left`, `offer_closed`, 429 `staff_limit`.
    """
    require_same_site(request)
    try:
        with core.database.transaction(author=request.state.author) as session:
            place = session.get_one(Place, staff.place_id)
            missions.take_staff_turn(session, staff.id, "acts", now=now)
            rewards.hand_out(session, place, ids.parse("off", offer), code, handing_id=handing_id, now=now)
    except CampaignError as error:
        return _told(request, core, staff, error, now)
    return RedirectResponse(onward(request, "/staff/coupons?just=handed_out"), 303)


@router.post("/redemptions/{redemption_id}/rollback")
def roll_back(
    request: Request, core: Core, staff: Staff, now: Now, redemption_id: str, reason: Annotated[Why, Form()]
) -> Response:
    """Take a mistaken use back, by a manager's phone: once a coupon, on the same day. The reason is in the audit log.

    403 from another phone, 409 `not_today`, `rolled_back_before`, `not_accepted`.
    """
    require_same_site(request)
    try:
        with core.database.transaction(author=request.state.author) as session:
            places.require_manager(session, staff.id, now=now)
            place = session.get_one(Place, staff.place_id)
            by, found = ids.show("ses", staff.id), ids.parse("rdm", redemption_id)
            rewards.roll_back(session, place, found, by=by, reason=reason.value, now=now)
    except CampaignError as error:
        return _told(request, core, staff, error, now)
    return RedirectResponse(onward(request, "/staff/coupons?just=rolled_back"), 303)


@router.get("/conflicts", response_class=HTMLResponse)
def read_conflicts(request: Request, core: Core, session: ReadSession, staff: Staff) -> HTMLResponse:
    """Coupons that a till without network took here, and another had taken; and the reverse. Whose use stands."""
    language = language_for(request, None)
    place = session.get_one(Place, staff.place_id)
    page = core.renderer.page(
        "staff_coupon_conflicts.html",
        language,
        brand=views.brand(session, place.organisation_id),
        place=place,
        conflicts=till_views.conflicts_of(session, place, language),
    )
    return HTMLResponse(page, headers=till_views.KEPT_PRIVATE)


@router.get("/statement", response_class=HTMLResponse)
def print_statement(request: Request, core: Core, session: ReadSession, staff: Staff, now: Now) -> HTMLResponse:
    """What the shop took in the last 31 days and is owed, to print, on a manager's phone. 403 on another."""
    places.require_manager(session, staff.id, now=now)
    language = language_for(request, None)
    place = session.get_one(Place, staff.place_id)
    until = civil_day(now, place.time_zone)
    since = until - timedelta(days=DAYS - 1)
    lines = lines_of(session, place, since=since, until=until)
    issuer = identity.organisation_by_id(session, place.organisation_id)
    page = core.renderer.page(
        "coupon_statement.html",
        language,
        brand=issuer.name,
        place=place,
        issuer=issuer,
        since=since,
        until=until,
        lines=lines,
        totals=sorted(totals(lines).items()),
        shown=lambda amount, currency: money.shown(amount, currency, language),
        day=lambda one: format_date(one, "long", locale=language),
    )
    return HTMLResponse(page, headers=till_views.KEPT_PRIVATE)


def _told(request: Request, core: Services, staff: StaffSession, error: CampaignError, now: Now) -> Response:
    if not problems.wants_page(request):
        raise error
    fault = core.renderer.sentence(language_for(request, None), error.code, error.detail)
    status = problems.status_of(error)
    with core.database.snapshot() as session:
        return till_views.start_page(request, core, session, staff, now=now, fault=fault, status=status)
