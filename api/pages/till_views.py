"""The pages of the till: what a coupon is worth here, what became of it, and the last ones."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from fastapi import Request
from fastapi.responses import HTMLResponse
from sqlmodel import Session

from api.dependencies import Services
from api.pages import coupon_views, views
from api.pages.coupon_views import OfferView
from api.pages.phone import language_for
from api.pages.render import Renderer
from campaigns import identity, ids, places, rewards
from campaigns.missions.models import LocalText
from campaigns.places import Place, StaffSession
from campaigns.rewards import Answer, Choice, Looked, Offer, Outcome, Redemption, Refusal
from campaigns.sponsorship import money
from campaigns.sponsorship.models import Beneficiary
from campaigns.tokens import codes

KEPT_PRIVATE = {"Cache-Control": "no-store"}


@dataclass(frozen=True)
class RecentView:
    """One of the last redemptions of a place."""

    id: str
    when: str
    title: LocalText | None
    value: str
    words: str
    is_accepted: bool
    is_given: bool
    is_back: bool
    is_offline: bool
    may_go_back: bool


@dataclass(frozen=True)
class ConflictView:
    """A coupon that two tills took. `is_ours`: the use that was refused is of this place."""

    title: LocalText
    value: str
    place: str
    taken_at: str
    other_place: str
    other_at: str
    is_ours: bool


def start_page(
    request: Request,
    core: Services,
    session: Session,
    staff: StaffSession,
    *,
    now: datetime,
    typed: str = "",
    fault: str = "",
    just: str = "",
    status: int = 200,
) -> HTMLResponse:
    """The ways to read a coupon, and the last ones."""
    language = language_for(request, None)
    place = session.get_one(Place, staff.place_id)
    offers = rewards.handable(session, place, now=now)
    page = core.renderer.page(
        "staff_coupons.html",
        language,
        brand=views.brand(session, place.organisation_id),
        js=core.renderer.script("till.js"),
        camera_js=core.renderer.script("camera.js"),
        place=place,
        typed=typed[:300],
        fault=fault,
        just=just,
        is_manager=staff.is_manager,
        offers=[(ids.show("off", one.id), one.title) for one in offers],
        recent=_recent(core.renderer, session, place, language, now, may_go_back=staff.is_manager),
        conflicts=len(rewards.conflicts(session, place)),
        **_of_till(staff, now),
    )
    return HTMLResponse(page, status, headers=KEPT_PRIVATE)


def check_page(
    request: Request, core: Services, session: Session, staff: StaffSession, looked: Looked, *, now: datetime
) -> HTMLResponse:
    """What a coupon is worth here, and the button that uses it; else why not. Consumes nothing."""
    language, renderer = language_for(request, None), core.renderer
    place = session.get_one(Place, staff.place_id)
    coupon, offer = looked.coupon, looked.offer
    refusal = looked.refusal
    words = _refused(session, core.renderer, place, refusal, looked.used, looked.offer, language) if refusal else ""
    cause = rewards.cause_of(session, offer, coupon.participant_id) if offer and coupon else None
    return _coupon_page(
        core,
        session,
        staff,
        language,
        now=now,
        stage="check",
        title=renderer.word(language, "Do not take it") if refusal else renderer.word(language, "This coupon is good"),
        tone="no" if refusal else "",
        words=words,
        offer=_offer(session, offer, language, ends_at=coupon.expires_at if coupon else None),
        is_given=coupon is not None and coupon.choice == Choice.GIVE,
        cause=cause.name if cause else "",
        code=coupon.code if coupon else "",
        status=404 if refusal is Refusal.UNKNOWN else 200,
    )


def answer_page(
    request: Request, core: Services, session: Session, staff: StaffSession, answer: Answer, *, code: str, now: datetime
) -> HTMLResponse:
    """What became of a use: what to give, large and green, or why not, with where and when it was used."""
    language, renderer = language_for(request, None), core.renderer
    done = answer.redemption
    is_accepted = done.outcome == Outcome.ACCEPTED
    coupon = session.get(rewards.Coupon, done.coupon_id) if done.coupon_id else None
    cause = session.get(Beneficiary, done.beneficiary_id) if done.beneficiary_id else None
    return _coupon_page(
        core,
        session,
        staff,
        language,
        now=now,
        stage="done",
        title=renderer.word(language, "Accepted") if is_accepted else renderer.word(language, "Refused"),
        tone="yes" if is_accepted else "no",
        words="" if is_accepted else words_of(session, core.renderer, answer, language),
        offer=_offer(session, answer.offer, language, ends_at=coupon.expires_at if coupon else None),
        is_given=done.choice == Choice.GIVE,
        cause=cause.name if cause else "",
        code=code,
        status=201 if is_accepted else 200,
    )


def words_of(session: Session, renderer: Renderer, answer: Answer, language: str) -> str:
    """Why a use was refused, in words."""
    done = answer.redemption
    place = session.get_one(Place, done.place_id)
    return _refused(session, renderer, place, Refusal(done.reason or ""), answer.other, answer.offer, language)


def conflicts_of(session: Session, place: Place, language: str) -> list[ConflictView]:
    """The coupons that two tills took, one of them here, newest first."""
    rows = rewards.conflicts(session, place)
    offers = rewards.offers_of(session, [one.offer_id for one in rows if one.offer_id])
    shown = []
    for one in rows:
        other = session.get(Redemption, one.other_id) if one.other_id else None
        offer = offers.get(one.offer_id) if one.offer_id else None
        if other is None or offer is None:
            continue
        here = session.get_one(Place, one.place_id)
        there = session.get_one(Place, other.place_id)
        shown.append(
            ConflictView(
                title=offer.title,
                value=coupon_views.value_of(offer, language),
                place=here.name,
                taken_at=views.moment(one.occurred_at, here, language),
                other_place=there.name,
                other_at=views.moment(other.occurred_at, there, language),
                is_ours=one.place_id == place.id,
            )
        )
    return shown


def _coupon_page(
    core: Services,
    session: Session,
    staff: StaffSession,
    language: str,
    *,
    now: datetime,
    code: str,
    status: int,
    **shown: Any,
) -> HTMLResponse:
    place = session.get_one(Place, staff.place_id)
    page = core.renderer.page(
        "staff_coupon.html",
        language,
        brand=views.brand(session, place.organisation_id),
        js=core.renderer.script("till.js"),
        place=place,
        code=code,
        grouped=codes.grouped(code),
        other_lang_url="",
        **_of_till(staff, now),
        **shown,
    )
    return HTMLResponse(page, status, headers=KEPT_PRIVATE)


def _of_till(staff: StaffSession, now: datetime) -> dict[str, Any]:
    """What names this till and the purchase at hand, and the server's clock: a phone's own may be wrong."""
    return {
        "place_id": ids.show("plc", staff.place_id),
        "device": ids.show("ses", staff.id),
        "nonce": str(uuid4()),
        "now_ms": int(now.timestamp() * 1000),
    }


def _offer(session: Session, offer: Offer | None, language: str, *, ends_at: datetime | None) -> OfferView | None:
    if offer is None:
        return None
    issuer = identity.organisation_by_id(session, offer.organisation_id)
    zone = coupon_views.zone_of(session, offer)
    name = issuer.legal_name or issuer.name
    return coupon_views.of_offer(offer, name, _places(session, offer), zone, language, ends_at=ends_at)


def _places(session: Session, offer: Offer) -> list[str]:
    return [places.place_by_id(session, offer.organisation_id, id).name for id in offer.places or []]


def _refused(
    session: Session,
    renderer: Renderer,
    place: Place,
    refusal: Refusal,
    used: Redemption | None,
    offer: Offer | None,
    language: str,
) -> str:
    """A reason of the closed list in words, with where and when a used coupon was used."""
    if refusal is Refusal.ALREADY_REDEEMED and used is not None:
        there = session.get_one(Place, used.place_id)
        when = views.moment(used.occurred_at, there, language)
        return renderer.word(language, "It was used already: %(place)s, %(when)s.", place=there.name, when=when)
    if refusal is Refusal.ALREADY_REDEEMED:
        return renderer.word(language, "It was used already.")
    if refusal is Refusal.WRONG_PLACE and offer is not None:
        return renderer.word(language, "It is good elsewhere: %(places)s.", places=", ".join(_places(session, offer)))
    if refusal is Refusal.NOT_YET_VALID and offer is not None and offer.valid_from is not None:
        return renderer.word(
            language, "It is good from %(when)s.", when=views.moment(offer.valid_from, place, language)
        )
    if refusal is Refusal.EXPIRED:
        return renderer.word(language, "Its time is over.")
    if refusal is Refusal.FROZEN:
        return renderer.word(language, "The offer is on hold, or as many were used as may be. The coupon is not lost.")
    if refusal is Refusal.REVOKED:
        return renderer.word(language, "It was withdrawn: the act that gave it does not stand.")
    return renderer.word(language, "No coupon of this brand has this code. Read it again.")


def _recent(
    renderer: Renderer, session: Session, place: Place, language: str, now: datetime, *, may_go_back: bool
) -> list[RecentView]:
    rows = rewards.recent(session, place)
    offers = rewards.offers_of(session, [one.offer_id for one in rows if one.offer_id])
    shown = []
    for one in rows:
        offer = offers.get(one.offer_id) if one.offer_id else None
        other = session.get(Redemption, one.other_id) if one.other_id else None
        is_accepted, is_back = one.outcome == Outcome.ACCEPTED, one.rolled_back_at is not None
        refusal = Refusal(one.reason) if one.reason else None
        shown.append(
            RecentView(
                id=ids.show("rdm", one.id),
                when=views.moment(one.occurred_at, place, language),
                title=offer.title if offer else None,
                value=money.shown(one.value_minor, one.currency, language) if one.value_minor and one.currency else "",
                words=_refused(session, renderer, place, refusal, other, offer, language) if refusal else "",
                is_accepted=is_accepted,
                is_given=one.choice == Choice.GIVE,
                is_back=is_back,
                is_offline=one.is_offline,
                may_go_back=may_go_back and is_accepted and not is_back and one.is_today(place.time_zone, now),
            )
        )
    return shown
