"""Members and their sessions, roles and scopes of keys, approvals, and the audit log

Revision: 0012, after 0011
"""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

from campaigns.migrations.triggers import keep_audit_log

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_WAITING = sa.text("state = 'waiting'")


def upgrade() -> None:
    _members()
    _keys()
    _approvals()
    _audit_log()


def _members() -> None:
    op.add_column(
        "organisations", sa.Column("launch_needs_approval", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    original = sa.ForeignKey("organisations.id", name=op.f("fk_organisations_test_of_id_organisations"))
    op.add_column("organisations", sa.Column("test_of_id", sa.Uuid(), original, nullable=True), inline_references=True)
    op.create_index("uq_organisations_test_of_id", "organisations", ["test_of_id"], unique=True)
    op.create_table(
        "members",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("email", AutoString(), nullable=True),
        sa.Column("email_key", AutoString(), nullable=True),
        sa.Column("name", AutoString(), nullable=False),
        sa.Column("role", AutoString(), nullable=False),
        sa.Column("invited_at", UTCDateTime(), nullable=False),
        sa.Column("joined_at", UTCDateTime(), nullable=True),
        sa.Column("removed_at", UTCDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name=op.f("fk_members_organisation_id_organisations")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_members")),
        sa.UniqueConstraint("organisation_id", "email_key", name=op.f("uq_members_organisation_id_email_key")),
    )
    op.create_index("ix_members_organisation_id_id", "members", ["organisation_id", "id"], unique=False)
    op.create_index(op.f("ix_members_email_key"), "members", ["email_key"], unique=False)
    _of_member(
        "sign_in_links",
        sa.Column("expires_at", UTCDateTime(), nullable=False),
        sa.Column("used_at", UTCDateTime(), nullable=True),
    )
    _of_member(
        "member_sessions",
        sa.Column("label", AutoString(), nullable=False),
        sa.Column("expires_at", UTCDateTime(), nullable=False),
        sa.Column("last_seen_at", UTCDateTime(), nullable=False),
        sa.Column("revoked_at", UTCDateTime(), nullable=True),
    )


def _of_member(table: str, *more: sa.Column[object]) -> None:
    op.create_table(
        table,
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("secret_hash", AutoString(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        *more,
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f(f"fk_{table}_member_id_members")),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{table}")),
        sa.UniqueConstraint("secret_hash", name=op.f(f"uq_{table}_secret_hash")),
    )
    op.create_index(op.f(f"ix_{table}_member_id"), table, ["member_id"], unique=False)


def _keys() -> None:
    op.add_column("api_keys", sa.Column("name", AutoString(), server_default="", nullable=False))
    for column in ("scopes", "place_ids"):
        op.add_column("api_keys", sa.Column(column, sa.JSON(), nullable=True))
    op.add_column("api_keys", sa.Column("is_test", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("api_keys", sa.Column("expires_at", UTCDateTime(), nullable=True))
    for column, target in (
        ("issued_by_member_id", "members"),
        ("issued_by_key_id", "api_keys"),
        ("rotated_from_id", "api_keys"),
    ):
        reference = sa.ForeignKey(f"{target}.id", name=op.f(f"fk_api_keys_{column}_{target}"))
        op.add_column("api_keys", sa.Column(column, sa.Uuid(), reference, nullable=True), inline_references=True)
    op.create_index("uq_api_keys_rotated_from_id", "api_keys", ["rotated_from_id"], unique=True)


def _approvals() -> None:
    references = (
        ("organisation_id", "organisations"),
        ("proposed_by_key_id", "api_keys"),
        ("proposed_by_member_id", "members"),
        ("decided_by_member_id", "members"),
    )
    op.create_table(
        "approvals",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("kind", AutoString(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("subject_name", AutoString(), nullable=False),
        sa.Column("state", AutoString(), nullable=False),
        sa.Column("proposed_at", UTCDateTime(), nullable=False),
        sa.Column("proposed_by_key_id", sa.Uuid(), nullable=True),
        sa.Column("proposed_by_member_id", sa.Uuid(), nullable=True),
        sa.Column("decided_at", UTCDateTime(), nullable=True),
        sa.Column("decided_by_member_id", sa.Uuid(), nullable=True),
        sa.Column("reason", AutoString(), nullable=True),
        *(
            sa.ForeignKeyConstraint([column], [f"{target}.id"], name=op.f(f"fk_approvals_{column}_{target}"))
            for column, target in references
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approvals")),
    )
    op.create_index(
        "uq_approvals_waiting",
        "approvals",
        ["kind", "subject_id"],
        unique=True,
        sqlite_where=_WAITING,
        postgresql_where=_WAITING,
    )
    op.create_index("ix_approvals_organisation_id_id", "approvals", ["organisation_id", "id"], unique=False)


def _audit_log() -> None:
    op.create_table(
        "audit_entries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=True),
        sa.Column("recorded_at", UTCDateTime(), nullable=False),
        sa.Column("author_kind", AutoString(), nullable=False),
        sa.Column("author_id", sa.Uuid(), nullable=True),
        sa.Column("action", AutoString(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("changes", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_entries")),
    )
    op.create_index("ix_audit_entries_organisation_id_id", "audit_entries", ["organisation_id", "id"], unique=False)
    op.create_index("ix_audit_entries_subject_id_id", "audit_entries", ["subject_id", "id"], unique=False)
    op.create_index(op.f("ix_audit_entries_recorded_at"), "audit_entries", ["recorded_at"], unique=False)
    keep_audit_log()
