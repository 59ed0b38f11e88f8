"""Reports of codes, and alerts

Revision: 0009, after 0008
"""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_OPEN = sa.text("closed_at IS NULL")


def upgrade() -> None:
    _reports()
    _alerts()


def _reports() -> None:
    op.create_table(
        "code_reports",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=True),
        sa.Column("campaign_id", sa.Uuid(), nullable=True),
        sa.Column("token_id", sa.Uuid(), nullable=False),
        sa.Column("place_id", sa.Uuid(), nullable=True),
        sa.Column("code", AutoString(), nullable=False),
        sa.Column("kind", AutoString(), nullable=False),
        sa.Column("text", AutoString(), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("reporter_key", sa.BigInteger(), nullable=False),
        sa.Column("reported_at", UTCDateTime(), nullable=False),
        sa.Column("handled_at", UTCDateTime(), nullable=True),
        *(_owner("code_reports", one) for one in ("organisation", "campaign", "place")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_code_reports")),
        sa.UniqueConstraint("token_id", "day", "reporter_key", name=op.f("uq_code_reports_token_id_day_reporter_key")),
    )
    op.create_index("ix_code_reports_organisation_id_id", "code_reports", ["organisation_id", "id"], unique=False)
    op.create_index("ix_code_reports_place_id_id", "code_reports", ["place_id", "id"], unique=False)
    op.create_table(
        "code_report_days",
        sa.Column("token_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("reports", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("token_id", "day", name=op.f("pk_code_report_days")),
    )


def _alerts() -> None:
    op.create_table(
        "alerts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("token_id", sa.Uuid(), nullable=False),
        sa.Column("place_id", sa.Uuid(), nullable=False),
        sa.Column("kind", AutoString(), nullable=False),
        sa.Column("since", UTCDateTime(), nullable=False),
        sa.Column("open_days", sa.Integer(), nullable=False),
        sa.Column("expected", sa.Float(), nullable=False),
        sa.Column("seen", sa.Integer(), nullable=False),
        sa.Column("opened_at", UTCDateTime(), nullable=False),
        sa.Column("closed_at", UTCDateTime(), nullable=True),
        *(_owner("alerts", one) for one in ("organisation", "campaign", "token", "place")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alerts")),
    )
    op.create_index(
        "uq_alerts_open", "alerts", ["token_id", "kind"], unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN
    )
    op.create_index("ix_alerts_organisation_id_id", "alerts", ["organisation_id", "id"], unique=False)
    op.create_index("ix_alerts_place_id_id", "alerts", ["place_id", "id"], unique=False)
    op.create_index("ix_alerts_campaign_id", "alerts", ["campaign_id"], unique=False)


def _owner(table: str, one: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([f"{one}_id"], [f"{one}s.id"], name=op.f(f"fk_{table}_{one}_id_{one}s"))
