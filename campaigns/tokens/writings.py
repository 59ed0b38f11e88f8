"""Tags that a shop's phone wrote: which one carries which token, and the list for those who encode tags by trade."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, NoReturn
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, false, or_, update
from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from campaigns import audit
from campaigns.announcements import announce
from campaigns.errors import Conflict, Invalid, NotFound
from campaigns.events import record_event
from campaigns.ids import uuid7_at
from campaigns.places import Place, StaffSession
from campaigns.storage import changed, insert_once
from campaigns.tokens.codes import grouped
from campaigns.tokens.models import Kind, Medium, SunTag, TagWriting, Token, TokenState, Was

GONE = (TokenState.REVOKED, TokenState.REPLACED)  # a suspended or expired code may come back
PAGE = 1_000  # tags read at a time, so that a list of any length takes the same memory
# 4 to 10 bytes (ISO/IEC 14443-3), plain or as Web NFC says them.
_UID = re.compile(r"[0-9A-F]{2}(?::?[0-9A-F]{2}){3,9}")


class PlacedTag(NamedTuple):
    """A token whose code a tag carries, with what is known of that tag. `place` is the name of its place."""

    token: Token
    sun: SunTag | None = None
    held: TagWriting | None = None
    place: str | None = None

    @property
    def uid(self) -> str | None:
        """The tag's UID: that of the binding, or the one a `sun` tag has said."""
        if self.held is not None and self.held.uid is not None:
            return self.held.uid
        return self.sun.uid if self.sun else None


def uid_of(serial_number: str) -> str | None:
    """A tag's UID in upper-case hexadecimal, from Web NFC's `04:a2:...`; None for the empty text a phone may give."""
    if not serial_number:
        return None
    if not _UID.fullmatch(serial_number.upper()):
        raise Invalid("A tag's UID has 4 to 10 bytes, in hexadecimal: 04:a2:1b:5c.", pointer="/uid")
    return serial_number.upper().replace(":", "")


def record_writing(
    session: Session, token: Token, staff: StaffSession, *, uid: str | None, was: Was, replace: bool, now: datetime
) -> TagWriting:
    """Bind a tag that was written and read back to its token and place; the token's former tag is let go.

    Conflict (`tag_taken`) naming the label when the tag belongs to another token, unless `replace` ends that binding;
    Conflict when the token takes no tag now, or another phone wrote one at the same moment.
    """
    _require_writable(token)
    ended = _release(session, token, uid, replace=replace, now=now)
    same = next((one for one in ended if one.token_id == token.id and uid is not None and one.uid == uid), None)
    fields = {
        "organisation_id": token.organisation_id,
        "token_id": token.id,
        "place_id": staff.place_id,
        "staff_session_id": staff.id,
        "uid": uid,
        "was": was.value,
        "written_at": now,
        "locked_at": same.locked_at if same else None,  # a lock is for good
    }
    id = uuid7_at(now)
    if not insert_once(session, TagWriting, id=id, **fields):
        _refuse_taken(session, token, uid)
    record_event(session, "tag.written", now=now, token_id=token.id, writing_id=id)
    audit.note_new(session, "tag_writing", id, fields, now=now)
    for token_id in {token.id, *(one.token_id for one in ended)}:
        announce(session, "token", token_id)
    return session.get_one(TagWriting, id)


def record_lock(session: Session, token: Token, writing_id: UUID, *, now: datetime) -> TagWriting:
    """Note that a tag was locked for good. Twice is once. NotFound for another token's writing."""
    ours = col(TagWriting.id) == writing_id, col(TagWriting.token_id) == token.id
    changed(session, update(TagWriting).where(*ours, col(TagWriting.locked_at).is_(None)).values(locked_at=now))
    found = session.exec(select(TagWriting).where(*ours)).first()
    if found is None:
        raise NotFound("There is no such writing.")
    return found


def find_binding(session: Session, token_id: UUID) -> TagWriting | None:
    """The latest writing of a token: the tag that carries it now."""
    held = col(TagWriting.released_at).is_(None)
    return session.exec(select(TagWriting).where(TagWriting.token_id == token_id, held)).first()


def tag_of_place(session: Session, place_id: UUID, token_id: UUID) -> PlacedTag:
    """An NFC token standing in a place. NotFound for another place's, for one that is no NFC token, or a serial."""
    found = session.execute(_tags().where(*_standing(place_id), col(Token.id) == token_id)).first()
    if found is None:
        raise NotFound("There is no such tag in this place.")
    return PlacedTag._make(found)


def tags_of_place(session: Session, place_id: UUID) -> Sequence[PlacedTag]:
    """The tags standing in a place that are not withdrawn, oldest first."""
    standing = _tags().where(*_standing(place_id), col(Token.state).not_in(GONE)).order_by(col(Token.id))
    return [PlacedTag._make(row) for row in session.execute(standing)]


def tags_of_campaign(session: Session, campaign_id: UUID, *, place_id: UUID | None) -> list[UUID]:
    """The tokens of a campaign, or of one of its places, to encode tags for: their ids, oldest first.

    Serials are among them; withdrawn tokens are not.
    """
    query = select(Token.id).where(
        Token.campaign_id == campaign_id, Token.medium == Medium.NFC, col(Token.state).not_in(GONE)
    )
    if place_id is not None:
        query = query.where(Token.place_id == place_id)
    return list(session.exec(query.order_by(col(Token.id))).all())


def tags_by_ids(session: Session, token_ids: Sequence[UUID]) -> Sequence[PlacedTag]:
    """The tags of some tokens, `PAGE` at most, oldest first."""
    rows = session.execute(_tags().where(col(Token.id).in_(token_ids)).order_by(col(Token.id)))
    return [PlacedTag._make(row) for row in rows]


def _require_writable(token: Token) -> None:
    if token.kind != Kind.STATIC:
        raise Conflict("This tag signs its taps: its keys go in with an encoder, not with a phone.")
    if token.state in GONE:
        raise Conflict("This code was withdrawn; write another one on the tag.")


def _release(session: Session, token: Token, uid: str | None, *, replace: bool, now: datetime) -> list[TagWriting]:
    """End the token's own binding, and with `replace` the tag's."""
    own = col(TagWriting.token_id) == token.id
    in_the_way = or_(own, _is_of(token.organisation_id, uid)) if replace else own
    found = list(session.exec(select(TagWriting).where(col(TagWriting.released_at).is_(None), in_the_way)).all())
    for one in found:
        one.released_at = now
        session.add(one)
    session.flush()  # in the order of their ids: two codes that swap their tags at once do not wait for each other
    return found


def _refuse_taken(session: Session, token: Token, uid: str | None) -> NoReturn:
    held = _is_of(token.organisation_id, uid), col(TagWriting.released_at).is_(None)
    writing_of = col(TagWriting.token_id) == col(Token.id)
    holder = session.exec(select(Token).join(TagWriting, writing_of).where(*held, Token.id != token.id)).first()
    if holder is None:
        raise Conflict("Another phone wrote this code on a tag a moment ago. Look again.")
    name = holder.label or grouped(holder.code)
    raise Conflict(f"This tag belongs to “{name}”. Say replace to give it to this code.", code="tag_taken", label=name)


def _is_of(organisation_id: UUID, uid: str | None) -> ColumnElement[bool]:
    """Of that very tag. One that nobody can name is no other's."""
    if uid is None:
        return false()
    return and_(col(TagWriting.organisation_id) == organisation_id, col(TagWriting.uid) == uid)


def _tags() -> Select[Token, SunTag, TagWriting, str]:
    held = (col(TagWriting.token_id) == col(Token.id)) & col(TagWriting.released_at).is_(None)
    return (
        columns(Token, SunTag, TagWriting, col(Place.name))
        .join(SunTag, col(SunTag.token_id) == col(Token.id), isouter=True)
        .join(TagWriting, held, isouter=True)
        .join(Place, col(Place.id) == col(Token.place_id), isouter=True)
    )


def _standing(place_id: UUID) -> tuple[ColumnElement[bool], ...]:
    """Serials stand nowhere: people carry them away."""
    return (
        col(Token.place_id) == place_id,
        col(Token.medium) == Medium.NFC,
        col(Token.kind) != Kind.SERIAL,
    )
