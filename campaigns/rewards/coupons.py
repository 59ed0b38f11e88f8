"""What a person holds: their coupons, what they chose to do with them, and how staff hand one out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlmodel import Session

from campaigns.participants import Participant
from campaigns.places import Place
from campaigns.rewards.models import Choice, Coupon, Offer


@dataclass(frozen=True)
class Held:
    """A coupon as its person sees it: the offer, who issues it, where and until when it is good.

    `place_names` is empty where every place of the organisation takes it. `cause`: the name of who gets the value of a
    given one; None where it cannot be given.
    """

    coupon: Coupon
    offer: Offer
    issuer: str
    place_names: Sequence[str]
    cause: str | None


def coupons_of(session: Session, participant_ids: Sequence[UUID], *, now: datetime) -> list[Held]:
    """What these people hold, newest first: those that are good before those that are not."""
    raise NotImplementedError


def held_by(session: Session, participant_ids: Sequence[UUID], coupon_id: UUID) -> Held:
    """One coupon of theirs; NotFound for anybody else's."""
    raise NotImplementedError


def choose(session: Session, coupon_id: UUID, choice: Choice, *, now: datetime) -> Coupon:
    """Keep the value or give it to the cause, whole. The same choice again is fine.

    Conflict (`coupon_shown`) while it is locked, (`coupon_over`) once it is used or over, (`not_givable`) without a
    face value or a cause.
    """
    raise NotImplementedError


def show_coupon(session: Session, coupon_id: UUID, *, now: datetime) -> Coupon:
    """Lock it: its person shows it now, and the choice is fixed. Again is fine. Conflict (`coupon_over`)."""
    raise NotImplementedError


def put_back(session: Session, coupon_id: UUID, *, now: datetime) -> Coupon:
    """Unlock it: the choice may change again. Conflict (`coupon_over`) once a till took it."""
    raise NotImplementedError


def handable(session: Session, place: Place, *, now: datetime) -> list[Offer]:
    """The offers whose coupons the staff of a place may hand out now, oldest first."""
    raise NotImplementedError


def hand_out(session: Session, place: Place, offer_id: UUID, typed: str, *, handing_id: UUID, now: datetime) -> Held:
    """Hand a coupon to the person whose act code, card or public code was typed; `handing_id` again gives the first.

    NotFound for a code of nobody, Conflict (`no_coupon_left`, `has_coupon`, `offer_closed`).
    """
    raise NotImplementedError
