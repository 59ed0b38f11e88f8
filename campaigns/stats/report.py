"""The report of a campaign for a director: what it answers with, gathered into one document of plain JSON.

Everything that a page of it shows is in the document, the answer and the risks too, and no word of any language: so a
frozen one is made again as it was, whatever became of the data since.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import case, func
from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from campaigns import care, identity, ids, missions, rewards, tokens
from campaigns.audit import AuditEntry
from campaigns.care.models import Case
from campaigns.planning import Campaign, State
from campaigns.scans import Verdict
from campaigns.sponsorship.meter import meters_of
from campaigns.stats import kpis, report_money, targets, thresholds
from campaigns.stats.money import FORMULAS as MONEY_FORMULAS
from campaigns.stats.people import BRIDGE_FORMULA
from campaigns.stats.service import Asked, ask
from campaigns.stats.targets import TargetStanding

FORMAT: Final = "report/1"
FORMULAS: Final = {
    "answer": "answer/1",
    "progress": targets.PROGRESS,
    "expected": targets.EXPECTED,
    "forecast": "forecast/1",
    "inflation": "inflation/1",
    "held_share": "held_share/1",
    "insider_share": "insider_share/1",
    "bridge_rate": BRIDGE_FORMULA,
    "return_rate": rewards.RETURN_FORMULA,
    **MONEY_FORMULAS,
}
# From where on a figure is a risk to speak of.
INFLATED: Final = 2.0  # raw scans for each verified one
HELD: Final = 0.1  # of human scans
INSIDERS: Final = 0.2  # of acts
NEARLY: Final = 0.9  # of a cap or budget
EARLY: Final = 0.1  # of the flight: before, no target tells anything
COUNTED_AT_MOST: Final = 200  # alerts and reports of codes: more are "200"
NOT_BEGUN: Final = (State.DRAFT, State.PILOT, State.SCHEDULED)


def inputs_of(
    session: Session, campaign: Campaign, *, learned: str = "", made_by: dict[str, Any] | None = None, now: datetime
) -> dict[str, Any]:
    """The document of a report, as things stand. `learned` is what the marketer says was learned."""
    owner = identity.organisation_by_id(session, campaign.organisation_id)
    reached = targets.reached(session, campaign, now=now)
    results, load = _results(session, campaign, now), _load(session, campaign, now)
    led = missions.list_missions(session, campaign.id)
    money = report_money.money_in(session, campaign)
    return {
        "format": FORMAT,
        "made_at": now.isoformat(),
        "made_by": made_by,
        "organisation": {"id": ids.show("org", owner.id), "name": owner.name},
        "campaign": _campaign(campaign, now),
        "promise": [{"title": one.title, "promise": one.promise} for one in led],
        "answer": _answer(campaign, reached, money, now),
        "targets": [_target(one) for one in reached],
        "results": results,
        "load": load,
        "crisis": _crisis(session, campaign, owner),
        "money": money,
        "risks": list(_risks(session, campaign, reached, results, load, money, now)),
        "learned": learned,
        "formulas": FORMULAS,
    }


def _campaign(campaign: Campaign, now: datetime) -> dict[str, Any]:
    instants = ("starts_at", "ends_at", "launched_at", "ended_at")
    return {
        "id": ids.show("cmp", campaign.id),
        "state": campaign.state_at(now).value,
        "elapsed": targets.part_of_flight(campaign, now),
        **{name: _instant(getattr(campaign, name)) for name in instants},
        **campaign.model_dump(include={"name", "objective", "time_zone", "budget_minor", "currency"}),
    }


def _target(one: TargetStanding) -> dict[str, Any]:
    kept = one.kept
    return {
        "kpi": one.target.kpi,
        "target": one.target.value,
        "value": one.value,
        "progress": one.progress,
        "expected": one.expected,
        "reached": one.is_reached,
        "on_course": one.is_on_course,
        "forecast": None
        if kept is None
        else {"value": kept.forecast, "low": kept.low, "high": kept.high, "made_at": _instant(kept.made_at)},
        "reason": one.reason,
    }


def _answer(
    campaign: Campaign, reached: Sequence[TargetStanding], money: dict[str, Any], now: datetime
) -> dict[str, Any]:
    """Positive or negative (formula answer/1): by the return where that is proven, else by the targets."""
    told = [one for one in reached if one.value is not None]
    good = [one for one in told if one.is_reached or (one.is_on_course and campaign.state_at(now) is not State.ENDED)]
    counts = {"targets": len(reached), "measured": len(told), "good": len(good)}
    counts["reached"] = sum(one.is_reached for one in told)
    if campaign.state_at(now) in NOT_BEGUN:
        return {"word": "not_begun", "basis": None, **counts}
    if money["verdict"] in ("positive", "negative"):
        return {"word": money["verdict"], "basis": "return", **counts}
    return {"word": _by_targets(campaign, reached, len(told), len(good), now), "basis": "targets", **counts}


def _by_targets(campaign: Campaign, reached: Sequence[TargetStanding], told: int, good: int, now: datetime) -> str:
    elapsed = targets.part_of_flight(campaign, now)
    if campaign.state_at(now) is not State.ENDED and not all(one.is_reached for one in reached):
        if elapsed is None:
            return "no_end"
        if elapsed < EARLY:
            return "too_early"
    if not told:
        return "not_measured"
    return "positive" if good == told else "mixed" if good else "negative"


def _results(session: Session, campaign: Campaign, now: datetime) -> dict[str, Any]:
    total = ask(session, campaign, Asked(), now=now).total
    figures = total.figures
    is_measured = bool(figures.verified) or tokens.is_measurable(session, campaign)
    wanted = ("participants", "check_ins", "completions", "bridge_rate", "return_rate")
    values = kpis.values_of(session, campaign, wanted, now=now)
    return {
        "raw": figures.raw,
        "human": figures.human,
        "verified": figures.verified if is_measured else None,
        "inflation": figures.inflation,
        "held_share": round(figures.by_verdict[Verdict.HELD] / figures.human, 4) if figures.human else None,
        "unique_visitors": total.visitors,
        "insider_share": missions.insider_share(session, campaign.id),
        **{name: values[name].number for name in wanted},
    }


def _load(session: Session, campaign: Campaign, now: datetime) -> dict[str, Any]:
    """What waits for somebody, and how answers came in time until now."""
    in_time = case((col(Case.answered_at) <= col(Case.due_at), 1), else_=0)
    answered, timely = session.execute(
        columns(func.count(), func.coalesce(func.sum(in_time), 0)).where(
            col(Case.campaign_id) == campaign.id, col(Case.answered_at).is_not(None)
        )
    ).one()
    few: dict[str, Any] = {"campaign_id": campaign.id, "before": None, "limit": COUNTED_AT_MOST}
    reports = care.list_reports(session, campaign.organisation_id, **few)
    return {
        "open_cases": thresholds.open_cases(session, campaign.id),
        "overdue_cases": thresholds.open_cases(session, campaign.id, due_before=now),
        "answered_cases": int(answered),
        "answered_in_time": int(timely),
        "codes_reported": sum(one.handled_at is None for one in reports),
        "silent_codes": len(care.list_alerts(session, campaign.organisation_id, is_open=True, **few)),
    }


def _crisis(session: Session, campaign: Campaign, owner: identity.Organisation) -> dict[str, Any]:
    """What would be there on a bad day: a stop that was tried, thresholds, contacts, notices."""
    return {
        "stop_tried_at": _instant(_paused_at(session, campaign.id)),
        "thresholds": len(thresholds.list_thresholds(session, campaign.id)),
        "missing_contacts": owner.missing_legal_data,
        "has_notice": bool(owner.mandatory_notice),
    }


def _paused_at(session: Session, campaign_id: UUID) -> datetime | None:
    """When the campaign was last paused: all its codes stop at once, as in a crisis."""
    mine = select(AuditEntry).where(AuditEntry.subject_id == campaign_id, AuditEntry.action == "campaign.changed")
    for entry in session.exec(mine.order_by(col(AuditEntry.id).desc())):
        if entry.changes.get("state", [None])[-1] == State.PAUSED.value:
            return entry.recorded_at
    return None


def _risks(
    session: Session,
    campaign: Campaign,
    reached: Sequence[TargetStanding],
    results: dict[str, Any],
    load: dict[str, Any],
    money: dict[str, Any],
    now: datetime,
) -> Iterator[dict[str, Any]]:
    """What could go wrong, from the data, the gravest first."""
    if load["overdue_cases"]:
        yield {"risk": "overdue", "value": load["overdue_cases"]}
    behind = [one.target.kpi for one in reached if _is_behind(campaign, one, now)]
    if behind:
        yield {"risk": "missed" if campaign.state_at(now) is State.ENDED else "behind", "kpis": behind}
    if (results["inflation"] or 0) >= INFLATED:
        yield {"risk": "inflation", "value": results["inflation"]}
    if (results["held_share"] or 0) >= HELD:
        yield {"risk": "held", "value": results["held_share"]}
    if (results["insider_share"] or 0) >= INSIDERS:
        yield {"risk": "insiders", "value": results["insider_share"]}
    for name in ("silent_codes", "codes_reported"):
        if load[name]:
            yield {"risk": name, "value": load[name]}
    for sponsor, share in _nearly_used(session, campaign.id):
        yield {"risk": "cap", "value": share, "sponsor": sponsor}
    if (money["budget_share"] or 0) >= NEARLY:
        yield {"risk": "budget", "value": money["budget_share"]}
    if results["verified"] is None:
        yield {"risk": "unmeasured"}
    if money["verdict"] == "not_measured":
        yield {"risk": "return_unmeasured", "lack": money["lack"]}


def _is_behind(campaign: Campaign, one: TargetStanding, now: datetime) -> bool:
    """Whether a target was missed; before the end: whether even the upper end of its forecast does not reach it."""
    if one.is_reached or one.value is None:
        return False
    if campaign.state_at(now) is State.ENDED:
        return True
    return one.kept is not None and one.kept.high is not None and one.kept.high < one.target.value


def _nearly_used(session: Session, campaign_id: UUID) -> Iterator[tuple[str, float]]:
    """Sponsors of pledges of which nine tenths are drawn, with the part."""
    for mission in missions.list_missions(session, campaign_id):
        for meter in meters_of(session, mission.id):
            drawn = meter.sums.unlocked_minor + meter.sums.pending_minor
            if meter.sums.cap_minor and drawn / meter.sums.cap_minor >= NEARLY:
                yield meter.sponsor, round(drawn / meter.sums.cap_minor, 4)


def _instant(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None
