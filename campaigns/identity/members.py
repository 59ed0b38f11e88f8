"""Members: invited and signed in by a one-time link, with a session of 12 hours that rests after 30 minutes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import update
from sqlmodel import Session, col, select

from campaigns.errors import Conflict, Forbidden, Gone, Invalid, NotFound
from campaigns.identity.models import IDLE_LIFE, Member, MemberSession, Organisation, SignInLink
from campaigns.identity.rights import MEMBER_ROLES, MEMBERS_ONLY, RIGHTS, Right, Role
from campaigns.ids import uuid7_at
from campaigns.sealing import hash_secret, new_secret
from campaigns.storage import changed, find_own, newest

INVITATION_LIFE = timedelta(days=7)
LINK_LIFE = timedelta(minutes=30)
SESSION_LIFE = timedelta(hours=12)
SEEN_NOTED = timedelta(minutes=1)  # `last_seen_at` is as exact as this
# One plain address: what else a mail's header may hold (RFC 5322, RFC 2047) would lead a link to somebody else.
_ATOM = r"[^\s\x00-\x1f\x7f.@,:;<>()\[\]\\\"]+"
_ADDRESS = re.compile(rf"(?!.*=\?){_ATOM}(\.{_ATOM})*@[\w-]+(\.[\w-]+)+")
MOST_LINKS = 5  # of a member within LINK_LIFE: a form that asks for links is open to everybody
_NOT_SIGNED_IN = "You are not signed in, or were away for half an hour. Sign in with a new link."


@dataclass(frozen=True)
class SignedIn:
    """A member's session that stands, and whose it is."""

    session: MemberSession
    member: Member


def invite_member(
    session: Session, organisation_id: UUID, *, email: str, name: str, role: Role, most: frozenset[Right], now: datetime
) -> tuple[Member, SignInLink, str]:
    """Make a member and the link of the invitation, whose secret is known only now.

    Invalid for a role members do not have or an address that cannot be one, Forbidden for more rights than `most`,
    Conflict for an address that is a member's already.
    """
    _require_role(role, most)
    address = email.strip()
    if not _ADDRESS.fullmatch(address) or len(address) > 254:
        raise Invalid("This is not an e-mail address.", pointer="/email")
    twins = select(Member.id).where(Member.organisation_id == organisation_id, Member.email_key == address.casefold())
    if session.exec(twins).first() is not None:
        raise Conflict("Somebody with this address is a member already.", code="member_exists", pointer="/email")
    member = Member(
        id=uuid7_at(now),
        organisation_id=organisation_id,
        email=address,
        email_key=address.casefold(),
        name=name,
        role=role.value,
        invited_at=now,
    )
    session.add(member)
    session.flush()
    link, secret = _new_link(session, member, life=INVITATION_LIFE, now=now)
    return member, link, secret


def new_sign_in_link(
    session: Session, member: Member, *, most: frozenset[Right], now: datetime
) -> tuple[SignInLink, str]:
    """A further link for a member, which is as good as their rights: Forbidden for more than `most`, of who makes it.

    Conflict after five in half an hour. Locks the member: those who ask are counted.
    """
    session.refresh(member, with_for_update=True)
    _require_within(member.rights, most)
    recent = select(SignInLink.id).where(SignInLink.member_id == member.id, SignInLink.created_at > now - LINK_LIFE)
    if len(session.exec(recent).all()) >= MOST_LINKS:
        raise Conflict("This member was sent five links in half an hour: use one, or wait.", code="too_many_links")
    return _new_link(session, member, life=LINK_LIFE, now=now)


def link_by_secret(session: Session, secret: str, *, now: datetime) -> tuple[SignInLink, Member]:
    """The unused link behind a secret and its member; NotFound, or Gone for one that was used or is late."""
    link = session.exec(select(SignInLink).where(SignInLink.secret_hash == hash_secret(secret))).first()
    member = session.get(Member, link.member_id) if link else None
    if link is None or member is None or member.removed_at is not None:
        raise NotFound("This sign-in link is not one of ours.", code="unknown_link")
    if link.used_at is not None or link.expires_at <= now:
        raise Gone("This sign-in link was used, or is too old. Ask for a new one.", code="sign_in_link_used")
    return link, member


def sign_in_member(
    session: Session, secret: str, *, label: str, replaces: str | None, now: datetime
) -> tuple[MemberSession, str]:
    """Use a link once: a session and its secret, new at every sign-in. Two browsers at once: one gets in.

    The session that this browser had before, `replaces`, ends.
    """
    link, member = link_by_secret(session, secret, now=now)
    unused = (col(SignInLink.id) == link.id, col(SignInLink.used_at).is_(None))
    if not changed(session, update(SignInLink).where(*unused).values(used_at=now)):
        raise Gone("This sign-in link was used, or is too old. Ask for a new one.", code="sign_in_link_used")
    if replaces is not None:
        _revoke(session, find_session(session, replaces), now=now)
    if member.joined_at is None:
        member.joined_at = now
        session.add(member)
    fresh = new_secret()
    signed = MemberSession(
        id=uuid7_at(now),
        member_id=member.id,
        secret_hash=hash_secret(fresh),
        label=label[:80],
        created_at=now,
        expires_at=now + SESSION_LIFE,
        last_seen_at=now,
    )
    session.add(signed)
    session.flush()
    return signed, fresh


def member_by_session(session: Session, secret: str, *, now: datetime) -> SignedIn:
    """Whose session a cookie is of, with the role the member has now. Forbidden for none, and for one that is over."""
    found = find_session(session, secret)
    if found is None or not found.stands(now):
        raise Forbidden(_NOT_SIGNED_IN, code="member_not_signed_in")
    member = session.get(Member, found.member_id)
    if member is None or member.removed_at is not None:
        raise Forbidden(_NOT_SIGNED_IN, code="member_not_signed_in")
    return SignedIn(found, member)


def is_sight_due(found: MemberSession, now: datetime) -> bool:
    """Whether it is to be noted that the session is in use: it was not for a minute."""
    return now - found.last_seen_at >= SEEN_NOTED


def note_sight(session: Session, session_id: UUID, *, now: datetime) -> None:
    """Note that a session is in use, unless it ended meanwhile."""
    still = (
        col(MemberSession.id) == session_id,
        col(MemberSession.revoked_at).is_(None),
        col(MemberSession.last_seen_at) > now - IDLE_LIFE,
        col(MemberSession.last_seen_at) < now,
    )
    changed(session, update(MemberSession).where(*still).values(last_seen_at=now))


def find_session(session: Session, secret: str) -> MemberSession | None:
    """The session behind a cookie, over or not."""
    if not secret or len(secret) > 100:
        return None
    return session.exec(select(MemberSession).where(MemberSession.secret_hash == hash_secret(secret))).first()


def list_sessions(session: Session, member_id: UUID, *, now: datetime) -> Sequence[MemberSession]:
    """A member's sessions that stand, newest first."""
    query = select(MemberSession).where(
        MemberSession.member_id == member_id,
        col(MemberSession.revoked_at).is_(None),
        MemberSession.expires_at > now,
        MemberSession.last_seen_at > now - IDLE_LIFE,
    )
    return session.exec(query.order_by(col(MemberSession.id).desc())).all()


def revoke_session(session: Session, member: Member, session_id: UUID, *, now: datetime) -> None:
    """End one session of a member; NotFound for another's."""
    found = session.get(MemberSession, session_id)
    if found is None or found.member_id != member.id:
        raise NotFound("There is no such session.")
    _revoke(session, found, now=now)


def member_by_id(session: Session, organisation_id: UUID, member_id: UUID) -> Member:
    """A member of the organisation; NotFound for any other, and for one who was removed."""
    found = find_own(session, Member, organisation_id, member_id)
    if found is None or found.removed_at is not None:
        raise NotFound("There is no such member.")
    return found


def find_members(session: Session, email: str) -> Sequence[Member]:
    """The members with an address, one an organisation."""
    return session.exec(select(Member).where(Member.email_key == email.strip().casefold())).all()


def list_members(session: Session, organisation_id: UUID, *, before: UUID | None, limit: int) -> Sequence[Member]:
    """Members of an organisation, newest first."""
    query = select(Member).where(Member.organisation_id == organisation_id, col(Member.removed_at).is_(None))
    return newest(session, query, Member, before=before, limit=limit)


def change_role(session: Session, member: Member, role: Role, *, most: frozenset[Right]) -> Member:
    """Give a member another role, from the next request on. Conflict for the last owner."""
    _require_role(role, most)
    if member.role == Role.OWNER and role is not Role.OWNER:
        require_another_owner(session, member)
    member.role = role.value
    session.add(member)
    session.flush()
    return member


def remove_member(session: Session, member: Member, *, now: datetime) -> None:
    """End a member's access: links and sessions go, name and address are forgotten. Conflict for the last owner.

    Keys that the member issued stay: they are the organisation's, and a list shows whose they were.
    """
    if member.role == Role.OWNER:
        require_another_owner(session, member)
    open_links = (col(SignInLink.member_id) == member.id, col(SignInLink.used_at).is_(None))
    changed(session, update(SignInLink).where(*open_links).values(used_at=now))
    for one in session.exec(select(MemberSession).where(MemberSession.member_id == member.id)):
        _revoke(session, one, now=now)
    member.removed_at = now
    member.email = member.email_key = None
    member.name = ""
    session.add(member)
    session.flush()


def require_another_owner(session: Session, member: Member) -> None:
    """Conflict when nobody else could act as owner, unless this one never did.

    Locks the organisation: of two owners who leave at once one stays.
    """
    if member.joined_at is None:
        return
    session.get(Organisation, member.organisation_id, with_for_update=True, populate_existing=True)
    others = select(Member.id).where(
        Member.organisation_id == member.organisation_id,
        Member.role == Role.OWNER.value,
        Member.id != member.id,
        col(Member.removed_at).is_(None),
        col(Member.joined_at).is_not(None),
    )
    if session.exec(others).first() is None:
        raise Conflict("This is the last owner: make somebody an owner first, who then signs in.", code="last_owner")


def _require_role(role: Role, most: frozenset[Right]) -> None:
    if role not in MEMBER_ROLES:
        raise Invalid(f"Members have the roles {', '.join(MEMBER_ROLES)}.", pointer="/role")
    _require_within(RIGHTS[role], most)


def _require_within(rights: frozenset[Right], most: frozenset[Right]) -> None:
    """Forbidden for more rights than `most`; no key may decide, and an owner's invites approvers all the same."""
    if not rights - MEMBERS_ONLY <= most:
        raise Forbidden("Nobody can be given more rights than you have.", code="right_missing")


def _new_link(session: Session, member: Member, *, life: timedelta, now: datetime) -> tuple[SignInLink, str]:
    secret = new_secret()
    link = SignInLink(
        id=uuid7_at(now), member_id=member.id, secret_hash=hash_secret(secret), created_at=now, expires_at=now + life
    )
    session.add(link)
    session.flush()
    return link, secret


def _revoke(session: Session, found: MemberSession | None, *, now: datetime) -> None:
    if found is not None and found.revoked_at is None:
        found.revoked_at = now
        session.add(found)
        session.flush()
