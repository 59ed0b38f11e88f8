"""Webhooks: an organisation's own systems hear of what happens, signed, and again after a failure."""

from campaigns.webhooks.kinds import KINDS, TRIAL, Kind
from campaigns.webhooks.models import DeliveryState, Off, Webhook, WebhookDelivery
from campaigns.webhooks.publishing import publish
from campaigns.webhooks.service import (
    change,
    checked_events,
    delivery_by_id,
    list_deliveries,
    list_webhooks,
    register,
    remove,
    replay,
    rotate_secret,
    try_out,
    webhook_by_id,
)

__all__ = [
    "KINDS",
    "TRIAL",
    "DeliveryState",
    "Kind",
    "Off",
    "Webhook",
    "WebhookDelivery",
    "change",
    "checked_events",
    "delivery_by_id",
    "list_deliveries",
    "list_webhooks",
    "publish",
    "register",
    "remove",
    "replay",
    "rotate_secret",
    "try_out",
    "webhook_by_id",
]
