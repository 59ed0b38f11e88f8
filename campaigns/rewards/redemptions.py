"""At the till: looking a coupon up, using it once, and taking a mistaken use back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlmodel import Session

from campaigns.places import Place
from campaigns.rewards.models import Coupon, Offer, Redemption, Refusal


@dataclass(frozen=True)
class Looked:
    """What a coupon is worth at a place now, consuming nothing. `refusal` is what a use of it would be told.

    `deduct_minor`: what comes off the basket; 0 when its person gives the value away. `used` and `used_at_place`: the
    use that stands, when it was used already.
    """

    coupon: Coupon | None
    offer: Offer | None
    refusal: Refusal | None
    deduct_minor: int
    used: Redemption | None = None
    used_at_place: str | None = None


@dataclass(frozen=True)
class Claim:
    """What a till sends. `device` and `nonce` name the purchase: the same again gets the same answer.

    `occurred_at`, of a till that was without network: when it took the coupon, at most seven days back.
    """

    code: str
    device: str
    nonce: str
    occurred_at: datetime | None = None
    basket_minor: int | None = None


@dataclass(frozen=True)
class Answer:
    """What the till is told: the redemption, what comes off the basket, and the other use when there was one."""

    redemption: Redemption
    offer: Offer | None
    deduct_minor: int
    is_replay: bool
    other: Redemption | None = None
    other_place: str | None = None


def look_up(session: Session, place: Place, typed: str, *, now: datetime) -> Looked:
    """What is behind a code at a place: value and validity. Reads only."""
    raise NotImplementedError


def redeem(session: Session, place: Place, claim: Claim, *, now: datetime) -> Answer:
    """Use a coupon, once: two tills at once get one yes (I14), a till's retry its first answer (I16).

    A refusal is an answer, written down as well. Conflict (`one_coupon_a_purchase`) for another code under the same
    nonce; Invalid for an `occurred_at` in the future or more than seven days back.
    """
    raise NotImplementedError


def roll_back(session: Session, place: Place, redemption_id: UUID, *, by: str, now: datetime) -> Redemption:
    """Take a mistaken use back: the coupon is good again. Once a coupon, the same civil day of the place.

    NotFound for one of another place, Conflict (`not_today`, `rolled_back_before`, `not_accepted`). `by` names the key
    or the phone. The caller has made sure that a manager asks.
    """
    raise NotImplementedError


def recent(session: Session, place: Place, *, limit: int = 20) -> Sequence[Redemption]:
    """The last redemptions of a place, newest first, refused ones included."""
    raise NotImplementedError


def conflicts(session: Session, place: Place, *, limit: int = 20) -> Sequence[Redemption]:
    """Coupons that a till without network took, and another had taken; of both places. Newest first."""
    raise NotImplementedError
