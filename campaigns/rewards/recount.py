"""Recounting rewards: what offers, coupons, totals and the ledger say of one another (I14, I15, I22)."""

from collections import Counter
from collections.abc import Iterator
from uuid import UUID

from sqlalchemy import and_, func
from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from campaigns import missions
from campaigns.ids import show
from campaigns.rewards import badges_recount, points_recount
from campaigns.rewards.models import GOOD, Choice, Coupon, CouponState, Offer, Outcome, Redemption
from campaigns.sponsorship import ledger
from campaigns.sponsorship.models import Gift, Payout
from campaigns.sponsorship.payouts import PAID

METRICS = ("coupons_issued", "coupons_redeemed", "online_coupons_issued", "online_coupons_redeemed")
_STANDS = and_(col(Redemption.outcome) == Outcome.ACCEPTED.value, col(Redemption.rolled_back_at).is_(None))


def recount(session: Session) -> list[str]:
    """What does not add up, in words; empty when all does."""
    books = (_wrong_offers, _wrong_coupons, _wrong_gifts, _wrong_books, _wrong_totals)
    parts = (*books, points_recount.recount, badges_recount.recount)
    return [problem for part in parts for problem in part(session)]


def _wrong_offers(session: Session) -> Iterator[str]:
    """Offers that count other than their coupons."""
    states = _states(session)
    for offer in session.exec(select(Offer).order_by(col(Offer.id))):
        of = {state: number for (id, state), number in states.items() if id == offer.id}
        issued = sum(number for state, number in of.items() if state != CouponState.REVOKED)
        for name, stored, counted in (
            ("issued", offer.issued, issued),
            ("redeemed", offer.redeemed, of.get(CouponState.REDEEMED.value, 0)),
        ):
            if stored != counted:
                yield f"{show('off', offer.id)}: {stored} {name} stored, {counted} counted"


def _states(session: Session) -> Counter[tuple[UUID, str]]:
    by = (col(Coupon.offer_id), col(Coupon.state))
    rows = session.execute(columns(*by, func.count()).group_by(*by))
    return Counter({(offer_id, state): number for offer_id, state, number in rows})


def _wrong_coupons(session: Session) -> Iterator[str]:
    """Used coupons without the use that stands, and uses of coupons that are not used."""
    query = columns(col(Coupon.id), col(Coupon.state), func.count(col(Redemption.id)))
    rows = query.outerjoin(Redemption, and_(col(Redemption.coupon_id) == Coupon.id, _STANDS))
    for id, state, uses in session.execute(rows.group_by(col(Coupon.id), col(Coupon.state)).order_by(col(Coupon.id))):
        if uses != (state == CouponState.REDEEMED):
            yield f"{show('cpn', id)} is {state} and has {uses} uses that stand"


def _wrong_gifts(session: Session) -> Iterator[str]:
    """Given coupons without their gift, or with another than they are worth; and gifts of uses that do not stand."""
    gives = and_(_STANDS, col(Redemption.choice) == Choice.GIVE.value)
    query = columns(Redemption, Gift).outerjoin(Gift, col(Gift.id) == Redemption.id).where(gives)
    for use, gift in session.execute(query.order_by(col(Redemption.id))):
        wanted = (use.offer_id, use.value_minor, use.currency, use.beneficiary_id)
        if gift is None or (gift.book_id, gift.amount_minor, gift.currency, gift.beneficiary_id) != wanted:
            yield f"{show('rdm', use.id)} gave its value to a cause, and its gift says otherwise"
    standing = columns(col(Gift.id)).outerjoin(Redemption, and_(col(Redemption.id) == Gift.id, gives))
    lost = standing.where(col(Gift.undone_at).is_(None), col(Redemption.id).is_(None))
    for id in session.execute(lost.order_by(col(Gift.id))).scalars():
        yield f"{show('gft', id)} stands, and no use of a coupon gave it"


def _given(session: Session) -> tuple[Counter[UUID], Counter[UUID]]:
    """What was given by the coupons of each offer and stands: not sent yet, and sent."""
    was_sent = col(Payout.state).in_([one.value for one in PAID])
    query = columns(col(Gift.book_id), was_sent, func.sum(col(Gift.amount_minor)))
    rows = query.outerjoin(Payout, col(Payout.id) == Gift.payout_id).where(col(Gift.undone_at).is_(None))
    found: tuple[Counter[UUID], Counter[UUID]] = (Counter(), Counter())
    for book_id, is_sent, amount in session.execute(rows.group_by(col(Gift.book_id), was_sent)):
        found[bool(is_sent)][book_id] += int(amount)
    return found


def _wrong_books(session: Session) -> Iterator[str]:
    """Books that hold other than their offer's coupons are worth."""
    out = [one.value for one in GOOD]
    states, (given, sent) = _states(session), _given(session)
    for offer in session.exec(select(Offer).where(col(Offer.face_value_minor).is_not(None)).order_by(col(Offer.id))):
        held, face = ledger.balances(session, offer.id), offer.face_value_minor or 0
        held["settled"] = held.get("settled", 0) + held.pop("fees", 0)
        kept = (col(Redemption.offer_id) == offer.id, col(Redemption.choice) == Choice.KEEP.value, _STANDS)
        due = session.execute(columns(func.sum(col(Redemption.value_minor))).where(*kept)).scalar_one()
        expected = {
            "liability": face * sum(states[offer.id, state] for state in out),
            "due": int(due or 0),
            "given": given[offer.id],
            "settled": sent[offer.id],
        }
        expected["budget"] = -sum(expected.values())
        for kind, amount in expected.items():
            if held.get(kind) != amount:
                yield f"{show('off', offer.id)}: {held.get(kind)} {kind} in the ledger, {amount} by its coupons"


def _wrong_totals(session: Session) -> list[str]:
    """Totals of missions that are not those of their offers' coupons."""
    counted: Counter[tuple[UUID, str, str]] = Counter()
    by = (col(Offer.mission_id), col(Coupon.phase), col(Coupon.state), col(Coupon.was_online))
    query = columns(*by, func.count()).join(Offer, col(Offer.id) == Coupon.offer_id).group_by(*by)
    for mission_id, phase, state, was_online, number in session.execute(query):
        if mission_id is None or state == CouponState.REVOKED:
            continue
        for metric in ("coupons_issued", *(["coupons_redeemed"] if state == CouponState.REDEEMED else [])):
            counted[mission_id, phase, metric] += number
            if was_online:
                counted[mission_id, phase, f"online_{metric}"] += number
    return missions.differences(session, dict(counted), METRICS)
