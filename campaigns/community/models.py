"""What participants say, what readers report of it, and what moderators did about it."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger
from sqlmodel import Field, Index, SQLModel, UniqueConstraint

from campaigns.audit import Audit
from campaigns.storage import Row


class IdeaState(StrEnum):
    """Published at once; shortlists and selections join with the ballots."""

    PUBLISHED = "published"
    HIDDEN = "hidden"  # by a moderator: its words are withheld, its totals stay
    RESTORED = "restored"  # shown again
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
    hidden_rule: str | None = Field(default=None, description="while it is hidden, by which rule")
    phase: str
    created_at: datetime
    rules_version_id: UUID | None = Field(default=None, description="the mission's rules in force at the act")


class SubjectKind(StrEnum):
    """What can be flagged and moderated."""

    IDEA = "idea"


class FlagKind(StrEnum):
    """What a reader says is wrong with a contribution."""

    ATTACK = "attack"
    PRIVATE = "private"
    ADVERTISING = "advertising"
    OFF_TOPIC = "off_topic"
    OTHER = "other"


class Flag(Row, table=True):
    """A reader's report of a contribution. Once a person and contribution; without a cookie once a phone and day."""

    __tablename__ = "flags"
    __table_args__ = (
        UniqueConstraint("subject_id", "participant_id"),
        UniqueConstraint("subject_id", "day", "reporter_key"),
        Index("ix_flags_participant_id", "participant_id"),
    )

    subject_id: UUID
    participant_id: UUID | None = Field(default=None, foreign_key="participants.id")
    day: int | None = Field(default=None, description="UTC days since 1970, of who has no cookie")
    reporter_key: int | None = Field(
        default=None, sa_type=BigInteger, description="keyed hash under the salt of that day, which is gone"
    )
    kind: str
    text: str
    flagged_at: datetime


class FlaggedSubject(SQLModel, table=True):
    """How often a contribution was flagged: in all, and since a moderator last looked."""

    __tablename__ = "flagged_subjects"
    __table_args__ = (Index("ix_flagged_subjects_queue", "organisation_id", "open_flags"),)

    subject_id: UUID = Field(primary_key=True)
    subject_kind: str
    organisation_id: UUID = Field(foreign_key="organisations.id")
    mission_id: UUID = Field(foreign_key="missions.id")
    flags: int = 0
    open_flags: int = 0


class Rule(StrEnum):
    """The rules a contribution may be hidden by."""

    PERSONAL_ATTACK = "personal_attack"
    PRIVATE_DATA = "private_data"
    UNLAWFUL = "unlawful"
    ADVERTISING = "advertising"
    OFF_TOPIC = "off_topic"


AT_ONCE = frozenset({Rule.PERSONAL_ATTACK, Rule.PRIVATE_DATA})  # the others wait until a reader has flagged it


class Act(StrEnum):
    """What a moderator did: hid a contribution, restored it, or looked at its flags and left it."""

    HIDDEN = "hidden"
    RESTORED = "restored"
    LEFT = "left"


class ModerationAct(Row, table=True):
    """What a moderator did with a contribution, by which rule and why. The table only grows."""

    __tablename__ = "moderation_acts"
    __audit__ = Audit("moderation_act", hidden=frozenset({"reason"}))
    __table_args__ = (
        Index("ix_moderation_acts_subject_id_id", "subject_id", "id"),
        Index("ix_moderation_acts_mission_id_id", "mission_id", "id"),
    )

    organisation_id: UUID = Field(foreign_key="organisations.id")
    mission_id: UUID = Field(foreign_key="missions.id")
    phase: str
    subject_kind: str
    subject_id: UUID
    act: str
    rule: str | None = None
    reason: str
    state_before: str = Field(description="of the contribution: what it is restored to")
    member_id: UUID = Field(foreign_key="members.id")
    acted_at: datetime
