"""What organisations say of themselves for the law, the versions of their legal texts, and which was in force

Revision: 0014, after 0013
"""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

from campaigns.migrations.triggers import grow_only

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_LINES = (
    "legal_name",
    "legal_form",
    "address",
    "registration",
    "publication_director",
    "contact_email",
    "contact_phone",
    "privacy_contact",
)
_REFERENCES = {"organisation_id": "organisations", "mission_id": "missions"}
_OF_MISSION = sa.text("mission_id IS NOT NULL")
_OF_ORGANISATION = sa.text("mission_id IS NULL")


def upgrade() -> None:
    for name in _LINES:
        op.add_column("organisations", sa.Column(name, AutoString(), nullable=True))
    op.add_column("organisations", sa.Column("hosting", sa.JSON(), nullable=True))
    op.add_column("organisations", sa.Column("mandatory_notice", sa.JSON(), nullable=True))
    op.add_column("organisations", sa.Column("changed_at", UTCDateTime(), nullable=True))
    for table in ("check_ins", "ideas", "memberships"):
        op.add_column(table, sa.Column("rules_version_id", sa.Uuid(), nullable=True))
    _versions()
    grow_only("legal_versions")


def _versions() -> None:
    op.create_table(
        "legal_versions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("document", AutoString(), nullable=False),
        sa.Column("mission_id", sa.Uuid(), nullable=True),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("digest", AutoString(), nullable=False),
        sa.Column("text", sa.JSON(), nullable=False),
        sa.Column("in_force_from", UTCDateTime(), nullable=False),
        *(
            sa.ForeignKeyConstraint([name], [f"{table}.id"], name=op.f(f"fk_legal_versions_{name}_{table}"))
            for name, table in _REFERENCES.items()
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_legal_versions")),
    )
    for name, fields, where in (
        ("uq_legal_versions_of_organisation", ["organisation_id", "document", "number"], _OF_ORGANISATION),
        ("uq_legal_versions_of_mission", ["mission_id", "document", "number"], _OF_MISSION),
    ):
        op.create_index(name, "legal_versions", fields, unique=True, sqlite_where=where, postgresql_where=where)
