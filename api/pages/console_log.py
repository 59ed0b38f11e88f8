"""The audit log at the console, in plain words, and what people report of codes."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse, Response, StreamingResponse
from pydantic import Field
from sqlmodel import Session as DbSession

from api import schemas
from api.audit_entries import AUTHORS, PREFIXES, AuditEntryRead, id_in_log, whole_log
from api.exports import csv_file, ndjson_file
from api.pages.console_names import Names
from api.pages.console_session import Form, Seat, member_may
from api.pagination import before
from api.policies import MEMBER
from campaigns import audit, care, identity, ids, reversals, scans
from campaigns.audit import AuditEntry, AuthorKind
from campaigns.care import Alert, CodeReport
from campaigns.errors import CampaignError
from campaigns.identity import Right

router = APIRouter(prefix="/console", include_in_schema=False, dependencies=[MEMBER])
ENTRIES_SHOWN = 50
REPORTS_SHOWN = 50
AUTHORS_SHOWN = 100  # members, and as many keys, to choose from
Auditor = Annotated[Seat, member_may(Right.AUDIT_READ)]
Carer = Annotated[Seat, member_may(Right.CARE_READ)]
Voider = Annotated[Seat, member_may(Right.SCANS_VOID)]
Handler = Annotated[Seat, member_may(Right.CARE_WRITE)]
Asked = Annotated[str, Query(max_length=80)]
_REFERENCES = {"_key_id": "api_key", "_member_id": "member", "place_id": "place", "campaign_id": "campaign"}


class VoidForm(schemas.Request):
    """Which scan does not count, and why."""

    scan_id: schemas.Text = Field(min_length=1, max_length=60)
    reason: schemas.Text = Field(min_length=1, max_length=500)


@dataclass(frozen=True)
class ChangeView:
    """One field of a change. `before` and `after` are text, numbers, yes or no, or None."""

    field: str
    has_before: bool
    before: Any
    after: Any


@dataclass(frozen=True)
class EntryView:
    """One entry: who, when, what of which thing."""

    at: datetime
    author_kind: str
    author_id: str
    author: str
    noun: str
    verb: str
    subject_id: str
    subject: str
    changes: list[ChangeView]


@dataclass(frozen=True)
class ReportView:
    """What somebody said of a code."""

    id: str
    code: str
    place: str
    kind: str
    text: str
    reported_at: datetime
    handled_at: datetime | None


@dataclass(frozen=True)
class AlertView:
    """A code that hardly anybody scans any more."""

    token: str
    place: str
    since: datetime
    expected: int
    seen: int


@router.get("/audit", response_class=HTMLResponse)
def show_log(seat: Auditor, author: Asked = "", subject: Asked = "", cursor: str | None = None) -> HTMLResponse:
    """Changes, newest first; of one thing or by one author if asked."""
    with seat.reading() as session:
        names = Names(session, seat.language)
        rows = audit.list_entries(
            session,
            seat.organisation.id,
            subject_id=id_in_log(subject or None),
            author_id=id_in_log(author or None),
            before=before(cursor),
            limit=ENTRIES_SHOWN + 1,
        )
        entries = [_entry(names, one) for one in rows[:ENTRIES_SHOWN]]
        authors = _authors(session, seat)
    more = ids.show("cur", rows[ENTRIES_SHOWN - 1].id) if len(rows) > ENTRIES_SHOWN else ""
    return seat.page("console_audit.html", entries=entries, authors=authors, author=author, subject=subject, more=more)


@router.get("/audit.csv", response_class=StreamingResponse)
def export_csv(seat: Auditor) -> StreamingResponse:
    """The whole log as CSV, newest first, streamed."""
    return csv_file(
        "audit", list(AuditEntryRead.model_fields), whole_log(seat.core, seat.organisation.id, as_text=True)
    )


@router.get("/audit.ndjson", response_class=StreamingResponse)
def export_ndjson(seat: Auditor) -> StreamingResponse:
    """The whole log, newest first, one JSON object a line, streamed."""
    return ndjson_file("audit", whole_log(seat.core, seat.organisation.id, as_text=False))


@router.get("/reports", response_class=HTMLResponse)
def show_reports(seat: Carer, cursor: str | None = None) -> HTMLResponse:
    """Codes that people reported, and codes that fell silent; who may, voids a scan here."""
    return _reports(seat, cursor)


def _reports(
    seat: Seat, cursor: str | None, *, error: CampaignError | None = None, scan_id: str = "", reason: str = ""
) -> HTMLResponse:
    with seat.reading() as session:
        names, owner = Names(session, seat.language), seat.organisation.id
        rows = care.list_reports(session, owner, before=before(cursor), limit=REPORTS_SHOWN + 1)
        alerts = care.list_alerts(session, owner, is_open=True, before=None, limit=REPORTS_SHOWN)
        context: dict[str, Any] = {
            "reports": [_report(names, one) for one in rows[:REPORTS_SHOWN]],
            "alerts": [_alert(names, one) for one in alerts],
        }
    more = ids.show("cur", rows[REPORTS_SHOWN - 1].id) if len(rows) > REPORTS_SHOWN else ""
    return seat.page("console_reports.html", error=error, more=more, scan_id=scan_id, reason=reason, **context)


@router.post("/reports/{report_id}/handling")
def handle_report(seat: Handler, form: Form, report_id: str) -> Response:
    """Note that somebody looked at the code. Twice is once."""
    with seat.writing() as session:
        report = care.report_by_id(session, seat.organisation.id, ids.parse("rpt", report_id))
        care.handle_report(session, report, now=seat.now)
    return seat.see("/console/reports", done="handled")


@router.post("/scans/void")
def void_scan(seat: Voider, form: Form) -> Response:
    """Void a scan by its id, with all that rests on it; once. What was typed stays when it is not taken."""
    try:
        asked: VoidForm = form.read(VoidForm)
        with seat.core.database.between_rounds(author=seat.author) as session:
            scan = scans.scan_of(session, seat.organisation.id, ids.parse("scn", asked.scan_id.strip()))
            secret = seat.core.keyring.ballot_secret
            reversals.void_scan(
                session, seat.organisation.id, scan, reason=asked.reason, ballot_secret=secret, now=seat.now
            )
    except CampaignError as error:
        return _reports(seat, None, error=error, scan_id=form["scan_id"][:60], reason=form["reason"][:500])
    return seat.see("/console/reports", done="voided")


def _authors(session: DbSession, seat: Seat) -> list[tuple[str, str]]:
    """Whose entries may be asked for: id and name of members and keys."""
    owner = seat.organisation.id
    members = identity.list_members(session, owner, before=None, limit=AUTHORS_SHOWN)
    keys = identity.list_keys(session, owner, before=None, limit=AUTHORS_SHOWN)
    return [(ids.show("mbr", one.id), one.name) for one in members] + [
        (ids.show("key", one.id), one.name or f"{one.prefix}…") for one in keys
    ]


def _entry(names: Names, entry: AuditEntry) -> EntryView:
    noun, _, verb = entry.action.partition(".")
    kind = AuthorKind(entry.author_kind)
    is_known = entry.author_id is not None and kind in AUTHORS
    return EntryView(
        at=entry.recorded_at,
        author_kind=entry.author_kind,
        author_id=ids.show(AUTHORS[kind], entry.author_id) if is_known and entry.author_id else "",
        author=names.author(entry),
        noun=noun,
        verb=verb,
        subject_id=ids.show(PREFIXES.get(noun, "id"), entry.subject_id),
        subject=names.of(noun, entry.subject_id),
        changes=[_change(names, field, pair) for field, pair in entry.changes.items() if not field.startswith("_")],
    )


def _change(names: Names, field: str, pair: list[Any]) -> ChangeView:
    values = [_readable(names, field, one) for one in pair]
    return ChangeView(
        field, has_before=len(values) > 1, before=values[0] if len(values) > 1 else None, after=values[-1]
    )


def _readable(names: Names, field: str, value: Any) -> Any:
    """A stored value as people read it: names instead of ids, instants as instants."""
    if isinstance(value, list):
        return ", ".join(str(_readable(names, field.removesuffix("s"), one)) for one in value)
    if isinstance(value, dict):
        return ", ".join(f"{name}: {one}" if name else str(one) for name, one in value.items())
    if not isinstance(value, str):
        return value
    if field.endswith("_at"):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            return value
    noun = next((noun for suffix, noun in _REFERENCES.items() if field.endswith(suffix)), None)
    if noun is None:
        return value
    try:
        return names.of(noun, UUID(value)) or value
    except ValueError:
        return value


def _report(names: Names, report: CodeReport) -> ReportView:
    fields = {"code", "kind", "text", "reported_at", "handled_at"}
    place = names.place(report.place_id)
    return ReportView(id=ids.show("rpt", report.id), place=place, **report.model_dump(include=fields))


def _alert(names: Names, alert: Alert) -> AlertView:
    return AlertView(
        token=names.of("token", alert.token_id),
        place=names.place(alert.place_id),
        since=alert.since,
        expected=round(alert.expected),
        seen=alert.seen,
    )
