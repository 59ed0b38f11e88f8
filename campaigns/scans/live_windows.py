"""Live windows, spent at check-in: one proves a person's presence once in a campaign, scanned or typed (I13)."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlmodel import Session

from campaigns.participants import Participant
from campaigns.places import till
from campaigns.scans.models import LiveWindowUse
from campaigns.scans.receipt import Receipt
from campaigns.scans.verdict import STRONG
from campaigns.storage import insert_once
from campaigns.tokens.directory import Entry


class Claim(NamedTuple):
    """What a receipt and a till code prove together. `is_spent`: there was a window, and this person had used it."""

    presence: int
    is_spent: bool


def claim(
    session: Session, receipt: Receipt, entry: Entry, person: Participant, *, till_window: int | None, now: datetime
) -> Claim:
    """Use a window up for this person: that of the scanned code, else that of the till code."""
    scanned = scanned_window(receipt, entry)
    windows = [window for window in (scanned, till_window) if window is not None]
    if entry.place is not None and any(
        _use(session, entry.place.id, window, receipt, entry, person, now=now) for window in windows
    ):
        return Claim(STRONG, False)
    return Claim(receipt.presence if scanned is None else 0, bool(windows))


def scanned_window(receipt: Receipt, entry: Entry) -> int | None:
    """The window of the code that was scanned off a screen; None for any other scan."""
    if not entry.is_live or receipt.presence < STRONG:
        return None
    return till.window_of(receipt.scanned_at) - receipt.window_back


def _use(
    session: Session, place_id: UUID, window: int, receipt: Receipt, entry: Entry, person: Participant, *, now: datetime
) -> bool:
    return insert_once(
        session,
        LiveWindowUse,
        place_id=place_id,
        campaign_id=entry.campaign.id,
        window=window,
        person_id=person.id,
        scan_id=receipt.scan_id,
        used_at=now,
    )
