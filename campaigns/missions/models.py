"""Missions, their steps, and who completed them."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger
from sqlmodel import Field, SQLModel, UniqueConstraint

from campaigns.audit import Audit
from campaigns.storage import Row, json_column

LocalText = dict[str, str]  # language -> text; "" holds a text given in one language only


def text_in(text: LocalText | str | None, language: str) -> str:
    """A brand's text in a language: that of the language, the one without language, or the first."""
    if not text:
        return ""
    if isinstance(text, str):
        return text
    return text.get(language) or text.get("") or next(iter(text.values()))


class GoalMetric(StrEnum):
    """What a mission counts towards. Votes and money join with them."""

    CHECK_INS = "check_ins"
    PARTICIPANTS = "participants"
    COMPLETIONS = "completions"


class StepKind(StrEnum):
    """The acts this version knows; the others of the contract join with their capability."""

    SCAN = "scan"
    IDEA = "idea"
    COMMENT = "comment"


class Mode(StrEnum):
    """Whether a step is done in the shop or on the phone."""

    OFFLINE = "offline"
    ONLINE = "online"


class Repeat(StrEnum):
    """How often a step counts for one person."""

    ONCE = "once"
    DAILY = "daily"
    WEEKLY = "weekly"


MODES = {StepKind.SCAN: Mode.OFFLINE, StepKind.IDEA: Mode.ONLINE, StepKind.COMMENT: Mode.ONLINE}


class CompletionState(StrEnum):
    """Pending completions rest on an act that is still being judged; they count for nothing yet."""

    PENDING = "pending"
    VERIFIED = "verified"


class Mission(Row, table=True):
    """A shared goal of a campaign."""

    __tablename__ = "missions"
    __audit__ = Audit("mission")
    __table_args__ = (UniqueConstraint("campaign_id", "external_id"),)

    organisation_id: UUID = Field(foreign_key="organisations.id")
    campaign_id: UUID = Field(foreign_key="campaigns.id", index=True)
    external_id: str | None = None
    slug: str = Field(unique=True)
    title: LocalText = json_column()
    promise: LocalText = json_column()
    goal_metric: str
    goal_value: int = Field(sa_type=BigInteger)
    created_at: datetime
    changed_at: datetime


class Step(Row, table=True):
    """One act of a mission. `min_presence` is the least proof it accepts, 0 to 3."""

    __tablename__ = "steps"
    __audit__ = Audit("step", path=("mission_id",))
    __table_args__ = (UniqueConstraint("mission_id", "position"),)

    mission_id: UUID = Field(foreign_key="missions.id")
    position: int
    kind: str
    mode: str
    title: LocalText | None = json_column(nullable=True)
    min_presence: int = 0
    repeat: str = Repeat.ONCE
    points: int = 0
    params: dict[str, Any] = json_column()


class StepCompletion(Row, table=True):
    """A person did a step in a period (I10). `source_id` is the check-in or the idea it rests on.

    The phase is part of the key: who tried the printer's proof in a draft can still do the step for real.
    """

    __tablename__ = "step_completions"
    __table_args__ = (UniqueConstraint("step_id", "participant_id", "period", "phase"),)

    step_id: UUID = Field(foreign_key="steps.id")
    mission_id: UUID = Field(foreign_key="missions.id", index=True)
    participant_id: UUID = Field(foreign_key="participants.id", index=True)
    period: str
    phase: str
    state: str
    presence: int
    source_id: UUID
    completed_at: datetime


class Membership(SQLModel, table=True):
    """A person takes part in a mission, once a phase."""

    __tablename__ = "memberships"

    mission_id: UUID = Field(foreign_key="missions.id", primary_key=True)
    participant_id: UUID = Field(foreign_key="participants.id", primary_key=True)
    phase: str = Field(primary_key=True)
    joined_at: datetime
    rules_version_id: UUID | None = Field(default=None, description="the rules in force when they joined")


class MissionCounter(SQLModel, table=True):
    """A mission's running totals of a phase: `participants`, `check_ins`, `completions`, `ideas`."""

    __tablename__ = "mission_counters"

    mission_id: UUID = Field(foreign_key="missions.id", primary_key=True)
    phase: str = Field(primary_key=True)
    metric: str = Field(primary_key=True)
    total: int = Field(default=0, sa_type=BigInteger)
