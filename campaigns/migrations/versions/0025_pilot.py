"""The pilot of a campaign, the cohort of employees, and visits of each phase

Revision: 0025, after 0024
"""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("campaigns", sa.Column("pilot_started_at", UTCDateTime(), nullable=True))
    _pilots()
    _cohort_links()
    _visits_of_each_phase()


def _pilots() -> None:
    op.create_table(
        "pilots",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("place_ids", sa.JSON(), nullable=False),
        sa.Column("max_people", sa.Integer(), nullable=False),
        sa.Column("thresholds", sa.JSON(), nullable=False),
        sa.Column("people", sa.Integer(), nullable=False),
        sa.Column("declared_at", UTCDateTime(), nullable=False),
        sa.CheckConstraint("people BETWEEN 0 AND max_people", name=op.f("ck_pilots_people")),
        *(_reference("pilots", one) for one in ("organisation", "campaign")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pilots")),
        sa.UniqueConstraint("campaign_id", name=op.f("uq_pilots_campaign_id")),
    )
    op.create_table(
        "pilot_waivers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("pilot_id", sa.Uuid(), nullable=False),
        sa.Column("criterion", AutoString(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("reason", AutoString(), nullable=False),
        sa.Column("waived_at", UTCDateTime(), nullable=False),
        *(_reference("pilot_waivers", one) for one in ("organisation", "pilot", "member")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pilot_waivers")),
        sa.UniqueConstraint("pilot_id", "criterion", name=op.f("uq_pilot_waivers_pilot_id_criterion")),
    )
    op.create_table(
        "pilot_people",
        sa.Column("pilot_id", sa.Uuid(), nullable=False),
        sa.Column("participant_id", sa.Uuid(), nullable=False),
        sa.Column("admitted_at", UTCDateTime(), nullable=False),
        *(_reference("pilot_people", one) for one in ("pilot", "participant")),
        sa.PrimaryKeyConstraint("pilot_id", "participant_id", name=op.f("pk_pilot_people")),
    )
    op.create_index(op.f("ix_pilot_people_participant_id"), "pilot_people", ["participant_id"])


def _cohort_links() -> None:
    op.create_table(
        "cohort_links",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("place_id", sa.Uuid(), nullable=True),
        sa.Column("label", AutoString(), nullable=False),
        sa.Column("secret_hash", AutoString(), nullable=False),
        sa.Column("max_uses", sa.Integer(), nullable=False),
        sa.Column("uses", sa.Integer(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("expires_at", UTCDateTime(), nullable=False),
        sa.Column("revoked_at", UTCDateTime(), nullable=True),
        sa.CheckConstraint("uses BETWEEN 0 AND max_uses", name=op.f("ck_cohort_links_uses")),
        *(_reference("cohort_links", one) for one in ("organisation", "place")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cohort_links")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_cohort_links_secret_hash")),
    )
    for column in ("organisation_id", "place_id"):
        op.create_index(op.f(f"ix_cohort_links_{column}"), "cohort_links", [column])


def _visits_of_each_phase() -> None:
    """The phase joins the key: on the day of the launch a visit of the pilot is not in the way of a real one."""
    key = ["participant_id", "token_id", "civil_day", "phase"]
    if op.get_bind().dialect.name == "postgresql":
        op.add_column("visits", sa.Column("phase", AutoString(), server_default="live", nullable=False))
        op.drop_constraint("pk_visits", "visits", type_="primary")
        op.create_primary_key("pk_visits", "visits", key)
        return
    op.create_table(
        "visits_of_each_phase",
        sa.Column("participant_id", sa.Uuid(), nullable=False),
        sa.Column("token_id", sa.Uuid(), nullable=False),
        sa.Column("civil_day", AutoString(), nullable=False),
        sa.Column("phase", AutoString(), server_default="live", nullable=False),
        sa.Column("check_in_id", sa.Uuid(), nullable=False),
        _reference("visits", "participant"),
        sa.PrimaryKeyConstraint(*key, name=op.f("pk_visits")),
    )
    op.execute(
        "INSERT INTO visits_of_each_phase (participant_id, token_id, civil_day, check_in_id) "
        "SELECT participant_id, token_id, civil_day, check_in_id FROM visits"
    )
    op.drop_table("visits")
    op.rename_table("visits_of_each_phase", "visits")


def _reference(table: str, target: str) -> sa.ForeignKeyConstraint:
    column = f"{target}_id"
    return sa.ForeignKeyConstraint([column], [f"{target}s.id"], name=op.f(f"fk_{table}_{column}_{target}s"))
