"""Issuing, finding and changing tokens."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Text, cast, delete, func, or_
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from campaigns import audit
from campaigns.announcements import announce
from campaigns.errors import Conflict, Invalid, NotFound
from campaigns.events import record_event
from campaigns.ids import uuid7_at
from campaigns.participants.merging import Merge
from campaigns.places import Place
from campaigns.planning import Campaign, LaunchFacts, State
from campaigns.storage import find_own, hand_over, insert_once, newest, store
from campaigns.tokens import codes
from campaigns.tokens.models import Kind, Medium, SerialUse, SpentTap, SunTag, TagPlan, Token, TokenChange, TokenState

TAPS_KEPT = timedelta(days=3)  # a receipt carries an act for two
PERSON_COLUMNS = (col(SerialUse.person_id),)
_ATTEMPTS = 5  # of a free code: with a million tokens one try in 35 million collides


def issue(
    session: Session,
    campaign: Campaign,
    *,
    medium: Medium,
    kind: Kind,
    place: Place | None,
    now: datetime,
    external_id: str | None = None,
    label: str | None = None,
    channel: str | None = None,
    destination: str | None = None,
    tag: TagPlan | None = None,
    onward: Mapping[str, Any] | None = None,
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
) -> Token:
    """Issue a token with a fresh code. Conflict on an ended campaign or an `external_id` already used.

    A `sun` token is written on the `tag` it is given with; Invalid for one without, or for another medium than NFC.
    A `live` token is a QR code on the screen of a place; Invalid for one without, or for another medium.
    `onward` is the rest of where it leads: `rules`, `utm`, `pass_scan_id`, `continue_page`, `expires_at`.
    """
    _require_tag(kind, medium, tag)
    _require_screen(kind, medium, place.id if place else None)
    if campaign.state == State.ENDED:
        raise Conflict("This campaign has ended; it takes no new tokens.", code="wrong_state")
    if external_id and find_token(session, campaign.id, external_id=external_id):
        raise Conflict(f"A token with external_id {external_id!r} is there already.", pointer="/external_id")
    fields = {
        "organisation_id": campaign.organisation_id,
        "campaign_id": campaign.id,
        "place_id": place.id if place else None,
        "external_id": external_id,
        "medium": medium.value,
        "kind": kind.value,
        "state": TokenState.ACTIVE.value,
        "label": label,
        "channel": channel,
        "destination": destination,
        "created_at": now,
        "changed_at": now,
        **(onward or {}),
    }
    for _ in range(_ATTEMPTS):
        id, code = uuid7_at(now), codes.new_code(random_bytes)
        if insert_once(session, Token, id=id, code=code, **fields):
            if tag is not None:
                _enrol(session, id, tag)
            record_event(session, "token.issued", now=now, token_id=id)
            audit.note_new(session, "token", id, {"code": code, **fields}, now=now)
            announce(session, "code", id)
            return session.get_one(Token, id)
    raise Conflict("No free code was found; try again.", code="busy")


def has_spent(session: Session, token_id: UUID, scan_id: UUID) -> bool:
    """Whether this scan spent a counter of the token's tag."""
    query = select(SpentTap.scan_id).where(SpentTap.token_id == token_id, SpentTap.scan_id == scan_id)
    return session.exec(query).first() is not None


def forget_taps(session: Session, *, now: datetime) -> None:
    """Drop what was kept of taps for their reload and their check-in."""
    session.execute(delete(SpentTap).where(col(SpentTap.tapped_at) < now - TAPS_KEPT))


def forget(session: Session, participant_id: UUID, *, surrogate: UUID) -> None:
    """Leave the codes a person used up used, by nobody."""
    hand_over(session, PERSON_COLUMNS, participant_id, surrogate)


def merge(session: Session, merge: Merge) -> None:
    """Give the older name the serials of the newer one. One that both used is used once: the later scan is voided."""
    older, newer = merge.ids
    rows = session.exec(select(SerialUse).where(col(SerialUse.person_id).in_(merge.ids))).all()
    firsts: dict[UUID, SerialUse] = {}
    for use in sorted(rows, key=lambda one: (one.used_at, one.scan_id)):
        if firsts.setdefault(use.token_id, use) is not use:
            merge.to_void.append(use.scan_id)
            session.delete(use)
    session.flush()
    hand_over(session, PERSON_COLUMNS, newer, older)


def find_tag(session: Session, token_id: UUID) -> SunTag | None:
    """The tag of a `sun` token."""
    return session.get(SunTag, token_id)


def change_token(
    session: Session, token: Token, *, now: datetime, changed_by: UUID | None = None, **fields: object
) -> Token:
    """Change what a printed code is called, where it stands or where it leads: it takes effect at the next scan.

    The edit goes into the code's history, with the key that asked for it. Invalid for a live token that would stand in
    no place.
    """
    _require_screen(token.kind, token.medium, fields.get("place_id", token.place_id))
    before = {key: getattr(token, key) for key in fields}
    for key, value in fields.items():
        setattr(token, key, value)
    token.changed_at = now
    session.add(token)
    _note_change(session, token, before, now=now, changed_by=changed_by)
    announce(session, "token", token.id)
    return token


def list_changes(session: Session, token_id: UUID, *, before: UUID | None, limit: int) -> Sequence[TokenChange]:
    """The edits of a token, newest first, older than `before`."""
    query = select(TokenChange).where(TokenChange.token_id == token_id)
    return newest(session, query, TokenChange, before=before, limit=limit)


def token_by_id(session: Session, organisation_id: UUID, token_id: UUID, *, lock: bool = False) -> Token:
    """The organisation's token, locked for a change if asked; NotFound for another's."""
    token = find_own(session, Token, organisation_id, token_id, lock=lock)
    if token is None:
        raise NotFound("There is no such token.")
    return token


def find_token(session: Session, campaign_id: UUID, *, external_id: str) -> Token | None:
    return session.exec(select(Token).where(Token.campaign_id == campaign_id, Token.external_id == external_id)).first()


def list_tokens(session: Session, campaign_id: UUID, *, before: UUID | None, limit: int) -> Sequence[Token]:
    """Newest first, older than `before`."""
    query = select(Token).where(Token.campaign_id == campaign_id)
    return newest(session, query, Token, before=before, limit=limit)


def tokens_of_place(session: Session, place_id: UUID) -> Sequence[Token]:
    """Every token standing in a place, oldest first. Serials stand nowhere: people carry them away."""
    standing = select(Token).where(Token.place_id == place_id, Token.kind != Kind.SERIAL)
    return session.exec(standing.order_by(col(Token.id))).all()


def live_tokens_of_place(session: Session, place_id: UUID, *, now: datetime) -> list[tuple[Token, Campaign]]:
    """The tokens the screen of a place can show, oldest first: active, live, of campaigns that are not over."""
    query = (
        select(Token, Campaign)
        .join(Campaign, col(Campaign.id) == Token.campaign_id)
        .where(Token.place_id == place_id, Token.kind == Kind.LIVE, Token.state == TokenState.ACTIVE)
        .order_by(col(Token.id))
    )
    found = session.exec(query).all()
    return [(token, campaign) for token, campaign in found if campaign.state_at(now) != State.ENDED]


def ids_of_campaign(campaign_id: UUID) -> SelectOfScalar[UUID]:
    """The ids of a campaign's tokens, as a query to put into another: there may be 100,000."""
    return select(Token.id).where(Token.campaign_id == campaign_id)


def ids_of_place(place_id: UUID) -> SelectOfScalar[UUID]:
    """The ids of a place's tokens, serials included, as a query to put into another."""
    return select(Token.id).where(Token.place_id == place_id)


def launch_facts(session: Session, campaign_id: UUID, *, missions: int) -> LaunchFacts:
    """What the launch checklist asks of tokens and places."""
    tokens, placed, places = session.execute(
        select(func.count(), func.count(col(Token.place_id)), func.count(func.distinct(col(Token.place_id)))).where(
            Token.campaign_id == campaign_id
        )
    ).one()
    return LaunchFacts(tokens=tokens, tokens_without_place=tokens - placed, places=places, missions=missions)


def is_measurable(session: Session, campaign: Campaign) -> bool:
    """Whether anything can confirm a scan of this campaign: a hosted page, a continue page or a passed scan id.

    A campaign whose every code leads straight elsewhere has no verified figure, which is not the same as zero.
    """
    confirms = [col(Token.pass_scan_id), col(Token.continue_page), cast(col(Token.rules), Text).like('%"hosted"%')]
    if campaign.destination is None or "'hosted'" in str(campaign.rules):
        confirms.append(col(Token.destination).is_(None))
    codes_of_it = select(Token.id).where(Token.campaign_id == campaign.id).limit(1)
    return session.exec(codes_of_it.where(or_(*confirms))).first() is not None or not session.exec(codes_of_it).first()


def _require_tag(kind: Kind, medium: Medium, tag: TagPlan | None) -> None:
    if kind == Kind.SUN and tag is None:
        raise Invalid("A sun token needs the keys of its tag: give sun.", pointer="/sun")
    if kind != Kind.SUN and tag is not None:
        raise Invalid(f"sun belongs to a sun token, not to a {kind} one.", pointer="/sun")
    if kind == Kind.SUN and medium != Medium.NFC:
        raise Invalid("A sun token is an NFC tag: its medium is nfc.", pointer="/medium")


def _require_screen(kind: str, medium: str, place_id: object) -> None:
    if kind != Kind.LIVE:
        return
    if medium != Medium.QR:
        raise Invalid("A live token is shown on a screen: its medium is qr.", pointer="/medium")
    if place_id is None:
        raise Invalid("A live token stands in a place, on its screen: give place_id.", pointer="/place_id")


def _enrol(session: Session, token_id: UUID, tag: TagPlan) -> None:
    uid = tag.uid.upper() if tag.uid else None
    store(
        session,
        SunTag,
        token_id=token_id,
        uid=uid,
        sealed_keys=tag.sealed_keys,
        mode=tag.mode.value,
        mac_input=tag.mac_input.value,
        last_counter=-1,
        diversifier=tag.diversifier.hex() if tag.diversifier else None,
    )


def _note_change(
    session: Session, token: Token, before: Mapping[str, object], *, now: datetime, changed_by: UUID | None
) -> None:
    """Write what of a token is not as it was before; nothing when all of it is."""
    what = {key: [_plain(old), _plain(getattr(token, key))] for key, old in before.items()}
    what = {key: pair for key, pair in what.items() if pair[0] != pair[1]}
    if what:
        store(
            session,
            TokenChange,
            id=uuid7_at(now),
            token_id=token.id,
            changed_at=now,
            changed_by=changed_by,
            what=what,
        )


def _plain(value: object) -> object:
    """A value as JSON has it: ids as they are shown."""
    if isinstance(value, UUID):
        return value.hex
    return value.isoformat() if isinstance(value, datetime) else value
