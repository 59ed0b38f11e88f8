"""From an event to its deliveries, in the transaction that consumes the event: each webhook hears of it exactly once.

One look a round tells which webhooks want any of its events; where nobody does, nothing more is read.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlmodel import Session, col

from campaigns.events import Event
from campaigns.storage import insert_many_once
from campaigns.webhooks.kinds import KINDS, Told
from campaigns.webhooks.models import Webhook, WebhookDelivery
from campaigns.webhooks.service import body_of, delivery_of


def publish(session: Session, events: Sequence[Event], *, now: datetime) -> Callable[[Session], None] | None:
    """What to write so that the webhooks hear of these events; None when nobody is to hear of any."""
    published = [one for one in events if one.name in KINDS]
    if not published:
        return None
    webhooks = session.execute(select(Webhook).where(col(Webhook.switched_off_at).is_(None))).scalars().all()
    wanted = {name for one in webhooks for name in one.events}
    told = _read(session, [one for one in published if one.name in wanted])
    rows = [row for event in published if event.id in told for row in _rows(webhooks, event, told[event.id], now)]
    if not rows:
        return None

    def write(session: Session) -> None:
        insert_many_once(session, WebhookDelivery, rows)

    return write


def _read(session: Session, events: Sequence[Event]) -> dict[UUID, Told]:
    by_name: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        by_name[event.name].append(event)
    return {id: one for name, some in by_name.items() for id, one in KINDS[name].read(session, some).items()}


def _rows(webhooks: Sequence[Webhook], event: Event, told: Told, now: datetime) -> list[dict[str, Any]]:
    hearing = [one for one in webhooks if one.organisation_id == told.organisation_id and event.name in one.events]
    body = body_of(event.name, event.recorded_at, told.data) if hearing else ""
    return [delivery_of(one, event.id, event.name, body, now) for one in hearing]
