"""What a campaign cost and what it returned, with the formula of each figure."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api import schemas
from api.dependencies import Core, Now, Session
from api.etags import Tagged
from api.policies import Actor, may
from campaigns import ids, planning, stats
from campaigns.errors import Invalid
from campaigns.identity import Right
from campaigns.stats import Estimate, Lack, Money, MoneyVerdict, Return, Unit

router = APIRouter(prefix="/v1", tags=["money"])


class EstimateRead(BaseModel):
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float


class OtherCurrency(BaseModel):
    """What could not be added: it is in another currency."""

    kind: str
    currency: str
    amount_minor: int


class CostsRead(BaseModel):
    """What was spent. `rewards_minor`: the face value of coupons used, a pilot's too; `pledges_minor`: what acts made
    due on the advertiser's own pledges.
    """

    total_minor: int
    media_minor: int
    print_minor: int
    staff_hours_minor: int
    rewards_minor: int
    pledges_minor: int
    fees_minor: int
    other_minor: int
    other_currencies: list[OtherCurrency]


class CostPer(BaseModel):
    """Cost / a number of results, in minor units; null while there is none. `number` is what it is divided by."""

    number: int
    cost_minor: float | None


class SideRead(BaseModel):
    """One side of the draw: units with exposures, and what was counted there."""

    exposures: int
    conversions: int
    revenue_minor: int


class ReturnRead(BaseModel):
    """Exposed against held out. Null figures: too little happened, or a margin or a cost is not known.

    `proven`: the interval of the incremental revenue does not hold zero.
    """

    holdout_id: str
    exposed: SideRead
    held_out: SideRead
    incremental_conversions: EstimateRead | None
    incremental_revenue_minor: EstimateRead | None
    incremental_profit_minor: EstimateRead | None
    roi: EstimateRead | None
    iroas: EstimateRead | None
    proven: bool | None


class MoneyRead(BaseModel):
    """The money of a campaign, in minor units of `currency`; shares are of one (0.6 is 60 %).

    `verdict` is that of ROI: `not_proven` when its interval holds zero or too little happened, `not_measured` when
    nothing tells what would have come anyway; `lack` says why. `formulas` are explained at /docs/figures.
    """

    campaign_id: str
    currency: str | None
    budget_minor: int | None
    margin: float | None
    costs: CostsRead
    cost_per_act: CostPer
    cost_per_visit: CostPer
    cost_per_redemption: CostPer
    conversions: int
    revenue_minor: int
    incremental: ReturnRead | None
    verdict: MoneyVerdict
    lack: Lack | None
    formulas: dict[str, str]


class MoneyPatch(schemas.Request):
    """JSON merge patch. `margin`: the share of revenue that is left after the goods, above 0 and up to 1."""

    margin: schemas.Number | None = Field(gt=0, le=1, description="0.4 is 40 %; at most four decimals; null: not known")


@router.get("/campaigns/{campaign_id}/money", dependencies=[may(Right.FIGURES_READ)], response_model=MoneyRead)
def read_money(campaign_id: str, actor: Actor, core: Core, tags: Tagged) -> Any:
    """What a campaign cost, what an act, a visit and a redemption cost, and what it returned beyond what would have
    come anyway. Of the whole campaign. Answers 304 to a known `ETag`.
    """
    with core.database.moment() as session:
        campaign = planning.campaign_by_name(session, actor.organisation_id, campaign_id)
        found = stats.money_of(session, campaign)
    return tags.read(_show(campaign, found))


@router.patch("/campaigns/{campaign_id}/money", dependencies=[may(Right.CAMPAIGNS_WRITE)])
def change_money(campaign_id: str, body: MoneyPatch, actor: Actor, session: Session, now: Now) -> MoneyRead:
    """Say which share of revenue is margin: no profit and no ROI is reckoned without."""
    campaign = planning.campaign_by_name(session, actor.organisation_id, campaign_id)
    points = None if body.margin is None else round(body.margin * 10_000, 6)
    if points is not None and (points != int(points) or points < 1):
        raise Invalid("A margin is a share above 0 and up to 1, with at most four decimals.", pointer="/margin")
    stats.set_margin(session, campaign, None if points is None else int(points), now=now)
    return _show(campaign, stats.money_of(session, campaign))


def _show(campaign: planning.Campaign, money: Money) -> MoneyRead:
    results = money.results
    return MoneyRead(
        campaign_id=ids.show("cmp", campaign.id),
        currency=money.currency,
        budget_minor=campaign.budget_minor,
        margin=money.margin,
        costs=_costs(money),
        cost_per_act=_per(money, results.acts),
        cost_per_visit=_per(money, results.visits),
        cost_per_redemption=_per(money, results.redemptions),
        conversions=money.conversions,
        revenue_minor=money.revenue_minor,
        incremental=_returned(money.returned) if money.returned else None,
        verdict=money.verdict,
        lack=money.lack,
        formulas=stats.MONEY_FORMULAS,
    )


def _costs(money: Money) -> CostsRead:
    costs = money.costs
    return CostsRead(
        total_minor=costs.total_minor,
        rewards_minor=costs.rewards_minor,
        pledges_minor=costs.pledges_minor,
        other_currencies=[
            OtherCurrency(kind=kind, currency=currency, amount_minor=amount)
            for kind, currency, amount in costs.other_currencies
        ],
        **{f"{kind}_minor": amount for kind, amount in costs.by_kind.items()},
    )


def _per(money: Money, number: int) -> CostPer:
    return CostPer(number=number, cost_minor=_rounded(money.cost_per(number)))


def _returned(found: Return) -> ReturnRead:
    lift = found.lift
    return ReturnRead(
        holdout_id=ids.show("hld", found.holdout.id),
        exposed=_side(found.exposed),
        held_out=_side(found.held_out),
        incremental_conversions=_estimate(lift.conversions if lift else None, 2),
        incremental_revenue_minor=_estimate(lift.revenue_minor if lift else None, 0),
        incremental_profit_minor=_estimate(found.profit_minor, 0),
        roi=_estimate(found.roi, 4),
        iroas=_estimate(found.iroas, 4),
        proven=not lift.revenue_minor.holds_zero if lift else None,
    )


def _side(unit: Unit) -> SideRead:
    return SideRead(exposures=unit.exposures, conversions=unit.conversions, revenue_minor=unit.revenue_minor)


def _estimate(found: Estimate | None, decimals: int) -> EstimateRead | None:
    if found is None:
        return None
    return EstimateRead(**{name: round(one, decimals) for name, one in vars(found).items()})


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
