"""Flags of contributions, what moderators did about them, comments on ideas, and the cases of shoppers

Revision: 0018, after 0017
"""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

from campaigns.migrations.triggers import grow_only

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("ideas", sa.Column("hidden_rule", AutoString(), nullable=True))
    op.add_column("ideas", sa.Column("comments", sa.Integer(), server_default="0", nullable=False))
    _comments()
    _flags()
    _moderation()
    _cases()


def _comments() -> None:
    op.create_table(
        "comments",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("mission_id", sa.Uuid(), nullable=False),
        sa.Column("idea_id", sa.Uuid(), nullable=False),
        sa.Column("participant_id", sa.Uuid(), nullable=True),
        sa.Column("member_id", sa.Uuid(), nullable=True),
        sa.Column("client_id", AutoString(), nullable=False),
        sa.Column("text", AutoString(), nullable=False),
        sa.Column("language", AutoString(), nullable=False),
        sa.Column("state", AutoString(), nullable=False),
        sa.Column("hidden_rule", AutoString(), nullable=True),
        sa.Column("phase", AutoString(), nullable=False),
        sa.Column("useful", sa.Integer(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        *(_reference("comments", f"{one}_id", f"{one}s") for one in ("mission", "idea", "participant", "member")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_comments")),
        sa.UniqueConstraint("participant_id", "client_id", name=op.f("uq_comments_participant_id_client_id")),
        sa.UniqueConstraint("member_id", "client_id", name=op.f("uq_comments_member_id_client_id")),
    )
    for column in ("idea_id", "mission_id"):
        op.create_index(f"ix_comments_{column}_id", "comments", [column, "id"], unique=False)
    op.create_table(
        "comment_marks",
        sa.Column("comment_id", sa.Uuid(), nullable=False),
        sa.Column("participant_id", sa.Uuid(), nullable=False),
        sa.Column("marked_at", UTCDateTime(), nullable=False),
        _reference("comment_marks", "comment_id", "comments"),
        _reference("comment_marks", "participant_id", "participants"),
        sa.PrimaryKeyConstraint("comment_id", "participant_id", name=op.f("pk_comment_marks")),
    )
    op.create_index(op.f("ix_comment_marks_participant_id"), "comment_marks", ["participant_id"], unique=False)
    op.create_table(
        "text_counts",
        sa.Column("participant_id", sa.Uuid(), nullable=False),
        sa.Column("window", AutoString(), nullable=False),
        sa.Column("texts", sa.Integer(), nullable=False),
        sa.Column("ends_at", UTCDateTime(), nullable=False),
        _reference("text_counts", "participant_id", "participants"),
        sa.PrimaryKeyConstraint("participant_id", "window", name=op.f("pk_text_counts")),
    )


def _flags() -> None:
    op.create_table(
        "flags",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("participant_id", sa.Uuid(), nullable=True),
        sa.Column("day", sa.Integer(), nullable=True),
        sa.Column("reporter_key", sa.BigInteger(), nullable=True),
        sa.Column("kind", AutoString(), nullable=False),
        sa.Column("text", AutoString(), nullable=False),
        sa.Column("flagged_at", UTCDateTime(), nullable=False),
        _reference("flags", "participant_id", "participants"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_flags")),
        sa.UniqueConstraint("subject_id", "participant_id", name=op.f("uq_flags_subject_id_participant_id")),
        sa.UniqueConstraint("subject_id", "day", "reporter_key", name=op.f("uq_flags_subject_id_day_reporter_key")),
    )
    op.create_index("ix_flags_participant_id", "flags", ["participant_id"], unique=False)
    op.create_table(
        "flagged_subjects",
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("subject_kind", AutoString(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("mission_id", sa.Uuid(), nullable=False),
        sa.Column("flags", sa.Integer(), nullable=False),
        sa.Column("open_flags", sa.Integer(), nullable=False),
        _reference("flagged_subjects", "organisation_id", "organisations"),
        _reference("flagged_subjects", "mission_id", "missions"),
        sa.PrimaryKeyConstraint("subject_id", name=op.f("pk_flagged_subjects")),
    )
    op.create_index("ix_flagged_subjects_queue", "flagged_subjects", ["organisation_id", "open_flags"], unique=False)


def _moderation() -> None:
    op.create_table(
        "moderation_acts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("mission_id", sa.Uuid(), nullable=False),
        sa.Column("phase", AutoString(), nullable=False),
        sa.Column("subject_kind", AutoString(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("act", AutoString(), nullable=False),
        sa.Column("rule", AutoString(), nullable=True),
        sa.Column("reason", AutoString(), nullable=False),
        sa.Column("state_before", AutoString(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("acted_at", UTCDateTime(), nullable=False),
        _reference("moderation_acts", "organisation_id", "organisations"),
        _reference("moderation_acts", "mission_id", "missions"),
        _reference("moderation_acts", "member_id", "members"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_moderation_acts")),
    )
    for column in ("subject_id", "mission_id"):
        op.create_index(f"ix_moderation_acts_{column}_id", "moderation_acts", [column, "id"], unique=False)
    grow_only("moderation_acts")


def _cases() -> None:
    instants = ("acknowledged_at", "answered_at", "closed_at", "reopened_at", "escalated_at")
    op.create_table(
        "cases",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("mission_id", sa.Uuid(), nullable=True),
        sa.Column("place_id", sa.Uuid(), nullable=True),
        sa.Column("kind", AutoString(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=True),
        sa.Column("participant_id", sa.Uuid(), nullable=True),
        sa.Column("reporter_key", sa.BigInteger(), nullable=True),
        sa.Column("client_id", AutoString(), nullable=False),
        sa.Column("reference", AutoString(), nullable=False),
        sa.Column("language", AutoString(), nullable=False),
        sa.Column("state", AutoString(), nullable=False),
        sa.Column("opened_at", UTCDateTime(), nullable=False),
        sa.Column("due_at", UTCDateTime(), nullable=False),
        *(sa.Column(one, UTCDateTime(), nullable=True) for one in instants),
        *(
            _reference("cases", f"{one}_id", f"{one}s")
            for one in ("organisation", "campaign", "mission", "place", "participant")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cases")),
        sa.UniqueConstraint("reference", name=op.f("uq_cases_reference")),
        sa.UniqueConstraint("participant_id", "client_id", name=op.f("uq_cases_participant_id_client_id")),
        sa.UniqueConstraint("reporter_key", "client_id", name=op.f("uq_cases_reporter_key_client_id")),
    )
    for name in (("organisation_id", "id"), ("place_id", "id"), ("state", "due_at")):
        op.create_index(f"ix_cases_{'_'.join(name)}", "cases", list(name), unique=False)
    op.create_table(
        "case_messages",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("case_id", sa.Uuid(), nullable=False),
        sa.Column("speaker", AutoString(), nullable=False),
        sa.Column("text", AutoString(), nullable=False),
        sa.Column("written_at", UTCDateTime(), nullable=False),
        _reference("case_messages", "case_id", "cases"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_case_messages")),
    )
    op.create_index(op.f("ix_case_messages_case_id"), "case_messages", ["case_id"], unique=False)
    op.create_table(
        "case_days",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("sender_key", sa.BigInteger(), nullable=False),
        sa.Column("cases", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("organisation_id", "day", "sender_key", name=op.f("pk_case_days")),
    )


def _reference(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{target}.id"], name=op.f(f"fk_{table}_{column}_{target}"))
