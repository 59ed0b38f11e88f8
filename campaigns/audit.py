"""The audit log: every change of what an organisation owns, by whom, when, from what to what.

A table says with `__audit__` that it is audited; what a session writes of it through its objects is noted by itself, in
the same transaction. Statements that go past the objects call `note`. The log grows only: triggers on both databases
refuse UPDATE, and DELETE before its term. It holds ids and what members typed, never anything of a shopper's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import event, inspect
from sqlalchemy.orm import Session as OrmSession
from sqlmodel import Field, Index, Session, SQLModel, select

from campaigns import clock
from campaigns.ids import uuid7_at
from campaigns.storage import Row, json_column, newest, store

KEPT = timedelta(days=5 * 365)  # what accounts are commonly kept for; the triggers know it too
LONGEST = 300  # characters of a value: the log says what changed, it is no backup


class AuthorKind(StrEnum):
    """Who made a change: a member in the console, a key, a shop's phone, the command line, or Passerelle itself."""

    MEMBER = "member"
    KEY = "key"
    STAFF = "staff"
    OPERATOR = "operator"
    SYSTEM = "system"


@dataclass(frozen=True)
class Author:
    """Who makes the changes of a session."""

    kind: AuthorKind
    id: UUID | None = None


@dataclass(frozen=True)
class Audit:
    """What `__audit__` of a table says: its noun, and the columns whose values stay out of the log.

    `hidden` columns are noted as changed, without values; `silent` ones make no entry. `path` names the columns that
    lead to the organisation when the table has none itself.
    """

    noun: str
    hidden: frozenset[str] = frozenset()
    silent: frozenset[str] = frozenset({"changed_at"})
    only_changes: bool = False  # shoppers make its rows: what members change of them is noted, not that they came
    path: tuple[str, ...] = ()


class AuditEntry(Row, table=True):
    """One change. `changes` maps each field to its value before and after; a row that is new has only values after."""

    __tablename__ = "audit_entries"
    __table_args__ = (
        Index("ix_audit_entries_organisation_id_id", "organisation_id", "id"),
        Index("ix_audit_entries_subject_id_id", "subject_id", "id"),
    )

    organisation_id: UUID | None = None
    recorded_at: datetime = Field(index=True)
    author_kind: str
    author_id: UUID | None = None
    action: str = Field(description="`place.created`, `campaign.changed`, `target.removed`")
    subject_id: UUID
    changes: dict[str, list[Any]] = json_column()


_NOT_NOTED = frozenset({"changed_at", "sealed_keys", "secret_hash"})
SYSTEM = Author(AuthorKind.SYSTEM)
OPERATOR = Author(AuthorKind.OPERATOR)


def note(
    session: Session,
    action: str,
    subject_id: UUID,
    *,
    organisation_id: UUID | None,
    changes: dict[str, list[Any]] | None = None,
    now: datetime,
) -> None:
    """Write an entry by hand, for a change that no object of the session shows."""
    author = _author(session)
    store(
        session,
        AuditEntry,
        id=uuid7_at(now),
        organisation_id=organisation_id,
        recorded_at=now,
        author_kind=author.kind.value,
        author_id=author.id,
        action=action,
        subject_id=subject_id,
        changes={name: [plain(one) for one in pair] for name, pair in (changes or {}).items()},
    )


def note_new(session: Session, noun: str, id: UUID, fields: Mapping[str, Any], *, now: datetime) -> None:
    """Note a row that was made past the objects of the session. `fields` has its organisation."""
    given = {name: [one] for name, one in fields.items() if one is not None and name not in _NOT_NOTED}
    note(session, f"{noun}.created", id, organisation_id=fields["organisation_id"], changes=given, now=now)


def list_entries(
    session: Session,
    organisation_id: UUID,
    *,
    subject_id: UUID | None = None,
    author_id: UUID | None = None,
    before: UUID | None,
    limit: int,
) -> Sequence[AuditEntry]:
    """Entries of an organisation, newest first; of one object or by one author if asked."""
    query = select(AuditEntry).where(AuditEntry.organisation_id == organisation_id)
    if subject_id is not None:
        query = query.where(AuditEntry.subject_id == subject_id)
    if author_id is not None:
        query = query.where(AuditEntry.author_id == author_id)
    return newest(session, query, AuditEntry, before=before, limit=limit)


def plain(value: Any) -> Any:
    """A value as JSON keeps it, long texts cut."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID):
        return value.hex
    if isinstance(value, list | tuple):
        return [plain(one) for one in value][:50]
    if isinstance(value, dict):
        return {str(name): plain(one) for name, one in list(value.items())[:50]}
    text = value.value if isinstance(value, StrEnum) else str(value)
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"


def _author(session: OrmSession) -> Author:
    author = session.info.get("author")
    found = author() if callable(author) else author
    return found if isinstance(found, Author) else SYSTEM


def _note_flushed(session: OrmSession, _: object) -> None:
    """Note what a flush wrote. Its statements have run, and the objects still know what they were."""
    rows: list[dict[str, Any]] = []
    author: Author | None = None
    kinds = (("created", session.new), ("changed", session.dirty), ("removed", session.deleted))
    for verb, objects in kinds:
        for one in objects:
            audit = getattr(type(one), "__audit__", None)
            if not isinstance(audit, Audit) or (audit.only_changes and verb == "created"):
                continue
            changes = _changes(one, audit, verb)
            if not changes:
                continue
            author = author or _author(session)
            now = clock.utc_now()
            rows.append(
                {
                    "id": uuid7_at(now),
                    "organisation_id": _organisation_of(session, one, audit),
                    "recorded_at": now,
                    "author_kind": author.kind.value,
                    "author_id": author.id,
                    "action": f"{audit.noun}.{verb}",
                    "subject_id": one.id,
                    "changes": changes,
                }
            )
    if rows:
        session.connection().execute(AuditEntry.__table__.insert(), rows)  # type: ignore[attr-defined]  # SQLModel does not type it


def _changes(one: Any, audit: Audit, verb: str) -> dict[str, list[Any]]:
    changes: dict[str, list[Any]] = {}
    for attribute in inspect(one).attrs:
        name = attribute.key
        if name == "id" or name in audit.silent:
            continue
        history = attribute.history
        if verb == "changed" and not history.has_changes():
            continue
        if verb == "created" and attribute.value is None:
            continue
        if name in audit.hidden:
            changes[name] = ["(hidden)"]
        elif verb == "created":
            changes[name] = [plain(attribute.value)]
        elif verb == "removed":
            changes[name] = [plain(attribute.value), None]
        else:
            changes[name] = [plain(history.deleted[0]) if history.deleted else None, plain(attribute.value)]
    return changes


def _organisation_of(session: OrmSession, one: Any, audit: Audit) -> UUID | None:
    """Whose change it is: the row's own organisation, or that of the row it hangs on."""
    if audit.noun == "organisation":
        return one.id  # type: ignore[no-any-return]  # an Organisation
    found = getattr(one, "organisation_id", None)
    key: Any = one
    for column in audit.path:
        if found is not None:
            break
        table = _table_of(key, column)
        parent = getattr(key, column)
        with session.no_autoflush:
            key = session.get(table, parent) if parent is not None else None
        found = getattr(key, "organisation_id", None)
    return found


def _table_of(one: Any, column: str) -> Any:
    (reference,) = type(one).__table__.c[column].foreign_keys
    target = reference.column.table
    return next(m.class_ for m in SQLModel._sa_registry.mappers if m.local_table is target)


event.listen(Session, "after_flush", _note_flushed)
