"""Jobs, batches of tokens and the uses of serial codes

Revision: 0005, after 0004
"""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_AT_WORK = sa.text("state IN ('queued', 'running')")


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("kind", AutoString(), nullable=False),
        sa.Column("payload", AutoString(), nullable=False),
        sa.Column("state", AutoString(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("result_path", AutoString(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error", AutoString(), nullable=True),
        sa.Column("leased_by", sa.Uuid(), nullable=True),
        sa.Column("lease_until", UTCDateTime(), nullable=True),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("started_at", UTCDateTime(), nullable=True),
        sa.Column("ended_at", UTCDateTime(), nullable=True),
        sa.Column("cancel_asked_at", UTCDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name=op.f("fk_jobs_organisation_id_organisations")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
    )
    op.create_index("ix_jobs_organisation_id_id", "jobs", ["organisation_id", "id"], unique=False)
    op.create_index(
        "ix_jobs_at_work", "jobs", ["lease_until"], unique=False, sqlite_where=_AT_WORK, postgresql_where=_AT_WORK
    )
    op.create_table(
        "token_batches",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("kind", AutoString(), nullable=False),
        sa.Column("medium", AutoString(), nullable=True),
        sa.Column("place_id", sa.Uuid(), nullable=True),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("label", AutoString(), nullable=True),
        sa.Column("channel", AutoString(), nullable=True),
        sa.Column("good", AutoString(), nullable=True),
        sa.Column("handed_over", sa.Boolean(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name=op.f("fk_token_batches_organisation_id_organisations")
        ),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=op.f("fk_token_batches_campaign_id_campaigns")),
        sa.ForeignKeyConstraint(["place_id"], ["places.id"], name=op.f("fk_token_batches_place_id_places")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_token_batches_job_id_jobs")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_token_batches")),
    )
    op.create_index("ix_token_batches_campaign_id_id", "token_batches", ["campaign_id", "id"], unique=False)
    # A reference can join a SQLite table only together with its column.
    batch = sa.ForeignKey("token_batches.id", name=op.f("fk_tokens_batch_id_token_batches"))
    op.add_column("tokens", sa.Column("batch_id", sa.Uuid(), batch, nullable=True), inline_references=True)
    op.create_index("ix_tokens_batch_id_id", "tokens", ["batch_id", "id"], unique=False)
    op.create_table(
        "serial_uses",
        sa.Column("token_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("scan_id", sa.Uuid(), nullable=False),
        sa.Column("used_at", UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["token_id"], ["tokens.id"], name=op.f("fk_serial_uses_token_id_tokens")),
        sa.PrimaryKeyConstraint("token_id", "person_id", name=op.f("pk_serial_uses")),
    )
    op.add_column("idempotent_answers", sa.Column("location", AutoString(), nullable=True))
