"""Coarse places: the cell of a position, and the country and city of a scan's address

Revision: 0002, after 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("scan_positions", sa.Column("cell", AutoString(), nullable=True))
    op.add_column("scans", sa.Column("country", AutoString(), nullable=True))
    op.add_column("scans", sa.Column("city", AutoString(), nullable=True))
