"""The ledger: every movement balances, no account goes below its floor, rows only come. On both databases."""

from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlmodel import Session, select

from campaigns.sponsorship import ledger
from campaigns.sponsorship.ledger import Account, AccountKind, Code, Move, Overdrawn, Transfer
from campaigns.storage import Database
from tests.factories import NOON, make_organisation
from tests.racing import race

PENDING = (AccountKind.COMMITMENT, AccountKind.PENDING)
FLOORS = {AccountKind.COMMITMENT: -100, AccountKind.PENDING: 0, AccountKind.DUE: 0}


def open_book(session: Session, *, currency: str = "EUR", cap: int = 100) -> ledger.Book:
    owner = make_organisation(session)
    id = uuid4()
    floors = {**FLOORS, AccountKind.COMMITMENT: -cap}
    ledger.open_book(session, id, floors, organisation_id=owner.id, currency=currency)
    return ledger.book_of(session, id)


def accrue(session: Session, book: ledger.Book, amount: int) -> UUID:
    (id,) = ledger.post(session, book, [Move(*PENDING, amount, Code.ACCRUAL, uuid4())], now=NOON)
    return id


def test_what_leaves_one_account_enters_the_other(session: Session) -> None:
    book = open_book(session)
    accrue(session, book, 30)
    assert ledger.balances(session, book.id) == {"commitment": -30, "pending": 30, "due": 0}
    assert ledger.recount(session) == []


@pytest.mark.parametrize("amount", [101, 2**53 - 1])
def test_no_account_goes_below_its_floor(session: Session, amount: int) -> None:
    book = open_book(session)
    with pytest.raises(Overdrawn), session.begin_nested():
        accrue(session, book, amount)
    assert ledger.balances(session, book.id)["commitment"] == 0
    assert session.exec(select(Transfer)).all() == []


def test_moves_of_one_post_are_judged_together(session: Session) -> None:
    book = open_book(session)
    moves = [
        Move(*PENDING, 60, Code.ACCRUAL, uuid4()),
        Move(*PENDING, 40, Code.ACCRUAL, uuid4()),
        Move(AccountKind.PENDING, AccountKind.DUE, 60, Code.POSTING, uuid4()),
    ]
    ledger.post(session, book, moves, now=NOON)
    assert ledger.balances(session, book.id) == {"commitment": -100, "pending": 40, "due": 60}


def test_a_reversal_is_the_exact_inverse_and_comes_once(session: Session) -> None:
    book = open_book(session)
    first = session.get_one(Transfer, accrue(session, book, 30))
    kinds = {id: AccountKind(kind) for kind, id in book.accounts.items()}
    back = ledger.reversal_of(first, kinds, group_id=uuid4())
    ledger.post(session, book, [back], now=NOON)
    assert ledger.balances(session, book.id)["commitment"] == 0
    assert ledger.standing_of(session, [first.subject_id]) == []
    accrue(session, book, 30)  # so that the money for a second one would be there
    with pytest.raises(IntegrityError), session.begin_nested():
        ledger.post(session, book, [back], now=NOON)


@pytest.mark.parametrize("change", ["UPDATE transfers SET amount_minor = 1", "DELETE FROM transfers"])
def test_transfers_only_come(session: Session, change: str) -> None:
    accrue(session, open_book(session), 30)
    with pytest.raises(DBAPIError, match="transfers only grows"), session.begin_nested():
        session.execute(text(change))


@pytest.mark.parametrize("amount", [0, -1])
def test_an_amount_is_above_zero(session: Session, amount: int) -> None:
    book = open_book(session)
    with pytest.raises(IntegrityError, match="amount"), session.begin_nested():
        accrue(session, book, amount)


def test_no_transfer_joins_two_books_or_two_currencies(session: Session) -> None:
    one, other = open_book(session), open_book(session, currency="JPY")
    mixed = replace(one, accounts={**one.accounts, "pending": other.accounts["pending"]})
    with pytest.raises(IntegrityError), session.begin_nested():
        accrue(session, mixed, 5)


def test_the_check_holds_the_floor_where_a_statement_forgets_it(session: Session) -> None:
    book = open_book(session)
    lower = update(Account).where(Account.id == book.accounts["commitment"]).values(balance_minor=-101)  # type: ignore[arg-type]  # a column
    with pytest.raises(IntegrityError, match="floor"), session.begin_nested():
        session.execute(lower)


def test_the_recount_tells_of_a_balance_that_is_wrong(session: Session) -> None:
    book = open_book(session)
    accrue(session, book, 30)
    session.execute(update(Account).where(Account.id == book.accounts["due"]).values(balance_minor=7))  # type: ignore[arg-type]  # a column
    told = ledger.recount(session)
    assert len(told) == 2
    assert "account due" in told[0]
    assert "do not add up to zero" in told[1]


def test_racing_transfers_end_exactly_at_the_cap(database: Database) -> None:
    with database.transaction() as session:
        book = open_book(session, cap=95)

    def act(_: int) -> bool:
        try:
            with database.transaction() as session:
                accrue(session, book, 10)
        except Overdrawn:
            return False
        return True

    assert race(20, act).count(True) == 9
    with database.snapshot() as session:
        assert ledger.balances(session, book.id)["commitment"] == -90
        assert ledger.recount(session) == []
