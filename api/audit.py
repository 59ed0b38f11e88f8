"""The audit log: who changed what, when, from what to what."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from api.dependencies import Core, ReadSession, Services
from api.exports import csv_file, ndjson_file
from api.pagination import Cursor, Limit, Page, before, page
from api.policies import Actor, may
from campaigns import audit, ids
from campaigns.audit import AuditEntry, AuthorKind
from campaigns.errors import NotFound
from campaigns.identity import Right

router = APIRouter(prefix="/v1/audit", tags=["audit"])
# noun of an action -> prefix of its id
PREFIXES = {
    "organisation": "org",
    "member": "mbr",
    "sign_in_link": "sil",
    "member_session": "mse",
    "api_key": "key",
    "approval": "apr",
    "place": "plc",
    "staff_link": "stl",
    "staff_session": "ses",
    "campaign": "cmp",
    "target": "tgt",
    "mission": "mis",
    "step": "stp",
    "token": "tok",
    "token_batch": "tbt",
    "tag_key_set": "tks",
    "tag_writing": "twr",
    "code_report": "rpt",
    "job": "job",
}
AUTHORS = {AuthorKind.MEMBER: "mbr", AuthorKind.KEY: "key", AuthorKind.STAFF: "ses"}
CHUNK = 500  # entries read at a time
Asked = Annotated[str | None, Query(max_length=80)]


class AuditEntryRead(BaseModel):
    """One change. `changes`: field -> [before, after]; of what is new [value]."""

    id: str
    recorded_at: datetime
    author_kind: AuthorKind
    author_id: str | None
    action: str
    subject_id: str
    changes: dict[str, list[Any]]


def show(entry: AuditEntry) -> AuditEntryRead:
    noun = entry.action.partition(".")[0]
    kind = AuthorKind(entry.author_kind)
    return AuditEntryRead(
        id=ids.show("aud", entry.id),
        author_id=ids.show(AUTHORS[kind], entry.author_id) if entry.author_id and kind in AUTHORS else None,
        subject_id=ids.show(PREFIXES.get(noun, "id"), entry.subject_id),
        **entry.model_dump(include={"recorded_at", "author_kind", "action", "changes"}),
    )


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
        subject_id=_any_id(subject_id),
        author_id=_any_id(author_id),
        before=before(cursor),
        limit=limit + 1,
    )
    return page(rows, limit, show, lambda one: one.id)


@router.get("/export.csv", dependencies=[may(Right.AUDIT_READ)], response_class=StreamingResponse)
def export_csv(actor: Actor, core: Core) -> StreamingResponse:
    """The whole log as CSV, newest first, streamed; `changes` is JSON."""
    return csv_file("audit", list(AuditEntryRead.model_fields), _pages(core, actor.organisation_id, as_text=True))


@router.get("/export.ndjson", dependencies=[may(Right.AUDIT_READ)], response_class=StreamingResponse)
def export_ndjson(actor: Actor, core: Core) -> StreamingResponse:
    """The whole log, newest first, one JSON object a line, streamed."""
    return ndjson_file("audit", _pages(core, actor.organisation_id, as_text=False))


def _pages(core: Services, organisation_id: UUID, *, as_text: bool) -> Iterator[list[dict[str, Any]]]:
    """The log page by page, each read by itself: an export of any length holds no snapshot open."""
    last: UUID | None = None
    while True:
        with core.database.snapshot() as session:
            rows = audit.list_entries(session, organisation_id, before=last, limit=CHUNK)
        page_of_log = [show(row).model_dump(mode="json") for row in rows]
        if as_text:
            page_of_log = [_flat(one) for one in page_of_log]
        yield page_of_log
        if len(rows) < CHUNK:
            return
        last = rows[-1].id


def _flat(shown: dict[str, Any]) -> dict[str, Any]:
    changes = json.dumps(shown["changes"], ensure_ascii=False)
    return {name: "" if value is None else str(value) for name, value in shown.items()} | {"changes": changes}


def _any_id(name: str | None) -> UUID | None:
    if name is None:
        return None
    prefix = name.partition("_")[0]
    if prefix not in {*PREFIXES.values(), *AUTHORS.values()}:
        raise NotFound("There is nothing with that id in the log.")
    return ids.parse(prefix, name)
