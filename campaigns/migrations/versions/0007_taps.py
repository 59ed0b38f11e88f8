"""The taps that spent a counter, and keys that a batch of tags shares

Revision: 0007, after 0006
"""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sun_tags", sa.Column("diversifier", AutoString(), nullable=True))
    op.create_table(
        "spent_taps",
        sa.Column("token_id", sa.Uuid(), nullable=False),
        sa.Column("counter", sa.Integer(), nullable=False),
        sa.Column("scan_id", sa.Uuid(), nullable=False),
        sa.Column("visitor_key", sa.BigInteger(), nullable=False),
        sa.Column("tapped_at", UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["token_id"], ["tokens.id"], name=op.f("fk_spent_taps_token_id_tokens")),
        sa.PrimaryKeyConstraint("token_id", "counter", name=op.f("pk_spent_taps")),
    )
    op.create_index(op.f("ix_spent_taps_tapped_at"), "spent_taps", ["tapped_at"])
    op.create_table(
        "mirror_counters",
        sa.Column("token_id", sa.Uuid(), nullable=False),
        sa.Column("uid", AutoString(), nullable=False),
        sa.Column("last_counter", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["token_id"], ["tokens.id"], name=op.f("fk_mirror_counters_token_id_tokens")),
        sa.PrimaryKeyConstraint("token_id", "uid", name=op.f("pk_mirror_counters")),
    )
    op.create_table(
        "tag_key_sets",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("label", AutoString(), nullable=False),
        sa.Column("sealed_keys", sa.LargeBinary(), nullable=False),
        sa.Column("mode", AutoString(), nullable=False),
        sa.Column("mac_input", AutoString(), nullable=False),
        sa.Column("diversifier", AutoString(), nullable=True),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name=op.f("fk_tag_key_sets_organisation_id_organisations")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tag_key_sets")),
    )
    op.create_index(op.f("ix_tag_key_sets_organisation_id"), "tag_key_sets", ["organisation_id"])
