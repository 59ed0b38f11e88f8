"""Targets of a campaign: what there is by now, how far that is, what is expected of the end, and what was, day by day.

What there is now comes from counters and rollups, of live acts only. The worker makes one forecast a target and civil
day and keeps it: afterwards one sees what was forecast when, beside what came.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlmodel import Session, col, select

from campaigns import clock, planning
from campaigns.planning import Campaign, State, Target
from campaigns.planning.models import RATES
from campaigns.stats import forecast, kpis
from campaigns.stats.kept import TargetForecast
from campaigns.stats.service import start_of
from campaigns.storage import insert_once

PROGRESS: Final = "progress/1"
EXPECTED: Final = "expected/1"
CAMPAIGNS_A_ROUND: Final = 20  # whose forecasts are made at a time

# Why there is no forecast.
NOT_BEGUN, ENDED, NO_END, TOO_EARLY = "not_begun", "ended", "no_end_date", "under_7_days"
NOT_MEASURED, TOO_FEW, NOT_YET = "not_measured", "under_5", "not_made_yet"


@dataclass(frozen=True)
class TargetStanding:
    """A target and where it stands. Shares are 0 to 1 and may go beyond; None where there is nothing to say.

    `kept` is the newest forecast, made on an earlier or on this day; `reason` why there is none.
    """

    target: Target
    value: float | None
    progress: float | None
    expected: float | None
    kept: TargetForecast | None
    reason: str | None

    @property
    def is_reached(self) -> bool:
        return self.value is not None and self.value >= self.target.value

    @property
    def is_on_course(self) -> bool | None:
        """Whether it has what is to be expected by now; None where nobody can say."""
        if self.value is None or self.expected is None:
            return None
        return self.value >= self.expected


class Made(NamedTuple):
    """A forecast of today, or why there is none."""

    target: Target
    value: float | None
    forecast: forecast.Forecast | None
    reason: str | None


def reached(session: Session, campaign: Campaign, *, now: datetime) -> list[TargetStanding]:
    """Where each target stands, in the order they were named."""
    targets = planning.list_targets(session, campaign.id)
    values = kpis.values_of(session, campaign, [one.kpi for one in targets], now=now)
    newest = _newest(session, campaign.id)
    return [_reached(campaign, one, values[one.kpi].number, newest.get(one.kpi), now) for one in targets]


def part_of_flight(campaign: Campaign, now: datetime) -> float | None:
    """How much of the flight is over, 0 to 1; None while it has not begun, and without an end."""
    begin, end = flight_of(campaign)
    if begin is None or end is None or end <= begin:
        return None
    return min(1.0, max(0.0, (now - begin) / (end - begin)))


def flight_of(campaign: Campaign) -> tuple[datetime | None, datetime | None]:
    """When acts began to count, and when they end to: planned, or as it came."""
    if campaign.launched_at is None:
        return None, campaign.ends_at
    ends = [one for one in (campaign.ends_at, campaign.ended_at) if one is not None]
    return max(filter(None, (campaign.launched_at, campaign.starts_at))), min(ends, default=None)


def forecasts_of(session: Session, campaign_id: UUID, *, kpi: str | None = None) -> Sequence[TargetForecast]:
    """All that was forecast, the newest first."""
    query = select(TargetForecast).where(TargetForecast.campaign_id == campaign_id)
    if kpi is not None:
        query = query.where(TargetForecast.kpi == kpi)
    return session.exec(query.order_by(col(TargetForecast.day).desc(), col(TargetForecast.kpi))).all()


def due(session: Session, *, now: datetime) -> list[Campaign]:
    """Campaigns in their flight that have no forecast of their civil day yet, some of them."""
    found = []
    for campaign in session.exec(select(Campaign).where(Campaign.state == State.LIVE).order_by(col(Campaign.id))):
        if campaign.state_at(now) is State.LIVE and not _is_made(session, campaign, now):
            found.append(campaign)
            if len(found) == CAMPAIGNS_A_ROUND:
                break
    return found


def make(session: Session, campaign: Campaign, *, now: datetime) -> list[Made]:
    """What is forecast of each target of a campaign in its flight. Reads only."""
    targets = planning.list_targets(session, campaign.id)
    values = kpis.values_of(session, campaign, [one.kpi for one in targets], now=now)
    return [_made(session, campaign, one, values[one.kpi], now) for one in targets]


def keep(session: Session, campaign: Campaign, made: Sequence[Made], *, now: datetime) -> None:
    """Keep the forecasts of a day; those that another worker kept first stand."""
    for one in made:
        told = one.forecast
        insert_once(
            session,
            TargetForecast,
            campaign_id=campaign.id,
            kpi=one.target.kpi,
            day=_today(campaign, now),
            made_at=now,
            wanted=one.target.value,
            value=one.value,
            forecast=told.value if told else None,
            low=told.low if told else None,
            high=told.high if told else None,
            reason=one.reason,
            formula=forecast.FORMULA,
        )


def _reached(
    campaign: Campaign, target: Target, value: float | None, kept: TargetForecast | None, now: datetime
) -> TargetStanding:
    part = part_of_flight(campaign, now)
    expected = None if part is None else target.value * (1.0 if target.kpi in RATES else part)
    progress = None if value is None else value / target.value
    reason = _silence(campaign, target.kpi, value, now) or (kept.reason if kept else NOT_YET)
    return TargetStanding(target, value, progress, expected, None if reason else kept, reason)


def _made(session: Session, campaign: Campaign, target: Target, value: kpis.Value, now: datetime) -> Made:
    reason = _silence(campaign, target.kpi, value.number, now)
    if reason is not None:
        return Made(target, value.number, None, reason)
    if target.kpi in RATES:
        held = forecast.of_rate(value.hits, value.of)
        return Made(target, value.number, held, None if held else TOO_FEW)
    days = kpis.by_day(session, campaign, target.kpi, *_whole_days(campaign, now))
    told = forecast.of_count(days, list(_left(campaign, now)), weekday=_weekday(campaign, now), done=value.number or 0)
    return Made(target, value.number, told, None if told else TOO_EARLY)


def _silence(campaign: Campaign, kpi: str, value: float | None, now: datetime) -> str | None:
    """Why nothing can be forecast at all, whatever the days were like."""
    state = campaign.state_at(now)
    if state in (State.DRAFT, State.PILOT, State.SCHEDULED):
        return NOT_BEGUN
    if state is State.ENDED:
        return ENDED
    if value is None:
        return TOO_FEW if kpi in RATES else NOT_MEASURED
    return NO_END if campaign.ends_at is None and kpi not in RATES else None


def _whole_days(campaign: Campaign, now: datetime) -> tuple[int, int]:
    """The civil days, since 1970, that the flight had whole: the last 28 of them; the second is not included."""
    begin, _ = flight_of(campaign)
    today = _today(campaign, now)
    first = today if begin is None else _day(campaign, begin) + (begin > start_of(campaign, _day(campaign, begin)))
    return max(first, today - forecast.MOST_DAYS), today


def _left(campaign: Campaign, now: datetime) -> Iterator[float]:
    """The part of each coming day, from today on, that lies in the flight and is still to come."""
    assert campaign.ends_at is not None  # noqa: S101  # `_silence` looked
    day = _today(campaign, now)
    while (begin := start_of(campaign, day)) < campaign.ends_at:
        end = start_of(campaign, day + 1)
        yield max(0.0, (min(end, campaign.ends_at) - max(begin, now)) / (end - begin))
        day += 1


def _is_made(session: Session, campaign: Campaign, now: datetime) -> bool:
    mine = (TargetForecast.campaign_id == campaign.id, TargetForecast.day == _today(campaign, now))
    return session.exec(select(TargetForecast.kpi).where(*mine).limit(1)).first() is not None


def _newest(session: Session, campaign_id: UUID) -> dict[str, TargetForecast]:
    latest = select(TargetForecast.day).where(TargetForecast.campaign_id == campaign_id)
    day = session.exec(latest.order_by(col(TargetForecast.day).desc()).limit(1)).first()
    mine: Any = (TargetForecast.campaign_id == campaign_id, TargetForecast.day == day)
    return {one.kpi: one for one in session.exec(select(TargetForecast).where(*mine))} if day is not None else {}


def _today(campaign: Campaign, now: datetime) -> int:
    return _day(campaign, now)


def _day(campaign: Campaign, instant: datetime) -> int:
    return (clock.civil_day(instant, campaign.time_zone) - clock.EPOCH.date()).days


def _weekday(campaign: Campaign, now: datetime) -> int:
    return clock.civil_day(now, campaign.time_zone).weekday()
