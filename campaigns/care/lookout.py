"""The watch over codes: reads the counters, finds those whose scans fell off, opens and closes their alerts.

Reads without the write lock, a campaign and a few hundred codes at a time, and keeps only sums: a campaign of 100,000
codes takes no more memory than one of a thousand. Two workers that watch at once open one alert (a partial UNIQUE).
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, func, or_, update
from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from campaigns import clock
from campaigns.care import falling
from campaigns.care.falling import Days, Fall
from campaigns.care.models import Alert, AlertKind
from campaigns.events import record_event
from campaigns.ids import uuid7_at
from campaigns.places import Place
from campaigns.places.models import DAYS
from campaigns.planning import Campaign, State
from campaigns.scans.models import ScanCounter
from campaigns.scans.verdict import Verdict
from campaigns.storage import changed, insert_once
from campaigns.tokens import Kind, Token, TokenState

HORIZON = 42  # civil days that are read: eighteen open ones of a shop that opens three days a week
CODES_A_READ = 500
_TO_WEEKDAY = 3  # 1970-01-01 was a Thursday
_SCANS = func.sum(col(ScanCounter.scans))


class Standing(NamedTuple):
    """A code that hangs in a place."""

    token_id: UUID
    place_id: UUID
    since: datetime


class Fallen(NamedTuple):
    """A code whose scans fell off, ready to be told."""

    token_id: UUID
    place_id: UUID
    campaign_id: UUID
    organisation_id: UUID
    since: datetime
    fall: Fall


@dataclass
class Findings:
    """What a watch found: alerts to open and to close."""

    fallen: list[Fallen] = field(default_factory=list)
    over: list[UUID] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.fallen or self.over)


class _Calendar:
    """Civil days of a time zone, counted from 1970, by the zone's distance from UTC now: an hour's error on the night
    the clocks change moves nobody's day."""

    def __init__(self, time_zone: str, now: datetime) -> None:
        self.name = time_zone
        self.zone = clock.zone(time_zone)
        offset = now.astimezone(self.zone).utcoffset() or timedelta(0)
        self.shift_h = int(offset.total_seconds() // 3600)
        self.today = self.day_of(now)

    def day_of(self, instant: datetime) -> int:
        return int(self.day_of_hour(clock.hour_of(instant)))

    def day_of_hour(self, hour: Any) -> Any:
        """The civil day of an hour since 1970, a number or a column."""
        return (hour + self.shift_h) // 24

    def start_of(self, day: int) -> datetime:
        date = (clock.EPOCH + timedelta(days=day)).date()
        return datetime.combine(date, time(), self.zone).astimezone(UTC)


def watch(session: Session, *, since: datetime | None, now: datetime) -> Findings:
    """Judge the codes whose civil day has ended after `since` (None: all), and look whether open alerts are over.

    Live campaigns, active codes that hang in a place; serials stand nowhere.
    """
    findings = Findings(over=list(_over(session, now)))
    zones = [_Calendar(name, now) for name in session.exec(select(Place.time_zone).distinct())]
    for calendar in zones:
        if since is None or calendar.day_of(since) < calendar.today:
            for campaign in _campaigns(session, calendar):
                if campaign.state_at(now) is State.LIVE:
                    findings.fallen += _fallen(session, campaign, calendar)
    return findings


def tell(session: Session, findings: Findings, *, now: datetime) -> int:
    """Open and close the alerts that a watch found; how many were opened. Whoever comes second changes nothing."""
    _close(session, findings.over, now)
    return sum(_open(session, one, now) for one in findings.fallen)


def _campaigns(session: Session, calendar: _Calendar) -> Sequence[Campaign]:
    """The campaigns that have codes in places of a time zone."""
    there = select(Token.campaign_id).join(Place, col(Place.id) == Token.place_id)
    wanted = there.where(Place.time_zone == calendar.name)
    return session.exec(select(Campaign).where(Campaign.state == State.LIVE, col(Campaign.id).in_(wanted))).all()


def _fallen(session: Session, campaign: Campaign, calendar: _Calendar) -> Iterator[Fallen]:
    """The sum of the campaign's codes of one time zone first, then each that has enough scans beside it."""
    own = select(Place).where(Place.organisation_id == campaign.organisation_id, Place.time_zone == calendar.name)
    places = {place.id: place for place in session.exec(own)}
    together: dict[int, int] = defaultdict(int)
    judged: list[tuple[Standing, Days]] = []
    first_hour = (calendar.today - HORIZON) * 24 - calendar.shift_h
    for codes in _standing(session, campaign, calendar):
        token_ids = [one.token_id for one in codes]
        for day, number in _in_all(session, token_ids, first_hour, calendar).items():
            together[day] += number
        by_token = _by_day(session, _busy(session, token_ids, first_hour), first_hour, calendar)
        judged += [(one, by_token[one.token_id]) for one in codes if one.token_id in by_token]
    gaps = _gaps(session, campaign, calendar)
    for one, scans in judged:
        began = max(filter(None, (one.since, campaign.launched_at, campaign.starts_at)))
        days = _open_days(places[one.place_id], calendar, calendar.day_of(began) + 1, gaps.get(one.token_id, ()))
        others = {day: number - scans.get(day, 0) for day, number in together.items()}
        fall = falling.fell_off(days, scans, others)
        if fall is not None:
            started = calendar.start_of(fall.first_day)
            yield Fallen(one.token_id, one.place_id, campaign.id, campaign.organisation_id, started, fall)


def _standing(session: Session, campaign: Campaign, calendar: _Calendar) -> Iterator[Sequence[Standing]]:
    """The campaign's codes that hang in places of a time zone, some hundreds at a time."""
    after: UUID | None = None
    while True:
        query = (
            columns(col(Token.id), col(Token.place_id), col(Token.created_at))
            .join(Place, col(Place.id) == col(Token.place_id))
            .where(
                col(Token.campaign_id) == campaign.id,
                col(Token.kind) != Kind.SERIAL,
                col(Token.state) == TokenState.ACTIVE,
                col(Place.time_zone) == calendar.name,
            )
            .order_by(col(Token.id))
            .limit(CODES_A_READ)
        )
        if after is not None:
            query = query.where(col(Token.id) > after)
        codes = [Standing(*row) for row in session.execute(query)]
        if not codes:
            return
        after = codes[-1].token_id
        yield codes


def _in_all(session: Session, token_ids: Sequence[UUID], first_hour: int, calendar: _Calendar) -> dict[int, int]:
    """Scans by people of these codes together, by civil day, from an hour on."""
    day = calendar.day_of_hour(col(ScanCounter.hour)).label("day")
    query = columns(day, _SCANS).where(*_by_people(token_ids, first_hour)).group_by("day")
    return {int(which): int(number) for which, number in session.execute(query)}


def _busy(session: Session, token_ids: Sequence[UUID], first_hour: int) -> Sequence[UUID]:
    """Those of these codes that have scans enough to be judged: few of 100,000 have."""
    code = col(ScanCounter.token_id)
    query = columns(code).where(*_by_people(token_ids, first_hour)).group_by(code)
    return session.scalars(query.having(_SCANS >= falling.LEAST_SCANS)).all()


def _by_day(session: Session, token_ids: Sequence[UUID], first_hour: int, calendar: _Calendar) -> dict[UUID, Days]:
    """Scans by people of each of these codes, by civil day, from an hour on."""
    # The day by its name: PostgreSQL takes the same parameters written twice for two different days.
    day = calendar.day_of_hour(col(ScanCounter.hour)).label("day")
    code = col(ScanCounter.token_id)
    query = columns(code, day, _SCANS).where(*_by_people(token_ids, first_hour)).group_by(code, "day")
    found: dict[UUID, dict[int, int]] = defaultdict(dict)
    for token_id, which, number in session.execute(query) if token_ids else ():
        found[token_id][int(which)] = int(number)
    return dict(found)


def _by_people(token_ids: Sequence[UUID], first_hour: int) -> tuple[ColumnElement[bool], ...]:
    return (
        col(ScanCounter.token_id).in_(token_ids),
        col(ScanCounter.hour) >= first_hour,
        col(ScanCounter.phase) == "live",
        col(ScanCounter.verdict) != Verdict.BOT,
    )


def _open_days(place: Place, calendar: _Calendar, first: int, gaps: Sequence[range]) -> list[int]:
    """The ended days from `first` on, oldest first, on which the place was open, without those of alerts."""
    hours = place.opening_hours
    return [
        day
        for day in range(max(first, calendar.today - HORIZON), calendar.today)
        if (not hours or hours.get(DAYS[(day + _TO_WEEKDAY) % 7])) and not any(day in gap for gap in gaps)
    ]


def _gaps(session: Session, campaign: Campaign, calendar: _Calendar) -> dict[UUID, list[range]]:
    """The days of each code's alerts, to today for an open one: they are told, and say nothing of what is usual."""
    found: dict[UUID, list[range]] = defaultdict(list)
    recent = or_(col(Alert.closed_at).is_(None), col(Alert.closed_at) >= calendar.start_of(calendar.today - HORIZON))
    for one in session.exec(select(Alert).where(Alert.campaign_id == campaign.id, recent)):
        last = calendar.today if one.closed_at is None else calendar.day_of(one.closed_at)
        found[one.token_id].append(range(calendar.day_of(one.since), last + 1))
    return found


def _over(session: Session, now: datetime) -> Iterator[UUID]:
    """Open alerts whose code is scanned again, or is not to be scanned any more."""
    rows = session.exec(
        select(Alert, Token, Campaign, Place)
        .join(Token, col(Token.id) == Alert.token_id)
        .join(Campaign, col(Campaign.id) == Alert.campaign_id)
        .join(Place, col(Place.id) == Alert.place_id)
        .where(col(Alert.closed_at).is_(None))
    ).all()
    for alert, token, campaign, place in rows:
        stands = token.state == TokenState.ACTIVE and token.place_id == alert.place_id
        if not stands or campaign.state_at(now) is not State.LIVE:
            yield alert.id
            continue
        calendar = _Calendar(place.time_zone, now)
        scans = _by_day(session, [token.id], clock.hour_of(alert.opened_at), calendar).get(token.id, {})
        if falling.has_returned(scans, alert.expected_daily):
            yield alert.id


def _open(session: Session, one: Fallen, now: datetime) -> bool:
    id = uuid7_at(now)
    is_new = insert_once(
        session,
        Alert,
        id=id,
        organisation_id=one.organisation_id,
        campaign_id=one.campaign_id,
        token_id=one.token_id,
        place_id=one.place_id,
        kind=AlertKind.SCANS_FELL_OFF.value,
        since=one.since,
        open_days=one.fall.open_days,
        expected=one.fall.expected,
        seen=one.fall.seen,
        opened_at=now,
        closed_at=None,
    )
    if is_new:
        record_event(session, "alert.opened", now=now, alert_id=id, token_id=one.token_id)
    return is_new


def _close(session: Session, alert_ids: Sequence[UUID], now: datetime) -> None:
    for id in alert_ids:
        still_open = update(Alert).where(col(Alert.id) == id, col(Alert.closed_at).is_(None))
        if changed(session, still_open.values(closed_at=now)):
            record_event(session, "alert.closed", now=now, alert_id=id)
