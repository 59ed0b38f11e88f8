"""Care: what people report of printed codes, and the alerts that the figures give."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel
from sqlmodel import Session as DbSession

from api.dependencies import Acting, Now, ReadSession, Session
from api.pagination import Cursor, Limit, Page, before, page
from api.policies import Actor, may
from campaigns import care, ids, places, planning
from campaigns.care import Alert, AlertKind, Case, CaseKind, CaseState, CodeReport, ReportKind
from campaigns.identity import Right

router = APIRouter(prefix="/v1", tags=["care"])


class CodeReportRead(BaseModel):
    """What one person said of a code. `handled_at` is when somebody noted that it was looked at."""

    id: str
    campaign_id: str
    token_id: str
    place_id: str | None = None
    code: str
    kind: ReportKind
    text: str
    reported_at: datetime
    handled_at: datetime | None


class AlertRead(BaseModel):
    """Something to look at. `since` is the first day that had too few scans: `seen` of `expected` in `open_days`."""

    id: str
    campaign_id: str
    token_id: str
    place_id: str
    kind: AlertKind
    since: datetime
    open_days: int
    expected: float
    seen: int
    opened_at: datetime
    closed_at: datetime | None


class CaseRead(BaseModel):
    """What a shopper told the shop. `reference` is what they read out; the words stay on the pages."""

    id: str
    campaign_id: str
    place_id: str | None
    reference: str
    kind: CaseKind
    state: CaseState
    opened_at: datetime
    due_at: datetime
    acknowledged_at: datetime | None
    answered_at: datetime | None
    closed_at: datetime | None
    reopened_at: datetime | None
    escalated_at: datetime | None


def show_case(case: Case) -> CaseRead:
    return CaseRead(
        id=ids.show("cas", case.id),
        campaign_id=ids.show("cmp", case.campaign_id),
        place_id=ids.show("plc", case.place_id) if case.place_id else None,
        **case.model_dump(include=set(CaseRead.model_fields) - {"id", "campaign_id", "place_id"}),
    )


def show_report(report: CodeReport) -> CodeReportRead:
    return CodeReportRead(
        **_names(report), **report.model_dump(include={"code", "kind", "text", "reported_at", "handled_at"})
    )


def show_alert(alert: Alert) -> AlertRead:
    facts = {"kind", "since", "open_days", "expected", "seen", "opened_at", "closed_at"}
    return AlertRead(**_names(alert), **alert.model_dump(include=facts))


@router.get("/code-reports", dependencies=[may(Right.CARE_READ, placed=True)])
def list_code_reports(
    actor: Actor,
    session: ReadSession,
    campaign_id: str | None = None,
    place_id: str | None = None,
    limit: Limit = 25,
    cursor: Cursor = None,
) -> Page:
    """What people reported of the organisation's codes, newest first: a sticker over one, a page that is odd.

    A key that is bound to places sees theirs alone.
    """
    place = places.place_by_name(session, actor.organisation_id, place_id).id if place_id else None
    if place is not None:
        actor.require_place(place)
    rows = care.list_reports(
        session,
        actor.organisation_id,
        campaign_id=_campaign(session, actor, campaign_id),
        place_id=place,
        among=actor.place_ids,
        before=before(cursor),
        limit=limit + 1,
    )
    return page(rows, limit, show_report, lambda one: one.id)


@router.post("/code-reports/{report_id}/handling", dependencies=[may(Right.CARE_WRITE, placed=True)])
def handle_code_report(report_id: str, actor: Actor, session: Session, now: Now) -> CodeReportRead:
    """Note that somebody looked at the code: the shop's page asks no more. Twice is once; the first time stands."""
    report = care.report_by_id(session, actor.organisation_id, ids.parse("rpt", report_id))
    actor.require_place(report.place_id, "report")
    return show_report(care.handle_report(session, report, now=now))


@router.get("/alerts", dependencies=[may(Right.CARE_READ, placed=True)])
def list_alerts(
    actor: Actor,
    session: ReadSession,
    campaign_id: str | None = None,
    is_open: Annotated[bool | None, Query(alias="open", description="true: the open ones; false: the closed")] = None,
    limit: Limit = 25,
    cursor: Cursor = None,
) -> Page:
    """Alerts, newest first. `scans_fell_off`: hardly anybody scans a code any more, while others are scanned as usual.

    An alert opens at the end of a day and closes by itself when scans return, or nobody is to scan the code any more.
    A key that is bound to places sees theirs alone.
    """
    rows = care.list_alerts(
        session,
        actor.organisation_id,
        campaign_id=_campaign(session, actor, campaign_id),
        is_open=is_open,
        among=actor.place_ids,
        before=before(cursor),
        limit=limit + 1,
    )
    return page(rows, limit, show_alert, lambda one: one.id)


@router.get("/cases", dependencies=[may(Right.CARE_READ, placed=True)])
def list_cases(actor: Actor, session: ReadSession, limit: Limit = 25, cursor: Cursor = None) -> Page:
    """What shoppers told the shops, newest first, with deadline and state. A key that is bound to places sees theirs.

    They are answered on the shop's phone and in the console.
    """
    rows = care.list_cases(
        session, actor.organisation_id, among=actor.place_ids, before=before(cursor), limit=limit + 1
    )
    return page(rows, limit, show_case, lambda one: one.id)


def _campaign(session: DbSession, actor: Acting, name: str | None) -> UUID | None:
    return planning.campaign_by_name(session, actor.organisation_id, name).id if name else None


def _names(row: CodeReport | Alert) -> dict[str, str]:
    """The ids of a row as the API shows them, of those it has."""
    shown = {
        "id": ids.show("alr" if isinstance(row, Alert) else "rpt", row.id),
        "token_id": ids.show("tok", row.token_id),
    }
    if row.campaign_id is not None:
        shown["campaign_id"] = ids.show("cmp", row.campaign_id)
    if row.place_id is not None:
        shown["place_id"] = ids.show("plc", row.place_id)
    return shown
