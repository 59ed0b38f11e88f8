"""An address somebody left, apart from all they did, and the letters that go to it."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import text
from sqlmodel import Field, Index, SQLModel, UniqueConstraint

from campaigns.storage import Row

_CONFIRMED = text("confirmed_at IS NOT NULL")


class Contact(Row, table=True):
    """The e-mail address of a participant, sealed. Nothing but the confirming letter goes there before they confirm.

    `address_key` is a keyed hash: it tells that two are the same, and none can be read from it. One confirmed address
    is one participant of an organisation.
    """

    __tablename__ = "contacts"
    __table_args__ = (
        Index(
            "uq_contacts_confirmed",
            "organisation_id",
            "address_key",
            unique=True,
            sqlite_where=_CONFIRMED,
            postgresql_where=_CONFIRMED,
        ),
    )

    organisation_id: UUID = Field(foreign_key="organisations.id")
    participant_id: UUID = Field(foreign_key="participants.id", unique=True)
    sealed: bytes
    address_key: str
    asked_at: datetime
    confirmed_at: datetime | None = None


class LetterKind(StrEnum):
    """What a letter is about: the address itself, or one of the three things a person may hear of."""

    CONFIRM = "confirm"
    ANSWER = "answer"  # an official answer to an idea of theirs
    CASE = "case"  # an answer to what they told the shop
    RESULT = "result"
    DONE = "done"


class Letter(Row, table=True):
    """A letter to send, once a person, kind and subject. `due_at` is empty when it was sent or given up."""

    __tablename__ = "letters"
    __table_args__ = (
        UniqueConstraint("participant_id", "kind", "subject_id"),
        Index("ix_letters_due_at", "due_at"),
    )

    participant_id: UUID = Field(foreign_key="participants.id")
    contact_id: UUID = Field(foreign_key="contacts.id", index=True)
    kind: str
    subject_id: UUID = Field(description="the contact, comment, message of a case, round or mission")
    made_at: datetime
    attempts: int = 0
    due_at: datetime | None = None
    sent_at: datetime | None = None


class LetterTurn(SQLModel, table=True):
    """How many confirming letters an address, a person or a phone asked for on a UTC day: there is a most."""

    __tablename__ = "letter_turns"

    key: str = Field(primary_key=True, description="a keyed hash")
    day: int = Field(primary_key=True)
    letters: int = 0
