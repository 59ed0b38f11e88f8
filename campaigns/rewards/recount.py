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

METRICS = ("coupons_issued", "coupons_redeemed", "online_coupons_issued", "online_coupons_redeemed")
_STANDS = and_(col(Redemption.outcome) == Outcome.ACCEPTED.value, col(Redemption.rolled_back_at).is_(None))


def recount(session: Session) -> list[str]:
    """What does not add up, in words; empty when all does."""
    parts = (_wrong_offers, _wrong_coupons, _wrong_books, _wrong_totals, points_recount.recount, badges_recount.recount)
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


def _wrong_books(session: Session) -> Iterator[str]:
    """Books that hold other than their offer's coupons are worth."""
    out = [one.value for one in GOOD]
    states = _states(session)
    for offer in session.exec(select(Offer).where(col(Offer.face_value_minor).is_not(None)).order_by(col(Offer.id))):
        held, face = ledger.balances(session, offer.id), offer.face_value_minor or 0
        uses = dict(
            session.execute(
                columns(col(Redemption.choice), func.sum(col(Redemption.value_minor)))
                .where(col(Redemption.offer_id) == offer.id, _STANDS)
                .group_by(col(Redemption.choice))
            ).all()
        )
        expected = {
            "liability": face * sum(states[offer.id, state] for state in out),
            "due": int(uses.get(Choice.KEEP.value) or 0),
            "given": int(uses.get(Choice.GIVE.value) or 0),
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
