"""Campaigns and their targets."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger
from sqlmodel import CheckConstraint, Field, SQLModel, UniqueConstraint

from campaigns.audit import Audit
from campaigns.errors import Conflict
from campaigns.storage import Row, json_column


class Objective(StrEnum):
    """What a campaign is for. Named before any token exists."""

    CONQUEST = "conquest"
    LOYALTY = "loyalty"
    IMAGE = "image"
    AWARENESS = "awareness"
    SALES = "sales"
    RECRUITMENT = "recruitment"
    CAUSE = "cause"


class State(StrEnum):
    """Where a campaign stands. `scheduled` is a live campaign before its start: shown, never stored."""

    DRAFT = "draft"
    PILOT = "pilot"
    SCHEDULED = "scheduled"
    LIVE = "live"
    PAUSED = "paused"
    ENDED = "ended"


class Phase(StrEnum):
    """What an act belongs to. Trials of a draft, a pilot's acts (I21) and a holdout's enter no public figure."""

    DRAFT = "draft"
    PILOT = "pilot"
    LIVE = "live"
    HOLDOUT = "holdout"


ALL_KPIS = (
    "verified_scans",
    "unique_visitors",
    "participants",
    "check_ins",
    "completions",
    "ideas",
    "votes",
    "referrals",
    "coupons_redeemed",
    "conversions",
    "revenue_minor",
    "bridge_rate",
    "return_rate",
)
KPIS: dict[Objective, tuple[str, ...]] = {
    Objective.CONQUEST: (
        "verified_scans",
        "unique_visitors",
        "participants",
        "check_ins",
        "referrals",
        "conversions",
        "revenue_minor",
        "bridge_rate",
    ),
    Objective.LOYALTY: (
        "verified_scans",
        "participants",
        "check_ins",
        "completions",
        "coupons_redeemed",
        "conversions",
        "revenue_minor",
        "bridge_rate",
        "return_rate",
    ),
    Objective.IMAGE: (
        "verified_scans",
        "unique_visitors",
        "participants",
        "check_ins",
        "completions",
        "ideas",
        "votes",
        "bridge_rate",
    ),
    Objective.AWARENESS: (
        "verified_scans",
        "unique_visitors",
        "participants",
        "check_ins",
        "referrals",
        "bridge_rate",
    ),
    Objective.SALES: (
        "verified_scans",
        "check_ins",
        "coupons_redeemed",
        "conversions",
        "revenue_minor",
        "return_rate",
    ),
    Objective.RECRUITMENT: (
        "verified_scans",
        "unique_visitors",
        "participants",
        "check_ins",
        "completions",
        "ideas",
        "referrals",
        "conversions",
    ),
    Objective.CAUSE: ALL_KPIS,
}
RATES = ("bridge_rate", "return_rate")  # shares from 0 to 1; every other target is a count above zero


class Campaign(Row, table=True):
    """An objective with targets, a flight and a state."""

    __tablename__ = "campaigns"
    __audit__ = Audit("campaign")
    __table_args__ = (UniqueConstraint("organisation_id", "external_id"),)

    organisation_id: UUID = Field(foreign_key="organisations.id")
    external_id: str | None = None
    name: str
    objective: str
    state: str = State.DRAFT
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    time_zone: str
    budget_minor: int | None = Field(default=None, sa_type=BigInteger)
    currency: str | None = None
    destination: str | None = None
    rules: list[dict[str, Any]] | None = json_column(nullable=True)
    utm: dict[str, str] | None = json_column(nullable=True)
    languages: list[str] = json_column()
    created_at: datetime
    changed_at: datetime = Field(index=True)
    pilot_started_at: datetime | None = None
    launched_at: datetime | None = None
    ended_at: datetime | None = None

    def state_at(self, now: datetime) -> State:
        """The state a visitor meets at that instant, the flight's start and end included."""
        state = State(self.state)
        if state not in (State.LIVE, State.PAUSED, State.PILOT):
            return state
        if self.ends_at is not None and now >= self.ends_at:
            return State.ENDED
        if state is State.LIVE and self.starts_at is not None and now < self.starts_at:
            return State.SCHEDULED
        return state

    def phase_of(self, scanned_at: datetime) -> str:
        """The phase of a scan that was no trial of a draft: the pilot's, from its start to the launch, else live."""
        started, launched = self.pilot_started_at, self.launched_at
        since = started.replace(microsecond=started.microsecond // 1000 * 1000) if started else None  # as scans have it
        is_pilot = since is not None and scanned_at >= since and (launched is None or scanned_at < launched)
        return Phase.PILOT.value if is_pilot else Phase.LIVE.value

    def require(self, *states: State) -> None:
        """Conflict when it is in another state than these."""
        if self.state not in states:
            raise Conflict(
                f"A campaign that is {self.state} cannot do this; it would have to be {' or '.join(states)}.",
                code="wrong_state",
                state=self.state,
            )

    def move(self, to: State, *, of: tuple[State, ...], now: datetime) -> None:
        """Change the state; Conflict when the present one does not lead there."""
        if self.state not in of:
            raise Conflict(
                f"A campaign that is {self.state} cannot become {to}; it would have to be {' or '.join(of)}.",
                code="wrong_state",
                state=self.state,
            )
        self.state = to
        self.changed_at = now


class Target(Row, table=True):
    """One figure a campaign wants to reach. Locked at launch; what changes later is another row."""

    __tablename__ = "targets"
    __audit__ = Audit("target", path=("campaign_id",))
    __table_args__ = (UniqueConstraint("campaign_id", "kpi"),)

    campaign_id: UUID = Field(foreign_key="campaigns.id")
    kpi: str
    value: float
    locked_at: datetime | None = None


def target_problem(objective: str, kpi: str, value: float) -> str | None:
    """Why a target cannot be taken, or None."""
    fitting = KPIS[Objective(objective)]
    if kpi not in fitting:
        return f"A {objective} campaign has the targets {', '.join(fitting)}; {kpi[:60]!r} is not one of them."
    if kpi in RATES and not 0 < value <= 1:
        return f"{kpi} is a share above 0 and up to 1."
    if kpi not in RATES and (value < 1 or value != int(value)):
        return f"{kpi} is a whole number from 1."
    return None


class Criterion(StrEnum):
    """What a pilot can be asked to have shown before the launch. Open cases are a most, the others a least."""

    PEOPLE = "people"
    VERIFIED_ACTS = "verified_acts"
    PLACES = "places"
    VERIFIED_SHARE = "verified_share"
    OPEN_CASES = "open_cases"


class Pilot(Row, table=True):
    """A campaign's trial by its own people: where, up to how many, and what must be true before the launch.

    `thresholds` maps criteria to their value. `people` counts who took part; the CHECK and the statement that raises it
    keep it below the ceiling. Declared in the draft, it stays as it is from the start on.
    """

    __tablename__ = "pilots"
    __audit__ = Audit("pilot", silent=frozenset({"changed_at", "people"}))
    __table_args__ = (CheckConstraint("people BETWEEN 0 AND max_people", name="people"),)

    organisation_id: UUID = Field(foreign_key="organisations.id")
    campaign_id: UUID = Field(foreign_key="campaigns.id", unique=True)
    place_ids: list[str] = json_column()
    max_people: int
    thresholds: dict[str, float] = json_column()
    people: int = 0
    declared_at: datetime


class PilotWaiver(Row, table=True):
    """A member let a threshold go, and says why. Once a threshold."""

    __tablename__ = "pilot_waivers"
    __audit__ = Audit("pilot_waiver")
    __table_args__ = (UniqueConstraint("pilot_id", "criterion"),)

    organisation_id: UUID = Field(foreign_key="organisations.id")
    pilot_id: UUID = Field(foreign_key="pilots.id")
    criterion: str
    member_id: UUID = Field(foreign_key="members.id")
    reason: str
    waived_at: datetime


class PilotPerson(SQLModel, table=True):
    """That a person takes part in a pilot: each fills one of its places once."""

    __tablename__ = "pilot_people"

    pilot_id: UUID = Field(foreign_key="pilots.id", primary_key=True)
    participant_id: UUID = Field(foreign_key="participants.id", primary_key=True, index=True)
    admitted_at: datetime
