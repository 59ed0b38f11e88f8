"""People who joined, known by a pseudonym only."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, text
from sqlmodel import CheckConstraint, Field, Index, SQLModel

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
    __table_args__ = (
        Index(
            "ix_participants_team",
            "organisation_id",
            "id",
            sqlite_where=text("cohort = 'employee'"),
            postgresql_where=text("cohort = 'employee'"),
        ),
    )

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


class ParticipantKey(SQLModel, table=True):
    """A further key to a participant, by its hash: of a phone that a recovery code signed in, or of a merged name."""

    __tablename__ = "participant_keys"

    secret_hash: str = Field(primary_key=True)
    participant_id: UUID = Field(foreign_key="participants.id", index=True)
    issued_at: datetime


_IS_OPEN = text("ended_at IS NULL")


class RecoveryCode(Row, table=True):
    """A code that moves a person to another browser, by its keyed hash. One a person is good, once.

    Those that ended stay with the person: who types an old one is told what became of it.
    """

    __tablename__ = "recovery_codes"
    __table_args__ = (
        Index(
            "uq_recovery_codes_open",
            "participant_id",
            unique=True,
            sqlite_where=_IS_OPEN,
            postgresql_where=_IS_OPEN,
        ),
    )

    participant_id: UUID = Field(foreign_key="participants.id", index=True)
    code_hash: str = Field(unique=True)
    issued_at: datetime
    ended_at: datetime | None = None
    ended_by: str | None = Field(default=None, description="`used`, or `replaced` by a newer one")


class RecoveryTries(SQLModel, table=True):
    """How many wrong recovery codes came from one address in an hour. The key's salt is gone after two days."""

    __tablename__ = "recovery_tries"

    sender_key: int = Field(primary_key=True, sa_type=BigInteger)
    hour: int = Field(primary_key=True, description="since 1970")
    tries: int = 0


class MergedPerson(SQLModel, table=True):
    """That a participant was merged into an older one: an id that nothing else refers to, for who restores a backup."""

    __tablename__ = "merged_people"

    former_id: UUID = Field(primary_key=True)
    participant_id: UUID = Field(foreign_key="participants.id", index=True)
    merged_at: datetime


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
