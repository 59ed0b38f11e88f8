"""Addresses that people left, the letters to them, and which rounds' voters were written to

Revision: 0022, after 0021
"""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_CONFIRMED = sa.text("confirmed_at IS NOT NULL")


def upgrade() -> None:
    op.add_column("rounds", sa.Column("told_at", UTCDateTime(), nullable=True))
    op.create_table(
        "contacts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("participant_id", sa.Uuid(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("address_key", AutoString(), nullable=False),
        sa.Column("asked_at", UTCDateTime(), nullable=False),
        sa.Column("confirmed_at", UTCDateTime(), nullable=True),
        _reference("contacts", "organisation_id", "organisations"),
        _reference("contacts", "participant_id", "participants"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contacts")),
        sa.UniqueConstraint("participant_id", name=op.f("uq_contacts_participant_id")),
    )
    op.create_index(
        "uq_contacts_confirmed",
        "contacts",
        ["organisation_id", "address_key"],
        unique=True,
        sqlite_where=_CONFIRMED,
        postgresql_where=_CONFIRMED,
    )
    op.create_table(
        "letters",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("participant_id", sa.Uuid(), nullable=False),
        sa.Column("contact_id", sa.Uuid(), nullable=False),
        sa.Column("kind", AutoString(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("made_at", UTCDateTime(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", UTCDateTime(), nullable=True),
        sa.Column("sent_at", UTCDateTime(), nullable=True),
        _reference("letters", "participant_id", "participants"),
        _reference("letters", "contact_id", "contacts"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_letters")),
        sa.UniqueConstraint(
            "participant_id", "kind", "subject_id", name=op.f("uq_letters_participant_id_kind_subject_id")
        ),
    )
    op.create_index("ix_letters_due_at", "letters", ["due_at"], unique=False)
    op.create_index(op.f("ix_letters_contact_id"), "letters", ["contact_id"], unique=False)
    op.create_table(
        "letter_turns",
        sa.Column("key", AutoString(), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("letters", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("key", "day", name=op.f("pk_letter_turns")),
    )


def _reference(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{target}.id"], name=op.f(f"fk_{table}_{column}_{target}"))
