"""First tables

Revision: 0001, after None
"""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "events",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", AutoString(), nullable=False),
        sa.Column("payload", AutoString(), nullable=False),
        sa.Column("recorded_at", UTCDateTime(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("retry_at", UTCDateTime(), nullable=True),
        sa.Column("error", AutoString(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
    )
    op.create_index(op.f("ix_events_retry_at"), "events", ["retry_at"], unique=False)
    op.create_table(
        "key_fingerprints",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("fingerprint", AutoString(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_key_fingerprints")),
        sa.UniqueConstraint("fingerprint", name=op.f("uq_key_fingerprints_fingerprint")),
    )
    op.create_table(
        "organisations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", AutoString(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organisations")),
    )
    op.create_table(
        "receipt_tries",
        sa.Column("scan_id", sa.Uuid(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("scan_id", name=op.f("pk_receipt_tries")),
    )
    op.create_table(
        "scan_confirmations",
        sa.Column("scan_id", sa.Uuid(), nullable=False),
        sa.Column("token_id", sa.Uuid(), nullable=False),
        sa.Column("visitor_key", sa.BigInteger(), nullable=False),
        sa.Column("confirmed_at", UTCDateTime(), nullable=False),
        sa.Column("is_judged", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("scan_id", name=op.f("pk_scan_confirmations")),
    )
    op.create_index(
        "ix_scan_confirmations_token_id_visitor_key",
        "scan_confirmations",
        ["token_id", "visitor_key", "scan_id"],
        unique=False,
    )
    op.create_table(
        "scan_counters",
        sa.Column("token_id", sa.Uuid(), nullable=False),
        sa.Column("hour", sa.BigInteger(), nullable=False),
        sa.Column("phase", AutoString(), nullable=False),
        sa.Column("verdict", AutoString(), nullable=False),
        sa.Column("writer", sa.Integer(), nullable=False),
        sa.Column("scans", sa.BigInteger(), nullable=False),
        sa.Column("confirmed", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("token_id", "hour", "phase", "verdict", "writer", name=op.f("pk_scan_counters")),
    )
    op.create_table(
        "scan_judgements",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("scan_id", sa.Uuid(), nullable=False),
        sa.Column("rules_version", sa.Integer(), nullable=False),
        sa.Column("verdict", AutoString(), nullable=False),
        sa.Column("score", sa.Integer(), nullable=False),
        sa.Column("reasons", AutoString(), nullable=False),
        sa.Column("decided_at", UTCDateTime(), nullable=False),
        sa.Column("decided_by", AutoString(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scan_judgements")),
    )
    op.create_index(op.f("ix_scan_judgements_scan_id"), "scan_judgements", ["scan_id"], unique=False)
    op.create_table(
        "scan_positions",
        sa.Column("scan_id", sa.Uuid(), nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("geofence", AutoString(), nullable=False),
        sa.Column("distance_m", sa.Integer(), nullable=True),
        sa.Column("accuracy_m", sa.Integer(), nullable=False),
        sa.Column("located_at", UTCDateTime(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("scan_id", "slot", name=op.f("pk_scan_positions")),
    )
    op.create_table(
        "scan_visitors",
        sa.Column("token_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("visitor_key", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("token_id", "day", "visitor_key", name=op.f("pk_scan_visitors")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "scan_writers",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("started_at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_scan_writers")),
    )
    op.create_table(
        "scans",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=True),
        sa.Column("token_id", sa.Uuid(), nullable=True),
        sa.Column("place_id", sa.Uuid(), nullable=True),
        sa.Column("code", AutoString(), nullable=True),
        sa.Column("visitor_key", sa.BigInteger(), nullable=False),
        sa.Column("phase", AutoString(), nullable=False),
        sa.Column("verdict", AutoString(), nullable=False),
        sa.Column("score", sa.Integer(), nullable=False),
        sa.Column("reasons", AutoString(), nullable=False),
        sa.Column("rules_version", sa.Integer(), nullable=False),
        sa.Column("device", AutoString(), nullable=False),
        sa.Column("language", AutoString(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scans")),
    )
    op.create_index("ix_scans_campaign_id_id", "scans", ["campaign_id", "id"], unique=False)
    op.create_table(
        "visitor_salts",
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_visitor_salts")),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE visitor_salts SET UNLOGGED")
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("role", AutoString(), nullable=False),
        sa.Column("prefix", AutoString(), nullable=False),
        sa.Column("secret_hash", AutoString(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("last_used_at", UTCDateTime(), nullable=True),
        sa.Column("revoked_at", UTCDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name=op.f("fk_api_keys_organisation_id_organisations")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_api_keys_secret_hash")),
    )
    op.create_index(op.f("ix_api_keys_organisation_id"), "api_keys", ["organisation_id"], unique=False)
    op.create_table(
        "campaigns",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("external_id", AutoString(), nullable=True),
        sa.Column("name", AutoString(), nullable=False),
        sa.Column("objective", AutoString(), nullable=False),
        sa.Column("state", AutoString(), nullable=False),
        sa.Column("starts_at", UTCDateTime(), nullable=True),
        sa.Column("ends_at", UTCDateTime(), nullable=True),
        sa.Column("time_zone", AutoString(), nullable=False),
        sa.Column("budget_minor", sa.BigInteger(), nullable=True),
        sa.Column("currency", AutoString(), nullable=True),
        sa.Column("destination", AutoString(), nullable=True),
        sa.Column("languages", sa.JSON(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("changed_at", UTCDateTime(), nullable=False),
        sa.Column("launched_at", UTCDateTime(), nullable=True),
        sa.Column("ended_at", UTCDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name=op.f("fk_campaigns_organisation_id_organisations")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaigns")),
        sa.UniqueConstraint("organisation_id", "external_id", name=op.f("uq_campaigns_organisation_id_external_id")),
    )
    op.create_index(op.f("ix_campaigns_changed_at"), "campaigns", ["changed_at"], unique=False)
    op.create_table(
        "idempotent_answers",
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("key", AutoString(), nullable=False),
        sa.Column("fingerprint", AutoString(), nullable=False),
        sa.Column("started_at", UTCDateTime(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("content_type", AutoString(), nullable=True),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name=op.f("fk_idempotent_answers_organisation_id_organisations"),
        ),
        sa.PrimaryKeyConstraint("organisation_id", "key", name=op.f("pk_idempotent_answers")),
    )
    op.create_index(op.f("ix_idempotent_answers_started_at"), "idempotent_answers", ["started_at"], unique=False)
    op.create_table(
        "participants",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("pseudonym", AutoString(), nullable=False),
        sa.Column("language", AutoString(), nullable=False),
        sa.Column("cohort", AutoString(), nullable=False),
        sa.Column("secret_hash", AutoString(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisations.id"],
            name=op.f("fk_participants_organisation_id_organisations"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_participants")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_participants_secret_hash")),
    )
    op.create_index(op.f("ix_participants_organisation_id"), "participants", ["organisation_id"], unique=False)
    op.create_table(
        "places",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("external_id", AutoString(), nullable=True),
        sa.Column("name", AutoString(), nullable=False),
        sa.Column("lat", sa.Float(), nullable=True),
        sa.Column("lon", sa.Float(), nullable=True),
        sa.Column("radius_m", sa.Integer(), nullable=False),
        sa.Column("time_zone", AutoString(), nullable=False),
        sa.Column("address", AutoString(), nullable=True),
        sa.Column("opening_hours", sa.JSON(), nullable=True),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("changed_at", UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name=op.f("fk_places_organisation_id_organisations")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_places")),
        sa.UniqueConstraint("organisation_id", "external_id", name=op.f("uq_places_organisation_id_external_id")),
    )
    op.create_index(op.f("ix_places_changed_at"), "places", ["changed_at"], unique=False)
    op.create_table(
        "missions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("external_id", AutoString(), nullable=True),
        sa.Column("slug", AutoString(), nullable=False),
        sa.Column("title", sa.JSON(), nullable=False),
        sa.Column("promise", sa.JSON(), nullable=False),
        sa.Column("goal_metric", AutoString(), nullable=False),
        sa.Column("goal_value", sa.BigInteger(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("changed_at", UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=op.f("fk_missions_campaign_id_campaigns")),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name=op.f("fk_missions_organisation_id_organisations")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_missions")),
        sa.UniqueConstraint("campaign_id", "external_id", name=op.f("uq_missions_campaign_id_external_id")),
        sa.UniqueConstraint("slug", name=op.f("uq_missions_slug")),
    )
    op.create_index(op.f("ix_missions_campaign_id"), "missions", ["campaign_id"], unique=False)
    op.create_table(
        "staff_links",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("place_id", sa.Uuid(), nullable=False),
        sa.Column("secret_hash", AutoString(), nullable=False),
        sa.Column("role", AutoString(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("expires_at", UTCDateTime(), nullable=False),
        sa.Column("used_at", UTCDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["place_id"], ["places.id"], name=op.f("fk_staff_links_place_id_places")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_staff_links")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_staff_links_secret_hash")),
    )
    op.create_index(op.f("ix_staff_links_place_id"), "staff_links", ["place_id"], unique=False)
    op.create_table(
        "staff_sessions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("place_id", sa.Uuid(), nullable=False),
        sa.Column("secret_hash", AutoString(), nullable=False),
        sa.Column("role", AutoString(), nullable=False),
        sa.Column("label", AutoString(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("expires_at", UTCDateTime(), nullable=False),
        sa.Column("revoked_at", UTCDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["place_id"], ["places.id"], name=op.f("fk_staff_sessions_place_id_places")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_staff_sessions")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_staff_sessions_secret_hash")),
    )
    op.create_index(op.f("ix_staff_sessions_place_id"), "staff_sessions", ["place_id"], unique=False)
    op.create_table(
        "targets",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("kpi", AutoString(), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("locked_at", UTCDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=op.f("fk_targets_campaign_id_campaigns")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_targets")),
        sa.UniqueConstraint("campaign_id", "kpi", name=op.f("uq_targets_campaign_id_kpi")),
    )
    op.create_table(
        "till_code_tries",
        sa.Column("place_id", sa.Uuid(), nullable=False),
        sa.Column("civil_day", AutoString(), nullable=False),
        sa.Column("wrong", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["place_id"], ["places.id"], name=op.f("fk_till_code_tries_place_id_places")),
        sa.PrimaryKeyConstraint("place_id", "civil_day", name=op.f("pk_till_code_tries")),
    )
    op.create_table(
        "tokens",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("place_id", sa.Uuid(), nullable=True),
        sa.Column("external_id", AutoString(), nullable=True),
        sa.Column("code", AutoString(), nullable=False),
        sa.Column("medium", AutoString(), nullable=False),
        sa.Column("kind", AutoString(), nullable=False),
        sa.Column("state", AutoString(), nullable=False),
        sa.Column("label", AutoString(), nullable=True),
        sa.Column("channel", AutoString(), nullable=True),
        sa.Column("destination", AutoString(), nullable=True),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("changed_at", UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=op.f("fk_tokens_campaign_id_campaigns")),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["organisations.id"], name=op.f("fk_tokens_organisation_id_organisations")
        ),
        sa.ForeignKeyConstraint(["place_id"], ["places.id"], name=op.f("fk_tokens_place_id_places")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
        sa.UniqueConstraint("campaign_id", "external_id", name=op.f("uq_tokens_campaign_id_external_id")),
        sa.UniqueConstraint("code", name=op.f("uq_tokens_code")),
    )
    op.create_index(op.f("ix_tokens_changed_at"), "tokens", ["changed_at"], unique=False)
    op.create_index(op.f("ix_tokens_campaign_id"), "tokens", ["campaign_id"], unique=False)
    op.create_index(op.f("ix_tokens_place_id"), "tokens", ["place_id"], unique=False)
    op.create_table(
        "visits",
        sa.Column("participant_id", sa.Uuid(), nullable=False),
        sa.Column("token_id", sa.Uuid(), nullable=False),
        sa.Column("civil_day", AutoString(), nullable=False),
        sa.Column("check_in_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["participant_id"], ["participants.id"], name=op.f("fk_visits_participant_id_participants")
        ),
        sa.PrimaryKeyConstraint("participant_id", "token_id", "civil_day", name=op.f("pk_visits")),
    )
    op.create_table(
        "check_ins",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("scan_id", sa.Uuid(), nullable=False),
        sa.Column("participant_id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("token_id", sa.Uuid(), nullable=False),
        sa.Column("place_id", sa.Uuid(), nullable=True),
        sa.Column("phase", AutoString(), nullable=False),
        sa.Column("presence", sa.Integer(), nullable=False),
        sa.Column("geofence", AutoString(), nullable=False),
        sa.Column("by_till_code", sa.Boolean(), nullable=False),
        sa.Column("verdict", AutoString(), nullable=False),
        sa.Column("reasons", AutoString(), nullable=False),
        sa.Column("counted", sa.Boolean(), nullable=False),
        sa.Column("occurred_at", UTCDateTime(), nullable=False),
        sa.Column("checked_in_at", UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=op.f("fk_check_ins_campaign_id_campaigns")),
        sa.ForeignKeyConstraint(
            ["participant_id"], ["participants.id"], name=op.f("fk_check_ins_participant_id_participants")
        ),
        sa.ForeignKeyConstraint(["token_id"], ["tokens.id"], name=op.f("fk_check_ins_token_id_tokens")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_check_ins")),
        sa.UniqueConstraint("scan_id", name=op.f("uq_check_ins_scan_id")),
    )
    op.create_index("ix_check_ins_campaign_id_id", "check_ins", ["campaign_id", "id"], unique=False)
    op.create_index(op.f("ix_check_ins_participant_id"), "check_ins", ["participant_id"], unique=False)
    op.create_index("ix_check_ins_place_id_id", "check_ins", ["place_id", "id"], unique=False)
    op.create_table(
        "ideas",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("mission_id", sa.Uuid(), nullable=False),
        sa.Column("participant_id", sa.Uuid(), nullable=False),
        sa.Column("client_id", AutoString(), nullable=False),
        sa.Column("text", AutoString(), nullable=False),
        sa.Column("language", AutoString(), nullable=False),
        sa.Column("state", AutoString(), nullable=False),
        sa.Column("phase", AutoString(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["mission_id"], ["missions.id"], name=op.f("fk_ideas_mission_id_missions")),
        sa.ForeignKeyConstraint(
            ["participant_id"], ["participants.id"], name=op.f("fk_ideas_participant_id_participants")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ideas")),
        sa.UniqueConstraint("participant_id", "client_id", name=op.f("uq_ideas_participant_id_client_id")),
    )
    op.create_index("ix_ideas_mission_id_id", "ideas", ["mission_id", "id"], unique=False)
    op.create_table(
        "memberships",
        sa.Column("mission_id", sa.Uuid(), nullable=False),
        sa.Column("participant_id", sa.Uuid(), nullable=False),
        sa.Column("phase", AutoString(), nullable=False),
        sa.Column("joined_at", UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["mission_id"], ["missions.id"], name=op.f("fk_memberships_mission_id_missions")),
        sa.ForeignKeyConstraint(
            ["participant_id"], ["participants.id"], name=op.f("fk_memberships_participant_id_participants")
        ),
        sa.PrimaryKeyConstraint("mission_id", "participant_id", "phase", name=op.f("pk_memberships")),
    )
    op.create_table(
        "mission_counters",
        sa.Column("mission_id", sa.Uuid(), nullable=False),
        sa.Column("phase", AutoString(), nullable=False),
        sa.Column("metric", AutoString(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["mission_id"], ["missions.id"], name=op.f("fk_mission_counters_mission_id_missions")),
        sa.PrimaryKeyConstraint("mission_id", "phase", "metric", name=op.f("pk_mission_counters")),
    )
    op.create_table(
        "steps",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("mission_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("kind", AutoString(), nullable=False),
        sa.Column("mode", AutoString(), nullable=False),
        sa.Column("title", sa.JSON(), nullable=True),
        sa.Column("min_presence", sa.Integer(), nullable=False),
        sa.Column("repeat", AutoString(), nullable=False),
        sa.Column("points", sa.Integer(), nullable=False),
        sa.Column("params", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["mission_id"], ["missions.id"], name=op.f("fk_steps_mission_id_missions")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_steps")),
        sa.UniqueConstraint("mission_id", "position", name=op.f("uq_steps_mission_id_position")),
    )
    op.create_table(
        "step_completions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("step_id", sa.Uuid(), nullable=False),
        sa.Column("mission_id", sa.Uuid(), nullable=False),
        sa.Column("participant_id", sa.Uuid(), nullable=False),
        sa.Column("period", AutoString(), nullable=False),
        sa.Column("phase", AutoString(), nullable=False),
        sa.Column("state", AutoString(), nullable=False),
        sa.Column("presence", sa.Integer(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("completed_at", UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["mission_id"], ["missions.id"], name=op.f("fk_step_completions_mission_id_missions")),
        sa.ForeignKeyConstraint(
            ["participant_id"],
            ["participants.id"],
            name=op.f("fk_step_completions_participant_id_participants"),
        ),
        sa.ForeignKeyConstraint(["step_id"], ["steps.id"], name=op.f("fk_step_completions_step_id_steps")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_step_completions")),
        sa.UniqueConstraint(
            "step_id",
            "participant_id",
            "period",
            "phase",
            name=op.f("uq_step_completions_step_id_participant_id_period_phase"),
        ),
    )
    op.create_index(op.f("ix_step_completions_mission_id"), "step_completions", ["mission_id"], unique=False)
    op.create_index(op.f("ix_step_completions_participant_id"), "step_completions", ["participant_id"], unique=False)
