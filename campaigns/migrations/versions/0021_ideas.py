"""What becomes of ideas: decisions with public reasons, merging, edits, and who follows them

Revision: 0021, after 0020
"""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

from campaigns.migrations.triggers import grow_only

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    other = sa.ForeignKey("ideas.id", name=op.f("fk_ideas_merged_into_id_ideas"))
    op.add_column("ideas", sa.Column("edited_at", UTCDateTime(), nullable=True))
    op.add_column("ideas", sa.Column("merged_into_id", sa.Uuid(), other, nullable=True), inline_references=True)
    op.add_column("ideas", sa.Column("followers", sa.Integer(), server_default="0", nullable=False))
    op.create_index(op.f("ix_ideas_merged_into_id"), "ideas", ["merged_into_id"], unique=False)
    op.create_table(
        "idea_decisions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("mission_id", sa.Uuid(), nullable=False),
        sa.Column("idea_id", sa.Uuid(), nullable=False),
        sa.Column("state", AutoString(), nullable=False),
        sa.Column("state_before", AutoString(), nullable=False),
        sa.Column("merged_into_id", sa.Uuid(), nullable=True),
        sa.Column("reason", AutoString(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=True),
        sa.Column("key_id", sa.Uuid(), nullable=True),
        sa.Column("decided_at", UTCDateTime(), nullable=False),
        sa.CheckConstraint("(member_id IS NULL) <> (key_id IS NULL)", name=op.f("ck_idea_decisions_decider")),
        sa.CheckConstraint("merged_into_id IS NULL OR state = 'merged'", name=op.f("ck_idea_decisions_merged")),
        *(
            _reference("idea_decisions", column, target)
            for column, target in (
                ("organisation_id", "organisations"),
                ("mission_id", "missions"),
                ("idea_id", "ideas"),
                ("merged_into_id", "ideas"),
                ("member_id", "members"),
                ("key_id", "api_keys"),
            )
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_idea_decisions")),
    )
    op.create_index("ix_idea_decisions_idea_id_id", "idea_decisions", ["idea_id", "id"], unique=False)
    grow_only("idea_decisions")
    op.create_table(
        "idea_follows",
        sa.Column("idea_id", sa.Uuid(), nullable=False),
        sa.Column("participant_id", sa.Uuid(), nullable=False),
        sa.Column("followed_at", UTCDateTime(), nullable=False),
        _reference("idea_follows", "idea_id", "ideas"),
        _reference("idea_follows", "participant_id", "participants"),
        sa.PrimaryKeyConstraint("idea_id", "participant_id", name=op.f("pk_idea_follows")),
    )
    op.create_index(op.f("ix_idea_follows_participant_id"), "idea_follows", ["participant_id"], unique=False)


def _reference(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{target}.id"], name=op.f(f"fk_{table}_{column}_{target}"))
