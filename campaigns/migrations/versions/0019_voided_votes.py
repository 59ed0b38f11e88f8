"""Ballots and votes that were voided, and an index of these few votes

Revision: 0019, after 0018
"""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("ballots", sa.Column("is_void", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("votes", sa.Column("void_reason", AutoString(), nullable=True))
    voided = sa.text("void_reason IS NOT NULL")
    op.create_index("ix_votes_voided", "votes", ["round_id"], sqlite_where=voided, postgresql_where=voided)
