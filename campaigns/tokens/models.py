"""Tokens: what a printed code, an NFC tag or a link carries."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlmodel import Field, UniqueConstraint

from campaigns.storage import Row


class Medium(StrEnum):
    """What the shopper meets."""

    QR = "qr"
    NFC = "nfc"
    LINK = "link"


class Kind(StrEnum):
    """How a code proves. Serial, live and sun join with the tokens a printer can be trusted with."""

    STATIC = "static"


class TokenState(StrEnum):
    """A printed code never answers 404: it explains."""

    ACTIVE = "active"
    REVOKED = "revoked"


class Token(Row, table=True):
    """One code. `code` is canonical: ten characters, upper case, no hyphen."""

    __tablename__ = "tokens"
    __table_args__ = (UniqueConstraint("campaign_id", "external_id"),)

    organisation_id: UUID = Field(foreign_key="organisations.id")
    campaign_id: UUID = Field(foreign_key="campaigns.id", index=True)
    place_id: UUID | None = Field(default=None, foreign_key="places.id", index=True)
    external_id: str | None = None
    code: str = Field(unique=True)
    medium: str
    kind: str = Kind.STATIC
    state: str = TokenState.ACTIVE
    label: str | None = None
    channel: str | None = None
    destination: str | None = None
    created_at: datetime
    changed_at: datetime = Field(index=True)

    def url(self, base_url: str) -> str:
        """The URL to print: upper case, so that it fits the QR alphanumeric mode, when nothing but a host is in it."""
        scheme, _, rest = base_url.partition("://")
        if "/" in rest:
            return f"{base_url}/t/{self.code}"
        return f"{scheme}://{rest}/T/{self.code}".upper()
