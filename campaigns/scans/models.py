"""Scans, how they were judged, what confirmed them, and the check-ins that rest on them.

Nothing points at a scan row with a foreign key: a detached month or a scan still on its way blocks nobody.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Index, LargeBinary, Text, cast, false, func, text
from sqlmodel import Field, SQLModel, UniqueConstraint, col

from campaigns import ids
from campaigns.storage import Row

_FAR = text("geofence = 'outside'")
_IS_FIRST: dict[str, Any] = {"sqlite_where": text("is_first = 1"), "postgresql_where": text("is_first")}
_IS_AGAIN: dict[str, Any] = {
    "sqlite_where": text("counted = 1 AND phase = 'live' AND is_first = 0"),
    "postgresql_where": text("counted AND phase = 'live' AND NOT is_first"),
}
_IS_PUBLIC: dict[str, Any] = {
    "sqlite_where": text("counted = 1 AND phase = 'live'"),
    "postgresql_where": text("counted AND phase = 'live'"),
}


class Scan(SQLModel, table=True):
    """One GET of a token's URL, never edited. The id, a UUIDv7, holds its instant to the millisecond."""

    __tablename__ = "scans"
    __table_args__ = (Index("ix_scans_campaign_id_id", "campaign_id", "id"),)

    id: UUID = Field(primary_key=True)
    campaign_id: UUID | None = None
    token_id: UUID | None = None
    place_id: UUID | None = None
    code: str | None = Field(default=None, description="what was asked for, of an orphan")
    visitor_key: int = Field(sa_type=BigInteger)
    phase: str
    verdict: str
    score: int
    reasons: str = Field(description="comma-separated, of the closed list")
    rules_version: int
    device: str
    language: str
    country: str | None = Field(default=None, description="of the address, when the operator gave a file of addresses")
    city: str | None = None
    objected: bool = Field(
        default=False,
        sa_column_kwargs={"server_default": false()},
        description="Sec-GPC or DNT: the visitor key is of this campaign alone",
    )

    @property
    def scanned_at(self) -> datetime:
        return ids.instant_of(self.id)


class ScanCounter(SQLModel, table=True):
    """Scans and confirmed scans of a token, hour, phase and verdict, by the process that wrote them.

    Figures are sums over writers; `token_id` is the nil UUID for orphans. `hour` counts from 1970 in UTC.
    """

    __tablename__ = "scan_counters"

    token_id: UUID = Field(primary_key=True)
    hour: int = Field(primary_key=True, sa_type=BigInteger)
    phase: str = Field(primary_key=True)
    verdict: str = Field(primary_key=True)
    writer: int = Field(primary_key=True)
    scans: int = Field(default=0, sa_type=BigInteger)
    confirmed: int = Field(default=0, sa_type=BigInteger)


class ScanVisitor(SQLModel, table=True):
    """The smallest visitor keys of a token and UTC day: exact below 4,096, an estimate above."""

    __tablename__ = "scan_visitors"
    __table_args__ = ({"sqlite_with_rowid": False},)

    token_id: UUID = Field(primary_key=True)
    day: int = Field(primary_key=True)
    visitor_key: int = Field(primary_key=True, sa_type=BigInteger)


class ScanRollup(SQLModel, table=True):
    """Scans of a campaign in one hour, civil day or week: all, of one value of a dimension, or of two of a pair.

    Derived from the log by the worker, behind the scans. Pairs have no hours and no visitors.
    """

    __tablename__ = "scan_rollups"
    __table_args__ = ({"sqlite_with_rowid": False},)

    campaign_id: UUID = Field(primary_key=True)
    dimension: str = Field(
        primary_key=True, description="empty: all scans; else `place`, `device`, `place,device`, ..."
    )
    span: str = Field(primary_key=True, description="`hour`, `day`, `week` or `eight_weeks`")
    phase: str = Field(primary_key=True)
    period: int = Field(primary_key=True, description="hours since 1970 in UTC, or civil days as where it was")
    value: str = Field(default="", primary_key=True, description="empty: none")
    other_value: str = Field(default="", primary_key=True, description="of a pair's other dimension")
    valid: int = Field(default=0, sa_type=BigInteger)
    provisional: int = Field(default=0, sa_type=BigInteger)
    held: int = Field(default=0, sa_type=BigInteger)
    invalid: int = Field(default=0, sa_type=BigInteger)
    duplicate: int = Field(default=0, sa_type=BigInteger)
    bot: int = Field(default=0, sa_type=BigInteger)
    confirmed: int = Field(default=0, sa_type=BigInteger, description="of any verdict")
    verified: int = Field(default=0, sa_type=BigInteger, description="confirmed, and valid")
    visitors: int = Field(default=0, sa_type=BigInteger, description="of a day; an hour has none")


class RollupCell(SQLModel, table=True):
    """Scans of a civil day that are alike in everything counted, until they are shared out to the pairs."""

    __tablename__ = "rollup_cells"
    __table_args__ = ({"sqlite_with_rowid": False},)

    campaign_id: UUID = Field(primary_key=True)
    phase: str = Field(primary_key=True)
    day: int = Field(primary_key=True)
    token: str = Field(primary_key=True)
    place: str = Field(primary_key=True)
    channel: str = Field(primary_key=True)
    medium: str = Field(primary_key=True)
    device: str = Field(primary_key=True)
    language: str = Field(primary_key=True)
    country: str = Field(primary_key=True)
    valid: int = Field(default=0, sa_type=BigInteger)
    provisional: int = Field(default=0, sa_type=BigInteger)
    held: int = Field(default=0, sa_type=BigInteger)
    invalid: int = Field(default=0, sa_type=BigInteger)
    duplicate: int = Field(default=0, sa_type=BigInteger)
    bot: int = Field(default=0, sa_type=BigInteger)
    confirmed: int = Field(default=0, sa_type=BigInteger)
    verified: int = Field(default=0, sa_type=BigInteger)


class RollupWeek(SQLModel, table=True):
    """That a campaign's sums of a week, or of eight, are kept for a dimension."""

    __tablename__ = "rollup_weeks"
    __table_args__ = ({"sqlite_with_rowid": False},)

    campaign_id: UUID = Field(primary_key=True)
    dimension: str = Field(primary_key=True)
    span: str = Field(primary_key=True)
    period: int = Field(primary_key=True)


class RollupVisitor(SQLModel, table=True):
    """The smallest visitor keys of a civil day of a campaign and a value: exact below 4,096, an estimate above."""

    __tablename__ = "rollup_visitors"
    __table_args__ = ({"sqlite_with_rowid": False},)

    campaign_id: UUID = Field(primary_key=True)
    dimension: str = Field(primary_key=True)
    day: int = Field(primary_key=True)
    value: str = Field(primary_key=True)
    visitor_key: int = Field(primary_key=True, sa_type=BigInteger)


class ScanConfirmation(SQLModel, table=True):
    """Something only a person's browser does happened on this scan, once."""

    __tablename__ = "scan_confirmations"
    __table_args__ = (
        # The key alone: it is of one day by itself, and entries a quarter the size keep more of them in one page.
        Index("ix_scan_confirmations_visitor_key", "visitor_key"),
        Index("ix_scan_confirmations_token_id_scan_id", "token_id", "scan_id"),
    )

    scan_id: UUID = Field(primary_key=True)
    token_id: UUID
    visitor_key: int = Field(sa_type=BigInteger)
    confirmed_at: datetime
    is_judged: bool = Field(default=False, description="the judge has counted it")


class ScanPosition(SQLModel, table=True):
    """A position given for a scan, by consent; two at most. The precise fix is sealed and dropped after 72 hours.

    `point` is a keyed hash of it to seven decimals, dropped with it: equal points can be found, none can be read.
    """

    __tablename__ = "scan_positions"
    __table_args__ = (
        Index("ix_scan_positions_point_scan_id", "point", "scan_id"),
        # The few far ones of a token, for the rule that a code was photographed.
        Index("ix_scan_positions_far", "token_id", "scan_id", sqlite_where=_FAR, postgresql_where=_FAR),
    )

    scan_id: UUID = Field(primary_key=True)
    slot: int = Field(primary_key=True, description="1 or 2")
    geofence: str
    distance_m: int | None = Field(default=None, description="upper bound of a coarse bucket")
    cell: str | None = Field(default=None, description="of a grid of some 5 km")
    accuracy_m: int = Field(description="radius of the 95 % error circle, rounded up")
    located_at: datetime
    sealed: bytes | None = Field(default=None, sa_type=LargeBinary)
    token_id: UUID | None = None
    visitor_key: int | None = Field(default=None, sa_type=BigInteger)
    point: int | None = Field(default=None, sa_type=BigInteger)


def first_scan() -> Any:
    """The smallest scan id of a group of positions, as text: PostgreSQL has no min of UUIDs; the order is the same."""
    return func.min(cast(col(ScanPosition.scan_id), Text))


class ScanJudgement(Row, table=True):
    """A verdict that changed the one before it. Append-only; the newest stands."""

    __tablename__ = "scan_judgements"

    scan_id: UUID = Field(index=True)
    rules_version: int
    verdict: str
    score: int
    reasons: str
    decided_at: datetime
    decided_by: str


class CheckIn(Row, table=True):
    """The offline act on a scan, once per scan. Presence is fixed by it."""

    __tablename__ = "check_ins"
    __table_args__ = (
        UniqueConstraint("scan_id"),
        Index("ix_check_ins_campaign_id_id", "campaign_id", "id"),
        Index("ix_check_ins_place_id_id", "place_id", "id"),
        Index("ix_check_ins_public", "campaign_id", "id", "is_late", "is_first", **_IS_PUBLIC),
        Index("ix_check_ins_public_place", "campaign_id", "place_id", "id", "participant_id", "is_late", **_IS_PUBLIC),
        Index("ix_check_ins_public_token", "campaign_id", "token_id", "id", "participant_id", "is_late", **_IS_PUBLIC),
        Index("ix_check_ins_person", "campaign_id", "participant_id", **_IS_PUBLIC),
        Index("ix_check_ins_again", "campaign_id", "id", "came_before_at", **_IS_AGAIN),
        Index("ix_check_ins_first", "campaign_id", "checked_in_at", "place_id", "token_id", **_IS_FIRST),
        Index("ix_check_ins_first_person", "campaign_id", "participant_id", "checked_in_at", **_IS_FIRST),
    )

    scan_id: UUID
    participant_id: UUID = Field(foreign_key="participants.id", index=True)
    campaign_id: UUID = Field(foreign_key="campaigns.id")
    token_id: UUID = Field(foreign_key="tokens.id")
    place_id: UUID | None = None
    phase: str
    presence: int
    geofence: str
    by_till_code: bool
    verdict: str
    reasons: str
    counted: bool = Field(description="the first of this person, token and civil day")
    occurred_at: datetime
    checked_in_at: datetime
    rules_version_id: UUID | None = Field(default=None, description="the mission's rules in force at the act")
    voided_at: datetime | None = None
    by_staff: bool = Field(
        default=False,
        sa_column_kwargs={"server_default": false()},
        description="recorded by the staff of the place, for who has no phone: its scan id names no scan",
    )
    is_first: bool = Field(
        default=False,
        sa_column_kwargs={"server_default": false()},
        description="the first counted one of its person in the campaign, live: where their way begins",
    )
    came_before_at: datetime | None = Field(
        default=None, description="of one that is not: when its person had come before it, to a counted one, live"
    )
    is_late: bool = Field(
        default=False,
        sa_column_kwargs={"server_default": false()},
        description="sent more than ten minutes after its scan, as a phone does that had no network",
    )


class CheckInMark(SQLModel, table=True):
    """How many counted check-ins a campaign's public part has up to one of them, that one included: the sum so far.

    Set by the worker, taken away by whoever changes one before it.
    """

    __tablename__ = "check_in_marks"

    campaign_id: UUID = Field(foreign_key="campaigns.id", primary_key=True)
    check_in_id: UUID = Field(primary_key=True)
    check_ins: int
    late: int
    firsts: int = Field(description="of them the first of their person in the campaign")


class ScanVoid(SQLModel, table=True):
    """That somebody voided a scan, or a check-in that the staff recorded, once, and why. Append-only."""

    __tablename__ = "scan_voids"

    scan_id: UUID = Field(primary_key=True)
    reason: str
    voided_at: datetime


class VoidEffect(Row, table=True):
    """One thing that went, or came to rest on another act, when a scan or a staff record was voided. Append-only."""

    __tablename__ = "void_effects"

    scan_id: UUID = Field(index=True, description="or the id of the staff record")
    what: str = Field(
        description="`check_in`, `visit`, `completion`, `mission`, `accrual`, `coupon`, `points`, `badge`; `ballot`, "
        "`vote`: their round"
    )
    subject_id: UUID
    outcome: str = Field(description="`reversed`; `kept`: another act supports it; `used`: it was used or spent before")


class Visit(SQLModel, table=True):
    """The one counted visit of a person, token, civil day of the place and phase (DOMAIN section 4)."""

    __tablename__ = "visits"

    participant_id: UUID = Field(foreign_key="participants.id", primary_key=True)
    token_id: UUID = Field(primary_key=True)
    civil_day: str = Field(primary_key=True)
    phase: str = Field(default="live", primary_key=True, sa_column_kwargs={"server_default": "live"})
    check_in_id: UUID


class LiveWindowUse(SQLModel, table=True):
    """That a live window of a place proved a person's presence in a campaign, scanned or typed as the till code.

    The primary key refuses the second use (I13).
    """

    __tablename__ = "live_window_uses"

    place_id: UUID = Field(foreign_key="places.id", primary_key=True)
    campaign_id: UUID = Field(foreign_key="campaigns.id", primary_key=True)
    window: int = Field(primary_key=True, description="of 30 seconds, counted since 1970")
    person_id: UUID = Field(primary_key=True)
    scan_id: UUID
    used_at: datetime


class ReceiptTries(SQLModel, table=True):
    """Till codes typed with one receipt: five at most."""

    __tablename__ = "receipt_tries"

    scan_id: UUID = Field(primary_key=True)
    tries: int = 0


class ScanWriter(SQLModel, table=True):
    """The number each process takes at its start, so that no two write one counter row."""

    __tablename__ = "scan_writers"

    number: int = Field(primary_key=True)
    started_at: datetime


class LogStart(SQLModel, table=True):
    """From when on the log holds every scan: older ones reached their term and only their counters are left."""

    __tablename__ = "log_starts"

    id: int = Field(default=1, primary_key=True, sa_column_kwargs={"autoincrement": False})
    whole_from: datetime


class VisitorSalt(SQLModel, table=True):
    """The salt of a UTC day on PostgreSQL: UNLOGGED, so no WAL archive, replica or base backup holds it.

    The migration makes it so; a SQLite database leaves it empty and uses a file.
    """

    __tablename__ = "visitor_salts"

    day: int = Field(primary_key=True)
    salt: bytes = Field(sa_type=LargeBinary)
