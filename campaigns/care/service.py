"""Taking reports of codes, listing them and the alerts, and saying what a shop should look at."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import func, update
from sqlmodel import Session, col, select

from campaigns import audit, clock
from campaigns.care.models import Alert, CodeReport, CodeReportDay, ReportKind
from campaigns.errors import Invalid, NotFound, TooMany
from campaigns.events import record_event
from campaigns.ids import NIL, uuid7_at
from campaigns.storage import changed, insert_once, newest, upsert
from campaigns.tokens.directory import Entry

TEXT_LIMIT = 500  # characters
REPORTS_A_DAY = 50  # of one code, whoever sends them; those of all codes that are not ours count as one code's
FRESH = timedelta(days=14)  # as long a shop is asked to look at what was reported

log = logging.getLogger("passerelle.care")


class Reported(NamedTuple):
    """A report; `is_replay` when this person had reported the code already that day, and the first one stands."""

    report: CodeReport
    is_replay: bool


class Complaint(NamedTuple):
    """How many people reported a code and were not answered yet, and since when."""

    people: int
    since: datetime


def report_code(
    session: Session, entry: Entry | None, *, code: str, kind: ReportKind, text: str, reporter_key: int, now: datetime
) -> Reported:
    """Keep what a person says is wrong with a code, once a code, person and UTC day.

    `entry` is None for a code that is not ours: its report belongs to no organisation and is told on the log.
    Invalid for a text above 500 characters; TooMany beyond fifty reports of a code on one day.
    """
    words = tidy(text)
    day = clock.day_of(now)
    fields: dict[str, Any] = {
        "organisation_id": entry.campaign.organisation_id if entry else None,
        "campaign_id": entry.campaign.id if entry else None,
        "token_id": entry.token_id if entry else NIL,
        "place_id": entry.place_id if entry else None,
    }
    id = uuid7_at(now)
    said = {"code": code, "kind": kind.value, "text": words, "day": day, "reporter_key": reporter_key}
    if not insert_once(session, CodeReport, id=id, reported_at=now, handled_at=None, **fields, **said):
        return Reported(_report_of(session, fields["token_id"], day, reporter_key), True)
    _count(session, fields["token_id"], day)
    if entry is None:
        log.warning("a code that is not ours was reported as %s: %s", kind.value, code)
    else:
        record_event(session, "code.reported", now=now, report_id=id, token_id=entry.token_id)
    return Reported(session.get_one(CodeReport, id), False)


def tidy(text: str) -> str:
    """The text with one kind of line break. Invalid when it is longer than 500 characters."""
    words = "\n".join(text.strip().splitlines())
    if len(words) > TEXT_LIMIT:
        raise Invalid(
            f"A report has at most {TEXT_LIMIT} characters; this one has {len(words)}.",
            pointer="/text",
            code="report_too_long",
        )
    return words


def report_by_id(session: Session, organisation_id: UUID, report_id: UUID) -> CodeReport:
    """The organisation's report; NotFound for another's."""
    report = session.get(CodeReport, report_id)
    if report is None or report.organisation_id != organisation_id:
        raise NotFound("There is no such report.")
    return report


def handle_report(session: Session, report: CodeReport, *, now: datetime) -> CodeReport:
    """Note that somebody looked at it. Twice is once: the first time stands."""
    mark = update(CodeReport).where(col(CodeReport.id) == report.id, col(CodeReport.handled_at).is_(None))
    if changed(session, mark.values(handled_at=now)):
        record_event(session, "code_report.handled", now=now, report_id=report.id)
        was = {"handled_at": [None, now]}
        owner = report.organisation_id
        audit.note(session, "code_report.changed", report.id, organisation_id=owner, changes=was, now=now)
    return session.get_one(CodeReport, report.id, populate_existing=True)


def list_reports(
    session: Session,
    organisation_id: UUID,
    *,
    campaign_id: UUID | None = None,
    place_id: UUID | None = None,
    among: frozenset[UUID] | None = None,
    before: UUID | None,
    limit: int,
) -> Sequence[CodeReport]:
    """Newest first, older than `before`; of certain places alone if asked."""
    query = select(CodeReport).where(CodeReport.organisation_id == organisation_id)
    if campaign_id is not None:
        query = query.where(CodeReport.campaign_id == campaign_id)
    if place_id is not None:
        query = query.where(CodeReport.place_id == place_id)
    if among is not None:
        query = query.where(col(CodeReport.place_id).in_(among))
    return newest(session, query, CodeReport, before=before, limit=limit)


def complaints(session: Session, place_id: UUID, *, now: datetime) -> dict[UUID, Complaint]:
    """The codes of a place that people reported in the last two weeks and nobody has looked at yet, by token."""
    rows = session.execute(
        select(col(CodeReport.token_id), func.count(), func.min(col(CodeReport.reported_at)))
        .where(
            col(CodeReport.place_id) == place_id,
            col(CodeReport.handled_at).is_(None),
            col(CodeReport.reported_at) >= now - FRESH,
        )
        .group_by(col(CodeReport.token_id))
    )
    return {token_id: Complaint(people, since) for token_id, people, since in rows}


def list_alerts(
    session: Session,
    organisation_id: UUID,
    *,
    campaign_id: UUID | None = None,
    is_open: bool | None = None,
    among: frozenset[UUID] | None = None,
    before: UUID | None,
    limit: int,
) -> Sequence[Alert]:
    """Newest first, older than `before`; the open ones, the closed ones, or both; of certain places alone if asked."""
    query = select(Alert).where(Alert.organisation_id == organisation_id)
    if campaign_id is not None:
        query = query.where(Alert.campaign_id == campaign_id)
    if is_open is not None:
        closed_at = col(Alert.closed_at)
        query = query.where(closed_at.is_(None) if is_open else closed_at.is_not(None))
    if among is not None:
        query = query.where(col(Alert.place_id).in_(among))
    return newest(session, query, Alert, before=before, limit=limit)


def open_alerts(session: Session, place_id: UUID) -> dict[UUID, Alert]:
    """The open alerts of a place, by token."""
    found = session.exec(select(Alert).where(Alert.place_id == place_id, col(Alert.closed_at).is_(None)))
    return {alert.token_id: alert for alert in found}


def _report_of(session: Session, token_id: UUID, day: int, reporter_key: int) -> CodeReport:
    return session.exec(
        select(CodeReport).where(
            CodeReport.token_id == token_id, CodeReport.day == day, CodeReport.reporter_key == reporter_key
        )
    ).one()


def _count(session: Session, token_id: UUID, day: int) -> None:
    insert = upsert(session, CodeReportDay).values(token_id=token_id, day=day, reports=1)
    counted = changed(
        session,
        insert.on_conflict_do_update(
            index_elements=["token_id", "day"],
            set_={"reports": col(CodeReportDay.reports) + 1},
            where=col(CodeReportDay.reports) < REPORTS_A_DAY,
        ),
    )
    if not counted:
        raise TooMany(
            "This code was reported many times today already. Thank you.", code="reported", retry_after_s=3600
        )
