"""Registering webhooks, rotating their secrets, and what was sent to them."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, update
from sqlmodel import Session, col, select

from campaigns import audit
from campaigns.errors import Conflict, Invalid, NotFound
from campaigns.identity import Organisation
from campaigns.ids import show, uuid7_at
from campaigns.sealing import Keyring
from campaigns.storage import find_own, newest, store
from campaigns.webhooks.addresses import checked_url
from campaigns.webhooks.kinds import KINDS, TRIAL
from campaigns.webhooks.models import DeliveryState, Off, Webhook, WebhookDelivery
from campaigns.webhooks.signing import new_webhook_secret

MOST_WEBHOOKS = 20  # of an organisation
OLD_SECRET_LIFE = timedelta(hours=24)


def register(
    session: Session,
    organisation_id: UUID,
    *,
    url: str,
    events: Sequence[str],
    keyring: Keyring,
    allow_local: bool = False,
    now: datetime,
) -> tuple[Webhook, str]:
    """Note where to send these events from now on; with its secret, known only now.

    Invalid for an address that is not https of the public Internet, and for an event that is not published; Conflict
    beyond 20 webhooks.
    """
    address, wanted = checked_url(url, allow_local=allow_local), checked_events(events)
    session.get(Organisation, organisation_id, with_for_update=True, populate_existing=True)  # counted one by one
    mine = select(Webhook.id).where(Webhook.organisation_id == organisation_id)
    if len(session.exec(mine.limit(MOST_WEBHOOKS)).all()) >= MOST_WEBHOOKS:
        detail = f"An organisation has at most {MOST_WEBHOOKS} webhooks: remove one first."
        raise Conflict(detail, code="too_many_webhooks")
    secret = new_webhook_secret()
    webhook = Webhook(
        id=uuid7_at(now),
        organisation_id=organisation_id,
        url=address,
        events=wanted,
        sealed_secret=keyring.seal_webhook_secret(secret.encode()),
        created_at=now,
        changed_at=now,
        free_at=now,
    )
    session.add(webhook)
    session.flush()
    return webhook, secret


def checked_events(names: Sequence[str]) -> list[str]:
    """Names of published events, each once, in the order of the list. Invalid, with the list, for any other."""
    unknown = [one for one in names if one not in KINDS]
    if unknown or not names:
        named = f"{unknown[0][:60]!r} is not one of them" if unknown else "name at least one"
        raise Invalid(f"Webhooks hear of {', '.join(KINDS)}; {named}.", pointer="/events")
    return [one for one in KINDS if one in names]


def change(session: Session, webhook: Webhook, *, allow_local: bool = False, now: datetime, **fields: Any) -> Webhook:
    """Change where, what, or whether it is `active`. Switched on again it goes on with what waits, at once."""
    if "url" in fields:
        webhook.url = checked_url(fields["url"], allow_local=allow_local)
    if "events" in fields:
        webhook.events = checked_events(fields["events"])
    active = fields.get("active", webhook.is_active)
    if active != webhook.is_active:
        webhook.switched_off_at, webhook.off_reason = (None, None) if active else (now, Off.ASKED.value)
    webhook.failing_since = webhook.failed_at = None
    webhook.changed_at = now
    session.add(webhook)
    session.flush()
    _let_go(session, webhook.id, now)
    return webhook


def rotate_secret(session: Session, webhook: Webhook, *, keyring: Keyring, now: datetime) -> str:
    """A new secret, known only now. For 24 hours messages carry two signatures, the old secret's too.

    Conflict while the secret before is still good: a repeated request must not end it early.
    """
    session.refresh(webhook, with_for_update=True)
    if len(webhook.sealed_secrets(now)) > 1:
        detail = "The secret was rotated within the last 24 hours, and the one before is still good."
        raise Conflict(detail, code="secret_rotating")
    secret = new_webhook_secret()
    webhook.sealed_previous, webhook.previous_until = webhook.sealed_secret, now + OLD_SECRET_LIFE
    webhook.sealed_secret = keyring.seal_webhook_secret(secret.encode())
    webhook.changed_at = now
    session.add(webhook)
    session.flush()
    return secret


def remove(session: Session, webhook: Webhook) -> None:
    """Forget a webhook with all that was sent to it; what waits is not sent."""
    session.refresh(webhook, with_for_update=True)  # nothing more is made for it meanwhile
    sent = delete(WebhookDelivery).where(col(WebhookDelivery.webhook_id) == webhook.id)
    session.execute(sent.execution_options(synchronize_session=False))
    session.delete(webhook)
    session.flush()


def try_out(session: Session, webhook: Webhook, *, now: datetime) -> WebhookDelivery:
    """Make a message that says nothing, to see it arrive. Conflict while the webhook is switched off."""
    _require_active(webhook)
    event_id = uuid7_at(now)
    row = delivery_of(webhook, event_id, TRIAL, body_of(TRIAL, now, {"webhook_id": show("whk", webhook.id)}), now)
    store(session, WebhookDelivery, **row)
    _let_go(session, webhook.id, now)
    audit.note(session, "webhook.tested", webhook.id, organisation_id=webhook.organisation_id, now=now)
    return session.get_one(WebhookDelivery, row["id"])


def replay(session: Session, webhook: Webhook, delivery: WebhookDelivery, *, now: datetime) -> WebhookDelivery:
    """Send a message again, at once and under its own id, with a new schedule. Conflict while switched off."""
    _require_active(webhook)
    _let_go(session, webhook.id, now)  # first the webhook, then its messages, as who sends them does
    again = update(WebhookDelivery).where(col(WebhookDelivery.id) == delivery.id)
    values = {"state": DeliveryState.WAITING.value, "attempts": 0, "due_at": now, "delivered_at": None}
    session.execute(again.values(**values).execution_options(synchronize_session=False))
    owner = webhook.organisation_id
    audit.note(session, "webhook_delivery.replayed", delivery.id, organisation_id=owner, now=now)
    session.refresh(delivery)
    return delivery


def webhook_by_id(session: Session, organisation_id: UUID, webhook_id: UUID) -> Webhook:
    """The organisation's webhook; NotFound for another's."""
    found = find_own(session, Webhook, organisation_id, webhook_id)
    if found is None:
        raise NotFound("There is no such webhook.")
    return found


def delivery_by_id(session: Session, webhook: Webhook, delivery_id: UUID) -> WebhookDelivery:
    """A message to this webhook; NotFound for another's."""
    found = find_own(session, WebhookDelivery, webhook.organisation_id, delivery_id)
    if found is None or found.webhook_id != webhook.id:
        raise NotFound("There is no such delivery.")
    return found


def list_webhooks(session: Session, organisation_id: UUID, *, before: UUID | None, limit: int) -> Sequence[Webhook]:
    """Newest first, older than `before`."""
    query = select(Webhook).where(Webhook.organisation_id == organisation_id)
    return newest(session, query, Webhook, before=before, limit=limit)


def list_deliveries(
    session: Session, webhook: Webhook, *, state: str | None = None, before: UUID | None, limit: int
) -> Sequence[WebhookDelivery]:
    """What was or will be sent to a webhook in the last 30 days, newest first; of one state if asked."""
    query = select(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook.id)
    if state is not None:
        query = query.where(WebhookDelivery.state == state)
    return newest(session, query, WebhookDelivery, before=before, limit=limit)


def body_of(event: str, at: datetime, data: dict[str, Any]) -> str:
    """A message as it is signed and sent: `{type, timestamp, data}`."""
    whole = {"type": event, "timestamp": at.isoformat(), "data": data}
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":"))


def delivery_of(webhook: Webhook, event_id: UUID, event: str, body: str, now: datetime) -> dict[str, Any]:
    """The columns of a new delivery."""
    return {
        "id": uuid7_at(now),
        "organisation_id": webhook.organisation_id,
        "webhook_id": webhook.id,
        "event_id": event_id,
        "event": event,
        "body": body,
        "made_at": now,
        "state": DeliveryState.WAITING.value,
        "attempts": 0,
        "due_at": now,
        "delivered_at": None,
        "tries": [],
    }


def _let_go(session: Session, webhook_id: UUID, now: datetime) -> None:
    """End a webhook's rest after a failure, unless somebody sends to it just now."""
    resting = update(Webhook).where(col(Webhook.id) == webhook_id, col(Webhook.held_by).is_(None))
    session.execute(resting.values(free_at=now).execution_options(synchronize_session=False))


def _require_active(webhook: Webhook) -> None:
    if not webhook.is_active:
        raise Conflict("This webhook is switched off: switch it on first.", code="webhook_off")
