"""Points and badges: the lots a person earned, what they spent of them, and the badges they hold."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, text
from sqlmodel import CheckConstraint, Field, Index, SQLModel, UniqueConstraint

from campaigns.audit import Audit
from campaigns.missions.models import LocalText
from campaigns.storage import Row, json_column


class LotState(StrEnum):
    """Where a lot stands. `revoked`: its act was reversed; what was spent of it before stays spent, and is told."""

    PENDING = "pending"
    AVAILABLE = "available"
    SPENT = "spent"
    EXPIRED = "expired"
    REVOKED = "revoked"


class BadgeKind(StrEnum):
    """What a badge counts of a person. `votes`: ballots they took part in, for no row joins them to a vote."""

    COMPLETIONS = "completions"
    PLACES = "places"
    VOTES = "votes"
    REFERRALS = "referrals"
    IDEAS_SELECTED = "ideas_selected"


_STANDS = text("state <> 'revoked'")
_EXPIRING = text("state = 'available'")


class PointsLot(Row, table=True):
    """The points of one completion, once for a step and a completion that stands (I17). What is left: amount - spent.

    `points_spend_lines` are its history; `spent` is their sum, and no spend takes it beyond `amount`.
    """

    __tablename__ = "points_lots"
    __table_args__ = (
        Index(
            "uq_points_lots_source",
            "step_id",
            "completion_id",
            unique=True,
            sqlite_where=_STANDS,
            postgresql_where=_STANDS,
        ),
        Index("ix_points_lots_completion_id", "completion_id"),
        Index("ix_points_lots_participant_id_campaign_id", "participant_id", "campaign_id"),
        Index("ix_points_lots_available_expires_at", "expires_at", sqlite_where=_EXPIRING, postgresql_where=_EXPIRING),
        CheckConstraint("amount > 0", name="amount"),
        CheckConstraint("spent BETWEEN 0 AND amount", name="spent"),
        CheckConstraint("state <> 'spent' OR spent = amount", name="used_up"),
        CheckConstraint("state <> 'pending' OR (spent = 0 AND available_at IS NULL)", name="pending"),
        CheckConstraint("(ended_at IS NOT NULL) = (state IN ('expired', 'revoked'))", name="ended"),
        CheckConstraint("(reason IS NOT NULL) = (state = 'revoked')", name="reason"),
    )

    organisation_id: UUID = Field(foreign_key="organisations.id")
    campaign_id: UUID = Field(foreign_key="campaigns.id")
    mission_id: UUID = Field(foreign_key="missions.id")
    step_id: UUID = Field(foreign_key="steps.id")
    completion_id: UUID = Field(foreign_key="step_completions.id")
    participant_id: UUID = Field(foreign_key="participants.id")
    phase: str
    amount: int = Field(sa_type=BigInteger)
    spent: int = Field(default=0, sa_type=BigInteger)
    state: str
    earned_at: datetime = Field(description="when the step was done")
    available_at: datetime | None = None
    expires_at: datetime | None = None
    ended_at: datetime | None = None
    reason: str | None = Field(default=None, description="of a revoked one: why")

    @property
    def left(self) -> int:
        """What of it may still be spent, while it is available."""
        return self.amount - self.spent

    def state_at(self, now: datetime) -> LotState:
        """The state a person meets then: past its date it has expired, though nobody wrote so yet."""
        state = LotState(self.state)
        is_over = state is LotState.AVAILABLE and self.expires_at is not None and self.expires_at <= now
        return LotState.EXPIRED if is_over else state


class PointsSpend(Row, table=True):
    """That a person spent points on an offer, once for each `client_id`. Its coupon has it as its source."""

    __tablename__ = "points_spends"
    __table_args__ = (
        UniqueConstraint("participant_id", "client_id"),
        CheckConstraint("points > 0", name="points"),
    )

    organisation_id: UUID = Field(foreign_key="organisations.id")
    campaign_id: UUID = Field(foreign_key="campaigns.id")
    offer_id: UUID = Field(foreign_key="offers.id")
    participant_id: UUID = Field(foreign_key="participants.id")
    client_id: str
    phase: str
    points: int = Field(sa_type=BigInteger)
    spent_at: datetime


class PointsSpendLine(SQLModel, table=True):
    """How many points of a lot a spend took. The table only grows."""

    __tablename__ = "points_spend_lines"
    __table_args__ = (CheckConstraint("points > 0", name="points"),)

    spend_id: UUID = Field(foreign_key="points_spends.id", primary_key=True)
    lot_id: UUID = Field(foreign_key="points_lots.id", primary_key=True, index=True)
    points: int = Field(sa_type=BigInteger)


class Badge(Row, table=True):
    """A badge of a campaign: who did so much of something has it. What it asks for is public and never changes."""

    __tablename__ = "badges"
    __audit__ = Audit("badge")
    __table_args__ = (
        CheckConstraint("at_least > 0", name="at_least"),
        Index("ix_badges_campaign_id_id", "campaign_id", "id"),
    )

    organisation_id: UUID = Field(foreign_key="organisations.id")
    campaign_id: UUID = Field(foreign_key="campaigns.id")
    mission_id: UUID | None = Field(default=None, foreign_key="missions.id", description="of one mission alone")
    name: LocalText = json_column()
    description: LocalText | None = json_column(nullable=True)
    kind: str
    at_least: int
    created_at: datetime
    changed_at: datetime


class BadgeAward(Row, table=True):
    """That a person has a badge, once a phase; `revoked_at`: what it asks for no longer holds."""

    __tablename__ = "badge_awards"
    __table_args__ = (
        UniqueConstraint("badge_id", "participant_id", "phase"),
        CheckConstraint("(reason IS NOT NULL) = (revoked_at IS NOT NULL)", name="reason"),
    )

    badge_id: UUID = Field(foreign_key="badges.id")
    participant_id: UUID = Field(foreign_key="participants.id", index=True)
    phase: str
    awarded_at: datetime
    revoked_at: datetime | None = None
    reason: str | None = None
