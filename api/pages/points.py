"""A phone takes a coupon for points."""

from datetime import datetime
from uuid import uuid4

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from api import schemas
from api.dependencies import Core, Now, Services
from api.forms import read_fields, require_same_site
from api.pages.phone import ClientId, after_its_twin, cookie_of, moved, objected
from api.policies import PUBLIC
from campaigns import ids, missions, rewards
from campaigns.errors import NotFound
from campaigns.planning import Campaign
from campaigns.rewards import Bought, Offer

router = APIRouter(tags=["phones"], dependencies=[PUBLIC])


class CouponCreate(schemas.Request):
    """The offer to take a coupon of. `client_id` is made on the phone: a repeat gets the first answer."""

    offer_id: str = Field(max_length=60, description="`off_...`")
    client_id: ClientId | None = None


@router.post("/me/coupons", status_code=201)
async def take_coupon(request: Request, core: Core, now: Now) -> Response:
    """Take a coupon of an offer for points: what ends first is spent first, and spend and coupon are one act.

    409 `points_short`, `has_coupon`, `no_coupon_left`, `offer_closed`; `sent_before` for a `client_id` that came with
    another offer. A coupon that expires, or is revoked, gives no points back.
    """
    require_same_site(request)
    asked = await read_fields(request, CouponCreate)
    return await run_in_threadpool(_take, request, core, asked, now)


def _take(request: Request, core: Services, asked: CouponCreate, now: datetime) -> Response:
    offer_id, client_id = ids.parse("off", asked.offer_id), asked.client_id or str(uuid4())

    def act() -> tuple[Bought, int]:
        with core.database.transaction() as session:
            offer = session.get(Offer, offer_id)
            campaign = session.get_one(Campaign, offer.campaign_id) if offer else None
            if offer is None or campaign is None:
                raise NotFound("There is no such offer.")
            cookie = cookie_of(request, campaign)
            person = missions.recognise(session, campaign, cookie, objected=objected(request), to_act=True)
            if person is None:
                raise NotFound("This phone has no points here.")
            done = rewards.buy(session, campaign, person, offer, client_id=client_id, now=now)
            left = rewards.balance(session, campaign.id, person.id, done.spend.phase, now=now)
            return done, left

    done, left = after_its_twin("sent_before", act)
    coupon = done.coupon
    body = {
        "id": ids.show("cpn", coupon.id),
        "offer_id": asked.offer_id,
        "code": coupon.code,
        "state": coupon.state_at(now).value,
        "expires_at": coupon.expires_at.isoformat() if coupon.expires_at else None,
        "points": done.spend.points,
        "points_left": left,
    }
    return moved(request, "/me?just=taken", body, status=201)
