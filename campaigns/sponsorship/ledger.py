"""The ledger: one row is one transfer between two accounts of one book, and balances move in its transaction.

A book is a pledge or an offer. Its accounts start at zero and their balances always add up to zero: what leaves one
enters another. An account has a floor below which its balance never goes: a pledge's commitment may go down to minus
its cap, every other account to zero. The CHECK on that is the cap (I1); UNIQUE, CHECK, composite keys and triggers hold
the rest (I3 to I5). Amounts are whole minor units of one ISO 4217 currency a book.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKeyConstraint, bindparam, func, or_, update
from sqlalchemy import select as columns
from sqlalchemy.orm import aliased
from sqlmodel import CheckConstraint, Field, Index, Session, SQLModel, UniqueConstraint, col, select

from campaigns import prepared
from campaigns.errors import Conflict
from campaigns.ids import show, uuid7, uuid7_at
from campaigns.storage import Row, columns_of, newest, store_all

MOST_MINOR = 2**53 - 1  # what JSON carries exactly everywhere


class AccountKind(StrEnum):
    """Whose money it is. A pledge has the first five.

    An offer has `budget` (what its coupons may cost in all), `liability` (what those that are out may still cost),
    `due` (what is owed to shops that took one), `given` (what is owed to the causes people gave theirs to), and
    `settled` and `fees` (what was paid to those, and what it cost to pay).
    """

    COMMITMENT = "commitment"
    PENDING = "pending"
    DUE = "due"
    SETTLED = "settled"
    FEES = "fees"
    BUDGET = "budget"
    LIABILITY = "liability"
    GIVEN = "given"


class Code(StrEnum):
    """What a transfer is for. A reversal has the code of what it reverses, and names it."""

    ACCRUAL = "accrual"  # commitment to pending
    POSTING = "posting"  # pending to due
    PAYOUT = "payout"  # due, or given, to settled
    FEE = "fee"  # due, or given, to fees
    ISSUE = "issue"  # budget to liability
    REDEMPTION = "redemption"  # liability to due
    GIFT = "gift"  # liability to given


PUBLIC = (Code.POSTING, Code.PAYOUT, Code.FEE, Code.GIFT)  # money facts, and their reversals: lines of a public ledger


class Account(Row, table=True):
    """One account of a book. `floor_minor`: the least its balance may be, zero or below."""

    __tablename__ = "accounts"
    __table_args__ = (
        UniqueConstraint("book_id", "kind"),
        UniqueConstraint("id", "book_id", "currency"),  # what transfers point at: one book, one currency (I5)
        CheckConstraint("balance_minor >= floor_minor", name="floor"),
        CheckConstraint("floor_minor <= 0", name="floor_sign"),
    )

    organisation_id: UUID = Field(foreign_key="organisations.id")
    book_id: UUID
    kind: str
    currency: str
    floor_minor: int = Field(default=0, sa_type=BigInteger)
    balance_minor: int = Field(default=0, sa_type=BigInteger)


class Transfer(Row, table=True):
    """A movement: `amount_minor` leaves the debit account and enters the credit account. Rows only come."""

    __tablename__ = "transfers"
    __table_args__ = (
        ForeignKeyConstraint(
            ["debit_id", "book_id", "currency"], ["accounts.id", "accounts.book_id", "accounts.currency"]
        ),
        ForeignKeyConstraint(
            ["credit_id", "book_id", "currency"], ["accounts.id", "accounts.book_id", "accounts.currency"]
        ),
        CheckConstraint("amount_minor > 0", name="amount"),
        CheckConstraint("debit_id <> credit_id", name="two_accounts"),
        UniqueConstraint("reverses"),
        Index("ix_transfers_book_id_id", "book_id", "id"),
        Index("ix_transfers_mission_id_id", "mission_id", "id"),
    )

    organisation_id: UUID = Field(foreign_key="organisations.id")
    mission_id: UUID | None = Field(default=None, description="in whose public ledger it stands, if in any")
    book_id: UUID
    debit_id: UUID
    credit_id: UUID
    currency: str
    amount_minor: int = Field(sa_type=BigInteger)
    code: str
    group_id: UUID = Field(index=True, description="transfers of one act of the ledger: all of them or none")
    subject_id: UUID = Field(index=True, description="the accrual, payout, coupon or gift it is for")
    reverses: UUID | None = Field(default=None, foreign_key="transfers.id")
    recorded_at: datetime


class Unchained(SQLModel, table=True):
    """A transfer that is to become a line of its mission's public ledger: written with it, gone once it is one.

    So none is missed, whatever its id: a transfer that is committed later may carry a smaller one.
    """

    __tablename__ = "unchained_transfers"
    __table_args__ = (Index("ix_unchained_transfers_is_reversal_transfer_id", "is_reversal", "transfer_id"),)

    transfer_id: UUID = Field(primary_key=True, foreign_key="transfers.id")
    is_reversal: bool


class Overdrawn(Conflict):
    """An account would go below its floor: a cap would be passed, or money spent that is not there."""

    code = "overdrawn"


@dataclass(frozen=True)
class Book:
    """A book's accounts by kind, as they were when read."""

    id: UUID
    organisation_id: UUID
    currency: str
    mission_id: UUID | None
    accounts: Mapping[str, UUID]


@dataclass(frozen=True)
class Move:
    """One transfer to make: from one kind of account to another, for a subject."""

    debit: AccountKind
    credit: AccountKind
    amount_minor: int
    code: Code
    subject_id: UUID
    reverses: UUID | None = None
    group_id: UUID | None = None  # its own when absent


_ACCOUNTS = columns_of(Account)
_OF_BOOK = columns(_ACCOUNTS.kind, _ACCOUNTS.id, _ACCOUNTS.organisation_id, _ACCOUNTS.currency).where(
    _ACCOUNTS.book_id == bindparam("book")
)
_SHIFT = (
    update(Account)
    .where(
        _ACCOUNTS.id == bindparam("account"),
        _ACCOUNTS.balance_minor + bindparam("delta", type_=BigInteger) >= _ACCOUNTS.floor_minor,
    )
    .values(balance_minor=_ACCOUNTS.balance_minor + bindparam("delta", type_=BigInteger))
)


def open_book(
    session: Session, book_id: UUID, floors: Mapping[AccountKind, int], *, organisation_id: UUID, currency: str
) -> None:
    """Open the accounts of a book, each with its floor in minor units; once."""
    rows = [
        {
            "id": uuid7(),
            "organisation_id": organisation_id,
            "book_id": book_id,
            "kind": kind.value,
            "currency": currency,
            "floor_minor": floor,
            "balance_minor": 0,
        }
        for kind, floor in sorted(floors.items())
    ]
    store_all(session, Account, rows)


def book_of(session: Session, book_id: UUID, *, mission_id: UUID | None = None) -> Book:
    """The accounts of a book that was opened."""
    found = prepared.rows(session, _OF_BOOK, book=book_id)
    return Book(book_id, found[0].organisation_id, found[0].currency, mission_id, {one.kind: one.id for one in found})


def balances(session: Session, book_id: UUID) -> dict[str, int]:
    """What each account of a book holds, in minor units, by kind."""
    query = columns(col(Account.kind), col(Account.balance_minor)).where(col(Account.book_id) == book_id)
    return {str(kind): int(balance) for kind, balance in session.execute(query)}


def room_of(session: Session, book_id: UUID, kind: AccountKind) -> int:
    """How much may still leave an account, in minor units: down to its floor."""
    query = columns(_ACCOUNTS.balance_minor - _ACCOUNTS.floor_minor)
    return int(session.execute(query.where(_ACCOUNTS.book_id == book_id, _ACCOUNTS.kind == kind.value)).scalar_one())


def transfers_of(session: Session, book_id: UUID, *, before: UUID | None, limit: int) -> Sequence[Transfer]:
    """The transfers of a book, newest first, older than `before`."""
    return newest(session, select(Transfer).where(Transfer.book_id == book_id), Transfer, before=before, limit=limit)


def accounts_of(session: Session, book_id: UUID) -> dict[UUID, str]:
    """The kind of each account of a book, by its id; none of a book that was not opened."""
    return dict(session.execute(columns(_ACCOUNTS.id, _ACCOUNTS.kind).where(_ACCOUNTS.book_id == book_id)).all())


def post(session: Session, book: Book, moves: Sequence[Move], *, now: datetime) -> list[UUID]:
    """Write transfers of one book and move its balances: all or none; their ids, in order.

    Overdrawn when an account would go below its floor. Conflict when one reverses what is reversed already.
    """
    rows = [_row(book, move, now=now) for move in moves]
    if not rows:
        return []
    store_all(session, Transfer, rows)
    public = [_waiting(row) for row in rows if row["mission_id"] is not None and row["code"] in PUBLIC]
    if public:
        store_all(session, Unchained, public)
    shifts: Counter[UUID] = Counter()
    for row in rows:
        shifts[row["debit_id"]] -= row["amount_minor"]
        shifts[row["credit_id"]] += row["amount_minor"]
    moved = [{"account": account_id, "delta": delta} for account_id, delta in sorted(shifts.items()) if delta]
    if moved and prepared.change_all(session, _SHIFT, moved) < len(moved):
        raise Overdrawn("This would take more than there is left.")
    return [row["id"] for row in rows]


def reversal_of(transfer: Transfer, accounts: Mapping[UUID, AccountKind], *, group_id: UUID) -> Move:
    """The exact inverse of a transfer, which names it."""
    return Move(
        debit=accounts[transfer.credit_id],
        credit=accounts[transfer.debit_id],
        amount_minor=transfer.amount_minor,
        code=Code(transfer.code),
        subject_id=transfer.subject_id,
        reverses=transfer.id,
        group_id=group_id,
    )


def standing_of(session: Session, subject_ids: Sequence[UUID]) -> Sequence[Transfer]:
    """The transfers for these subjects that nothing reversed, oldest first."""
    undone = select(Transfer.reverses).where(col(Transfer.reverses).is_not(None))
    mine = col(Transfer.subject_id).in_(subject_ids)
    query = select(Transfer).where(mine, col(Transfer.reverses).is_(None), col(Transfer.id).not_in(undone.where(mine)))
    return session.exec(query.order_by(col(Transfer.id))).all()


def recount(session: Session) -> list[str]:
    """What does not add up in the ledger, in words: balances, books, reversals; empty when all does."""
    return [*_wrong_balances(session), *_wrong_books(session), *_wrong_reversals(session)]


def _row(book: Book, move: Move, *, now: datetime) -> dict[str, Any]:
    return {
        "id": uuid7_at(now),
        "organisation_id": book.organisation_id,
        "mission_id": book.mission_id,
        "book_id": book.id,
        "debit_id": book.accounts[move.debit],
        "credit_id": book.accounts[move.credit],
        "currency": book.currency,
        "amount_minor": move.amount_minor,
        "code": move.code.value,
        "group_id": move.group_id or uuid7_at(now),
        "subject_id": move.subject_id,
        "reverses": move.reverses,
        "recorded_at": now,
    }


def _waiting(row: dict[str, Any]) -> dict[str, Any]:
    return {"transfer_id": row["id"], "is_reversal": row["reverses"] is not None}


def _wrong_balances(session: Session) -> Iterator[str]:
    """Accounts whose balance is not the sum of what entered and left."""
    into: Counter[UUID] = Counter()
    for column, sign in ((Transfer.credit_id, 1), (Transfer.debit_id, -1)):
        sums = columns(col(column), func.sum(Transfer.amount_minor)).group_by(col(column))
        for account_id, amount in session.execute(sums):
            into[account_id] += sign * int(amount)
    for account in session.exec(select(Account).order_by(col(Account.id))):
        if account.balance_minor != into[account.id]:
            yield (
                f"account {account.kind} of {account.book_id.hex} holds {account.balance_minor} {account.currency} "
                f"and its transfers say {into[account.id]}"
            )


def _wrong_books(session: Session) -> Iterator[str]:
    """Books whose balances do not add up to zero."""
    total = func.sum(Account.balance_minor)
    for book_id, amount in session.execute(columns(col(Account.book_id), total).group_by(col(Account.book_id))):
        if amount:
            yield f"the book {book_id.hex} holds {amount} too much: its accounts do not add up to zero"


def _wrong_reversals(session: Session) -> Iterator[str]:
    """Reversals that are not the exact inverse of what they name."""
    first = aliased(Transfer)
    wrong = or_(
        col(first.debit_id) != Transfer.credit_id,
        col(first.credit_id) != Transfer.debit_id,
        col(first.amount_minor) != Transfer.amount_minor,
        col(first.subject_id) != Transfer.subject_id,
        col(first.reverses).is_not(None),
    )
    query = select(Transfer.id).join(first, col(first.id) == Transfer.reverses).where(wrong).order_by(col(Transfer.id))
    for id in session.exec(query):
        yield f"{show('trf', id)} is not the inverse of the transfer it reverses"
