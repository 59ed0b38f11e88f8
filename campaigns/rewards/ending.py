"""How a coupon ends without being used: past its date, or revoked; and what becomes of it when two names are one.

Both let its money go by the exact inverse of its issue. A revoked coupon never counted: its offer may issue another in
its place. One that expired had its turn. A used one stays used when what gave it is found void: the shop took it in
good faith. What its person had given to a cause is owed to nobody then, unless it was paid.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import chain
from typing import Any
from uuid import UUID

from sqlalchemy import or_, update
from sqlmodel import Session, col, select

from campaigns.events import record_event
from campaigns.missions.models import CompletionState, StepCompletion
from campaigns.participants.merging import REASON, Merge
from campaigns.rewards import books
from campaigns.rewards.issuing import count_coupons, hold_offer
from campaigns.rewards.models import GOOD, Choice, Coupon, CouponState, Offer, Outcome, Redemption
from campaigns.scans import Effect, Undone
from campaigns.sponsorship import gifts, payouts
from campaigns.sponsorship.ledger import Code
from campaigns.sponsorship.models import Gift
from campaigns.storage import changed, hand_over

LATE = timedelta(days=7)  # how long a till that was without network may tell of a use: until then the money is kept
CHUNK = 500  # coupons a transaction
PERSON_COLUMNS = (col(Coupon.participant_id),)
_GOOD = [one.value for one in GOOD]


def expire(session: Session, *, now: datetime, limit: int = CHUNK) -> int:
    """Let coupons go whose date was more than seven days ago; how many, at most `limit`."""
    over = (col(Coupon.state).in_(_GOOD), col(Coupon.expires_at) <= now - LATE)
    query = select(Coupon).where(*over).order_by(col(Coupon.id)).limit(limit)
    found = session.exec(
        query.with_for_update(skip_locked=True, key_share=True).execution_options(populate_existing=True)
    ).all()
    _end(session, found, CouponState.EXPIRED, None, now=now)
    return len(found)


def has_expired(session: Session, *, now: datetime) -> bool:
    """Whether there is one to let go. Reads only."""
    over = (col(Coupon.state).in_(_GOOD), col(Coupon.expires_at) <= now - LATE)
    return session.exec(select(Coupon.id).where(*over).limit(1)).first() is not None


def revoke(session: Session, coupons: Sequence[Coupon], reason: str, *, now: datetime) -> None:
    """Revoke coupons that are good and held; people read why."""
    _end(session, coupons, CouponState.REVOKED, reason, now=now)


def reverse(session: Session, undone: Undone, now: datetime) -> list[Effect]:
    """Revoke the coupons of what a voided scan took along, in the transaction that voids it; used ones stay (I19)."""
    gone = [one.subject_id for one in undone.effects if (one.what, one.outcome) == ("completion", "reversed")]
    return unearn(session, gone, undone.reason, now=now)


def hold_payouts(session: Session, *, use_ids: Sequence[UUID] = (), source_ids: Sequence[UUID] = ()) -> None:
    """Hold the payouts that undoing gifts may cancel, before any coupon: those of these uses, or of what gave them."""
    if not use_ids and not source_ids:
        return
    named = or_(col(Gift.id).in_(use_ids), col(Coupon.source_id).in_(source_ids))
    query = select(Gift.organisation_id).join(Redemption, col(Redemption.id) == Gift.id)
    query = query.join(Coupon, col(Coupon.id) == Redemption.coupon_id)
    owners = session.exec(query.where(named, col(Gift.payout_id).is_not(None)).distinct()).all()
    for owner in sorted(owners):
        payouts.hold_unsent(session, owner)


def unearn(session: Session, completion_ids: Sequence[UUID], reason: str | None, *, now: datetime) -> list[Effect]:
    """Revoke the unused coupons of completions that are reversed; what was done, once.

    A used one stays, and says from then on that its act was voided; a gift that was not sent is undone. Each has the
    reason of its completion when none is given. Whoever calls it holds the payouts (`hold_payouts`).
    """
    if not completion_ids:
        return []
    mine = select(Coupon).where(col(Coupon.source_id).in_(completion_ids), Coupon.state != CouponState.REVOKED.value)
    held = mine.order_by(col(Coupon.id)).with_for_update(key_share=True).execution_options(populate_existing=True)
    effects = []
    by_reason: dict[str, list[Coupon]] = defaultdict(list)
    used: list[tuple[Coupon, str]] = []
    for coupon in session.exec(held).all():
        completion = session.get(StepCompletion, coupon.source_id, populate_existing=True)
        if completion is None or completion.state != CompletionState.REVERSED or coupon.source_voided_at is not None:
            continue
        why = reason or completion.reason or "voided"
        if coupon.state in GOOD:
            by_reason[why].append(coupon)
        elif coupon.state == CouponState.REDEEMED:
            used.append((coupon, why))
    for offer_id in sorted({one.offer_id for one in (*chain(*by_reason.values()), *(one for one, _ in used))}):
        hold_offer(session, offer_id)
    for coupon, why in used:
        _set(session, [coupon], source_voided_at=now)
        effects += [Effect("coupon", coupon.id, "used"), *_undo_gift(session, coupon.id, why, now=now)]
    for why, coupons in sorted(by_reason.items()):
        revoke(session, coupons, why, now=now)
        effects += [Effect("coupon", one.id) for one in coupons]
    return effects


def _undo_gift(session: Session, coupon_id: UUID, reason: str, *, now: datetime) -> list[Effect]:
    """Take back what a used coupon gave to a cause, back to its offer's budget; what was paid is noted."""
    stands = (Redemption.coupon_id == coupon_id, Redemption.outcome == Outcome.ACCEPTED.value)
    given = (Redemption.choice == Choice.GIVE.value, col(Redemption.rolled_back_at).is_(None))
    use = session.exec(select(Redemption).where(*stands, *given)).first()
    if use is None:
        return []
    offer = session.get_one(Offer, use.offer_id)
    if gifts.undo(session, [use.id], reason, now=now):
        books.take_back(session, offer, [coupon_id], [Code.ISSUE], now=now)
        return [Effect("gift", use.id)]
    gifts.note_act_undone(session, use.id, reason, now=now)
    return [Effect("gift", use.id, "kept")]


def merge(session: Session, merge: Merge) -> None:
    """Give the older name the coupons of the newer one. Of two of an offer that gives one a person the unused one goes.

    Of two unused ones the later goes; two used ones both stay.
    """
    mine = select(Coupon).where(col(Coupon.participant_id).in_(merge.ids)).order_by(col(Coupon.id))
    held = session.exec(mine.with_for_update(key_share=True).execution_options(populate_existing=True)).all()
    groups: dict[UUID, list[Coupon]] = defaultdict(list)
    for coupon in held:
        if coupon.is_personal and coupon.state != CouponState.REVOKED:
            groups[coupon.offer_id].append(coupon)
    doubled: list[Coupon] = []
    for group in groups.values():
        for further in sorted(group, key=_rank)[1:]:
            if further.state in GOOD:
                doubled.append(further)
            else:
                _set(session, [further], is_personal=False)
    revoke(session, doubled, REASON, now=merge.now)
    hand_over(session, PERSON_COLUMNS, merge.newer.id, merge.older.id)
    gone = unearn(session, [one.source_id for one in held], REASON, now=merge.now)
    merge.undone["coupons"] += len(doubled) + sum(one.outcome == "reversed" for one in gone)


def forget(session: Session, participant_id: UUID, *, surrogate: UUID) -> None:
    """Leave a person's coupons to nobody: they stay counted, and good for who holds the code."""
    hand_over(session, PERSON_COLUMNS, participant_id, surrogate)


def _rank(coupon: Coupon) -> tuple[object, ...]:
    """Used ones first, then those that are good, then those whose time is over; the older before the newer."""
    order = 0 if coupon.state == CouponState.REDEEMED else 1 if coupon.state in GOOD else 2
    return order, coupon.issued_at, coupon.id


def _end(session: Session, coupons: Sequence[Coupon], state: CouponState, reason: str | None, *, now: datetime) -> None:
    by_offer: dict[UUID, list[Coupon]] = defaultdict(list)
    for coupon in coupons:
        by_offer[coupon.offer_id].append(coupon)
    _set(session, coupons, state=state.value, reason=reason, ended_at=now)
    for offer_id in sorted(by_offer):
        offer, ended = hold_offer(session, offer_id), by_offer[offer_id]
        books.take_back(session, offer, [one.id for one in ended], [Code.ISSUE], now=now)
        if state is not CouponState.REVOKED:
            continue
        fewer = update(Offer).where(col(Offer.id) == offer_id).values(issued=col(Offer.issued) - len(ended))
        changed(session, fewer.execution_options(synchronize_session=False))
        for one in ended:
            count_coupons(session, offer, one, "issued", -1)
            record_event(session, "coupon.revoked", now=now, coupon_id=one.id, offer_id=offer_id)


def _set(session: Session, coupons: Sequence[Coupon], **values: Any) -> None:
    if coupons:
        these = update(Coupon).where(col(Coupon.id).in_([one.id for one in coupons])).values(**values)
        session.execute(these.execution_options(synchronize_session=False))
        for one in coupons:
            session.expire(one)
