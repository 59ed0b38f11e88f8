"""The audit log: who changed what, when, from what to what."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from api.audit_entries import AuditEntryRead, id_in_log, show, whole_log
from api.dependencies import Core, ReadSession
from api.exports import csv_file, ndjson_file
from api.pagination import Cursor, Limit, Page, before, page
from api.policies import Actor, may
from campaigns import audit
from campaigns.identity import Right

router = APIRouter(prefix="/v1/audit", tags=["audit"])
Asked = Annotated[str | None, Query(max_length=80)]


@router.get("", dependencies=[may(Right.AUDIT_READ)])
def list_entries(
    actor: Actor,
    session: ReadSession,
    subject_id: Asked = None,
    author_id: Asked = None,
    limit: Limit = 25,
    cursor: Cursor = None,
) -> Page:
    """Changes, newest first; of one object (`subject_id`) or by one author (`author_id`) if asked."""
    rows = audit.list_entries(
        session,
        actor.organisation_id,
        subject_id=id_in_log(subject_id),
        author_id=id_in_log(author_id),
        before=before(cursor),
        limit=limit + 1,
    )
    return page(rows, limit, show, lambda one: one.id)


@router.get("/export.csv", dependencies=[may(Right.AUDIT_READ)], response_class=StreamingResponse)
def export_csv(actor: Actor, core: Core) -> StreamingResponse:
    """The whole log as CSV, newest first, streamed; `changes` is JSON."""
    return csv_file("audit", list(AuditEntryRead.model_fields), whole_log(core, actor.organisation_id, as_text=True))


@router.get("/export.ndjson", dependencies=[may(Right.AUDIT_READ)], response_class=StreamingResponse)
def export_ndjson(actor: Actor, core: Core) -> StreamingResponse:
    """The whole log, newest first, one JSON object a line, streamed."""
    return ndjson_file("audit", whole_log(core, actor.organisation_id, as_text=False))
