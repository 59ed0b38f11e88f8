"""The token directory: code -> all that the scan path must know, in memory.

Loaded on demand, bounded, unknown codes remembered for a minute. An announcement drops what it touches; a load that
an announcement overtook is used once and thrown away (generation number).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlmodel import Session, select

from campaigns.places import Place
from campaigns.planning import Campaign, State
from campaigns.tokens.models import Token, TokenState

UNKNOWN_S = 60.0
UNKNOWN_LIMIT = 20_000
ENTRY_LIMIT = 200_000


@dataclass(frozen=True, slots=True)
class Entry:
    """A token with its campaign and place, as one read of the database saw them.

    The hexadecimal ids are ready for the scan log; campaign and place are shared by all their tokens.
    """

    code: str
    token_id: UUID
    token_hex: str
    campaign_hex: str
    place_hex: str | None
    campaign: Campaign
    place: Place | None
    destination: str | None
    is_revoked: bool

    def state_at(self, now: datetime) -> State:
        """The state of the campaign a visitor meets now."""
        return self.campaign.state_at(now)


class Directory:
    """What this process knows of codes. Look-ups are from the event loop, loads and announcements from threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._entries: dict[str, Entry] = {}
        self._unknown: dict[str, float] = {}
        self._campaigns: dict[UUID, Campaign] = {}
        self._places: dict[UUID, Place] = {}
        self._clock = clock
        self._generation = 0

    def find(self, code: str) -> Entry | None:
        """The known entry of a canonical code."""
        return self._entries.get(code)

    def is_unknown(self, code: str) -> bool:
        """Whether the code was looked for in the last minute and not found."""
        return self._unknown.get(code, 0.0) > self._clock()

    def load(self, session: Session, code: str) -> Entry | None:
        """Read a code from the database and keep what was found, unless something changed meanwhile."""
        generation = self._generation
        entry = self._read(session, code)
        if generation == self._generation:
            self._keep(code, entry)
        return entry

    def hear(self, kind: str, id: UUID) -> None:
        """Drop what a committed change touched; `kind` is campaign, place, token or code (a new one)."""
        self._generation += 1
        if kind == "code":
            self._unknown.clear()
            return
        self._campaigns.pop(id, None)
        self._places.pop(id, None)
        for code, entry in list(self._entries.items()):
            if id in (entry.token_id, entry.campaign.id) or (entry.place is not None and entry.place.id == id):
                self._entries.pop(code, None)

    def _read(self, session: Session, code: str) -> Entry | None:
        token = session.exec(select(Token).where(Token.code == code)).first()
        if token is None:
            return None
        campaign = self._campaigns.get(token.campaign_id) or session.get_one(Campaign, token.campaign_id)
        place = None
        if token.place_id is not None:
            place = self._places.get(token.place_id) or session.get_one(Place, token.place_id)
            self._places[place.id] = place
        self._campaigns[campaign.id] = campaign
        session.expunge_all()
        return Entry(
            code=code,
            token_id=token.id,
            token_hex=token.id.hex,
            campaign_hex=campaign.id.hex,
            place_hex=place.id.hex if place else None,
            campaign=campaign,
            place=place,
            destination=token.destination or campaign.destination,
            is_revoked=token.state == TokenState.REVOKED,
        )

    def _keep(self, code: str, entry: Entry | None) -> None:
        if entry is not None:
            self._unknown.pop(code, None)
            self._entries[code] = entry
            if len(self._entries) > ENTRY_LIMIT:
                self._entries.pop(next(iter(self._entries)), None)
            return
        self._unknown[code] = self._clock() + UNKNOWN_S
        if len(self._unknown) > UNKNOWN_LIMIT:
            self._unknown.pop(next(iter(self._unknown)), None)
