"""Keeping many places at once: made, or changed to what a list says, by their `external_id`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlmodel import Session, col, select

from campaigns import audit
from campaigns.ids import uuid7_at
from campaigns.places.models import Place
from campaigns.places.service import change_place
from campaigns.storage import insert_once

CHUNK = 200  # places a transaction: every scan on SQLite waits for it


@dataclass
class Kept:
    """How many places were made, were changed, and were so already."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0


def keep_places(
    session: Session, organisation_id: UUID, rows: Sequence[dict[str, Any]], *, now: datetime, dry_run: bool, kept: Kept
) -> None:
    """Make or change places, and count them in `kept`; a dry run only counts. The rows are valid, their ids different.

    What a row does not name stays as it is, and is the default of a new place. A row without `external_id` is new.
    """
    names = [row["external_id"] for row in rows if row.get("external_id")]
    found = _by_external_id(session, organisation_id, names)
    for row in rows:
        place = found.get(row.get("external_id"))
        if place is None and (dry_run or _create(session, organisation_id, row, now=now)):
            kept.created += 1
            continue
        if place is None:  # another import was faster
            place = _by_external_id(session, organisation_id, [row["external_id"]])[row["external_id"]]
        changes = {name: value for name, value in row.items() if getattr(place, name) != value}
        kept.updated += bool(changes)
        kept.unchanged += not changes
        if changes and not dry_run:
            change_place(session, place, now=now, **changes)


def _by_external_id(session: Session, organisation_id: UUID, names: Sequence[str]) -> dict[str | None, Place]:
    query = select(Place).where(Place.organisation_id == organisation_id, col(Place.external_id).in_(names))
    return {place.external_id: place for place in session.exec(query)}


def _create(session: Session, organisation_id: UUID, row: dict[str, Any], *, now: datetime) -> bool:
    defaults: dict[str, Any] = {"radius_m": 100, "address": None, "opening_hours": None, "external_id": None}
    instants = {"created_at": now, "changed_at": now}
    fields = {**defaults, **row, **instants}
    id = uuid7_at(now)
    if not insert_once(session, Place, id=id, organisation_id=organisation_id, **fields):
        return False
    audit.note_new(session, "place", id, {"organisation_id": organisation_id, **fields}, now=now)
    return True
