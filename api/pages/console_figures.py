"""A campaign's figures at the console: the shop's board for all its places, with their map."""

from datetime import datetime
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from sqlmodel import Session as DbSession

from api import figures_now
from api.pages import figure_views
from api.pages.console_session import Seat, member_may
from api.policies import MEMBER
from api.streams import Reading, Watcher
from campaigns import planning, stats, tokens
from campaigns.identity import Member, MemberSession, Right
from campaigns.stats import Scope

router = APIRouter(prefix="/console/figures", include_in_schema=False, dependencies=[MEMBER])
Reader = Annotated[Seat, member_may(Right.FIGURES_READ)]
Page = Annotated[Seat, member_may(Right.FIGURES_READ, by_itself=True)]


@router.get("/{campaign_id}", response_class=HTMLResponse)
def show_figures(seat: Reader, campaign_id: str) -> HTMLResponse:
    """The figures of a campaign of this organisation."""
    with seat.core.database.moment() as session:
        scope, name = _scope(session, seat, campaign_id)
        shown = figure_views.board(Reading.begin(session, seat.now), scope, seat.language)
    return seat.page(
        "console_figures.html",
        js=seat.core.renderer.script("figures.js"),
        figures_css=seat.core.renderer.figures_css,
        title=name,
        stream_url=f"/console/figures/{campaign_id}/stream",
        newest_url=f"/console/figures/{campaign_id}/now",
        cases=[],
        **shown,
    )


@router.get("/{campaign_id}/stream", response_class=Response)
def stream_figures(request: Request, seat: Page, campaign_id: str) -> Response:
    """The headline figures of a campaign as server-sent events `figures`, for as long as the member is signed in."""
    session_id, member_id = seat.session.id, seat.member.id

    def may_still(session: DbSession, now: datetime) -> bool:
        found, member = session.get(MemberSession, session_id), session.get(Member, member_id)
        if found is None or member is None or not found.stands(now):
            return False
        return member.removed_at is None and Right.FIGURES_READ in member.rights

    return figures_now.stream(request, _read_scope(seat, campaign_id), Watcher("page", session_id, may_still))


@router.get("/{campaign_id}/now", response_class=Response)
async def newest_figures(request: Request, seat: Page, campaign_id: str) -> Response:
    """The same once, for a page whose stream does not come through; 304 to the tag of what it shows."""
    return await figures_now.newest(request, await to_thread.run_sync(_read_scope, seat, campaign_id))


def _read_scope(seat: Seat, campaign_id: str) -> Scope:
    with seat.reading() as session:
        return _scope(session, seat, campaign_id)[0]


def _scope(session: DbSession, seat: Seat, campaign_id: str) -> tuple[Scope, str]:
    campaign = planning.campaign_by_name(session, seat.organisation.id, campaign_id)
    is_measured = tokens.is_measurable(session, campaign)
    return stats.scope_of_campaign(campaign, places=None, is_measured=is_measured), campaign.name
