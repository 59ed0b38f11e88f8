"""Tokens: what a printed code, an NFC tag or a link carries."""

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import BigInteger, Index, LargeBinary, false, text
from sqlmodel import Field, SQLModel, UniqueConstraint

from campaigns.audit import Audit
from campaigns.errors import Conflict
from campaigns.storage import Row, json_column
from campaigns.tokens import sun


class Medium(StrEnum):
    """What the shopper meets."""

    QR = "qr"
    NFC = "nfc"
    LINK = "link"


class Kind(StrEnum):
    """How a code proves: a live one changes on the shop's screen every 30 seconds."""

    STATIC = "static"
    SERIAL = "serial"
    LIVE = "live"
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


class Purpose(StrEnum):
    """What a batch of serials is for, when not for packs or handing out: paper cards, each of which is a person."""

    CARDS = "cards"


class TokenBatch(Row, table=True):
    """Tokens made together. A serial batch says how often each code is good, and whether the shop hands it over."""

    __tablename__ = "token_batches"
    __audit__ = Audit("token_batch")
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
    purpose: str | None = Field(default=None, description="`cards`: its codes are never spent, so `good` is empty")
    job_id: UUID | None = Field(default=None, foreign_key="jobs.id", description="of a batch too large to wait for")
    created_at: datetime


class Token(Row, table=True):
    """One code. `code` is canonical: ten characters (a serial has sixteen), upper case, no hyphen."""

    __tablename__ = "tokens"
    __audit__ = Audit("token")
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


class TagPlan(NamedTuple):
    """An NTAG 424 DNA tag to enrol with its token. Its two keys come sealed together; nothing ever shows them.

    With a `diversifier` the second is the master of many tags, each with a key of its own (AN10922).
    """

    sealed_keys: bytes
    mode: sun.Mode = sun.Mode.AES
    mac_input: sun.MacInput = sun.MacInput.EMPTY
    uid: str | None = None
    diversifier: bytes | None = None


class SunTag(SQLModel, table=True):
    """The NTAG 424 DNA tag of a `sun` token: how to read what it says, and the last counter it said.

    `sealed_keys` are the meta read key and the file read key, 16 bytes each, sealed together; `uid`, in upper-case
    hexadecimal, is that of the tag's first tap when it was not given. With a `diversifier` (hexadecimal) the file read
    key is the master of many tags. Counters are spent by the scan log, inside the batch that stores the scan.
    """

    __tablename__ = "sun_tags"

    token_id: UUID = Field(foreign_key="tokens.id", primary_key=True)
    uid: str | None = None
    sealed_keys: bytes = Field(sa_type=LargeBinary)
    mode: str = sun.Mode.AES
    mac_input: str = sun.MacInput.EMPTY
    last_counter: int = Field(default=-1, description="24 bits; -1 before the first tap")
    diversifier: str | None = Field(default=None, description="application id and system identifier (AN10922)")

    def opened(self, open_keys: Callable[[bytes], bytes]) -> sun.SignedTag:
        """The tag, ready to be read. `open_keys` unseals; Invalid when another installation sealed them."""
        plain = open_keys(self.sealed_keys)
        diversifier = bytes.fromhex(self.diversifier) if self.diversifier else None
        keys = sun.Keys(plain[: sun.KEY_BYTES], plain[sun.KEY_BYTES :], diversifier)
        return sun.SignedTag(keys, sun.Mode(self.mode), sun.MacInput(self.mac_input), self.uid)


class SpentTap(SQLModel, table=True):
    """A counter that a tap spent, and by whom: the same browser's reload within minutes gets the same answer.

    Kept for three days, one longer than a receipt carries an act.
    """

    __tablename__ = "spent_taps"

    token_id: UUID = Field(foreign_key="tokens.id", primary_key=True)
    counter: int = Field(primary_key=True)
    scan_id: UUID
    visitor_key: int = Field(sa_type=BigInteger)
    tapped_at: datetime = Field(index=True)


class MirrorCounter(SQLModel, table=True):
    """The last counter that an unsigned tag of a token said (NTAG213, 215, 216)."""

    __tablename__ = "mirror_counters"

    token_id: UUID = Field(foreign_key="tokens.id", primary_key=True)
    uid: str = Field(primary_key=True)
    last_counter: int


class TagKeySet(Row, table=True):
    """The keys that a batch of tags shares, given once and named by their id from then on."""

    __tablename__ = "tag_key_sets"
    __audit__ = Audit("tag_key_set", silent=frozenset({"sealed_keys"}))

    organisation_id: UUID = Field(foreign_key="organisations.id", index=True)
    label: str
    sealed_keys: bytes = Field(sa_type=LargeBinary)
    mode: str = sun.Mode.AES
    mac_input: str = sun.MacInput.EMPTY
    diversifier: str | None = None
    created_at: datetime

    def plan(self, uid: str | None) -> TagPlan:
        """A tag of this set, to enrol with its token."""
        diversifier = bytes.fromhex(self.diversifier) if self.diversifier else None
        return TagPlan(self.sealed_keys, sun.Mode(self.mode), sun.MacInput(self.mac_input), uid, diversifier)


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
    __audit__ = Audit("tag_writing")
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
