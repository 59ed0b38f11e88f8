"""Offers: making and changing them, pausing and ending them, and what the law has to say of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlmodel import Session, col, select

from campaigns import ids, missions, places
from campaigns.clock import civil_day
from campaigns.errors import Conflict, Invalid, NotFound
from campaigns.events import record_event
from campaigns.missions import Step
from campaigns.missions.models import LocalText
from campaigns.planning import Campaign, State
from campaigns.rewards import books, promotion
from campaigns.rewards.models import Coupon, Offer, OfferState, OncePer, Product, Unlock
from campaigns.sponsorship import money
from campaigns.sponsorship.models import Beneficiary
from campaigns.storage import find_own, newest

PLACES_MOST = 500
DAYS_MOST = 3650  # of a coupon


@dataclass(frozen=True)
class OfferPlan:
    """An offer as a marketer describes it. Places are named by id or as `ext_...`; None for all of the organisation."""

    title: LocalText
    max_issue: int
    unlock: Unlock
    max_redemptions: int | None = None
    once_per: OncePer = OncePer.PERSON
    points: int | None = None
    step_id: UUID | None = None
    product: Product = Product.GOODS
    description: LocalText | None = None
    restrictions: LocalText | None = None
    face_value_minor: int | None = None
    price_minor: int | None = None
    currency: str | None = None
    place_names: Sequence[str] | None = None
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    coupon_days: int | None = None
    beneficiary_id: UUID | None = None
    external_id: str | None = None


def make_offer(session: Session, campaign: Campaign, plan: OfferPlan, *, now: datetime) -> Offer:
    """Make an offer and open its book. It gives from now on, to what is done from now on.

    Invalid for amounts, dates, places, a step or a cause that do not fit; Conflict on an ended campaign or a used name.
    """
    if campaign.state_at(now) == State.ENDED:
        raise Conflict("This campaign has ended; it takes no new offer.", code="wrong_state")
    if plan.external_id and find_offer(session, campaign.id, external_id=plan.external_id):
        raise Conflict(f"An offer with external_id {plan.external_id!r} is there already.", pointer="/external_id")
    _check_money(plan)
    _check_dates(plan.valid_from, plan.valid_until, now=now)
    mission_id = _mission_of(session, campaign, plan)
    _check_cause(session, campaign, plan)
    offer = Offer(
        id=ids.uuid7_at(now),
        organisation_id=campaign.organisation_id,
        campaign_id=campaign.id,
        mission_id=mission_id,
        external_id=plan.external_id,
        title=plan.title,
        description=plan.description,
        restrictions=plan.restrictions,
        product=plan.product.value,
        face_value_minor=plan.face_value_minor,
        price_minor=plan.price_minor,
        currency=plan.currency,
        max_issue=plan.max_issue,
        max_redemptions=_most(plan.max_redemptions, plan.max_issue),
        place_ids=named_places(session, campaign.organisation_id, plan.place_names),
        valid_from=plan.valid_from,
        valid_until=plan.valid_until,
        coupon_days=plan.coupon_days,
        unlock=plan.unlock.value,
        once_per=plan.once_per.value,
        points=plan.points,
        step_id=plan.step_id,
        beneficiary_id=plan.beneficiary_id,
        state=OfferState.ACTIVE.value,
        created_at=now,
        changed_at=now,
    )
    session.add(offer)
    session.flush()
    books.open_for(session, offer)
    record_event(session, "offer.made", now=now, offer_id=offer.id)
    return offer


def change_offer(session: Session, offer: Offer, *, now: datetime, **fields: Any) -> Offer:
    """Change the words, numbers, places or window of an offer that is held (`offer_by_id(..., lock=True)`).

    Coupons that are out keep the date they were issued with. Conflict (`coupons_out`) below what is out already, and
    on an ended offer.
    """
    offer.require(OfferState.ACTIVE, OfferState.PAUSED)
    most, uses = fields.get("max_issue", offer.max_issue), fields.get("max_redemptions", offer.max_redemptions)
    if most < offer.issued or uses < offer.redeemed:
        raise Conflict(
            f"{offer.issued} coupons are out and {offer.redeemed} were used: less than that cannot be.",
            code="coupons_out",
            pointer="/max_issue" if most < offer.issued else "/max_redemptions",
        )
    _most(uses, most)
    if fields.get("price_minor") is not None:
        if offer.currency is None:
            raise Invalid("A price needs the currency of the face value; this offer has none.", pointer="/price")
        _require_worth_less(offer.face_value_minor, fields["price_minor"], pointer="/price")
    dates = {name: fields.get(name, getattr(offer, name)) for name in ("valid_from", "valid_until")}
    if fields.keys() & dates.keys():
        _check_dates(**dates, now=now)
    if most != offer.max_issue:
        books.resize(session, offer, most)
    for name, value in fields.items():
        setattr(offer, name, value)
    offer.changed_at = now
    session.add(offer)
    session.flush()
    return offer


def pause_offer(session: Session, offer: Offer, *, now: datetime) -> Offer:
    """Active to paused: nothing is issued, and tills are told `frozen`."""
    return _move(session, offer, OfferState.PAUSED, of=(OfferState.ACTIVE,), event="offer.paused", now=now)


def resume_offer(session: Session, offer: Offer, *, now: datetime) -> Offer:
    """Paused to active: what was earned meanwhile is issued now."""
    return _move(session, offer, OfferState.ACTIVE, of=(OfferState.PAUSED,), event="offer.resumed", now=now)


def end_offer(session: Session, offer: Offer, *, now: datetime) -> Offer:
    """To ended, for good: nothing is issued any more. Coupons that are out stay good until their own date."""
    offer.ended_at = now
    return _move(
        session, offer, OfferState.ENDED, of=(OfferState.ACTIVE, OfferState.PAUSED), event="offer.ended", now=now
    )


def offer_by_id(session: Session, organisation_id: UUID, offer_id: UUID, *, lock: bool = False) -> Offer:
    """The organisation's offer, held if asked; NotFound for another's."""
    offer = find_own(session, Offer, organisation_id, offer_id, lock=lock)
    if offer is None:
        raise NotFound("There is no such offer.")
    return offer


def find_offer(session: Session, campaign_id: UUID, *, external_id: str) -> Offer | None:
    return session.exec(select(Offer).where(Offer.campaign_id == campaign_id, Offer.external_id == external_id)).first()


def list_offers(session: Session, campaign_id: UUID, *, before: UUID | None, limit: int) -> Sequence[Offer]:
    """Newest first, older than `before`."""
    return newest(session, select(Offer).where(Offer.campaign_id == campaign_id), Offer, before=before, limit=limit)


def offers_of(session: Session, offer_ids: Iterable[UUID]) -> dict[UUID, Offer]:
    """Offers by their ids."""
    return {one.id: one for one in session.exec(select(Offer).where(col(Offer.id).in_(set(offer_ids))))}


def list_coupons(session: Session, offer_id: UUID, *, before: UUID | None, limit: int) -> Sequence[Coupon]:
    """Of an offer, newest first, older than `before`."""
    return newest(session, select(Coupon).where(Coupon.offer_id == offer_id), Coupon, before=before, limit=limit)


def warnings_of(offer: Offer, time_zone: str, *, now: datetime) -> list[str]:
    """What French law has to say of an offer, in words; empty when nothing."""
    texts = [text for one in (offer.title, offer.description, offer.restrictions) if one for text in one.values()]
    last = offer.valid_until or now
    return promotion.warnings(
        Product(offer.product),
        face_value_minor=offer.face_value_minor,
        price_minor=offer.price_minor,
        texts=texts,
        on=civil_day(min(last, now), time_zone),
    )


def launch_warnings(session: Session, campaign: Campaign) -> list[str]:
    """The same for every offer of a campaign that has not ended, each with its title before it."""
    query = select(Offer).where(Offer.campaign_id == campaign.id, Offer.state != OfferState.ENDED.value)
    return [
        f"{next(iter(offer.title.values()))}: {warning}"
        for offer in session.exec(query.order_by(col(Offer.id)))
        for warning in warnings_of(offer, campaign.time_zone, now=offer.changed_at)
    ]


def named_places(session: Session, organisation_id: UUID, names: Sequence[str] | None) -> list[str] | None:
    """Places as they are stored, each once, in one order; None for all. NotFound for one that is not ours."""
    if names is None:
        return None
    if not 1 <= len(names) <= PLACES_MOST:
        raise Invalid(f"`place_ids` is a list of 1 to {PLACES_MOST} places, or null for all.", pointer="/place_ids")
    return sorted({ids.show("plc", places.place_by_name(session, organisation_id, name).id) for name in names})


def _move(
    session: Session, offer: Offer, to: OfferState, *, of: tuple[OfferState, ...], event: str, now: datetime
) -> Offer:
    offer.require(*of)
    offer.state, offer.changed_at = to.value, now
    session.add(offer)
    session.flush()
    record_event(session, event, now=now, offer_id=offer.id)
    return offer


def _most(max_redemptions: int | None, max_issue: int) -> int:
    most = max_issue if max_redemptions is None else max_redemptions
    if most > max_issue:
        raise Invalid("No more coupons can be used than are issued.", pointer="/max_redemptions")
    return most


def _check_money(plan: OfferPlan) -> None:
    if plan.currency is not None:
        money.require_currency(plan.currency, pointer="/face_value/currency")
    for name in ("face_value", "price"):
        amount = getattr(plan, f"{name}_minor")
        if amount is not None:
            money.require_amount(amount, pointer=f"/{name}/amount_minor")
    if plan.price_minor is not None:
        _require_worth_less(plan.face_value_minor, plan.price_minor, pointer="/face_value")


def _require_worth_less(face_value_minor: int | None, price_minor: int, *, pointer: str) -> None:
    if face_value_minor is not None and face_value_minor > price_minor:
        raise Invalid("A coupon cannot be worth more than its product.", pointer=pointer)


def _check_dates(valid_from: datetime | None, valid_until: datetime | None, *, now: datetime) -> None:
    if valid_from and valid_until and valid_until <= valid_from:
        raise Invalid("valid_until comes after valid_from.", pointer="/valid_until")
    if valid_until and valid_until <= now:
        raise Invalid("valid_until is over already.", pointer="/valid_until")


def _mission_of(session: Session, campaign: Campaign, plan: OfferPlan) -> UUID | None:
    """The mission of the step that unlocks it, else the one its campaign's scans lead to. Invalid for another step."""
    if (plan.step_id is not None) != (plan.unlock is Unlock.STEP):
        raise Invalid("An offer that a step unlocks names the step, and no other does.", pointer="/unlock/step_id")
    if (plan.points is not None) != (plan.unlock is Unlock.POINTS):
        raise Invalid("An offer for points says how many it costs, and no other does.", pointer="/unlock/points")
    if plan.step_id is None:
        mission = missions.mission_of(session, campaign.id)
        return mission.id if mission else None
    step = session.get(Step, plan.step_id)
    of_campaign = {one.id for one in missions.list_missions(session, campaign.id)}
    if step is None or step.mission_id not in of_campaign:
        raise Invalid("There is no such step in this campaign.", pointer="/unlock/step_id")
    return step.mission_id


def _check_cause(session: Session, campaign: Campaign, plan: OfferPlan) -> None:
    if plan.beneficiary_id is None:
        return
    if plan.face_value_minor is None:
        raise Invalid("Only what has a face value can be given to a cause.", pointer="/beneficiary_id")
    if find_own(session, Beneficiary, campaign.organisation_id, plan.beneficiary_id) is None:
        raise NotFound("There is no such beneficiary.")
