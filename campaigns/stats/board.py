"""A shop's or a campaign's board: today and seven days by the hour, the places, the codes that do best, are silent or
behave oddly.

One round of a fixed number of statements, however many scans, codes and places there are: rollups, and of the log no
more than some hundred rows by its own index. Groups of fewer than five people are left out. A board of places has
nothing of any other: of codes that came from another place lately nothing is listed, for what they had there.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import Text, and_, case, cast, exists, func
from sqlalchemy import select as columns
from sqlmodel import Session, col

from campaigns import clock, ids
from campaigns.places import Place
from campaigns.planning import Campaign, State
from campaigns.scans.models import Scan, ScanJudgement, ScanRollup
from campaigns.scans.rollups import Sums
from campaigns.scans.verdict import Verdict
from campaigns.stats.headline import (
    HUMAN,
    LEAST_PEOPLE,
    RAW,
    VERIFIED,
    VISITORS,
    Count,
    Headline,
    Scope,
    counts_by_hour,
    headline_of,
    hours_of,
    local_start,
)
from campaigns.tokens import Kind, Token, TokenBatch, TokenState
from campaigns.tokens.models import TokenChange

DAYS: Final = 7
HABIT: Final = 28  # days in which a code shows its habit
HABIT_DAYS: Final = 4  # with a scan among them at least
SILENT: Final = "silent_code/1"
CODES: Final = 200  # of a place that are looked at
SHOWN: Final = 8
PLACES: Final = 40
JUDGEMENTS: Final = 400  # the newest, for the reasons
SET_ASIDE: Final = 5  # scans of a code in an hour that are worth a word
NOISE: Final = 20  # the same of robots and repeats
AT_ONCE: Final = 12  # campaigns on one board


class Code(NamedTuple):
    """What a line of codes is about: a code, or the serials of a batch, which are one; its public id, name, place."""

    id: str
    name: str
    place: str


class Best(NamedTuple):
    """A code and its scans of seven days."""

    code: Code
    scans: Count


class Silence(NamedTuple):
    """A code that was scanned every so many days and has not been since a day (formula silent_code/1)."""

    code: Code
    every_days: float
    last_day: date


class Oddity(NamedTuple):
    """Scans of a code in one hour that were not counted; the reasons that are known, most frequent first.

    `one_phone`: the same phone made all that were looked at.
    """

    code: Code
    hour: int
    verdict: str
    number: int
    reasons: tuple[str, ...]
    one_phone: bool


class Spot(NamedTuple):
    """A place and its scans of seven days; `scans` is None for fewer than five people."""

    place: Place
    scans: Count | None


class Board(NamedTuple):
    """All of it. `days` are the last seven civil days, oldest first: by hour of the day its scans, None where the day
    has no such hour or it is still to come."""

    headline: Headline
    days: list[tuple[date, list[Count | None]]]
    best: list[Best]
    silent: list[Silence]
    odd: list[Oddity]
    spots: list[Spot]


def read_board(session: Session, scope: Scope, fresh: Sums, *, now: datetime) -> Board:
    """The board of a scope, in one round."""
    today = clock.civil_day(now, scope.time_zone)
    dates = [today - timedelta(days=back) for back in range(DAYS, -1, -1)]
    by_hour = counts_by_hour(session, scope, [hour for day in dates for hour in hours_of(day, scope.time_zone)], fresh)
    here = None if scope.place_ids is None else _codes_here(session, scope, now)
    best = _best(session, scope, here, today)
    silent = _silent(session, scope, here, today)
    odd = _odd(session, scope, here, now)
    reasons = _reasons(session, scope, now)
    named = [value for value, _ in best] + [value for value, *_ in silent] + [value for value, *_ in odd]
    codes = _names(session, named, now)
    return Board(
        headline_of(session, scope, by_hour, now=now),
        [(day, _by_hour_of_day(day, scope.time_zone, by_hour, now)) for day in dates[1:]],
        [Best(codes[value], scans) for value, scans in best if value in codes],
        [Silence(codes[value], every, last) for value, every, last in silent if value in codes][:SHOWN],
        [
            Oddity(codes[value], hour, verdict, number, *reasons.get((value, hour, verdict), ((), False)))
            for value, hour, verdict, number in odd
            if value in codes
        ],
        _spots(session, scope, today) if scope.place_ids is None else [],
    )


def scope_of_campaign(campaign: Campaign, *, places: frozenset[UUID] | None, is_measured: bool) -> Scope:
    """A campaign everywhere, or in some places alone."""
    among = None if places is None else tuple(sorted(places))
    return Scope(campaign.organisation_id, (campaign.id,), among, campaign.time_zone, is_measured)


def scope_of_place(session: Session, place: Place, *, now: datetime) -> Scope:
    """A place in all the campaigns that run there, or did until a week ago; the newest twelve."""
    recent = now - timedelta(days=DAYS + 1)
    is_open = col(Campaign.state).in_((State.LIVE.value, State.PAUSED.value))
    query = (
        columns(col(Campaign.id))
        .where(
            col(Campaign.organisation_id) == place.organisation_id,
            is_open | (col(Campaign.ended_at) >= recent),
            exists().where(and_(col(Token.campaign_id) == col(Campaign.id), col(Token.place_id) == place.id)),
        )
        .order_by(col(Campaign.id).desc())
        .limit(AT_ONCE)
    )
    found = tuple(session.scalars(query))
    return Scope(place.organisation_id, found, (place.id,), place.time_zone, True)


# Reading ---------------------------------------------------------------------------------------------------------


def _by_hour_of_day(day: date, zone: str, by_hour: dict[int, Count], now: datetime) -> list[Count | None]:
    found: list[Count | None] = [None] * 24
    for hour in hours_of(day, zone):
        if hour <= clock.hour_of(now):
            at = local_start(hour, zone).hour
            found[at] = (found[at] or Count()).plus(by_hour.get(hour, Count()))
    return found


def _codes_here(session: Session, scope: Scope, now: datetime) -> list[str]:
    """The codes of the places that stood nowhere else for as long as is looked back. Serials stand nowhere."""
    since = ids.first_of(now - timedelta(days=HABIT + 1))
    moved = exists().where(
        col(TokenChange.token_id) == col(Token.id),
        col(TokenChange.id) >= since,
        cast(col(TokenChange.what), Text).like('%"place_id"%'),
    )
    query = columns(col(Token.id)).where(
        col(Token.place_id).in_(scope.place_ids or ()), col(Token.kind) != Kind.SERIAL, ~moved
    )
    return [ids.show("tok", id) for id in session.scalars(query.order_by(col(Token.id).desc()).limit(CODES))]


def _of_codes(scope: Scope, here: list[str] | None, span: str, periods: range) -> list[Any]:
    value, period = col(ScanRollup.value), col(ScanRollup.period)
    if here is None:
        return [*scope.rows("token", span), period >= periods.start, period < periods.stop]
    return [*scope.rows("token", span), period.in_(periods), value.in_(here)]


def _best(session: Session, scope: Scope, here: list[str] | None, today: date) -> list[tuple[str, Count]]:
    number = _number(today)
    query = (
        columns(col(ScanRollup.value), RAW, HUMAN, VERIFIED)
        .where(*_of_codes(scope, here, "day", range(number - DAYS + 1, number + 1)))
        .group_by(col(ScanRollup.value))
        .having(VISITORS >= LEAST_PEOPLE)
        .order_by(VERIFIED.desc(), RAW.desc(), col(ScanRollup.value))
        .limit(SHOWN)
    )
    return [(value, Count(*map(int, numbers))) for value, *numbers in session.execute(query)]


def _silent(session: Session, scope: Scope, here: list[str] | None, today: date) -> list[tuple[str, float, date]]:
    """Codes with a habit that have been without a person's scan for more than three times its usual pause."""
    number, period = _number(today), col(ScanRollup.period)
    people = sum((col(getattr(ScanRollup, one)) for one in ("provisional", "held", "duplicate")), col(ScanRollup.valid))
    days = func.sum(case((people > 0, 1), else_=0))
    first, last = (how(case((people > 0, period))) for how in (func.min, func.max))
    query = (
        columns(col(ScanRollup.value), days, first, last)
        .where(*_of_codes(scope, here, "day", range(number - HABIT + 1, number + 1)))
        .group_by(col(ScanRollup.value))
        .having(
            days >= HABIT_DAYS,
            VISITORS >= LEAST_PEOPLE,
            number - last >= 2,
            (number - last) * (days - 1) > 3 * (last - first),
        )
        .order_by(last.desc(), col(ScanRollup.value))
        .limit(3 * SHOWN)
    )
    return [
        (value, (end - begin) / (int(seen) - 1), clock.EPOCH.date() + timedelta(days=end))
        for value, seen, begin, end in session.execute(query)
    ]


def _odd(session: Session, scope: Scope, here: list[str] | None, now: datetime) -> list[tuple[str, int, str, int]]:
    """Of the last day the hours of codes with the most scans that were set aside."""
    running = clock.hour_of(now)
    kinds = (Verdict.HELD, Verdict.INVALID, Verdict.DUPLICATE, Verdict.BOT)
    sums = [func.sum(col(getattr(ScanRollup, one.value))) for one in kinds]
    aside, noise = sums[0] + sums[1], sums[2] + sums[3]
    query = (
        columns(col(ScanRollup.value), col(ScanRollup.period), *sums)
        .where(*_of_codes(scope, here, "hour", range(running - 23, running + 1)))
        .group_by(col(ScanRollup.value), col(ScanRollup.period))
        .having((aside >= SET_ASIDE) | (noise >= NOISE))
        .order_by(aside.desc(), noise.desc(), col(ScanRollup.period).desc(), col(ScanRollup.value))
        .limit(SHOWN)
    )
    found = []
    for value, hour, *numbers in session.execute(query):
        for verdict, number in zip(kinds, map(int, numbers), strict=True):
            least = SET_ASIDE if verdict in kinds[:2] else NOISE
            if number >= least:
                found.append((value, hour, verdict.value, number))
    return found[:SHOWN]


_Hour = tuple[str, int, str]  # a code, an hour, a verdict


def _reasons(session: Session, scope: Scope, now: datetime) -> dict[_Hour, tuple[tuple[str, ...], bool]]:
    """Why scans were set aside, from the newest judgements; and whether one phone made them all."""
    since = ids.first_of(now - timedelta(hours=25))
    newest = (
        columns(col(ScanJudgement.scan_id), col(ScanJudgement.verdict), col(ScanJudgement.reasons))
        .where(col(ScanJudgement.id) >= since)
        .order_by(col(ScanJudgement.id).desc())
        .limit(JUDGEMENTS)
        .subquery()
    )
    mine = [col(Scan.campaign_id).in_(scope.campaign_ids)]
    if scope.place_ids is not None:
        mine.append(col(Scan.place_id).in_(scope.place_ids))
    rows = session.execute(
        columns(col(Scan.id), col(Scan.token_id), col(Scan.visitor_key), newest.c.verdict, newest.c.reasons)
        .join(newest, newest.c.scan_id == col(Scan.id))
        .where(*mine)
    )
    said: dict[_Hour, Counter[str]] = defaultdict(Counter)
    phones: dict[_Hour, set[int]] = defaultdict(set)
    for id, token_id, visitor, verdict, reasons in rows:
        key = (ids.show("tok", token_id), clock.hour_of(ids.instant_of(id)), verdict)
        said[key].update(one for one in reasons.split(",") if one)
        phones[key].add(visitor)
    return {
        key: (tuple(one for one, _ in reasons.most_common(2)), len(phones[key]) == 1) for key, reasons in said.items()
    }


def _names(session: Session, values: Sequence[str], now: datetime) -> dict[str, Code]:
    """The codes and batches behind these values; codes that no longer stand are left out."""
    codes = [ids.parse("tok", one) for one in values if one.startswith("tok_")]
    batches = [ids.parse("tbt", one) for one in values if one.startswith("tbt_")]
    found = {}
    rows = session.execute(
        columns(col(Token.id), col(Token.label), col(Token.code), col(Place.name))
        .outerjoin(Place, col(Place.id) == col(Token.place_id))
        .where(
            col(Token.id).in_(codes),
            col(Token.state) == TokenState.ACTIVE.value,
            col(Token.expires_at).is_(None) | (col(Token.expires_at) > now),
        )
    )
    for id, label, code, place in rows:
        shown = ids.show("tok", id)
        found[shown] = Code(shown, f"{label} ({code[:4]}-…)" if label else f"{code[:4]}-…", place or "")
    query = columns(col(TokenBatch.id), col(TokenBatch.label), col(TokenBatch.count)).where(
        col(TokenBatch.id).in_(batches)
    )
    for id, label, count in session.execute(query):
        shown = ids.show("tbt", id)
        found[shown] = Code(shown, label or f"{count} × QR", "")
    return found


def _spots(session: Session, scope: Scope, today: date) -> list[Spot]:
    """The places with the most scans, those of four weeks."""
    number, period = _number(today), col(ScanRollup.period)
    week = [
        func.sum(case((period > number - DAYS, column), else_=0))
        for column in (
            sum((col(getattr(ScanRollup, one.value)) for one in _COUNTED[1:]), col(ScanRollup.valid)),
            col(ScanRollup.bot),
            col(ScanRollup.verified),
            col(ScanRollup.visitors),
        )
    ]
    query = (
        columns(col(ScanRollup.value), *week)
        .where(
            *scope.rows("place", "day"),
            period > number - HABIT,
            period <= number,
            col(ScanRollup.value) != "",
        )
        .group_by(col(ScanRollup.value))
        .order_by(week[2].desc(), week[0].desc(), col(ScanRollup.value))
        .limit(PLACES)
    )
    counted = {ids.parse("plc", value): list(map(int, numbers)) for value, *numbers in session.execute(query)}
    places = {one.id: one for one in session.scalars(columns(Place).where(col(Place.id).in_(counted)))}
    return [
        Spot(places[id], Count(raw, raw - bots, verified) if visitors >= LEAST_PEOPLE else None)
        for id, (raw, bots, verified, visitors) in counted.items()
        if id in places
    ]


_COUNTED: Final = tuple(one for one in Verdict if one not in (Verdict.ORPHAN, Verdict.TEST))


def _number(day: date) -> int:
    """A civil day as rollups count them."""
    return (day - clock.EPOCH.date()).days
