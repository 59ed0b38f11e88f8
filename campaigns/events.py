"""The outbox: write the fact and its event in one transaction; everything else reacts after the commit (I24)."""

import json
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlmodel import Field, Session, col, select

from campaigns import prepared
from campaigns.ids import uuid7_at
from campaigns.last_writes import store_last
from campaigns.storage import Row


class Event(Row, table=True):
    """Something that happened: ids only, never personal data. Deleted by the transaction that reacted to it."""

    __tablename__ = "events"

    name: str
    payload: str = Field(description="JSON: ids and small facts")
    recorded_at: datetime
    attempts: int = 0
    retry_at: datetime | None = Field(default=None, index=True)
    error: str | None = None

    @property
    def facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads(self.payload)
        return facts


_FIRST = select(col(Event.id)).limit(1)


def is_any_waiting(session: Session) -> bool:
    """Whether the outbox holds an event, due or not."""
    return prepared.row(session, _FIRST) is not None


def record_event(session: Session, name: str, *, now: datetime, **facts: Any) -> None:
    """Write an event, `noun.past_participle`, to be published if and only if this transaction commits."""
    payload = json.dumps({key: value.hex if isinstance(value, UUID) else value for key, value in facts.items()})
    store_last(session, Event, id=uuid7_at(now), name=name, payload=payload, recorded_at=now, attempts=0)
