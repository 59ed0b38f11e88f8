"""The money of an offer: what each of its coupons moves in the ledger, and its exact inverse.

An offer with a face value has a book of its own. Its budget may go down to minus what all its coupons are worth, every
other account to zero. A coupon moves its value from budget to liability when it is issued, and from there to due when
a till takes it; each of the two is taken back by transfers that name what they reverse. What its person gives away
moves to given instead, as a gift (`sponsorship/gifts.py`), and from there to settled and fees when it is paid out.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import update
from sqlmodel import Session, col

from campaigns.errors import Conflict, Invalid
from campaigns.ids import uuid7_at
from campaigns.rewards.models import Offer
from campaigns.sponsorship import ledger
from campaigns.sponsorship.ledger import Account, AccountKind, Code, Move
from campaigns.storage import changed

KINDS = (
    AccountKind.BUDGET,
    AccountKind.LIABILITY,
    AccountKind.DUE,
    AccountKind.GIVEN,
    AccountKind.SETTLED,
    AccountKind.FEES,
)


def open_for(session: Session, offer: Offer) -> None:
    """Open the book of an offer with a face value. Invalid when all its coupons are worth more than can be counted."""
    if offer.face_value_minor is None or offer.currency is None:
        return
    floors = dict.fromkeys(KINDS, 0) | {AccountKind.BUDGET: -_all_worth(offer.face_value_minor, offer.max_issue)}
    ledger.open_book(session, offer.id, floors, organisation_id=offer.organisation_id, currency=offer.currency)


def resize(session: Session, offer: Offer, max_issue: int) -> None:
    """Let the budget go as far as so many coupons. Conflict when those that are out are worth more."""
    if offer.face_value_minor is None:
        return
    floor = -_all_worth(offer.face_value_minor, max_issue)
    budget = (col(Account.book_id) == offer.id, col(Account.kind) == AccountKind.BUDGET.value)
    fits = update(Account).where(*budget, col(Account.balance_minor) >= floor)
    if not changed(session, fits.values(floor_minor=floor).execution_options(synchronize_session=False)):
        raise Conflict("More coupons than that are out already.", code="coupons_out", pointer="/max_issue")


def issue(session: Session, offer: Offer, coupon_ids: Sequence[UUID], *, now: datetime) -> None:
    """Budget to liability, for each coupon. The offer's row is held."""
    if offer.face_value_minor is None or not coupon_ids:
        return
    value = offer.face_value_minor
    moves = [Move(AccountKind.BUDGET, AccountKind.LIABILITY, value, Code.ISSUE, id) for id in coupon_ids]
    ledger.post(session, ledger.book_of(session, offer.id), moves, now=now)


def use(session: Session, offer_id: UUID, coupon_id: UUID, value_minor: int, *, now: datetime) -> None:
    """Liability to due: the shop took it off the basket."""
    move = Move(AccountKind.LIABILITY, AccountKind.DUE, value_minor, Code.REDEMPTION, coupon_id)
    ledger.post(session, ledger.book_of(session, offer_id), [move], now=now)


def take_back(
    session: Session, offer: Offer, coupon_ids: Sequence[UUID], codes: Sequence[Code], *, now: datetime
) -> None:
    """The exact inverse of what stands of these kinds for the coupons, in one group."""
    if offer.face_value_minor is None or not coupon_ids:
        return
    book = ledger.book_of(session, offer.id)
    kinds = {id: AccountKind(kind) for kind, id in book.accounts.items()}
    group_id = uuid7_at(now)
    standing = [one for one in ledger.standing_of(session, coupon_ids) if one.code in codes]
    ledger.post(session, book, [ledger.reversal_of(one, kinds, group_id=group_id) for one in standing], now=now)


def _all_worth(face_value_minor: int, number: int) -> int:
    worth = face_value_minor * number
    if worth > ledger.MOST_MINOR:
        raise Invalid("All coupons together are worth more than can be counted exactly.", pointer="/max_issue")
    return worth
