"""Sponsors, pledges, accruals, payouts and the ledger

Revision: 0029, after 0028
"""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

from campaigns.migrations import triggers

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("book_id", sa.Uuid(), nullable=False),
        sa.Column("kind", AutoString(), nullable=False),
        sa.Column("currency", AutoString(), nullable=False),
        sa.Column("floor_minor", sa.BigInteger(), nullable=False),
        sa.Column("balance_minor", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("balance_minor >= floor_minor", name=op.f("ck_accounts_floor")),
        sa.CheckConstraint("floor_minor <= 0", name=op.f("ck_accounts_floor_sign")),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name=op.f("fk_accounts_organisation_id_organisations")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("book_id", "kind", name=op.f("uq_accounts_book_id_kind")),
        sa.UniqueConstraint("id", "book_id", "currency", name=op.f("uq_accounts_id_book_id_currency")),
    )
    op.create_table(
        "beneficiaries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("external_id", AutoString(), nullable=True),
        sa.Column("name", AutoString(), nullable=False),
        sa.Column("legal_id", AutoString(), nullable=False),
        sa.Column("url", AutoString(), nullable=True),
        sa.Column("accepted_at", UTCDateTime(), nullable=True),
        sa.Column("accepted_by", AutoString(), nullable=True),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("changed_at", UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name=op.f("fk_beneficiaries_organisation_id_organisations")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_beneficiaries")),
        sa.UniqueConstraint(
            "organisation_id", "external_id", name=op.f("uq_beneficiaries_organisation_id_external_id")
        ),
    )
    op.create_table(
        "sponsors",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("external_id", AutoString(), nullable=True),
        sa.Column("name", AutoString(), nullable=False),
        sa.Column("legal_id", AutoString(), nullable=True),
        sa.Column("url", AutoString(), nullable=True),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("changed_at", UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name=op.f("fk_sponsors_organisation_id_organisations")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sponsors")),
        sa.UniqueConstraint("organisation_id", "external_id", name=op.f("uq_sponsors_organisation_id_external_id")),
    )
    op.create_table(
        "payouts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("beneficiary_id", sa.Uuid(), nullable=False),
        sa.Column("currency", AutoString(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("fee_minor", sa.BigInteger(), nullable=False),
        sa.Column("state", AutoString(), nullable=False),
        sa.Column("state_reason", AutoString(), nullable=True),
        sa.Column("proposed_by", sa.Uuid(), nullable=False),
        sa.Column("proposed_at", UTCDateTime(), nullable=False),
        sa.Column("approved_by", sa.Uuid(), nullable=True),
        sa.Column("approved_at", UTCDateTime(), nullable=True),
        sa.Column("sent_at", UTCDateTime(), nullable=True),
        sa.Column("reference", AutoString(), nullable=True),
        sa.Column("confirmed_at", UTCDateTime(), nullable=True),
        sa.Column("proof", sa.JSON(), nullable=True),
        sa.Column("cancelled_at", UTCDateTime(), nullable=True),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_payouts_amount")),
        sa.CheckConstraint("approved_by IS NULL OR approved_by <> proposed_by", name=op.f("ck_payouts_two_people")),
        sa.CheckConstraint("fee_minor >= 0 AND fee_minor < amount_minor", name=op.f("ck_payouts_fee")),
        sa.ForeignKeyConstraint(
            ["beneficiary_id"], ["beneficiaries.id"], name=op.f("fk_payouts_beneficiary_id_beneficiaries")
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name=op.f("fk_payouts_organisation_id_organisations")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payouts")),
    )
    op.create_index(op.f("ix_payouts_beneficiary_id"), "payouts", ["beneficiary_id"])
    op.create_table(
        "transfers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("mission_id", sa.Uuid(), nullable=True),
        sa.Column("book_id", sa.Uuid(), nullable=False),
        sa.Column("debit_id", sa.Uuid(), nullable=False),
        sa.Column("credit_id", sa.Uuid(), nullable=False),
        sa.Column("currency", AutoString(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("code", AutoString(), nullable=False),
        sa.Column("group_id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("reverses", sa.Uuid(), nullable=True),
        sa.Column("recorded_at", UTCDateTime(), nullable=False),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_transfers_amount")),
        sa.CheckConstraint("debit_id <> credit_id", name=op.f("ck_transfers_two_accounts")),
        sa.ForeignKeyConstraint(
            ["credit_id", "book_id", "currency"],
            ["accounts.id", "accounts.book_id", "accounts.currency"],
            name=op.f("fk_transfers_credit_id_book_id_currency_accounts"),
        ),
        sa.ForeignKeyConstraint(
            ["debit_id", "book_id", "currency"],
            ["accounts.id", "accounts.book_id", "accounts.currency"],
            name=op.f("fk_transfers_debit_id_book_id_currency_accounts"),
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name=op.f("fk_transfers_organisation_id_organisations")
        ),
        sa.ForeignKeyConstraint(["reverses"], ["transfers.id"], name=op.f("fk_transfers_reverses_transfers")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transfers")),
        sa.UniqueConstraint("reverses", name=op.f("uq_transfers_reverses")),
    )
    op.create_index("ix_transfers_book_id_id", "transfers", ["book_id", "id"])
    op.create_index(op.f("ix_transfers_group_id"), "transfers", ["group_id"])
    op.create_index("ix_transfers_mission_id_id", "transfers", ["mission_id", "id"])
    op.create_index(op.f("ix_transfers_subject_id"), "transfers", ["subject_id"])
    op.create_table(
        "cause_choices",
        sa.Column("mission_id", sa.Uuid(), nullable=False),
        sa.Column("participant_id", sa.Uuid(), nullable=False),
        sa.Column("beneficiary_id", sa.Uuid(), nullable=False),
        sa.Column("chosen_at", UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["beneficiary_id"], ["beneficiaries.id"], name=op.f("fk_cause_choices_beneficiary_id_beneficiaries")
        ),
        sa.ForeignKeyConstraint(["mission_id"], ["missions.id"], name=op.f("fk_cause_choices_mission_id_missions")),
        sa.ForeignKeyConstraint(
            ["participant_id"], ["participants.id"], name=op.f("fk_cause_choices_participant_id_participants")
        ),
        sa.PrimaryKeyConstraint("mission_id", "participant_id", name=op.f("pk_cause_choices")),
    )
    op.create_table(
        "ledger_heads",
        sa.Column("mission_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("hash", AutoString(), nullable=False),
        sa.Column("published_at", UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["mission_id"], ["missions.id"], name=op.f("fk_ledger_heads_mission_id_missions")),
        sa.PrimaryKeyConstraint("mission_id", "day", name=op.f("pk_ledger_heads")),
    )
    op.create_table(
        "ledger_lines",
        sa.Column("mission_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("transfer_id", sa.Uuid(), nullable=False),
        sa.Column("hash", AutoString(), nullable=False),
        sa.Column("chained_at", UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["mission_id"], ["missions.id"], name=op.f("fk_ledger_lines_mission_id_missions")),
        sa.ForeignKeyConstraint(["transfer_id"], ["transfers.id"], name=op.f("fk_ledger_lines_transfer_id_transfers")),
        sa.PrimaryKeyConstraint("mission_id", "number", name=op.f("pk_ledger_lines")),
        sa.UniqueConstraint("transfer_id", name=op.f("uq_ledger_lines_transfer_id")),
    )
    op.create_table(
        "ledger_names",
        sa.Column("mission_id", sa.Uuid(), nullable=False),
        sa.Column("participant_id", sa.Uuid(), nullable=False),
        sa.Column("surrogate", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["mission_id"], ["missions.id"], name=op.f("fk_ledger_names_mission_id_missions")),
        sa.ForeignKeyConstraint(
            ["participant_id"], ["participants.id"], name=op.f("fk_ledger_names_participant_id_participants")
        ),
        sa.PrimaryKeyConstraint("mission_id", "participant_id", name=op.f("pk_ledger_names")),
        sa.UniqueConstraint("surrogate", name=op.f("uq_ledger_names_surrogate")),
    )
    op.create_table(
        "pledges",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("mission_id", sa.Uuid(), nullable=False),
        sa.Column("sponsor_id", sa.Uuid(), nullable=False),
        sa.Column("external_id", AutoString(), nullable=True),
        sa.Column("kind", AutoString(), nullable=False),
        sa.Column("nature", AutoString(), nullable=False),
        sa.Column("step_id", sa.Uuid(), nullable=True),
        sa.Column("unit_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", AutoString(), nullable=False),
        sa.Column("cap_minor", sa.BigInteger(), nullable=False),
        sa.Column("per_person_cap_minor", sa.BigInteger(), nullable=True),
        sa.Column("per_day_cap_minor", sa.BigInteger(), nullable=True),
        sa.Column("last_slice", AutoString(), nullable=False),
        sa.Column("min_presence", sa.Integer(), nullable=False),
        sa.Column("review_h", sa.Integer(), nullable=False),
        sa.Column("threshold", sa.Integer(), nullable=True),
        sa.Column("matches_id", sa.Uuid(), nullable=True),
        sa.Column("match_percent", sa.Integer(), nullable=True),
        sa.Column("unit_label", sa.JSON(), nullable=True),
        sa.Column("starts_at", UTCDateTime(), nullable=True),
        sa.Column("ends_at", UTCDateTime(), nullable=True),
        sa.Column("state", AutoString(), nullable=False),
        sa.Column("state_reason", AutoString(), nullable=True),
        sa.Column("terms_hash", AutoString(), nullable=True),
        sa.Column("signed_at", UTCDateTime(), nullable=True),
        sa.Column("signed_by", AutoString(), nullable=True),
        sa.Column("active_at", UTCDateTime(), nullable=True),
        sa.Column("exhausted_at", UTCDateTime(), nullable=True),
        sa.Column("ended_at", UTCDateTime(), nullable=True),
        sa.Column("settled_at", UTCDateTime(), nullable=True),
        sa.Column("acts", sa.BigInteger(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("changed_at", UTCDateTime(), nullable=False),
        sa.CheckConstraint("acts >= 0", name=op.f("ck_pledges_acts")),
        sa.CheckConstraint("min_presence BETWEEN 0 AND 3", name=op.f("ck_pledges_presence")),
        sa.CheckConstraint("per_day_cap_minor IS NULL OR per_day_cap_minor > 0", name=op.f("ck_pledges_day_cap")),
        sa.CheckConstraint(
            "per_person_cap_minor IS NULL OR per_person_cap_minor > 0", name=op.f("ck_pledges_person_cap")
        ),
        sa.CheckConstraint("unit_minor > 0 AND cap_minor > 0", name=op.f("ck_pledges_amounts")),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=op.f("fk_pledges_campaign_id_campaigns")),
        sa.ForeignKeyConstraint(["matches_id"], ["pledges.id"], name=op.f("fk_pledges_matches_id_pledges")),
        sa.ForeignKeyConstraint(["mission_id"], ["missions.id"], name=op.f("fk_pledges_mission_id_missions")),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name=op.f("fk_pledges_organisation_id_organisations")
        ),
        sa.ForeignKeyConstraint(["sponsor_id"], ["sponsors.id"], name=op.f("fk_pledges_sponsor_id_sponsors")),
        sa.ForeignKeyConstraint(["step_id"], ["steps.id"], name=op.f("fk_pledges_step_id_steps")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pledges")),
        sa.UniqueConstraint("mission_id", "external_id", name=op.f("uq_pledges_mission_id_external_id")),
    )
    op.create_table(
        "accruals",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("pledge_id", sa.Uuid(), nullable=False),
        sa.Column("completion_id", sa.Uuid(), nullable=False),
        sa.Column("beneficiary_id", sa.Uuid(), nullable=False),
        sa.Column("surrogate", sa.Uuid(), nullable=False),
        sa.Column("place_id", sa.Uuid(), nullable=True),
        sa.Column("civil_day", sa.Date(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", AutoString(), nullable=False),
        sa.Column("state", AutoString(), nullable=False),
        sa.Column("reason", AutoString(), nullable=True),
        sa.Column("accrued_at", UTCDateTime(), nullable=False),
        sa.Column("review_until", UTCDateTime(), nullable=False),
        sa.Column("posted_at", UTCDateTime(), nullable=True),
        sa.Column("undone_at", UTCDateTime(), nullable=True),
        sa.CheckConstraint(
            "(state IN ('voided', 'reversed')) = (undone_at IS NOT NULL)", name=op.f("ck_accruals_undone")
        ),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_accruals_amount")),
        sa.ForeignKeyConstraint(
            ["beneficiary_id"], ["beneficiaries.id"], name=op.f("fk_accruals_beneficiary_id_beneficiaries")
        ),
        sa.ForeignKeyConstraint(["place_id"], ["places.id"], name=op.f("fk_accruals_place_id_places")),
        sa.ForeignKeyConstraint(["pledge_id"], ["pledges.id"], name=op.f("fk_accruals_pledge_id_pledges")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accruals")),
        sa.UniqueConstraint("pledge_id", "completion_id", name=op.f("uq_accruals_pledge_id_completion_id")),
    )
    op.create_index(op.f("ix_accruals_completion_id"), "accruals", ["completion_id"])
    op.create_index("ix_accruals_pledge_id_state", "accruals", ["pledge_id", "state"])
    op.create_index("ix_accruals_state_review_until", "accruals", ["state", "review_until"])
    op.create_index(op.f("ix_accruals_surrogate"), "accruals", ["surrogate"])
    op.create_table(
        "pledge_beneficiaries",
        sa.Column("pledge_id", sa.Uuid(), nullable=False),
        sa.Column("beneficiary_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["beneficiary_id"], ["beneficiaries.id"], name=op.f("fk_pledge_beneficiaries_beneficiary_id_beneficiaries")
        ),
        sa.ForeignKeyConstraint(["pledge_id"], ["pledges.id"], name=op.f("fk_pledge_beneficiaries_pledge_id_pledges")),
        sa.PrimaryKeyConstraint("pledge_id", "beneficiary_id", name=op.f("pk_pledge_beneficiaries")),
        sa.UniqueConstraint("pledge_id", "position", name=op.f("uq_pledge_beneficiaries_pledge_id_position")),
    )
    op.create_table(
        "pledge_days",
        sa.Column("pledge_id", sa.Uuid(), nullable=False),
        sa.Column("civil_day", sa.Date(), nullable=False),
        sa.Column("drawn_minor", sa.BigInteger(), nullable=False),
        sa.Column("cap_minor", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("drawn_minor >= 0 AND drawn_minor <= cap_minor", name=op.f("ck_pledge_days_cap")),
        sa.ForeignKeyConstraint(["pledge_id"], ["pledges.id"], name=op.f("fk_pledge_days_pledge_id_pledges")),
        sa.PrimaryKeyConstraint("pledge_id", "civil_day", name=op.f("pk_pledge_days")),
    )
    op.create_table(
        "pledge_links",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("pledge_id", sa.Uuid(), nullable=True),
        sa.Column("beneficiary_id", sa.Uuid(), nullable=True),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("expires_at", UTCDateTime(), nullable=False),
        sa.Column("used_at", UTCDateTime(), nullable=True),
        sa.Column("revoked_at", UTCDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["beneficiary_id"], ["beneficiaries.id"], name=op.f("fk_pledge_links_beneficiary_id_beneficiaries")
        ),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name=op.f("fk_pledge_links_organisation_id_organisations")
        ),
        sa.ForeignKeyConstraint(["pledge_id"], ["pledges.id"], name=op.f("fk_pledge_links_pledge_id_pledges")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pledge_links")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_pledge_links_secret_hash")),
    )
    op.create_index(op.f("ix_pledge_links_beneficiary_id"), "pledge_links", ["beneficiary_id"])
    op.create_index(op.f("ix_pledge_links_pledge_id"), "pledge_links", ["pledge_id"])
    op.create_table(
        "pledge_people",
        sa.Column("pledge_id", sa.Uuid(), nullable=False),
        sa.Column("surrogate", sa.Uuid(), nullable=False),
        sa.Column("drawn_minor", sa.BigInteger(), nullable=False),
        sa.Column("cap_minor", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("drawn_minor >= 0 AND drawn_minor <= cap_minor", name=op.f("ck_pledge_people_cap")),
        sa.ForeignKeyConstraint(["pledge_id"], ["pledges.id"], name=op.f("fk_pledge_people_pledge_id_pledges")),
        sa.PrimaryKeyConstraint("pledge_id", "surrogate", name=op.f("pk_pledge_people")),
    )
    op.create_table(
        "payout_items",
        sa.Column("accrual_id", sa.Uuid(), nullable=False),
        sa.Column("payout_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["accrual_id"], ["accruals.id"], name=op.f("fk_payout_items_accrual_id_accruals")),
        sa.ForeignKeyConstraint(["payout_id"], ["payouts.id"], name=op.f("fk_payout_items_payout_id_payouts")),
        sa.PrimaryKeyConstraint("accrual_id", name=op.f("pk_payout_items")),
    )
    op.create_index(op.f("ix_payout_items_payout_id"), "payout_items", ["payout_id"])
    for table in ("transfers", "ledger_lines", "ledger_heads"):
        triggers.grow_only(table)
