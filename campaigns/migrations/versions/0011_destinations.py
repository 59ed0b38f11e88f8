"""Rules for where codes lead, their states and history, and the hosts an organisation verified

Revision: 0011, after 0010
"""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import UTCDateTime

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("organisations", sa.Column("verified_hosts", sa.JSON(), nullable=True))
    for table in ("campaigns", "tokens"):
        op.add_column(table, sa.Column("rules", sa.JSON(), nullable=True))
        op.add_column(table, sa.Column("utm", sa.JSON(), nullable=True))
    for flag in ("pass_scan_id", "continue_page"):
        op.add_column("tokens", sa.Column(flag, sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("tokens", sa.Column("expires_at", UTCDateTime(), nullable=True))
    # A reference can join a SQLite table only together with its column.
    successor = sa.ForeignKey("tokens.id", name=op.f("fk_tokens_replaced_by_id_tokens"))
    op.add_column("tokens", sa.Column("replaced_by_id", sa.Uuid(), successor, nullable=True), inline_references=True)
    op.create_table(
        "token_changes",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("token_id", sa.Uuid(), nullable=False),
        sa.Column("changed_at", UTCDateTime(), nullable=False),
        sa.Column("changed_by", sa.Uuid(), nullable=True),
        sa.Column("what", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["token_id"], ["tokens.id"], name=op.f("fk_token_changes_token_id_tokens")),
        sa.ForeignKeyConstraint(["changed_by"], ["api_keys.id"], name=op.f("fk_token_changes_changed_by_api_keys")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_token_changes")),
    )
    op.create_index("ix_token_changes_token_id_id", "token_changes", ["token_id", "id"], unique=False)
