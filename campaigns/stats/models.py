"""What a campaign cost and what it brought: cost items, conversions with their sums by day, and exposures."""

from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, Double
from sqlmodel import CheckConstraint, Field, Index, SQLModel, UniqueConstraint

from campaigns.audit import Audit
from campaigns.storage import Row

MOST_MINOR = 10**12  # of one cost or conversion: more is a slip of the keyboard, and sums stay whole numbers


class CostKind(StrEnum):
    """What money was spent on. Rewards and pledges are read from the ledger, never typed."""

    MEDIA = "media"
    PRINT = "print"
    STAFF_HOURS = "staff_hours"
    FEES = "fees"
    OTHER = "other"


class CostItem(Row, table=True):
    """Money a campaign spent. May be corrected and removed: the audit log keeps what it was."""

    __tablename__ = "cost_items"
    __audit__ = Audit("cost")
    __table_args__ = (
        UniqueConstraint("organisation_id", "external_id"),
        Index("ix_cost_items_campaign_id_id", "campaign_id", "id"),
        CheckConstraint(f"amount_minor BETWEEN 1 AND {MOST_MINOR}", name="amount"),
    )

    organisation_id: UUID = Field(foreign_key="organisations.id")
    campaign_id: UUID = Field(foreign_key="campaigns.id")
    external_id: str | None = None
    kind: str
    amount_minor: int = Field(sa_type=BigInteger)
    currency: str = Field(description="ISO 4217")
    incurred_on: date
    label: str
    created_at: datetime
    changed_at: datetime


class MoneyTerms(Row, table=True):
    """How a campaign's money is reckoned: in which currency, and which share of revenue is margin.

    The first cost or conversion fixes the currency: that of the budget, where there is one.
    """

    __tablename__ = "money_terms"
    __audit__ = Audit("money_terms", silent=frozenset({"changed_at", "currency"}))
    __table_args__ = (
        UniqueConstraint("campaign_id"),
        CheckConstraint("margin_bp BETWEEN 1 AND 10000", name="margin"),
    )

    organisation_id: UUID = Field(foreign_key="organisations.id")
    campaign_id: UUID = Field(foreign_key="campaigns.id")
    currency: str | None = None
    margin_bp: int | None = Field(default=None, description="of revenue, in hundredths of a percent")
    changed_at: datetime


class Conversion(Row, table=True):
    """A sale, or another thing worth counting, that a shop's own system told of; once by its id in that system.

    It names nobody: a scan or coupon it was told with is looked up for the place and code, and not kept. `content`
    tells the same message again from another one under its id.
    """

    __tablename__ = "conversions"
    __table_args__ = (
        UniqueConstraint("organisation_id", "source", "external_id"),
        Index("ix_conversions_campaign_id_id", "campaign_id", "id"),
        Index("ix_conversions_recorded_at", "recorded_at"),
        CheckConstraint(f"amount_minor BETWEEN 0 AND {MOST_MINOR}", name="amount"),
    )

    organisation_id: UUID = Field(foreign_key="organisations.id")
    campaign_id: UUID = Field(foreign_key="campaigns.id")
    source: str
    external_id: str
    amount_minor: int = Field(sa_type=BigInteger)
    currency: str = Field(description="ISO 4217")
    occurred_at: datetime
    civil_day: date = Field(description="of the campaign's zone")
    phase: str
    place_id: UUID | None = Field(default=None, foreign_key="places.id")
    token_id: UUID | None = Field(default=None, foreign_key="tokens.id")
    content: int = Field(sa_type=BigInteger)
    recorded_at: datetime


class ConversionTotal(SQLModel, table=True):
    """The conversions of a campaign, civil day, place and code; the nil id where there is none.

    Written with them, and kept when they are gone: no figure changes then. `squares` is the sum of the squared amounts.
    """

    __tablename__ = "conversion_totals"

    campaign_id: UUID = Field(foreign_key="campaigns.id", primary_key=True)
    phase: str = Field(primary_key=True)
    civil_day: date = Field(primary_key=True)
    place_id: UUID = Field(primary_key=True)
    token_id: UUID = Field(primary_key=True)
    conversions: int = Field(sa_type=BigInteger)
    revenue_minor: int = Field(sa_type=BigInteger)
    squares: float = Field(sa_type=Double)


class Exposure(SQLModel, table=True):
    """How many customers, or visits, a place of the holdout's draw had from one civil day to another, both included."""

    __tablename__ = "exposures"
    __table_args__ = (
        CheckConstraint("number >= 0", name="number"),
        CheckConstraint("since <= until", name="period"),
    )

    campaign_id: UUID = Field(foreign_key="campaigns.id", primary_key=True)
    since: date = Field(primary_key=True)
    place_id: UUID = Field(foreign_key="places.id", primary_key=True)
    until: date
    number: int = Field(sa_type=BigInteger)
    recorded_at: datetime
