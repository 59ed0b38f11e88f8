"""The team at the console: links into the cohort of employees, and the thresholds of a pilot that a member lets go."""

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response
from pydantic import Field

from api import schemas
from api.pages.console_session import Form, Seat, member_may, show_once
from api.pagination import before
from api.policies import MEMBER
from campaigns import ids, participants, planning
from campaigns.errors import CampaignError, NotFound
from campaigns.identity import Right
from campaigns.participants.cohort import MOST_USES
from campaigns.sealing import new_secret

router = APIRouter(prefix="/console", include_in_schema=False, dependencies=[MEMBER])
SHOWN = 50
Maker = Annotated[Seat, member_may(Right.STAFF_WRITE)]
Launcher = Annotated[Seat, member_may(Right.CAMPAIGNS_LAUNCH)]


class LinkForm(schemas.Request):
    """What is typed of a new link."""

    max_uses: int = Field(1, ge=1, le=MOST_USES)
    days: int = Field(14, ge=1, le=90)
    label: schemas.Text = Field("", max_length=80)


@router.get("/team", response_class=HTMLResponse)
def list_links(seat: Maker, cursor: str | None = None) -> HTMLResponse:
    """The links into the cohort, newest first: how many entered by each, never who."""
    return _page(seat, cursor=cursor)


@router.post("/team")
def make_link(seat: Maker, form: Form) -> Response:
    """Make a link, and show it once."""
    secret = new_secret()
    try:
        asked: LinkForm = form.read(LinkForm)
        with seat.writing() as session:
            participants.issue_cohort_link(
                session,
                seat.organisation.id,
                max_uses=asked.max_uses,
                label=asked.label,
                expires_at=seat.now + timedelta(days=asked.days),
                secret=secret,
                now=seat.now,
            )
    except CampaignError as error:
        return _page(seat, error=error, typed={name: form[name] for name in LinkForm.model_fields})
    return show_once(seat, "team", f"{seat.core.settings.base_url}/pilot/join/{secret}", asked.label)


@router.post("/team/{link_id}/revocation")
def revoke_link(seat: Maker, form: Form, link_id: str) -> Response:
    """Take a link back: who entered stays."""
    with seat.writing() as session:
        link = participants.cohort_link_by_id(session, seat.organisation.id, ids.parse("col", link_id))
        participants.revoke_cohort_link(session, link, now=seat.now)
    return seat.see("/console/team", done="link_revoked")


@router.post("/campaigns/{campaign_id}/pilot")
def start_pilot(seat: Launcher, form: Form, campaign_id: str) -> Response:
    """Draft to pilot."""
    with seat.writing() as session:
        id = ids.parse("cmp", campaign_id)
        campaign = planning.campaign_by_id(session, seat.organisation.id, id, lock=True)
        planning.start_pilot(session, campaign, now=seat.now)
    return seat.see(f"/console/campaigns/{campaign_id}/launch", done="piloted")


@router.post("/campaigns/{campaign_id}/pilot/waivers")
def waive(seat: Launcher, form: Form, campaign_id: str) -> Response:
    """Let a threshold (`criterion`) go, with a `reason` that everybody who may launch reads."""
    try:
        with seat.writing() as session:
            id = ids.parse("cmp", campaign_id)
            campaign = planning.campaign_by_id(session, seat.organisation.id, id, lock=True)
            planning.waive(
                session, campaign, form["criterion"], reason=form["reason"], member_id=seat.member.id, now=seat.now
            )
    except NotFound:
        raise
    except CampaignError as error:
        typed = {form["criterion"]: form["reason"]}
        back = f"/console/campaigns/{campaign_id}/launch"
        return seat.page("console_waiver.html", error=error, typed=typed, criterion=form["criterion"], back=back)
    return seat.see(f"/console/campaigns/{campaign_id}/launch", done="waived")


def _page(
    seat: Seat,
    *,
    cursor: str | None = None,
    error: CampaignError | None = None,
    typed: dict[str, Any] | None = None,
) -> HTMLResponse:
    with seat.reading() as session:
        rows = participants.list_cohort_links(session, seat.organisation.id, before=before(cursor), limit=SHOWN + 1)
    links = [(ids.show("col", one.id), one, one.is_good(seat.now)) for one in rows[:SHOWN]]
    more = ids.show("cur", rows[SHOWN - 1].id) if len(rows) > SHOWN else ""
    return seat.page("console_team.html", error=error, links=links, more=more, typed=typed or {}, most=MOST_USES)
