"""The token directory: code -> all that the scan path must know, in memory.

Loaded on demand, bounded, unknown codes remembered for a minute. An announcement drops what it touches; a load that
an announcement overtook is used once and thrown away (generation number).
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import and_
from sqlmodel import Session, col, select

from campaigns.errors import Invalid
from campaigns.places import Place
from campaigns.planning import Campaign, State, is_held_out
from campaigns.tokens.addresses import with_utm
from campaigns.tokens.destinations import Routing, leading, read_rules
from campaigns.tokens.models import OPEN_AGAIN, Kind, SunTag, TagWriting, Token, TokenBatch, TokenState
from campaigns.tokens.sun import SignedTag

UNKNOWN_S = 60.0
UNKNOWN_LIMIT = 20_000
ENTRY_LIMIT = 200_000

OpenKeys = Callable[[bytes], bytes]  # what unseals the keys of a tag

log = logging.getLogger("passerelle.directory")


def keep_shut(_: bytes) -> bytes:
    """Open no tag's keys: for who only looks codes up."""
    raise Invalid("Nobody here can open a tag's keys.")


class Standing:
    """A campaign's state and a place's opening now, reckoned once a second for all their tokens.

    What was reckoned holds from that instant to the next full second, or to the start or end of the flight when
    that comes first.
    """

    __slots__ = ("_campaign", "_place", "_reckoned")

    def __init__(self, campaign: Campaign, place: Place | None) -> None:
        self._campaign = campaign
        self._place = place
        self._reckoned = self._reckon(campaign.created_at)

    def at(self, now: datetime) -> tuple[State, bool]:
        """The state a visitor meets, and whether the place is open."""
        since, until, state, is_open = self._reckoned
        if since <= now < until:
            return state, is_open
        self._reckoned = self._reckon(now)
        return self._reckoned[2:]

    def _reckon(self, now: datetime) -> tuple[datetime, datetime, State, bool]:
        flight = (self._campaign.starts_at, self._campaign.ends_at)
        next_second = now.replace(microsecond=0) + timedelta(seconds=1)
        until = min([next_second, *(edge for edge in flight if edge and edge > now)])
        return now, until, self._campaign.state_at(now), self._place is None or self._place.is_open(now)


class Serial(NamedTuple):
    """What the batch says of a serial code: how often it is good, and whether having it proves presence."""

    good: str
    is_proof: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """A token with its campaign and place, as one read of the database saw them.

    The hexadecimal ids are ready for the scan log, `language` is the campaign's first; campaign and place are shared by
    all their tokens.
    """

    code: str
    token_id: UUID
    token_hex: str
    campaign_hex: str
    place_hex: str | None
    place_id: UUID | None
    language: str
    campaign: Campaign
    place: Place | None
    destination: str | None
    standing: Standing
    serial: Serial | None = None
    sun: SignedTag | None = None
    bound_uid: str | None = None
    is_live: bool = False
    routing: Routing | None = None
    closure: TokenState | None = None
    expires_at: datetime | None = None
    successor: str = ""
    is_held_out: bool = False

    def state_at(self, now: datetime) -> State:
        """The state of the campaign a visitor meets now."""
        return self.standing.at(now)[0]

    def closed_at(self, now: datetime) -> TokenState | None:
        """Why the code leads nowhere now: suspended, replaced, revoked or expired; None for one that is active."""
        if self.expires_at is not None and now >= self.expires_at:
            return TokenState.EXPIRED
        return self.closure


class Directory:
    """What this process knows of codes. Look-ups are from the event loop, loads and announcements from threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, open_keys: OpenKeys = keep_shut) -> None:
        self._open_keys = open_keys
        self._entries: dict[str, Entry] = {}
        self._codes: dict[UUID, str] = {}
        self._unknown: dict[str, float] = {}
        self._campaigns: dict[UUID, Campaign] = {}
        self._places: dict[UUID, Place] = {}
        self._standings: dict[tuple[UUID, UUID | None], Standing] = {}
        self._clock = clock
        self._generation = 0
        self._lock = threading.Lock()  # of keeping against dropping; look-ups take none

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
        with self._lock:
            if generation == self._generation:
                self._keep(code, entry)
        return entry

    def hear(self, kind: str, id: UUID) -> None:
        """Drop what a committed change touched.

        `kind` is campaign, place, token, code (a new one), or everything, when changes may have been missed. Nothing
        here is of an organisation.
        """
        with self._lock:
            self._generation += 1
            if kind in ("code", "everything"):
                self._unknown.clear()
            if kind == "everything":
                for kept in (self._entries, self._codes, self._campaigns, self._places, self._standings):
                    kept.clear()
            elif kind == "token":
                self._entries.pop(self._codes.pop(id, ""), None)
            elif kind not in ("code", "organisation"):
                self._drop_all_of(id)

    def _drop_all_of(self, id: UUID) -> None:
        self._campaigns.pop(id, None)
        self._places.pop(id, None)
        for key in [key for key in self._standings if id in key]:
            del self._standings[key]
        for code, entry in list(self._entries.items()):
            if entry.campaign.id == id or (entry.place is not None and entry.place.id == id):
                self._forget(code)

    def _forget(self, code: str) -> None:
        entry = self._entries.pop(code, None)
        if entry is not None:
            self._codes.pop(entry.token_id, None)

    def _read(self, session: Session, code: str) -> Entry | None:
        # One query: a serial is scanned once in its life, so every one of them is read here.
        found = session.exec(
            select(  # type: ignore[call-overload]  # SQLModel knows up to four of these kinds
                Token,
                TokenBatch,
                SunTag,
                TagWriting.uid,
                is_held_out(col(Token.campaign_id), col(Token.id), col(Token.place_id)),
            )
            .join(TokenBatch, col(TokenBatch.id) == col(Token.batch_id), isouter=True)
            .join(SunTag, col(SunTag.token_id) == col(Token.id), isouter=True)
            .join(
                TagWriting,
                and_(col(TagWriting.token_id) == col(Token.id), col(TagWriting.released_at).is_(None)),
                isouter=True,
            )
            .where(Token.code == code)
        ).first()
        if found is None:
            return None
        token, batch, tag, bound_uid, held_out = found
        campaign = self._campaigns.get(token.campaign_id) or session.get_one(Campaign, token.campaign_id)
        place = None
        if token.place_id is not None:
            place = self._places.get(token.place_id) or session.get_one(Place, token.place_id)
        successor = session.get_one(Token, token.replaced_by_id).code if token.replaced_by_id else ""
        session.expunge_all()
        destination, routing = lead_of(token, campaign, place)
        return Entry(
            code=code,
            token_id=token.id,
            token_hex=token.id.hex,
            campaign_hex=campaign.id.hex,
            place_hex=place.id.hex if place else None,
            place_id=place.id if place else None,
            language=campaign.languages[0] if campaign.languages else "en",
            campaign=campaign,
            place=place,
            destination=destination,
            standing=self._standings.get((campaign.id, token.place_id)) or Standing(campaign, place),
            serial=_serial(token, batch),
            sun=self._signed(tag),
            bound_uid=bound_uid,
            is_live=token.kind == Kind.LIVE,
            routing=routing,
            closure=None if token.state == TokenState.ACTIVE else TokenState(token.state),
            expires_at=token.expires_at if token.state in OPEN_AGAIN else None,
            successor=successor,
            is_held_out=bool(held_out),
        )

    def _signed(self, tag: SunTag | None) -> SignedTag | None:
        try:
            return tag.opened(self._open_keys) if tag else None
        except Invalid:  # sealed with another secret: the person still arrives, without proof
            log.error("the keys of a tag do not open with this installation's secret")
            return None

    def _keep(self, code: str, entry: Entry | None) -> None:
        if entry is not None:
            self._unknown.pop(code, None)
            self._entries[code] = entry
            self._codes[entry.token_id] = code
            self._campaigns[entry.campaign.id] = entry.campaign
            if entry.place is not None:
                self._places[entry.place.id] = entry.place
            self._standings[(entry.campaign.id, entry.place.id if entry.place else None)] = entry.standing
            if len(self._entries) > ENTRY_LIMIT:
                self._forget(next(iter(self._entries)))
            return
        self._unknown[code] = self._clock() + UNKNOWN_S
        if len(self._unknown) > UNKNOWN_LIMIT:
            self._unknown.pop(next(iter(self._unknown)), None)


def lead_of(token: Token, campaign: Campaign, place: Place | None) -> tuple[str | None, Routing | None]:
    """Where a token leads when no rule fits, and its routing when that is not all; UTM parameters are in both.

    A token with a destination or rules of its own leaves the campaign's aside.
    """
    source = token if token.destination or token.rules else campaign
    facts = {
        "place": place.name if place else None,
        "token": token.code,
        "campaign": campaign.name,
        "medium": token.medium,
        "channel": token.channel,
        "label": token.label,
    }
    utm = {**(campaign.utm or {}), **(token.utm or {})}
    default = with_utm(source.destination, utm, facts) if source.destination else None
    if not (source.rules or token.pass_scan_id or token.continue_page):
        return default, None
    rules = [leading(rule, lambda url: with_utm(url, utm, facts)) for rule in read_rules(source.rules)]
    zone = place.time_zone if place else campaign.time_zone
    return default, Routing(token.id.hex, zone, default, tuple(rules), token.pass_scan_id, token.continue_page)


def _serial(token: Token, batch: TokenBatch | None) -> Serial | None:
    if batch is None or batch.good is None:
        return None
    # Handed over there and nowhere else: a code that was moved since proves nothing of its new place.
    return Serial(batch.good, batch.handed_over and token.place_id is not None and token.place_id == batch.place_id)
