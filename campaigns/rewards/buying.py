"""A coupon for points: the spend, its lines and the coupon in one transaction, or nothing."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlmodel import Session, col, select

from campaigns import missions
from campaigns.errors import Conflict, NotFound
from campaigns.ids import uuid7_at
from campaigns.participants import Participant
from campaigns.planning import Campaign, Phase
from campaigns.rewards import points
from campaigns.rewards.coupons import why_none
from campaigns.rewards.issuing import Want, hold_people, issue
from campaigns.rewards.models import Coupon, Offer, OfferState, Unlock
from campaigns.rewards.point_models import PointsSpend
from campaigns.storage import insert_once


@dataclass(frozen=True)
class Bought:
    """A coupon and what it cost."""

    coupon: Coupon
    spend: PointsSpend
    is_replay: bool


def for_points(session: Session, campaign_id: UUID, *, now: datetime) -> list[Offer]:
    """The offers of a campaign that points unlock and that give now, the cheapest first."""
    mine = (Offer.campaign_id == campaign_id, Offer.unlock == Unlock.POINTS.value)
    giving = (Offer.state == OfferState.ACTIVE.value, col(Offer.issued) < col(Offer.max_issue))
    rows = session.exec(select(Offer).where(*mine, *giving).order_by(col(Offer.points), col(Offer.id))).all()
    return [one for one in rows if one.valid_until is None or now < one.valid_until]


def buy(
    session: Session, campaign: Campaign, person: Participant, offer: Offer, *, client_id: str, now: datetime
) -> Bought:
    """Spend what an offer costs and issue its coupon. The same `client_id` again gets the first one.

    Conflict (`points_short`, `has_coupon`, `no_coupon_left`, `offer_closed`, `sent_before` for one that came
    with another offer). A coupon that expires or is revoked later gives no points back.
    """
    if offer.unlock != Unlock.POINTS or offer.points is None or offer.campaign_id != campaign.id:
        raise NotFound("There is no such offer for points.")
    if not hold_people(session, [person.id]):
        raise NotFound("There is no such person any more.")
    phases = [Phase.PILOT.value, Phase.LIVE.value]
    for phase in phases:
        points.hold_account(session, campaign.id, person.id, phase)
    before = _before(session, person.id, client_id)
    if before is not None:
        return _again(session, before, offer)
    phase = missions.require_open(campaign, now=now)
    if phase not in phases or offer.state != OfferState.ACTIVE:
        raise Conflict("This offer gives nothing just now.", code="offer_closed")
    values: dict[str, Any] = {
        "id": uuid7_at(now),
        "organisation_id": campaign.organisation_id,
        "campaign_id": campaign.id,
        "offer_id": offer.id,
        "participant_id": person.id,
        "client_id": client_id,
        "phase": phase,
        "points": offer.points,
        "spent_at": now,
    }
    if not insert_once(session, PointsSpend, **values):
        raise Conflict("This was sent twice at once.", code="sent_before")
    spend = session.get_one(PointsSpend, values["id"])
    points.draw(session, spend, now=now)
    issued = issue(session, [Want(offer.id, person.id, spend.id, phase)], now=now)
    if not issued:
        raise why_none(session, offer, person)
    return Bought(issued[0], spend, is_replay=False)


def _before(session: Session, participant_id: UUID, client_id: str) -> PointsSpend | None:
    mine = (PointsSpend.participant_id == participant_id, PointsSpend.client_id == client_id)
    return session.exec(select(PointsSpend).where(*mine)).first()


def _again(session: Session, spend: PointsSpend, offer: Offer) -> Bought:
    if spend.offer_id != offer.id:
        raise Conflict("This was sent before, with another offer.", code="sent_before")
    coupon = session.exec(select(Coupon).where(Coupon.source_id == spend.id).order_by(col(Coupon.id))).one()
    return Bought(coupon, spend, is_replay=True)
