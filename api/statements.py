"""The ledger of a pledge, and its statement for the sponsor: as JSON and as CSV. They are equal."""

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from sqlmodel import Session as DbSession

from api import exports, schemas
from api.dependencies import Acting, ReadSession
from api.exports import Dialect
from api.pagination import Cursor, Limit, Page, before, page
from api.policies import Actor, may
from campaigns import ids, sponsorship
from campaigns.identity import Right
from campaigns.sponsorship import Statement, chain, ledger
from campaigns.sponsorship.ledger import Code
from campaigns.sponsorship.money import exponent

router = APIRouter(prefix="/v1/pledges", tags=["sponsorship"])
Since = Annotated[schemas.Instant | None, Query(description="what was recorded from then on; the rest is `opening`")]
Until = Annotated[schemas.Instant | None, Query(description="what was recorded before then")]
FileDialect = Annotated[Dialect, Query(description="`excel-fr` for a French spreadsheet")]
_MOVES = ("unlocked_minor", "voided_minor", "posted_minor", "reversed_minor", "paid_minor", "fees_minor")
_HELD = ("pending_minor", "due_minor", "paid_minor", "fees_minor")
COLUMNS = (
    *("line", "day", "unlocked", "voided", "posted", "reversed", "paid", "fees"),
    *("pending_then", "due_then", "paid_then", "fees_then", "currency", "references"),
)


class HoldingRead(BaseModel):
    """What the pledge's book held: under review, due, paid, and fees of payments."""

    pending_minor: int
    due_minor: int
    paid_minor: int
    fees_minor: int


class MovedRead(BaseModel):
    """What moved. `voided` was taken back; `reversed` is what of that had been posted already."""

    unlocked_minor: int
    voided_minor: int
    posted_minor: int
    reversed_minor: int
    paid_minor: int
    fees_minor: int


class DayRead(BaseModel):
    """A day on which something moved, with what the book held at its end and the references of its payments."""

    day: date
    moved: MovedRead
    closing: HoldingRead
    references: list[str]


class StatementRead(BaseModel):
    """Opening and what moved make closing: pending is unlocked less voided and posted (of which reversed comes back);
    due is posted less reversed, paid and fees. Days are civil days of the campaign's time zone."""

    pledge_id: str
    currency: str
    time_zone: str
    since: datetime | None
    until: datetime | None
    opening: HoldingRead
    moved: MovedRead
    closing: HoldingRead
    days: list[DayRead]


class TransferRead(BaseModel):
    """A movement: `amount_minor` leaves one account of the pledge's book and enters another.

    It is for an accrual, or for a payout. `reverses`: the transfer that it takes back. `line`: its number in the public
    ledger of the mission, once it has one; what is under review has none.
    """

    id: str
    code: Code
    from_account: str
    to_account: str
    amount_minor: int
    currency: str
    accrual_id: str | None
    payout_id: str | None
    reverses: str | None
    line: int | None
    recorded_at: datetime


@router.get("/{pledge_id}/ledger", dependencies=[may(Right.PLEDGES_READ)])
def read_ledger(pledge_id: str, actor: Actor, session: ReadSession, limit: Limit = 25, cursor: Cursor = None) -> Page:
    """The transfers of the pledge's book, newest first: what acts accrued, what was posted, paid and taken back."""
    pledge = sponsorship.pledge_by_id(session, actor.organisation_id, ids.parse("pld", pledge_id))
    rows = ledger.transfers_of(session, pledge.id, before=before(cursor), limit=limit + 1)
    accounts, lines = ledger.accounts_of(session, pledge.id), chain.numbers_of(session, [one.id for one in rows])

    def show(one: ledger.Transfer) -> TransferRead:
        is_of_act = one.code in (Code.ACCRUAL, Code.POSTING)
        return TransferRead(
            id=ids.show("trf", one.id),
            from_account=accounts[one.debit_id],
            to_account=accounts[one.credit_id],
            accrual_id=ids.show("acr", one.subject_id) if is_of_act else None,
            payout_id=None if is_of_act else ids.show("pay", one.subject_id),
            reverses=ids.show("trf", one.reverses) if one.reverses else None,
            line=lines.get(one.id),
            **one.model_dump(include={"code", "amount_minor", "currency", "recorded_at"}),
        )

    return page(rows, limit, show, lambda one: one.id)


@router.get("/{pledge_id}/statement", dependencies=[may(Right.PLEDGES_READ)])
def read_statement(
    pledge_id: str, actor: Actor, session: ReadSession, since: Since = None, until: Until = None
) -> StatementRead:
    """What the pledge's book held at `since`, what moved until `until`, day by day, and what it held then."""
    found = _statement(session, actor, pledge_id, since, until)
    return StatementRead(
        pledge_id=ids.show("pld", found.pledge.id),
        currency=found.pledge.currency,
        time_zone=found.time_zone,
        since=since,
        until=until,
        opening=HoldingRead(**vars(found.opening)),
        moved=MovedRead(**vars(found.moved)),
        closing=HoldingRead(**vars(found.closing)),
        days=[
            DayRead(
                day=one.day,
                moved=MovedRead(**vars(one.moved)),
                closing=HoldingRead(**vars(one.closing)),
                references=list(one.references),
            )
            for one in found.days
        ],
    )


@router.get("/{pledge_id}/statement.csv", dependencies=[may(Right.PLEDGES_READ)])
def statement_csv(
    pledge_id: str,
    actor: Actor,
    session: ReadSession,
    since: Since = None,
    until: Until = None,
    dialect: FileDialect = Dialect.PLAIN,
) -> StreamingResponse:
    """The same as CSV (RFC 4180, UTF-8): a line for the opening, one a day, one in all.

    Amounts are decimal, by the currency's exponent (ISO 4217). A cell that would start a formula gets an apostrophe.
    """
    found = _statement(session, actor, pledge_id, since, until)
    return exports.text_file(f"statement-{ids.show('pld', found.pledge.id)}", COLUMNS, _lines(found, dialect), dialect)


def _statement(
    session: DbSession, actor: Acting, pledge_id: str, since: datetime | None, until: datetime | None
) -> Statement:
    pledge = sponsorship.pledge_by_id(session, actor.organisation_id, ids.parse("pld", pledge_id))
    return sponsorship.statement_of(session, pledge, since=since, until=until)


def _lines(found: Statement, dialect: Dialect) -> Iterator[list[str]]:
    currency = found.pledge.currency

    def amounts(of: object, names: tuple[str, ...]) -> list[str]:
        shown = [f"{Decimal(getattr(of, name)).scaleb(-exponent(currency)):f}" for name in names]
        return [one.replace(".", ",") for one in shown] if dialect is Dialect.EXCEL_FR else shown

    yield ["opening", "", *[""] * len(_MOVES), *amounts(found.opening, _HELD), currency, ""]
    for one in found.days:
        moves, held = amounts(one.moved, _MOVES), amounts(one.closing, _HELD)
        yield ["day", one.day.isoformat(), *moves, *held, currency, " / ".join(one.references)]
    yield ["total", "", *amounts(found.moved, _MOVES), *amounts(found.closing, _HELD), currency, ""]
