"""Kinds of steps with what their acts rest on, and scans that are voided

Revision: 0016, after 0015
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

from campaigns.migrations.triggers import grow_only

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_TEXT = ("phase", "code", "outcome", "external_id", "civil_day", "period", "reason", "what")
_OPTIONAL = ("used_at", "step_answers.reason", "friend_namings.check_in_id")
_REFERENCES = {
    "mission_id": "missions",
    "participant_id": "participants",
    "friend_id": "participants",
    "place_id": "places",
    "step_id": "steps",
    "organisation_id": "organisations",
}


def upgrade() -> None:
    op.add_column("step_completions", sa.Column("points", sa.Integer(), server_default="0", nullable=False))
    op.add_column("step_completions", sa.Column("reason", AutoString(), nullable=True))
    op.create_index("ix_step_completions_source_id", "step_completions", ["source_id"])
    op.add_column("memberships", sa.Column("completed_at", UTCDateTime(), nullable=True))
    op.add_column("check_ins", sa.Column("voided_at", UTCDateTime(), nullable=True))
    _visits()
    _acts()
    _table("scan_voids", ["scan_id", "reason", "voided_at"], key=["scan_id"])
    _table("void_effects", ["id", "scan_id", "what", "subject_id", "outcome"], indexed=["scan_id"])
    grow_only("scan_voids")
    grow_only("void_effects")


def _visits() -> None:
    places = ["mission_id", "participant_id", "place_id", "phase"]
    _table("mission_places", [*places, "presence", "check_in_id"], key=places)
    _table("step_answers", ["check_in_id", "step_id", "outcome", "reason"], key=["check_in_id", "step_id"])


def _acts() -> None:
    person = ["participant_id"]
    code = ["id", "organisation_id", "step_id", "participant_id", "code", "phase", "issued_at", "expires_at", "used_at"]
    _table("act_codes", code, unique=["organisation_id", "code"], indexed=person)
    witnessed = ["code_id", "step_id", "participant_id", "place_id", "staff_session_id", "phase", "validated_at"]
    _table("validations", ["id", *witnessed], unique=["code_id"], indexed=person)
    once = ["step_id", "participant_id", "friend_id", "period", "phase"]
    friends = ["participant_id", "friend_id", "check_in_id"]
    _table("friend_namings", ["id", *once, "named_at", "check_in_id"], unique=once, indexed=friends)
    named = ["mission_id", "participant_id"]
    _table("public_codes", [*named, "code", "issued_at"], key=named, unique=["code"])
    day = ["mission_id", "participant_id", "civil_day", "phase"]
    _table("shares", ["id", *day, "shared_at"], unique=day, indexed=person)
    told = ["id", "mission_id", "external_id", "participant_id", "step_id", "outcome", "phase", "acted_at"]
    _table("external_acts", told, unique=["mission_id", "external_id"], indexed=person)


def _table(
    name: str,
    columns: list[str],
    *,
    key: list[str] | None = None,
    unique: list[str] | None = None,
    indexed: list[str] | None = None,
) -> None:
    rules: list[sa.Constraint] = [sa.PrimaryKeyConstraint(*(key or ["id"]), name=op.f(f"pk_{name}"))]
    if unique:
        rules.append(sa.UniqueConstraint(*unique, name=op.f(f"uq_{name}_{'_'.join(unique)}")))
    for column in columns:
        if column in _REFERENCES:
            target = _REFERENCES[column]
            label = op.f(f"fk_{name}_{column}_{target}")
            rules.append(sa.ForeignKeyConstraint([column], [f"{target}.id"], name=label))
    op.create_table(name, *(_column(name, column) for column in columns), *rules)
    for column in indexed or ():
        op.create_index(f"ix_{name}_{column}", name, [column])


def _column(table: str, name: str) -> "sa.Column[Any]":
    kind: sa.types.TypeEngine[Any] = sa.Uuid()
    if name in _TEXT:
        kind = AutoString()
    elif name.endswith("_at"):
        kind = UTCDateTime()
    elif name == "presence":
        kind = sa.Integer()
    return sa.Column(name, kind, nullable=name in _OPTIONAL or f"{table}.{name}" in _OPTIONAL)
