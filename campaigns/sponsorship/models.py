"""Sponsors, beneficiaries, pledges, what acts accrue on them, and payouts. The money itself is in the ledger."""

from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, text
from sqlmodel import CheckConstraint, Field, Index, SQLModel, UniqueConstraint

from campaigns.audit import Audit
from campaigns.storage import Row, json_column

_STANDING = text("state IN ('pending', 'posted')")
REVIEW_H = 72  # hours between an act and the posting of what it accrued, unless the pledge says another


class PledgeKind(StrEnum):
    """What a pledge pays for.

    `per_act`: `unit_minor` for each verified act. `match`: as much again as another pledge of the mission accrues for
    the act, times `match_percent`. `threshold`: `unit_minor` once so many acts are verified, for each such number.
    `in_kind`: things, counted in units of `unit_label`; its currency is XXX (ISO 4217: no currency).
    """

    PER_ACT = "per_act"
    MATCH = "match"
    THRESHOLD = "threshold"
    IN_KIND = "in_kind"


class Nature(StrEnum):
    """Sponsorship buys visibility; patronage (mécénat) gives."""

    SPONSORSHIP = "sponsorship"
    PATRONAGE = "patronage"


class LastSlice(StrEnum):
    """What the last act before the cap gets when less than its unit is left: that remainder, or nothing."""

    PAY_REMAINDER = "pay_remainder"
    KEEP_REMAINDER = "keep_remainder"


class PledgeState(StrEnum):
    """`active` once signed by the sponsor and accepted by every beneficiary; `exhausted` when no act gets more."""

    DRAFT = "draft"
    SIGNED = "signed"
    ACTIVE = "active"
    EXHAUSTED = "exhausted"
    ENDED = "ended"
    SETTLED = "settled"


class AccrualState(StrEnum):
    """`pending` until the review period is over; `voided` before it, `reversed` after it, with the reason."""

    PENDING = "pending"
    POSTED = "posted"
    VOIDED = "voided"
    REVERSED = "reversed"


class PayoutState(StrEnum):
    """A payout is proposed by one member and approved by another; sent and confirmed elsewhere, and recorded here."""

    PROPOSED = "proposed"
    APPROVED = "approved"
    SENT = "sent"
    CONFIRMED = "confirmed"
    CANCELLED = "cancelled"


class Sponsor(Row, table=True):
    """Who gives: a brand, a firm, a foundation."""

    __tablename__ = "sponsors"
    __audit__ = Audit("sponsor")
    __table_args__ = (UniqueConstraint("organisation_id", "external_id"),)

    organisation_id: UUID = Field(foreign_key="organisations.id")
    external_id: str | None = None
    name: str
    legal_id: str | None = Field(default=None, description="SIREN, VAT number or the like")
    url: str | None = None
    created_at: datetime
    changed_at: datetime


class Beneficiary(Row, table=True):
    """Who receives. `accepted_at`: when it accepted, by its one-time link, the use of its name (DOMAIN §7)."""

    __tablename__ = "beneficiaries"
    __audit__ = Audit("beneficiary")
    __table_args__ = (UniqueConstraint("organisation_id", "external_id"),)

    organisation_id: UUID = Field(foreign_key="organisations.id")
    external_id: str | None = None
    name: str
    legal_id: str = Field(description="RNA, SIREN or the like")
    url: str | None = None
    accepted_at: datetime | None = None
    accepted_by: str | None = Field(default=None, description="the name typed by who accepted")
    created_at: datetime
    changed_at: datetime


class Pledge(Row, table=True):
    """A sponsor's promise. Its terms are frozen by the signature; `terms_hash` is what was signed.

    Its book in the ledger has its id. `acts` counts those it paid or counted towards a threshold.
    """

    __tablename__ = "pledges"
    __audit__ = Audit("pledge", silent=frozenset({"changed_at", "acts"}))
    __table_args__ = (
        UniqueConstraint("mission_id", "external_id"),
        CheckConstraint("unit_minor > 0 AND cap_minor > 0", name="amounts"),
        CheckConstraint("per_person_cap_minor IS NULL OR per_person_cap_minor > 0", name="person_cap"),
        CheckConstraint("per_day_cap_minor IS NULL OR per_day_cap_minor > 0", name="day_cap"),
        CheckConstraint("min_presence BETWEEN 0 AND 3", name="presence"),
        CheckConstraint("acts >= 0", name="acts"),
    )

    organisation_id: UUID = Field(foreign_key="organisations.id")
    campaign_id: UUID = Field(foreign_key="campaigns.id")
    mission_id: UUID = Field(foreign_key="missions.id")
    sponsor_id: UUID = Field(foreign_key="sponsors.id")
    external_id: str | None = None
    kind: str
    nature: str
    step_id: UUID | None = Field(
        default=None,
        foreign_key="steps.id",
        description="whose completions it pays; absent: those of offline steps",
    )
    unit_minor: int = Field(sa_type=BigInteger)
    currency: str = Field(description="ISO 4217")
    cap_minor: int = Field(sa_type=BigInteger)
    per_person_cap_minor: int | None = Field(default=None, sa_type=BigInteger)
    per_day_cap_minor: int | None = Field(default=None, sa_type=BigInteger, description="of a civil day of the place")
    last_slice: str
    min_presence: int
    review_h: int
    threshold: int | None = Field(default=None, description="of a threshold pledge: acts for each unit")
    matches_id: UUID | None = Field(default=None, foreign_key="pledges.id", description="of a match: what it matches")
    match_percent: int | None = None
    unit_label: dict[str, str] | None = json_column(nullable=True)
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    state: str
    state_reason: str | None = None
    terms_hash: str | None = None
    signed_at: datetime | None = None
    signed_by: str | None = Field(default=None, description="the name typed by who signed")
    active_at: datetime | None = None
    exhausted_at: datetime | None = None
    ended_at: datetime | None = None
    settled_at: datetime | None = None
    acts: int = Field(default=0, sa_type=BigInteger)
    created_at: datetime
    changed_at: datetime

    @property
    def facts(self) -> dict[str, Any]:
        """What its events say of it. Only acts of the live phase ever move its money."""
        names = ("organisation_id", "campaign_id", "mission_id", "currency", "cap_minor")
        return {"pledge_id": self.id, "phase": "live", **{name: getattr(self, name) for name in names}}


class PledgeBeneficiary(SQLModel, table=True):
    """A cause a pledge may pay. With several, each participant may choose; the first gets what nobody chose for."""

    __tablename__ = "pledge_beneficiaries"
    __table_args__ = (UniqueConstraint("pledge_id", "position"),)

    pledge_id: UUID = Field(foreign_key="pledges.id", primary_key=True)
    beneficiary_id: UUID = Field(foreign_key="beneficiaries.id", primary_key=True)
    position: int


class CauseChoice(SQLModel, table=True):
    """The cause a participant's acts fund in a mission from then on."""

    __tablename__ = "cause_choices"

    mission_id: UUID = Field(foreign_key="missions.id", primary_key=True)
    participant_id: UUID = Field(foreign_key="participants.id", primary_key=True)
    beneficiary_id: UUID = Field(foreign_key="beneficiaries.id")
    chosen_at: datetime


class PledgeLink(Row, table=True):
    """A one-time link: for the sponsor to sign a pledge, or for a beneficiary to accept the use of its name."""

    __tablename__ = "pledge_links"
    __audit__ = Audit("pledge_link")
    __table_args__ = (UniqueConstraint("secret_hash"),)

    organisation_id: UUID = Field(foreign_key="organisations.id")
    pledge_id: UUID | None = Field(default=None, foreign_key="pledges.id", index=True)
    beneficiary_id: UUID | None = Field(default=None, foreign_key="beneficiaries.id", index=True)
    secret_hash: bytes
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = None
    revoked_at: datetime | None = None

    def is_good(self, now: datetime) -> bool:
        """Whether it still opens something."""
        return self.used_at is None and self.revoked_at is None and now < self.expires_at


class LedgerName(SQLModel, table=True):
    """A person's name in the public ledger of a mission: random, and all the ledger knows of them.

    It goes with the person; what stands under the surrogate stays.
    """

    __tablename__ = "ledger_names"
    __table_args__ = (UniqueConstraint("surrogate"),)

    mission_id: UUID = Field(foreign_key="missions.id", primary_key=True)
    participant_id: UUID = Field(foreign_key="participants.id", primary_key=True)
    surrogate: UUID


class Accrual(Row, table=True):
    """What a completion accrued on a pledge: one that stands (I2). Its transfers name it as their subject.

    An act that is undone and done anew has the same completion, and accrues anew. What was sent in a payout stays
    posted when its act is undone later: `act_undone_at` says so. `undone_by` is the member who voided it; the same act
    does not accrue again then.
    """

    __tablename__ = "accruals"
    __table_args__ = (
        Index(
            "uq_accruals_standing",
            "pledge_id",
            "completion_id",
            unique=True,
            sqlite_where=_STANDING,
            postgresql_where=_STANDING,
        ),
        CheckConstraint("amount_minor > 0", name="amount"),
        CheckConstraint("(state IN ('voided', 'reversed')) = (undone_at IS NOT NULL)", name="undone"),
        Index("ix_accruals_state_review_until", "state", "review_until"),
        Index("ix_accruals_pledge_id_state", "pledge_id", "state"),
    )

    pledge_id: UUID = Field(foreign_key="pledges.id")
    completion_id: UUID = Field(index=True)
    beneficiary_id: UUID = Field(foreign_key="beneficiaries.id")
    surrogate: UUID = Field(index=True)
    place_id: UUID | None = Field(default=None, foreign_key="places.id")
    civil_day: date
    amount_minor: int = Field(sa_type=BigInteger)
    currency: str
    state: str
    reason: str | None = None
    accrued_at: datetime
    review_until: datetime
    posted_at: datetime | None = None
    undone_at: datetime | None = None
    undone_by: UUID | None = None
    act_undone_at: datetime | None = None


class PledgeAct(SQLModel, table=True):
    """An act that counts towards a threshold."""

    __tablename__ = "pledge_acts"

    pledge_id: UUID = Field(foreign_key="pledges.id", primary_key=True)
    completion_id: UUID = Field(primary_key=True)


class WaitingAct(SQLModel, table=True):
    """An act that could accrue or earn when its campaign was paused: it is looked at once that goes on or ends."""

    __tablename__ = "waiting_acts"

    completion_id: UUID = Field(primary_key=True)
    campaign_id: UUID = Field(foreign_key="campaigns.id", index=True)


class PledgePerson(SQLModel, table=True):
    """What a person drew from a pledge, pending and posted; never more than its cap a person (I1)."""

    __tablename__ = "pledge_people"
    __table_args__ = (CheckConstraint("drawn_minor >= 0 AND drawn_minor <= cap_minor", name="cap"),)

    pledge_id: UUID = Field(foreign_key="pledges.id", primary_key=True)
    surrogate: UUID = Field(primary_key=True)
    drawn_minor: int = Field(sa_type=BigInteger)
    cap_minor: int = Field(sa_type=BigInteger)


class PledgeDay(SQLModel, table=True):
    """What a civil day drew from a pledge, pending and posted; never more than its cap a day (I1)."""

    __tablename__ = "pledge_days"
    __table_args__ = (CheckConstraint("drawn_minor >= 0 AND drawn_minor <= cap_minor", name="cap"),)

    pledge_id: UUID = Field(foreign_key="pledges.id", primary_key=True)
    civil_day: date = Field(primary_key=True)
    drawn_minor: int = Field(sa_type=BigInteger)
    cap_minor: int = Field(sa_type=BigInteger)


class Payout(Row, table=True):
    """What is to be paid to a beneficiary for posted accruals. Passerelle holds no money: it records what happened."""

    __tablename__ = "payouts"
    __audit__ = Audit("payout")
    __table_args__ = (
        CheckConstraint("amount_minor > 0", name="amount"),
        CheckConstraint("fee_minor >= 0 AND fee_minor < amount_minor", name="fee"),
        CheckConstraint("approved_by IS NULL OR approved_by <> proposed_by", name="two_people"),
    )

    organisation_id: UUID = Field(foreign_key="organisations.id")
    beneficiary_id: UUID = Field(foreign_key="beneficiaries.id", index=True)
    currency: str
    amount_minor: int = Field(sa_type=BigInteger)
    fee_minor: int = Field(default=0, sa_type=BigInteger)
    state: str
    state_reason: str | None = None
    proposed_by: UUID = Field(description="the member behind the console session or the key")
    proposed_at: datetime
    approved_by: UUID | None = None
    approved_at: datetime | None = None
    sent_at: datetime | None = None
    reference: str | None = Field(default=None, description="of the bank transfer")
    confirmed_at: datetime | None = None
    proof: dict[str, Any] | None = json_column(nullable=True)
    cancelled_at: datetime | None = None


class PayoutItem(SQLModel, table=True):
    """An accrual within a payout: at most one that stands (I6). Let go when its payout is cancelled."""

    __tablename__ = "payout_items"

    accrual_id: UUID = Field(foreign_key="accruals.id", primary_key=True)
    payout_id: UUID = Field(foreign_key="payouts.id", index=True)


class Gift(Row, table=True):
    """The value of a used coupon that its person gave to a cause. Its id is that of the use; it names nobody.

    Its transfers name it as their subject, in the book of its offer. `mission_id`: in whose public ledger it stands;
    None of a pilot's, and of an offer without a mission: such a one is paid all the same. In one payout at most (I6):
    let go when that is cancelled. What was sent stays paid when the act behind is undone: `act_undone_at` says so.
    """

    __tablename__ = "gifts"
    __table_args__ = (
        CheckConstraint("amount_minor > 0", name="amount"),
        CheckConstraint("(reason IS NOT NULL) = (undone_at IS NOT NULL OR act_undone_at IS NOT NULL)", name="reason"),
        CheckConstraint("undone_at IS NULL OR payout_id IS NULL", name="undone"),
    )

    organisation_id: UUID = Field(foreign_key="organisations.id")
    mission_id: UUID | None = Field(default=None, foreign_key="missions.id", index=True)
    book_id: UUID = Field(index=True)
    beneficiary_id: UUID = Field(foreign_key="beneficiaries.id", index=True)
    amount_minor: int = Field(sa_type=BigInteger)
    currency: str
    given_at: datetime
    payout_id: UUID | None = Field(default=None, foreign_key="payouts.id", index=True)
    undone_at: datetime | None = None
    act_undone_at: datetime | None = None
    reason: str | None = Field(default=None, description="of an undone one, or one whose act was: why")


class LedgerLine(SQLModel, table=True):
    """A posted transfer's place in its mission's public ledger: gapless numbers, each hash over the one before.

    Made behind the writers by the worker, so that no accrual waits for the row before it. `text` is the line as it is
    published for good, with the names of that day: `lines.COLUMNS` but for the two hashes, joined by tabs.
    """

    __tablename__ = "ledger_lines"
    __table_args__ = (UniqueConstraint("transfer_id"),)

    mission_id: UUID = Field(foreign_key="missions.id", primary_key=True)
    number: int = Field(primary_key=True, sa_type=BigInteger)
    transfer_id: UUID = Field(foreign_key="transfers.id")
    text: str
    hash: str = Field(description="64 hexadecimal digits: SHA-256")
    chained_at: datetime


class LedgerHead(SQLModel, table=True):
    """The head of a mission's chain at the end of a UTC day, as it was published."""

    __tablename__ = "ledger_heads"

    mission_id: UUID = Field(foreign_key="missions.id", primary_key=True)
    day: date = Field(primary_key=True)
    number: int = Field(sa_type=BigInteger)
    hash: str
    published_at: datetime
