"""People who joined, known by a pseudonym only."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlmodel import Field

from campaigns.storage import Row


class Cohort(StrEnum):
    """Who a participant is to the brand; employees' acts are shown apart (insider share)."""

    PUBLIC = "public"
    EMPLOYEE = "employee"
    PRESS = "press"


class Participant(Row, table=True):
    """A pseudonymous person of one organisation. The cookie's secret is kept as a hash."""

    __tablename__ = "participants"

    organisation_id: UUID = Field(foreign_key="organisations.id", index=True)
    pseudonym: str
    language: str
    cohort: str = Cohort.PUBLIC
    secret_hash: str = Field(unique=True)
    created_at: datetime
