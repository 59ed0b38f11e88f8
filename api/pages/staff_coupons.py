"""The till of a shop's phone: read a coupon in one of four ways, check it, use it once."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from api import problems, schemas
from api.dependencies import Core, Now, Services
from api.forms import read_fields, require_same_site, wants_json
from api.pages import till_views
from api.pages.coupon_views import ADDRESS
from api.pages.phone import after_its_twin, language_for, onward
from api.pages.staff_session import Staff
from api.policies import STAFF
from campaigns import ids, rewards
from campaigns.errors import CampaignError, Invalid
from campaigns.places import Place, StaffSession
from campaigns.rewards import Answer, Claim, Outcome
from campaigns.tokens import photos

router = APIRouter(prefix="/staff", tags=["staff"], dependencies=[STAFF])
Word = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[\x21-\x7e]+$")]


class CouponUse(schemas.Request):
    """A use of a coupon. `device` and `nonce` name the purchase: sent again it gets the same answer.

    `occurred_at`, of a till that was without network: when it took the coupon, at most seven days back.
    """

    code: schemas.Name
    device: Word
    nonce: Word
    occurred_at: schemas.Instant | None = None


@router.get("/coupons", response_class=HTMLResponse)
def till(
    request: Request,
    core: Core,
    staff: Staff,
    now: Now,
    code: Annotated[str, Query(max_length=300)] = "",
    just: Annotated[str, Query(pattern="^(rolled_back|handed_out|)$")] = "",
) -> Response:
    """The ways to read a coupon; with a code what it is worth here. Looking uses nothing."""
    if code:
        return _check(request, core, staff, code, now)
    with core.database.snapshot() as session:
        return till_views.start_page(request, core, session, staff, now=now, just=just)


@router.get("/coupons/{code}", response_class=HTMLResponse)
def check(request: Request, core: Core, staff: Staff, now: Now, code: str) -> Response:
    """What the QR code of a coupon opens: product, value and validity here, and the button that uses it."""
    return _check(request, core, staff, code[:300], now)


@router.post("/coupons/pictures")
async def read_picture(request: Request, core: Core, staff: Staff, now: Now) -> Response:
    """The code in a photo: `picture` of a form, or a body that is the PNG, JPEG or WebP. It is read and not kept.

    A form goes on to the coupon (303); JSON: `{code}`, null where none is seen. 422 `unreadable_picture`,
    `no_code_in_picture`.
    """
    require_same_site(request)
    file = await _picture(request)
    return await run_in_threadpool(_read, request, core, staff, file, now)


@router.post("/coupons/redemptions", status_code=201)
async def use(request: Request, core: Core, staff: Staff, now: Now) -> Response:
    """Use a coupon, once: 201 accepted, 200 refused with the reason, and of a used one where and when.

    JSON: `{outcome, reason, words, deduct_minor, choice}`. 422 `unreadable_code`, 409 `one_coupon_a_purchase`.
    """
    require_same_site(request)
    asked = await read_fields(request, CouponUse)
    return await run_in_threadpool(_use, request, core, staff, asked, now)


def _check(request: Request, core: Services, staff: StaffSession, code: str, now: datetime) -> Response:
    with core.database.snapshot() as session:
        place = session.get_one(Place, staff.place_id)
        try:
            looked = rewards.look_up(session, place, code, now=now)
        except Invalid as error:
            return _again(request, core, staff, error, now, typed=code)
        return till_views.check_page(request, core, session, staff, looked, now=now)


def _use(request: Request, core: Services, staff: StaffSession, asked: CouponUse, now: datetime) -> Response:
    claim = Claim(asked.code, asked.device, asked.nonce, asked.occurred_at)

    def act() -> Answer:
        with core.database.transaction(author=request.state.author) as session:
            return rewards.redeem(session, session.get_one(Place, staff.place_id), claim, now=now)

    try:
        answer = after_its_twin("busy", act)
    except CampaignError as error:
        if wants_json(request):
            raise
        return _again(request, core, staff, error, now, typed=asked.code)
    with core.database.snapshot() as session:
        if not wants_json(request):
            code = rewards.code_in(asked.code)
            return till_views.answer_page(request, core, session, staff, answer, code=code, now=now)
        done, language = answer.redemption, language_for(request, None)
        is_refused = done.outcome == Outcome.REFUSED
        words = till_views.words_of(session, core.renderer, answer, language) if is_refused else ""
    body: dict[str, Any] = {
        "id": ids.show("rdm", done.id),
        "outcome": done.outcome,
        "reason": done.reason,
        "words": words,
    }
    body |= {"deduct_minor": answer.deduct_minor, "choice": done.choice}
    return JSONResponse(body, 200 if is_refused else 201)


async def _picture(request: Request) -> bytes:
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        return await request.body()
    async with request.form(max_fields=5, max_files=1) as form:
        found = form.get("picture")
        return await found.read() if isinstance(found, UploadFile) else b""


def _read(request: Request, core: Services, staff: StaffSession, file: bytes, now: datetime) -> Response:
    try:
        code = _coupon_in(photos.texts_in(file))
    except Invalid as error:
        if wants_json(request):
            raise
        return _again(request, core, staff, error, now)
    if wants_json(request):
        return JSONResponse({"code": code})
    if code is None:
        return _again(request, core, staff, Invalid("No coupon is in the photo.", code="no_code_in_picture"), now)
    return RedirectResponse(onward(request, f"{ADDRESS}{code}"), 303)


def _coupon_in(texts: list[str]) -> str | None:
    """The code of the coupon among the texts of a picture: a coupon's address before what only looks like a code."""
    for text in sorted(texts, key=lambda one: ADDRESS not in one):
        try:
            return rewards.code_in(text)
        except Invalid:
            continue
    return None


def _again(
    request: Request, core: Services, staff: StaffSession, error: CampaignError, now: datetime, *, typed: str = ""
) -> HTMLResponse:
    fault = core.renderer.sentence(language_for(request, None), error.code, error.detail)
    status = problems.status_of(error)
    with core.database.snapshot() as session:
        return till_views.start_page(request, core, session, staff, now=now, typed=typed, fault=fault, status=status)
