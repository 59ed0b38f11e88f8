"""Rounds of a mission, ballots, votes and their counters

Revision: 0017, after 0016
"""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_STANDS = sa.text("slot IS NOT NULL")


def upgrade() -> None:
    _rounds()
    _ballots()
    _votes()
    _counters()


def _reference(table: str, column: str, to: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{to}.id"], name=op.f(f"fk_{table}_{column}_{to}"))


def _rounds() -> None:
    op.create_table(
        "rounds",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organisation_id", sa.Uuid(), nullable=False),
        sa.Column("mission_id", sa.Uuid(), nullable=False),
        sa.Column("opens_at", UTCDateTime(), nullable=False),
        sa.Column("closes_at", UTCDateTime(), nullable=False),
        sa.Column("quota", sa.Integer(), nullable=False),
        sa.Column("min_presence", sa.Integer(), nullable=False),
        sa.Column("electorate", AutoString(), nullable=False),
        sa.Column("place_ids", sa.JSON(), nullable=True),
        sa.Column("totals", AutoString(), nullable=False),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("changed_at", UTCDateTime(), nullable=False),
        sa.Column("first_vote_at", UTCDateTime(), nullable=True),
        sa.CheckConstraint("quota BETWEEN 1 AND 20", name=op.f("ck_rounds_quota")),
        sa.CheckConstraint("min_presence BETWEEN 0 AND 3", name=op.f("ck_rounds_min_presence")),
        sa.CheckConstraint("closes_at > opens_at", name=op.f("ck_rounds_window")),
        _reference("rounds", "organisation_id", "organisations"),
        _reference("rounds", "mission_id", "missions"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rounds")),
    )
    op.create_index("ix_rounds_mission_id_id", "rounds", ["mission_id", "id"])


def _ballots() -> None:
    op.create_table(
        "ballots",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("round_id", sa.Uuid(), nullable=False),
        sa.Column("phase", AutoString(), nullable=False),
        sa.Column("voter", AutoString(), nullable=False),
        sa.Column("proof", AutoString(), nullable=True),
        sa.Column("presence", sa.Integer(), nullable=False),
        sa.Column("live", sa.Integer(), nullable=False),
        _reference("ballots", "round_id", "rounds"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ballots")),
        sa.UniqueConstraint("round_id", "phase", "voter", name=op.f("uq_ballots_round_id_phase_voter")),
        sa.UniqueConstraint("round_id", "phase", "proof", name=op.f("uq_ballots_round_id_phase_proof")),
    )


def _votes() -> None:
    op.create_table(
        "votes",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("round_id", sa.Uuid(), nullable=False),
        sa.Column("ballot_id", sa.Uuid(), nullable=False),
        sa.Column("idea_id", sa.Uuid(), nullable=False),
        sa.Column("phase", AutoString(), nullable=False),
        sa.Column("voter", AutoString(), nullable=False),
        sa.Column("slot", sa.Integer(), nullable=True),
        sa.Column("state", AutoString(), nullable=False),
        sa.Column("presence", sa.Integer(), nullable=False),
        sa.Column("cast_hour", sa.Integer(), nullable=False),
        sa.Column("line", AutoString(), nullable=False),
        sa.Column("cast_key", AutoString(), nullable=False),
        sa.Column("withdrawal_key", AutoString(), nullable=True),
        sa.Column("rules_version_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint("(slot IS NOT NULL) = (state = 'cast')", name=op.f("ck_votes_slot")),
        sa.CheckConstraint("slot BETWEEN 1 AND 20", name=op.f("ck_votes_slot_range")),
        _reference("votes", "round_id", "rounds"),
        _reference("votes", "ballot_id", "ballots"),
        _reference("votes", "idea_id", "ideas"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_votes")),
        sa.UniqueConstraint("round_id", "phase", "voter", "slot", name=op.f("uq_votes_round_id_phase_voter_slot")),
        sa.UniqueConstraint("voter", "cast_key", name=op.f("uq_votes_voter_cast_key")),
        sa.UniqueConstraint("voter", "withdrawal_key", name=op.f("uq_votes_voter_withdrawal_key")),
        sa.UniqueConstraint("line", name=op.f("uq_votes_line")),
    )
    op.create_index(op.f("ix_votes_ballot_id"), "votes", ["ballot_id"])
    op.create_index(
        "uq_votes_of_idea",
        "votes",
        ["round_id", "idea_id", "voter"],
        unique=True,
        sqlite_where=_STANDS,
        postgresql_where=_STANDS,
    )


def _counters() -> None:
    for table, column, kind, figure in (
        ("vote_counters", "idea_id", sa.Uuid(), "votes"),
        ("turn_outs", "presence", sa.Integer(), "voters"),
    ):
        references = [_reference(table, "round_id", "rounds")]
        if column == "idea_id":
            references.append(_reference(table, column, "ideas"))
        op.create_table(
            table,
            sa.Column("round_id", sa.Uuid(), nullable=False),
            sa.Column("phase", AutoString(), nullable=False),
            sa.Column(column, kind, autoincrement=False, nullable=False),
            sa.Column(figure, sa.BigInteger(), nullable=False),
            *references,
            sa.PrimaryKeyConstraint("round_id", "phase", column, name=op.f(f"pk_{table}")),
        )
