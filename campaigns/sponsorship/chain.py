"""The public ledger of a mission: its money facts in one chain, made behind the writers.

A line is a posting, a payout, a fee or a gift, or what takes one of them back. What is still under review is none:
it may be voided, and stands in the meter as a sum. A transfer waits in `unchained_transfers` from its own transaction
on, so none is missed; what takes another back comes after it. Numbers begin at 1, have no gap and never change.

The text of a line names no person, no act and no instant: its hour, and a reference of that line alone. It is kept as
it was published, so that erasing a person or renaming a sponsor changes no line.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any
from uuid import UUID

from sqlalchemy import Row as Found
from sqlalchemy import bindparam, delete, func, or_, select, text
from sqlalchemy.orm import aliased
from sqlmodel import Session, col

from campaigns import prepared
from campaigns.identity import Organisation
from campaigns.ids import show
from campaigns.missions import Mission
from campaigns.sponsorship.ledger import PUBLIC, Account, Transfer, Unchained
from campaigns.sponsorship.lines import COLUMNS, GENESIS, Head, Line, hash_of, plain
from campaigns.sponsorship.models import Accrual, Beneficiary, Gift, LedgerHead, LedgerLine, Payout, Pledge, Sponsor
from campaigns.sponsorship.money import exponent
from campaigns.storage import Database, insert_once, is_shared, store_all

LINES_A_ROUND = 500
LINES_ALONE = 100  # on SQLite, in some 10 ms: whoever scans waits for who writes
LINES_A_PAGE = 1_000
LATE = timedelta(minutes=1)  # after which `verify` tells of a transfer that is no line yet
CHAIN_LOCK = 0x50535243  # "PSRC": the advisory lock of the one that chains
_NAMES = {COLUMNS.index(name) for name in ("sponsor", "beneficiary", "reference")}  # which nothing else tells again

Random = Callable[[int], bytes]


class Chainer:
    """A worker's part in the chains: the heads of a day that is over first, then the lines that wait."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._published_on: date | None = None

    def turn(self, now: datetime) -> bool:
        """One transaction of each, unless another worker is at it; whether more waits."""
        is_new_day = self._published_on != now.date()
        with self._database.snapshot() as session:
            waits = prepared.row(session, _WAITING, most=1) is not None
        if not waits and not is_new_day:
            return False
        with self._database.transaction() as session:
            if not _takes_turn(session):
                return False
            if is_new_day:
                publish_heads(session, now=now)
                more = waits
            else:
                more = extend(session, now=now)
        self._published_on = now.date()
        return more


def extend(session: Session, *, now: datetime, random_bytes: Random = os.urandom) -> bool:
    """Number and hash what waits, originals first, 500 transfers at most (100 on SQLite); whether more waits."""
    most = LINES_A_ROUND if is_shared(session) else LINES_ALONE
    waiting = session.execute(_WAITING, {"most": most}).scalars().all()
    facts = session.execute(_FACTS_OF, {"ids": waiting}).all() if waiting else []
    rows: list[dict[str, Any]] = []
    for mission_id, group in groupby(facts, key=lambda one: one.mission_id):
        rows += _lines_of(head_of(session, mission_id), mission_id, list(group), random_bytes, now)
    if rows:
        store_all(session, LedgerLine, rows)
        done = [row["transfer_id"] for row in rows]
        session.execute(delete(Unchained).where(col(Unchained.transfer_id).in_(done)))
    return bool(rows) and len(waiting) == most


def publish_heads(session: Session, *, now: datetime) -> None:
    """Publish the head that each chain had at the end of the UTC day before, where it moved since the last one."""
    midnight = datetime.combine(now.astimezone(UTC).date(), time(), UTC)
    for mission_id in session.execute(_CHAINED_MISSIONS).scalars().all():
        head = head_of(session, mission_id, before=midnight)
        published = newest_heads(session, mission_id, limit=1)
        if head.number > (published[0].number if published else 0):
            day = midnight.date() - timedelta(days=1)
            fields = {"number": head.number, "hash": head.hash, "published_at": now}
            insert_once(session, LedgerHead, mission_id=mission_id, day=day, **fields)


def head_of(session: Session, mission_id: UUID, *, before: datetime | None = None) -> Head:
    """The last line of a mission's chain, of those chained before an instant; number 0 and the zeros for none."""
    query = select(col(LedgerLine.number), col(LedgerLine.hash)).where(col(LedgerLine.mission_id) == mission_id)
    if before is not None:
        query = query.where(col(LedgerLine.chained_at) < before)
    found = session.execute(query.order_by(col(LedgerLine.number).desc()).limit(1)).first()
    return Head(*found) if found else Head(0, GENESIS)


def newest_heads(session: Session, mission_id: UUID, *, limit: int) -> Sequence[LedgerHead]:
    """The heads that were published, newest first."""
    query = select(LedgerHead).where(col(LedgerHead.mission_id) == mission_id)
    return session.execute(query.order_by(col(LedgerHead.day).desc()).limit(limit)).scalars().all()


def lines_of(session: Session, mission_id: UUID, *, upto: int, after: int = 0) -> Iterator[list[Line]]:
    """The lines of a mission from number `after` + 1 to `upto`, page by page."""
    query = select(col(LedgerLine.number), col(LedgerLine.text), col(LedgerLine.hash)).where(
        col(LedgerLine.mission_id) == mission_id
    )
    query = query.order_by(col(LedgerLine.number))
    # The first row gives the hash before the first line; there is none before line 1.
    rows = session.execute(query.where(col(LedgerLine.number) == after)).all()
    previous = rows[0].hash if rows else GENESIS
    while after < upto:
        page = query.where(col(LedgerLine.number) > after, col(LedgerLine.number) <= upto).limit(LINES_A_PAGE)
        lines = []
        for row in session.execute(page):
            lines.append(Line._make([*row.text.split("\t"), previous, row.hash]))
            previous, after = row.hash, row.number
        if not lines:
            return
        yield lines


def pages_of(database: Database, mission_id: UUID, *, upto: int) -> Iterator[list[Line]]:
    """The same from line 1, each page from a session of its own: who reads slowly keeps no connection from others."""
    after = 0
    while after < upto:
        with database.snapshot() as session:
            page = next(lines_of(session, mission_id, upto=upto, after=after), None)
        if page is None:
            return
        after = int(page[-1].number)
        yield page


def last_lines(session: Session, mission_id: UUID, *, limit: int) -> list[Line]:
    """The last lines of a mission, newest first."""
    upto = head_of(session, mission_id).number
    found = [line for page in lines_of(session, mission_id, upto=upto, after=max(0, upto - limit)) for line in page]
    return found[::-1]


def numbers_of(session: Session, transfer_ids: Sequence[UUID]) -> dict[UUID, int]:
    """The number of the line of each of these transfers that has one."""
    query = select(col(LedgerLine.transfer_id), col(LedgerLine.number))
    return dict(session.execute(query.where(col(LedgerLine.transfer_id).in_(transfer_ids))).all())


def recount(session: Session, *, now: datetime | None = None) -> Iterator[str]:
    """What is wrong with the chains, in words. With `now` also which transfers wait for longer than a minute."""
    yield from _wrong_lines(session)
    yield from _wrong_heads(session)
    public = col(Transfer.mission_id).is_not(None) & col(Transfer.code).in_(PUBLIC)
    chained = select(col(LedgerLine.transfer_id)).where(col(LedgerLine.transfer_id) == Transfer.id)
    waiting = select(col(Unchained.transfer_id)).where(col(Unchained.transfer_id) == Transfer.id)
    lost = select(col(Transfer.id)).where(public, ~chained.exists(), ~waiting.exists())
    for id in session.execute(lost.order_by(col(Transfer.id))).scalars():
        yield f"{show('trf', id)} is in no public ledger, and does not wait for one"
    if now is not None:
        late = select(col(Transfer.id)).where(waiting.exists(), col(Transfer.recorded_at) < now - LATE)
        for id in session.execute(late.order_by(col(Transfer.id))).scalars():
            yield f"{show('trf', id)} has waited for its line in the public ledger for more than a minute"


def _lines_of(
    head: Head, mission_id: UUID, facts: Sequence[Found[Any]], random_bytes: Random, now: datetime
) -> Iterator[dict[str, Any]]:
    """The next lines of a mission, each over the one before. What reverses a transfer that is no line waits on."""
    numbers: dict[UUID, int] = {}
    for fact in facts:
        reversed_line = fact.reversed_line or numbers.get(fact.reverses)
        if fact.reverses is not None and reversed_line is None:
            continue
        texts = _texts(fact, head.number + 1, reversed_line, random_bytes(8).hex())
        head = Head(head.number + 1, hash_of([*texts, head.hash]))
        numbers[fact.id] = head.number
        yield {
            "mission_id": mission_id,
            "number": head.number,
            "transfer_id": fact.id,
            "text": "\t".join(texts),
            "hash": head.hash,
            "chained_at": now,
        }


def _texts(fact: Found[Any], number: int, reversed_line: int | None, reference: str) -> list[str]:
    return [
        str(number),
        fact.recorded_at.astimezone(UTC).strftime("%Y-%m-%dT%H:00Z"),
        fact.code,
        show("pld", fact.pledge_id) if fact.pledge_id else "",
        plain(fact.sponsor or ""),
        plain(fact.beneficiary or ""),
        fact.from_account,
        fact.to_account,
        f"{Decimal(fact.amount_minor).scaleb(-exponent(fact.currency)):f}",
        str(fact.amount_minor),
        fact.currency,
        reference,
        str(reversed_line or ""),
    ]


def _takes_turn(session: Session) -> bool:
    if not is_shared(session):
        return True  # whoever writes is alone
    return bool(session.execute(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": CHAIN_LOCK}).scalar_one())


def _wrong_lines(session: Session) -> Iterator[str]:
    """Lines that do not follow the one before, or do not say what their transfer says."""
    query = _facts().join(LedgerLine, col(LedgerLine.transfer_id) == Transfer.id)
    query = query.add_columns(
        col(LedgerLine.mission_id).label("chain"), col(LedgerLine.number), col(LedgerLine.text), col(LedgerLine.hash)
    ).order_by(col(LedgerLine.mission_id), col(LedgerLine.number))
    with session.execute(query.execution_options(yield_per=LINES_A_PAGE)) as rows:
        for mission_id, chain in groupby(rows, key=lambda row: row.chain):
            yield from _wrong_in(show("mis", mission_id), chain)


def _wrong_in(mission: str, chain: Iterator[Found[Any]]) -> Iterator[str]:
    head = Head(0, GENESIS)
    for row in chain:
        name = f"line {row.number} of the public ledger of {mission}"
        if row.number != head.number + 1:
            yield f"{name} follows number {head.number}"
        texts = row.text.split("\t")
        if row.hash != hash_of([*texts, head.hash]):
            yield f"{name} has a hash that is not that of its text after the line before"
        if row.mission_id != row.chain or row.code not in PUBLIC or _says(texts) != _says(_texts_again(row)):
            yield f"{name} does not say what {show('trf', row.id)} says"
        head = Head(row.number, row.hash)


def _texts_again(row: Found[Any]) -> list[str]:
    return _texts(row, row.number, row.reversed_line, "")


def _says(texts: Sequence[str]) -> list[str]:
    return [one for place, one in enumerate(texts) if place not in _NAMES]


def _wrong_heads(session: Session) -> Iterator[str]:
    """Heads that were published, and are not what the chain says."""
    same = (col(LedgerLine.mission_id) == LedgerHead.mission_id) & (col(LedgerLine.number) == LedgerHead.number)
    query = select(LedgerHead).outerjoin(LedgerLine, same)
    wrong = or_(col(LedgerLine.hash).is_(None), col(LedgerLine.hash) != col(LedgerHead.hash))
    for head in session.execute(query.where(wrong).order_by(col(LedgerHead.mission_id), col(LedgerHead.day))).scalars():
        yield f"the head of {head.day} of the public ledger of {show('mis', head.mission_id)} is not line {head.number}"


def _facts() -> Any:
    """What the line of a transfer says. `reversed_line`: the number of the line it takes back, where it has one."""
    debit, credit, original = aliased(Account), aliased(Account), aliased(LedgerLine)
    cause = func.coalesce(col(Accrual.beneficiary_id), col(Payout.beneficiary_id), col(Gift.beneficiary_id))
    brand = func.coalesce(func.nullif(col(Organisation.legal_name), ""), col(Organisation.name))
    said: list[Any] = [
        col(Transfer.id),
        col(Transfer.mission_id),
        col(Transfer.recorded_at),
        col(Transfer.code),
        col(Transfer.amount_minor),
        col(Transfer.currency),
        col(Transfer.reverses),
        col(debit.kind).label("from_account"),
        col(credit.kind).label("to_account"),
        col(Pledge.id).label("pledge_id"),
        func.coalesce(col(Sponsor.name), brand).label("sponsor"),  # of a gift: the brand whose coupon it was
        col(Beneficiary.name).label("beneficiary"),
        col(original.number).label("reversed_line"),
    ]
    return (
        select(*said)
        .join(debit, col(debit.id) == Transfer.debit_id)
        .join(credit, col(credit.id) == Transfer.credit_id)
        .join(Organisation, col(Organisation.id) == Transfer.organisation_id)
        .outerjoin(Pledge, col(Pledge.id) == Transfer.book_id)
        .outerjoin(Sponsor, col(Sponsor.id) == Pledge.sponsor_id)
        .outerjoin(Accrual, col(Accrual.id) == Transfer.subject_id)
        .outerjoin(Payout, col(Payout.id) == Transfer.subject_id)
        .outerjoin(Gift, col(Gift.id) == Transfer.subject_id)
        .outerjoin(Beneficiary, col(Beneficiary.id) == cause)
        .outerjoin(original, col(original.transfer_id) == Transfer.reverses)
    )


_WAITING = (
    select(col(Unchained.transfer_id))
    .order_by(col(Unchained.is_reversal), col(Unchained.transfer_id))
    .limit(bindparam("most"))
)
_FACTS_OF = (
    _facts()
    .where(col(Transfer.id).in_(bindparam("ids", expanding=True)))
    .order_by(col(Transfer.mission_id), col(Transfer.reverses).is_not(None), col(Transfer.id))
)
_CHAINED_MISSIONS = (
    select(col(Mission.id))
    .where(select(col(LedgerLine.number)).where(col(LedgerLine.mission_id) == Mission.id).exists())
    .order_by(col(Mission.id))
)
