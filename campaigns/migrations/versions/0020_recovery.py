"""Recovery codes, the tries at them, further keys of a participant, and the names that were merged into one

Revision: 0020, after 0019
"""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "participant_keys",
        sa.Column("secret_hash", AutoString(), nullable=False),
        sa.Column("participant_id", sa.Uuid(), nullable=False),
        sa.Column("issued_at", UTCDateTime(), nullable=False),
        _participant("participant_keys"),
        sa.PrimaryKeyConstraint("secret_hash", name=op.f("pk_participant_keys")),
    )
    op.create_table(
        "recovery_codes",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("participant_id", sa.Uuid(), nullable=False),
        sa.Column("code_hash", AutoString(), nullable=False),
        sa.Column("issued_at", UTCDateTime(), nullable=False),
        sa.Column("ended_at", UTCDateTime(), nullable=True),
        sa.Column("ended_by", AutoString(), nullable=True),
        _participant("recovery_codes"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recovery_codes")),
        sa.UniqueConstraint("code_hash", name=op.f("uq_recovery_codes_code_hash")),
    )
    is_open = sa.text("ended_at IS NULL")
    op.create_index(
        "uq_recovery_codes_open",
        "recovery_codes",
        ["participant_id"],
        unique=True,
        sqlite_where=is_open,
        postgresql_where=is_open,
    )
    op.create_table(
        "recovery_tries",
        sa.Column("sender_key", sa.BigInteger(), nullable=False),
        sa.Column("hour", sa.Integer(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("sender_key", "hour", name=op.f("pk_recovery_tries")),
    )
    op.create_table(
        "merged_people",
        sa.Column("former_id", sa.Uuid(), nullable=False),
        sa.Column("participant_id", sa.Uuid(), nullable=False),
        sa.Column("merged_at", UTCDateTime(), nullable=False),
        _participant("merged_people"),
        sa.PrimaryKeyConstraint("former_id", name=op.f("pk_merged_people")),
    )
    for table in ("participant_keys", "recovery_codes", "merged_people"):
        op.create_index(op.f(f"ix_{table}_participant_id"), table, ["participant_id"])


def _participant(table: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_participant_id_participants")
    return sa.ForeignKeyConstraint(["participant_id"], ["participants.id"], name=name)
