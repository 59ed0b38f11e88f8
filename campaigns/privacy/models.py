"""Who was erased, and from when on the scan log is whole."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import false
from sqlmodel import Field, SQLModel


class ErasedPerson(SQLModel, table=True):
    """That a participant was erased: an id that nothing refers to any more, for a restore of an older backup.

    `is_swept`: PostgreSQL has vacuumed what the person's rows were before.
    """

    __tablename__ = "erasures"

    participant_id: UUID = Field(primary_key=True)
    erased_at: datetime
    is_swept: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
