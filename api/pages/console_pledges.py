"""Pledges at the console: where each stands, what it unlocked, and the links to sponsors and beneficiaries."""

from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response
from sqlmodel import Session as DbSession

from api.pages import pledge_views
from api.pages.console_session import Form, Seat, member_may, show_once
from api.pagination import before
from api.pledge_links import ACCEPTANCES, SIGNATURES, url_of
from api.policies import MEMBER
from campaigns import ids, sponsorship
from campaigns.errors import CampaignError, NotFound
from campaigns.identity import Right
from campaigns.missions import Mission
from campaigns.sealing import new_secret
from campaigns.sponsorship import Beneficiary, Holds, Pledge

router = APIRouter(prefix="/console", include_in_schema=False, dependencies=[MEMBER])
SHOWN = 50
Reader = Annotated[Seat, member_may(Right.PLEDGES_READ)]
Writer = Annotated[Seat, member_may(Right.PLEDGES_WRITE)]


@router.get("/pledges", response_class=HTMLResponse)
def list_pledges(seat: Reader, cursor: str | None = None) -> HTMLResponse:
    """The pledges of the organisation, newest first, with what their books hold."""
    return _page(seat, cursor=cursor)


@router.post("/pledges/{pledge_id}/signature")
def ask_for_signature(seat: Writer, form: Form, pledge_id: str) -> Response:
    """Make the sponsor's one-time link, and show it once."""
    secret = new_secret()
    try:
        with seat.writing() as session:
            found = sponsorship.hold_pledge(session, seat.organisation.id, ids.parse("pld", pledge_id))
            sponsorship.issue_signature_link(session, found, secret=secret, now=seat.now)
            (facts,) = sponsorship.facts_of(session, [found])
    except NotFound:
        raise
    except CampaignError as error:
        return _page(seat, error=error)
    return show_once(seat, "pledge", url_of(seat.core, SIGNATURES, secret), facts.sponsor.name)


@router.post("/beneficiaries/{beneficiary_id}/acceptance")
def ask_for_acceptance(seat: Writer, form: Form, beneficiary_id: str) -> Response:
    """Make a beneficiary's one-time link, and show it once."""
    secret, owner = new_secret(), seat.organisation.id
    try:
        with seat.writing() as session:
            found = sponsorship.party_by_name(session, Beneficiary, owner, beneficiary_id, lock=True)
            sponsorship.issue_acceptance_link(session, found, secret=secret, now=seat.now)
    except NotFound:
        raise
    except CampaignError as error:
        return _page(seat, error=error)
    return show_once(seat, "pledge", url_of(seat.core, ACCEPTANCES, secret), found.name)


def _page(seat: Seat, *, cursor: str | None = None, error: CampaignError | None = None) -> HTMLResponse:
    with seat.reading() as session:
        rows = sponsorship.list_all_pledges(session, seat.organisation.id, before=before(cursor), limit=SHOWN + 1)
        held = sponsorship.holds(session, [one.id for one in rows])
        shown = [_shown(session, one, held.get(one.id, Holds()), seat.language) for one in rows[:SHOWN]]
    more = ids.show("cur", rows[SHOWN - 1].id) if len(rows) > SHOWN else ""
    return seat.page("console_pledges.html", error=error, pledges=shown, more=more)


def _shown(session: DbSession, pledge: Pledge, held: Holds, language: str) -> dict[str, Any]:
    (facts,) = sponsorship.facts_of(session, [pledge])
    amounts = (held.unlocked_minor, held.pending_minor, held.due_minor, held.paid_minor, held.fees_minor)
    return {
        "view": pledge_views.view_of(facts, language),
        "state_reason": pledge.state_reason or "",
        "mission": session.get_one(Mission, pledge.mission_id).title,
        "amounts": [facts.amount(one, language) for one in amounts],
        "waits_for": [(ids.show("ben", one.id), one.name) for one in facts.causes if one.accepted_at is None],
    }
