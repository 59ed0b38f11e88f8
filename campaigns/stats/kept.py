"""What is kept of figures: forecasts of targets, shares of many people, thresholds and their alerts, reports."""

from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from sqlmodel import Field, Index, SQLModel, UniqueConstraint

from campaigns.audit import Audit
from campaigns.planning.models import RATES
from campaigns.storage import Row

# What a threshold may watch beside the KPIs of its campaign.
INFLATION: Final = "inflation"
HELD_SHARE: Final = "held_share"
OPEN_CASES: Final = "open_cases"
SILENT_TOKEN_HOURS: Final = "silent_token_hours"  # noqa: S105  # a code's silence, no password
ALSO_WATCHED: Final = (INFLATION, HELD_SHARE, OPEN_CASES, SILENT_TOKEN_HOURS)
RATIOS: Final = (*RATES, INFLATION, HELD_SHARE)  # everything else is counted


class TargetForecast(SQLModel, table=True):
    """What was expected of a target on a civil day of its campaign, as it was reckoned then. Never changed.

    `reason` says why there is no forecast; `value` is what there was when it was made.
    """

    __tablename__ = "target_forecasts"

    campaign_id: UUID = Field(primary_key=True, foreign_key="campaigns.id")
    day: int = Field(primary_key=True, description="civil days since 1970")
    kpi: str = Field(primary_key=True)
    made_at: datetime
    wanted: float
    value: float | None = None
    forecast: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str | None = None
    formula: str


class WholeFigures(SQLModel, table=True):
    """Shares of a whole campaign with many people, as they were last counted; `as_of` is when they last held.

    `stands_at`: the totals they were counted at. Another text says that an act came or went since.
    """

    __tablename__ = "whole_figures"

    campaign_id: UUID = Field(primary_key=True, foreign_key="campaigns.id")
    bridge_rate: float | None = None
    insider_share: float | None = None
    stands_at: str
    counted_at: datetime
    as_of: datetime


class Comparison(StrEnum):
    """On which side of its value a threshold is crossed."""

    ABOVE = "above"
    BELOW = "below"


class AlertThreshold(Row, table=True):
    """A figure of a campaign that somebody wants to hear of. `raised_at` while it is crossed and not yet back."""

    __tablename__ = "alert_thresholds"
    __audit__ = Audit("alert_threshold", silent=frozenset({"raised_at"}))
    __table_args__ = (UniqueConstraint("campaign_id", "watched", "comparison", "value"),)

    organisation_id: UUID = Field(foreign_key="organisations.id")
    campaign_id: UUID = Field(foreign_key="campaigns.id")
    watched: str
    comparison: str
    value: float
    created_at: datetime
    raised_at: datetime | None = None

    def is_crossed_by(self, found: float) -> bool:
        return found > self.value if self.comparison == Comparison.ABOVE else found < self.value

    def is_back_at(self, found: float) -> bool:
        """Whether a figure has come back so far that a new crossing is news: a ratio by a twentieth of the value."""
        margin = self.value * 0.05 if self.watched in RATIOS else 0.0
        return found <= self.value - margin if self.comparison == Comparison.ABOVE else found >= self.value + margin


class RaisedAlert(Row, table=True):
    """A threshold was crossed: what was found, when, and since when it is over. It outlives its threshold."""

    __tablename__ = "raised_alerts"
    __table_args__ = (
        Index("ix_raised_alerts_organisation_id_id", "organisation_id", "id"),
        Index("ix_raised_alerts_campaign_id_id", "campaign_id", "id"),
    )

    organisation_id: UUID = Field(foreign_key="organisations.id")
    campaign_id: UUID = Field(foreign_key="campaigns.id")
    threshold_id: UUID = Field(index=True, description="which may be gone: no reference")
    watched: str
    comparison: str
    threshold: float
    found: float
    raised_at: datetime
    over_at: datetime | None = None


class Report(Row, table=True):
    """A report of a campaign as it was frozen: its inputs as one canonical JSON text, and the hash of it."""

    __tablename__ = "reports"
    __audit__ = Audit("report", hidden=frozenset({"inputs"}))
    __table_args__ = (Index("ix_reports_campaign_id_id", "campaign_id", "id"),)

    organisation_id: UUID = Field(foreign_key="organisations.id")
    campaign_id: UUID = Field(foreign_key="campaigns.id")
    inputs: str
    sha256: str
    made_at: datetime
    made_by_kind: str
    made_by_id: UUID | None = None
