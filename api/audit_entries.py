"""Entries of the audit log as the API and the console show them, and the whole log in pages."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from api.dependencies import Services
from campaigns import audit, ids
from campaigns.audit import AuditEntry, AuthorKind
from campaigns.errors import NotFound

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
    "alert_threshold": "alt",
    "report": "rep",
    "mission": "mis",
    "moderation_act": "mod",
    "idea_decision": "dec",
    "case": "cas",
    "step": "stp",
    "scan": "scn",
    "external_act": "xac",
    "token": "tok",
    "token_batch": "tbt",
    "tag_key_set": "tks",
    "tag_writing": "twr",
    "code_report": "rpt",
    "cost": "cst",
    "holdout": "hld",
    "job": "job",
    "webhook": "whk",
    "webhook_delivery": "dlv",
}
AUTHORS = {AuthorKind.MEMBER: "mbr", AuthorKind.KEY: "key", AuthorKind.STAFF: "ses"}
CHUNK = 500  # entries read at a time


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


def whole_log(core: Services, organisation_id: UUID, *, as_text: bool) -> Iterator[list[dict[str, Any]]]:
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


def id_in_log(name: str | None) -> UUID | None:
    """The id behind what the log shows of an object or an author. NotFound for what it never shows."""
    if name is None:
        return None
    prefix = name.partition("_")[0]
    if prefix not in {*PREFIXES.values(), *AUTHORS.values()}:
        raise NotFound("There is nothing with that id in the log.")
    return ids.parse(prefix, name)
