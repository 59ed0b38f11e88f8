"""Paper cards, and what the staff of a place record for who has no phone

Revision: 0026, after 0025
"""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("token_batches", sa.Column("purpose", AutoString(), nullable=True))
    op.add_column("check_ins", sa.Column("by_staff", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_table(
        "cards",
        sa.Column("token_id", sa.Uuid(), nullable=False),
        sa.Column("participant_id", sa.Uuid(), nullable=False),
        sa.Column("first_used_at", UTCDateTime(), nullable=False),
        *(_reference("cards", one) for one in ("token", "participant")),
        sa.PrimaryKeyConstraint("token_id", name=op.f("pk_cards")),
    )
    op.create_index(op.f("ix_cards_participant_id"), "cards", ["participant_id"])
    op.create_table(
        "staff_records",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("place_id", sa.Uuid(), nullable=False),
        sa.Column("participant_id", sa.Uuid(), nullable=False),
        sa.Column("act", AutoString(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=True),
        sa.Column("outcome", AutoString(), nullable=False),
        sa.Column("phase", AutoString(), nullable=False),
        sa.Column("client_id", AutoString(), nullable=False),
        sa.Column("recorded_at", UTCDateTime(), nullable=False),
        *(_reference("staff_records", one) for one in ("campaign", "place", "participant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_staff_records")),
        sa.UniqueConstraint("place_id", "client_id", name=op.f("uq_staff_records_place_id_client_id")),
    )
    op.create_index("ix_staff_records_campaign_id_place_id", "staff_records", ["campaign_id", "place_id"])
    op.create_index(op.f("ix_staff_records_participant_id"), "staff_records", ["participant_id"])
    op.create_table(
        "staff_hours",
        sa.Column("staff_session_id", sa.Uuid(), nullable=False),
        sa.Column("hour", sa.Integer(), nullable=False),
        sa.Column("kind", AutoString(), nullable=False),
        sa.Column("acts", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("staff_session_id", "hour", "kind", name=op.f("pk_staff_hours")),
    )


def _reference(table: str, target: str) -> sa.ForeignKeyConstraint:
    column = f"{target}_id"
    return sa.ForeignKeyConstraint([column], [f"{target}s.id"], name=op.f(f"fk_{table}_{column}_{target}s"))
