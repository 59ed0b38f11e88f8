"""The report of a campaign for a director: as it stands, frozen, and made again from what was frozen."""

import json
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import BaseModel, Field

from api import schemas
from api.dependencies import Core, Now, ReadSession, Services, Session
from api.pages.director import show_report
from api.pages.render import language_of
from api.pagination import Cursor, Limit, Page, before, page
from api.policies import Actor, may
from campaigns import ids, planning, stats
from campaigns.identity import Right
from campaigns.stats import Report

router = APIRouter(prefix="/v1", tags=["figures"])
Lang = Annotated[Literal["fr", "en"] | None, Query(description="of the page; else the browser's, else English")]
_CONTENT: dict[int | str, Any] = {
    200: {
        "description": "The document, or with `Accept: text/html` its page.",
        "content": {"application/json": {}, "text/html": {}},
    }
}


class ReportCreate(schemas.Request):
    """What the marketer says was learned, for the report to keep; it may be empty. Name nobody."""

    learned: schemas.Text = Field("", max_length=20_000)


class ReportRead(BaseModel):
    """A frozen report: who froze it when, and the SHA-256 of its canonical inputs."""

    id: str
    campaign_id: str
    made_at: datetime
    made_by_kind: str
    sha256: str


@router.get(
    "/campaigns/{campaign_id}/report",
    dependencies=[may(Right.FIGURES_READ)],
    response_class=Response,
    responses=_CONTENT,
)
def read_report(request: Request, campaign_id: str, actor: Actor, core: Core, now: Now, lang: Lang = None) -> Response:
    """The report as it stands: positive or negative, how far, the load, the crisis, the return, risks.

    JSON `{id: null, sha256, inputs}`, or the page with `Accept: text/html`, to print on one sheet of A4. A campaign
    that has not begun says so.
    """
    with core.database.moment() as session:
        campaign = planning.campaign_by_name(session, actor.organisation_id, campaign_id)
        document = stats.inputs_of(session, campaign, now=now)
    return _answer(request, core, stats.canonical(document), lang, None)


@router.post("/campaigns/{campaign_id}/reports", dependencies=[may(Right.CAMPAIGNS_WRITE)], status_code=201)
def freeze_report(
    campaign_id: str, actor: Actor, session: Session, now: Now, body: ReportCreate | None = None
) -> ReportRead:
    """Freeze the report as it stands, with what was learned (1,000 characters at most).

    Its inputs are kept as one canonical JSON text: keys in order, no white space, UTF-8; `sha256` is of that text.
    """
    campaign = planning.campaign_by_name(session, actor.organisation_id, campaign_id)
    learned = body.learned if body else ""
    return _show(stats.freeze(session, campaign, learned=learned, author=actor.author, now=now))


@router.get("/campaigns/{campaign_id}/reports", dependencies=[may(Right.FIGURES_READ)])
def list_reports(
    campaign_id: str, actor: Actor, session: ReadSession, limit: Limit = 25, cursor: Cursor = None
) -> Page:
    """The frozen reports of a campaign, newest first."""
    campaign = planning.campaign_by_name(session, actor.organisation_id, campaign_id)
    rows = stats.list_reports(session, actor.organisation_id, campaign.id, before=before(cursor), limit=limit + 1)
    return page(rows, limit, _show, lambda one: one.id)


@router.get("/reports/{report_id}", dependencies=[may(Right.FIGURES_READ)], response_class=Response, responses=_CONTENT)
def read_frozen_report(
    request: Request, report_id: str, actor: Actor, session: ReadSession, core: Core, lang: Lang = None
) -> Response:
    """A frozen report, made again from its inputs: byte for byte the same, whatever became of the data since.

    JSON `{id, sha256, made_at, made_by_kind, inputs}`, whose `inputs` stand there as they were hashed; or its page.
    """
    report = stats.report_by_id(session, actor.organisation_id, ids.parse("rep", report_id))
    return _answer(request, core, report.inputs, lang, report)


def _answer(request: Request, core: Services, inputs: str, lang: str | None, report: Report | None) -> Response:
    sha256 = report.sha256 if report else stats.hash_of(inputs)
    if "text/html" in request.headers.get("accept", ""):
        language = language_of(lang, request.headers.get("accept-language", ""))
        html = show_report(core.renderer, json.loads(inputs), language, sha256=sha256, is_frozen=report is not None)
        return HTMLResponse(html)
    facts = _show(report).model_dump(mode="json") if report else {"id": None, "sha256": sha256}
    # As it was hashed: whoever checks takes the text between the braces.
    return Response(json.dumps(facts)[:-1] + f', "inputs": {inputs}}}', media_type="application/json")


def _show(report: Report) -> ReportRead:
    return ReportRead(
        id=ids.show("rep", report.id),
        campaign_id=ids.show("cmp", report.campaign_id),
        **report.model_dump(include={"made_at", "made_by_kind", "sha256"}),
    )
