"""Webhooks: where an organisation wants to hear of what happens, and each message on its way there."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlmodel import Field, Index, UniqueConstraint

from campaigns.audit import Audit
from campaigns.storage import Row, json_column

TRIES_KEPT = 20  # of a delivery, the newest: ten of its schedule, and as many of a replay


class Off(StrEnum):
    """Why a webhook is switched off."""

    ASKED = "asked"  # by a key of the organisation
    FAILING = "failing"  # it failed for five days
    GONE = "gone"  # it answered 410


class Webhook(Row, table=True):
    """An address that is told of events of these names. Its secrets are sealed; the one before lives a day longer.

    One sender at a time has it: `held_by` until `free_at`. Nobody sends to it before `free_at`, held or not.
    """

    __tablename__ = "webhooks"
    __audit__ = Audit(
        "webhook",
        hidden=frozenset({"sealed_secret"}),
        silent=frozenset(
            {"changed_at", "sealed_previous", "previous_until", "failing_since", "failed_at", "held_by", "free_at"}
        ),
    )

    organisation_id: UUID = Field(foreign_key="organisations.id", index=True)
    url: str
    events: list[str] = json_column()
    sealed_secret: bytes
    sealed_previous: bytes | None = None
    previous_until: datetime | None = None
    created_at: datetime
    changed_at: datetime
    switched_off_at: datetime | None = None
    off_reason: str | None = None
    failing_since: datetime | None = Field(default=None, description="the first of the failures since it last worked")
    failed_at: datetime | None = Field(default=None, description="the newest of them")
    held_by: UUID | None = None
    free_at: datetime

    @property
    def is_active(self) -> bool:
        return self.switched_off_at is None

    def sealed_secrets(self, now: datetime) -> list[bytes]:
        """The secrets to sign with at that instant, the newest first."""
        if self.sealed_previous is None or self.previous_until is None or now >= self.previous_until:
            return [self.sealed_secret]
        return [self.sealed_secret, self.sealed_previous]


class DeliveryState(StrEnum):
    """Where a message is: to be sent, now or again; taken by its receiver; given up."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"


class WebhookDelivery(Row, table=True):
    """A message to one webhook, once an event. `due_at` is empty when it was delivered or given up.

    `attempts` counts those of its schedule, anew after a replay; `tries` has the newest of all, each with its instant,
    status, error word and duration.
    """

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        UniqueConstraint("webhook_id", "event_id"),
        Index("ix_webhook_deliveries_webhook_id_due_at", "webhook_id", "due_at"),
        Index("ix_webhook_deliveries_webhook_id_id", "webhook_id", "id"),
    )

    organisation_id: UUID = Field(foreign_key="organisations.id")
    webhook_id: UUID = Field(foreign_key="webhooks.id")
    event_id: UUID
    event: str = Field(description="the name of the event")
    body: str
    made_at: datetime
    state: str = DeliveryState.WAITING
    attempts: int = 0
    due_at: datetime | None = None
    delivered_at: datetime | None = None
    tries: list[dict[str, Any]] = json_column()

    def tried(self, at: datetime, status: int | None, error: str | None, took: timedelta) -> list[dict[str, Any]]:
        """`tries` with one more."""
        one = {"at": at.isoformat(), "status": status, "error": error, "duration_ms": round(took.total_seconds() * 1e3)}
        return [*self.tries, one][-TRIES_KEPT:]
