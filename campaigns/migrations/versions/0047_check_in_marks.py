"""Marks among check-ins, so that nobody counts them all again, shares of many people, and indexes by place and code

Revision: 0047, after 0046
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

revision = "0047"
down_revision = "0046"
branch_labels = None
depends_on = None

_IS_PUBLIC: dict[str, Any] = {
    "sqlite_where": sa.text("counted = 1 AND phase = 'live'"),
    "postgresql_where": sa.text("counted AND phase = 'live'"),
}


def upgrade() -> None:
    op.create_table(
        "check_in_marks",
        sa.Column("campaign_id", sa.Uuid(), sa.ForeignKey("campaigns.id"), nullable=False),
        sa.Column("check_in_id", sa.Uuid(), nullable=False),
        sa.Column("check_ins", sa.Integer(), nullable=False),
        sa.Column("late", sa.Integer(), nullable=False),
        sa.Column("firsts", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("campaign_id", "check_in_id"),
    )
    op.create_table(
        "whole_figures",
        sa.Column("campaign_id", sa.Uuid(), sa.ForeignKey("campaigns.id"), nullable=False),
        sa.Column("bridge_rate", sa.Float(), nullable=True),
        sa.Column("insider_share", sa.Float(), nullable=True),
        sa.Column("stands_at", AutoString(), nullable=False),
        sa.Column("counted_at", UTCDateTime(), nullable=False),
        sa.Column("as_of", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("campaign_id"),
    )
    for name in ("late", "public"):
        op.drop_index(f"ix_check_ins_{name}", "check_ins")
    for name, columns in (
        ("public", ["id", "is_late", "is_first"]),
        ("public_place", ["place_id", "id", "participant_id", "is_late"]),
        ("public_token", ["token_id", "id", "participant_id", "is_late"]),
    ):
        op.create_index(f"ix_check_ins_{name}", "check_ins", ["campaign_id", *columns], **_IS_PUBLIC)
