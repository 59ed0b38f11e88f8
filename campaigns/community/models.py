"""What participants say."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlmodel import Field, Index, UniqueConstraint

from campaigns.storage import Row


class IdeaState(StrEnum):
    """Published at once; shortlists, selections and hiding join with the ballots."""

    PUBLISHED = "published"
    ERASED = "erased"  # taken back by its author: counted, never shown


class Idea(Row, table=True):
    """An idea in a mission. `client_id` is made on the phone: a repeat gets the first answer (I12)."""

    __tablename__ = "ideas"
    __table_args__ = (
        UniqueConstraint("participant_id", "client_id"),
        Index("ix_ideas_mission_id_id", "mission_id", "id"),
    )

    mission_id: UUID = Field(foreign_key="missions.id")
    participant_id: UUID = Field(foreign_key="participants.id")
    client_id: str
    text: str
    language: str
    state: str = IdeaState.PUBLISHED
    phase: str
    created_at: datetime
    rules_version_id: UUID | None = Field(default=None, description="the mission's rules in force at the act")
