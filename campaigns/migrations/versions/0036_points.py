"""Points and badges, and offers for points

Revision: 0036, after 0034
"""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

from campaigns.migrations.triggers import grow_only

revision = "0036"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("missions", sa.Column("points_expire_days", sa.Integer(), nullable=True))
    # Constraints come with the column: a table that others refer to is not rebuilt for it.
    op.execute(
        "ALTER TABLE offers ADD COLUMN points INTEGER "
        "CONSTRAINT ck_offers_points CHECK ((points IS NOT NULL) = (unlock = 'points')) "
        "CONSTRAINT ck_offers_cost CHECK (points IS NULL OR points > 0)"
    )
    _lots()
    _spends()
    _badges()


def _lots() -> None:
    op.create_table(
        "points_lots",
        sa.Column("id", sa.Uuid(), nullable=False),
        *(
            sa.Column(f"{one}_id", sa.Uuid(), nullable=False)
            for one in ("organisation", "campaign", "mission", "step", "completion", "participant")
        ),
        sa.Column("phase", AutoString(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("spent", sa.BigInteger(), nullable=False),
        sa.Column("state", AutoString(), nullable=False),
        sa.Column("earned_at", UTCDateTime(), nullable=False),
        sa.Column("available_at", UTCDateTime(), nullable=True),
        sa.Column("expires_at", UTCDateTime(), nullable=True),
        sa.Column("ended_at", UTCDateTime(), nullable=True),
        sa.Column("reason", AutoString(), nullable=True),
        sa.CheckConstraint("amount > 0", name=op.f("ck_points_lots_amount")),
        sa.CheckConstraint("spent BETWEEN 0 AND amount", name=op.f("ck_points_lots_spent")),
        sa.CheckConstraint("state <> 'spent' OR spent = amount", name=op.f("ck_points_lots_used_up")),
        sa.CheckConstraint(
            "state <> 'pending' OR (spent = 0 AND available_at IS NULL)", name=op.f("ck_points_lots_pending")
        ),
        sa.CheckConstraint(
            "(ended_at IS NOT NULL) = (state IN ('expired', 'revoked'))", name=op.f("ck_points_lots_ended")
        ),
        sa.CheckConstraint("(reason IS NOT NULL) = (state = 'revoked')", name=op.f("ck_points_lots_reason")),
        *(_reference("points_lots", one) for one in ("organisation", "campaign", "mission", "step", "participant")),
        sa.ForeignKeyConstraint(
            ["completion_id"], ["step_completions.id"], name=op.f("fk_points_lots_completion_id_step_completions")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_points_lots")),
    )
    stands, available = sa.text("state <> 'revoked'"), sa.text("state = 'available'")
    op.create_index(
        "uq_points_lots_source",
        "points_lots",
        ["step_id", "completion_id"],
        unique=True,
        sqlite_where=stands,
        postgresql_where=stands,
    )
    op.create_index("ix_points_lots_completion_id", "points_lots", ["completion_id"])
    op.create_index("ix_points_lots_participant_id_campaign_id", "points_lots", ["participant_id", "campaign_id"])
    op.create_index(
        "ix_points_lots_available_expires_at",
        "points_lots",
        ["expires_at"],
        sqlite_where=available,
        postgresql_where=available,
    )


def _spends() -> None:
    op.create_table(
        "points_spends",
        sa.Column("id", sa.Uuid(), nullable=False),
        *(
            sa.Column(f"{one}_id", sa.Uuid(), nullable=False)
            for one in ("organisation", "campaign", "offer", "participant")
        ),
        sa.Column("client_id", AutoString(), nullable=False),
        sa.Column("phase", AutoString(), nullable=False),
        sa.Column("points", sa.BigInteger(), nullable=False),
        sa.Column("spent_at", UTCDateTime(), nullable=False),
        sa.CheckConstraint("points > 0", name=op.f("ck_points_spends_points")),
        *(_reference("points_spends", one) for one in ("organisation", "campaign", "offer", "participant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_points_spends")),
        sa.UniqueConstraint("participant_id", "client_id", name=op.f("uq_points_spends_participant_id_client_id")),
    )
    op.create_table(
        "points_spend_lines",
        sa.Column("spend_id", sa.Uuid(), nullable=False),
        sa.Column("lot_id", sa.Uuid(), nullable=False),
        sa.Column("points", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("points > 0", name=op.f("ck_points_spend_lines_points")),
        sa.ForeignKeyConstraint(
            ["spend_id"], ["points_spends.id"], name=op.f("fk_points_spend_lines_spend_id_points_spends")
        ),
        sa.ForeignKeyConstraint(["lot_id"], ["points_lots.id"], name=op.f("fk_points_spend_lines_lot_id_points_lots")),
        sa.PrimaryKeyConstraint("spend_id", "lot_id", name=op.f("pk_points_spend_lines")),
    )
    op.create_index(op.f("ix_points_spend_lines_lot_id"), "points_spend_lines", ["lot_id"])
    grow_only("points_spend_lines")


def _badges() -> None:
    op.create_table(
        "badges",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("mission_id", sa.Uuid(), nullable=True),
        sa.Column("name", sa.JSON(), nullable=False),
        sa.Column("description", sa.JSON(), nullable=True),
        sa.Column("kind", AutoString(), nullable=False),
        sa.Column("at_least", sa.Integer(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("changed_at", UTCDateTime(), nullable=False),
        sa.CheckConstraint("at_least > 0", name=op.f("ck_badges_at_least")),
        *(_reference("badges", one) for one in ("organisation", "campaign", "mission")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_badges")),
    )
    op.create_index("ix_badges_campaign_id_id", "badges", ["campaign_id", "id"])
    op.create_table(
        "badge_awards",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("badge_id", sa.Uuid(), nullable=False),
        sa.Column("participant_id", sa.Uuid(), nullable=False),
        sa.Column("phase", AutoString(), nullable=False),
        sa.Column("awarded_at", UTCDateTime(), nullable=False),
        sa.Column("revoked_at", UTCDateTime(), nullable=True),
        sa.Column("reason", AutoString(), nullable=True),
        sa.CheckConstraint("(reason IS NOT NULL) = (revoked_at IS NOT NULL)", name=op.f("ck_badge_awards_reason")),
        *(_reference("badge_awards", one) for one in ("badge", "participant")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_badge_awards")),
        sa.UniqueConstraint(
            "badge_id", "participant_id", "phase", name=op.f("uq_badge_awards_badge_id_participant_id_phase")
        ),
    )
    op.create_index(op.f("ix_badge_awards_participant_id"), "badge_awards", ["participant_id"])


def _reference(table: str, target: str) -> sa.ForeignKeyConstraint:
    column = f"{target}_id"
    return sa.ForeignKeyConstraint([column], [f"{target}s.id"], name=op.f(f"fk_{table}_{column}_{target}s"))
