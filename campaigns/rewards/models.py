"""Offers, the coupons people hold of them, and what tills did with these. The money itself is in the ledger."""

from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, text
from sqlmodel import CheckConstraint, Field, Index, UniqueConstraint

from campaigns.audit import Audit
from campaigns.clock import civil_day
from campaigns.errors import Conflict
from campaigns.missions.models import LocalText
from campaigns.storage import Row, json_column


class Product(StrEnum):
    """What a coupon is for. French law limits promotions on the first three; `promotion` knows how far."""

    FOOD = "food"
    PET_FOOD = "pet_food"
    HOUSEHOLD = "household"
    GOODS = "goods"
    SERVICE = "service"


class Unlock(StrEnum):
    """How a person comes by a coupon: a verified step gives it, the staff hand it out, or they take it for points."""

    STEP = "step"
    STAFF = "staff"
    POINTS = "points"


class OncePer(StrEnum):
    """How often: one coupon a person that stands, or one for each completion or handing."""

    PERSON = "person"
    ACT = "act"


class OfferState(StrEnum):
    """A paused offer issues nothing and no till takes its coupons. An ended one issues nothing; those out stay good."""

    ACTIVE = "active"
    PAUSED = "paused"
    ENDED = "ended"


class CouponState(StrEnum):
    """Where a coupon stands.

    `locked`: its person opened it to show it, and their choice is fixed until they put it back. `rolled_back`: a till
    used it by mistake and took that back; it is good again, and no use of it is rolled back a second time.
    """

    ISSUED = "issued"
    LOCKED = "locked"
    REDEEMED = "redeemed"
    ROLLED_BACK = "rolled_back"
    EXPIRED = "expired"
    REVOKED = "revoked"


GOOD = (CouponState.ISSUED, CouponState.LOCKED, CouponState.ROLLED_BACK)  # may still be used


class Choice(StrEnum):
    """What its value does when a till takes the coupon: it comes off the basket, or goes to the mission's cause."""

    KEEP = "keep"
    GIVE = "give"


class Outcome(StrEnum):
    """What a till was told."""

    ACCEPTED = "accepted"
    REFUSED = "refused"


class Refusal(StrEnum):
    """Why a till may not take a coupon: the closed list. `unknown` is also what belongs to another organisation.

    `frozen`: the offer or its campaign is paused, or as many of its coupons as may be were used.
    """

    UNKNOWN = "unknown"
    EXPIRED = "expired"
    ALREADY_REDEEMED = "already_redeemed"
    WRONG_PLACE = "wrong_place"
    NOT_YET_VALID = "not_yet_valid"
    FROZEN = "frozen"
    REVOKED = "revoked"


class Offer(Row, table=True):
    """What a campaign gives to who acts: so many coupons, each good once. Its book in the ledger has its id.

    `issued` counts coupons that were not revoked, `redeemed` uses that were not rolled back; the CHECKs and the
    statements that raise them keep both below their most (I15).
    """

    __tablename__ = "offers"
    __audit__ = Audit("offer", silent=frozenset({"changed_at", "issued", "redeemed"}))
    __table_args__ = (
        UniqueConstraint("campaign_id", "external_id"),
        CheckConstraint("issued BETWEEN 0 AND max_issue", name="issued"),
        CheckConstraint("redeemed BETWEEN 0 AND max_redemptions", name="redeemed"),
        CheckConstraint("max_redemptions BETWEEN 1 AND max_issue", name="most"),
        CheckConstraint("face_value_minor IS NULL OR face_value_minor > 0", name="face_value"),
        CheckConstraint("face_value_minor IS NULL OR currency IS NOT NULL", name="currency"),
        CheckConstraint("price_minor IS NULL OR price_minor > 0", name="price"),
        CheckConstraint("valid_until IS NULL OR valid_from IS NULL OR valid_from < valid_until", name="window"),
        CheckConstraint("(step_id IS NOT NULL) = (unlock = 'step')", name="step"),
        CheckConstraint("(points IS NOT NULL) = (unlock = 'points')", name="points"),
        CheckConstraint("points IS NULL OR points > 0", name="cost"),
    )

    organisation_id: UUID = Field(foreign_key="organisations.id")
    campaign_id: UUID = Field(foreign_key="campaigns.id")
    mission_id: UUID | None = Field(
        default=None,
        foreign_key="missions.id",
        index=True,
        description="in whose totals it counts, whose cause it gives to",
    )
    external_id: str | None = None
    title: LocalText = json_column()
    description: LocalText | None = json_column(nullable=True)
    restrictions: LocalText | None = json_column(nullable=True)
    product: str
    face_value_minor: int | None = Field(default=None, sa_type=BigInteger)
    price_minor: int | None = Field(default=None, sa_type=BigInteger, description="of the product, before the coupon")
    currency: str | None = Field(default=None, description="ISO 4217")
    max_issue: int = Field(sa_type=BigInteger)
    max_redemptions: int = Field(sa_type=BigInteger)
    issued: int = Field(default=0, sa_type=BigInteger)
    redeemed: int = Field(default=0, sa_type=BigInteger)
    place_ids: list[str] | None = json_column(nullable=True)
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    coupon_days: int | None = Field(default=None, description="how long a coupon is good from its issue, in days")
    unlock: str
    once_per: str
    points: int | None = Field(default=None, description="what it costs, where points unlock it")
    step_id: UUID | None = Field(
        default=None, foreign_key="steps.id", index=True, description="whose completion gives it"
    )
    beneficiary_id: UUID | None = Field(
        default=None,
        foreign_key="beneficiaries.id",
        description="whom given coupons go to; absent: the mission's cause",
    )
    state: str
    created_at: datetime
    changed_at: datetime
    ended_at: datetime | None = None

    @property
    def places(self) -> list[UUID] | None:
        """The places that take its coupons; None for all of the organisation."""
        return None if self.place_ids is None else [UUID(name.partition("_")[2]) for name in self.place_ids]

    def takes_at(self, place_id: UUID) -> bool:
        """Whether its coupons are good at a place."""
        return self.places is None or place_id in self.places

    def require(self, *states: OfferState) -> None:
        """Conflict when it is in another state than these."""
        if self.state not in states:
            raise Conflict(
                f"An offer that is {self.state} cannot do this; it would have to be {' or '.join(states)}.",
                code="wrong_state",
                state=self.state,
            )


_STANDS = text("state <> 'revoked'")
_PERSONAL = text("is_personal AND state <> 'revoked'")
_GOOD = text("state IN ('issued', 'locked', 'rolled_back')")


class Coupon(Row, table=True):
    """One person's copy of an offer, good once. `source_id`: the completion or handing that gave it.

    `is_personal`: of an offer that gives one a person. `was_online`: its person had acted online in the campaign when
    it was issued (return rate). That of an erased person stays good, for who holds its code.
    """

    __tablename__ = "coupons"
    __table_args__ = (
        UniqueConstraint("code"),
        Index(
            "uq_coupons_source", "offer_id", "source_id", unique=True, sqlite_where=_STANDS, postgresql_where=_STANDS
        ),
        Index(
            "uq_coupons_person",
            "offer_id",
            "participant_id",
            unique=True,
            sqlite_where=_PERSONAL,
            postgresql_where=_PERSONAL,
        ),
        Index("ix_coupons_good_expires_at", "expires_at", sqlite_where=_GOOD, postgresql_where=_GOOD),
        Index("ix_coupons_offer_id_id", "offer_id", "id"),
        CheckConstraint("(redeemed_at IS NOT NULL) = (state = 'redeemed')", name="redeemed"),
        CheckConstraint("(ended_at IS NOT NULL) = (state IN ('expired', 'revoked'))", name="ended"),
        CheckConstraint("(reason IS NOT NULL) = (state = 'revoked')", name="reason"),
        CheckConstraint("state <> 'rolled_back' OR rolled_back_at IS NOT NULL", name="rolled_back"),
    )

    organisation_id: UUID = Field(foreign_key="organisations.id")
    campaign_id: UUID = Field(foreign_key="campaigns.id")
    offer_id: UUID = Field(foreign_key="offers.id")
    participant_id: UUID = Field(foreign_key="participants.id", index=True)
    source_id: UUID = Field(index=True)
    code: str = Field(description="ten characters, as a token's")
    phase: str
    is_personal: bool
    was_online: bool
    state: str
    choice: str = Choice.KEEP.value
    issued_at: datetime
    expires_at: datetime | None = None
    locked_at: datetime | None = None
    redeemed_at: datetime | None = None
    rolled_back_at: datetime | None = Field(default=None, description="when its one roll back happened")
    ended_at: datetime | None = None
    reason: str | None = Field(default=None, description="of a revoked one: why")
    source_voided_at: datetime | None = Field(
        default=None, description="what gave it was voided after it was used: that stays, and is told"
    )

    def state_at(self, now: datetime) -> CouponState:
        """The state a person meets then: past its date it has expired, though its money is let go days later."""
        state = CouponState(self.state)
        is_over = state in GOOD and self.expires_at is not None and self.expires_at <= now
        return CouponState.EXPIRED if is_over else state


_TAKEN = text("outcome = 'accepted' AND rolled_back_at IS NULL")


class Redemption(Row, table=True):
    """What a till sent and was told, once for each of its nonces (I16). At most one use of a coupon stands (I14).

    It names the till, nobody. `other_id`, of one refused because the coupon was used: the use that stands.
    """

    __tablename__ = "redemptions"
    __table_args__ = (
        UniqueConstraint("place_id", "device", "nonce"),
        Index("uq_redemptions_coupon", "coupon_id", unique=True, sqlite_where=_TAKEN, postgresql_where=_TAKEN),
        Index("ix_redemptions_place_id_civil_day", "place_id", "civil_day"),
        CheckConstraint("(reason IS NOT NULL) = (outcome = 'refused')", name="reason"),
        CheckConstraint("outcome = 'refused' OR coupon_id IS NOT NULL", name="coupon"),
        CheckConstraint("rolled_back_at IS NULL OR outcome = 'accepted'", name="rolled_back"),
        CheckConstraint("basket_minor IS NULL OR basket_minor >= 0", name="basket"),
    )

    organisation_id: UUID = Field(foreign_key="organisations.id")
    place_id: UUID = Field(foreign_key="places.id")
    device: str
    nonce: str
    code_hash: str = Field(description="of what was sent as the code: another one is another purchase")
    coupon_id: UUID | None = Field(default=None, foreign_key="coupons.id", index=True)
    offer_id: UUID | None = Field(default=None, foreign_key="offers.id", index=True)
    outcome: str
    reason: str | None = None
    choice: str | None = Field(default=None, description="of an accepted one: what became of the value")
    value_minor: int | None = Field(default=None, sa_type=BigInteger)
    currency: str | None = None
    beneficiary_id: UUID | None = Field(default=None, foreign_key="beneficiaries.id", description="of a given one")
    basket_minor: int | None = Field(default=None, sa_type=BigInteger)
    occurred_at: datetime
    recorded_at: datetime
    is_offline: bool = Field(description="sent later by a till that was without network")
    civil_day: date = Field(description="of the place, of when it occurred")
    other_id: UUID | None = None
    rolled_back_at: datetime | None = None
    rolled_back_by: str | None = Field(default=None, description="the key or the phone that did it")

    def is_today(self, time_zone: str, now: datetime) -> bool:
        """Whether it was recorded on this civil day of the place."""
        return civil_day(self.recorded_at, time_zone) == civil_day(now, time_zone)
