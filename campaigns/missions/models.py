"""Missions, their steps, and who completed them."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, text
from sqlmodel import CheckConstraint, Field, Index, SQLModel, UniqueConstraint

from campaigns.audit import Audit
from campaigns.scans.verdict import Reason
from campaigns.storage import Row, json_column

LocalText = dict[str, str]  # language -> text; "" holds a text given in one language only


def text_in(text: LocalText | str | None, language: str) -> str:
    """A brand's text in a language: that of the language, the one without language, or the first."""
    if not text:
        return ""
    if isinstance(text, str):
        return text
    return text.get(language) or text.get("") or next(iter(text.values()))


class GoalMetric(StrEnum):
    """What a mission counts towards. `amount_minor`: what its pledges unlocked, in minor units of their currency."""

    CHECK_INS = "check_ins"
    PARTICIPANTS = "participants"
    COMPLETIONS = "completions"
    VOTES = "votes"
    AMOUNT_MINOR = "amount_minor"


class StepKind(StrEnum):
    """The acts of a mission. `redeem` is done by using a coupon of the campaign in a shop."""

    SCAN = "scan"
    VISIT_PLACES = "visit_places"
    TRAIL = "trail"
    STAFF_VALIDATED = "staff_validated"
    REDEEM = "redeem"
    BRING_FRIEND = "bring_friend"
    IDEA = "idea"
    SHARE = "share"
    EXTERNAL = "external"
    VOTE = "vote"
    COMMENT = "comment"
    ANSWER = "answer"
    RATE = "rate"
    REFERRAL = "referral"


class Mode(StrEnum):
    """Whether a step is done in the shop or on the phone."""

    OFFLINE = "offline"
    ONLINE = "online"


class Repeat(StrEnum):
    """How often a step counts for one person; a number of times is kept as that number."""

    ONCE = "once"
    DAILY = "daily"
    WEEKLY = "weekly"


MODES = {
    StepKind.SCAN: Mode.OFFLINE,
    StepKind.VISIT_PLACES: Mode.OFFLINE,
    StepKind.TRAIL: Mode.OFFLINE,
    StepKind.STAFF_VALIDATED: Mode.OFFLINE,
    StepKind.REDEEM: Mode.OFFLINE,
    StepKind.BRING_FRIEND: Mode.OFFLINE,
    StepKind.IDEA: Mode.ONLINE,
    StepKind.VOTE: Mode.ONLINE,
    StepKind.COMMENT: Mode.ONLINE,
    StepKind.SHARE: Mode.ONLINE,
    StepKind.EXTERNAL: Mode.ONLINE,
    StepKind.ANSWER: Mode.ONLINE,
    StepKind.RATE: Mode.ONLINE,
    StepKind.REFERRAL: Mode.ONLINE,
}
# What a check-in may complete by itself.
ON_CHECK_IN = (StepKind.SCAN, StepKind.VISIT_PLACES, StepKind.TRAIL)


class CompletionState(StrEnum):
    """Pending completions rest on an act that is still being judged; they count for nothing yet."""

    PENDING = "pending"
    VERIFIED = "verified"
    REVERSED = "reversed"  # what it rested on was voided; an act of the same period may take its place


class Mission(Row, table=True):
    """A shared goal of a campaign."""

    __tablename__ = "missions"
    __audit__ = Audit("mission")
    __table_args__ = (UniqueConstraint("campaign_id", "external_id"),)

    organisation_id: UUID = Field(foreign_key="organisations.id")
    campaign_id: UUID = Field(foreign_key="campaigns.id", index=True)
    external_id: str | None = None
    slug: str = Field(unique=True)
    title: LocalText = json_column()
    promise: LocalText = json_column()
    goal_metric: str
    goal_value: int = Field(sa_type=BigInteger)
    points_expire_days: int | None = Field(
        default=None, description="for how many days its points may be spent; absent: for good"
    )
    created_at: datetime
    changed_at: datetime


class Step(Row, table=True):
    """One act of a mission. `min_presence` is the least proof it accepts, 0 to 3."""

    __tablename__ = "steps"
    __audit__ = Audit("step", path=("mission_id",))
    __table_args__ = (UniqueConstraint("mission_id", "position"),)

    mission_id: UUID = Field(foreign_key="missions.id")
    position: int
    kind: str
    mode: str
    title: LocalText | None = json_column(nullable=True)
    min_presence: int = 0
    repeat: str = Repeat.ONCE
    points: int = 0
    params: dict[str, Any] = json_column()

    @property
    def times(self) -> int:
        """How often it must be done to be done: the number of a step that repeats so, else once."""
        return int(self.repeat) if self.repeat.isdigit() else 1

    @property
    def places(self) -> list[UUID]:
        """The places it names, in their order; none where any place counts."""
        return [UUID(name.partition("_")[2]) for name in self.params.get("places", [])]

    @property
    def choices(self) -> list[LocalText]:
        """The choices of a question, in their order; none where people reply in words."""
        return list(self.params.get("choices") or [])

    def takes(self, reasons: str) -> bool:
        """Whether a check-in with these reasons shows the pack that this step may ask for by name."""
        return not self.params.get("possession") or Reason.POSSESSION in reasons.split(",")

    @property
    def editable_h(self) -> int:
        """For how many hours a reply to it may be changed."""
        return int(self.params.get("editable_h", 24))


class StepCompletion(Row, table=True):
    """A person did a step in a period (I10). `source_id`: the check-in, idea, round of votes or act it rests on.

    The phase is part of the key: who tried the printer's proof in a draft can still do the step for real.
    """

    __tablename__ = "step_completions"
    __table_args__ = (UniqueConstraint("step_id", "participant_id", "period", "phase"),)

    step_id: UUID = Field(foreign_key="steps.id")
    mission_id: UUID = Field(foreign_key="missions.id", index=True)
    participant_id: UUID = Field(foreign_key="participants.id", index=True)
    period: str
    phase: str
    state: str
    presence: int
    source_id: UUID = Field(index=True)
    completed_at: datetime
    points: int = Field(default=0, sa_column_kwargs={"server_default": "0"}, description="what the step was worth then")
    reason: str | None = Field(default=None, description="of a reversed one: why")


class Membership(SQLModel, table=True):
    """A person takes part in a mission, once a phase."""

    __tablename__ = "memberships"

    mission_id: UUID = Field(foreign_key="missions.id", primary_key=True)
    participant_id: UUID = Field(foreign_key="participants.id", primary_key=True)
    phase: str = Field(primary_key=True)
    joined_at: datetime
    rules_version_id: UUID | None = Field(default=None, description="the rules in force when they joined")
    completed_at: datetime | None = Field(default=None, description="when every step was done; None again when undone")


class MissionPlace(SQLModel, table=True):
    """A place a person visited for a mission, once a phase (I11), with the best of their check-ins there."""

    __tablename__ = "mission_places"

    mission_id: UUID = Field(foreign_key="missions.id", primary_key=True)
    participant_id: UUID = Field(foreign_key="participants.id", primary_key=True)
    place_id: UUID = Field(foreign_key="places.id", primary_key=True)
    phase: str = Field(primary_key=True)
    presence: int
    check_in_id: UUID


class StepAnswer(SQLModel, table=True):
    """What a check-in did to a step that needs several, as it was first told: a replay gets the same."""

    __tablename__ = "step_answers"

    check_in_id: UUID = Field(primary_key=True)
    step_id: UUID = Field(foreign_key="steps.id", primary_key=True)
    outcome: str
    reason: str | None = None


class ActCode(Row, table=True):
    """A short code a phone shows for ten minutes: staff take one for an act, friends name one another by it."""

    __tablename__ = "act_codes"
    __table_args__ = (UniqueConstraint("organisation_id", "code"),)

    organisation_id: UUID = Field(foreign_key="organisations.id")
    step_id: UUID = Field(foreign_key="steps.id")
    participant_id: UUID = Field(foreign_key="participants.id", index=True)
    code: str
    phase: str
    issued_at: datetime
    expires_at: datetime
    used_at: datetime | None = None


class Validation(Row, table=True):
    """A phone of a place witnessed a person's act, by their code, once."""

    __tablename__ = "validations"
    __table_args__ = (UniqueConstraint("code_id"),)

    code_id: UUID
    step_id: UUID = Field(foreign_key="steps.id")
    participant_id: UUID = Field(foreign_key="participants.id", index=True)
    place_id: UUID = Field(foreign_key="places.id")
    staff_session_id: UUID = Field(description="sessions reach their term before: no reference")
    phase: str
    validated_at: datetime


class FriendNaming(Row, table=True):
    """A person named a friend by the friend's code. `check_in_id`: where they were together, once both did."""

    __tablename__ = "friend_namings"
    __table_args__ = (UniqueConstraint("step_id", "participant_id", "friend_id", "period", "phase"),)

    step_id: UUID = Field(foreign_key="steps.id")
    participant_id: UUID = Field(foreign_key="participants.id", index=True)
    friend_id: UUID = Field(foreign_key="participants.id", index=True)
    period: str
    phase: str
    named_at: datetime
    check_in_id: UUID | None = Field(default=None, index=True)


_IS_SHOWN = text("former_at IS NULL")


class PublicCode(SQLModel, table=True):
    """A person's public code in a mission: in the link they share, and for another system to tell of an act.

    They have one that is shown; those of names that were merged into theirs (`former_at`) lead to them as well.
    `phone_key` is the key of the phone that last asked for the link, on the UTC day `phone_day`: who comes by the link
    on that phone is nobody new.
    """

    __tablename__ = "public_codes"
    __table_args__ = (
        Index(
            "uq_public_codes_shown",
            "mission_id",
            "participant_id",
            unique=True,
            sqlite_where=_IS_SHOWN,
            postgresql_where=_IS_SHOWN,
        ),
    )

    code: str = Field(primary_key=True)
    mission_id: UUID = Field(foreign_key="missions.id")
    participant_id: UUID = Field(foreign_key="participants.id", index=True)
    issued_at: datetime
    former_at: datetime | None = Field(default=None, description="when another code of its person took its place")
    phone_day: int | None = None
    phone_key: int | None = Field(
        default=None, sa_type=BigInteger, description="keyed hash under the salt of that day, which is gone"
    )


class ReferralState(StrEnum):
    """A newcomer came by a link; came to a place; and it did the referrer's step. Or it counts for nobody, and why."""

    CLAIMED = "claimed"
    QUALIFIED = "qualified"
    REWARDED = "rewarded"
    BLOCKED = "blocked"


class Referral(Row, table=True):
    """Who brought whom to a mission. `act_id`: the newcomer's check-in or validation at a place that qualified it.

    `pair` is the same whoever of two brought the other, so that two never bring one another (I18).
    """

    __tablename__ = "referrals"
    __table_args__ = (
        UniqueConstraint("newcomer_id", "phase"),
        UniqueConstraint("pair", "phase"),
        CheckConstraint("referrer_id <> newcomer_id", name="oneself"),
        CheckConstraint("(reason IS NOT NULL) = (state = 'blocked')", name="reason"),
        CheckConstraint("(act_id IS NOT NULL) = (state IN ('qualified', 'rewarded'))", name="act"),
        Index("ix_referrals_mission_id_referrer_id", "mission_id", "referrer_id"),
    )

    mission_id: UUID = Field(foreign_key="missions.id")
    step_id: UUID = Field(foreign_key="steps.id")
    referrer_id: UUID = Field(foreign_key="participants.id", index=True)
    newcomer_id: UUID = Field(foreign_key="participants.id")
    pair: str
    phase: str
    state: str
    reason: str | None = None
    claimed_at: datetime
    qualified_at: datetime | None = None
    act_id: UUID | None = Field(default=None, index=True)


class Share(Row, table=True):
    """That a person shared a mission: once a civil day of the campaign."""

    __tablename__ = "shares"
    __table_args__ = (UniqueConstraint("mission_id", "participant_id", "civil_day", "phase"),)

    mission_id: UUID = Field(foreign_key="missions.id")
    participant_id: UUID = Field(foreign_key="participants.id", index=True)
    civil_day: str
    phase: str
    shared_at: datetime


class ExternalAct(Row, table=True):
    """An act that another system told of, once by its own id."""

    __tablename__ = "external_acts"
    __table_args__ = (UniqueConstraint("mission_id", "external_id"),)

    mission_id: UUID = Field(foreign_key="missions.id")
    external_id: str
    participant_id: UUID = Field(foreign_key="participants.id", index=True)
    step_id: UUID = Field(foreign_key="steps.id")
    outcome: str
    phase: str
    acted_at: datetime


class Card(SQLModel, table=True):
    """A paper card and the person it stands for, made by its first act. No act spends it; a person may have several."""

    __tablename__ = "cards"

    token_id: UUID = Field(foreign_key="tokens.id", primary_key=True)
    participant_id: UUID = Field(foreign_key="participants.id", index=True)
    first_used_at: datetime


class StaffAct(StrEnum):
    """What the staff can record for who has no phone. Pledges join with the money."""

    CHECK_IN = "check_in"
    STEP = "step"
    VOTE = "vote"
    IDEA = "idea"


class StaffRecord(Row, table=True):
    """That the staff of a place recorded an act for who has no phone. It names the place, nobody of the staff."""

    __tablename__ = "staff_records"
    __table_args__ = (
        UniqueConstraint("place_id", "client_id"),
        Index("ix_staff_records_campaign_id_place_id", "campaign_id", "place_id"),
    )

    campaign_id: UUID = Field(foreign_key="campaigns.id")
    place_id: UUID = Field(foreign_key="places.id")
    participant_id: UUID = Field(foreign_key="participants.id", index=True)
    act: str
    subject_id: UUID | None = Field(default=None, description="the check-in, step or idea; of a vote its round")
    outcome: str
    phase: str
    client_id: str
    recorded_at: datetime
    voided_at: datetime | None = None
    void_reason: str | None = None


class StaffHour(SQLModel, table=True):
    """How many acts, and how many votes, a shop's phone recorded in an hour: there is a most. Gone two hours later."""

    __tablename__ = "staff_hours"

    staff_session_id: UUID = Field(primary_key=True, description="sessions reach their term before: no reference")
    hour: int = Field(primary_key=True)
    kind: str = Field(primary_key=True, description="`acts` or `votes`")
    acts: int = 0


class MissionCounter(SQLModel, table=True):
    """A mission's running totals of a phase: `participants`, `check_ins`, `completions`, `ideas`, `referrals`, ...

    Split by writer, as the scan's: acts of two processes never wait for one row. A total is the sum over writers.
    """

    __tablename__ = "mission_counters"

    mission_id: UUID = Field(foreign_key="missions.id", primary_key=True)
    phase: str = Field(primary_key=True)
    metric: str = Field(primary_key=True)
    writer: int = Field(default=0, primary_key=True)
    total: int = Field(default=0, sa_type=BigInteger)
