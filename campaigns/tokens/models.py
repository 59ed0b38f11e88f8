"""Tokens: what a printed code, an NFC tag or a link carries."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Index, LargeBinary, false
from sqlmodel import Field, SQLModel, UniqueConstraint

from campaigns.errors import Conflict
from campaigns.storage import Row, json_column
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
    """A printed code never answers 404: it explains. `expired` is shown, never stored: time alone makes it."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    REPLACED = "replaced"
    REVOKED = "revoked"
    EXPIRED = "expired"


OPEN_AGAIN = (TokenState.ACTIVE, TokenState.SUSPENDED)  # states that the expiry may overtake


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
    rules: list[dict[str, Any]] | None = json_column(nullable=True)
    utm: dict[str, str] | None = json_column(nullable=True)
    pass_scan_id: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    continue_page: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    expires_at: datetime | None = None
    replaced_by_id: UUID | None = Field(default=None, foreign_key="tokens.id")
    batch_id: UUID | None = Field(default=None, foreign_key="token_batches.id")
    created_at: datetime
    changed_at: datetime = Field(index=True)

    def state_at(self, now: datetime) -> TokenState:
        """The state a visitor meets at that instant, the expiry included."""
        state = TokenState(self.state)
        if self.expires_at is not None and now >= self.expires_at and state in OPEN_AGAIN:
            return TokenState.EXPIRED
        return state

    def require_way(self, to: TokenState, *, of: tuple[TokenState, ...], now: datetime) -> None:
        """Conflict when the present state does not lead to that one."""
        state = self.state_at(now)
        if state not in of:
            raise Conflict(
                f"A code that is {state} cannot become {to}; it would have to be {' or '.join(of)}.",
                code="wrong_state",
                state=state,
            )

    def url(self, base_url: str) -> str:
        """The URL to print."""
        return url_of(self.code, base_url)


def url_of(code: str, base_url: str) -> str:
    """The URL of a code: upper case, so that it fits the QR alphanumeric mode, when nothing but a host is in it."""
    scheme, _, rest = base_url.partition("://")
    if "/" in rest:
        return f"{base_url}/t/{code}"
    return f"{scheme}://{rest}/T/{code}".upper()


class TokenChange(Row, table=True):
    """One edit of a printed code. `what` maps each field to its value before and after."""

    __tablename__ = "token_changes"
    __table_args__ = (Index("ix_token_changes_token_id_id", "token_id", "id"),)

    token_id: UUID = Field(foreign_key="tokens.id")
    changed_at: datetime
    changed_by: UUID | None = Field(default=None, foreign_key="api_keys.id", description="the key that asked for it")
    what: dict[str, list[Any]] = json_column()


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
