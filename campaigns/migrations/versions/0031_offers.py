"""Offers, coupons and what tills did with them

Revision: 0031, after 0030
"""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "offers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("mission_id", sa.Uuid(), nullable=True),
        sa.Column("external_id", AutoString(), nullable=True),
        sa.Column("title", sa.JSON(), nullable=False),
        sa.Column("description", sa.JSON(), nullable=True),
        sa.Column("restrictions", sa.JSON(), nullable=True),
        sa.Column("product", AutoString(), nullable=False),
        sa.Column("face_value_minor", sa.BigInteger(), nullable=True),
        sa.Column("price_minor", sa.BigInteger(), nullable=True),
        sa.Column("currency", AutoString(), nullable=True),
        sa.Column("max_issue", sa.BigInteger(), nullable=False),
        sa.Column("max_redemptions", sa.BigInteger(), nullable=False),
        sa.Column("issued", sa.BigInteger(), nullable=False),
        sa.Column("redeemed", sa.BigInteger(), nullable=False),
        sa.Column("place_ids", sa.JSON(), nullable=True),
        sa.Column("valid_from", UTCDateTime(), nullable=True),
        sa.Column("valid_until", UTCDateTime(), nullable=True),
        sa.Column("coupon_days", sa.Integer(), nullable=True),
        sa.Column("unlock", AutoString(), nullable=False),
        sa.Column("once_per", AutoString(), nullable=False),
        sa.Column("step_id", sa.Uuid(), nullable=True),
        sa.Column("beneficiary_id", sa.Uuid(), nullable=True),
        sa.Column("state", AutoString(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("changed_at", UTCDateTime(), nullable=False),
        sa.Column("ended_at", UTCDateTime(), nullable=True),
        sa.CheckConstraint("(step_id IS NOT NULL) = (unlock = 'step')", name=op.f("ck_offers_step")),
        sa.CheckConstraint("face_value_minor IS NULL OR currency IS NOT NULL", name=op.f("ck_offers_currency")),
        sa.CheckConstraint("face_value_minor IS NULL OR face_value_minor > 0", name=op.f("ck_offers_face_value")),
        sa.CheckConstraint("issued BETWEEN 0 AND max_issue", name=op.f("ck_offers_issued")),
        sa.CheckConstraint("max_redemptions BETWEEN 1 AND max_issue", name=op.f("ck_offers_most")),
        sa.CheckConstraint("price_minor IS NULL OR price_minor > 0", name=op.f("ck_offers_price")),
        sa.CheckConstraint("redeemed BETWEEN 0 AND max_redemptions", name=op.f("ck_offers_redeemed")),
        sa.CheckConstraint(
            "valid_until IS NULL OR valid_from IS NULL OR valid_from < valid_until", name=op.f("ck_offers_window")
        ),
        sa.ForeignKeyConstraint(
            ["beneficiary_id"], ["beneficiaries.id"], name=op.f("fk_offers_beneficiary_id_beneficiaries")
        ),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=op.f("fk_offers_campaign_id_campaigns")),
        sa.ForeignKeyConstraint(["mission_id"], ["missions.id"], name=op.f("fk_offers_mission_id_missions")),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name=op.f("fk_offers_organisation_id_organisations")
        ),
        sa.ForeignKeyConstraint(["step_id"], ["steps.id"], name=op.f("fk_offers_step_id_steps")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_offers")),
        sa.UniqueConstraint("campaign_id", "external_id", name=op.f("uq_offers_campaign_id_external_id")),
    )
    op.create_index(op.f("ix_offers_mission_id"), "offers", ["mission_id"])
    op.create_index(op.f("ix_offers_step_id"), "offers", ["step_id"])
    op.create_table(
        "coupons",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("offer_id", sa.Uuid(), nullable=False),
        sa.Column("participant_id", sa.Uuid(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("code", AutoString(), nullable=False),
        sa.Column("phase", AutoString(), nullable=False),
        sa.Column("is_personal", sa.Boolean(), nullable=False),
        sa.Column("was_online", sa.Boolean(), nullable=False),
        sa.Column("state", AutoString(), nullable=False),
        sa.Column("choice", AutoString(), nullable=False),
        sa.Column("issued_at", UTCDateTime(), nullable=False),
        sa.Column("expires_at", UTCDateTime(), nullable=True),
        sa.Column("locked_at", UTCDateTime(), nullable=True),
        sa.Column("redeemed_at", UTCDateTime(), nullable=True),
        sa.Column("rolled_back_at", UTCDateTime(), nullable=True),
        sa.Column("ended_at", UTCDateTime(), nullable=True),
        sa.Column("reason", AutoString(), nullable=True),
        sa.Column("source_voided_at", UTCDateTime(), nullable=True),
        sa.CheckConstraint("(ended_at IS NOT NULL) = (state IN ('expired', 'revoked'))", name=op.f("ck_coupons_ended")),
        sa.CheckConstraint("(reason IS NOT NULL) = (state = 'revoked')", name=op.f("ck_coupons_reason")),
        sa.CheckConstraint("(redeemed_at IS NOT NULL) = (state = 'redeemed')", name=op.f("ck_coupons_redeemed")),
        sa.CheckConstraint("state <> 'rolled_back' OR rolled_back_at IS NOT NULL", name=op.f("ck_coupons_rolled_back")),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=op.f("fk_coupons_campaign_id_campaigns")),
        sa.ForeignKeyConstraint(["offer_id"], ["offers.id"], name=op.f("fk_coupons_offer_id_offers")),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name=op.f("fk_coupons_organisation_id_organisations")
        ),
        sa.ForeignKeyConstraint(
            ["participant_id"], ["participants.id"], name=op.f("fk_coupons_participant_id_participants")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_coupons")),
        sa.UniqueConstraint("code", name=op.f("uq_coupons_code")),
    )
    op.create_index(
        "ix_coupons_good_expires_at",
        "coupons",
        ["expires_at"],
        sqlite_where=sa.text("state IN ('issued', 'locked', 'rolled_back')"),
        postgresql_where=sa.text("state IN ('issued', 'locked', 'rolled_back')"),
    )
    op.create_index("ix_coupons_offer_id_id", "coupons", ["offer_id", "id"])
    op.create_index(op.f("ix_coupons_participant_id"), "coupons", ["participant_id"])
    op.create_index(op.f("ix_coupons_source_id"), "coupons", ["source_id"])
    op.create_index(
        "uq_coupons_person",
        "coupons",
        ["offer_id", "participant_id"],
        unique=True,
        sqlite_where=sa.text("is_personal AND state <> 'revoked'"),
        postgresql_where=sa.text("is_personal AND state <> 'revoked'"),
    )
    op.create_index(
        "uq_coupons_source",
        "coupons",
        ["offer_id", "source_id"],
        unique=True,
        sqlite_where=sa.text("state <> 'revoked'"),
        postgresql_where=sa.text("state <> 'revoked'"),
    )
    op.create_table(
        "redemptions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("place_id", sa.Uuid(), nullable=False),
        sa.Column("device", AutoString(), nullable=False),
        sa.Column("nonce", AutoString(), nullable=False),
        sa.Column("code_hash", AutoString(), nullable=False),
        sa.Column("coupon_id", sa.Uuid(), nullable=True),
        sa.Column("offer_id", sa.Uuid(), nullable=True),
        sa.Column("outcome", AutoString(), nullable=False),
        sa.Column("reason", AutoString(), nullable=True),
        sa.Column("choice", AutoString(), nullable=True),
        sa.Column("value_minor", sa.BigInteger(), nullable=True),
        sa.Column("currency", AutoString(), nullable=True),
        sa.Column("beneficiary_id", sa.Uuid(), nullable=True),
        sa.Column("basket_minor", sa.BigInteger(), nullable=True),
        sa.Column("occurred_at", UTCDateTime(), nullable=False),
        sa.Column("recorded_at", UTCDateTime(), nullable=False),
        sa.Column("is_offline", sa.Boolean(), nullable=False),
        sa.Column("civil_day", sa.Date(), nullable=False),
        sa.Column("other_id", sa.Uuid(), nullable=True),
        sa.Column("rolled_back_at", UTCDateTime(), nullable=True),
        sa.Column("rolled_back_by", AutoString(), nullable=True),
        sa.CheckConstraint("(reason IS NOT NULL) = (outcome = 'refused')", name=op.f("ck_redemptions_reason")),
        sa.CheckConstraint("outcome = 'refused' OR coupon_id IS NOT NULL", name=op.f("ck_redemptions_coupon")),
        sa.CheckConstraint("rolled_back_at IS NULL OR outcome = 'accepted'", name=op.f("ck_redemptions_rolled_back")),
        sa.CheckConstraint("basket_minor IS NULL OR basket_minor >= 0", name=op.f("ck_redemptions_basket")),
        sa.ForeignKeyConstraint(
            ["beneficiary_id"], ["beneficiaries.id"], name=op.f("fk_redemptions_beneficiary_id_beneficiaries")
        ),
        sa.ForeignKeyConstraint(["coupon_id"], ["coupons.id"], name=op.f("fk_redemptions_coupon_id_coupons")),
        sa.ForeignKeyConstraint(["offer_id"], ["offers.id"], name=op.f("fk_redemptions_offer_id_offers")),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name=op.f("fk_redemptions_organisation_id_organisations")
        ),
        sa.ForeignKeyConstraint(["place_id"], ["places.id"], name=op.f("fk_redemptions_place_id_places")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_redemptions")),
        sa.UniqueConstraint("place_id", "device", "nonce", name=op.f("uq_redemptions_place_id_device_nonce")),
    )
    op.create_index(op.f("ix_redemptions_coupon_id"), "redemptions", ["coupon_id"])
    op.create_index(op.f("ix_redemptions_offer_id"), "redemptions", ["offer_id"])
    op.create_index("ix_redemptions_place_id_civil_day", "redemptions", ["place_id", "civil_day"])
    op.create_index(
        "uq_redemptions_coupon",
        "redemptions",
        ["coupon_id"],
        unique=True,
        sqlite_where=sa.text("outcome = 'accepted' AND rolled_back_at IS NULL"),
        postgresql_where=sa.text("outcome = 'accepted' AND rolled_back_at IS NULL"),
    )
