"""Forecasts of targets, thresholds and the alerts they raise, and frozen reports

Revision: 0044, after 0043
"""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

revision = "0044"
down_revision = "0043"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "target_forecasts",
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("kpi", AutoString(), nullable=False),
        sa.Column("made_at", UTCDateTime(), nullable=False),
        sa.Column("wanted", sa.Float(), nullable=False),
        *(sa.Column(name, sa.Float(), nullable=True) for name in ("value", "forecast", "low", "high")),
        sa.Column("reason", AutoString(), nullable=True),
        sa.Column("formula", AutoString(), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaigns.id"], name=op.f("fk_target_forecasts_campaign_id_campaigns")
        ),
        sa.PrimaryKeyConstraint("campaign_id", "day", "kpi", name=op.f("pk_target_forecasts")),
    )
    op.create_table(
        "alert_thresholds",
        *_own("alert_thresholds"),
        sa.Column("watched", AutoString(), nullable=False),
        sa.Column("comparison", AutoString(), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("raised_at", UTCDateTime(), nullable=True),
        sa.UniqueConstraint(
            *("campaign_id", "watched", "comparison", "value"),
            name=op.f("uq_alert_thresholds_campaign_id_watched_comparison_value"),
        ),
    )
    op.create_table(
        "raised_alerts",
        *_own("raised_alerts"),
        sa.Column("threshold_id", sa.Uuid(), nullable=False),
        sa.Column("watched", AutoString(), nullable=False),
        sa.Column("comparison", AutoString(), nullable=False),
        sa.Column("threshold", sa.Float(), nullable=False),
        sa.Column("found", sa.Float(), nullable=False),
        sa.Column("raised_at", UTCDateTime(), nullable=False),
        sa.Column("over_at", UTCDateTime(), nullable=True),
    )
    op.create_index("ix_raised_alerts_organisation_id_id", "raised_alerts", ["organisation_id", "id"])
    op.create_index("ix_raised_alerts_campaign_id_id", "raised_alerts", ["campaign_id", "id"])
    op.create_index(op.f("ix_raised_alerts_threshold_id"), "raised_alerts", ["threshold_id"])
    op.create_table(
        "reports",
        *_own("reports"),
        sa.Column("inputs", AutoString(), nullable=False),
        sa.Column("sha256", AutoString(), nullable=False),
        sa.Column("made_at", UTCDateTime(), nullable=False),
        sa.Column("made_by_kind", AutoString(), nullable=False),
        sa.Column("made_by_id", sa.Uuid(), nullable=True),
    )
    op.create_index("ix_reports_campaign_id_id", "reports", ["campaign_id", "id"])


def _own(table: str) -> tuple[sa.Column[object] | sa.Constraint, ...]:
    """The id of a row, and whose it is."""
    return (
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name=op.f(f"fk_{table}_organisation_id_organisations")
        ),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=op.f(f"fk_{table}_campaign_id_campaigns")),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{table}")),
    )
