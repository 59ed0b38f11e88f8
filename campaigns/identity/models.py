"""Organisations and the keys that act for them."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlmodel import Field

from campaigns.identity.legal_data import NEEDED
from campaigns.storage import Row, json_column


class Role(StrEnum):
    """What a key may do. Others join with the console."""

    OWNER = "owner"


class Organisation(Row, table=True):
    """The brand: owns everything below it."""

    __tablename__ = "organisations"

    name: str
    created_at: datetime
    verified_hosts: list[str] | None = json_column(nullable=True)
    legal_name: str | None = None
    legal_form: str | None = None
    address: str | None = None
    registration: str | None = None
    publication_director: str | None = None
    contact_email: str | None = None
    contact_phone: str | None = None
    privacy_contact: str | None = None
    hosting: dict[str, Any] | None = json_column(nullable=True)
    mandatory_notice: dict[str, str] | None = json_column(nullable=True)
    changed_at: datetime | None = None

    @property
    def missing_legal_data(self) -> list[str]:
        """The fields that the legal pages cannot do without and nobody gave yet."""
        missing = [name for name in NEEDED if not getattr(self, name)]
        return missing + ["hosting.address"] * (self.hosting is not None and not self.hosting.get("address"))


class ApiKey(Row, table=True):
    """A bearer key. Only its SHA-256 is stored; `prefix` is what lists show of it."""

    __tablename__ = "api_keys"

    organisation_id: UUID = Field(foreign_key="organisations.id", index=True)
    role: str = Role.OWNER
    prefix: str
    secret_hash: str = Field(unique=True)
    created_at: datetime
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None


class KeyFingerprint(Row, table=True):
    """The fingerprint of the secret key this database was made with: another key does not start.

    One row, with the nil id: of two servers that start first together, one writes it.
    """

    __tablename__ = "key_fingerprints"

    fingerprint: str = Field(unique=True)
    created_at: datetime
