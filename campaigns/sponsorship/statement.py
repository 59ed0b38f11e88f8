"""The statement of a pledge for its sponsor: what its book held, what moved day by day, and what it holds then.

Read from the transfers alone, so that it is what the ledger says. Days are civil days of the campaign.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from campaigns.clock import civil_day
from campaigns.errors import Invalid
from campaigns.planning import Campaign
from campaigns.sponsorship.ledger import Code, Transfer
from campaigns.sponsorship.models import Payout, Pledge

AT_ONCE = 5_000  # transfers read at a time: a pledge of a year may have hundreds of thousands


@dataclass(frozen=True)
class Moved:
    """What moved, in minor units. `voided` was taken back; `reversed` is what of that had been posted already."""

    unlocked_minor: int = 0
    voided_minor: int = 0
    posted_minor: int = 0
    reversed_minor: int = 0
    paid_minor: int = 0
    fees_minor: int = 0

    def __add__(self, other: "Moved") -> "Moved":
        return Moved(**{name: value + getattr(other, name) for name, value in vars(self).items()})


@dataclass(frozen=True)
class Holding:
    """What the book holds, in minor units: under review, due, paid to beneficiaries, fees of payments."""

    pending_minor: int = 0
    due_minor: int = 0
    paid_minor: int = 0
    fees_minor: int = 0

    def after(self, moved: Moved) -> "Holding":
        """What it holds once that moved."""
        posted = moved.posted_minor - moved.reversed_minor
        return Holding(
            pending_minor=self.pending_minor + moved.unlocked_minor - moved.voided_minor - posted,
            due_minor=self.due_minor + posted - moved.paid_minor - moved.fees_minor,
            paid_minor=self.paid_minor + moved.paid_minor,
            fees_minor=self.fees_minor + moved.fees_minor,
        )


@dataclass(frozen=True)
class Day:
    """A civil day on which something moved, and what the book held at its end."""

    day: date
    moved: Moved
    closing: Holding
    references: Sequence[str] = ()  # of the payments of that day


@dataclass(frozen=True)
class Statement:
    """A pledge from one instant to another: the days add up to `moved`, and `opening` and it to `closing`."""

    pledge: Pledge
    time_zone: str
    since: datetime | None
    until: datetime | None
    opening: Holding
    moved: Moved
    closing: Holding
    days: Sequence[Day]


def statement_of(
    session: Session, pledge: Pledge, *, since: datetime | None = None, until: datetime | None = None
) -> Statement:
    """The statement of a pledge, of what was recorded from `since` on and before `until`. Invalid when they cross."""
    if since is not None and until is not None and since >= until:
        raise Invalid("`until` comes after `since`.", pointer="/until")
    time_zone = session.get_one(Campaign, pledge.campaign_id).time_zone
    references = _references(session, pledge.id)
    opening = Holding()
    by_day: defaultdict[date, Moved] = defaultdict(Moved)
    named: defaultdict[date, list[str]] = defaultdict(list)
    for at, moved, subject_id in _movements(session, pledge.id, until):
        if since is not None and at < since:
            opening = opening.after(moved)
            continue
        day = civil_day(at, time_zone)
        by_day[day] += moved
        reference = references.get(subject_id)
        if reference and reference not in named[day]:
            named[day].append(reference)
    days = list(_days(opening, by_day, named))
    total = Moved()
    for one in days:
        total += one.moved
    return Statement(pledge, time_zone, since, until, opening, total, opening.after(total), days)


def _days(opening: Holding, by_day: Mapping[date, Moved], named: Mapping[date, Sequence[str]]) -> Iterator[Day]:
    held = opening
    for day in sorted(by_day):
        held = held.after(by_day[day])
        yield Day(day, by_day[day], held, named.get(day, ()))


def _movements(session: Session, pledge_id: UUID, until: datetime | None) -> Iterator[tuple[datetime, Moved, UUID]]:
    """The transfers of a book, each as what it moved, with its subject."""
    query = columns(
        col(Transfer.recorded_at),
        col(Transfer.code),
        col(Transfer.reverses).is_not(None),
        col(Transfer.amount_minor),
        col(Transfer.subject_id),
    ).where(col(Transfer.book_id) == pledge_id)
    if until is not None:
        query = query.where(col(Transfer.recorded_at) < until)
    found = session.execute(query.order_by(col(Transfer.id)).execution_options(yield_per=AT_ONCE))
    for at, code, is_reversal, amount, subject_id in found:
        yield at, Moved(**{_MOVED[code, is_reversal]: int(amount)}), subject_id


_MOVED = {
    (Code.ACCRUAL.value, False): "unlocked_minor",
    (Code.ACCRUAL.value, True): "voided_minor",
    (Code.POSTING.value, False): "posted_minor",
    (Code.POSTING.value, True): "reversed_minor",
    (Code.PAYOUT.value, False): "paid_minor",
    (Code.FEE.value, False): "fees_minor",
}


def _references(session: Session, pledge_id: UUID) -> dict[UUID, str]:
    """The bank's references of the payouts that paid from a book."""
    paying = select(Transfer.subject_id).where(Transfer.book_id == pledge_id, Transfer.code == Code.PAYOUT.value)
    query = columns(col(Payout.id), col(Payout.reference)).where(col(Payout.id).in_(paying))
    return {id: reference or "" for id, reference in session.execute(query)}
