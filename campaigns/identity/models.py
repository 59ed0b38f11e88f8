"""Organisations and the keys that act for them."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlmodel import Field

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
