"""What people say of a code, and what the figures say of it: reports and alerts."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, Index, text
from sqlmodel import Field, SQLModel, UniqueConstraint

from campaigns.audit import Audit
from campaigns.storage import Row

_OPEN = text("closed_at IS NULL")


class ReportKind(StrEnum):
    """What is wrong with a code: a sticker over it, it leads somewhere odd, it is damaged, or something else."""

    COVERED = "covered"
    ODD = "odd"
    DAMAGED = "damaged"
    OTHER = "other"


class CodeReport(Row, table=True):
    """What a person said is wrong with a code. Once a code, person and UTC day.

    `token_id` is the nil UUID for a code that is not ours (a misprint, or a forger's): it belongs to no organisation.
    """

    __tablename__ = "code_reports"
    __audit__ = Audit("code_report", silent=frozenset({"text", "code", "reporter_key"}), only_changes=True)
    __table_args__ = (
        UniqueConstraint("token_id", "day", "reporter_key"),
        Index("ix_code_reports_organisation_id_id", "organisation_id", "id"),
        Index("ix_code_reports_place_id_id", "place_id", "id"),
    )

    organisation_id: UUID | None = Field(default=None, foreign_key="organisations.id")
    campaign_id: UUID | None = Field(default=None, foreign_key="campaigns.id")
    token_id: UUID
    place_id: UUID | None = Field(default=None, foreign_key="places.id")
    code: str = Field(description="as asked")
    kind: str
    text: str
    day: int = Field(description="UTC days since 1970")
    reporter_key: int = Field(sa_type=BigInteger, description="keyed hash under the salt of that day, which is gone")
    reported_at: datetime
    handled_at: datetime | None = None


class CodeReportDay(SQLModel, table=True):
    """How many reports of a code a UTC day has: there is a most."""

    __tablename__ = "code_report_days"

    token_id: UUID = Field(primary_key=True)
    day: int = Field(primary_key=True)
    reports: int = 0


class AlertKind(StrEnum):
    """What the figures of a code may say."""

    SCANS_FELL_OFF = "scans_fell_off"


class Alert(Row, table=True):
    """Something a person should look at. One open alert a token and kind; it closes itself when it is over."""

    __tablename__ = "alerts"
    __table_args__ = (
        Index("uq_alerts_open", "token_id", "kind", unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN),
        Index("ix_alerts_organisation_id_id", "organisation_id", "id"),
        Index("ix_alerts_place_id_id", "place_id", "id"),
    )

    organisation_id: UUID = Field(foreign_key="organisations.id")
    campaign_id: UUID = Field(foreign_key="campaigns.id", index=True)
    token_id: UUID = Field(foreign_key="tokens.id")
    place_id: UUID = Field(foreign_key="places.id")
    kind: str
    since: datetime = Field(description="the start of the first day that had too few")
    open_days: int = Field(description="days the place was open since then, when the alert was opened")
    expected: float = Field(description="scans those days should have had")
    seen: int = Field(description="scans they had")
    opened_at: datetime
    closed_at: datetime | None = None

    @property
    def expected_daily(self) -> float:
        return self.expected / self.open_days


class CaseKind(StrEnum):
    """What a case is about: something to say to the shop, or an appeal against a verdict or a moderator's act."""

    WORD = "word"
    VERDICT = "verdict"
    MODERATION = "moderation"


class CaseState(StrEnum):
    """Where a case stands. An overdue one escalates by itself, an answered or closed one is reopened by its person."""

    RECEIVED = "received"
    ACKNOWLEDGED = "acknowledged"
    ANSWERED = "answered"
    CLOSED = "closed"
    REOPENED = "reopened"
    ESCALATED = "escalated"


OPEN_STATES = (CaseState.RECEIVED, CaseState.ACKNOWLEDGED, CaseState.REOPENED, CaseState.ESCALATED)


class Case(Row, table=True):
    """A complaint or question of a shopper, with a deadline. Its person follows it by a link, without an account."""

    __tablename__ = "cases"
    __audit__ = Audit("case", silent=frozenset({"client_id", "reporter_key"}), only_changes=True)
    __table_args__ = (
        UniqueConstraint("participant_id", "client_id"),
        UniqueConstraint("reporter_key", "client_id"),
        Index("ix_cases_organisation_id_id", "organisation_id", "id"),
        Index("ix_cases_place_id_id", "place_id", "id"),
        Index("ix_cases_state_due_at", "state", "due_at"),
    )

    organisation_id: UUID = Field(foreign_key="organisations.id")
    campaign_id: UUID = Field(foreign_key="campaigns.id")
    mission_id: UUID | None = Field(default=None, foreign_key="missions.id")
    place_id: UUID | None = Field(default=None, foreign_key="places.id")
    kind: str
    subject_id: UUID | None = Field(default=None, description="of an appeal: the check-in or the moderation act")
    participant_id: UUID | None = Field(default=None, foreign_key="participants.id")
    reporter_key: int | None = Field(
        default=None, sa_type=BigInteger, description="of who has no cookie, under the salt of that day, which is gone"
    )
    client_id: str
    reference: str = Field(unique=True)
    language: str
    state: str
    opened_at: datetime
    due_at: datetime
    acknowledged_at: datetime | None = None
    answered_at: datetime | None = None
    closed_at: datetime | None = None
    reopened_at: datetime | None = None
    escalated_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_STATES


class Speaker(StrEnum):
    """Who wrote a line of a case: its person, a phone of the shop, or a member."""

    PERSON = "person"
    SHOP = "shop"
    BRAND = "brand"


class CaseMessage(Row, table=True):
    """What was said in a case, and by which side; the audit log knows which member or phone it was."""

    __tablename__ = "case_messages"

    case_id: UUID = Field(foreign_key="cases.id", index=True)
    speaker: str
    text: str
    written_at: datetime


class CaseDay(SQLModel, table=True):
    """How many cases a phone, and all phones together (0), opened with a brand on a UTC day: there is a most."""

    __tablename__ = "case_days"

    organisation_id: UUID = Field(primary_key=True)
    day: int = Field(primary_key=True)
    sender_key: int = Field(primary_key=True, sa_type=BigInteger)
    cases: int = 0
