"""Costs, conversions, holdouts and exposures

Revision: 0043, after 0042
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _costs()
    _conversions()
    _holdouts()


def _costs() -> None:
    op.create_table(
        "cost_items",
        *_ids("id", "organisation_id", "campaign_id"),
        *_texts("external_id", nullable=True),
        *_texts("kind", "currency", "label"),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("incurred_on", sa.Date(), nullable=False),
        *_instants("created_at", "changed_at"),
        sa.CheckConstraint("amount_minor BETWEEN 1 AND 1000000000000", name=op.f("ck_cost_items_amount")),
        *_references("cost_items", organisation_id="organisations", campaign_id="campaigns"),
        sa.UniqueConstraint("organisation_id", "external_id", name=op.f("uq_cost_items_organisation_id_external_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cost_items")),
    )
    op.create_index("ix_cost_items_campaign_id_id", "cost_items", ["campaign_id", "id"])
    op.create_table(
        "money_terms",
        *_ids("id", "organisation_id", "campaign_id"),
        *_texts("currency", nullable=True),
        sa.Column("margin_bp", sa.Integer(), nullable=True),
        *_instants("changed_at"),
        sa.CheckConstraint("margin_bp BETWEEN 1 AND 10000", name=op.f("ck_money_terms_margin")),
        *_references("money_terms", organisation_id="organisations", campaign_id="campaigns"),
        sa.UniqueConstraint("campaign_id", name=op.f("uq_money_terms_campaign_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_money_terms")),
    )


def _conversions() -> None:
    op.create_table(
        "conversions",
        *_ids("id", "organisation_id", "campaign_id"),
        *_texts("source", "external_id", "currency", "phase"),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("civil_day", sa.Date(), nullable=False),
        *_instants("occurred_at", "recorded_at"),
        *_ids("place_id", "token_id", nullable=True),
        sa.Column("content", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount_minor BETWEEN 0 AND 1000000000000", name=op.f("ck_conversions_amount")),
        *_references(
            "conversions",
            organisation_id="organisations",
            campaign_id="campaigns",
            place_id="places",
            token_id="tokens",  # noqa: S106  # a table
        ),
        sa.UniqueConstraint(
            "organisation_id", "source", "external_id", name=op.f("uq_conversions_organisation_id_source_external_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_conversions")),
    )
    op.create_index("ix_conversions_campaign_id_id", "conversions", ["campaign_id", "id"])
    op.create_index("ix_conversions_recorded_at", "conversions", ["recorded_at"])
    op.create_table(
        "conversion_totals",
        *_ids("campaign_id", "place_id", "token_id"),
        *_texts("phase"),
        sa.Column("civil_day", sa.Date(), nullable=False),
        sa.Column("conversions", sa.BigInteger(), nullable=False),
        sa.Column("revenue_minor", sa.BigInteger(), nullable=False),
        sa.Column("squares", sa.Double(), nullable=False),
        *_references("conversion_totals", campaign_id="campaigns"),
        sa.PrimaryKeyConstraint(
            "campaign_id", "phase", "civil_day", "place_id", "token_id", name=op.f("pk_conversion_totals")
        ),
    )


def _holdouts() -> None:
    op.create_table(
        "holdouts",
        *_ids("id", "organisation_id", "campaign_id"),
        *_texts("unit", "seed"),
        sa.Column("drawn_from", sa.Integer(), nullable=False),
        sa.Column("held_out", sa.Integer(), nullable=False),
        *_instants("drawn_at"),
        *_references("holdouts", organisation_id="organisations", campaign_id="campaigns"),
        sa.UniqueConstraint("campaign_id", name=op.f("uq_holdouts_campaign_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_holdouts")),
    )
    op.create_table(
        "holdout_units",
        *_ids("holdout_id", "unit_id"),
        sa.Column("is_held_out", sa.Boolean(), nullable=False),
        *_references("holdout_units", holdout_id="holdouts"),
        sa.PrimaryKeyConstraint("holdout_id", "unit_id", name=op.f("pk_holdout_units")),
    )
    op.create_index(op.f("ix_holdout_units_unit_id"), "holdout_units", ["unit_id"])
    op.create_table(
        "exposures",
        *_ids("campaign_id", "place_id"),
        *(sa.Column(name, sa.Date(), nullable=False) for name in ("since", "until")),
        sa.Column("number", sa.BigInteger(), nullable=False),
        *_instants("recorded_at"),
        sa.CheckConstraint("number >= 0", name=op.f("ck_exposures_number")),
        sa.CheckConstraint("since <= until", name=op.f("ck_exposures_period")),
        *_references("exposures", campaign_id="campaigns", place_id="places"),
        sa.PrimaryKeyConstraint("campaign_id", "since", "place_id", name=op.f("pk_exposures")),
    )


def _ids(*names: str, nullable: bool = False) -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.Uuid(), nullable=nullable) for name in names]


def _texts(*names: str, nullable: bool = False) -> list[sa.Column[Any]]:
    return [sa.Column(name, AutoString(), nullable=nullable) for name in names]


def _instants(*names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, UTCDateTime(), nullable=False) for name in names]


def _references(table: str, **columns: str) -> list[sa.ForeignKeyConstraint]:
    return [
        sa.ForeignKeyConstraint([name], [f"{other}.id"], name=op.f(f"fk_{table}_{name}_{other}"))
        for name, other in columns.items()
    ]
