"""Conversions: sales, and other things worth counting, that a shop's own systems tell of, each once by its id there.

They carry nothing of a person but that id. A scan or a coupon they are told with is looked up for its place and code,
and not kept. Rows go with the scan log, 13 months after they were told; their sums by day, place and code were written
with them and stay, so no figure changes. What is told of is at most 360 days old: what went is not counted again.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from sqlalchemy import func
from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from campaigns import audit, clock, ids, places, planning, scans
from campaigns.errors import CampaignError, Conflict, Invalid, NotFound
from campaigns.planning import Campaign, Phase
from campaigns.rewards import Coupon, Outcome, Redemption
from campaigns.scans.models import LogStart, Scan
from campaigns.stats.costs import settle_currency
from campaigns.stats.models import Conversion, ConversionTotal
from campaigns.storage import add_up_all, find_own, insert_once, newest
from campaigns.tokens import Token, codes

AHEAD = timedelta(minutes=5)  # that another system's clock may be fast
OLDEST = timedelta(days=360)  # less than rows are kept, see the module
TOTAL_KEY = ("campaign_id", "phase", "civil_day", "place_id", "token_id")


@dataclass(frozen=True)
class Told:
    """A conversion as another system tells of it: ids and codes are as it knows them, not looked up yet."""

    source: str
    external_id: str
    campaign_id: str
    amount_minor: int
    currency: str
    occurred_at: datetime
    place_id: str | None = None
    token: str | None = None
    scan_id: str | None = None
    coupon: str | None = None

    @property
    def content(self) -> int:
        """A number for all it says: the same message again has the same."""
        said = (self.campaign_id, self.amount_minor, self.currency, self.occurred_at.isoformat())
        named = (self.place_id, self.token, self.scan_id, self.coupon)
        digest = hashlib.sha256(repr((said, named)).encode()).digest()
        return int.from_bytes(digest[:8]) >> 1


class Fate(StrEnum):
    """What became of a message: counted, known before, or its id stands for another conversion already."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"


class Refused(NamedTuple):
    """Why a message was not taken: which one, the field to blame, and the reason."""

    number: int
    field: str | None
    reason: str


@dataclass
class Taken:
    """What became of many messages."""

    accepted: int = 0
    duplicates: int = 0
    conflicts: int = 0
    refused: list[Refused] = field(default_factory=list)


class Clerk:
    """Takes conversions of one organisation, and remembers what it looked up."""

    def __init__(self, session: Session, organisation_id: UUID, *, now: datetime) -> None:
        self._session = session
        self._owner = organisation_id
        self._now = now
        self._campaigns: dict[str, Campaign] = {}
        self._held_out: dict[UUID, frozenset[UUID]] = {}
        self._settled: set[tuple[UUID, str]] = set()

    def take(self, told: Told) -> tuple[Fate, Conversion]:
        """Count one message; its row, or the one that stands under its id. Invalid, NotFound: see `_row`."""
        row = self._row(told)
        if insert_once(self._session, Conversion, **row):
            add_up_all(self._session, ConversionTotal, TOTAL_KEY, [_share(row)])
            return Fate.ACCEPTED, Conversion(**row)
        known = find_conversion(self._session, self._owner, told.source, told.external_id)
        if known is None:
            raise Conflict("The conversion was removed a moment ago. Send it again.")
        return (Fate.DUPLICATE if known.content == row["content"] else Fate.CONFLICT), known

    def take_all(self, messages: Sequence[tuple[int, Told]], taken: Taken) -> None:
        """Count many messages, in the order of their ids so that two imports never wait for one another's rows."""
        shares: list[dict[str, Any]] = []
        for number, told in sorted(messages, key=lambda one: (one[1].source, one[1].external_id, one[0])):
            try:
                row = self._row(told)
            except CampaignError as error:
                pointer = str(error.context.get("pointer", ""))
                taken.refused.append(Refused(number, pointer.lstrip("/") or None, error.detail))
                continue
            if insert_once(self._session, Conversion, **row):
                taken.accepted += 1
                shares.append(_share(row))
                continue
            known = find_conversion(self._session, self._owner, told.source, told.external_id)
            if known is not None and known.content == row["content"]:
                taken.duplicates += 1
            else:
                taken.conflicts += 1
                reason = f"{told.source} told of {told.external_id!r} before, and otherwise: the first one stands."
                taken.refused.append(Refused(number, "external_id", reason))
        add_up_all(self._session, ConversionTotal, TOTAL_KEY, _summed(shares))

    def _row(self, told: Told) -> dict[str, Any]:
        """The row of a message. NotFound for an unknown campaign, place, code, scan or coupon. Invalid for one of
        another campaign, another currency, and a time that is ahead, over a year ago, or before the campaign began.
        """
        campaign = self._campaign(told.campaign_id)
        token_id, place_id = self._where(campaign, told)
        self._require_time(campaign, told.occurred_at)
        if (campaign.id, told.currency) not in self._settled:
            settle_currency(self._session, campaign, told.currency, now=self._now)
            self._settled.add((campaign.id, told.currency))
        return {
            "id": ids.uuid7_at(self._now),
            "organisation_id": self._owner,
            "campaign_id": campaign.id,
            "source": told.source,
            "external_id": told.external_id,
            "amount_minor": told.amount_minor,
            "currency": told.currency,
            "occurred_at": told.occurred_at,
            "civil_day": clock.civil_day(told.occurred_at, campaign.time_zone),
            "phase": self._phase(campaign, told.occurred_at, token_id, place_id),
            "place_id": place_id,
            "token_id": token_id,
            "content": told.content,
            "recorded_at": self._now,
        }

    def _phase(self, campaign: Campaign, occurred_at: datetime, *units: UUID | None) -> str:
        phase = campaign.phase_of(occurred_at)
        if campaign.id not in self._held_out:
            self._held_out[campaign.id] = planning.held_out_of(self._session, campaign.id)
        is_held_out = phase == Phase.LIVE and not self._held_out[campaign.id].isdisjoint(units)
        return Phase.HOLDOUT.value if is_held_out else phase

    def _campaign(self, name: str) -> Campaign:
        if name not in self._campaigns:
            with _pointed("/campaign_id"):
                self._campaigns[name] = planning.campaign_by_name(self._session, self._owner, name)
        return self._campaigns[name]

    def _require_time(self, campaign: Campaign, occurred_at: datetime) -> None:
        began = campaign.pilot_started_at or campaign.launched_at
        if occurred_at > self._now + AHEAD:
            raise Invalid("This lies in the future.", pointer="/occurred_at")
        if occurred_at < self._now - OLDEST:
            raise Invalid("This is over 360 days ago: it might have been counted before.", pointer="/occurred_at")
        if began is None or occurred_at < began:
            raise Invalid("The campaign had not begun then.", pointer="/occurred_at")

    def _where(self, campaign: Campaign, told: Told) -> tuple[UUID | None, UUID | None]:
        """The code and the place of a conversion: those it names, else those of its scan or its coupon."""
        token_id = place_id = None
        if told.coupon is not None:
            place_id = self._place_of_coupon(campaign, told.coupon)
        if told.token is not None:
            token = self._token(campaign, told.token)
            token_id, place_id = token.id, token.place_id or place_id
        if told.scan_id is not None:
            scan = self._scan(campaign, told.scan_id)
            if token_id not in (None, scan.token_id):
                raise Invalid("The scan was of another code.", pointer="/scan_id")
            token_id, place_id = scan.token_id, scan.place_id or place_id
        if told.place_id is not None:
            with _pointed("/place_id"):
                place_id = places.place_by_name(self._session, self._owner, told.place_id).id
        return token_id, place_id

    def _token(self, campaign: Campaign, name: str) -> Token:
        """By its id, or by the code that is printed on it."""
        with _pointed("/token"):
            if name.startswith("tok_"):
                found = find_own(self._session, Token, self._owner, ids.parse("tok", name))
            else:
                mine = (Token.code == codes.normalise(name), Token.organisation_id == self._owner)
                found = self._session.exec(select(Token).where(*mine)).first()
            if found is None:
                raise NotFound("There is no such code.")
        return _of_campaign(found, campaign, "/token")

    def _scan(self, campaign: Campaign, name: str) -> Scan:
        with _pointed("/scan_id"):
            found = scans.scan_of(self._session, self._owner, ids.parse("scn", name))
        return _of_campaign(found, campaign, "/scan_id")

    def _place_of_coupon(self, campaign: Campaign, code: str) -> UUID | None:
        """Where a till took the coupon; None while none did."""
        mine = (Coupon.code == codes.normalise(code), Coupon.organisation_id == self._owner)
        found = self._session.exec(select(Coupon).where(*mine)).first()
        if found is None:
            raise NotFound("There is no such coupon.", pointer="/coupon")
        _of_campaign(found, campaign, "/coupon")
        used = select(Redemption.place_id).where(
            Redemption.coupon_id == found.id,
            Redemption.outcome == Outcome.ACCEPTED.value,
            col(Redemption.rolled_back_at).is_(None),
        )
        return self._session.exec(used).first()


Named = TypeVar("Named", Token, Scan, Coupon)


def _of_campaign(found: Named, campaign: Campaign, pointer: str) -> Named:
    if found.campaign_id != campaign.id:
        raise Invalid("This is of another campaign.", pointer=pointer)
    return found


@contextmanager
def _pointed(pointer: str) -> Iterator[None]:
    """Say of what is not found which field named it."""
    try:
        yield
    except NotFound as error:
        error.context.setdefault("pointer", pointer)
        raise


def _share(row: dict[str, Any]) -> dict[str, Any]:
    """What a conversion adds to the total of its day, place and code."""
    return {
        **{name: row[name] for name in ("campaign_id", "phase", "civil_day")},
        "place_id": row["place_id"] or ids.NIL,
        "token_id": row["token_id"] or ids.NIL,
        "conversions": 1,
        "revenue_minor": row["amount_minor"],
        "squares": float(row["amount_minor"]) ** 2,
    }


def _summed(shares: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The shares of one total together, in the order in which totals are locked."""
    sums: dict[tuple[str, ...], dict[str, Any]] = {}
    for one in shares:
        key = tuple(str(one[name]) for name in TOTAL_KEY)
        kept = sums.get(key)
        sums[key] = one if kept is None else {n: kept[n] + v if n not in TOTAL_KEY else v for n, v in one.items()}
    return [sums[key] for key in sorted(sums)]


def find_conversion(session: Session, organisation_id: UUID, source: str, external_id: str) -> Conversion | None:
    """The conversion a system told of under its id."""
    mine = (Conversion.organisation_id == organisation_id, Conversion.source == source)
    return session.exec(select(Conversion).where(*mine, Conversion.external_id == external_id)).first()


def note_import(session: Session, organisation_id: UUID, taken: Taken, *, now: datetime) -> None:
    """Note in the audit log that a file was taken: its rows are facts of another system, and not noted one by one."""
    told = {name: [getattr(taken, name)] for name in ("accepted", "duplicates", "conflicts")}
    audit.note(
        session,
        "conversions.imported",
        ids.uuid7_at(now),
        organisation_id=organisation_id,
        changes=told,
        now=now,
    )


def conversion_by_id(session: Session, organisation_id: UUID, id: UUID) -> Conversion:
    """The organisation's conversion; NotFound for another's, and for one that went with its term."""
    found = find_own(session, Conversion, organisation_id, id)
    if found is None:
        raise NotFound("There is no such conversion.")
    return found


def list_conversions(
    session: Session, organisation_id: UUID, *, campaign_id: UUID | None, before: UUID | None, limit: int
) -> Sequence[Conversion]:
    """Conversions of an organisation, or of one campaign, newest first; those of 13 months."""
    query = select(Conversion).where(Conversion.organisation_id == organisation_id)
    if campaign_id is not None:
        query = query.where(Conversion.campaign_id == campaign_id)
    return newest(session, query, Conversion, before=before, limit=limit)


def totals_of(session: Session, campaign_id: UUID) -> tuple[int, int]:
    """Conversions of a campaign since its launch, and their revenue in minor units; its pilot's and holdout's apart."""
    sums = columns(func.sum(col(ConversionTotal.conversions)), func.sum(col(ConversionTotal.revenue_minor)))
    mine = (col(ConversionTotal.campaign_id) == campaign_id, col(ConversionTotal.phase) == Phase.LIVE.value)
    number, revenue = session.execute(sums.where(*mine)).one()
    return int(number or 0), int(revenue or 0)


def number_told(
    session: Session,
    campaign_id: UUID,
    *,
    since: date | None,
    until: date | None,
    place_id: UUID | None,
    token_ids: Any,
) -> int | None:
    """Conversions from one civil day to before another, of a place or of codes; None while a campaign has none at all.

    Then nobody measures them.
    """
    total = ConversionTotal
    mine: list[Any] = [col(total.campaign_id) == campaign_id, col(total.phase) == Phase.LIVE.value]
    if session.scalar(columns(col(total.conversions)).where(*mine).limit(1)) is None:
        return None
    if since is not None:
        mine.append(col(total.civil_day) >= since)
    if until is not None:
        mine.append(col(total.civil_day) < until)
    if place_id is not None:
        mine.append(col(total.place_id) == place_id)
    if token_ids is not None:
        mine.append(col(total.token_id).in_(token_ids))
    return int(session.scalar(columns(func.sum(col(total.conversions))).where(*mine)) or 0)


def recount(session: Session) -> Iterator[str]:
    """What does not add up of the totals since the log was last purged, in words: older rows may have gone."""
    purged = session.exec(select(LogStart.whole_from)).first() or clock.EPOCH
    since = purged + timedelta(days=2)  # told of on the first day, they may be of the next one elsewhere
    key = [col(getattr(ConversionTotal, name)) for name in TOTAL_KEY]
    kept = columns(*key, col(ConversionTotal.conversions), col(ConversionTotal.revenue_minor))
    told = {tuple(row[:5]): (int(row[5]), int(row[6])) for row in session.execute(kept.where(key[2] >= since.date()))}
    rows = columns(
        *(col(getattr(Conversion, name)) for name in TOTAL_KEY),
        func.count(),
        func.sum(col(Conversion.amount_minor)),
    ).group_by(*(col(getattr(Conversion, name)) for name in TOTAL_KEY))
    counted = {
        (*row[:3], row[3] or ids.NIL, row[4] or ids.NIL): (int(row[5]), int(row[6]))
        for row in session.execute(rows.where(col(Conversion.civil_day) >= since.date()))
    }
    for one in sorted(told.keys() | counted.keys(), key=str):
        if told.get(one) != counted.get(one):
            yield (
                f"conversions of {ids.show('cmp', one[0])} on {one[2]}: {told.get(one)} in the total, "
                f"{counted.get(one)} counted"
            )
