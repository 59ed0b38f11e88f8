"""The board of a shop or a campaign as its page shows it: the same for the shop's phone and the member's console."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from babel.dates import format_date
from babel.numbers import format_percent

from api import figures_now
from api.pages.cartography import Chart, Mark, chart
from api.streams import Reading
from campaigns import clock, stats
from campaigns.planning import Campaign
from campaigns.stats import Board, Count, Scope

ALERTS_SHOWN = 5

LEAST = 5  # scans of an hour: fewer are shown as that
SHADES = 5  # of the heat grid, above none
RADIUS = (5.0, 17.0)  # of a place's disc on the map


@dataclass(frozen=True)
class Cell:
    """An hour of a day: its text, and its shade from 0, nobody, to 5, the busiest; None for no such hour yet."""

    text: str
    shade: int | None


@dataclass(frozen=True)
class DayView:
    """A row of the heat grid."""

    short: str
    name: str
    cells: list[Cell]
    total: int


@dataclass(frozen=True)
class LineView:
    """A code or a place with its scans; `share` of the first one's, in percent; no scans below five people."""

    name: str
    where: str
    raw: int | None
    confirmed: int | None
    share: int
    mark: Mark | None = None
    radius: float = 0


@dataclass(frozen=True)
class OddView:
    """Scans that were set aside, for a sentence."""

    name: str
    where: str
    verdict: str
    number: int
    reasons: tuple[str, ...]
    one_phone: bool
    since: str
    until: str
    is_today: bool


@dataclass(frozen=True)
class SilentView:
    """A code that is heard no more, and how often it was: every so many days."""

    name: str
    where: str
    every: int
    last: str


@dataclass(frozen=True)
class RaisedView:
    """An alert that stands: the campaign, the figure, on which side of its limit, and since which day."""

    campaign: str
    watched: str
    comparison: str
    day: str


def board(reading: Reading, scope: Scope, language: str) -> dict[str, Any]:
    """All that the page draws, read in one round."""
    found = stats.read_board(reading.session, scope, reading.fresh, now=reading.now)
    now = figures_now.shown(reading, scope, found.headline)
    week_ago = clock.civil_day(reading.now, scope.time_zone) - timedelta(days=7)
    places, drawn = _places(found)
    return {
        "now": now,
        "most": max([*now["minutes"], 1]),
        "percent": lambda share: _percent(share, language),
        "weekday": format_date(week_ago, "EEEE", locale=language),
        "days": _days(found, language, is_measured=scope.is_measured),
        "best": _lines([(one.code.name, one.code.place, one.scans) for one in found.best]),
        "odd": _odd(found, scope, reading.now),
        "silent": [
            SilentView(one.code.name, one.code.place, max(1, round(one.every_days)), _day(one.last_day, language))
            for one in found.silent
        ],
        "places": places,
        "chart": drawn,
        "raised": _raised(reading, scope, language),
    }


def _raised(reading: Reading, scope: Scope, language: str) -> list[RaisedView]:
    """The alerts that stand for these campaigns. Their figures are of all places, and not told where one is shown."""
    found = stats.list_raised(
        reading.session,
        scope.organisation_id,
        campaign_ids=scope.campaign_ids,
        is_open=True,
        before=None,
        limit=ALERTS_SHOWN,
    )
    zone = clock.zone(scope.time_zone)
    return [
        RaisedView(
            reading.session.get_one(Campaign, one.campaign_id).name,
            one.watched,
            one.comparison,
            _day(one.raised_at.astimezone(zone).date(), language),
        )
        for one in found
    ]


def _percent(share: float | None, language: str) -> str:
    """A change in words: `+12%`; a dash where there is nothing to compare with."""
    if share is None:
        return "–"
    shown = format_percent(round(share, 2), locale=language)
    return f"+{shown}" if round(share, 2) > 0 else shown


def _day(day: date, language: str) -> str:
    return format_date(day, "EEEE d MMMM", locale=language)


def _days(found: Board, language: str, *, is_measured: bool) -> list[DayView]:
    def of(count: Count) -> int:
        return count.verified if is_measured else count.human

    most = max([of(one) for _, hours in found.days for one in hours if one is not None], default=0)
    return [
        DayView(
            format_date(day, "EEE", locale=language).rstrip("."),
            _day(day, language),
            [_cell(None if one is None else of(one), most) for one in hours],
            sum(of(one) for one in hours if one is not None),
        )
        for day, hours in reversed(found.days)
    ]


def _cell(number: int | None, most: int) -> Cell:
    if number is None:
        return Cell("", None)
    if number < LEAST:
        return Cell(f"<{LEAST}" if number else "0", 1 if number else 0)
    return Cell(str(number), max(1, -(-number * SHADES // most)))


def _lines(rows: list[tuple[str, str, Count]]) -> list[LineView]:
    most = max([scans.raw for _, _, scans in rows], default=0)
    return [
        LineView(name, where, scans.raw, scans.verified, round(100 * scans.raw / most) if most else 0)
        for name, where, scans in rows
    ]


def _odd(found: Board, scope: Scope, now: datetime) -> list[OddView]:
    zone, today = clock.zone(scope.time_zone), clock.civil_day(now, scope.time_zone)
    views = []
    for one in found.odd:
        begin = clock.instant_of_hour(one.hour).astimezone(zone)
        end = (begin.astimezone(clock.EPOCH.tzinfo) + timedelta(hours=1)).astimezone(zone)
        since, until = begin.strftime("%H:%M"), end.strftime("%H:%M")
        views.append(
            OddView(
                one.code.name,
                one.code.place,
                one.verdict,
                one.number,
                one.reasons,
                one.one_phone,
                since,
                until,
                begin.date() == today,
            )
        )
    return views


def _places(found: Board) -> tuple[list[LineView], Chart | None]:
    """Places with their scans, and the map of those with a position; the disc's surface goes with the scans."""
    placed = [one for one in found.spots if one.place.lat is not None and one.place.lon is not None]
    if len(found.spots) < 2:
        return [], None
    drawn = chart([(one.place.lat or 0.0, one.place.lon or 0.0, one.place.name) for one in placed])
    marks = dict(zip([one.place.id for one in placed], drawn.marks, strict=True))
    most = max([one.scans.verified or one.scans.raw for one in found.spots if one.scans is not None], default=0)
    views = []
    for one in found.spots:
        scans = one.scans
        worth = 0 if scans is None or not most else (scans.verified or scans.raw) / most
        radius = RADIUS[0] + (RADIUS[1] - RADIUS[0]) * worth**0.5
        views.append(
            LineView(
                one.place.name,
                one.place.address or "",
                None if scans is None else scans.raw,
                None if scans is None else scans.verified,
                round(100 * worth),
                marks.get(one.place.id),
                round(radius, 1),
            )
        )
    return views, drawn if placed else None
