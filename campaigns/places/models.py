"""Places, the staff who stand in them, and the tries at their till code."""

from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlmodel import Field, SQLModel, UniqueConstraint

from campaigns.audit import Audit
from campaigns.clock import zone
from campaigns.storage import Row, json_column

IDLE = timedelta(minutes=10)  # as last noted: a phone locks after nine to ten idle minutes, never later
NOTED_EVERY = timedelta(minutes=1)
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Place(Row, table=True):
    """A shop or spot. `opening_hours` maps `mon`..`sun` to lists of ["09:00", "19:30"]; none means always open."""

    __tablename__ = "places"
    __audit__ = Audit("place")
    __table_args__ = (UniqueConstraint("organisation_id", "external_id"),)

    organisation_id: UUID = Field(foreign_key="organisations.id")
    external_id: str | None = None
    name: str
    lat: float | None = None
    lon: float | None = None
    radius_m: int = 100
    time_zone: str
    address: str | None = None
    opening_hours: dict[str, list[list[str]]] | None = json_column(nullable=True)
    created_at: datetime
    changed_at: datetime = Field(index=True)

    def is_open(self, now: datetime) -> bool:
        """Whether the shop is open at that instant, in its own time; spans past midnight belong to their first day."""
        if not self.opening_hours:
            return True
        local = now.astimezone(zone(self.time_zone))
        minute = local.strftime("%H:%M")
        return any(
            start <= minute < end if start < end else minute >= start
            for start, end in self.opening_hours.get(DAYS[local.weekday()], [])
        ) or any(start >= end and minute < end for start, end in self.opening_hours.get(DAYS[local.weekday() - 1], []))


class StaffRole(StrEnum):
    """What a shop's phone may do: a manager's also signs other phones of its place in and out."""

    STAFF = "staff"
    MANAGER = "manager"


class StaffLink(Row, table=True):
    """A one-time link that signs a shop's phone in. Only its hash is kept."""

    __tablename__ = "staff_links"
    __audit__ = Audit("staff_link", silent=frozenset({"secret_hash", "used_at"}), path=("place_id",))

    place_id: UUID = Field(foreign_key="places.id", index=True)
    secret_hash: str = Field(unique=True)
    role: str = StaffRole.STAFF
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = None


class StaffSession(Row, table=True):
    """A shop's phone that signed in. Listed and revocable; locked after ten idle minutes, until its PIN is typed.

    `pin_hash` is none on phones that signed in before there were PINs: the upgrade signed them out.
    """

    __tablename__ = "staff_sessions"
    __audit__ = Audit(
        "staff_session",
        silent=frozenset({"secret_hash", "pin_hash", "wrong_pins", "last_seen_at"}),
        path=("place_id",),
    )

    place_id: UUID = Field(foreign_key="places.id", index=True)
    secret_hash: str = Field(unique=True)
    role: str = StaffRole.STAFF
    label: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None
    pin_hash: str | None = None
    wrong_pins: int = 0
    last_seen_at: datetime

    def is_standing(self, now: datetime) -> bool:
        """Whether the phone is signed in, locked or not."""
        return self.revoked_at is None and self.expires_at > now

    def is_locked(self, now: datetime) -> bool:
        """Whether it must show its PIN before it may do anything but be the shop's screen."""
        return now - self.last_seen_at >= IDLE

    def is_to_note(self, now: datetime) -> bool:
        """Whether an act of its person moves `last_seen_at`: once a minute is enough."""
        return now - self.last_seen_at >= NOTED_EVERY

    @property
    def is_manager(self) -> bool:
        return self.role == StaffRole.MANAGER


class TillCodeTries(SQLModel, table=True):
    """Wrong till codes of a place on one of its civil days: receipts are free, so places count too."""

    __tablename__ = "till_code_tries"

    place_id: UUID = Field(foreign_key="places.id", primary_key=True)
    civil_day: str = Field(primary_key=True)
    wrong: int = 0
