"""Targets of a campaign with their progress and forecasts, and thresholds that raise alerts."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from sqlmodel import Session as DbSession
from starlette.responses import Response

from api import schemas
from api.dependencies import Core, Now, ReadSession, Session
from api.etags import Tagged
from api.pagination import Cursor, Limit, Page, before, page
from api.policies import Actor, may
from campaigns import ids, planning, stats
from campaigns.errors import Invalid
from campaigns.identity import Right
from campaigns.planning import Campaign
from campaigns.stats import AlertThreshold, Comparison, RaisedAlert, TargetForecast, TargetStanding

router = APIRouter(prefix="/v1", tags=["figures"])

_KPI = Annotated[str | None, Query(max_length=60, description="Only of this KPI.")]
REASONS = "not_begun, ended, no_end_date, under_7_days, not_measured, under_5, not_made_yet"


class ForecastRead(BaseModel):
    """What is expected at the flight's end, with its 95 % interval, as it was reckoned at `made_at`.

    Of a rate it is the rate as it was then, with its binomial interval.
    """

    value: float
    low: float
    high: float
    made_at: datetime
    formula: str


class TargetStandingRead(BaseModel):
    """A target and where it stands. `value` is of live acts only, null where nothing measures it.

    `progress` is value / target. `expected_by_now` is linear: the part of the flight that is over times the target, of
    a rate the target itself; null without an end date. `forecast` is made once a civil day; without one
    `forecast_reason` says why.
    """

    kpi: str
    target: float
    locked_at: datetime | None
    value: float | None
    progress: float | None
    reached: bool
    expected_by_now: float | None
    on_course: bool | None
    forecast: ForecastRead | None
    forecast_reason: str | None = Field(description=REASONS)


class TargetsRead(BaseModel):
    """A campaign's targets. `elapsed` is the part of the flight that is over; `formulas` name how each is reckoned."""

    campaign_id: str
    state: str
    elapsed: float | None
    targets: list[TargetStandingRead]
    formulas: dict[str, str]
    as_of: datetime


class KeptForecastRead(BaseModel):
    """What was forecast on a civil day of the campaign, beside what came.

    `value` is what there was then; `outcome` what there is now, once the flight is over, else null; `held` whether the
    interval holds it.
    """

    kpi: str
    day: str
    made_at: datetime
    target: float
    value: float | None
    forecast: float | None
    low: float | None
    high: float | None
    reason: str | None
    formula: str
    outcome: float | None
    held: bool | None


class KeptForecastsRead(BaseModel):
    """All forecasts of a campaign, the newest first."""

    data: list[KeptForecastRead]


class AlertCreate(schemas.Request):
    """A figure to watch: a KPI of the campaign's objective, or `inflation`, `held_share`, `open_cases`,
    `silent_token_hours` (whole hours since the last scan of the active code that is silent for longest, at most 720).
    """

    watch: str = Field(max_length=60)
    comparison: Comparison
    value: schemas.Number = Field(ge=0, le=schemas.MAX_INT)


class AlertThresholdRead(BaseModel):
    """A threshold. `now`: the figure as it stands, null where nothing measures it; `raised_at`: while it is crossed."""

    id: str
    campaign_id: str
    watch: str
    comparison: Comparison
    value: float
    now: float | None
    raised_at: datetime | None
    created_at: datetime


class AlertsRead(BaseModel):
    """The thresholds of a campaign, the oldest first."""

    data: list[AlertThresholdRead]


class RaisedAlertRead(BaseModel):
    """A threshold that was crossed: what was found when; `over_at` since it is back."""

    id: str
    campaign_id: str
    alert_id: str
    watch: str
    comparison: Comparison
    threshold: float
    found: float
    raised_at: datetime
    over_at: datetime | None


FORMULAS = {"progress": "progress/1", "expected_by_now": "expected/1", "forecast": "forecast/1"}


@router.get("/campaigns/{campaign_id}/targets", dependencies=[may(Right.FIGURES_READ)], response_model=TargetsRead)
def read_targets(campaign_id: str, actor: Actor, core: Core, now: Now, tags: Tagged) -> TargetsRead | Response:
    """A campaign's targets with what there is now, how far that is, what is to be expected by now, and the forecast.

    The forecast takes the days that are left to go as the last 28 whole days went, a weekday as its own weekdays from
    fourteen days on; null under seven days, without an end date, before the launch and after the end.
    """
    with core.database.moment() as session:
        campaign = planning.campaign_by_name(session, actor.organisation_id, campaign_id)
        shown = TargetsRead(
            campaign_id=ids.show("cmp", campaign.id),
            state=campaign.state_at(now),
            elapsed=_rounded(stats.part_of_flight(campaign, now)),
            targets=[_target(one) for one in stats.reached(session, campaign, now=now)],
            formulas=FORMULAS,
            as_of=now,
        )
    return tags.changing(shown, "as_of")


@router.get("/campaigns/{campaign_id}/forecasts", dependencies=[may(Right.FIGURES_READ)])
def list_forecasts(
    campaign_id: str, actor: Actor, session: ReadSession, now: Now, kpi: _KPI = None
) -> KeptForecastsRead:
    """What was forecast of each target on each day, newest first, and once the flight is over what came of it."""
    campaign = planning.campaign_by_name(session, actor.organisation_id, campaign_id)
    targets = {one.target.kpi: one for one in stats.reached(session, campaign, now=now)}
    if kpi is not None and kpi not in targets:
        raise Invalid(f"The targets of this campaign are {', '.join(targets)}.", pointer="/kpi")
    is_over = campaign.state_at(now) is planning.State.ENDED
    kept = stats.forecasts_of(session, campaign.id, kpi=kpi)
    return KeptForecastsRead(data=[_kept(one, targets[one.kpi].value if is_over else None) for one in kept])


@router.post("/campaigns/{campaign_id}/alerts", dependencies=[may(Right.CAMPAIGNS_WRITE)], status_code=201)
def create_alert(campaign_id: str, body: AlertCreate, actor: Actor, session: Session, now: Now) -> AlertThresholdRead:
    """Watch a figure. When it goes `above` or `below` the value, an alert is raised: once, within a minute or two, as
    the event `alert.raised` to webhooks, in `GET .../alerts/raised` and at the console.

    It is raised again only after the figure was back; a ratio by a twentieth of the value. 422 for an unknown figure,
    with those there are, and for a value that would never be crossed; 409 for the same threshold twice.
    """
    campaign = planning.campaign_by_name(session, actor.organisation_id, campaign_id)
    made = stats.set_threshold(
        session, campaign, watched=body.watch, comparison=body.comparison, value=body.value, now=now
    )
    return _threshold(made, stats.figures_of(session, campaign, {made.watched}, now=now))


@router.get("/campaigns/{campaign_id}/alerts", dependencies=[may(Right.FIGURES_READ)])
def list_alert_thresholds(campaign_id: str, actor: Actor, session: ReadSession, now: Now) -> AlertsRead:
    """The thresholds of a campaign, each with its figure as it stands and whether it is crossed."""
    campaign = planning.campaign_by_name(session, actor.organisation_id, campaign_id)
    return _thresholds(session, campaign, now)


@router.get("/campaigns/{campaign_id}/alerts/raised", dependencies=[may(Right.FIGURES_READ)])
def list_raised_alerts(
    campaign_id: str,
    actor: Actor,
    session: ReadSession,
    open: Annotated[bool | None, Query(description="true: those that are not over; false: those that are")] = None,
    limit: Limit = 25,
    cursor: Cursor = None,
) -> Page:
    """Alerts that thresholds of a campaign raised, newest first; they stay when a threshold is removed."""
    campaign = planning.campaign_by_name(session, actor.organisation_id, campaign_id)
    rows = stats.list_raised(
        session,
        actor.organisation_id,
        campaign_ids=[campaign.id],
        is_open=open,
        before=before(cursor),
        limit=limit + 1,
    )
    return page(rows, limit, _raised, lambda one: one.id)


@router.delete("/campaigns/{campaign_id}/alerts/{alert_id}", dependencies=[may(Right.CAMPAIGNS_WRITE)], status_code=204)
def remove_alert(campaign_id: str, alert_id: str, actor: Actor, session: Session, now: Now) -> Response:
    """Watch a figure no longer. What was raised stays in the list, and is over."""
    campaign = planning.campaign_by_name(session, actor.organisation_id, campaign_id)
    stats.remove_threshold(session, campaign, ids.parse("alt", alert_id), now=now)
    return Response(status_code=204)


def _target(one: TargetStanding) -> TargetStandingRead:
    return TargetStandingRead(
        kpi=one.target.kpi,
        target=one.target.value,
        locked_at=one.target.locked_at,
        value=one.value,
        progress=_rounded(one.progress),
        reached=one.is_reached,
        expected_by_now=_rounded(one.expected),
        on_course=one.is_on_course,
        forecast=_forecast(one.kept),
        forecast_reason=one.reason,
    )


def _forecast(kept: TargetForecast | None) -> ForecastRead | None:
    if kept is None or kept.forecast is None or kept.low is None or kept.high is None:
        return None
    low, high = round(kept.low, 4), round(kept.high, 4)
    return ForecastRead(value=round(kept.forecast, 4), low=low, high=high, made_at=kept.made_at, formula=kept.formula)


def _kept(one: TargetForecast, outcome: float | None) -> KeptForecastRead:
    is_told = outcome is not None and one.low is not None and one.high is not None
    return KeptForecastRead(
        day=stats.date_of(one.day).isoformat(),
        target=one.wanted,
        forecast=_rounded(one.forecast),
        low=_rounded(one.low),
        high=_rounded(one.high),
        outcome=outcome,
        held=one.low <= outcome <= one.high if is_told else None,  # type: ignore[operator]  # `is_told` looked
        **one.model_dump(include={"kpi", "made_at", "value", "reason", "formula"}),
    )


def _thresholds(session: DbSession, campaign: Campaign, now: datetime) -> AlertsRead:
    rows = stats.list_thresholds(session, campaign.id)
    figures = stats.figures_of(session, campaign, {one.watched for one in rows}, now=now)
    return AlertsRead(data=[_threshold(one, figures) for one in rows])


def _threshold(one: AlertThreshold, figures: dict[str, float | None]) -> AlertThresholdRead:
    return AlertThresholdRead(
        id=ids.show("alt", one.id),
        campaign_id=ids.show("cmp", one.campaign_id),
        watch=one.watched,
        comparison=Comparison(one.comparison),
        now=figures[one.watched],
        **one.model_dump(include={"value", "raised_at", "created_at"}),
    )


def _raised(one: RaisedAlert) -> RaisedAlertRead:
    return RaisedAlertRead(
        id=ids.show("ral", one.id),
        campaign_id=ids.show("cmp", one.campaign_id),
        alert_id=ids.show("alt", one.threshold_id),
        watch=one.watched,
        comparison=Comparison(one.comparison),
        **one.model_dump(include={"threshold", "found", "raised_at", "over_at"}),
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
