"""Scans by place, code, channel, medium, device, language and country

Revision: 0042, after 0038
"""

import sqlalchemy as sa
from alembic import op
from sqlmodel import Session
from sqlmodel.sql.sqltypes import AutoString

from campaigns.scans import rollups
from campaigns.scans.rollup_writing import CELL_KEY, DIMENSIONS, KEY

revision = "0042"
down_revision = "0038"
branch_labels = None
depends_on = None

_SUMS = ("valid", "provisional", "held", "invalid", "duplicate", "bot", "confirmed", "verified", "visitors")


def upgrade() -> None:
    op.create_table(
        "scan_rollups",
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        *(sa.Column(name, AutoString(), nullable=False) for name in ("dimension", "span", "phase")),
        sa.Column("period", sa.Integer(), nullable=False),
        *(sa.Column(name, AutoString(), nullable=False) for name in ("value", "other_value")),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in _SUMS),
        sa.PrimaryKeyConstraint(*KEY, name=op.f("pk_scan_rollups")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "rollup_visitors",
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("dimension", AutoString(), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("value", AutoString(), nullable=False),
        sa.Column("visitor_key", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "campaign_id", "dimension", "day", "value", "visitor_key", name=op.f("pk_rollup_visitors")
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "rollup_cells",
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("phase", AutoString(), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        *(sa.Column(name, AutoString(), nullable=False) for name in DIMENSIONS),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in _SUMS[:-1]),
        sa.PrimaryKeyConstraint(*CELL_KEY, name=op.f("pk_rollup_cells")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "rollup_weeks",
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        *(sa.Column(name, AutoString(), nullable=False) for name in ("dimension", "span")),
        sa.Column("period", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("campaign_id", "dimension", "span", "period", name=op.f("pk_rollup_weeks")),
        sqlite_with_rowid=False,
    )
    op.execute("DELETE FROM events WHERE name = 'scans.recorded'")  # what the log has is counted here
    with Session(bind=op.get_bind()) as session:
        rollups.rebuild(session)
