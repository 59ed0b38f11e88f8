"""Which check-in is its person's first in a campaign, which came late, and indexes to count them by

Revision: 0046, after 0044
"""

import sqlalchemy as sa
from alembic import op

revision = "0046"
down_revision = "0044"
branch_labels = None
depends_on = None

_FIRST = """
UPDATE check_ins SET is_first = true WHERE counted AND phase = 'live' AND NOT EXISTS (
  SELECT 1 FROM check_ins AS before WHERE before.participant_id = check_ins.participant_id
  AND before.campaign_id = check_ins.campaign_id AND before.phase = 'live' AND before.counted
  AND before.id < check_ins.id)
"""
_LATE = "UPDATE check_ins SET is_late = true WHERE ',' || reasons || ',' LIKE '%,late,%'"


def upgrade() -> None:
    for name in ("is_first", "is_late"):
        op.add_column("check_ins", sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false()))
    op.execute(_FIRST)
    op.execute(_LATE)
    for name, names, sqlite, postgresql in (
        ("public", ("id", "place_id", "token_id"), "counted = 1 AND phase = 'live'", "counted AND phase = 'live'"),
        ("person", ("participant_id",), "counted = 1 AND phase = 'live'", "counted AND phase = 'live'"),
        (
            "again",
            ("id", "participant_id"),
            "counted = 1 AND phase = 'live' AND is_first = 0",
            "counted AND phase = 'live' AND NOT is_first",
        ),
        ("late", ("id",), "is_late = 1", "is_late"),
        ("first", ("checked_in_at", "place_id", "token_id"), "is_first = 1", "is_first"),
        ("first_person", ("participant_id", "checked_in_at"), "is_first = 1", "is_first"),
    ):
        op.create_index(
            f"ix_check_ins_{name}",
            "check_ins",
            ["campaign_id", *names],
            sqlite_where=sa.text(sqlite),
            postgresql_where=sa.text(postgresql),
        )
    op.create_index(
        "ix_participants_team",
        "participants",
        ["organisation_id", "id"],
        sqlite_where=sa.text("cohort = 'employee'"),
        postgresql_where=sa.text("cohort = 'employee'"),
    )
