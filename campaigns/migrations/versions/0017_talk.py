"""Flags of contributions, what moderators did about them

Revision: 0017, after 0015
"""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

from campaigns.migrations.triggers import grow_only

revision = "0017"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("ideas", sa.Column("hidden_rule", AutoString(), nullable=True))
    _flags()
    _moderation()


def _flags() -> None:
    op.create_table(
        "flags",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("participant_id", sa.Uuid(), nullable=True),
        sa.Column("day", sa.Integer(), nullable=True),
        sa.Column("reporter_key", sa.BigInteger(), nullable=True),
        sa.Column("kind", AutoString(), nullable=False),
        sa.Column("text", AutoString(), nullable=False),
        sa.Column("flagged_at", UTCDateTime(), nullable=False),
        _reference("flags", "participant_id", "participants"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_flags")),
        sa.UniqueConstraint("subject_id", "participant_id", name=op.f("uq_flags_subject_id_participant_id")),
        sa.UniqueConstraint("subject_id", "day", "reporter_key", name=op.f("uq_flags_subject_id_day_reporter_key")),
    )
    op.create_index("ix_flags_participant_id", "flags", ["participant_id"], unique=False)
    op.create_table(
        "flagged_subjects",
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("subject_kind", AutoString(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("mission_id", sa.Uuid(), nullable=False),
        sa.Column("flags", sa.Integer(), nullable=False),
        sa.Column("open_flags", sa.Integer(), nullable=False),
        _reference("flagged_subjects", "organisation_id", "organisations"),
        _reference("flagged_subjects", "mission_id", "missions"),
        sa.PrimaryKeyConstraint("subject_id", name=op.f("pk_flagged_subjects")),
    )
    op.create_index("ix_flagged_subjects_queue", "flagged_subjects", ["organisation_id", "open_flags"], unique=False)


def _moderation() -> None:
    op.create_table(
        "moderation_acts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("mission_id", sa.Uuid(), nullable=False),
        sa.Column("phase", AutoString(), nullable=False),
        sa.Column("subject_kind", AutoString(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("act", AutoString(), nullable=False),
        sa.Column("rule", AutoString(), nullable=True),
        sa.Column("reason", AutoString(), nullable=False),
        sa.Column("state_before", AutoString(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("acted_at", UTCDateTime(), nullable=False),
        _reference("moderation_acts", "organisation_id", "organisations"),
        _reference("moderation_acts", "mission_id", "missions"),
        _reference("moderation_acts", "member_id", "members"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_moderation_acts")),
    )
    for column in ("subject_id", "mission_id"):
        op.create_index(f"ix_moderation_acts_{column}_id", "moderation_acts", [column, "id"], unique=False)
    grow_only("moderation_acts")


def _reference(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{target}.id"], name=op.f(f"fk_{table}_{column}_{target}"))
