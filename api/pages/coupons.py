"""A coupon on its person's phone: keep its value or give it away, show it, put it back."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from sqlmodel import Session as DbSession
from starlette.concurrency import run_in_threadpool

from api import schemas
from api.dependencies import Core, Now, ReadSession, Services
from api.forms import read_fields, require_same_site
from api.pages import coupon_views, views
from api.pages.phone import Tongue, cookies_of, language_for, moved, onward
from api.policies import PUBLIC
from campaigns import ids, privacy, rewards
from campaigns.rewards import Choice, Coupon, CouponState

router = APIRouter(tags=["phones"], dependencies=[PUBLIC])


class ChoiceCreate(schemas.Request):
    """What the value of a coupon does: `keep` takes it off the basket, `give` leaves it to the cause, whole."""

    choice: Choice


class ShowingCreate(schemas.Request):
    """The same, chosen as the coupon is shown; without it what was chosen before stands."""

    choice: Choice | None = None


class ReturnCreate(schemas.Request):
    """Nothing is needed to put a coupon back."""


@router.get("/me/coupons/{coupon_id}", response_class=HTMLResponse)
def read_coupon(
    request: Request, core: Core, session: ReadSession, now: Now, coupon_id: str, lang: Tongue = None
) -> HTMLResponse:
    """A coupon of this phone's person: what it is for, the choice, and its code while it is on show.

    One answer with everything in it: once open it needs no network. On show it may be kept by this browser alone, so
    that going back to it works without network as well.
    """
    language = language_for(request, lang)
    held = rewards.held_by(session, _people(request, session), ids.parse("cpn", coupon_id))
    view = coupon_views.of_held(session, core, held, language=language, now=now, is_whole=True)
    page = core.renderer.page(
        "coupon.html",
        language,
        **views.house(session, held.offer.organisation_id),
        js=core.renderer.script("shopper.js"),
        coupon=view,
        showing_url=onward(request, f"{view.url}/showing"),
        return_url=onward(request, f"{view.url}/return"),
        back_url=onward(request, "/me"),
        other_lang_url=f"{view.url}?lang={'en' if language == 'fr' else 'fr'}",
    )
    return HTMLResponse(page, headers={"Cache-Control": "private, no-cache" if view.svg else "no-store"})


@router.post("/me/coupons/{coupon_id}/choice")
async def choose(request: Request, core: Core, now: Now, coupon_id: str) -> Response:
    """Keep the value or give it to the cause, whole. JSON: `{id, state, choice}`.

    409 `coupon_shown` while it is on show, `coupon_over` once it is used or over, `not_givable` without value or cause.
    """
    require_same_site(request)
    asked = await read_fields(request, ChoiceCreate)

    def act(session: DbSession, id: UUID) -> Coupon:
        return rewards.choose(session, id, asked.choice, now=now)

    return await run_in_threadpool(_act, request, core, coupon_id, act)


@router.post("/me/coupons/{coupon_id}/showing")
async def show(request: Request, core: Core, now: Now, coupon_id: str) -> Response:
    """Show it: its code is on the page from now on, and the choice is fixed. Again is fine. 409 as for a choice."""
    require_same_site(request)
    asked = await read_fields(request, ShowingCreate)

    def act(session: DbSession, id: UUID) -> Coupon:
        if asked.choice is not None:
            rewards.choose(session, id, asked.choice, now=now)
        return rewards.show_coupon(session, id, now=now)

    return await run_in_threadpool(_act, request, core, coupon_id, act)


@router.post("/me/coupons/{coupon_id}/return")
async def put_back(request: Request, core: Core, now: Now, coupon_id: str) -> Response:
    """Put it back: the choice may change again. 409 `coupon_over` once a till took it."""
    require_same_site(request)
    await read_fields(request, ReturnCreate)

    def act(session: DbSession, id: UUID) -> Coupon:
        return rewards.put_back(session, id, now=now)

    return await run_in_threadpool(_act, request, core, coupon_id, act)


def _act(request: Request, core: Services, coupon_id: str, act: Callable[[DbSession, UUID], Coupon]) -> Response:
    id = ids.parse("cpn", coupon_id)
    with core.database.transaction() as session:
        rewards.held_by(session, _people(request, session), id)
        done = act(session, id)
        body = _told(done)
    return moved(request, f"/me/coupons/{coupon_id}", body)


def _told(coupon: Coupon) -> dict[str, Any]:
    return {
        "id": ids.show("cpn", coupon.id),
        "state": CouponState(coupon.state).value,
        "choice": Choice(coupon.choice).value,
    }


def _people(request: Request, session: DbSession) -> list[UUID]:
    return [one.id for one in privacy.people_of(session, cookies_of(request).values())]
