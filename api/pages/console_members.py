"""Members at the console: invited, given a role, sent a link, removed; one's own sessions; the settings."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks
from fastapi.responses import HTMLResponse, Response
from pydantic import Field
from sqlmodel import Session as DbSession

from api import schemas
from api.pages.console_session import (
    Anyone,
    Form,
    Seat,
    forget_once,
    member_may,
    read_once,
    show_once,
)
from api.pagination import before
from api.policies import MEMBER
from api.sign_in_links import post_or_show
from campaigns import identity, ids
from campaigns.errors import CampaignError, Conflict, Forbidden, Invalid
from campaigns.identity import MEMBER_ROLES, RIGHTS, Member, MemberSession, Right, Role
from campaigns.identity.rights import MEMBERS_ONLY
from campaigns.tokens import qr

router = APIRouter(prefix="/console", include_in_schema=False, dependencies=[MEMBER])
MEMBERS_SHOWN = 50
Reader = Annotated[Seat, member_may(Right.MEMBERS_READ)]
Writer = Annotated[Seat, member_may(Right.MEMBERS_WRITE)]
OrganisationReader = Annotated[Seat, member_may(Right.ORGANISATION_READ)]
OrganisationWriter = Annotated[Seat, member_may(Right.ORGANISATION_WRITE)]
_REFUSALS = (Conflict, Forbidden, Invalid)


class InvitationForm(schemas.Request):
    """Whom to invite, and as what."""

    email: schemas.Text = Field(min_length=3, max_length=254)
    name: schemas.Name
    role: Role


class RoleForm(schemas.Request):
    """Another role."""

    role: Role


@dataclass(frozen=True)
class SessionView:
    """A browser that is signed in."""

    id: str
    label: str
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    is_this: bool


@router.get("/members", response_class=HTMLResponse)
def list_members(seat: Reader, cursor: str | None = None) -> HTMLResponse:
    """Members, newest first."""
    with seat.reading() as session:
        rows = identity.list_members(session, seat.organisation.id, before=before(cursor), limit=MEMBERS_SHOWN + 1)
    shown = [(ids.show("mbr", one.id), one) for one in rows[:MEMBERS_SHOWN]]
    more = ids.show("cur", rows[MEMBERS_SHOWN - 1].id) if len(rows) > MEMBERS_SHOWN else ""
    return seat.page("console_members.html", members=shown, more=more)


@router.get("/members/new", response_class=HTMLResponse)
def new_member(seat: Writer) -> HTMLResponse:
    """The form of an invitation."""
    return _invitation(seat)


@router.post("/members")
def invite_member(seat: Writer, form: Form, after: BackgroundTasks) -> Response:
    """Invite somebody. Their link goes by mail where that is set up, else it is shown once."""
    try:
        asked: InvitationForm = form.read(InvitationForm)
        with seat.writing() as session:
            member, link, secret = identity.invite_member(
                session,
                seat.organisation.id,
                email=asked.email,
                name=asked.name,
                role=asked.role,
                most=seat.member.rights,
                now=seat.now,
            )
    except _REFUSALS as error:
        return _invitation(seat, form, error=error)
    url = post_or_show(seat.core, after, seat.organisation.name, member, link, secret)
    return show_once(seat, "link", url, member.name) if url else seat.see("/console/members", done="invited")


@router.get("/members/{member_id}", response_class=HTMLResponse)
def show_member(seat: Reader, member_id: str) -> HTMLResponse:
    """One member: role, link, browsers signed in."""
    return _member_page(seat, member_id)


@router.post("/members/{member_id}/role")
def change_role(seat: Writer, form: Form, member_id: str) -> Response:
    """Give another role, from the next request on."""
    try:
        asked: RoleForm = form.read(RoleForm)
        with seat.writing() as session:
            member = _member(session, seat, member_id)
            identity.change_role(session, member, asked.role, most=seat.member.rights)
    except _REFUSALS as error:
        return _member_page(seat, member_id, error=error)
    back = "/console" if member.id == seat.member.id else f"/console/members/{member_id}"
    return seat.see(back, done="role")


@router.post("/members/{member_id}/sign-in-links")
def make_link(seat: Writer, form: Form, member_id: str, after: BackgroundTasks) -> Response:
    """A further link for a member: by mail, or shown once."""
    try:
        with seat.writing() as session:
            member = _member(session, seat, member_id)
            link, secret = identity.new_sign_in_link(session, member, most=seat.member.rights, now=seat.now)
    except _REFUSALS as error:
        return _member_page(seat, member_id, error=error)
    url = post_or_show(seat.core, after, seat.organisation.name, member, link, secret)
    return show_once(seat, "link", url, member.name) if url else seat.see(f"/console/members/{member_id}", done="sent")


@router.get("/members/{member_id}/removal", response_class=HTMLResponse)
def show_removal(seat: Writer, member_id: str) -> HTMLResponse:
    """Removing cannot be taken back: a page that asks once more."""
    return _removal_page(seat, member_id)


@router.post("/members/{member_id}/removal")
def remove_member(seat: Writer, form: Form, member_id: str) -> Response:
    """Remove a member: sessions and links end at once, name and address are forgotten."""
    try:
        with seat.writing() as session:
            member = _member(session, seat, member_id)
            identity.remove_member(session, member, now=seat.now)
    except _REFUSALS as error:
        return _removal_page(seat, member_id, error=error)
    return seat.see("/console/sign-in" if member.id == seat.member.id else "/console/members", done="removed")


@router.post("/members/{member_id}/sessions/{session_id}/revocation")
def end_session(seat: Writer, form: Form, member_id: str, session_id: str) -> Response:
    """Sign a browser of a member out."""
    with seat.writing() as session:
        member = _member(session, seat, member_id)
        identity.revoke_session(session, member, ids.parse("mse", session_id), now=seat.now)
    return seat.see(f"/console/members/{member_id}", done="ended")


@router.get("/sessions", response_class=HTMLResponse)
def my_sessions(seat: Anyone) -> HTMLResponse:
    """The browsers this member is signed in with."""
    with seat.reading() as session:
        found = identity.list_sessions(session, seat.member.id, now=seat.now)
    return seat.page("console_sessions.html", sessions=[_session(one, seat) for one in found])


@router.post("/sessions/{session_id}/revocation")
def end_my_session(seat: Anyone, form: Form, session_id: str) -> Response:
    """Sign another browser of one's own out."""
    with seat.writing() as session:
        identity.revoke_session(session, seat.member, ids.parse("mse", session_id), now=seat.now)
    return seat.see("/console/sessions", done="ended")


@router.get("/shown", response_class=HTMLResponse)
def shown_once(seat: Anyone) -> HTMLResponse:
    """A key or a link that was just made. A second look finds nothing."""
    kind, secret, note = read_once(seat) or ("", "", "")
    drawn = (
        qr.svg(secret, error_correction=qr.ErrorCorrection.M, module_px=6).decode()
        if kind in ("team", "pledge")
        else ""
    )
    svg = drawn[drawn.index("<svg") :] if drawn else ""
    page = seat.page("console_shown.html", kind=kind, secret=secret, note=note, qr_svg=svg)
    forget_once(page, seat.core)
    return page


@router.get("/organisation", response_class=HTMLResponse)
def show_organisation(seat: OrganisationReader) -> HTMLResponse:
    """The organisation's settings."""
    return seat.page("console_organisation.html", organisation=seat.organisation)


@router.post("/organisation")
def change_organisation(seat: OrganisationWriter, form: Form) -> Response:
    """Let launches need approval, or not."""
    with seat.writing() as session:
        organisation = identity.organisation_by_id(session, seat.organisation.id, lock=True)
        identity.change_organisation(session, organisation, launch_needs_approval=form["launch_needs_approval"] == "on")
    return seat.see("/console/organisation", done="saved")


def _member(session: DbSession, seat: Seat, member_id: str) -> Member:
    return identity.member_by_id(session, seat.organisation.id, ids.parse("mbr", member_id))


def _roles(seat: Seat) -> list[str]:
    """The roles this member may give."""
    return [one.value for one in MEMBER_ROLES if RIGHTS[one] - MEMBERS_ONLY <= seat.member.rights]


def _invitation(seat: Seat, form: Form | None = None, *, error: CampaignError | None = None) -> HTMLResponse:
    typed = {name: form[name] if form else "" for name in ("email", "name", "role")}
    has_mail = seat.core.postman is not None
    return seat.page("console_invitation.html", error=error, typed=typed, roles=_roles(seat), has_mail=has_mail)


def _member_page(seat: Seat, member_id: str, *, error: CampaignError | None = None) -> HTMLResponse:
    with seat.reading() as session:
        member = _member(session, seat, member_id)
        found = identity.list_sessions(session, member.id, now=seat.now)
    return seat.page(
        "console_member.html",
        error=error,
        member=member,
        path=f"/console/members/{member_id}",
        sessions=[_session(one, seat) for one in found],
        roles=_roles(seat),
        has_mail=seat.core.postman is not None,
    )


def _removal_page(seat: Seat, member_id: str, *, error: CampaignError | None = None) -> HTMLResponse:
    with seat.reading() as session:
        member = _member(session, seat, member_id)
    action = f"/console/members/{member_id}/removal"
    return seat.page("console_sure.html", error=error, what="remove", whom=member.name, action=action)


def _session(found: MemberSession, seat: Seat) -> SessionView:
    fields = {"label", "created_at", "last_seen_at", "expires_at"}
    is_this = found.id == seat.session.id
    return SessionView(id=ids.show("mse", found.id), is_this=is_this, **found.model_dump(include=fields))
