"""Money in a report: what the campaign cost and returned, in plain JSON."""

from typing import Any, Final

from sqlmodel import Session

from campaigns.planning import Campaign

FORMULAS: Final[dict[str, str]] = {}


def money_in(session: Session, campaign: Campaign) -> dict[str, Any]:
    """What it cost, what that was by act, visit and redemption, and what it returned, with its interval."""
    return {
        "currency": campaign.currency,
        "budget_minor": campaign.budget_minor,
        "budget_share": None,
        "cost_minor": None,
        "cost_per_act_minor": None,
        "cost_per_visit_minor": None,
        "cost_per_redemption_minor": None,
        "conversions": None,
        "revenue_minor": None,
        "incremental_revenue": None,
        "profit": None,
        "roi": None,
        "verdict": "not_measured",
        "lack": "no_holdout",
    }
