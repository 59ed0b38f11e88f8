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
_IS_AGAIN: dict[str, Any] = {
    "sqlite_where": sa.text("counted = 1 AND phase = 'live' AND is_first = 0"),
    "postgresql_where": sa.text("counted AND phase = 'live' AND NOT is_first"),
}
_CAME_BEFORE = """
UPDATE check_ins SET came_before_at = (
  SELECT max(before.checked_in_at) FROM check_ins AS before WHERE before.participant_id = check_ins.participant_id
  AND before.campaign_id = check_ins.campaign_id AND before.phase = 'live' AND before.counted
  AND before.id < check_ins.id) WHERE counted AND phase = 'live' AND NOT is_first
"""


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
    op.add_column("check_ins", sa.Column("came_before_at", UTCDateTime(), nullable=True))
    op.execute(_CAME_BEFORE)
    for name in ("again", "late", "public"):
        op.drop_index(f"ix_check_ins_{name}", "check_ins")
    for name, columns in (
        ("public", ["id", "is_late", "is_first"]),
        ("public_place", ["place_id", "id", "participant_id", "is_late"]),
        ("public_token", ["token_id", "id", "participant_id", "is_late"]),
    ):
        op.create_index(f"ix_check_ins_{name}", "check_ins", ["campaign_id", *columns], **_IS_PUBLIC)
    op.create_index("ix_check_ins_again", "check_ins", ["campaign_id", "id", "came_before_at"], **_IS_AGAIN)
