"""Who brought whom to a mission

Revision: 0023, after 0022
"""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

_REFERENCES = {
    "mission_id": "missions",
    "step_id": "steps",
    "referrer_id": "participants",
    "newcomer_id": "participants",
}


def upgrade() -> None:
    op.add_column("public_codes", sa.Column("phone_day", sa.Integer(), nullable=True))
    op.add_column("public_codes", sa.Column("phone_key", sa.BigInteger(), nullable=True))
    op.create_table(
        "referrals",
        sa.Column("id", sa.Uuid(), nullable=False),
        *(sa.Column(name, sa.Uuid(), nullable=False) for name in _REFERENCES),
        sa.Column("pair", AutoString(), nullable=False),
        sa.Column("phase", AutoString(), nullable=False),
        sa.Column("state", AutoString(), nullable=False),
        sa.Column("reason", AutoString(), nullable=True),
        sa.Column("claimed_at", UTCDateTime(), nullable=False),
        sa.Column("qualified_at", UTCDateTime(), nullable=True),
        sa.Column("act_id", sa.Uuid(), nullable=True),
        *(
            sa.ForeignKeyConstraint([name], [f"{table}.id"], name=op.f(f"fk_referrals_{name}_{table}"))
            for name, table in _REFERENCES.items()
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_referrals")),
        sa.UniqueConstraint("newcomer_id", "phase", name=op.f("uq_referrals_newcomer_id_phase")),
        sa.UniqueConstraint("pair", "phase", name=op.f("uq_referrals_pair_phase")),
        sa.CheckConstraint("referrer_id <> newcomer_id", name=op.f("ck_referrals_oneself")),
        sa.CheckConstraint("(reason IS NOT NULL) = (state = 'blocked')", name=op.f("ck_referrals_reason")),
        sa.CheckConstraint(
            "(act_id IS NOT NULL) = (state IN ('qualified', 'rewarded'))", name=op.f("ck_referrals_act")
        ),
    )
    op.create_index("ix_referrals_mission_id_referrer_id", "referrals", ["mission_id", "referrer_id"])
    op.create_index("ix_referrals_referrer_id", "referrals", ["referrer_id"])
    op.create_index("ix_referrals_act_id", "referrals", ["act_id"])
