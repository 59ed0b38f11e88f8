"""Replies to the questions of a mission, and how many there are of each

Revision: 0024, after 0023
"""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "replies",
        *(sa.Column(name, sa.Uuid(), nullable=False) for name in ("id", "mission_id", "step_id", "participant_id")),
        *(sa.Column(name, AutoString(), nullable=False) for name in ("period", "phase", "client_id", "text")),
        sa.Column("value", sa.Integer(), nullable=False),
        sa.Column("language", AutoString(), nullable=False),
        sa.Column("state", AutoString(), nullable=False),
        sa.Column("hidden_rule", AutoString(), nullable=True),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("rules_version_id", sa.Uuid(), nullable=True),
        *(
            sa.ForeignKeyConstraint([f"{one}_id"], [f"{one}s.id"], name=op.f(f"fk_replies_{one}_id_{one}s"))
            for one in ("mission", "step", "participant")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_replies")),
        sa.UniqueConstraint("participant_id", "client_id", name=op.f("uq_replies_participant_id_client_id")),
        sa.CheckConstraint("value BETWEEN 0 AND 12", name=op.f("ck_replies_value")),
    )
    for column in ("step_id", "mission_id"):
        op.create_index(f"ix_replies_{column}_id", "replies", [column, "id"])
    op.create_index(
        "uq_replies_standing",
        "replies",
        ["step_id", "participant_id", "period", "phase"],
        unique=True,
        sqlite_where=sa.text("state <> 'erased'"),
        postgresql_where=sa.text("state <> 'erased'"),
    )
    op.create_table(
        "reply_counters",
        sa.Column("step_id", sa.Uuid(), nullable=False),
        sa.Column("phase", AutoString(), nullable=False),
        sa.Column("value", sa.Integer(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("erased", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["step_id"], ["steps.id"], name=op.f("fk_reply_counters_step_id_steps")),
        sa.PrimaryKeyConstraint("step_id", "phase", "value", name=op.f("pk_reply_counters")),
    )
