"""Offers of a campaign file: made once by their external id, changed where the file was edited."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlmodel import Session

from campaigns import ids, missions
from campaigns.errors import Conflict, Invalid
from campaigns.missions.models import LocalText
from campaigns.places import Place
from campaigns.planning import Campaign
from campaigns.rewards.models import Offer, OncePer, Product, Unlock
from campaigns.rewards.offers import DAYS_MOST, OfferPlan, change_offer, find_offer, make_offer, offer_by_id

ExternalId = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[A-Za-z0-9._:-]+$")]
OFFER_TEXTS = ("title", "description", "restrictions")


class _Plan(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, str_strip_whitespace=True)


class UnlockFile(_Plan):
    """How people come by a coupon of the file. `step` counts the mission's steps from 1."""

    by: Unlock
    step: int | None = Field(None, ge=1, le=20)
    points: int | None = Field(None, ge=1, le=1_000_000)
    once_per: OncePer = OncePer.PERSON


class OfferFile(_Plan):
    """An offer of the file. `places` is "all" or a list of external ids; amounts are minor units of `currency`."""

    external_id: ExternalId
    title: str | LocalText
    description: str | LocalText | None = None
    restrictions: str | LocalText | None = None
    product: Product = Product.GOODS
    face_value_minor: int | None = Field(None, ge=1, le=2**53 - 1)
    price_minor: int | None = Field(None, ge=1, le=2**53 - 1)
    currency: str | None = Field(None, pattern="^[A-Z]{3}$")
    max_issue: int = Field(ge=1, le=10_000_000)
    max_redemptions: int | None = Field(None, ge=1, le=10_000_000)
    places: Literal["all"] | list[ExternalId] = "all"
    valid_from: AwareDatetime | None = None
    valid_until: AwareDatetime | None = None
    coupon_days: int | None = Field(None, ge=1, le=DAYS_MOST)
    unlock: UnlockFile


def apply_offer(
    session: Session,
    campaign: Campaign,
    plan: OfferFile,
    shops: Mapping[str, Place],
    texts: Mapping[str, LocalText | None],
    *,
    pointer: str,
    now: datetime,
) -> dict[str, Any] | None:
    """Make the offer (None), or change what may change: what that was, empty for nothing.

    Conflict where the file changes its value or how it is earned.
    """
    fixed: dict[str, Any] = {
        "product": plan.product.value,
        "face_value_minor": plan.face_value_minor,
        "currency": plan.currency,
        "unlock": plan.unlock.by.value,
        "once_per": plan.unlock.once_per.value,
        "points": plan.unlock.points,
        "step_id": _step_at(session, campaign, plan.unlock.step, pointer=f"{pointer}/unlock/step"),
    }
    fields: dict[str, Any] = {
        **texts,
        **{name: getattr(plan, name) for name in ("price_minor", "max_issue", "coupon_days")},
        **{name: _utc(getattr(plan, name)) for name in ("valid_from", "valid_until")},
        "max_redemptions": plan.max_redemptions or plan.max_issue,
    }
    places = _places(plan, shops, pointer=f"{pointer}/places")
    found = find_offer(session, campaign.id, external_id=plan.external_id)
    if found is None:
        fields |= fixed | {"product": plan.product, "unlock": plan.unlock.by, "once_per": plan.unlock.once_per}
        fields |= {"place_names": places, "external_id": plan.external_id}
        make_offer(session, campaign, OfferPlan(**fields), now=now)
        return None
    if wrong := _changes(found, fixed):
        raise Conflict(
            f"{', '.join(sorted(wrong))} of offer {plan.external_id} cannot change: end it, and make another.",
            code="coupons_out",
            pointer=pointer,
        )
    changes = _changes(found, {**fields, "place_ids": places})
    if changes:
        held = offer_by_id(session, campaign.organisation_id, found.id, lock=True)
        change_offer(session, held, now=now, **changes)
    return changes


def _changes(found: Offer, fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if getattr(found, name) != value}


def _utc(instant: datetime | None) -> datetime | None:
    return instant.astimezone(UTC) if instant is not None else None


def _places(plan: OfferFile, shops: Mapping[str, Place], *, pointer: str) -> list[str] | None:
    """The places of the file; None for "all" of a file without any: wherever the organisation is."""
    names = sorted(shops) if plan.places == "all" else plan.places
    unknown = [name for name in names if name not in shops]
    if unknown:
        raise Invalid(f"offers name places that are not in the file: {', '.join(unknown)}.", pointer=pointer)
    return sorted(ids.show("plc", shops[name].id) for name in names) or None


def _step_at(session: Session, campaign: Campaign, number: int | None, *, pointer: str) -> UUID | None:
    """The step of that number of the mission that the campaign's scans lead to."""
    if number is None:
        return None
    steps = missions.led_to(session, campaign.id).steps
    if number > len(steps):
        raise Invalid(f"The mission has {len(steps)} steps.", pointer=pointer)
    return steps[number - 1].id
