"""At the till: looking a coupon up, using it once, and taking a mistaken use back.

A till's message is written down with its answer, a refusal as well. Its nonce names the purchase: the same message
again gets the same answer, and another coupon under it is refused, for one coupon a purchase is the rule. A till that
was without network sends later, with the time it took the coupon: dates are judged by that time, everything else by
what stands. Who came first with the coupon keeps it, whatever the other's clock says; the other is told of the
conflict, and so is the shop that has the coupon.

A coupon whose person gave its value away takes nothing off the basket: its value is owed to the cause, and nothing to
the shop. What applied is in the answer.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid5

from sqlalchemy import bindparam, or_, update
from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from campaigns import audit, ids, prepared
from campaigns.clock import civil_day
from campaigns.errors import Conflict, Invalid, NotFound
from campaigns.events import record_event
from campaigns.places import Place
from campaigns.planning import Campaign, Phase, State
from campaigns.prepared import Table
from campaigns.rewards import books, steps
from campaigns.rewards.coupons import cause_of
from campaigns.rewards.ending import LATE, hold_payouts, revoke, unearn
from campaigns.rewards.issuing import count_coupons, hold_offer
from campaigns.rewards.models import (
    GOOD,
    Choice,
    Coupon,
    CouponState,
    Offer,
    OfferState,
    Outcome,
    Redemption,
    Refusal,
)
from campaigns.sponsorship import gifts
from campaigns.sponsorship.ledger import Code
from campaigns.sponsorship.models import Gift
from campaigns.storage import changed, columns_of, find_own, hold, insert_once, is_shared, newest
from campaigns.tokens import codes

AHEAD = timedelta(minutes=5)  # that a till's clock may be fast
OPEN = (State.PILOT, State.SCHEDULED, State.LIVE, State.ENDED)  # of an ended campaign coupons stay good
_PURCHASES = UUID("0192d3c0-5e1a-7000-8000-70617373e7e1")  # names what two messages of one purchase hold

_COUPONS, _OFFERS, _CAMPAIGNS, _REDEMPTIONS = (columns_of(one) for one in (Coupon, Offer, Campaign, Redemption))
_FLIGHT = (_CAMPAIGNS.state, _CAMPAIGNS.starts_at, _CAMPAIGNS.ends_at)  # what its state at a time rests on
_FIND = (
    columns(*_COUPONS, *_OFFERS, *_FLIGHT, steps.has_any(_COUPONS.campaign_id))
    .where(_OFFERS.id == _COUPONS.offer_id, _CAMPAIGNS.id == _COUPONS.campaign_id)
    .where(_COUPONS.code == bindparam("code"), _COUPONS.organisation_id == bindparam("organisation"))
)
_SENT = columns(*_REDEMPTIONS).where(
    _REDEMPTIONS.place_id == bindparam("place"),
    _REDEMPTIONS.device == bindparam("device"),
    _REDEMPTIONS.nonce == bindparam("nonce"),
)
_HELD = columns(*_COUPONS).where(_COUPONS.id == bindparam("coupon")).with_for_update(key_share=True)
_ONE_MORE = (
    update(Offer)
    .where(_OFFERS.id == bindparam("offer"), _OFFERS.redeemed < _OFFERS.max_redemptions)
    .where(_OFFERS.state != OfferState.PAUSED.value)
    .values(redeemed=_OFFERS.redeemed + 1)
)
_TAKEN = (
    update(Coupon)
    .where(_COUPONS.id == bindparam("coupon"), or_(*(_COUPONS.state == one.value for one in GOOD)))
    .values(state=CouponState.REDEEMED.value, redeemed_at=bindparam("now"), locked_at=None)
)


@dataclass(frozen=True)
class Looked:
    """What a coupon is worth at a place now, consuming nothing. `refusal` is what a use of it would be told.

    `deduct_minor`: what comes off the basket; 0 when its person gives the value away. `used` and `used_at_place`: the
    use that stands, when it was used already.
    """

    coupon: Coupon | None
    offer: Offer | None
    refusal: Refusal | None
    deduct_minor: int
    used: Redemption | None = None
    used_at_place: str | None = None


@dataclass(frozen=True)
class Claim:
    """What a till sends. `device` and `nonce` name the purchase: the same again gets the same answer.

    `occurred_at`, of a till that was without network: when it took the coupon, at most seven days back.
    """

    code: str
    device: str
    nonce: str
    occurred_at: datetime | None = None
    basket_minor: int | None = None


class Found(NamedTuple):
    """A coupon and its offer as they were read, of no session, and the state of their campaign.

    `has_steps`: a use may complete some.
    """

    coupon: Coupon
    offer: Offer
    state: State
    has_steps: bool


@dataclass(frozen=True)
class Answer:
    """What the till is told: the redemption, what comes off the basket, and the other use when there was one."""

    redemption: Redemption
    offer: Offer | None
    deduct_minor: int
    is_replay: bool
    other: Redemption | None = None
    other_place: str | None = None


def look_up(session: Session, place: Place, typed: str, *, now: datetime) -> Looked:
    """What is behind a code at a place: value and validity. Reads only. Invalid for what cannot be a code."""
    found = _find(session, place.organisation_id, code_in(typed), now=now)
    if found is None:
        return Looked(None, None, Refusal.UNKNOWN, 0)
    coupon, offer = found.coupon, found.offer
    refusal = _refusal(found, place, at=now)
    used, where = use_of(session, coupon.id) if refusal is Refusal.ALREADY_REDEEMED else (None, None)
    keeps = refusal is None and coupon.choice == Choice.KEEP
    return Looked(coupon, offer, refusal, (offer.face_value_minor or 0) if keeps else 0, used, where)


def redeem(session: Session, place: Place, claim: Claim, *, now: datetime) -> Answer:
    """Use a coupon, once: two tills at once get one yes (I14), a till's retry its first answer (I16).

    A refusal is an answer, written down as well. Conflict (`one_coupon_a_purchase`) for another code under the same
    nonce; Invalid for what cannot be a code and for an `occurred_at` in the future or more than seven days back.
    """
    code = code_in(claim.code)
    at = _instant(claim.occurred_at, now)
    code_hash = hashlib.sha256(code.encode()).hexdigest()[:32]
    hold(session, uuid5(_PURCHASES, f"{place.id.hex} {claim.device} {claim.nonce}"))
    first = _sent(session, place, claim)
    if first is not None:
        return _replayed(session, first, code_hash)
    found = _find(session, place.organisation_id, code, now=now)
    refusal = _refusal(found, place, at=at) if found else Refusal.UNKNOWN
    doing = None
    if found and refusal is None:
        # What the use may complete is held before the coupon, as everywhere; then the coupon is read anew.
        doing = steps.ready(session, found.coupon, found.state, place, now=now) if found.has_steps else None
        found = _held(session, found)
        refusal = _refusal(found, place, at=at) or _take(session, found.coupon, now=now)
    values: dict[str, Any] = {
        "id": ids.uuid7_at(now),
        "organisation_id": place.organisation_id,
        "place_id": place.id,
        "device": claim.device,
        "nonce": claim.nonce,
        "code_hash": code_hash,
        "outcome": (Outcome.REFUSED if refusal else Outcome.ACCEPTED).value,
        "reason": refusal.value if refusal else None,
        "basket_minor": claim.basket_minor,
        "occurred_at": at,
        "recorded_at": now,
        "is_offline": claim.occurred_at is not None,
        "civil_day": civil_day(at, place.time_zone),
        **(_of_coupon(session, found.coupon, found.offer, refusal) if found else {}),
    }
    return _write(session, place, values, found, doing, now=now)


def roll_back(
    session: Session, place: Place, redemption_id: UUID, *, by: str, now: datetime, reason: str | None = None
) -> Redemption:
    """Take a mistaken use back: the coupon is good again. Once a coupon, the same civil day of the place.

    NotFound for one of another place, Conflict (`not_accepted`, `not_today`, `rolled_back_before`; `paid` for a gift
    that was sent to its cause already). A gift in a payout that is not sent cancels that payout. `by` names the key
    or the phone. The caller has made sure that a manager asks; their `reason` goes into the audit log. A coupon whose
    act was voided meanwhile is revoked.
    """
    found = find_redemption(session, place, redemption_id)
    if found.outcome != Outcome.ACCEPTED or found.coupon_id is None or found.offer_id is None:
        raise Conflict("This was refused: there is nothing to take back.", code="not_accepted")
    if not found.is_today(place.time_zone, now):
        raise Conflict("Only what was used today is taken back.", code="not_today")
    undoing = steps.done_by(session, found.id)
    hold_payouts(session, use_ids=[found.id], source_ids=[one.id for one in undoing])
    coupon = _hold(session, found.coupon_id)
    offer = hold_offer(session, found.offer_id)
    _untake(session, coupon, found, by=by, now=now)
    _take_back(session, offer, coupon, found, now=now)
    count_coupons(session, offer, coupon, "redeemed", -1)
    gone = steps.undo(session, undoing, reason="rolled_back")
    unearn(session, gone, "rolled_back", now=now)
    if coupon.source_voided_at is not None:
        revoke(session, [_hold(session, coupon.id)], "voided", now=now)
    changes: dict[str, list[Any]] = {"rolled_back_at": [None, now]}
    if reason is not None:
        changes["reason"] = [None, reason]
    owner = place.organisation_id
    audit.note(session, "redemption.rolled_back", found.id, organisation_id=owner, changes=changes, now=now)
    record_event(session, "redemption.rolled_back", now=now, redemption_id=found.id, coupon_id=coupon.id)
    return session.get_one(Redemption, found.id, populate_existing=True)


def find_redemption(session: Session, place: Place, redemption_id: UUID) -> Redemption:
    """A redemption of a place; NotFound for another's."""
    found = redemption_by_id(session, place.organisation_id, redemption_id)
    if found.place_id != place.id:
        raise NotFound("There is no such redemption.")
    return found


def redemption_by_id(session: Session, organisation_id: UUID, redemption_id: UUID) -> Redemption:
    """The organisation's redemption; NotFound for another's."""
    found = find_own(session, Redemption, organisation_id, redemption_id)
    if found is None:
        raise NotFound("There is no such redemption.")
    return found


def list_redemptions(session: Session, place: Place, *, before: UUID | None, limit: int) -> Sequence[Redemption]:
    """Of a place, newest first, older than `before`; refused ones included."""
    mine = select(Redemption).where(Redemption.place_id == place.id)
    return newest(session, mine, Redemption, before=before, limit=limit)


def recent(session: Session, place: Place, *, limit: int = 20) -> Sequence[Redemption]:
    """The last redemptions of a place, newest first, refused ones included."""
    return list_redemptions(session, place, before=None, limit=limit)


def conflicts(session: Session, place: Place, *, limit: int = 20) -> Sequence[Redemption]:
    """Coupons that a till without network took here, and another had taken; and the reverse. Newest first."""
    here = select(Redemption.id).where(Redemption.place_id == place.id, Redemption.outcome == Outcome.ACCEPTED.value)
    query = select(Redemption).where(
        col(Redemption.is_offline),
        Redemption.reason == Refusal.ALREADY_REDEEMED.value,
        or_(col(Redemption.place_id) == place.id, col(Redemption.other_id).in_(here)),
    )
    return session.exec(query.order_by(col(Redemption.id).desc()).limit(limit)).all()


def code_in(typed: str) -> str:
    """The code in what was typed, or in the address around it that a scanner read. Invalid (`unreadable_code`) else.

    O is read as 0, I and L as 1; look-alikes of other scripts and a wrong check character are refused.
    """
    code = codes.normalise(typed.strip().split("?")[0].rstrip("/").rpartition("/")[2])
    if code is None or len(code) != codes.LENGTH:
        raise Invalid(
            "This cannot be the code of a coupon: ten characters, the letters A to Z without I, L, O and U, and the "
            "last one checks the others. Read it again.",
            code="unreadable_code",
            pointer="/code",
        )
    return code


def _find(session: Session, organisation_id: UUID, code: str, *, now: datetime) -> Found | None:
    row = prepared.row(session, _FIND, code=code, organisation=organisation_id)
    if row is None:
        return None
    coupon = _loaded(Coupon, _COUPONS, row)
    offer = _loaded(Offer, _OFFERS, row[len(_COUPONS) :])
    flight = _loaded(Campaign, _FLIGHT, row[len(_COUPONS) + len(_OFFERS) :])
    return Found(coupon, offer, flight.state_at(now), row[-1])


def _loaded(table: type[Table], read: Iterable[Any], row: Sequence[Any]) -> Table:
    """What a row begins with, as an object with these columns alone."""
    return prepared.as_loaded(table, {one.key: value for one, value in zip(read, row, strict=False)})


def _refusal(found: Found, place: Place, *, at: datetime) -> Refusal | None:
    """Why a coupon may not be used: dates by when it was taken, everything else by what stands now."""
    coupon, offer, state, _ = found
    ended = {
        CouponState.REVOKED: Refusal.REVOKED,
        CouponState.REDEEMED: Refusal.ALREADY_REDEEMED,
        CouponState.EXPIRED: Refusal.EXPIRED,
    }
    if coupon.state in ended:
        return ended[CouponState(coupon.state)]
    if coupon.expires_at is not None and at >= coupon.expires_at:
        return Refusal.EXPIRED
    if offer.valid_from is not None and at < offer.valid_from:
        return Refusal.NOT_YET_VALID
    if not offer.takes_at(place.id):
        return Refusal.WRONG_PLACE
    is_frozen = offer.state == OfferState.PAUSED or state not in OPEN
    return Refusal.FROZEN if is_frozen or offer.redeemed >= offer.max_redemptions else None


def _instant(occurred_at: datetime | None, now: datetime) -> datetime:
    if occurred_at is None:
        return now
    if not now - LATE <= occurred_at <= now + AHEAD:
        raise Invalid(
            "`occurred_at` is when the till took the coupon: at most seven days ago, and not in the future.",
            code="occurred_at_far",
            pointer="/occurred_at",
        )
    return min(occurred_at, now)


def _sent(session: Session, place: Place, claim: Claim) -> Redemption | None:
    sent = {"place": place.id, "device": claim.device, "nonce": claim.nonce}
    return prepared.load(session, _SENT, Redemption, **sent)


def _replayed(session: Session, first: Redemption, code_hash: str) -> Answer:
    if first.code_hash != code_hash:
        raise Conflict(
            "This till sent another coupon under this nonce: one coupon a purchase. For another purchase, and for a "
            "further try after a refusal, take a new nonce.",
            code="one_coupon_a_purchase",
            pointer="/nonce",
        )
    offer = session.get(Offer, first.offer_id) if first.offer_id else None
    return _answer(session, first, offer, is_replay=True)


def _answer(session: Session, one: Redemption, offer: Offer | None, *, is_replay: bool) -> Answer:
    keeps = one.outcome == Outcome.ACCEPTED and one.choice == Choice.KEEP
    other = session.get(Redemption, one.other_id) if one.other_id else None
    where = session.get_one(Place, other.place_id).name if other else None
    return Answer(one, offer, (one.value_minor or 0) if keeps else 0, is_replay, other, where)


def _held(session: Session, found: Found) -> Found:
    """The coupon read anew and held. On SQLite whoever writes is alone: it is as it was read."""
    if not is_shared(session):
        return found
    coupon = prepared.load(session, _HELD, Coupon, coupon=found.coupon.id)
    assert coupon is not None  # noqa: S101  # no coupon that is out is deleted
    return found._replace(coupon=coupon)


def _hold(session: Session, coupon_id: UUID) -> Coupon:
    query = select(Coupon).where(Coupon.id == coupon_id).with_for_update(key_share=True)
    return session.exec(query.execution_options(populate_existing=True)).one()


def _take(session: Session, coupon: Coupon, *, now: datetime) -> Refusal | None:
    """Use up the coupon and one of its offer's redemptions (I14, I15); why not, when another was first."""
    if not prepared.change(session, _ONE_MORE, {"offer": coupon.offer_id}):
        return Refusal.FROZEN
    if not prepared.change(session, _TAKEN, {"coupon": coupon.id, "now": now}):
        raise Conflict("This coupon was used at this moment. Look it up again.", code="coupon_over")
    return None


def _of_coupon(session: Session, coupon: Coupon, offer: Offer, refusal: Refusal | None) -> dict[str, Any]:
    """What a redemption says of its coupon; of an accepted one also what became of the value."""
    fields: dict[str, Any] = {"coupon_id": coupon.id, "offer_id": offer.id}
    if refusal is Refusal.ALREADY_REDEEMED:
        used, _ = use_of(session, coupon.id)
        fields["other_id"] = used.id if used else None
    if refusal is None:
        gives = coupon.choice == Choice.GIVE
        cause = cause_of(session, offer, coupon.participant_id) if gives else None
        fields |= {"choice": coupon.choice, "value_minor": offer.face_value_minor, "currency": offer.currency}
        fields["beneficiary_id"] = cause.id if cause else None
    return fields


def use_of(session: Session, coupon_id: UUID) -> tuple[Redemption | None, str | None]:
    """The use of a coupon that stands, and the name of its place."""
    stands = (
        Redemption.coupon_id == coupon_id,
        Redemption.outcome == Outcome.ACCEPTED.value,
        col(Redemption.rolled_back_at).is_(None),
    )
    query = select(Redemption, Place.name).join(Place, col(Place.id) == Redemption.place_id).where(*stands)
    found = session.exec(query).first()
    return (found[0], found[1]) if found else (None, None)


def _write(
    session: Session,
    place: Place,
    values: dict[str, Any],
    found: Found | None,
    doing: "steps.Ready | None",
    *,
    now: datetime,
) -> Answer:
    """Write the redemption, and what an accepted one moves: money, steps, totals and its event."""
    if not insert_once(session, Redemption, **values):
        raise Conflict("This purchase was sent twice at this moment. Send it again for its answer.", code="busy")
    done = prepared.as_loaded(Redemption, dict.fromkeys(columns_of(Redemption).keys()) | values)
    if found is None or values["outcome"] != Outcome.ACCEPTED:
        return _answer(session, done, found.offer if found else None, is_replay=False)
    coupon, offer = found.coupon, found.offer
    if done.choice == Choice.GIVE:
        _give(session, done, coupon, offer, now=now)
    elif done.value_minor is not None:
        books.use(session, offer.id, coupon.id, done.value_minor, now=now)
    count_coupons(session, offer, coupon, "redeemed")
    if doing is not None:
        steps.complete(session, doing, place, done.id, at=done.occurred_at, now=now)
    named = {"organisation_id": offer.organisation_id, "campaign_id": offer.campaign_id, "place_id": place.id}
    about = {"coupon_id": coupon.id, "offer_id": offer.id, "redemption_id": done.id, "phase": coupon.phase}
    record_event(session, "coupon.redeemed", now=now, **named, **about)
    return _answer(session, done, offer, is_replay=False)


def _give(session: Session, done: Redemption, coupon: Coupon, offer: Offer, *, now: datetime) -> None:
    """Owe the value to the cause; in the mission's public ledger if the coupon is not of a pilot (I21)."""
    worth: dict[str, Any] = {"amount_minor": done.value_minor, "currency": done.currency}
    worth["beneficiary_id"] = done.beneficiary_id  # whoever chose to give it had a cause
    mission_id = offer.mission_id if coupon.phase == Phase.LIVE else None
    owner = offer.organisation_id
    gift = Gift(id=done.id, organisation_id=owner, mission_id=mission_id, book_id=offer.id, given_at=now, **worth)
    gifts.give(session, gift, now=now)


def _take_back(session: Session, offer: Offer, coupon: Coupon, found: Redemption, *, now: datetime) -> None:
    """Let the value be liability again: what was owed to the shop, or to the cause."""
    if found.choice != Choice.GIVE:
        books.take_back(session, offer, [coupon.id], [Code.REDEMPTION], now=now)
        return
    gift = session.get_one(Gift, found.id, populate_existing=True)
    if gift.undone_at is None and not gifts.undo(session, [gift.id], gifts.ROLLED_BACK, now=now):
        raise Conflict("Its value was sent to the cause already: what was paid stays.", code="paid")


def _untake(session: Session, coupon: Coupon, done: Redemption, *, by: str, now: datetime) -> None:
    """Turn the coupon, its use and its offer's count back; Conflict when that was done before, of this use or one."""
    once = (
        col(Coupon.id) == coupon.id,
        col(Coupon.state) == CouponState.REDEEMED.value,
        col(Coupon.rolled_back_at).is_(None),
    )
    back = update(Coupon).where(*once)
    back = back.values(state=CouponState.ROLLED_BACK.value, redeemed_at=None, rolled_back_at=now)
    stands = (col(Redemption.id) == done.id, col(Redemption.rolled_back_at).is_(None))
    undone = update(Redemption).where(*stands).values(rolled_back_at=now, rolled_back_by=by[:80])
    fewer = update(Offer).where(col(Offer.id) == coupon.offer_id).values(redeemed=col(Offer.redeemed) - 1)
    for statement in (back, undone, fewer):
        if not changed(session, statement.execution_options(synchronize_session=False)):
            raise Conflict("A use of this coupon was taken back before: once is the most.", code="rolled_back_before")
