"""The phones of a place's staff: one-time links, sessions of 90 days, their PIN after ten idle minutes."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import update
from sqlmodel import Session, col, select

from campaigns import audit
from campaigns.errors import Forbidden, Gone, NotFound
from campaigns.ids import uuid7_at
from campaigns.places import pin as pins
from campaigns.places.models import IDLE, NOTED_EVERY, Place, StaffLink, StaffRole, StaffSession
from campaigns.sealing import hash_secret, new_secret
from campaigns.storage import changed

LINK_LIFE = timedelta(days=14)
SHOWN_LINK_LIFE = timedelta(minutes=15)  # of a link on a manager's phone: the other phone is at hand
SESSION_LIFE = timedelta(days=90)


class Locked(Forbidden):
    """The phone was idle and must show its PIN first. Nothing was done."""

    code = "locked"

    def __init__(self, place_id: UUID) -> None:
        super().__init__("This phone is locked after ten minutes without use. Nothing was done: type its PIN first.")
        self.place_id = place_id


class PinTry(NamedTuple):
    """What a typed PIN did. With no tries left the session is over."""

    is_open: bool
    tries_left: int


def issue_staff_link(
    session: Session,
    place: Place,
    *,
    role: StaffRole = StaffRole.STAFF,
    secret: str | None = None,
    life: timedelta = LINK_LIFE,
    now: datetime,
) -> str:
    """Make a one-time link's secret, good for 14 days. A caller that draws it first passes its own."""
    secret = secret or new_secret()
    session.add(
        StaffLink(
            id=uuid7_at(now),
            place_id=place.id,
            secret_hash=hash_secret(secret),
            role=role,
            created_at=now,
            expires_at=now + life,
        )
    )
    return secret


def link_by_secret(session: Session, secret: str, *, now: datetime) -> StaffLink:
    """The unused link. NotFound for none, Gone for a used or expired one."""
    link = session.exec(select(StaffLink).where(StaffLink.secret_hash == hash_secret(secret))).first()
    if link is None:
        raise NotFound("This sign-in link is not one of ours. Ask for a new one.", code="unknown_link")
    if link.used_at is not None:
        raise Gone("This sign-in link was used already. Ask for a new one.", code="link_used")
    if link.expires_at <= now:
        raise Gone("This sign-in link is too old. Ask for a new one.", code="link_expired")
    return link


def sign_in(
    session: Session, secret: str, *, pin: str, pin_key: bytes, label: str, replaces: str | None = None, now: datetime
) -> tuple[StaffSession, str]:
    """Use a staff link once: the session and its new secret, for the cookie. Two phones at once: one gets in.

    `replaces` is the cookie the browser had: its session ends, and its secret is never taken over. Invalid for a PIN
    that is not four digits; the link is then still good.
    """
    link = link_by_secret(session, secret, now=now)
    chosen = pins.check_pin(pin)
    used = changed(
        session,
        update(StaffLink).where(col(StaffLink.id) == link.id, col(StaffLink.used_at).is_(None)).values(used_at=now),
    )
    if not used:
        raise Gone("This sign-in link was used already. Ask for a new one.", code="link_used")
    if replaces:
        _end(_by_secret(session, replaces), now)
    id, fresh = uuid7_at(now), new_secret()
    staff = StaffSession(
        id=id,
        place_id=link.place_id,
        secret_hash=hash_secret(fresh),
        role=link.role,
        label=label[:80],
        created_at=now,
        expires_at=now + SESSION_LIFE,
        pin_hash=pins.hash_pin(pin_key, id, chosen),
        last_seen_at=now,
    )
    session.add(staff)
    return staff, fresh


def staff_session_by_secret(session: Session, secret: str, *, now: datetime) -> StaffSession:
    """The live session behind a cookie, locked or not; Forbidden for none, a revoked or an expired one."""
    found = _by_secret(session, secret)
    if found is None or not found.is_standing(now):
        raise _not_signed_in()
    return found


def require_manager(session: Session, session_id: UUID, *, now: datetime) -> StaffSession:
    """The session as it stands in this transaction. Forbidden when it is over, or no manager's (any more)."""
    staff = session.get(StaffSession, session_id, populate_existing=True)
    if staff is None or not staff.is_standing(now):
        raise _not_signed_in()
    if not staff.is_manager:
        raise Forbidden("Only a manager's phone may do that.", code="manager_needed")
    return staff


def note_activity(session: Session, session_id: UUID, *, now: datetime) -> bool:
    """Note that a person used the phone: at most once a minute, and never one that was locked meanwhile."""
    noted = update(StaffSession).where(
        col(StaffSession.id) == session_id,
        col(StaffSession.revoked_at).is_(None),
        col(StaffSession.last_seen_at) > now - IDLE,
        col(StaffSession.last_seen_at) <= now - NOTED_EVERY,
    )
    return bool(changed(session, noted.values(last_seen_at=now)))


def unlock(session: Session, session_id: UUID, typed: str, *, pin_key: bytes, now: datetime) -> PinTry:
    """Try a PIN on a locked phone. The fifth wrong one in a row ends its session for good.

    The try is counted before it is compared, so racing guesses are five together. A wrong one is no exception: the
    caller's transaction must commit it. Forbidden when the session is over. A phone that is not locked stays open.
    """
    staff = session.get(StaffSession, session_id, populate_existing=True)
    if staff is None or not staff.is_standing(now):
        raise _not_signed_in()
    if not staff.is_locked(now):
        return PinTry(True, pins.TRIES)
    this = update(StaffSession).where(col(StaffSession.id) == session_id, col(StaffSession.revoked_at).is_(None))
    if not changed(session, this.values(wrong_pins=StaffSession.wrong_pins + 1)):  # waits here for who is before us
        raise _not_signed_in()
    session.refresh(staff)
    if pins.is_pin(pin_key, session_id, typed, staff.pin_hash):
        changed(session, this.values(wrong_pins=0, last_seen_at=now))
        return PinTry(True, pins.TRIES)
    if changed(session, this.where(col(StaffSession.wrong_pins) >= pins.TRIES).values(revoked_at=now)):
        owner = session.get_one(Place, staff.place_id).organisation_id
        gone = {"revoked_at": [None, now]}
        audit.note(session, "staff_session.changed", staff.id, organisation_id=owner, changes=gone, now=now)
    return PinTry(False, pins.TRIES - staff.wrong_pins)


def list_staff_sessions(session: Session, place_id: UUID, *, now: datetime) -> Sequence[StaffSession]:
    """Live sessions of a place, newest first."""
    return session.exec(
        select(StaffSession)
        .where(
            StaffSession.place_id == place_id,
            col(StaffSession.revoked_at).is_(None),
            StaffSession.expires_at > now,
        )
        .order_by(col(StaffSession.id).desc())
    ).all()


def revoke_staff_session(session: Session, place_id: UUID, session_id: UUID, *, now: datetime) -> None:
    """End one session of this place; NotFound for another place's. Twice is once."""
    staff = session.get(StaffSession, session_id)
    if staff is None or staff.place_id != place_id:
        raise NotFound("There is no such session.")
    _end(staff, now)
    session.add(staff)


def _end(staff: StaffSession | None, now: datetime) -> None:
    if staff is not None and staff.revoked_at is None:
        staff.revoked_at = now


def _by_secret(session: Session, secret: str) -> StaffSession | None:
    return session.exec(select(StaffSession).where(StaffSession.secret_hash == hash_secret(secret))).first()


def _not_signed_in() -> Forbidden:
    return Forbidden("This phone is not signed in. Open a staff link of your shop.", code="not_signed_in")
