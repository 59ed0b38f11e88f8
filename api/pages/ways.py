"""The ways up: every proof of presence that exists at the places of a campaign, in plain words. All pages ask here.

A place that has no position, no screen, no tag and no phone of the staff offers none of these; asking the staff is
always left, so that refusing geolocation never leaves a person without another way.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlmodel import Session, col

from api.pages.render import Renderer
from campaigns.places import Place, StaffSession
from campaigns.tokens import Kind, Medium, Purpose, TagWriting, Token, TokenBatch, TokenState

PLACES_NAMED = 3  # where a way is not there in all of them


@dataclass(frozen=True)
class Spot:
    """What a place has for a campaign. `has_known_tag`: an NTAG21x whose UID its phone noted."""

    name: str
    has_position: bool = False
    has_screen: bool = False
    has_signed_tag: bool = False
    has_known_tag: bool = False
    hands_over: bool = False
    has_staff: bool = False
    has_cards: bool = False


def spots_of(session: Session, campaign_id: UUID, *, among: Iterable[UUID] | None = None, now: datetime) -> list[Spot]:
    """The places where a campaign's codes stand, or those of them that are asked for, with what each has."""
    mine = (col(Token.campaign_id) == campaign_id, col(Token.state) == TokenState.ACTIVE.value)
    standing = select(col(Token.place_id), col(Token.kind), col(Token.medium)).where(
        *mine, col(Token.place_id).is_not(None), col(Token.kind) != Kind.SERIAL.value
    )
    kinds: dict[UUID, set[tuple[str, str]]] = {}
    for place_id, kind, medium in session.execute(standing.distinct()):
        kinds.setdefault(place_id, set()).add((kind, medium))
    wanted = set(kinds) if among is None else set(kinds) & set(among)
    if not wanted:
        return []
    bound = select(col(Token.place_id)).join(TagWriting, col(TagWriting.token_id) == col(Token.id))
    tagged = _ids(session, bound.where(*mine, col(TagWriting.released_at).is_(None), col(TagWriting.uid).is_not(None)))
    batches = select(col(TokenBatch.place_id)).where(col(TokenBatch.campaign_id) == campaign_id)
    handing = _ids(session, batches.where(col(TokenBatch.handed_over)))
    has_cards = session.execute(batches.where(col(TokenBatch.purpose) == Purpose.CARDS.value).limit(1)).first()
    phones = select(col(StaffSession.place_id)).where(
        col(StaffSession.place_id).in_(wanted),
        col(StaffSession.revoked_at).is_(None),
        col(StaffSession.expires_at) > now,
    )
    staffed = _ids(session, phones)
    rows = session.execute(select(col(Place.id), col(Place.name), col(Place.lat)).where(col(Place.id).in_(wanted)))
    return [
        Spot(
            name=name,
            has_position=lat is not None,
            has_screen=any(kind == Kind.LIVE for kind, _ in kinds[id]),
            has_signed_tag=any(kind == Kind.SUN for kind, _ in kinds[id]),
            has_known_tag=id in tagged and any(medium == Medium.NFC for _, medium in kinds[id]),
            hands_over=id in handing,
            has_staff=id in staffed,
            has_cards=has_cards is not None and id in staffed,
        )
        for id, name, lat in sorted(rows.all(), key=lambda row: str(row[1]))
    ]


@dataclass(frozen=True)
class _Way:
    """A way up: its name, the presence it leads to, and where it is there."""

    name: str
    level: int
    is_there: Callable[[Spot], bool]


_WAYS = (
    _Way("position", 1, lambda spot: spot.has_position),
    _Way("live", 2, lambda spot: spot.has_screen),
    _Way("digits", 2, lambda spot: spot.has_screen or spot.has_staff),
    _Way("tag", 2, lambda spot: spot.has_signed_tag),
    _Way("tag", 1, lambda spot: spot.has_known_tag and not spot.has_signed_tag),
    _Way("handed", 2, lambda spot: spot.hands_over),
    _Way("card", 3, lambda spot: spot.has_cards),
)
_FIELDS = ("position", "digits")  # ways that have a field of their own on the page of a scan


def ways_up(
    renderer: Renderer, language: str, spots: Sequence[Spot], needed: int, *, possession: bool = False
) -> list[str]:
    """Every way to a presence, a sentence each, with the places where it is not to be had in all of them.

    `possession`: the step asks for the code on a pack, which proves that one has it.
    """
    found = [
        f"{_sentence(renderer, language, way.name)}{_where(renderer, language, way, spots)}"
        for way in _WAYS
        if way.level >= needed and any(way.is_there(spot) for spot in spots)
    ]
    if possession:
        found.insert(0, renderer.word(language, "Scan the code on the pack you have."))
    found.append(renderer.word(language, "No phone, or it does not work? Ask the staff to help."))
    return list(dict.fromkeys(found))


def counts_with(
    renderer: Renderer, language: str, spots: Sequence[Spot], needed: int, *, possession: bool = False
) -> str:
    """In one line what a step's least presence is reached with; empty where it asks for none."""
    if possession:
        return renderer.word(language, "Counts with the code on a pack")
    if needed < 1:
        return ""
    names = [
        _short(renderer, language, way.name)
        for way in _WAYS
        if way.level >= needed and any(way.is_there(spot) for spot in spots)
    ]
    if needed >= 3 or not names:
        names.append(renderer.word(language, "the word of the staff"))
    return renderer.word(language, "Counts with: %(ways)s", ways=", ".join(dict.fromkeys(names)))


def ways_here(renderer: Renderer, language: str, spots: Sequence[Spot]) -> list[str]:
    """The further ways at the place of a scan, beside the fields for a position and the six digits."""
    found = [
        _sentence(renderer, language, way.name)
        for way in _WAYS
        if way.name not in _FIELDS and any(way.is_there(one) for one in spots)
    ]
    return [*dict.fromkeys(found), renderer.word(language, "No phone, or it does not work? Ask the staff to help.")]


def _sentence(renderer: Renderer, language: str, way: str) -> str:
    """A way as what to do."""
    if way == "position":
        return renderer.word(language, "Scan the code again in the shop and share your position.")
    if way == "live":
        return renderer.word(language, "Scan the code on the shop’s screen: it changes every 30 seconds.")
    if way == "digits":
        return renderer.word(language, "Scan the code again and type the six digits on the shop’s screen or phone.")
    if way == "tag":
        return renderer.word(language, "Hold your phone to the shop’s NFC tag.")
    if way == "handed":
        return renderer.word(language, "Scan the code that the shop hands you: it is good once.")
    return renderer.word(language, "No phone? Ask the staff for a paper card: they record it for you.")


def _short(renderer: Renderer, language: str, way: str) -> str:
    """A way as a name among others."""
    if way == "position":
        return renderer.word(language, "your position")
    if way == "live":
        return renderer.word(language, "the live code on the screen")
    if way == "digits":
        return renderer.word(language, "the till code")
    if way == "tag":
        return renderer.word(language, "the NFC tag")
    if way == "handed":
        return renderer.word(language, "a code that the shop hands you")
    return renderer.word(language, "the staff, with a paper card")


def _where(renderer: Renderer, language: str, way: _Way, spots: Sequence[Spot]) -> str:
    """In which of several places a way is there; nothing where it is in all of them."""
    names = [spot.name for spot in spots if way.is_there(spot)]
    if len(names) == len(spots):
        return ""
    further = len(names) - PLACES_NAMED
    shown = names[:PLACES_NAMED]
    if further > 0:
        shown.append(renderer.word(language, "%(n)s more", n=further))
    return f" ({', '.join(shown)})"


def _ids(session: Session, query: Any) -> set[UUID]:
    return set(session.execute(query.distinct()).scalars()) - {None}
