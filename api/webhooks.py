"""Webhooks: registered, changed, their secret rotated; what was sent to them, and sent again."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from sqlmodel import Session as DbSession
from starlette.responses import Response

from api import schemas
from api.dependencies import Acting, Core, Now, ReadSession, Session
from api.etags import Tagged
from api.pagination import Cursor, Limit, Page, before, page
from api.policies import Actor, may
from campaigns import ids, webhooks
from campaigns.identity import Right
from campaigns.webhooks import KINDS, DeliveryState, Off, Webhook, WebhookDelivery
from campaigns.webhooks.signing import message_id

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])
Url = Annotated[
    str, Field(min_length=1, max_length=2000, description="https, of the public Internet; no redirect is followed")
]
_MEANINGS = "; ".join(f"`{name}`: {kind.meaning}" for name, kind in KINDS.items())
Events = Annotated[
    list[Annotated[schemas.Name, Field(json_schema_extra={"enum": list(KINDS)})]],
    Field(min_length=1, max_length=50, description=_MEANINGS),
]


class WebhookCreate(schemas.Request):
    """Where to send what."""

    url: Url
    events: Events


class WebhookPatch(schemas.Request):
    """A JSON merge patch. `active: false` switches off: nothing is made and nothing sent; true goes on."""

    url: Annotated[Url | None, schemas.Kept] = None
    events: Annotated[Events | None, schemas.Kept] = None
    active: Annotated[bool | None, schemas.Kept] = None


class WebhookRead(BaseModel):
    """A webhook, without its secret. `off_reason`: why it is not active. `failing_since`: nothing arrived since."""

    id: str
    url: str
    events: list[str]
    active: bool
    off_reason: Off | None
    switched_off_at: datetime | None
    failing_since: datetime | None
    previous_secret_until: datetime | None
    created_at: datetime


class WebhookMade(WebhookRead):
    """A new webhook, or a new secret. `secret` is shown only now: keep it."""

    secret: str


class TryRead(BaseModel):
    """One attempt: its status, or the word of what failed."""

    at: datetime
    status: int | None
    error: str | None = Field(
        description="unresolved, address (not public), connection, tls, timeout, protocol, redirect, status"
    )
    duration_ms: int


class DeliveryRead(BaseModel):
    """A message to a webhook: what it said, and how sending it went. `next_at`: when it is sent, or sent again."""

    id: str
    message_id: str = Field(description="the `webhook-id` of each attempt")
    event: str
    body: str
    state: DeliveryState
    attempts: int = Field(description="of its schedule, which a replay begins anew")
    made_at: datetime
    delivered_at: datetime | None
    next_at: datetime | None
    tries: list[TryRead] = Field(description="the newest twenty, in their order")


def show(webhook: Webhook, now: datetime) -> WebhookRead:
    is_rotating = len(webhook.sealed_secrets(now)) > 1
    return WebhookRead(
        id=ids.show("whk", webhook.id),
        active=webhook.is_active,
        previous_secret_until=webhook.previous_until if is_rotating else None,
        **webhook.model_dump(include=_PLAIN),
    )


_PLAIN = {"url", "events", "off_reason", "switched_off_at", "failing_since", "created_at"}


def show_delivery(delivery: WebhookDelivery) -> DeliveryRead:
    return DeliveryRead(
        id=ids.show("dlv", delivery.id),
        message_id=message_id(delivery.event_id),
        next_at=delivery.due_at,
        **delivery.model_dump(include={"event", "body", "state", "attempts", "made_at", "delivered_at", "tries"}),
    )


@router.post("", dependencies=[may(Right.WEBHOOKS_WRITE)], status_code=201)
def register_webhook(body: WebhookCreate, actor: Actor, session: Session, core: Core, now: Now) -> WebhookMade:
    """Register an address that is told of events from now on, and its secret, which is shown once.

    Each message is a POST of `{type, timestamp, data}` signed as Standard Webhooks says (`webhook-id`,
    `webhook-timestamp`, `webhook-signature`). Answer 2xx within 15 seconds; else it comes again after 5 s, 5 min,
    30 min, 2, 5, 10, 14, 20 and 24 h, longer where a 429 or 503 says `Retry-After`. The order of messages is not
    promised, and one may come twice: `webhook-id` tells it. An address that fails for five days, or answers 410, is
    switched off. 422 for an address that is not public or an unknown event; 409 beyond 20 webhooks.
    """
    webhook, secret = webhooks.register(
        session,
        actor.organisation_id,
        url=body.url,
        events=body.events,
        keyring=core.keyring,
        allow_local=core.settings.webhooks_local,
        now=now,
    )
    return WebhookMade(secret=secret, **show(webhook, now).model_dump())


@router.get("", dependencies=[may(Right.WEBHOOKS_READ)])
def list_webhooks(actor: Actor, session: ReadSession, now: Now, limit: Limit = 25, cursor: Cursor = None) -> Page:
    """The organisation's webhooks, newest first."""
    rows = webhooks.list_webhooks(session, actor.organisation_id, before=before(cursor), limit=limit + 1)
    return page(rows, limit, lambda one: show(one, now), lambda one: one.id)


@router.get("/{webhook_id}", dependencies=[may(Right.WEBHOOKS_READ)], response_model=WebhookRead)
def read_webhook(webhook_id: str, actor: Actor, session: ReadSession, now: Now, tags: Tagged) -> Any:
    """One webhook."""
    return tags.read(show(_webhook(session, actor, webhook_id), now))


@router.patch("/{webhook_id}", dependencies=[may(Right.WEBHOOKS_WRITE)])
def change_webhook(
    webhook_id: str, body: WebhookPatch, actor: Actor, session: Session, core: Core, now: Now, tags: Tagged
) -> WebhookRead:
    """Change where, what, or whether it is active. 412 when `If-Match` names another state of it."""
    webhook = _webhook(session, actor, webhook_id)
    tags.require(session, webhook, lambda one: show(one, now))
    fields = body.model_dump(exclude_unset=True)
    local = core.settings.webhooks_local
    return tags.changed(show(webhooks.change(session, webhook, allow_local=local, now=now, **fields), now))


@router.delete("/{webhook_id}", dependencies=[may(Right.WEBHOOKS_WRITE)], status_code=204)
def remove_webhook(webhook_id: str, actor: Actor, session: Session, now: Now, tags: Tagged) -> Response:
    """Remove a webhook, with all that was sent to it. What waits is not sent."""
    webhook = _webhook(session, actor, webhook_id)
    tags.require(session, webhook, lambda one: show(one, now))
    webhooks.remove(session, webhook)
    return Response(status_code=204)


@router.post("/{webhook_id}/secret-rotation", dependencies=[may(Right.WEBHOOKS_WRITE)], status_code=201)
def rotate_webhook_secret(webhook_id: str, actor: Actor, session: Session, core: Core, now: Now) -> WebhookMade:
    """Make a new secret. For 24 hours each message carries two signatures, the old secret's too.

    409 while the one before is still good.
    """
    webhook = _webhook(session, actor, webhook_id)
    secret = webhooks.rotate_secret(session, webhook, keyring=core.keyring, now=now)
    return WebhookMade(secret=secret, **show(webhook, now).model_dump())


@router.post("/{webhook_id}/test", dependencies=[may(Right.WEBHOOKS_WRITE)], status_code=201)
def try_webhook(webhook_id: str, actor: Actor, session: Session, now: Now) -> DeliveryRead:
    """Send a message of the type `webhook.tested`, within seconds. 409 while the webhook is switched off."""
    return show_delivery(webhooks.try_out(session, _webhook(session, actor, webhook_id), now=now))


@router.get("/{webhook_id}/deliveries", dependencies=[may(Right.WEBHOOKS_READ)])
def list_deliveries(
    webhook_id: str,
    actor: Actor,
    session: ReadSession,
    state: Annotated[DeliveryState | None, Query(description="only those of this state")] = None,
    limit: Limit = 25,
    cursor: Cursor = None,
) -> Page:
    """What was sent to a webhook in the last 30 days, or will be, newest first."""
    webhook = _webhook(session, actor, webhook_id)
    rows = webhooks.list_deliveries(session, webhook, state=state, before=before(cursor), limit=limit + 1)
    return page(rows, limit, show_delivery, lambda one: one.id)


@router.post("/{webhook_id}/deliveries/{delivery_id}/replay", dependencies=[may(Right.WEBHOOKS_WRITE)])
def replay_delivery(webhook_id: str, delivery_id: str, actor: Actor, session: Session, now: Now) -> DeliveryRead:
    """Send a message again, at once and under its own `webhook-id`. 409 while the webhook is switched off."""
    webhook = _webhook(session, actor, webhook_id)
    delivery = webhooks.delivery_by_id(session, webhook, ids.parse("dlv", delivery_id))
    return show_delivery(webhooks.replay(session, webhook, delivery, now=now))


def _webhook(session: DbSession, actor: Acting, webhook_id: str) -> Webhook:
    return webhooks.webhook_by_id(session, actor.organisation_id, ids.parse("whk", webhook_id))
