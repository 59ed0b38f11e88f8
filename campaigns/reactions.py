"""Every side effect on one page: what happens after something was committed. Each runs once an event."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from sqlmodel import Session

from campaigns import scans
from campaigns.events import Event

Reaction = Callable[[Session, Event, datetime], None]


def judge_scans(session: Session, event: Event, now: datetime) -> None:
    """Look again at scans that were confirmed or located."""
    scans.judge(session, [UUID(hex) for hex in event.facts["scan_ids"]], now=now)


def judge_checked_in(session: Session, event: Event, now: datetime) -> None:
    """A participant of its own lifts a duplicate."""
    scans.judge(session, [UUID(event.facts["scan_id"])], now=now)


REACTIONS: dict[str, tuple[Reaction, ...]] = {
    "scans.confirmed": (judge_scans,),
    "scans.located": (judge_scans,),
    "scan.checked_in": (judge_checked_in,),
}
