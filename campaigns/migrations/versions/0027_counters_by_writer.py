"""Mission counters by writer: acts of two processes no longer wait for one row

Revision: 0027, after 0026
"""

from uuid import UUID

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The table anew: SQLite changes no primary key. It has a handful of rows a mission, and nothing points at it."""
    kept = op.get_bind().execute(sa.text("SELECT mission_id, phase, metric, 0 AS writer, total FROM mission_counters"))
    rows = [dict(row) for row in kept.mappings()]
    op.drop_table("mission_counters")
    table = op.create_table(
        "mission_counters",
        sa.Column("mission_id", sa.Uuid(), nullable=False),
        sa.Column("phase", AutoString(), nullable=False),
        sa.Column("metric", AutoString(), nullable=False),
        sa.Column("writer", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["mission_id"], ["missions.id"], name=op.f("fk_mission_counters_mission_id_missions")),
        sa.PrimaryKeyConstraint("mission_id", "phase", "metric", "writer", name=op.f("pk_mission_counters")),
    )
    for row in rows:
        op.execute(table.insert().values(**row | {"mission_id": UUID(str(row["mission_id"]))}))
