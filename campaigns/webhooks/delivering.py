"""Sending messages from the worker: a webhook at a time and under a lease, its messages one after the other.

A message is sent outside any transaction and noted right after. Only who dies between the two sends it again, when the
lease has run out, under the same `webhook-id`. One receiver that hangs holds up a sender for one attempt, then rests:
the others go on. No address and no body is in any log.
"""

import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, exists, select, update
from sqlmodel import Session, col

from campaigns import audit, prepared
from campaigns.sealing import Keyring
from campaigns.storage import Database, columns_of
from campaigns.webhooks.models import DeliveryState, Off, Webhook, WebhookDelivery
from campaigns.webhooks.outbound import Line, Outbound, Outcome
from campaigns.webhooks.signing import message_id, signed_headers

A_HOLD = 25  # messages sent to a webhook before the others have their turn
LEASE = timedelta(seconds=60)  # renewed with each message; longer than an attempt with its look-up
REST = timedelta(seconds=30)  # of a receiver that does not answer at all, before the next message to it
# After an attempt that failed: the schedule of Standard Webhooks, three days in all.
PAUSES = tuple(
    timedelta(seconds=seconds) for seconds in (5, 5 * 60, 30 * 60, *(hours * 3600 for hours in (2, 5, 10, 14, 20, 24)))
)
JITTER = 0.2  # at most this much of a pause is added to it, so that what failed together does not come back together
LONGEST_WAIT = timedelta(hours=24)  # of what a receiver may ask for with Retry-After
FAILING_FOR = timedelta(days=5)  # then it is switched off
FORGOTTEN = timedelta(hours=36)  # a failure longer ago than that is no part of the present ones: nothing was sent since
_GONE = 410

log = logging.getLogger("passerelle.webhooks")


@dataclass(frozen=True)
class Sender:
    """What sending takes: how requests leave, the keys, a clock, and a number from 0 to 1 for each pause."""

    outbound: Outbound
    keyring: Keyring
    clock: Callable[[], datetime]
    chance: Callable[[], float] = random.random


def pause_after(attempt: int, *, chance: float, retry_after_s: int | None = None) -> timedelta | None:
    """How long to wait after a failed attempt, counted from 1; None after the last. A receiver may ask for longer."""
    if attempt > len(PAUSES):
        return None
    pause = PAUSES[attempt - 1] * (1 + JITTER * chance)
    return max(pause, min(timedelta(seconds=retry_after_s or 0), LONGEST_WAIT))


def deliver(database: Database, sender: Sender, *, by: UUID) -> bool:
    """Send what is due to the webhook that waited longest; whether there was one."""
    now = sender.clock()
    with database.snapshot() as session:  # mostly nothing is due: nobody waits for that on SQLite
        if prepared.row(session, _WAITING, now=now) is None:
            return False
    with database.transaction() as session:
        webhook = _hold(session, by, now)
        messages = _due(session, webhook.id, now) if webhook is not None else []
    if webhook is None:
        return False
    rest = timedelta()
    with sender.outbound.line(webhook.url) as line:
        for message in messages:
            outcome = _send(line, sender, webhook, message)
            with database.transaction() as session:
                goes_on = _note(session, webhook.id, message, outcome, by=by, sender=sender)
            rest = _rest_after(outcome)
            if rest or not goes_on:
                break
    with database.transaction() as session:
        _free(session, webhook.id, by, sender.clock() + rest)
    return True


def _waiting() -> Any:
    """The webhooks that have something due `now` and are free, who waited longest first."""
    now = bindparam("now", type_=columns_of(Webhook).free_at.type)
    due = exists().where(col(WebhookDelivery.webhook_id) == col(Webhook.id), col(WebhookDelivery.due_at) <= now)
    free = (col(Webhook.switched_off_at).is_(None), col(Webhook.free_at) <= now, due)
    return select(col(Webhook.id)).where(*free).order_by(col(Webhook.free_at), col(Webhook.id)).limit(1)


_WAITING = _waiting()  # built once: three senders ask each second, and mostly in vain


def _hold(session: Session, by: UUID, now: datetime) -> Webhook | None:
    id = session.execute(_WAITING.with_for_update(skip_locked=True, key_share=True, of=Webhook), {"now": now}).scalar()
    if id is None:
        return None
    held = update(Webhook).where(col(Webhook.id) == id).values(held_by=by, free_at=now + LEASE).returning(Webhook)
    return session.scalars(held, execution_options={"populate_existing": True}).first()


def _due(session: Session, webhook_id: UUID, now: datetime) -> Sequence[WebhookDelivery]:
    query = select(WebhookDelivery).where(
        col(WebhookDelivery.webhook_id) == webhook_id, col(WebhookDelivery.due_at) <= now
    )
    oldest = query.order_by(col(WebhookDelivery.due_at), col(WebhookDelivery.id)).limit(A_HOLD)
    return session.execute(oldest).scalars().all()


def _send(line: Line, sender: Sender, webhook: Webhook, message: WebhookDelivery) -> Outcome:
    now = sender.clock()
    secrets = [sender.keyring.open_webhook_secret(one).decode() for one in webhook.sealed_secrets(now)]
    headers = signed_headers(secrets, message_id(message.event_id), message.body, at=now)
    return line.post(message.body.encode(), headers)


def _note(
    session: Session, webhook_id: UUID, message: WebhookDelivery, outcome: Outcome, *, by: UUID, sender: Sender
) -> bool:
    """Note how an attempt ended, and hold the webhook on; whether to go on. Who lost the lease notes nothing."""
    now = sender.clock()
    mine = select(Webhook).where(col(Webhook.id) == webhook_id, col(Webhook.held_by) == by)
    webhook = session.execute(
        mine.with_for_update(key_share=True), execution_options={"populate_existing": True}
    ).scalar()
    if webhook is None:
        return False
    noted = update(WebhookDelivery).where(
        col(WebhookDelivery.id) == message.id, col(WebhookDelivery.attempts) == message.attempts
    )
    values = _after(message, outcome, sender.chance(), now)
    session.execute(noted.values(**values).execution_options(synchronize_session=False))
    return _keep_account(session, webhook, outcome, now)


def _after(message: WebhookDelivery, outcome: Outcome, chance: float, now: datetime) -> dict[str, Any]:
    """The columns of a message after one more attempt."""
    attempt = message.attempts + 1
    tries = message.tried(now, outcome.status, outcome.fault, outcome.took)
    values: dict[str, Any] = {"attempts": attempt, "tries": tries, "delivered_at": None}
    if outcome.fault is None:
        return values | {"state": DeliveryState.DELIVERED.value, "due_at": None, "delivered_at": now}
    log.info("webhook %s: attempt %d failed: %s", message.webhook_id, attempt, outcome.fault.value)
    pause = pause_after(attempt, chance=chance, retry_after_s=outcome.retry_after_s)
    if pause is None or outcome.status == _GONE:
        return values | {"state": DeliveryState.FAILED.value, "due_at": None}
    return values | {"state": DeliveryState.WAITING.value, "due_at": now + pause}


def _keep_account(session: Session, webhook: Webhook, outcome: Outcome, now: datetime) -> bool:
    """Note since when a webhook fails, switch it off when that is too long, else hold it on; whether to go on."""
    values: dict[str, Any] = {"free_at": now + LEASE, "failing_since": None, "failed_at": None}
    off = None
    if outcome.fault is not None:
        is_new = webhook.failed_at is None or now - webhook.failed_at > FORGOTTEN
        since = now if is_new or webhook.failing_since is None else webhook.failing_since
        values |= {"failing_since": since, "failed_at": now}
        off = Off.GONE if outcome.status == _GONE else Off.FAILING if now - since >= FAILING_FOR else None
    if off is not None and webhook.is_active:
        values |= {"switched_off_at": now, "off_reason": off.value, "held_by": None, "free_at": now}
        said: dict[str, list[Any]] = {"switched_off_at": [None, now], "off_reason": [None, off.value]}
        owner = webhook.organisation_id
        audit.note(session, "webhook.changed", webhook.id, organisation_id=owner, changes=said, now=now)
        log.warning("webhook %s is switched off: %s", webhook.id, off.value)
    kept = update(Webhook).where(col(Webhook.id) == webhook.id).values(**values)
    session.execute(kept.execution_options(synchronize_session=False))
    return off is None and webhook.is_active


def _rest_after(outcome: Outcome) -> timedelta:
    """How long nothing more is sent to a receiver that did not answer, or asks for a pause."""
    if outcome.is_silent:
        return REST
    return min(timedelta(seconds=outcome.retry_after_s or 0), LONGEST_WAIT)


def _free(session: Session, webhook_id: UUID, by: UUID, at: datetime) -> None:
    mine = update(Webhook).where(col(Webhook.id) == webhook_id, col(Webhook.held_by) == by)
    session.execute(mine.values(held_by=None, free_at=at).execution_options(synchronize_session=False))
