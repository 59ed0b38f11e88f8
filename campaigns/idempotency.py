"""Idempotency keys: the same key and body gets the same answer for 24 hours (I25)."""

import hashlib
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import LargeBinary, delete
from sqlmodel import Field, Session, SQLModel, col

from campaigns.errors import Conflict, Invalid
from campaigns.storage import insert_once

KEPT = timedelta(hours=24)
RUNNING = timedelta(minutes=2)  # after this a request that never answered is taken for dead


class IdempotentAnswer(SQLModel, table=True):
    """The answer to a POST, by organisation and key. `status` is null while it runs."""

    __tablename__ = "idempotent_answers"

    organisation_id: UUID = Field(foreign_key="organisations.id", primary_key=True)
    key: str = Field(primary_key=True)
    fingerprint: str
    started_at: datetime = Field(index=True)
    status: int | None = None
    body: bytes | None = Field(default=None, sa_type=LargeBinary)
    content_type: str | None = None
    location: str | None = None


def fingerprint(method: str, path: str, body: bytes, caller: UUID) -> str:
    """What makes two requests the same; `caller` is the API key that sends them."""
    return hashlib.sha256(b"\0".join((method.encode(), path.encode(), caller.bytes, body))).hexdigest()


def begin(session: Session, organisation_id: UUID, key: str, print_: str, *, now: datetime) -> IdempotentAnswer | None:
    """Claim a key: None to go ahead, else the stored answer. Invalid for another body, Conflict while it runs."""
    session.execute(delete(IdempotentAnswer).where(col(IdempotentAnswer.started_at) < now - KEPT))
    is_new = insert_once(
        session,
        IdempotentAnswer,
        organisation_id=organisation_id,
        key=key,
        fingerprint=print_,
        started_at=now,
    )
    if is_new:
        return None
    answer = session.get_one(IdempotentAnswer, (organisation_id, key), with_for_update=True)
    if answer.fingerprint != print_:
        raise Invalid("This Idempotency-Key was used with another request.", code="idempotency_key_reused")
    if answer.status is not None:
        return answer
    if now - answer.started_at < RUNNING:
        raise Conflict("The first request with this Idempotency-Key is still running.", code="still_running")
    answer.started_at = now
    session.add(answer)
    return None


def finish(
    session: Session,
    organisation_id: UUID,
    key: str,
    *,
    status: int,
    body: bytes,
    content_type: str | None,
    location: str | None = None,
) -> None:
    """Keep the answer."""
    answer = session.get(IdempotentAnswer, (organisation_id, key))
    if answer is not None:
        answer.status, answer.body, answer.content_type, answer.location = status, body, content_type, location
        session.add(answer)


def abandon(session: Session, organisation_id: UUID, key: str) -> None:
    """Free a key whose request failed: it may be tried again."""
    session.execute(
        delete(IdempotentAnswer).where(
            col(IdempotentAnswer.organisation_id) == organisation_id, col(IdempotentAnswer.key) == key
        )
    )
