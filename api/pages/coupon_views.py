"""Coupons as pages show them: to who holds one, on their phone, and to the shop, at its till."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_datetime
from sqlmodel import Session

from api.dependencies import Services
from api.pages import views
from campaigns import ids, rewards
from campaigns.clock import zone
from campaigns.missions import Mission
from campaigns.missions.models import LocalText
from campaigns.participants import Participant
from campaigns.places import Place
from campaigns.planning import Campaign
from campaigns.rewards import GOOD, Coupon, Held, Offer
from campaigns.sponsorship import money
from campaigns.tokens import codes, qr

MODULE_PX = 6
ADDRESS = "/staff/coupons/"  # what a coupon's QR code opens, on a phone of the shop


@dataclass(frozen=True)
class OfferView:
    """What a coupon is for, with its dates in words. `places` is empty where every place of the brand takes it."""

    title: LocalText
    description: LocalText | None
    restrictions: LocalText | None
    product: str
    issuer: str
    value: str
    places: Sequence[str]
    since: str
    until: str


@dataclass(frozen=True)
class CouponView:
    """A coupon on its person's phone. `svg` and `code` while it is on show alone; `cause`: who gets a given value."""

    id: str
    url: str
    offer: OfferView
    state: str
    is_good: bool
    choice: str
    cause: str
    code: str
    svg: str
    used_in: str
    used_at: str
    reason: str
    rolled_back_at: str


def of_people(
    session: Session, core: Services, participant_ids: Sequence[UUID], *, language: str, now: datetime
) -> list[CouponView]:
    """What these people hold, those that are good first, without their codes."""
    found = rewards.coupons_of(session, participant_ids, now=now)
    return [of_held(session, core, one, language=language, now=now) for one in found]


def good_of(
    session: Session, core: Services, mission: Mission, person: Participant | None, *, language: str, now: datetime
) -> list[CouponView]:
    """What a person may use of a mission's campaign, for its page."""
    if person is None:
        return []
    found = rewards.coupons_of(session, [person.id], now=now)
    ours = [one for one in found if one.coupon.campaign_id == mission.campaign_id and one.coupon.state_at(now) in GOOD]
    return [of_held(session, core, one, language=language, now=now) for one in ours]


def of_held(
    session: Session, core: Services, held: Held, *, language: str, now: datetime, is_whole: bool = False
) -> CouponView:
    """A coupon of who holds it; `is_whole` with its code, which is there only while it is on show."""
    coupon, state = held.coupon, held.coupon.state_at(now)
    time_zone = zone_of(session, held.offer)
    used, where = rewards.use_of(session, coupon.id) if state == rewards.CouponState.REDEEMED else (None, None)
    place = session.get_one(Place, used.place_id) if used else None
    is_shown = is_whole and state == rewards.CouponState.LOCKED
    back = coupon.rolled_back_at
    return CouponView(
        id=ids.show("cpn", coupon.id),
        url=f"/me/coupons/{ids.show('cpn', coupon.id)}",
        offer=of_offer(held.offer, held.issuer, held.place_names, time_zone, language, ends_at=coupon.expires_at),
        state=state.value,
        is_good=state in GOOD,
        choice=coupon.choice,
        cause=held.cause or "",
        code=codes.grouped(coupon.code) if is_shown else "",
        svg=qr.svg(address_of(core, coupon), module_px=MODULE_PX).decode() if is_shown else "",
        used_in=where or "",
        used_at=views.moment(used.occurred_at, place, language) if used and place else "",
        reason=coupon.reason or "",
        rolled_back_at=format_datetime(back, "d MMMM HH:mm", tzinfo=time_zone, locale=language) if back else "",
    )


def of_offer(
    offer: Offer,
    issuer: str,
    places: Sequence[str],
    time_zone: ZoneInfo,
    language: str,
    *,
    ends_at: datetime | None,
) -> OfferView:
    """An offer in words; `ends_at` is when the coupon at hand is good no more."""
    return OfferView(
        title=offer.title,
        description=offer.description,
        restrictions=offer.restrictions,
        product=offer.product,
        issuer=issuer,
        value=value_of(offer, language),
        places=places,
        since=_day(offer.valid_from, time_zone, language),
        until=_last_moment(ends_at, time_zone, language),
    )


def value_of(offer: Offer, language: str) -> str:
    """The face value in words; empty of an offer without one."""
    if offer.face_value_minor is None or offer.currency is None:
        return ""
    return money.shown(offer.face_value_minor, offer.currency, language)


def zone_of(session: Session, offer: Offer) -> ZoneInfo:
    """The time zone of an offer's dates: its campaign's."""
    return zone(session.get_one(Campaign, offer.campaign_id).time_zone)


def address_of(core: Services, coupon: Coupon) -> str:
    """What the QR code of a coupon carries: the till's page for it. Opening it consumes nothing."""
    return f"{core.settings.base_url}{ADDRESS}{coupon.code}"


def _day(at: datetime | None, time_zone: ZoneInfo, language: str) -> str:
    return format_date(at.astimezone(time_zone), "d MMMM y", locale=language) if at else ""


def _last_moment(at: datetime | None, time_zone: ZoneInfo, language: str) -> str:
    """The end of a validity as people read it: of one that ends at midnight the day before, whole."""
    if at is None:
        return ""
    local = at.astimezone(time_zone)
    if (local.hour, local.minute) == (0, 0):
        return format_date(local.date().fromordinal(local.toordinal() - 1), "d MMMM y", locale=language)
    return format_datetime(at, "d MMMM y, HH:mm", tzinfo=time_zone, locale=language)
