"""What a place is owed for the coupons it took: by civil day and offer, from the redemptions that stand.

Kept coupons are owed to the shop, which took their value off the basket. Given ones are owed to the cause: the shopper
paid in full; a gift that was undone, because what gave the coupon was found void, is owed to nobody. The sums are those
of the ledger.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import case, func
from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from campaigns.errors import Invalid
from campaigns.missions.models import LocalText
from campaigns.places import Place
from campaigns.rewards.models import Choice, Offer, Outcome, Redemption
from campaigns.sponsorship import money
from campaigns.sponsorship.models import Gift

MOST_DAYS = 400
_STANDING_GIFT = case((col(Gift.undone_at).is_(None), col(Gift.amount_minor)), else_=0)


@dataclass(frozen=True)
class Line:
    """An offer's coupons that a place took on a day. `due_minor`: owed to it; None of an offer without a value."""

    day: date
    offer_id: UUID
    title: LocalText
    coupons: int
    kept: int
    given: int
    due_minor: int | None
    given_minor: int | None
    currency: str | None


def lines_of(session: Session, place: Place, *, since: date, until: date) -> list[Line]:
    """What a place took from a day to another, both included; oldest first. Invalid for days the wrong way round."""
    if not since <= until <= since + timedelta(days=MOST_DAYS):
        raise Invalid(f"`until` is not before `since`, and at most {MOST_DAYS} days after it.", pointer="/until")
    key = (col(Redemption.civil_day), col(Redemption.offer_id), col(Redemption.currency))
    query = (
        columns(
            *key, func.count(), *_sums(Choice.KEEP, col(Redemption.value_minor)), *_sums(Choice.GIVE, _STANDING_GIFT)
        )
        .outerjoin(Gift, col(Gift.id) == Redemption.id)
        .where(
            col(Redemption.place_id) == place.id,
            col(Redemption.civil_day).between(since, until),
            col(Redemption.outcome) == Outcome.ACCEPTED.value,
            col(Redemption.rolled_back_at).is_(None),
        )
        .group_by(*key)
        .order_by(*key)
    )
    rows = session.execute(query).all()
    titles = _titles(session, [row[1] for row in rows])
    return [
        Line(day, offer_id, titles[offer_id], coupons, kept, given, *_worth(currency, due, away), currency)
        for day, offer_id, currency, coupons, kept, due, given, away in rows
    ]


def totals(lines: Sequence[Line]) -> dict[str, tuple[int, int]]:
    """What is owed to the place and to causes, by currency."""
    found: dict[str, tuple[int, int]] = {}
    for line in lines:
        if line.currency is not None:
            due, given = found.get(line.currency, (0, 0))
            found[line.currency] = (due + (line.due_minor or 0), given + (line.given_minor or 0))
    return found


def units(amount_minor: int, currency: str, comma: str = ".") -> str:
    """An amount in units of its currency, for a table: `1234.50`; without thousands separators."""
    digits = money.exponent(currency)
    return f"{Decimal(amount_minor).scaleb(-digits):.{digits}f}".replace(".", comma)


def _sums(choice: Choice, value: Any) -> tuple[Any, Any]:
    """How many made a choice, and the value of theirs."""
    chose = col(Redemption.choice) == choice.value
    return func.sum(case((chose, 1), else_=0)), func.sum(case((chose, value), else_=0))


def _titles(session: Session, offer_ids: Sequence[UUID]) -> dict[UUID, LocalText]:
    return {one.id: one.title for one in session.exec(select(Offer).where(col(Offer.id).in_(offer_ids)))}


def _worth(currency: str | None, due: Any, given: Any) -> tuple[int | None, int | None]:
    return (None, None) if currency is None else (int(due or 0), int(given or 0))
