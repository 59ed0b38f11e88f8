"""Organisations, the members who act for them, and the keys that act for members."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Index, false
from sqlmodel import Field, UniqueConstraint

from campaigns.audit import Audit
from campaigns.identity.legal_data import NEEDED
from campaigns.identity.rights import RIGHTS, Right, Role, rights_of_key
from campaigns.storage import Row, json_column

IDLE_LIFE = timedelta(minutes=30)  # of a member's session without a request


class Organisation(Row, table=True):
    """The brand: owns everything below it. The data of its test keys live in a twin of its own."""

    __tablename__ = "organisations"
    __table_args__ = (Index("uq_organisations_test_of_id", "test_of_id", unique=True),)
    __audit__ = Audit("organisation")

    name: str
    created_at: datetime
    verified_hosts: list[str] | None = json_column(nullable=True)
    launch_needs_approval: bool = Field(
        default=False,
        sa_column_kwargs={"server_default": false()},
        description="a launch waits for a member other than who proposed it",
    )
    test_of_id: UUID | None = Field(
        default=None, foreign_key="organisations.id", description="of a twin: whose test keys it is for"
    )
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


class Member(Row, table=True):
    """A person who acts for the organisation in the console. Removed, only its row is kept."""

    __tablename__ = "members"
    __table_args__ = (
        UniqueConstraint("organisation_id", "email_key"),
        Index("ix_members_organisation_id_id", "organisation_id", "id"),
    )
    __audit__ = Audit("member", hidden=frozenset({"email", "name"}), silent=frozenset({"email_key"}))

    organisation_id: UUID = Field(foreign_key="organisations.id")
    email: str | None = Field(description="as typed; None of one who was removed")
    email_key: str | None = Field(index=True, description="the address in one case: one member each")
    name: str
    role: str
    invited_at: datetime
    joined_at: datetime | None = None
    removed_at: datetime | None = None

    @property
    def rights(self) -> frozenset[Right]:
        return RIGHTS[Role(self.role)]


class SignInLink(Row, table=True):
    """A one-time link that signs a member in. Only its hash is kept."""

    __tablename__ = "sign_in_links"
    __audit__ = Audit("sign_in_link", silent=frozenset({"secret_hash", "used_at"}), path=("member_id",))

    member_id: UUID = Field(foreign_key="members.id", index=True)
    secret_hash: str = Field(unique=True)
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = None


class MemberSession(Row, table=True):
    """A browser a member signed in with: 12 hours at most, 30 minutes without a request."""

    __tablename__ = "member_sessions"
    __audit__ = Audit("member_session", silent=frozenset({"secret_hash", "last_seen_at"}), path=("member_id",))

    member_id: UUID = Field(foreign_key="members.id", index=True)
    secret_hash: str = Field(unique=True)
    label: str
    created_at: datetime
    expires_at: datetime
    last_seen_at: datetime
    revoked_at: datetime | None = None

    def stands(self, now: datetime) -> bool:
        return self.revoked_at is None and now < self.expires_at and now < self.last_seen_at + IDLE_LIFE


class ApiKey(Row, table=True):
    """A bearer key. Only its SHA-256 is stored; `prefix` is what lists show of it."""

    __tablename__ = "api_keys"
    __table_args__ = (Index("uq_api_keys_rotated_from_id", "rotated_from_id", unique=True),)
    __audit__ = Audit("api_key", silent=frozenset({"secret_hash", "last_used_at"}))

    organisation_id: UUID = Field(foreign_key="organisations.id", index=True)
    name: str = Field(default="", sa_column_kwargs={"server_default": ""})
    role: str = Role.OWNER
    scopes: list[str] | None = json_column(nullable=True)
    place_ids: list[str] | None = json_column(nullable=True)
    is_test: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    prefix: str
    secret_hash: str = Field(unique=True)
    created_at: datetime
    expires_at: datetime | None = None
    issued_by_member_id: UUID | None = Field(default=None, foreign_key="members.id")
    issued_by_key_id: UUID | None = Field(default=None, foreign_key="api_keys.id")
    rotated_from_id: UUID | None = Field(default=None, foreign_key="api_keys.id")
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None

    def is_live(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    @property
    def rights(self) -> frozenset[Right]:
        return rights_of_key(self.role, self.scopes)

    @property
    def places(self) -> frozenset[UUID] | None:
        """The places it is bound to; None: to none."""
        return None if self.place_ids is None else frozenset(UUID(one) for one in self.place_ids)


class KeyFingerprint(Row, table=True):
    """The fingerprint of the secret key this database was made with: another key does not start.

    One row, with the nil id: of two servers that start first together, one writes it.
    """

    __tablename__ = "key_fingerprints"

    fingerprint: str = Field(unique=True)
    created_at: datetime
