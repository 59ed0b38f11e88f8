"""The KPIs of targets: what each comes to by now, from counters and rollups, and what each day of late brought.

Only acts of the live phase. The days are counted from their rows, a few weeks of them, once a day by the worker.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import case, func
from sqlalchemy import select as columns
from sqlmodel import Session, col

from campaigns import clock, ids, missions, tokens
from campaigns.community import Idea
from campaigns.community.models import Round, Vote
from campaigns.missions import Mission, Referral, ReferralState
from campaigns.missions.models import CompletionState, Membership, StepCompletion
from campaigns.planning import Campaign
from campaigns.rewards import Coupon
from campaigns.scans import CheckIn
from campaigns.stats.conversions import totals_of
from campaigns.stats.models import ConversionTotal
from campaigns.stats.people import bridged_of
from campaigns.stats.service import Asked, ask, date_of, start_of

# Totals that missions keep as acts happen.
_COUNTED = ("participants", "check_ins", "completions", "ideas", "votes", "referrals", "coupons_redeemed")
_OF_SCANS = ("verified_scans", "unique_visitors")
_OF_MONEY = ("conversions", "revenue_minor")


class Value(NamedTuple):
    """A figure by now; None where it is not measured. Of a rate also of how many how many."""

    number: float | None
    hits: int = 0
    of: int = 0


def values_of(session: Session, campaign: Campaign, kpis: Sequence[str], *, now: datetime) -> dict[str, Value]:
    """What each KPI comes to by now, since the launch. None is "not measured": no conversion was ever told, say."""
    found: dict[str, Value] = {}
    totals = _totals(session, campaign)
    for kpi in kpis:
        if kpi in _COUNTED:
            found[kpi] = Value(totals.get(kpi, 0))
    if any(kpi in _OF_SCANS for kpi in kpis):
        found |= _of_scans(session, campaign, now)
    if any(kpi in _OF_MONEY for kpi in kpis):
        number, revenue = totals_of(session, campaign.id)
        found |= {"conversions": Value(number or None), "revenue_minor": Value(revenue if number else None)}
    if "bridge_rate" in kpis:
        found["bridge_rate"] = _rate(*bridged_of(session, campaign.id))
    if "return_rate" in kpis:
        found["return_rate"] = _rate(totals.get("online_coupons_redeemed", 0), totals.get("online_coupons_issued", 0))
    return {kpi: found.get(kpi, Value(None)) for kpi in kpis}


def _rate(hits: int, of: int) -> Value:
    return Value(round(hits / of, 4) if of else None, hits, of)


def _totals(session: Session, campaign: Campaign) -> dict[str, int]:
    """The totals of all its missions together: a person of two missions takes part twice."""
    found: dict[str, int] = {}
    for mission in missions.list_missions(session, campaign.id):
        for metric, total in missions.counters(session, mission.id).items():
            found[metric] = found.get(metric, 0) + total
    return found


def _of_scans(session: Session, campaign: Campaign, now: datetime) -> dict[str, Value]:
    total = ask(session, campaign, Asked(), now=now).total
    verified = total.figures.verified
    is_measured = verified or tokens.is_measurable(session, campaign)
    return {
        "verified_scans": Value(verified if is_measured else None),
        "unique_visitors": Value(total.visitors),
    }


# Days ------------------------------------------------------------------------------------------------------------


def by_day(session: Session, campaign: Campaign, kpi: str, first: int, end: int) -> list[int]:
    """What each civil day from `first` to before `end`, since 1970, brought of a count that is measured."""
    if first >= end:
        return []
    since, until = start_of(campaign, first), start_of(campaign, end)
    if kpi in _OF_SCANS:
        lines = ask(session, campaign, Asked(since, until, ("day",)), now=until).lines
        return [(one.figures.verified if kpi == "verified_scans" else one.visitors) or 0 for one in lines]
    if kpi in _OF_MONEY:
        return _of_money(session, campaign, kpi, first, end)
    found = session.execute(_dated(campaign, kpi, since, until, range(first, end)))
    numbers = {int(day): int(number) for day, number in found if day is not None}
    return [numbers.get(day, 0) for day in range(first, end)]


def _of_money(session: Session, campaign: Campaign, kpi: str, first: int, end: int) -> list[int]:
    """Conversions, or what they brought, by the civil day they happened on."""
    what = col(ConversionTotal.conversions if kpi == "conversions" else ConversionTotal.revenue_minor)
    day = col(ConversionTotal.civil_day)
    query: Any = columns(day.label("day"), func.sum(what).label("number")).where(
        col(ConversionTotal.campaign_id) == campaign.id,
        col(ConversionTotal.phase) == "live",
        *_between(day, date_of(first), date_of(end)),
    )
    found = {one.day: one.number for one in session.execute(query.group_by(day))}
    return [int(found.get(date_of(one), 0)) for one in range(first, end)]


def _dated(campaign: Campaign, kpi: str, since: datetime, until: datetime, days: range) -> Any:
    """(day, number) of the rows of a KPI between two instants."""
    at, where = _rows_of(campaign, kpi, since, until)
    if kpi == "votes":  # they know their hour alone
        bounds = [(at < clock.hour_of(start_of(campaign, day + 1)), day) for day in days]
    else:
        bounds = [(at < start_of(campaign, day + 1), day) for day in days]
    day = case(*bounds).label("day")
    return columns(day, func.count()).where(*where).group_by("day")


def _rows_of(campaign: Campaign, kpi: str, since: datetime, until: datetime) -> tuple[Any, list[Any]]:
    """The column that says when, and which rows count."""
    mine = columns(col(Mission.id)).where(col(Mission.campaign_id) == campaign.id)
    if kpi == "check_ins":
        of = [col(CheckIn.campaign_id) == campaign.id, col(CheckIn.counted), col(CheckIn.phase) == "live"]
        return col(CheckIn.checked_in_at), [*of, *_between(col(CheckIn.id), ids.first_of(since), ids.first_of(until))]
    if kpi == "votes":
        of = [col(Vote.round_id).in_(columns(col(Round.id)).where(col(Round.mission_id).in_(mine)))]
        of += [col(Vote.slot).is_not(None), col(Vote.phase) == "live"]
        return col(Vote.cast_hour), [*of, *_between(col(Vote.cast_hour), clock.hour_of(since), clock.hour_of(until))]
    if kpi == "coupons_redeemed":
        at, of = col(Coupon.redeemed_at), [col(Coupon.campaign_id) == campaign.id, col(Coupon.phase) == "live"]
        return at, [*of, *_between(at, since, until)]
    counted: dict[str, tuple[Any, Any, list[Any]]] = {
        "participants": (Membership, Membership.joined_at, []),
        "completions": (
            StepCompletion,
            StepCompletion.completed_at,
            [col(StepCompletion.state) == CompletionState.VERIFIED.value],
        ),
        "ideas": (Idea, Idea.created_at, []),
        "referrals": (Referral, Referral.qualified_at, [col(Referral.state) != ReferralState.BLOCKED.value]),
    }
    table, at, where = counted[kpi]
    return at, [col(table.mission_id).in_(mine), col(table.phase) == "live", *where, *_between(at, since, until)]


def _between(column: Any, since: Any, until: Any) -> tuple[Any, Any]:
    return column >= since, column < until
