"""Tokens: what a printed code, an NFC tag or a link carries."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Index, LargeBinary, text
from sqlmodel import Field, SQLModel, UniqueConstraint

from campaigns.storage import Row
from campaigns.tokens import sun


class Medium(StrEnum):
    """What the shopper meets."""

    QR = "qr"
    NFC = "nfc"
    LINK = "link"


class Kind(StrEnum):
    """How a code proves. Live joins with the screens it needs."""

    STATIC = "static"
    SERIAL = "serial"
    SUN = "sun"


class Good(StrEnum):
    """How often a serial code is good: once in all, or once for each person."""

    ONCE = "once"
    ONCE_PER_PERSON = "once_per_person"


class TokenState(StrEnum):
    """A printed code never answers 404: it explains."""

    ACTIVE = "active"
    REVOKED = "revoked"


class TokenBatch(Row, table=True):
    """Tokens made together. A serial batch says how often each code is good, and whether the shop hands it over."""

    __tablename__ = "token_batches"
    __table_args__ = (Index("ix_token_batches_campaign_id_id", "campaign_id", "id"),)

    organisation_id: UUID = Field(foreign_key="organisations.id")
    campaign_id: UUID = Field(foreign_key="campaigns.id")
    kind: str
    medium: str | None = Field(default=None, description="of a serial batch; a static one may have several")
    place_id: UUID | None = Field(default=None, foreign_key="places.id")
    count: int
    label: str | None = None
    channel: str | None = None
    good: str | None = Field(default=None, description="of a serial batch")
    handed_over: bool = Field(default=False, description="the shop gives the codes out: having one proves presence")
    job_id: UUID | None = Field(default=None, foreign_key="jobs.id", description="of a batch too large to wait for")
    created_at: datetime


class Token(Row, table=True):
    """One code. `code` is canonical: ten characters (a serial has sixteen), upper case, no hyphen."""

    __tablename__ = "tokens"
    __table_args__ = (UniqueConstraint("campaign_id", "external_id"), Index("ix_tokens_batch_id_id", "batch_id", "id"))

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
    batch_id: UUID | None = Field(default=None, foreign_key="token_batches.id")
    created_at: datetime
    changed_at: datetime = Field(index=True)

    def url(self, base_url: str) -> str:
        """The URL to print."""
        return url_of(self.code, base_url)


def url_of(code: str, base_url: str) -> str:
    """The URL of a code: upper case, so that it fits the QR alphanumeric mode, when nothing but a host is in it."""
    scheme, _, rest = base_url.partition("://")
    if "/" in rest:
        return f"{base_url}/t/{code}"
    return f"{scheme}://{rest}/T/{code}".upper()


class SerialUse(SQLModel, table=True):
    """That a serial was used: the nil id for its first use by anybody, and a row a person where the batch allows each.

    The primary key refuses the second use (I13).
    """

    __tablename__ = "serial_uses"

    token_id: UUID = Field(foreign_key="tokens.id", primary_key=True)
    person_id: UUID = Field(primary_key=True)
    scan_id: UUID
    used_at: datetime


class SunTag(SQLModel, table=True):
    """The NTAG 424 DNA tag of a `sun` token: how to read what it says, and the last counter it said.

    `sealed_keys` are the meta read key and the file read key, 16 bytes each, sealed together; `uid`, in upper-case
    hexadecimal, is that of the tag's first tap when it was not given.
    """

    __tablename__ = "sun_tags"

    token_id: UUID = Field(foreign_key="tokens.id", primary_key=True)
    uid: str | None = None
    sealed_keys: bytes = Field(sa_type=LargeBinary)
    mode: str = sun.Mode.AES
    mac_input: str = sun.MacInput.EMPTY
    last_counter: int = Field(default=-1, description="24 bits; -1 before the first tap")

    def read(self, parameters: str | bytes | Mapping[str, object], opened_keys: bytes) -> sun.Tap:
        """What the tag says in the parameters of a tap. Whether its counter is unused, `advance_counter` says."""
        keys = sun.Keys(opened_keys[: sun.KEY_BYTES], opened_keys[sun.KEY_BYTES :])
        mode, mac_input = sun.Mode(self.mode), sun.MacInput(self.mac_input)
        return sun.verify(parameters, keys, mode=mode, mac_input=mac_input, uid=self.uid)


class Was(StrEnum):
    """What stood on a tag before it was written."""

    EMPTY = "empty"
    SAME = "same"
    OTHER = "other"


_HELD = text("released_at IS NULL")


class TagWriting(Row, table=True):
    """That a phone of a shop wrote a token's URL on a tag and read it back. A later row ends an earlier one.

    While `released_at` is empty the row is the token's binding: the database lets a tag of an organisation belong to
    one token, and a token to one tag. `uid` is upper-case hexadecimal, None when the phone did not tell it.
    """

    __tablename__ = "tag_writings"
    __table_args__ = (
        Index(
            "ix_tag_writings_uid_held",
            "organisation_id",
            "uid",
            unique=True,
            sqlite_where=_HELD,
            postgresql_where=_HELD,
        ),
        Index("ix_tag_writings_token_held", "token_id", unique=True, sqlite_where=_HELD, postgresql_where=_HELD),
    )

    organisation_id: UUID = Field(foreign_key="organisations.id")
    token_id: UUID = Field(foreign_key="tokens.id")
    place_id: UUID = Field(foreign_key="places.id")
    staff_session_id: UUID = Field(foreign_key="staff_sessions.id")
    uid: str | None = None
    was: str
    written_at: datetime
    locked_at: datetime | None = Field(default=None, description="the tag can never be written again")
    released_at: datetime | None = Field(default=None, description="another tag or another token took its place")
