"""The text of a public ledger's lines, and the transfers that wait to become one

Revision: 0034, after 0033
"""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

from campaigns.migrations import triggers

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_table("ledger_lines")  # nothing had filled it yet; its triggers go with it
    if op.get_bind().dialect.name != "sqlite":
        op.execute("DROP FUNCTION ledger_lines_only_grows()")
    op.create_table(
        "ledger_lines",
        sa.Column("mission_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("transfer_id", sa.Uuid(), nullable=False),
        sa.Column("text", AutoString(), nullable=False),
        sa.Column("hash", AutoString(), nullable=False),
        sa.Column("chained_at", UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["mission_id"], ["missions.id"], name=op.f("fk_ledger_lines_mission_id_missions")),
        sa.ForeignKeyConstraint(["transfer_id"], ["transfers.id"], name=op.f("fk_ledger_lines_transfer_id_transfers")),
        sa.PrimaryKeyConstraint("mission_id", "number", name=op.f("pk_ledger_lines")),
        sa.UniqueConstraint("transfer_id", name=op.f("uq_ledger_lines_transfer_id")),
    )
    triggers.grow_only("ledger_lines")
    op.create_table(
        "unchained_transfers",
        sa.Column("transfer_id", sa.Uuid(), nullable=False),
        sa.Column("is_reversal", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["transfer_id"], ["transfers.id"], name=op.f("fk_unchained_transfers_transfer_id_transfers")
        ),
        sa.PrimaryKeyConstraint("transfer_id", name=op.f("pk_unchained_transfers")),
    )
    op.create_index(
        "ix_unchained_transfers_is_reversal_transfer_id", "unchained_transfers", ["is_reversal", "transfer_id"]
    )
    op.execute(
        "INSERT INTO unchained_transfers (transfer_id, is_reversal) "
        "SELECT id, reverses IS NOT NULL FROM transfers "
        "WHERE mission_id IS NOT NULL AND code IN ('posting', 'payout', 'fee', 'gift')"
    )
