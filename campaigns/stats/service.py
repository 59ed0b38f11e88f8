"""Questions to the rollups: figures of a campaign over a time, by a time and a group, of what a filter leaves.

Never from counting rows: a question costs as much after ten million scans as after a hundred thousand.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from types import SimpleNamespace
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import func
from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from campaigns import clock, ids
from campaigns.errors import Invalid
from campaigns.events import Event
from campaigns.planning import Campaign
from campaigns.scans.figures import Figures
from campaigns.scans.models import CheckIn, ScanRollup
from campaigns.scans.rollups import COLUMNS, COUNTED, DIMENSIONS, WITH_VISITORS, Sums, derive, first_day_of, week_of
from campaigns.scans.verdict import Verdict
from campaigns.tokens import Token

GRAINS: Final = ("hour", "day", "week")
GROUPS: Final = (*GRAINS, *DIMENSIONS, "verdict")
MOST_HOURS: Final = 92 * 24
MOST_DAYS: Final = 1100  # three years, and a day to spare
MOST_GROUPS: Final = 10_000
FRESH: Final = 500  # scans that wait for the worker are read, so many at most

_SUMS = [func.sum(col(getattr(ScanRollup, name))).label(name) for name in (*COUNTED, "verified", "visitors")]


@dataclass(frozen=True)
class Asked:
    """What is asked for. Hours are whole; days are civil, as where the scan was. `until` is not included."""

    since: datetime | None = None
    until: datetime | None = None
    group_by: tuple[str, ...] = ()
    where: Mapping[str, str] = field(default_factory=dict)  # a dimension and its one value

    @property
    def grain(self) -> str | None:
        return next((one for one in self.group_by if one in GRAINS), None)

    @property
    def by(self) -> str | None:
        """The dimension it is grouped by."""
        return next((one for one in self.group_by if one in DIMENSIONS), None)

    @property
    def dimension(self) -> str:
        """The one it is grouped or filtered by; empty without."""
        return self.by or next(iter(self.where), "")

    def check(self) -> None:
        """Invalid for what cannot be answered, with what can."""
        for one in self.group_by:
            if one not in GROUPS:
                raise Invalid(f"There is no group {one[:40]!r}; there are {', '.join(GROUPS)}.", pointer="/group_by")
        if len(set(self.group_by)) != len(self.group_by) or len(self.group_by) > 2:
            raise Invalid("Group by one thing, or by two different ones.", pointer="/group_by")
        if len([one for one in self.group_by if one in GRAINS]) > 1:
            raise Invalid("Group by one of hour, day and week.", pointer="/group_by")
        if len({one for one in (*self.group_by, *self.where) if one in DIMENSIONS}) > 1:
            raise Invalid(
                f"Groups and filters may name one of {', '.join(DIMENSIONS)}, with a time or the verdict.",
                pointer="/group_by",
            )
        if self.since and self.until and self.since >= self.until:
            raise Invalid("`until` must be after `since`.", pointer="/until")


class Window(NamedTuple):
    """The periods that are summed: hours since 1970, or civil days since 1970. `end` is not included."""

    span: str
    first: int
    end: int


class Line(NamedTuple):
    """The figures of one group; `visitors` is None where none are kept."""

    keys: dict[str, Any]
    figures: Figures
    visitors: int | None


class Answer(NamedTuple):
    """All that was asked for. `window` says what the figures cover; scans since `complete_up_to` may be missing."""

    window: Window
    total: Line
    lines: list[Line]
    complete_up_to: datetime


def ask(session: Session, campaign: Campaign, asked: Asked, *, now: datetime) -> Answer:
    """Figures of a campaign, public ones only. Lines of time come in its order, without gaps; others by most verified.

    Invalid for groups that are not kept together, a range that is reversed or too long, and more than 10,000 lines.
    """
    asked.check()
    window = _window(session, campaign, asked, now=now)
    fresh, complete_up_to = fresh_sums(session, now)
    total = _total(session, campaign.id, asked, window, fresh)
    lines = _lines(asked, _rows(session, campaign.id, asked, window, fresh)) if asked.group_by else []
    if asked.grain is not None:
        lines = _without_gaps(asked, lines, window)
    else:
        _require_few(len(lines))
        lines.sort(key=lambda one: (-one.figures.verified, -one.figures.raw, str(one.keys)))
    return Answer(window, total, lines, complete_up_to)


def fresh_sums(session: Session, now: datetime) -> tuple[Sums, datetime]:
    """What the scans add that the worker has not counted yet: a scan is in the figures as soon as it was answered.

    Some hundreds of them; and since when there are more, or a confirmation waits for the judge.
    """
    late = session.exec(select(func.min(Event.recorded_at)).where(col(Event.name).in_(_JUDGED))).one()
    scan_ids: list[str] = []
    waiting = select(Event).where(Event.name == "scans.recorded").order_by(col(Event.id)).limit(FRESH)
    for event in session.exec(waiting):
        if len(scan_ids) + len(event.facts["scan_ids"]) > FRESH:
            late = min(event.recorded_at, late or event.recorded_at)
            break
        scan_ids += event.facts["scan_ids"]
    return derive(session, map(UUID, scan_ids)).sums, late or now


_JUDGED: Final = ("scans.confirmed", "scans.located", "scan.checked_in")


# Reading ---------------------------------------------------------------------------------------------------------


def _window(session: Session, campaign: Campaign, asked: Asked, *, now: datetime) -> Window:
    if asked.grain == "hour":
        end = clock.hour_of((asked.until or now) - timedelta(microseconds=1)) + 1
        first = clock.hour_of(asked.since) if asked.since else end - 24
        if end - first > MOST_HOURS:
            raise Invalid(f"By hour at most {MOST_HOURS // 24} days are answered.", pointer="/since")
        return Window("hour", first, end)
    end = _day(campaign, (asked.until or now) - timedelta(microseconds=1)) + 1
    first = _day(campaign, asked.since) if asked.since else _first_day(session, campaign.id, end)
    if end - first > MOST_DAYS:
        raise Invalid(f"At most {MOST_DAYS} days are answered.", pointer="/since")
    return Window("day", first, end)


def _day(campaign: Campaign, instant: datetime) -> int:
    return (clock.civil_day(instant, campaign.time_zone) - clock.EPOCH.date()).days


def _first_day(session: Session, campaign_id: UUID, end: int) -> int:
    """The day of the first scan that was counted, as far back as is answered; the last day without one."""
    mine = (col(ScanRollup.campaign_id) == campaign_id, ScanRollup.dimension == "", ScanRollup.span == "day")
    first = session.exec(select(func.min(ScanRollup.period)).where(*mine, ScanRollup.phase == "live")).one()
    return end - 1 if first is None else min(max(first, end - MOST_DAYS), end - 1)


def _rows(session: Session, campaign_id: UUID, asked: Asked, window: Window, fresh: Sums) -> list[Any]:
    """The sums of a window, by what the question tells apart: the period, the value."""
    named = [*([col(ScanRollup.period)] if asked.grain else []), *([col(ScanRollup.value)] if asked.by else [])]
    query = columns(*named, *_SUMS).where(
        col(ScanRollup.campaign_id) == campaign_id,
        col(ScanRollup.dimension) == asked.dimension,
        col(ScanRollup.span) == window.span,
        col(ScanRollup.phase) == "live",
        col(ScanRollup.period) >= window.first,
        col(ScanRollup.period) < window.end,
        *(col(ScanRollup.value) == one for one in asked.where.values()),
    )
    return [*session.execute(query.group_by(*named)), *_fresh_rows(campaign_id, asked, window, fresh)]


def _fresh_rows(campaign_id: UUID, asked: Asked, window: Window, fresh: Sums) -> Iterator[SimpleNamespace]:
    """The same of the scans that wait, as the rollups will have them."""
    wanted = (campaign_id, asked.dimension, window.span, "live")
    for (*about, period, value), numbers in fresh.items():
        is_within = tuple(about) == wanted and window.first <= period < window.end
        if is_within and value in (asked.where or {"": value}).values():
            yield SimpleNamespace(period=period, value=value, **dict(zip(COLUMNS, numbers, strict=True)))


# Answering -------------------------------------------------------------------------------------------------------


def _require_few(number: int) -> None:
    if number > MOST_GROUPS:
        raise Invalid(f"These are {number} lines; at most {MOST_GROUPS} are answered.", pointer="/group_by")


def _total(session: Session, campaign_id: UUID, asked: Asked, window: Window, fresh: Sums) -> Line:
    alone = replace(asked, group_by=())  # by the filters alone: a day's visitor of two places is one
    found = _Sum()
    for row in _rows(session, campaign_id, alone, window, fresh):
        found.add(row, COUNTED)
    has_visitors = window.span == "day" and alone.dimension in WITH_VISITORS
    return Line({}, found.figures, found.visitors if has_visitors else None)


def _lines(asked: Asked, rows: Sequence[Any]) -> list[Line]:
    """Rows as lines. Weeks are summed from their days; a verdict's line has its scans alone."""
    found: dict[tuple[Any, ...], _Sum] = defaultdict(_Sum)
    for row in rows:
        keys = _keys(asked, row)
        if "verdict" not in asked.group_by:
            found[keys].add(row, COUNTED)
            continue
        for verdict in COUNTED:
            if getattr(row, verdict):
                found[tuple(verdict if one is None else one for one in keys)].add(row, (verdict,))
    has_visitors = _has_visitors(asked)
    return [
        Line(dict(zip(asked.group_by, keys, strict=True)), one.figures, one.visitors if has_visitors else None)
        for keys, one in found.items()
    ]


@dataclass(slots=True)
class _Sum:
    figures: Figures = field(default_factory=Figures)
    visitors: int = 0

    def add(self, row: Any, verdicts: Sequence[str]) -> None:
        for verdict in verdicts:
            self.figures.by_verdict[verdict] += int(getattr(row, verdict) or 0)  # PostgreSQL sums to a Decimal
        if Verdict.VALID in verdicts:
            self.figures.verified += int(row.verified or 0)
        self.visitors += int(row.visitors or 0)


def _has_visitors(asked: Asked) -> bool:
    is_kept = asked.dimension in WITH_VISITORS
    return is_kept and asked.grain != "hour" and "verdict" not in asked.group_by


def _keys(asked: Asked, row: Any) -> tuple[Any, ...]:
    """What tells the line of a row, in the order asked for; None where the verdict comes."""
    keys: list[Any] = []
    for one in asked.group_by:
        if one == asked.grain:
            keys.append(week_of(row.period) if one == "week" else row.period)
        elif one == "verdict":
            keys.append(None)
        else:
            keys.append(row.value)
    return tuple(keys)


def _without_gaps(asked: Asked, lines: list[Line], window: Window) -> list[Line]:
    """Lines in the order of time, with a line of zeros wherever nobody scanned."""
    grain = str(asked.grain)
    periods = range(window.first, window.end)
    if grain == "week":
        periods = range(week_of(window.first), week_of(window.end - 1) + 1)
    others: dict[tuple[Any, ...], dict[Any, Line]] = defaultdict(dict)
    for line in lines:
        others[tuple(value for name, value in line.keys.items() if name != grain)][line.keys[grain]] = line
    if len(asked.group_by) == 1:
        others.setdefault((), {})
    _require_few(len(others) * len(periods))
    names = [one for one in asked.group_by if one != grain]
    empty = 0 if _has_visitors(asked) else None
    found = []
    for period in periods:
        for other in sorted(others):
            keys = {grain: period, **dict(zip(names, other, strict=True))}
            line = others[other].get(period) or Line(keys, Figures(), empty)
            found.append(Line({one: keys[one] for one in asked.group_by}, line.figures, line.visitors))
    return found


# Acts ------------------------------------------------------------------------------------------------------------

_OF_TOKEN: Final = {"channel": Token.channel, "medium": Token.medium}


class Acts(NamedTuple):
    """Counted check-ins of a window and the people who made them; None where the filter says nothing of them."""

    check_ins: int | None
    people: int | None


def acts_of(session: Session, campaign: Campaign, asked: Asked, window: Window) -> Acts:
    """Counted check-ins, by what the figures are filtered by: a code, place, channel or medium."""
    if any(one in asked.where for one in ("device", "language", "country")):
        return Acts(None, None)
    since, until = bounds(campaign, window)
    query = columns(func.count(), func.count(func.distinct(col(CheckIn.participant_id)))).where(
        col(CheckIn.campaign_id) == campaign.id,
        col(CheckIn.counted),
        col(CheckIn.phase) == "live",
        col(CheckIn.id) >= ids.first_of(since),
        col(CheckIn.id) < ids.first_of(until),
    )
    for name, value in asked.where.items():
        if name in _OF_TOKEN:
            query = query.where(col(CheckIn.token_id).in_(_tokens(campaign.id, name, value)))
        elif name == "place":
            query = query.where(col(CheckIn.place_id) == ids.parse("plc", value))
        else:
            query = query.where(_is_of_code(value))
    return Acts(*session.execute(query).one())


def _tokens(campaign_id: UUID, name: str, value: str) -> Any:
    column: Any = _OF_TOKEN[name]
    return columns(col(Token.id)).where(col(Token.campaign_id) == campaign_id, func.coalesce(column, "") == value)


def _is_of_code(value: str) -> Any:
    if value.startswith("tbt_"):
        return col(CheckIn.token_id).in_(columns(col(Token.id)).where(col(Token.batch_id) == ids.parse("tbt", value)))
    return col(CheckIn.token_id) == ids.parse("tok", value)


def bounds(campaign: Campaign, window: Window) -> tuple[datetime, datetime]:
    """The instants a window lies between, where the campaign is."""
    if window.span == "hour":
        return clock.instant_of_hour(window.first), clock.instant_of_hour(window.end)
    return start_of(campaign, window.first), start_of(campaign, window.end)


def start_of(campaign: Campaign, day: int) -> datetime:
    """The instant at which a civil day since 1970 begins where the campaign is."""
    local = datetime.combine(date_of(day), datetime.min.time(), clock.zone(campaign.time_zone))
    return local.astimezone(clock.EPOCH.tzinfo)


def key_of(campaign: Campaign, name: str, value: Any) -> str | None:
    """How the key of a line is shown: an hour with its zone, a date, of a week its Monday; None where there is none."""
    if name == "hour":
        return clock.instant_of_hour(value).astimezone(clock.zone(campaign.time_zone)).isoformat()
    if name == "day":
        return date_of(value).isoformat()
    if name == "week":
        return date_of(first_day_of(value)).isoformat()
    return value or None


def date_of(day: int) -> date:
    """The date of a civil day since 1970."""
    return clock.EPOCH.date() + timedelta(days=day)
