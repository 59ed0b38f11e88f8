"""The report of a campaign at the console: as it stands, frozen with what was learned, and the frozen ones."""

import json
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response
from sqlmodel import Session as DbSession

from api import schemas
from api.pages.console_session import Form, Seat, member_may, show_instant
from api.pages.director import show_report
from api.policies import MEMBER
from api.problems import status_of
from campaigns import ids, planning, stats
from campaigns.errors import CampaignError, Invalid, NotFound
from campaigns.identity import Right
from campaigns.planning import Campaign
from campaigns.stats import Report

router = APIRouter(prefix="/console", include_in_schema=False, dependencies=[MEMBER])
SHOWN = 12  # frozen reports that are listed
Reader = Annotated[Seat, member_may(Right.FIGURES_READ)]
Writer = Annotated[Seat, member_may(Right.CAMPAIGNS_WRITE)]


@router.get("/campaigns/{campaign_id}/report", response_class=HTMLResponse)
def show_live(seat: Reader, campaign_id: str) -> HTMLResponse:
    """The report as it stands, with a form to freeze it."""
    return _page(seat, campaign_id)


@router.post("/campaigns/{campaign_id}/reports")
def freeze(seat: Writer, form: Form, campaign_id: str) -> Response:
    """Freeze it, with what was learned."""
    try:
        words = _clean(form["learned"])
        with seat.writing() as session:
            campaign = _campaign(session, seat, campaign_id)
            report = stats.freeze(session, campaign, learned=words, author=seat.author, now=seat.now)
    except NotFound:
        raise
    except CampaignError as error:
        return _page(seat, campaign_id, error=error, learned=form["learned"])
    return seat.see(f"/console/campaigns/{campaign_id}/reports/{ids.show('rep', report.id)}")


@router.get("/campaigns/{campaign_id}/reports/{report_id}", response_class=HTMLResponse)
def show_frozen(seat: Reader, campaign_id: str, report_id: str) -> HTMLResponse:
    """A frozen report, as it was."""
    with seat.reading() as session:
        campaign = _campaign(session, seat, campaign_id)
        report = stats.report_by_id(session, seat.organisation.id, ids.parse("rep", report_id))
        frozen = _frozen(session, seat, campaign)
    return _shown(seat, report.inputs, report, {"frozen": frozen, **_NOTHING})


_NOTHING: dict[str, Any] = {"action": "", "problem": "", "learned": ""}


def _page(seat: Seat, campaign_id: str, *, error: CampaignError | None = None, learned: str = "") -> HTMLResponse:
    with seat.core.database.moment() as session:
        campaign = _campaign(session, seat, campaign_id)
        document = stats.inputs_of(session, campaign, now=seat.now)
        frozen = _frozen(session, seat, campaign)
    action = seat.to(f"/console/campaigns/{campaign_id}/reports") if seat.may(Right.CAMPAIGNS_WRITE) else ""
    problem = seat.problem(error) if error else ""
    screen = {"action": action, "problem": problem, "learned": learned, "frozen": frozen}
    page = _shown(seat, stats.canonical(document), None, screen)
    page.status_code = status_of(error) if error else 200
    return page


def _shown(seat: Seat, inputs: str, report: Report | None, screen: dict[str, Any]) -> HTMLResponse:
    html = show_report(
        seat.core.renderer,
        json.loads(inputs),
        seat.language,
        sha256=report.sha256 if report else "",
        is_frozen=report is not None,
        screen={"back": seat.to("/console"), **screen},
        other_lang_url=seat.other_lang_url,
    )
    return HTMLResponse(html)


def _frozen(session: DbSession, seat: Seat, campaign: Campaign) -> list[tuple[str, str]]:
    """Where the frozen ones are, and of when."""
    rows = stats.list_reports(session, seat.organisation.id, campaign.id, before=None, limit=SHOWN)
    base = f"/console/campaigns/{ids.show('cmp', campaign.id)}/reports"
    return [
        (seat.to(f"{base}/{ids.show('rep', one.id)}"), show_instant(one.made_at, seat.language, campaign.time_zone))
        for one in rows
    ]


def _campaign(session: DbSession, seat: Seat, campaign_id: str) -> Campaign:
    return planning.campaign_by_id(session, seat.organisation.id, ids.parse("cmp", campaign_id))


def _clean(text: str) -> str:
    try:
        return schemas.clean(text)
    except ValueError as error:
        raise Invalid(str(error), pointer="/learned") from error
