"""Money in a report: what the campaign cost and returned, in plain JSON."""

from typing import Any

from sqlmodel import Session

from campaigns.planning import Campaign
from campaigns.stats.lift import Estimate
from campaigns.stats.money import Money, money_of


def money_in(session: Session, campaign: Campaign) -> dict[str, Any]:
    """What it cost, what that was by act, visit and redemption, and what it returned, with its interval.

    Amounts are in minor units of `currency`; None for what nobody told: a campaign without a cost is not free.
    """
    money, cost = money_of(session, campaign), None
    if money.costs.total_minor:
        cost = money.costs.total_minor
    results, returned = money.results, money.returned
    lift = returned.lift if returned else None
    return {
        "currency": money.currency,
        "budget_minor": campaign.budget_minor,
        "budget_share": _share(campaign, money, cost),
        "cost_minor": cost,
        "cost_per_act_minor": money.cost_per(results.acts) if cost else None,
        "cost_per_visit_minor": money.cost_per(results.visits) if cost else None,
        "cost_per_redemption_minor": money.cost_per(results.redemptions) if cost else None,
        "conversions": money.conversions or None,
        "revenue_minor": money.revenue_minor if money.conversions else None,
        "incremental_revenue": _estimate(lift.revenue_minor if lift else None),
        "profit": _estimate(returned.profit_minor if returned else None),
        "roi": _estimate(returned.roi if returned else None),
        "verdict": money.verdict.value,
        "lack": money.lack.value if money.lack else None,
    }


def _share(campaign: Campaign, money: Money, cost: int | None) -> float | None:
    """How much of the budget is spent; None without either, and where they are of two currencies."""
    if not campaign.budget_minor or cost is None or money.currency != campaign.currency:
        return None
    return round(cost / campaign.budget_minor, 4)


def _estimate(one: Estimate | None) -> dict[str, float] | None:
    return None if one is None else {"value": one.value, "low": one.low, "high": one.high}
