"""Which codes of a campaign or a batch are printed, and in which order: those that are in use."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, or_
from sqlalchemy import select as columns
from sqlmodel import Session, col

from campaigns.errors import Conflict, Invalid
from campaigns.places import Place
from campaigns.tokens import codes
from campaigns.tokens.layouts import Spot
from campaigns.tokens.models import Kind, Medium, Token, TokenBatch, TokenState, url_of

_PRINTED = (Kind.STATIC, Kind.SUN)  # serials are printed by their batch
_NOTHING = "There is no code to print here. Make some with POST /v1/campaigns/{id}/tokens or /token-batches."
_BEYOND = "There are fewer codes than that; begin with a lower first."


class Standing(NamedTuple):
    """A token that stands somewhere; `place` is the name of the place."""

    code: str
    medium: str
    place_id: UUID | None
    place: str


@dataclass(frozen=True)
class Stretch:
    """Some of the tokens there are, and the number of the first one that follows, if any."""

    standing: Sequence[Standing]
    next: int | None


def standing_of_campaign(
    session: Session, campaign_id: UUID, *, place_id: UUID | None = None, medium: Medium | None = None, now: datetime
) -> list[Standing]:
    """The active tokens of a campaign by the names of their places, then by age.

    Unless `medium` says otherwise a tag beside a printed code has no sheet of its own: the code's sheet shows both.
    Conflict (`nothing_to_print`) when there is none.
    """
    query = (
        columns(col(Token.code), col(Token.medium), col(Token.place_id), func.coalesce(col(Place.name), ""))
        .join(Place, col(Place.id) == col(Token.place_id), isouter=True)
        .where(col(Token.campaign_id) == campaign_id, _in_use(now))
        .where(col(Token.kind).in_(_PRINTED), col(Token.medium).in_((Medium.QR, Medium.NFC)))
        .order_by(func.coalesce(col(Place.name), ""), col(Token.place_id), col(Token.id))
    )
    if place_id is not None:
        query = query.where(col(Token.place_id) == place_id)
    if medium is not None:
        query = query.where(col(Token.medium) == medium)
    found = [Standing._make(row) for row in session.execute(query)]
    coded = {one.place_id for one in found if one.medium == Medium.QR}
    found = [one for one in found if one.medium == Medium.QR or one.place_id is None or one.place_id not in coded]
    if not found:
        raise Conflict(_NOTHING, code="nothing_to_print")
    return found


def standing_of_places(
    session: Session, campaign_id: UUID, *, place_id: UUID | None = None, now: datetime
) -> dict[UUID, list[Standing]]:
    """The same place by place; those that stand in none are left out."""
    found: dict[UUID, list[Standing]] = {}
    for one in standing_of_campaign(session, campaign_id, place_id=place_id, now=now):
        if one.place_id is not None:
            found.setdefault(one.place_id, []).append(one)
    if not found:
        raise Conflict(_NOTHING, code="nothing_to_print")
    return found


def places_with_tags(session: Session, campaign_id: UUID, *, now: datetime) -> set[UUID]:
    """The places where a phone may be held to an active tag of the campaign."""
    query = columns(col(Token.place_id)).where(
        col(Token.campaign_id) == campaign_id,
        _in_use(now),
        col(Token.kind).in_(_PRINTED),
        col(Token.medium) == Medium.NFC,
        col(Token.place_id).is_not(None),
    )
    return set(session.scalars(query))


def stretch_of_batch(session: Session, batch: TokenBatch, *, first: int, count: int, now: datetime) -> Stretch:
    """The codes of a batch from the `first`, counted from 1 in the order they were made; withdrawn ones keep their
    number."""
    query = (
        columns(
            col(Token.code),
            col(Token.medium),
            col(Token.place_id),
            func.coalesce(col(Place.name), ""),
            _in_use(now),
        )
        .join(Place, col(Place.id) == col(Token.place_id), isouter=True)
        .where(col(Token.batch_id) == batch.id)
        .order_by(col(Token.id))
        .offset(first - 1)
        .limit(count + 1)
    )
    rows = list(session.execute(query))
    if not rows:
        raise Invalid(_BEYOND, pointer="/first")
    active = [Standing._make(row[:4]) for row in rows[:count] if row[4]]
    if not active:
        raise Conflict(_NOTHING, code="nothing_to_print")
    return Stretch(active, first + count if len(rows) > count else None)


def _in_use(now: datetime) -> ColumnElement[bool]:
    return and_(
        col(Token.state) == TokenState.ACTIVE, or_(col(Token.expires_at).is_(None), col(Token.expires_at) > now)
    )


def stretch(standing: Sequence[Standing], *, first: int, count: int) -> Stretch:
    """So many of them from the `first`, counted from 1."""
    if first > len(standing):
        raise Invalid(_BEYOND, pointer="/first")
    after = first + count
    return Stretch(standing[first - 1 : after - 1], after if after <= len(standing) else None)


def spot(one: Standing, base_url: str, *, tagged: set[UUID], caption: str | None) -> Spot:
    """The spot of a token. `{place}` and `{code}` in a caption are its own; without one it is the place's name."""
    is_tag = one.medium == Medium.NFC
    shown = codes.grouped(one.code)
    text = one.place if caption is None else caption.replace("{place}", one.place).replace("{code}", shown)
    return Spot(None if is_tag else url_of(one.code, base_url), shown, text, is_tag or one.place_id in tagged)
