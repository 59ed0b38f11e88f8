"""Undoing accruals: by new transfers that are the exact inverse of what stands, so that cap room is free again.

Whoever undoes holds the pledge. What was sent in a payout stays paid: of it only is noted that its act was undone. A
payout that is not sent yet is cancelled, and lets the others in it go.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, bindparam, update
from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from campaigns.ids import uuid7_at
from campaigns.scans import Effect
from campaigns.sponsorship import ledger, payouts
from campaigns.sponsorship.ledger import AccountKind
from campaigns.sponsorship.models import (
    Accrual,
    AccrualState,
    Payout,
    PayoutItem,
    PayoutState,
    Pledge,
    PledgeDay,
    PledgePerson,
)
from campaigns.storage import columns_of

STANDING = (AccrualState.PENDING.value, AccrualState.POSTED.value)
_ROWS, _PEOPLE, _DAYS = columns_of(Accrual), columns_of(PledgePerson), columns_of(PledgeDay)
_LESS = bindparam("less", type_=BigInteger)
_UNDO = (
    update(_ROWS.id.table)
    .where(_ROWS.id == bindparam("accrual"), _ROWS.state == bindparam("stood"))
    .values(
        state=bindparam("state"),
        reason=bindparam("reason"),
        undone_at=bindparam("undone_at"),
        undone_by=bindparam("undone_by"),
    )
)
_NOTE = (
    update(_ROWS.id.table)
    .where(_ROWS.id == bindparam("accrual"), _ROWS.act_undone_at.is_(None))
    .values(act_undone_at=bindparam("act_undone_at"), reason=bindparam("reason"))
)
_LESS_OF_PERSON = (
    update(_PEOPLE.surrogate.table)
    .where(_PEOPLE.pledge_id == bindparam("pledge"), _PEOPLE.surrogate == bindparam("key"))
    .values(drawn_minor=_PEOPLE.drawn_minor - _LESS)
)
_LESS_OF_DAY = (
    update(_DAYS.civil_day.table)
    .where(_DAYS.pledge_id == bindparam("pledge"), _DAYS.civil_day == bindparam("key"))
    .values(drawn_minor=_DAYS.drawn_minor - _LESS)
)


@dataclass(frozen=True)
class Standing:
    """An accrual that stands. `is_told`: it is noted already that its act was undone after it was paid."""

    id: UUID
    pledge_id: UUID
    completion_id: UUID
    surrogate: UUID
    civil_day: date
    amount_minor: int
    state: str
    accrued_at: datetime
    is_told: bool


@dataclass(frozen=True)
class Why:
    """Why an accrual goes, and which member says so, if one does."""

    reason: str
    by: UUID | None = None


def standing(session: Session, *where: Any) -> list[Standing]:
    """The accruals that stand of those, oldest first."""
    query = columns(
        _ROWS.id,
        _ROWS.pledge_id,
        _ROWS.completion_id,
        _ROWS.surrogate,
        _ROWS.civil_day,
        _ROWS.amount_minor,
        _ROWS.state,
        _ROWS.accrued_at,
        _ROWS.act_undone_at.is_not(None),
    ).where(*where, _ROWS.state.in_(STANDING))
    return [Standing(*row) for row in session.execute(query.order_by(_ROWS.accrued_at, _ROWS.id))]


def undo(session: Session, pledge: Pledge, going: Sequence[tuple[Standing, Why]], *, now: datetime) -> list[Effect]:
    """Undo accruals of a pledge that is held: voided while pending, reversed once posted, kept once paid."""
    if not going:
        return []
    paid = _let_go(session, pledge, {one.id: why.reason for one, why in going}, now=now)
    told = [(one, why) for one, why in going if one.id in paid and not one.is_told]
    if told:
        rows = [{"accrual": one.id, "act_undone_at": now, "reason": why.reason} for one, why in told]
        session.execute(_NOTE, rows)
    gone = [(one, why) for one, why in going if one.id not in paid]
    if gone:
        _undo(session, pledge, gone, now=now)
    kept = [Effect("accrual", one.id, "kept") for one, _ in told]
    return [*kept, *(Effect("accrual", one.id) for one, _ in gone)]


def _undo(session: Session, pledge: Pledge, gone: Sequence[tuple[Standing, Why]], *, now: datetime) -> None:
    rows = [
        {
            "accrual": one.id,
            "stood": one.state,
            "state": (AccrualState.REVERSED if one.state == AccrualState.POSTED else AccrualState.VOIDED).value,
            "reason": why.reason,
            "undone_at": now,
            "undone_by": why.by,
        }
        for one, why in gone
    ]
    session.execute(_UNDO, rows)
    accruals = [one for one, _ in gone]
    _transfer_back(session, pledge, [one.id for one in accruals], now=now)
    if pledge.per_person_cap_minor is not None:
        _give_back(session, _LESS_OF_PERSON, pledge.id, [(one.surrogate, one.amount_minor) for one in accruals])
    if pledge.per_day_cap_minor is not None:
        _give_back(session, _LESS_OF_DAY, pledge.id, [(one.civil_day, one.amount_minor) for one in accruals])


def _transfer_back(session: Session, pledge: Pledge, accrual_ids: Sequence[UUID], *, now: datetime) -> None:
    """The inverse of every transfer of theirs that stands, those of one accrual in one group."""
    book = ledger.book_of(session, pledge.id, mission_id=pledge.mission_id)
    kinds = {id: AccountKind(kind) for kind, id in book.accounts.items()}
    groups = {id: uuid7_at(now) for id in accrual_ids}
    moves = [
        ledger.reversal_of(one, kinds, group_id=groups[one.subject_id])
        for one in reversed(ledger.standing_of(session, accrual_ids))
    ]
    ledger.post(session, book, moves, now=now)


def _give_back(session: Session, less: Any, pledge_id: UUID, drawn: Sequence[tuple[Any, int]]) -> None:
    sums: Counter[Any] = Counter()
    for key, amount in drawn:
        sums[key] += amount
    session.execute(less, [{"pledge": pledge_id, "key": key, "less": amount} for key, amount in sorted(sums.items())])


def _let_go(session: Session, pledge: Pledge, reasons: dict[UUID, str], *, now: datetime) -> set[UUID]:
    """Cancel the payouts of these accruals that were not sent; those that were sent: they stay paid.

    The pledge is held, so none of these enters a payout meanwhile; and what was sent is never unsent.
    """
    query = (
        select(PayoutItem.accrual_id, Payout)
        .join(Payout, col(Payout.id) == PayoutItem.payout_id)
        .where(col(PayoutItem.accrual_id).in_(reasons))
        .order_by(col(Payout.id), col(PayoutItem.accrual_id))
    ).execution_options(populate_existing=True)
    rows = session.exec(query).all()
    if any(payout.state in payouts.UNSENT for _, payout in rows):
        payouts.hold_unsent(session, pledge.organisation_id)
        rows = session.exec(query).all()
    for accrual_id, payout in rows:
        if payout.state in payouts.UNSENT:
            payouts.let_go(session, payout, reason=reasons[accrual_id], now=now)
    return {accrual_id for accrual_id, payout in rows if payout.state != PayoutState.CANCELLED}
