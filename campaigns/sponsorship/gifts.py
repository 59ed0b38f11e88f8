"""Gifts: the value of used coupons that people gave to a cause, in the book of their offer, until it is paid out.

Whoever undoes a gift holds its offer, and before it the payouts that are not sent (`payouts.hold_unsent`). A gift that
was sent stays paid. A payout that is not sent yet is cancelled, and lets the others in it go.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlmodel import Session, col, select

from campaigns.ids import uuid7_at
from campaigns.sponsorship import ledger, payouts
from campaigns.sponsorship.ledger import AccountKind, Code, Move
from campaigns.sponsorship.models import Gift, Payout

ROLLED_BACK = "rolled_back"  # why a gift is undone that was a mistake at the till: no act was found void


def give(session: Session, gift: Gift, *, now: datetime) -> None:
    """Write a gift down and move its value from liability to given: a line of its mission's public ledger."""
    session.add(gift)
    session.flush()
    book = ledger.book_of(session, gift.book_id, mission_id=gift.mission_id)
    ledger.post(
        session, book, [Move(AccountKind.LIABILITY, AccountKind.GIVEN, gift.amount_minor, Code.GIFT, gift.id)], now=now
    )


def undo(session: Session, gift_ids: Sequence[UUID], reason: str, *, now: datetime) -> list[Gift]:
    """Take gifts back to liability, by the inverse of what stands; those that were. Sent ones stay as they are."""
    held = select(Gift).where(col(Gift.id).in_(gift_ids), col(Gift.undone_at).is_(None)).order_by(col(Gift.id))
    found = session.exec(held.with_for_update().execution_options(populate_existing=True)).all()
    for payout in _payouts_of(session, found):
        if payout.state in payouts.UNSENT:
            payouts.let_go(session, payout, reason=reason, now=now)
    gone = []
    for gift in sorted(found, key=lambda one: (one.book_id, one.id)):
        session.refresh(gift)
        if gift.payout_id is None:
            gift.undone_at, gift.reason = now, reason
            session.add(gift)
            _transfer_back(session, gift, now=now)
            gone.append(gift)
    session.flush()
    return gone


def note_act_undone(session: Session, gift_id: UUID, reason: str, *, now: datetime) -> None:
    """Note of a gift that stays paid that the act behind its coupon was undone."""
    gift = session.get_one(Gift, gift_id)
    gift.act_undone_at, gift.reason = now, reason
    session.add(gift)
    session.flush()


def _payouts_of(session: Session, found: Sequence[Gift]) -> Sequence[Payout]:
    named = {one.payout_id for one in found if one.payout_id is not None}
    query = select(Payout).where(col(Payout.id).in_(named)).order_by(col(Payout.id))
    return session.exec(query.execution_options(populate_existing=True)).all() if named else []


def _transfer_back(session: Session, gift: Gift, *, now: datetime) -> None:
    book = ledger.book_of(session, gift.book_id, mission_id=gift.mission_id)
    kinds = {id: AccountKind(kind) for kind, id in book.accounts.items()}
    group_id = uuid7_at(now)
    standing = ledger.standing_of(session, [gift.id])
    ledger.post(session, book, [ledger.reversal_of(one, kinds, group_id=group_id) for one in standing], now=now)
