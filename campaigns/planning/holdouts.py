"""Holdouts: places, or codes, of a campaign that are kept without it, so that what it brings can be told.

They are drawn at random before the launch, once, and by nobody's choice: each unit gets the SHA-256 of the draw's seed
and its id, and those with the smallest are held out. The seed is shown, so that anyone can do the draw again. What is
not drawn from (a code made later, a place without a code then) belongs to neither side.

A code that is held out, or stands in a place that is, shows the plain page: no mission, no idea, and a check-in on it
completes nothing and is in no figure. Where it leads to a destination it still does. Its scans are logged and counted
as all are. What the staff of such a place do for people by hand is not held back: give them no kit.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from fractions import Fraction
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, exists
from sqlmodel import Field, Session, SQLModel, UniqueConstraint, col, select

from campaigns import ids
from campaigns.announcements import announce
from campaigns.audit import Audit
from campaigns.errors import Conflict, Invalid
from campaigns.planning.models import Campaign, State
from campaigns.storage import Row, store_all

MOST_UNITS = 5_000


class HoldoutUnitKind(StrEnum):
    """What is drawn: places with all their codes, or codes one by one."""

    PLACE = "place"
    TOKEN = "token"  # noqa: S105  # a printed code


class Holdout(Row, table=True):
    """The one draw of a campaign. `seed` is shown: 32 hexadecimal digits."""

    __tablename__ = "holdouts"
    __audit__ = Audit("holdout")
    __table_args__ = (UniqueConstraint("campaign_id"),)

    organisation_id: UUID = Field(foreign_key="organisations.id")
    campaign_id: UUID = Field(foreign_key="campaigns.id")
    unit: str
    seed: str
    drawn_from: int
    held_out: int
    drawn_at: datetime


class HoldoutUnit(SQLModel, table=True):
    """A place or code that was drawn from, and on which side it came."""

    __tablename__ = "holdout_units"

    holdout_id: UUID = Field(foreign_key="holdouts.id", primary_key=True)
    unit_id: UUID = Field(primary_key=True, index=True)
    is_held_out: bool


class Sides(NamedTuple):
    """The ids of a draw's units: those that see the campaign, and those held out."""

    exposed: list[UUID]
    held_out: list[UUID]


def draw_order(seed: str, units: Sequence[UUID]) -> list[UUID]:
    """The units by the SHA-256 of the seed and their 32 hexadecimal digits: the first are held out."""
    return sorted(units, key=lambda one: hashlib.sha256(f"{seed}{one.hex}".encode()).digest())


def draw(
    session: Session,
    campaign: Campaign,
    kind: HoldoutUnitKind,
    units: Sequence[UUID],
    *,
    share: float | None = None,
    number: int | None = None,
    seed: str,
    now: datetime,
) -> Holdout:
    """Draw a share or a number of a draft's or pilot's places or codes as its holdout. The campaign's row is held.

    Conflict once it is live (`wrong_state`) and for a second draw (`holdout_drawn`). Invalid with fewer than two units,
    and when nothing, or everything, would be held out.
    """
    campaign.require(State.DRAFT, State.PILOT)
    kept = sorted(set(units))
    if not 2 <= len(kept) <= MOST_UNITS:
        raise Invalid(f"A holdout is drawn from 2 to {MOST_UNITS:,} {kind}s that carry codes; there are {len(kept)}.")
    wanted = number if number is not None else int(Fraction(str(share)) * len(kept) + Fraction(1, 2))
    if not 1 <= wanted < len(kept):
        raise Invalid(
            f"Of {len(kept)} {kind}s at least one is held out, and one is not; that would hold out {wanted}.",
            pointer="/number" if number is not None else "/share",
        )
    fields: dict[str, Any] = {
        "organisation_id": campaign.organisation_id,
        "campaign_id": campaign.id,
        "unit": kind.value,
    }
    holdout = Holdout(id=ids.uuid7_at(now), seed=seed, drawn_from=len(kept), held_out=wanted, drawn_at=now, **fields)
    if find_holdout(session, campaign.id) is not None:
        raise Conflict(
            "The holdout of this campaign was drawn before: once, so that nobody can choose.", code="holdout_drawn"
        )
    session.add(holdout)
    session.flush()
    order = draw_order(seed, kept)
    store_all(
        session,
        HoldoutUnit,
        [{"holdout_id": holdout.id, "unit_id": one, "is_held_out": at < wanted} for at, one in enumerate(order)],
    )
    announce(session, "campaign", campaign.id)
    return holdout


def find_holdout(session: Session, campaign_id: UUID) -> Holdout | None:
    return session.exec(select(Holdout).where(Holdout.campaign_id == campaign_id)).first()


def sides_of(session: Session, holdout: Holdout) -> Sides:
    """The units of a draw, each side by id."""
    query = select(HoldoutUnit).where(HoldoutUnit.holdout_id == holdout.id).order_by(col(HoldoutUnit.unit_id))
    sides = Sides([], [])
    for one in session.exec(query):
        sides[one.is_held_out].append(one.unit_id)
    return sides


def held_out_of(session: Session, campaign_id: UUID) -> frozenset[UUID]:
    """The places or codes that are held out of a campaign."""
    query = select(HoldoutUnit.unit_id).join(Holdout, col(Holdout.id) == col(HoldoutUnit.holdout_id))
    return frozenset(session.exec(query.where(Holdout.campaign_id == campaign_id, col(HoldoutUnit.is_held_out))))


def is_held_out(campaign_id: Any, *units: Any) -> ColumnElement[bool]:
    """For a query: whether one of these columns, a code and its place, is held out of the campaign of a column."""
    mine = (col(Holdout.id) == col(HoldoutUnit.holdout_id), col(Holdout.campaign_id) == campaign_id)
    return exists().where(*mine, col(HoldoutUnit.is_held_out), col(HoldoutUnit.unit_id).in_(units))
