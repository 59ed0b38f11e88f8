"""Tags that a shop's phone wrote

Revision: 0010, after 0009
"""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_HELD = sa.text("released_at IS NULL")
_REFERENCES = {
    "organisation_id": "organisations",
    "token_id": "tokens",
    "place_id": "places",
    "staff_session_id": "staff_sessions",
}


def upgrade() -> None:
    op.create_table(
        "tag_writings",
        sa.Column("id", sa.Uuid(), nullable=False),
        *(sa.Column(name, sa.Uuid(), nullable=False) for name in _REFERENCES),
        sa.Column("uid", AutoString(), nullable=True),
        sa.Column("was", AutoString(), nullable=False),
        sa.Column("written_at", UTCDateTime(), nullable=False),
        sa.Column("locked_at", UTCDateTime(), nullable=True),
        sa.Column("released_at", UTCDateTime(), nullable=True),
        *(
            sa.ForeignKeyConstraint([name], [f"{table}.id"], name=op.f(f"fk_tag_writings_{name}_{table}"))
            for name, table in _REFERENCES.items()
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tag_writings")),
    )
    for name, fields in (
        ("ix_tag_writings_uid_held", ["organisation_id", "uid"]),
        ("ix_tag_writings_token_held", ["token_id"]),
    ):
        op.create_index(name, "tag_writings", fields, unique=True, sqlite_where=_HELD, postgresql_where=_HELD)
