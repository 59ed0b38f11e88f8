"""Payouts: what is due to a beneficiary, proposed by one person, approved by another, sent elsewhere and recorded here.

What is due are posted accruals of pledges, and gifts of coupons. Passerelle holds no money. Whoever proposes or sends
holds the pledges first, in order, then the payout, then gifts, then accounts: the order in which acts are undone. A
state moves by one statement that asks for the state before it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, literal, update
from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from campaigns.announcements import announce
from campaigns.audit import note
from campaigns.errors import Conflict, Forbidden, Invalid, NotFound
from campaigns.events import record_event
from campaigns.identity import Member
from campaigns.ids import uuid7_at
from campaigns.missions import Mission
from campaigns.sponsorship import ledger
from campaigns.sponsorship.ledger import MOST_MINOR, Account, AccountKind, Code, Move
from campaigns.sponsorship.lifecycle import held
from campaigns.sponsorship.models import (
    Accrual,
    AccrualState,
    Beneficiary,
    Gift,
    Payout,
    PayoutItem,
    PayoutState,
    Pledge,
)
from campaigns.sponsorship.money import IN_KIND, require_currency
from campaigns.storage import changed, columns_of, find_own, insert_into, newest

UNSENT = (PayoutState.PROPOSED, PayoutState.APPROVED)
PAID = (PayoutState.SENT, PayoutState.CONFIRMED)
REASON_LENGTH = 500
_ROWS, _ITEMS, _GIFTS = columns_of(Accrual), columns_of(PayoutItem), columns_of(Gift)


@dataclass(frozen=True)
class Share:
    """What a payout takes from one book for a mission: so much, for so many acts, or coupons that were given.

    `book_id` is a pledge's where `account` is due, an offer's where it is given. No mission: in no public ledger.
    """

    book_id: UUID
    mission_id: UUID | None
    account: AccountKind
    amount_minor: int
    acts: int


@dataclass(frozen=True)
class Due:
    """What is due to a cause in a currency and in no payout, from which pledges and offers; of things, from one."""

    beneficiary: Beneficiary
    currency: str
    shares: list[Share]

    @property
    def amount_minor(self) -> int:
        return sum(one.amount_minor for one in self.shares)

    @property
    def acts(self) -> int:
        return sum(one.acts for one in self.shares)


def list_due(session: Session, organisation_id: UUID) -> list[Due]:
    """All that could be proposed now, by the name of the cause. It reads the acts of pledges that owe something."""
    owing = columns(col(Account.book_id)).where(
        col(Account.organisation_id) == organisation_id,
        col(Account.kind) == AccountKind.DUE.value,
        col(Account.balance_minor) > 0,
    )
    by = (_ROWS.beneficiary_id, _ROWS.currency, _ROWS.pledge_id, col(Pledge.mission_id))
    free = (_ROWS.state == AccrualState.POSTED.value, _ROWS.id.not_in(columns(_ITEMS.accrual_id)))
    of_pledges = (
        columns(*by, func.sum(_ROWS.amount_minor), func.count())
        .join(Pledge, col(Pledge.id) == _ROWS.pledge_id)
        .where(_ROWS.pledge_id.in_(owing), *free)
        .group_by(*by)
    )
    given = (_GIFTS.beneficiary_id, _GIFTS.currency, _GIFTS.book_id, _GIFTS.mission_id)
    of_offers = (
        columns(*given, func.sum(_GIFTS.amount_minor), func.count())
        .where(_GIFTS.organisation_id == organisation_id, _GIFTS.payout_id.is_(None), _GIFTS.undone_at.is_(None))
        .group_by(*given)
    )
    found: dict[Any, list[Share]] = {}
    for query, account in ((of_pledges, AccountKind.DUE), (of_offers, AccountKind.GIVEN)):
        for beneficiary_id, currency, book_id, mission_id, amount, number in session.execute(query):
            key = (beneficiary_id, currency, book_id if currency == IN_KIND else None)
            found.setdefault(key, []).append(Share(book_id, mission_id, account, int(amount), number))
    for shares in found.values():
        shares.sort(key=lambda one: (one.account, one.book_id))
    dues = [Due(session.get_one(Beneficiary, id), currency, shares) for (id, currency, _), shares in found.items()]
    return sorted(dues, key=lambda one: (one.beneficiary.name.casefold(), one.currency))


def propose(
    session: Session,
    beneficiary: Beneficiary,
    *,
    currency: str,
    pledge_ids: Sequence[UUID] | None = None,
    with_gifts: bool | None = None,
    by: UUID | None,
    now: datetime,
) -> Payout:
    """Gather everything that is due to a beneficiary in a currency and in no payout: of these pledges alone, or all.

    Gifts of coupons come along unless pledges are named, or as `with_gifts` says.

    `by` is the member, or who issued the key that proposes; Forbidden (`maker_unknown`) without one: whoever holds such
    a key could approve their own proposal. Conflict (`nothing_due`) when nothing is due. Invalid for a pledge that is
    not of this organisation and currency; things are paid out pledge by pledge.
    """
    maker = _maker(session, beneficiary.organisation_id, by)
    _require_pledges(session, beneficiary.organisation_id, currency, pledge_ids or ())
    due = [
        _ROWS.beneficiary_id == beneficiary.id,
        _ROWS.currency == currency,
        _ROWS.state == AccrualState.POSTED.value,
        _ROWS.id.not_in(columns(_ITEMS.accrual_id)),
    ]
    if pledge_ids is not None:
        due.append(_ROWS.pledge_id.in_(list(pledge_ids)))
    named = session.execute(columns(_ROWS.pledge_id).where(*due).distinct()).scalars().all()
    due.append(_ROWS.pledge_id.in_([one.id for one in held(session, named)]))
    amount, number = session.execute(
        columns(func.coalesce(func.sum(_ROWS.amount_minor), 0), func.count()).where(*due)
    ).one()
    wants_gifts = pledge_ids is None if with_gifts is None else with_gifts
    gifts = _gifts_due(session, beneficiary, currency) if wants_gifts else []
    amount = int(amount) + sum(one.amount_minor for one in gifts)
    if not number and not gifts:
        raise Conflict("Nothing is due that is not in a payout already.", code="nothing_due")
    if amount > MOST_MINOR:
        raise Conflict("This is more than one payout can hold: name fewer pledges.", code="overdrawn")
    payout = Payout(
        id=uuid7_at(now),
        organisation_id=beneficiary.organisation_id,
        beneficiary_id=beneficiary.id,
        currency=currency,
        amount_minor=amount,
        state=PayoutState.PROPOSED.value,
        proposed_by=maker.id,
        proposed_at=now,
    )
    session.add(payout)
    session.flush()
    _take(session, payout.id, due, number)
    for gift in gifts:
        gift.payout_id = payout.id
        session.add(gift)
    session.flush()
    record_event(session, "payout.proposed", now=now, payout_id=payout.id)
    return payout


def approve(session: Session, payout: Payout, *, member_id: UUID | None, now: datetime) -> Payout:
    """Approve what somebody else proposed: `member_id` is the member, or who issued the key that approves.

    Forbidden (`own_proposal`) for who proposed it, or issued the key that did; (`maker_unknown`) for a key of which
    nobody can tell whose it is, or whose member was removed, and for what such a key had proposed. Conflict when it is
    not proposed any more.
    """
    member = _maker(session, payout.organisation_id, member_id)
    if find_own(session, Member, payout.organisation_id, payout.proposed_by) is None:
        raise Forbidden(
            "Nobody can tell who proposed this, so it could be you. Cancel it, and propose it with a member's key.",
            code="maker_unknown",
        )
    if member.id == payout.proposed_by:
        raise Forbidden("You proposed this, or issued the key that did: another member decides.", code="own_proposal")
    return _enter(session, payout, PayoutState.APPROVED, (PayoutState.PROPOSED,), now=now, approved_by=member.id)


def send(
    session: Session, payout: Payout, *, reference: str, sent_at: datetime | None, fee_minor: int = 0, now: datetime
) -> Payout:
    """Record that the money was sent, with the bank's reference: what was due is settled, less the fee.

    Each book bears the fee by its share. Invalid for an instant to come or of a day before the approval, and for a fee
    that leaves nothing. Conflict when it is not approved, or was cancelled meanwhile.
    """
    at = sent_at or now
    if at > now or (
        payout.approved_at and at < datetime.combine(payout.approved_at.astimezone(UTC).date(), time(), UTC)
    ):
        raise Invalid("It was sent on the day of its approval or later, and not in the future.", pointer="/sent_at")
    if not 0 <= fee_minor < payout.amount_minor:
        raise Invalid("A fee is less than what is paid out.", pointer="/fee_minor")
    held(session, [one.book_id for one in shares_of(session, payout.id) if one.account is AccountKind.DUE])
    _enter(
        session,
        payout,
        PayoutState.SENT,
        (PayoutState.APPROVED,),
        now=now,
        at=at,
        reference=reference,
        fee_minor=fee_minor,
    )
    shares = shares_of(session, payout.id)
    fees = fee_by_share(fee_minor, [one.amount_minor for one in shares])
    group = uuid7_at(now)
    for share, fee in zip(shares, fees, strict=True):
        parts = ((AccountKind.SETTLED, share.amount_minor - fee, Code.PAYOUT), (AccountKind.FEES, fee, Code.FEE))
        moves = [Move(share.account, to, part, code, payout.id, group_id=group) for to, part, code in parts if part]
        ledger.post(session, ledger.book_of(session, share.book_id, mission_id=share.mission_id), moves, now=now)
        if share.mission_id is not None:
            announce(session, "campaign", session.get_one(Mission, share.mission_id).campaign_id)
    return payout


def confirm(session: Session, payout: Payout, *, proof: Mapping[str, str], now: datetime) -> Payout:
    """Record the proof that the money arrived. Conflict when it was not sent, or is confirmed already."""
    if not any(proof.values()):
        raise Invalid("Give the proof: a text, or a reference.", pointer="/proof")
    return _enter(session, payout, PayoutState.CONFIRMED, (PayoutState.SENT,), now=now, proof=dict(proof))


def cancel(session: Session, payout: Payout, *, reason: str, now: datetime) -> Payout:
    """Cancel a payout that was not sent, with the reason: what it held is due again. Conflict once it was sent."""
    if not 0 < len(reason) <= REASON_LENGTH:
        raise Invalid(f"Say why, in at most {REASON_LENGTH} characters.", pointer="/reason")
    return let_go(session, payout, reason=reason, now=now)


def let_go(session: Session, payout: Payout, *, reason: str, now: datetime) -> Payout:
    """The same for whatever reason: an act that it pays for was undone."""
    _enter(session, payout, PayoutState.CANCELLED, UNSENT, now=now, state_reason=reason)
    gone = delete(PayoutItem).where(col(PayoutItem.payout_id) == payout.id)
    session.execute(gone.execution_options(synchronize_session=False))
    free = update(Gift).where(col(Gift.payout_id) == payout.id).values(payout_id=None)
    session.execute(free.execution_options(synchronize_session=False))
    return payout


def hold_unsent(session: Session, organisation_id: UUID) -> None:
    """Hold the payouts of an organisation that were not sent, in order: all of them, however many one undoes.

    Whoever held one after the other as its acts fall would wait for who met them in another order.
    """
    unsent = (col(Payout.organisation_id) == organisation_id, col(Payout.state).in_([one.value for one in UNSENT]))
    session.exec(select(Payout.id).where(*unsent).order_by(col(Payout.id)).with_for_update(key_share=True)).all()


def payout_by_id(session: Session, organisation_id: UUID, payout_id: UUID) -> Payout:
    """The organisation's payout. NotFound for another's and for none."""
    found = find_own(session, Payout, organisation_id, payout_id)
    if found is None:
        raise NotFound("There is no such payout.")
    return found


def list_payouts(
    session: Session,
    organisation_id: UUID,
    *,
    beneficiary_id: UUID | None = None,
    state: PayoutState | None = None,
    before: UUID | None,
    limit: int,
) -> Sequence[Payout]:
    """Payouts of an organisation, newest first; to one beneficiary or in one state if asked."""
    query = select(Payout).where(Payout.organisation_id == organisation_id)
    if beneficiary_id is not None:
        query = query.where(Payout.beneficiary_id == beneficiary_id)
    if state is not None:
        query = query.where(Payout.state == state.value)
    return newest(session, query, Payout, before=before, limit=limit)


def shares_of(session: Session, payout_id: UUID) -> list[Share]:
    """What a payout takes from each book, in the order of their ids; nothing once it is cancelled."""
    of_pledges = (
        columns(_ROWS.pledge_id, col(Pledge.mission_id), func.sum(_ROWS.amount_minor), func.count())
        .join(_ITEMS.accrual_id.table, _ITEMS.accrual_id == _ROWS.id)
        .join(Pledge, col(Pledge.id) == _ROWS.pledge_id)
        .where(_ITEMS.payout_id == payout_id)
        .group_by(_ROWS.pledge_id, col(Pledge.mission_id))
    )
    of_offers = (
        columns(_GIFTS.book_id, _GIFTS.mission_id, func.sum(_GIFTS.amount_minor), func.count())
        .where(_GIFTS.payout_id == payout_id)
        .group_by(_GIFTS.book_id, _GIFTS.mission_id)
    )
    shares = [
        Share(book_id, mission_id, account, int(amount), number)
        for query, account in ((of_pledges, AccountKind.DUE), (of_offers, AccountKind.GIVEN))
        for book_id, mission_id, amount, number in session.execute(query)
    ]
    return sorted(shares, key=lambda one: (one.book_id, one.mission_id or one.book_id))


def fee_by_share(fee: int, shares: Sequence[int]) -> list[int]:
    """A fee split by shares to the last minor unit: what rounding leaves goes to the largest remainders first."""
    total = sum(shares)
    split = [fee * share // total for share in shares]
    rest = fee - sum(split)
    for place in sorted(range(len(shares)), key=lambda one: (-(fee * shares[one] % total), one))[:rest]:
        split[place] += 1
    return split


def _maker(session: Session, organisation_id: UUID, member_id: UUID | None) -> Member:
    """The member who proposes or approves, by themselves or by a key that they issued."""
    member = find_own(session, Member, organisation_id, member_id) if member_id else None
    if member is None or member.removed_at is not None:
        raise Forbidden(
            "Nobody can tell whose key this is. A member of the organisation does this, by a key that they issued.",
            code="maker_unknown",
        )
    return member


def _gifts_due(session: Session, beneficiary: Beneficiary, currency: str) -> Sequence[Gift]:
    """What was given to a beneficiary and is in no payout, held in order: what another took meanwhile is not in it."""
    due = (
        Gift.beneficiary_id == beneficiary.id,
        Gift.currency == currency,
        col(Gift.payout_id).is_(None),
        col(Gift.undone_at).is_(None),
    )
    query = select(Gift).where(*due).order_by(col(Gift.id)).with_for_update()
    return session.exec(query.execution_options(populate_existing=True)).all()


def _require_pledges(session: Session, organisation_id: UUID, currency: str, pledge_ids: Sequence[UUID]) -> None:
    if currency != IN_KIND:
        require_currency(currency)
    for at, id in enumerate(pledge_ids):
        pledge = find_own(session, Pledge, organisation_id, id)
        if pledge is None:
            raise NotFound("There is no such pledge.", pointer=f"/pledge_ids/{at}")
        if pledge.currency != currency:
            raise Invalid(f"This pledge is in {pledge.currency}.", pointer=f"/pledge_ids/{at}")
    if currency == IN_KIND and len(set(pledge_ids)) != 1:
        raise Invalid("Things are paid out pledge by pledge: name one.", pointer="/pledge_ids")


def _take(session: Session, payout_id: UUID, due: Sequence[Any], number: int) -> None:
    """Put into a payout what is due. The key of an item is its accrual: what is in one enters no other (I6)."""
    rows = columns(_ROWS.id, literal(payout_id, type_=_ITEMS.payout_id.type)).where(*due)
    insert = insert_into(session.get_bind().dialect.name, PayoutItem).from_select(["accrual_id", "payout_id"], rows)
    if changed(session, insert.on_conflict_do_nothing()) != number:
        raise Conflict(
            "Somebody else took some of it just now. Look at the payouts, and try again.", code="nothing_due"
        )


_AT = {
    PayoutState.APPROVED: "approved_at",
    PayoutState.SENT: "sent_at",
    PayoutState.CONFIRMED: "confirmed_at",
    PayoutState.CANCELLED: "cancelled_at",
}


def _enter(
    session: Session,
    payout: Payout,
    state: PayoutState,
    before: Sequence[PayoutState],
    *,
    now: datetime,
    at: datetime | None = None,
    **fields: Any,
) -> Payout:
    """Move a payout on, if it is where it must be before: one statement. Notes it, and tells of it."""
    values = {"state": state.value, _AT[state]: at or now, **fields}
    was = {name: getattr(payout, name) for name in values}
    here = (col(Payout.id) == payout.id, col(Payout.state).in_([one.value for one in before]))
    moved = update(Payout).where(*here).values(**values).execution_options(synchronize_session=False)
    if not changed(session, moved):
        session.refresh(payout)
        raise Conflict(f"This payout is {payout.state} by now.", code="wrong_state")
    session.refresh(payout)
    changes = {name: [was[name], value] for name, value in values.items() if was[name] != value}
    note(session, "payout.changed", payout.id, organisation_id=payout.organisation_id, changes=changes, now=now)
    record_event(session, f"payout.{state.value}", now=now, payout_id=payout.id)
    return payout
