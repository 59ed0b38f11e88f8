"""What a campaign cost and what it returned: every figure of money, of the whole campaign, with its formula.

The verdict is ROI's: positive or negative where its 95 % interval lies on one side of zero, not proven where it holds
zero or too little happened, and not measured where nothing tells what would have come anyway.
"""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from sqlmodel import Session

from campaigns import missions
from campaigns.planning import Campaign
from campaigns.planning.holdouts import Holdout, find_holdout
from campaigns.stats import lift
from campaigns.stats.conversions import totals_of
from campaigns.stats.costs import Costs, costs_of, find_terms
from campaigns.stats.holdouts import Arms, arms_of
from campaigns.stats.lift import Estimate, Lift, Unit

FORMULAS = {
    "cost": "cost/1",
    "cost_per_act": "cost_per_act/1",
    "cost_per_visit": "cost_per_visit/1",
    "cost_per_redemption": "cost_per_redemption/1",
    "incremental_conversions": "incremental_conversions/1",
    "incremental_revenue": "incremental_revenue/1",
    "interval": "lift_interval/1",
    "incremental_profit": "incremental_profit/1",
    "roi": "roi/1",
    "iroas": "iroas/1",
}


class Verdict(StrEnum):
    """Whether it paid."""

    POSITIVE = "positive"
    NEGATIVE = "negative"
    NOT_PROVEN = "not_proven"
    NOT_MEASURED = "not_measured"


class Lack(StrEnum):
    """What a verdict rests on when it is neither positive nor negative."""

    HOLDS_ZERO = "interval_holds_zero"
    TOO_FEW = "too_few"
    NO_HOLDOUT = "no_holdout"
    NO_EXPOSURES = "no_exposures"
    NO_MARGIN = "no_margin"
    NO_COST = "no_cost"


@dataclass(frozen=True)
class Results:
    """What happened since the launch: counted, none of it a pilot's."""

    acts: int  # step completions that are verified
    visits: int  # check-ins that count: one a person, code and civil day
    redemptions: int


@dataclass(frozen=True)
class Return:
    """What the holdout says. `lift` is None where too little happened; the others also without margin or cost."""

    holdout: Holdout
    exposed: Unit
    held_out: Unit
    lift: Lift | None
    profit_minor: Estimate | None
    roi: Estimate | None
    iroas: Estimate | None


@dataclass(frozen=True)
class Money:
    """All figures of a campaign's money, in minor units of `currency`; None where no amount was ever told.

    `cost_per_*` is a broken number of minor units, None while there is nothing to divide by.
    """

    currency: str | None
    margin: float | None
    costs: Costs
    results: Results
    conversions: int
    revenue_minor: int
    returned: Return | None
    verdict: Verdict
    lack: Lack | None

    def cost_per(self, number: int) -> float | None:
        return self.costs.total_minor / number if number else None


def money_of(session: Session, campaign: Campaign) -> Money:
    """Reckon all of it. A dozen small reads, however many scans, coupons or conversions there are."""
    terms = find_terms(session, campaign.id)
    currency = (terms.currency if terms else None) or campaign.currency
    margin = terms.margin_bp / 10_000 if terms and terms.margin_bp else None
    costs = costs_of(session, campaign, currency)
    number, revenue = totals_of(session, campaign.id)
    holdout = find_holdout(session, campaign.id)
    returned = _returned(arms_of(session, campaign, holdout), holdout, costs, margin) if holdout else None
    verdict, lack = _verdict(returned, costs, margin)
    return Money(
        currency=currency,
        margin=margin,
        costs=costs,
        results=_results(session, campaign.id),
        conversions=number,
        revenue_minor=revenue,
        returned=returned,
        verdict=verdict,
        lack=lack,
    )


def _results(session: Session, campaign_id: UUID) -> Results:
    totals = [missions.counters(session, one.id) for one in missions.list_missions(session, campaign_id)]
    names = ("completions", "check_ins", "coupons_redeemed")
    return Results(*(sum(one.get(name, 0) for one in totals) for name in names))


def _returned(arms: Arms, holdout: Holdout, costs: Costs, margin: float | None) -> Return:
    found = None if lift.is_too_few(*arms) else lift.between_units(*arms)
    cost, profit, roi, iroas = costs.total_minor, None, None, None
    if found is not None and margin is not None:
        profit = lift.profit(found.revenue_minor, margin=margin, cost_minor=cost)
        roi = lift.roi(profit, cost_minor=cost) if cost else None
    if found is not None and cost:
        iroas = found.revenue_minor.scaled(1 / cost)
    return Return(holdout, Unit.total(arms.exposed), Unit.total(arms.holdout), found, profit, roi, iroas)


def _verdict(returned: Return | None, costs: Costs, margin: float | None) -> tuple[Verdict, Lack | None]:
    if returned is None:
        return Verdict.NOT_MEASURED, Lack.NO_HOLDOUT
    if not (returned.exposed.exposures and returned.held_out.exposures):
        return Verdict.NOT_MEASURED, Lack.NO_EXPOSURES
    if margin is None:
        return Verdict.NOT_MEASURED, Lack.NO_MARGIN
    if not costs.total_minor:
        return Verdict.NOT_MEASURED, Lack.NO_COST
    if returned.roi is None:
        return Verdict.NOT_PROVEN, Lack.TOO_FEW
    if returned.roi.holds_zero:
        return Verdict.NOT_PROVEN, Lack.HOLDS_ZERO
    return (Verdict.POSITIVE if returned.roi.low > 0 else Verdict.NEGATIVE), None
