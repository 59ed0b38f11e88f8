"""People who joined, known by a pseudonym only."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlmodel import CheckConstraint, Field

from campaigns.audit import Audit
from campaigns.storage import Row

ERASED = "erased:"  # begins what stands in the place of an erased person's hash: no cookie has it


class Cohort(StrEnum):
    """Who a participant is to the brand; employees' acts are shown apart (insider share)."""

    PUBLIC = "public"
    EMPLOYEE = "employee"
    PRESS = "press"


class Participant(Row, table=True):
    """A pseudonymous person of one organisation. The cookie's secret is kept as a hash.

    An erased person leaves a surrogate: a row under a random id, without name, language, birth or cookie.
    """

    __tablename__ = "participants"

    organisation_id: UUID = Field(foreign_key="organisations.id", index=True)
    pseudonym: str
    language: str
    cohort: str = Cohort.PUBLIC
    secret_hash: str = Field(unique=True)
    created_at: datetime
    campaign_id: UUID | None = Field(
        default=None, foreign_key="campaigns.id", description="of whom objected (Sec-GPC, DNT): known in it alone"
    )
    age_declared_at: datetime | None = None
    is_under_15: bool | None = Field(default=None, description="as the person said; None while nobody asked")

    @property
    def is_erased(self) -> bool:
        """Whether this row is what an erased person left."""
        return self.secret_hash.startswith(ERASED)


class CohortLink(Row, table=True):
    """A link by which people of the team enter the cohort of employees: so many, until it ends or is taken back.

    Only its hash is kept. `place_id`: of one that a manager's phone made.
    """

    __tablename__ = "cohort_links"
    __audit__ = Audit("cohort_link", silent=frozenset({"secret_hash", "uses"}))
    __table_args__ = (CheckConstraint("uses BETWEEN 0 AND max_uses", name="uses"),)

    organisation_id: UUID = Field(foreign_key="organisations.id", index=True)
    place_id: UUID | None = Field(default=None, foreign_key="places.id", index=True)
    label: str = ""
    secret_hash: str = Field(unique=True)
    max_uses: int
    uses: int = 0
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None

    def is_good(self, now: datetime) -> bool:
        """Whether somebody can still enter by it."""
        return self.revoked_at is None and self.expires_at > now and self.uses < self.max_uses
