"""Key sets: the keys that a batch of NTAG 424 DNA tags shares, given once and named by their id from then on."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlmodel import Session, select

from campaigns import audit
from campaigns.errors import NotFound
from campaigns.events import record_event
from campaigns.ids import uuid7_at
from campaigns.storage import find_own, insert_once, newest
from campaigns.tokens.models import TagKeySet, TagPlan


def keep_key_set(session: Session, organisation_id: UUID, plan: TagPlan, *, label: str, now: datetime) -> TagKeySet:
    """Keep the sealed keys of a plan, whose `uid` plays no part."""
    id = uuid7_at(now)
    fields = {
        "organisation_id": organisation_id,
        "label": label,
        "sealed_keys": plan.sealed_keys,
        "mode": plan.mode.value,
        "mac_input": plan.mac_input.value,
        "diversifier": plan.diversifier.hex() if plan.diversifier else None,
        "created_at": now,
    }
    insert_once(session, TagKeySet, id=id, **fields)
    audit.note_new(session, "tag_key_set", id, fields, now=now)
    record_event(session, "tag_key_set.kept", now=now, tag_key_set_id=id)
    return session.get_one(TagKeySet, id)


def key_set_by_id(session: Session, organisation_id: UUID, key_set_id: UUID) -> TagKeySet:
    """The organisation's key set; NotFound for another's."""
    found = find_own(session, TagKeySet, organisation_id, key_set_id)
    if found is None:
        raise NotFound("There is no such set of tag keys.")
    return found


def list_key_sets(session: Session, organisation_id: UUID, *, before: UUID | None, limit: int) -> Sequence[TagKeySet]:
    """Newest first, older than `before`."""
    query = select(TagKeySet).where(TagKeySet.organisation_id == organisation_id)
    return newest(session, query, TagKeySet, before=before, limit=limit)
