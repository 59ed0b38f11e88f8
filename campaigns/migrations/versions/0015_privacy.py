"""Age and objection of participants, who was erased, and from when on the scan log is whole

Revision: 0015, after 0014
"""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import UTCDateTime

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("participants", sa.Column("age_declared_at", UTCDateTime(), nullable=True))
    op.add_column("participants", sa.Column("is_under_15", sa.Boolean(), nullable=True))
    # A reference can join a SQLite table only together with its column.
    campaign = sa.ForeignKey("campaigns.id", name=op.f("fk_participants_campaign_id_campaigns"))
    op.add_column("participants", sa.Column("campaign_id", sa.Uuid(), campaign, nullable=True), inline_references=True)
    op.create_table(
        "erasures",
        sa.Column("participant_id", sa.Uuid(), nullable=False),
        sa.Column("erased_at", UTCDateTime(), nullable=False),
        sa.Column("is_swept", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.PrimaryKeyConstraint("participant_id", name=op.f("pk_erasures")),
    )
    op.create_table(
        "log_starts",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("whole_from", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_log_starts")),
    )
