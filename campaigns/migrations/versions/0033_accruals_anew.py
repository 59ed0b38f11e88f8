"""An act that was undone and done anew accrues anew; which acts count towards a threshold, which wait for a campaign

Revision: 0033, after 0031
"""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import UTCDateTime

revision = "0033"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    checks = (  # a rebuilt SQLite table loses those that are not named here
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_accruals_amount")),
        sa.CheckConstraint(
            "(state IN ('voided', 'reversed')) = (undone_at IS NOT NULL)", name=op.f("ck_accruals_undone")
        ),
    )
    with op.batch_alter_table("accruals", table_args=checks) as accruals:
        accruals.drop_constraint("uq_accruals_pledge_id_completion_id", type_="unique")
        accruals.add_column(sa.Column("act_undone_at", UTCDateTime(), nullable=True))
        accruals.add_column(sa.Column("undone_by", sa.Uuid(), nullable=True))
    standing = sa.text("state IN ('pending', 'posted')")
    op.create_index(
        "uq_accruals_standing",
        "accruals",
        ["pledge_id", "completion_id"],
        unique=True,
        sqlite_where=standing,
        postgresql_where=standing,
    )
    op.create_table(
        "pledge_acts",
        sa.Column("pledge_id", sa.Uuid(), nullable=False),
        sa.Column("completion_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["pledge_id"], ["pledges.id"], name=op.f("fk_pledge_acts_pledge_id_pledges")),
        sa.PrimaryKeyConstraint("pledge_id", "completion_id", name=op.f("pk_pledge_acts")),
    )
    op.create_table(
        "waiting_acts",
        sa.Column("completion_id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=op.f("fk_waiting_acts_campaign_id_campaigns")),
        sa.PrimaryKeyConstraint("completion_id", name=op.f("pk_waiting_acts")),
    )
    op.create_index(op.f("ix_waiting_acts_campaign_id"), "waiting_acts", ["campaign_id"])
