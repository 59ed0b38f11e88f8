"""Offers: what a campaign gives to who acts, and the coupons that are out."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlmodel import Session as DbSession

from api import schemas
from api.dependencies import Now, ReadSession, Session
from api.etags import Tagged
from api.pagination import Cursor, Limit, Page, before, page
from api.policies import Actor, may
from campaigns import blueprint, ids, planning, rewards
from campaigns.errors import Invalid, NotFound
from campaigns.identity import Right
from campaigns.rewards import Coupon, Offer, OfferPlan, OncePer, Product, Unlock
from campaigns.sponsorship import ledger

router = APIRouter(prefix="/v1", tags=["rewards"])
Number = Annotated[int, Field(strict=True, ge=1, le=10_000_000)]
Days = Annotated[int, Field(strict=True, ge=1, le=rewards.DAYS_MOST)]
Places = Annotated[list[schemas.Name], Field(min_length=1, max_length=rewards.PLACES_MOST)]


class UnlockCreate(schemas.Request):
    """How people come by a coupon.

    `step`: a verified completion of `step_id` gives one, once the judge found nothing against it. `staff`: the staff of
    a shop hand it out. `points`: people take it for so many `points`; one that expires or is revoked gives none back.
    `once_per`: one a person that stands, or one for each completion, handing or spend (`act`).
    """

    by: Unlock
    step_id: schemas.Name | None = None
    points: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] | None = None
    once_per: OncePer = OncePer.PERSON


class OfferCreate(schemas.Request):
    """An offer. Without a `face_value` its coupons are for a thing, and no money is booked.

    `price` is that of the product before the coupon: with it, what French law has to say of the promotion is told in
    `warnings`. `place_ids`, by id or as `ext_...`: where coupons are good, else everywhere. `coupon_days`: how long
    each is good from its issue. `beneficiary_id`: whom given coupons go to, else the cause of the mission.
    """

    title: schemas.LocalText
    description: schemas.LocalText | None = None
    restrictions: schemas.LocalText | None = None
    product: Product = Product.GOODS
    face_value: schemas.Money | None = None
    price: schemas.Money | None = None
    max_issue: Number
    max_redemptions: Number | None = Field(None, description="as many as are issued, when left out")
    place_ids: Places | None = None
    valid_from: schemas.Instant | None = None
    valid_until: schemas.Instant | None = None
    coupon_days: Days | None = None
    unlock: UnlockCreate
    beneficiary_id: schemas.Name | None = None
    external_id: schemas.ExternalId | None = None


class OfferPatch(schemas.Request):
    """JSON merge patch: what is not named stays. What a coupon is worth and how it is earned does not change."""

    title: Annotated[schemas.LocalText | None, schemas.Kept] = None
    description: schemas.LocalText | None = None
    restrictions: schemas.LocalText | None = None
    price: schemas.Money | None = None
    max_issue: Annotated[Number | None, schemas.Kept] = None
    max_redemptions: Annotated[Number | None, schemas.Kept] = None
    place_ids: Places | None = None
    valid_from: schemas.Instant | None = None
    valid_until: schemas.Instant | None = None
    coupon_days: Days | None = None


class UnlockRead(BaseModel):
    """How people come by a coupon."""

    by: str
    step_id: str | None
    points: int | None
    once_per: str


class OfferBalances(BaseModel):
    """The offer's money, in minor units: what its coupons may still cost, is owed to shops, and to causes (`given`).

    `paid` is what was sent to causes, `fees` what it cost to send it.
    """

    liability_minor: int
    due_minor: int
    given_minor: int
    paid_minor: int
    fees_minor: int


class OfferRead(BaseModel):
    """An offer as stored. `issued` leaves out revoked coupons, `redeemed` uses that were taken back."""

    id: str
    campaign_id: str
    mission_id: str | None
    external_id: str | None
    title: dict[str, str]
    description: dict[str, str] | None
    restrictions: dict[str, str] | None
    product: str
    face_value: schemas.Money | None
    price: schemas.Money | None
    max_issue: int
    max_redemptions: int
    issued: int
    redeemed: int
    balances: OfferBalances | None
    place_ids: list[str] | None
    valid_from: datetime | None
    valid_until: datetime | None
    coupon_days: int | None
    unlock: UnlockRead
    beneficiary_id: str | None
    state: str
    warnings: list[str]
    created_at: datetime
    ended_at: datetime | None


class CouponRead(BaseModel):
    """A coupon. Its code is shown to its person alone: it is good for who holds it."""

    id: str
    state: str
    choice: str
    phase: str
    issued_at: datetime
    expires_at: datetime | None
    redeemed_at: datetime | None
    ended_at: datetime | None
    reason: str | None
    source_voided_at: datetime | None = Field(description="what gave it was voided after it was used")


def show(session: DbSession, offer: Offer, now: datetime) -> OfferRead:
    apart = {
        "id",
        "campaign_id",
        "mission_id",
        "beneficiary_id",
        "face_value",
        "price",
        "balances",
        "unlock",
        "warnings",
    }
    campaign = planning.campaign_by_id(session, offer.organisation_id, offer.campaign_id)
    return OfferRead(
        id=ids.show("off", offer.id),
        campaign_id=ids.show("cmp", offer.campaign_id),
        mission_id=ids.show("mis", offer.mission_id) if offer.mission_id else None,
        beneficiary_id=ids.show("ben", offer.beneficiary_id) if offer.beneficiary_id else None,
        face_value=_money(offer.face_value_minor, offer.currency),
        price=_money(offer.price_minor, offer.currency),
        balances=_balances(session, offer),
        unlock=UnlockRead(
            by=offer.unlock,
            step_id=ids.show("stp", offer.step_id) if offer.step_id else None,
            points=offer.points,
            once_per=offer.once_per,
        ),
        warnings=rewards.warnings_of(offer, campaign.time_zone, now=now),
        **offer.model_dump(include=set(OfferRead.model_fields) - apart),
    )


def show_coupon(coupon: Coupon, now: datetime) -> CouponRead:
    fields = set(CouponRead.model_fields) - {"id", "state"}
    return CouponRead(
        id=ids.show("cpn", coupon.id), state=coupon.state_at(now).value, **coupon.model_dump(include=fields)
    )


@router.post("/campaigns/{campaign_id}/offers", dependencies=[may(Right.REWARDS_WRITE)], status_code=201)
def make_offer(campaign_id: str, body: OfferCreate, actor: Actor, session: Session, now: Now) -> OfferRead:
    """Make an offer: it gives from now on, for what is done from now on. `warnings` are what the law may mind.

    422 for amounts, dates, places, a step or a cause that do not fit; 409 `wrong_state` once the campaign has ended.
    """
    campaign = planning.campaign_by_name(session, actor.organisation_id, campaign_id)
    return show(session, rewards.make_offer(session, campaign, _plan(body), now=now), now)


@router.get("/campaigns/{campaign_id}/offers", dependencies=[may(Right.REWARDS_READ)])
def list_offers(
    campaign_id: str, actor: Actor, session: ReadSession, now: Now, limit: Limit = 25, cursor: Cursor = None
) -> Page:
    """Offers of a campaign, newest first."""
    campaign = planning.campaign_by_name(session, actor.organisation_id, campaign_id)
    rows = rewards.list_offers(session, campaign.id, before=before(cursor), limit=limit + 1)
    return page(rows, limit, lambda one: show(session, one, now), lambda one: one.id)


@router.get("/offers/{offer_id}", dependencies=[may(Right.REWARDS_READ)], response_model=OfferRead)
def read_offer(offer_id: str, actor: Actor, session: ReadSession, now: Now, tags: Tagged) -> Any:
    """One offer, with what its coupons cost so far."""
    return tags.read(show(session, _offer(session, actor, offer_id), now))


@router.patch("/offers/{offer_id}", dependencies=[may(Right.REWARDS_WRITE)])
def change_offer(offer_id: str, body: OfferPatch, actor: Actor, session: Session, now: Now, tags: Tagged) -> OfferRead:
    """Change an offer. Coupons that are out keep their date; 409 `coupons_out` below what is out already."""
    offer = _offer(session, actor, offer_id, lock=True)
    tags.require(session, offer, lambda one: show(session, one, now))
    return tags.changed(
        show(session, rewards.change_offer(session, offer, now=now, **_fields(session, offer, body)), now)
    )


@router.post("/offers/{offer_id}/pause", dependencies=[may(Right.REWARDS_WRITE)])
def pause_offer(offer_id: str, actor: Actor, session: Session, now: Now) -> OfferRead:
    """Active to paused: nothing is issued, and tills are told `frozen`."""
    return show(session, rewards.pause_offer(session, _offer(session, actor, offer_id, lock=True), now=now), now)


@router.post("/offers/{offer_id}/resumption", dependencies=[may(Right.REWARDS_WRITE)])
def resume_offer(offer_id: str, actor: Actor, session: Session, now: Now) -> OfferRead:
    """Paused to active: what was earned meanwhile is issued within seconds."""
    return show(session, rewards.resume_offer(session, _offer(session, actor, offer_id, lock=True), now=now), now)


@router.post("/offers/{offer_id}/end", dependencies=[may(Right.REWARDS_WRITE)])
def end_offer(offer_id: str, actor: Actor, session: Session, now: Now) -> OfferRead:
    """To ended, for good: nothing is issued any more. Coupons that are out stay good until their own date."""
    return show(session, rewards.end_offer(session, _offer(session, actor, offer_id, lock=True), now=now), now)


@router.get("/offers/{offer_id}/coupons", dependencies=[may(Right.REWARDS_READ)])
def list_coupons(
    offer_id: str, actor: Actor, session: ReadSession, now: Now, limit: Limit = 25, cursor: Cursor = None
) -> Page:
    """Coupons of an offer, newest first; without code and without whose they are."""
    offer = _offer(session, actor, offer_id)
    rows = rewards.list_coupons(session, offer.id, before=before(cursor), limit=limit + 1)
    return page(rows, limit, lambda one: show_coupon(one, now), lambda one: one.id)


def _offer(session: DbSession, actor: Actor, offer_id: str, *, lock: bool = False) -> Offer:
    return rewards.offer_by_id(session, actor.organisation_id, ids.parse("off", offer_id), lock=lock)


def _plan(body: OfferCreate) -> OfferPlan:
    money = [one for one in (body.face_value, body.price) if one is not None]
    if len({one.currency for one in money}) > 1:
        raise Invalid("Value and price are in one currency.", code="currency_mismatch", pointer="/price/currency")
    fields = ("product", "max_issue", "max_redemptions", "valid_from", "valid_until", "coupon_days", "external_id")
    return OfferPlan(
        title=blueprint.local(body.title),
        description=blueprint.local(body.description) if body.description else None,
        restrictions=blueprint.local(body.restrictions) if body.restrictions else None,
        face_value_minor=body.face_value.amount_minor if body.face_value else None,
        price_minor=body.price.amount_minor if body.price else None,
        currency=money[0].currency if money else None,
        place_names=body.place_ids,
        unlock=body.unlock.by,
        once_per=body.unlock.once_per,
        step_id=_step(body.unlock.step_id),
        points=body.unlock.points,
        beneficiary_id=ids.parse("ben", body.beneficiary_id) if body.beneficiary_id is not None else None,
        **{name: getattr(body, name) for name in fields},
    )


def _fields(session: DbSession, offer: Offer, body: OfferPatch) -> dict[str, Any]:
    """What a patch changes, as it is stored."""
    given = {name: getattr(body, name) for name in body.model_fields_set}
    for name in given.keys() & {"title", "description", "restrictions"}:
        given[name] = blueprint.local(given[name]) if given[name] is not None else None
    if "place_ids" in given:
        given["place_ids"] = rewards.named_places(session, offer.organisation_id, given["place_ids"])
    if "price" in given:
        price = given.pop("price")
        if price is not None and price.currency != offer.currency:
            raise Invalid("The offer is in another currency.", code="currency_mismatch", pointer="/price/currency")
        given["price_minor"] = price.amount_minor if price else None
    return given


def _step(name: str | None) -> UUID | None:
    try:
        return ids.parse("stp", name) if name is not None else None
    except NotFound as error:
        raise Invalid(error.detail, pointer="/unlock/step_id") from error


def _money(amount_minor: int | None, currency: str | None) -> schemas.Money | None:
    return (
        schemas.Money(amount_minor=amount_minor, currency=currency) if amount_minor is not None and currency else None
    )


def _balances(session: DbSession, offer: Offer) -> OfferBalances | None:
    if offer.face_value_minor is None:
        return None
    held = ledger.balances(session, offer.id)
    own = {f"{kind}_minor": held[kind] for kind in ("liability", "due", "given", "fees")}
    return OfferBalances(**own, paid_minor=held["settled"])
