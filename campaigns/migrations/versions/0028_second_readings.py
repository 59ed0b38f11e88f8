"""Voiding what the staff recorded, and public codes that still lead to a person after a merge

Revision: 0028, after 0027
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

_AT_ONCE = 1000  # rows


def upgrade() -> None:
    """The codes' table anew: SQLite changes no primary key. Nothing points at it."""
    op.add_column("staff_records", sa.Column("voided_at", UTCDateTime(), nullable=True))
    op.add_column("staff_records", sa.Column("void_reason", AutoString(), nullable=True))
    columns: list[sa.Column[Any]] = [
        sa.Column("code", AutoString(), nullable=False),
        sa.Column("mission_id", sa.Uuid(), nullable=False),
        sa.Column("participant_id", sa.Uuid(), nullable=False),
        sa.Column("issued_at", UTCDateTime(), nullable=False),
        sa.Column("phone_day", sa.Integer(), nullable=True),
        sa.Column("phone_key", sa.BigInteger(), nullable=True),
    ]
    old = sa.table("public_codes", *(sa.column(one.name, one.type) for one in columns))
    rows = [dict(row) for row in op.get_bind().execute(sa.select(old)).mappings()]
    op.drop_table("public_codes")
    table = op.create_table(
        "public_codes",
        *columns,
        sa.Column("former_at", UTCDateTime(), nullable=True),
        *(_reference(one) for one in ("mission", "participant")),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_public_codes")),
    )
    op.create_index(op.f("ix_public_codes_participant_id"), "public_codes", ["participant_id"])
    op.create_index(
        "uq_public_codes_shown",
        "public_codes",
        ["mission_id", "participant_id"],
        unique=True,
        sqlite_where=sa.text("former_at IS NULL"),
        postgresql_where=sa.text("former_at IS NULL"),
    )
    for start in range(0, len(rows), _AT_ONCE):
        op.bulk_insert(table, rows[start : start + _AT_ONCE])


def _reference(target: str) -> sa.ForeignKeyConstraint:
    column = f"{target}_id"
    return sa.ForeignKeyConstraint([column], [f"{target}s.id"], name=op.f(f"fk_public_codes_{column}_{target}s"))
