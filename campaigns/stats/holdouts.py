"""What came of a holdout: exposures and conversions of each unit that was drawn, on either side.

Places: how many customers, or visits, each had is told from outside (door counters, receipts), one number for each
place and period; a period names every place of the draw, so that both sides cover the same days. Conversions are those
of the place within the periods. Codes: exposures are the log's, the visitors of each civil day summed over the days
since the launch, which the page that is shown cannot change; conversions are those told of with the code or its scan.
A conversion without a place, or a code, of the draw is on neither side.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import false, func, or_
from sqlalchemy import select as columns
from sqlmodel import Session, col, delete, select

from campaigns import ids
from campaigns.errors import Conflict, Invalid
from campaigns.planning import Campaign, Phase
from campaigns.planning.holdouts import Holdout, HoldoutUnitKind, sides_of
from campaigns.scans.models import ScanRollup
from campaigns.stats.lift import Unit
from campaigns.stats.models import ConversionTotal, Exposure
from campaigns.storage import store_all
from campaigns.tokens import Kind, Token, TokenState

_BOTH_SIDES = (Phase.LIVE.value, Phase.HOLDOUT.value)
MOST_EXPOSURES = 10**9  # of a place and period


class Arms(NamedTuple):
    """Both sides of a draw, a unit each place or code."""

    exposed: list[Unit]
    holdout: list[Unit]


def drawable(session: Session, campaign: Campaign, kind: HoldoutUnitKind) -> list[UUID]:
    """What a holdout may be drawn from: the places where the campaign's codes stand, or its codes but for serials."""
    mine = (Token.campaign_id == campaign.id, col(Token.state) == TokenState.ACTIVE.value)
    if kind is HoldoutUnitKind.PLACE:
        query = select(Token.place_id).where(*mine, col(Token.place_id).is_not(None)).distinct()
        return [one for one in session.exec(query) if one is not None]
    return list(session.exec(select(Token.id).where(*mine, Token.kind != Kind.SERIAL.value)))


def set_exposures(
    session: Session,
    campaign: Campaign,
    holdout: Holdout,
    since: date,
    until: date,
    numbers: Mapping[UUID, int],
    *,
    now: datetime,
) -> None:
    """Say how many customers or visits every place of the draw had in a period; the same period again replaces it.

    Conflict (`periods_overlap`) with another period, and of a draw of codes. Invalid unless every place is named.
    """
    if holdout.unit != HoldoutUnitKind.PLACE:
        raise Conflict("The holdout is of codes: their exposures are counted by the log.", code="counted_by_log")
    if until < since:
        raise Invalid("`until` must not be before `since`.", pointer="/until")
    drawn = {one for side in sides_of(session, holdout) for one in side}
    missing, further = sorted(drawn - numbers.keys()), sorted(numbers.keys() - drawn)
    if missing or further:
        named = ", ".join(ids.show("plc", one) for one in (missing or further)[:5])
        what = "lacks" if missing else "names places that were not drawn from:"
        raise Invalid(f"A period has a number for every place of the draw; this {what} {named}.", pointer="/exposures")
    mine = col(Exposure.campaign_id) == campaign.id
    overlapping = select(col(Exposure.since)).where(mine, col(Exposure.since) <= until, col(Exposure.until) >= since)
    found = session.exec(overlapping.where((col(Exposure.since) != since) | (col(Exposure.until) != until))).first()
    if found is not None:
        raise Conflict(f"It overlaps the period that begins on {found}.", code="periods_overlap", pointer="/since")
    session.exec(delete(Exposure).where(mine, col(Exposure.since) == since))
    fields = {"campaign_id": campaign.id, "since": since, "until": until, "recorded_at": now}
    store_all(session, Exposure, [{**fields, "place_id": one, "number": numbers[one]} for one in sorted(numbers)])


def list_exposures(session: Session, campaign_id: UUID) -> Sequence[Exposure]:
    """By period and place."""
    query = select(Exposure).where(Exposure.campaign_id == campaign_id)
    return session.exec(query.order_by(col(Exposure.since), col(Exposure.place_id))).all()


def arms_of(session: Session, campaign: Campaign, holdout: Holdout) -> Arms:
    """What was counted on both sides, since the launch."""
    is_places = holdout.unit == HoldoutUnitKind.PLACE
    exposures = _at_places(session, campaign.id) if is_places else _of_codes(session, campaign.id)
    periods = _periods(session, campaign.id) if is_places else None
    counted = _conversions(session, campaign.id, is_places=is_places, periods=periods)
    exposed, held = (
        [_unit(exposures.get(one, 0), counted.get(one, (0, 0, 0.0))) for one in side]
        for side in sides_of(session, holdout)
    )
    return Arms(exposed, held)


def _periods(session: Session, campaign_id: UUID) -> list[tuple[date, date]]:
    """The periods that were told, those that follow one another as one: each day of sales is held against all."""
    told = select(col(Exposure.since), col(Exposure.until)).where(Exposure.campaign_id == campaign_id)
    found: list[tuple[date, date]] = []
    for since, until in sorted(session.exec(told.distinct())):
        start = found.pop()[0] if found and found[-1][1] + timedelta(days=1) == since else since
        found.append((start, until))
    return found


def _unit(exposures: int, counted: tuple[int, int, float]) -> Unit:
    return Unit(exposures, *counted)


def _at_places(session: Session, campaign_id: UUID) -> dict[UUID, int]:
    sums = columns(col(Exposure.place_id), func.sum(col(Exposure.number))).group_by(col(Exposure.place_id))
    rows = session.execute(sums.where(col(Exposure.campaign_id) == campaign_id))
    return {place: int(number) for place, number in rows}


def _of_codes(session: Session, campaign_id: UUID) -> dict[UUID, int]:
    sums = columns(col(ScanRollup.value), func.sum(col(ScanRollup.visitors))).group_by(col(ScanRollup.value))
    mine = (col(ScanRollup.campaign_id) == campaign_id, col(ScanRollup.dimension) == "token")
    days = (col(ScanRollup.span) == "day", col(ScanRollup.phase) == Phase.LIVE.value)
    rows = session.execute(sums.where(*mine, *days))
    return {ids.parse("tok", value): int(number or 0) for value, number in rows if value.startswith("tok_")}


def _conversions(
    session: Session, campaign_id: UUID, *, is_places: bool, periods: Sequence[tuple[date, date]] | None
) -> dict[UUID, tuple[int, int, float]]:
    """Conversions, revenue and squares by place or code; of places only within the periods that were told."""
    unit, day = col(ConversionTotal.place_id if is_places else ConversionTotal.token_id), col(ConversionTotal.civil_day)
    names = ("conversions", "revenue_minor", "squares")
    sums: Any = columns(unit, *(func.sum(col(getattr(ConversionTotal, one))) for one in names))
    sums = sums.where(col(ConversionTotal.campaign_id) == campaign_id, col(ConversionTotal.phase).in_(_BOTH_SIDES))
    if periods is not None:
        sums = sums.where(or_(false(), *(day.between(since, until) for since, until in periods)))
    rows = session.execute(sums.group_by(unit))
    return {id: (int(number), int(revenue), float(squares)) for id, number, revenue, squares in rows}
