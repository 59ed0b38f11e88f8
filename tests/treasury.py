"""A mission with money: a pledge that is active, and every movement of its book as the ledger has it.

What acts accrue is written here by hand, as the accrual's own transactions write it: so that the public ledger and the
meter are tested whatever else a campaign does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlmodel import Session, col, select

from campaigns.ids import uuid7_at
from campaigns.missions import Mission
from campaigns.sponsorship import ledger
from campaigns.sponsorship.ledger import AccountKind, Book, Code, Move, Transfer
from campaigns.sponsorship.models import (
    Accrual,
    AccrualState,
    Beneficiary,
    LastSlice,
    LedgerName,
    Nature,
    Payout,
    PayoutItem,
    PayoutState,
    Pledge,
    PledgeBeneficiary,
    PledgeKind,
    PledgeState,
    Sponsor,
)
from tests.factories import NOON

FLOORS = (AccountKind.PENDING, AccountKind.DUE, AccountKind.SETTLED, AccountKind.FEES)


@dataclass(frozen=True)
class Purse:
    """An active pledge of a mission, its cause, and its book."""

    pledge: Pledge
    cause: Beneficiary
    mission: Mission

    def book(self, session: Session) -> Book:
        return ledger.book_of(session, self.pledge.id, mission_id=self.mission.id)


def make_purse(session: Session, mission: Mission, **overrides: Any) -> Purse:
    """A pledge of 10 cents an act up to 1,000 EUR, signed and accepted."""
    now: datetime = overrides.pop("now", NOON)
    owner = mission.organisation_id
    sponsor = Sponsor(
        organisation_id=owner, name=overrides.pop("sponsor", "Moulins & fils"), created_at=now, changed_at=now
    )
    cause = Beneficiary(
        organisation_id=owner,
        name=overrides.pop("cause", "Les amis du verger"),
        legal_id="W691000000",
        accepted_at=now,
        accepted_by="Ana",
        created_at=now,
        changed_at=now,
    )
    fields: dict[str, Any] = {
        "kind": PledgeKind.PER_ACT.value,
        "nature": Nature.SPONSORSHIP.value,
        "unit_minor": 10,
        "currency": "EUR",
        "cap_minor": 100_000,
        "last_slice": LastSlice.PAY_REMAINDER.value,
        "min_presence": 0,
        "review_h": 72,
        "state": PledgeState.ACTIVE.value,
        "active_at": now,
        "created_at": now,
        "changed_at": now,
        **overrides,
    }
    session.add_all([sponsor, cause])
    session.flush()
    owners: dict[str, Any] = {"organisation_id": owner, "campaign_id": mission.campaign_id, "mission_id": mission.id}
    pledge = Pledge(**owners, sponsor_id=sponsor.id, **fields)
    session.add(pledge)
    session.flush()
    session.add(PledgeBeneficiary(pledge_id=pledge.id, beneficiary_id=cause.id, position=0))
    floors = {AccountKind.COMMITMENT: -pledge.cap_minor, **dict.fromkeys(FLOORS, 0)}
    ledger.open_book(session, pledge.id, floors, organisation_id=owner, currency=pledge.currency)
    session.flush()
    return Purse(pledge, cause, mission)


def accrue(session: Session, purse: Purse, amount: int = 10, **overrides: Any) -> Accrual:
    """What an act accrued, under review."""
    now: datetime = overrides.pop("now", NOON)
    fields: dict[str, Any] = {
        "completion_id": uuid4(),
        "surrogate": uuid4(),
        "beneficiary_id": purse.cause.id,
        "civil_day": now.date(),
        "review_until": now + timedelta(hours=72),
        **overrides,
    }
    accrual = Accrual(
        pledge_id=purse.pledge.id,
        amount_minor=amount,
        currency=purse.pledge.currency,
        state=AccrualState.PENDING.value,
        accrued_at=now,
        **fields,
    )
    purse.pledge.acts += 1
    session.add_all([accrual, session.merge(purse.pledge)])
    session.flush()
    _move(session, purse, [(AccountKind.COMMITMENT, AccountKind.PENDING, amount, Code.ACCRUAL, accrual.id)], now)
    return accrual


def release(session: Session, purse: Purse, accruals: Sequence[Accrual], *, now: datetime = NOON) -> None:
    """Post accruals: their review is over."""
    moves = [(AccountKind.PENDING, AccountKind.DUE, one.amount_minor, Code.POSTING, one.id) for one in accruals]
    _move(session, purse, moves, now)
    for one in accruals:
        one.state, one.posted_at = AccrualState.POSTED.value, now
        session.add(one)
    session.flush()


def take_back(session: Session, purse: Purse, accrual: Accrual, *, now: datetime = NOON) -> None:
    """Undo an accrual: its standing transfers are reversed, in one group."""
    book, group = purse.book(session), uuid7_at(now)
    kinds = {id: AccountKind(kind) for kind, id in book.accounts.items()}
    standing = ledger.standing_of(session, [accrual.id])
    moves = [ledger.reversal_of(one, kinds, group_id=group) for one in reversed(standing)]
    ledger.post(session, book, moves, now=now)
    was_posted = accrual.state == AccrualState.POSTED
    accrual.state = (AccrualState.REVERSED if was_posted else AccrualState.VOIDED).value
    accrual.reason, accrual.undone_at = "fraud", now
    purse.pledge.acts -= 1
    session.add_all([accrual, session.merge(purse.pledge)])
    session.flush()


def pay(session: Session, purse: Purse, accruals: Sequence[Accrual], *, fee: int = 0, now: datetime = NOON) -> Payout:
    """Send what accruals brought to the cause, less a fee."""
    amount = sum(one.amount_minor for one in accruals)
    payout = Payout(
        organisation_id=purse.pledge.organisation_id,
        beneficiary_id=purse.cause.id,
        currency=purse.pledge.currency,
        amount_minor=amount,
        fee_minor=fee,
        state=PayoutState.SENT.value,
        proposed_by=uuid4(),
        proposed_at=now,
        approved_by=uuid4(),
        approved_at=now,
        sent_at=now,
        reference="VIR 1",
    )
    session.add(payout)
    session.flush()
    session.add_all([PayoutItem(accrual_id=one.id, payout_id=payout.id) for one in accruals])
    moves = [(AccountKind.DUE, AccountKind.SETTLED, amount - fee, Code.PAYOUT, payout.id)]
    if fee:
        moves.append((AccountKind.DUE, AccountKind.FEES, fee, Code.FEE, payout.id))
    _move(session, purse, moves, now)
    return payout


def name_in_ledger(session: Session, mission: Mission, participant_id: UUID) -> UUID:
    """The surrogate of a person in a mission's ledger."""
    name = LedgerName(mission_id=mission.id, participant_id=participant_id, surrogate=uuid4())
    session.add(name)
    session.flush()
    return name.surrogate


def public_transfers(session: Session) -> list[Transfer]:
    """What must be a line, oldest first."""
    public = col(Transfer.code).in_(ledger.PUBLIC)
    return list(session.exec(select(Transfer).where(public).order_by(col(Transfer.id))))


def _move(
    session: Session, purse: Purse, moves: Sequence[tuple[AccountKind, AccountKind, int, Code, UUID]], now: datetime
) -> None:
    ledger.post(session, purse.book(session), [Move(*one) for one in moves], now=now)
