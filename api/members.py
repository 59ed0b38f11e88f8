"""Members: invited by a one-time link, with a role that counts from the next request on, and sessions to be ended."""

from datetime import datetime
from typing import Any, Literal

from fastapi import APIRouter, BackgroundTasks, Response
from pydantic import BaseModel, Field
from sqlmodel import Session as DbSession

from api import schemas
from api.dependencies import Acting, Core, Now, ReadSession, Services, Session
from api.etags import Tagged
from api.pagination import Cursor, Limit, Page, before, page
from api.policies import Actor, may
from api.sign_in_links import post_or_show
from campaigns import identity, ids
from campaigns.errors import Conflict
from campaigns.identity import Member, Right, Role, SignInLink

router = APIRouter(prefix="/v1/members", tags=["members"])
MemberRole = Literal["owner", "marketer", "moderator", "approver", "analyst"]


class MemberCreate(schemas.Request):
    """Whom to invite, and as what."""

    email: schemas.Text = Field(min_length=3, max_length=254)
    name: schemas.Name
    role: MemberRole


class MemberPatch(schemas.Request):
    """JSON merge patch."""

    role: MemberRole


class MemberRead(BaseModel):
    """A member. `joined_at` is when they first signed in."""

    id: str
    email: str | None
    name: str
    role: Role
    invited_at: datetime
    joined_at: datetime | None


class SignInLinkRead(BaseModel):
    """A one-time link: the only moment it is shown, and null when it went by e-mail instead."""

    url: str | None
    sent_to: str | None
    expires_at: datetime


class MemberMade(MemberRead):
    """A new member with the link of the invitation."""

    sign_in_link: SignInLinkRead


class MemberSessionRead(BaseModel):
    """A browser a member is signed in with."""

    id: str
    label: str
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime


def show(member: Member) -> MemberRead:
    stored = member.model_dump(include={"email", "name", "role", "invited_at", "joined_at"})
    return MemberRead(id=ids.show("mbr", member.id), **stored)


@router.post("", dependencies=[may(Right.MEMBERS_WRITE)], status_code=201)
def invite_member(
    body: MemberCreate, actor: Actor, session: Session, core: Core, now: Now, after: BackgroundTasks
) -> MemberMade:
    """Invite somebody. The link works once and for seven days; with SMTP set it is sent, else it is in the answer.

    409 for an address that is a member's already. 403 for a role with more rights than your own.
    """
    _require_live(actor)
    member, link, secret = identity.invite_member(
        session,
        actor.organisation_id,
        email=body.email,
        name=body.name,
        role=Role(body.role),
        most=actor.rights,
        now=now,
    )
    handed = hand_over(session, core, after, member, link, secret)
    return MemberMade(sign_in_link=handed, **show(member).model_dump())


@router.get("", dependencies=[may(Right.MEMBERS_READ)])
def list_members(actor: Actor, session: ReadSession, limit: Limit = 25, cursor: Cursor = None) -> Page:
    """Members of the organisation, newest first."""
    rows = identity.list_members(session, actor.organisation_id, before=before(cursor), limit=limit + 1)
    return page(rows, limit, show, lambda one: one.id)


@router.get("/{member_id}", dependencies=[may(Right.MEMBERS_READ)], response_model=MemberRead)
def read_member(member_id: str, actor: Actor, session: ReadSession, tags: Tagged) -> Any:
    """One member."""
    return tags.read(show(_member(session, actor, member_id)))


@router.patch("/{member_id}", dependencies=[may(Right.MEMBERS_WRITE)])
def change_member(member_id: str, body: MemberPatch, actor: Actor, session: Session, tags: Tagged) -> MemberRead:
    """Give a member another role; sessions that are open have it from their next request on. 409 for the last owner."""
    member = _member(session, actor, member_id)
    tags.require(session, member, show)
    return tags.changed(show(identity.change_role(session, member, Role(body.role), most=actor.rights)))


@router.delete("/{member_id}", dependencies=[may(Right.MEMBERS_WRITE)], status_code=204)
def remove_member(member_id: str, actor: Actor, session: Session, now: Now, tags: Tagged) -> Response:
    """Remove a member: sessions and links end at once, name and address are forgotten. 409 for the last owner."""
    member = _member(session, actor, member_id)
    tags.require(session, member, show)
    identity.remove_member(session, member, now=now)
    return Response(status_code=204)


@router.post("/{member_id}/sign-in-links", dependencies=[may(Right.MEMBERS_WRITE)], status_code=201)
def make_sign_in_link(
    member_id: str, actor: Actor, session: Session, core: Core, now: Now, after: BackgroundTasks
) -> SignInLinkRead:
    """A one-time link for a member, for half an hour. With SMTP set it goes to their address and nowhere else.

    403 for a member with more rights than your own.
    """
    member = _member(session, actor, member_id)
    link, secret = identity.new_sign_in_link(session, member, most=actor.rights, now=now)
    return hand_over(session, core, after, member, link, secret)


@router.get("/{member_id}/sessions", dependencies=[may(Right.MEMBERS_READ)])
def list_sessions(member_id: str, actor: Actor, session: ReadSession, now: Now) -> Page:
    """The browsers a member is signed in with, newest first."""
    rows = identity.list_sessions(session, _member(session, actor, member_id).id, now=now)
    fields = {"label", "created_at", "last_seen_at", "expires_at"}
    shown = [MemberSessionRead(id=ids.show("mse", one.id), **one.model_dump(include=fields)) for one in rows]
    return Page(data=shown, next_cursor=None)


@router.post("/{member_id}/sessions/{session_id}/revocation", dependencies=[may(Right.MEMBERS_WRITE)], status_code=204)
def revoke_session(member_id: str, session_id: str, actor: Actor, session: Session, now: Now) -> Response:
    """Sign a browser out. Twice is once."""
    member = _member(session, actor, member_id)
    identity.revoke_session(session, member, ids.parse("mse", session_id), now=now)
    return Response(status_code=204)


def hand_over(
    session: DbSession, core: Services, after: BackgroundTasks, member: Member, link: SignInLink, secret: str
) -> SignInLinkRead:
    """Send a link to its member after the commit where mail is set up, else show it to who asked."""
    brand = identity.organisation_by_id(session, member.organisation_id).name
    url = post_or_show(core, after, brand, member, link, secret)
    return SignInLinkRead(url=url, sent_to=None if url else member.email, expires_at=link.expires_at)


def _member(session: DbSession, actor: Acting, member_id: str) -> Member:
    return identity.member_by_id(session, actor.organisation_id, ids.parse("mbr", member_id))


def _require_live(actor: Acting) -> None:
    if actor.key.is_test:
        raise Conflict("Test keys make test data: members are of the organisation itself.", code="wrong_state")
