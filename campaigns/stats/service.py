"""Questions to the rollups: figures of a campaign over a time, by a time and a group, of what a filter leaves.

Never from counting rows: a question costs as much after ten million scans as after a hundred thousand.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import Integer, bindparam, cast, func, literal_column, not_, or_
from sqlalchemy import select as columns
from sqlmodel import Session, col

from campaigns import clock, ids, prepared, scans
from campaigns.errors import Invalid
from campaigns.events import Event
from campaigns.planning import Campaign
from campaigns.scans.figures import Figures
from campaigns.scans.models import CheckIn, ScanRollup
from campaigns.scans.rollup_weeks import first_day_of, week_of
from campaigns.scans.rollup_writing import COUNTED, DIMENSIONS
from campaigns.scans.rollups import WITH_VISITORS, Rollups, derive
from campaigns.scans.verdict import Verdict
from campaigns.stats.source import SUMMED, Source, Window
from campaigns.tokens import Token

GRAINS: Final = ("hour", "day", "week")
GROUPS: Final = (*GRAINS, *DIMENSIONS, "verdict")
MOST_HOURS: Final = 92 * 24
MOST_DAYS: Final = 1100  # three years, and a day to spare
MOST_GROUPS: Final = 10_000
FRESH: Final = 500  # scans that wait for the worker are read, so many at most


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
    def by(self) -> tuple[str, ...]:
        """The dimensions it is grouped by."""
        return tuple(one for one in self.group_by if one in DIMENSIONS)

    @property
    def named(self) -> tuple[str, ...]:
        """The dimensions it is grouped or filtered by, in the order of the rollups."""
        return tuple(one for one in DIMENSIONS if one in self.group_by or one in self.where)

    @property
    def dimension(self) -> str:
        """What the rollups call that: empty without, `token,device` for two."""
        return ",".join(self.named)

    def check(self) -> None:
        """Invalid for what cannot be answered, with what can."""
        for one in self.group_by:
            if one not in GROUPS:
                raise Invalid(f"There is no group {one[:40]!r}; there are {', '.join(GROUPS)}.", pointer="/group_by")
        if len(set(self.group_by)) != len(self.group_by) or len(self.group_by) > 2:
            raise Invalid("Group by one thing, or by two different ones.", pointer="/group_by")
        if len([one for one in self.group_by if one in GRAINS]) > 1:
            raise Invalid("Group by one of hour, day and week.", pointer="/group_by")
        if len(self.named) > (1 if self.grain == "hour" else 2):
            raise Invalid(
                f"Groups and filters may name two of {', '.join(DIMENSIONS)}, or one by the hour.",
                pointer="/group_by",
            )
        if self.since and self.until and self.since >= self.until:
            raise Invalid("`until` must be after `since`.", pointer="/until")


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
    source = Source(session, campaign.id, window, fresh, _first_of(session, campaign.id))
    total = _total(source, asked)
    lines = _lines(asked, source.sums(asked.named, asked.by, asked.grain, asked.where)) if asked.group_by else []
    if asked.grain is not None:
        lines = _without_gaps(asked, lines, window)
    else:
        _require_few(len(lines))
        lines.sort(key=lambda one: (-one.figures.verified, -one.figures.raw, str(one.keys)))
    return Answer(window, total, lines, complete_up_to)


def fresh_sums(session: Session, now: datetime) -> tuple[Rollups, datetime]:
    """What the scans add that the worker has not counted yet: a scan is in the figures as soon as it was answered.

    Some hundreds of them; and since when there are more, or a confirmation waits for the judge.
    """
    late: datetime | None = prepared.value(session, _UNJUDGED)
    scan_ids: list[str] = []
    for payload, recorded_at in prepared.rows(session, _WAITING):
        more = json.loads(payload)["scan_ids"]
        if len(scan_ids) + len(more) > FRESH:
            late = min(recorded_at, late or recorded_at)
            break
        scan_ids += more
    return derive(session, map(UUID, scan_ids)), late or now


_UNJUDGED: Final = columns(func.min(col(Event.recorded_at))).where(
    or_(*(col(Event.name) == one for one in ("scans.confirmed", "scans.located", "scan.checked_in")))
)
_WAITING: Final = (
    columns(col(Event.payload), col(Event.recorded_at))
    .where(col(Event.name) == "scans.recorded")
    .order_by(col(Event.id))
    .limit(FRESH)
)


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
    first = _first_of(session, campaign_id)
    return end - 1 if first is None else min(max(first, end - MOST_DAYS), end - 1)


def _first_of(session: Session, campaign_id: UUID) -> int | None:
    found: int | None = prepared.value(session, _FIRST_DAY, campaign=campaign_id)
    return found


_FIRST_DAY: Final = columns(func.min(col(ScanRollup.period))).where(
    col(ScanRollup.campaign_id) == bindparam("campaign"),
    col(ScanRollup.dimension) == "",
    col(ScanRollup.span) == "day",
    col(ScanRollup.phase) == "live",
)


# Answering -------------------------------------------------------------------------------------------------------


def _require_few(number: int) -> None:
    if number > MOST_GROUPS:
        raise Invalid(f"These are {number} lines; at most {MOST_GROUPS} are answered.", pointer="/group_by")


def _total(source: Source, asked: Asked) -> Line:
    alone = replace(asked, group_by=())  # by the filters alone: a day's visitor of two places is one
    (numbers,) = source.sums(alone.named, (), None, alone.where).values()
    return Line({}, _figures(numbers), numbers[-1] if _has_visitors(alone) and source.window.span == "day" else None)


def _lines(asked: Asked, sums: Mapping[tuple[Any, ...], Sequence[int]]) -> list[Line]:
    """Sums as lines. A verdict's line has its scans alone."""
    order = sorted(range(len(asked.group_by)), key=lambda at: asked.group_by[at] != asked.grain)
    names = [asked.group_by[at] for at in order if asked.group_by[at] != "verdict"]
    found: list[Line] = []
    has_visitors = _has_visitors(asked)
    for keys, numbers in sums.items():
        named = dict(zip(names, keys, strict=True))
        if "verdict" in asked.group_by:
            found += _by_verdict(asked, named, numbers)
        else:
            shown = {one: named[one] for one in asked.group_by}
            found.append(Line(shown, _figures(numbers), numbers[-1] if has_visitors else None))
    return found


def _by_verdict(asked: Asked, named: Mapping[str, Any], numbers: Sequence[int]) -> Iterator[Line]:
    for verdict, number in zip(COUNTED, numbers, strict=False):
        if number:
            keys = {one: named.get(one, verdict) for one in asked.group_by}
            verified = numbers[_VERIFIED] if verdict == Verdict.VALID else 0
            yield Line(keys, Figures(defaultdict(int, {verdict: number}), verified), None)


_VERIFIED: Final = SUMMED.index("verified")


def _figures(numbers: Sequence[int]) -> Figures:
    return Figures(defaultdict(int, zip(COUNTED, numbers, strict=False)), numbers[_VERIFIED])


def _has_visitors(asked: Asked) -> bool:
    is_kept = asked.dimension in WITH_VISITORS
    return is_kept and asked.grain != "hour" and "verdict" not in asked.group_by


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


# As the index says it: bound values would keep SQLite from counting in the index alone.
_IS_PUBLIC: Final = (col(CheckIn.counted), col(CheckIn.phase) == literal_column("'live'"))
_LATE: Final = func.coalesce(func.sum(cast(col(CheckIn.is_late), Integer)), 0)


class Acts(NamedTuple):
    """Counted check-ins of a window, the late ones of them, and the people who made them.

    None where the filter says nothing of them, and where it was not asked for people.
    """

    check_ins: int | None
    late: int | None
    people: int | None


def acts_of(session: Session, campaign: Campaign, asked: Asked, window: Window, *, with_people: bool = True) -> Acts:
    """Counted check-ins, by what the figures are filtered by: a code, place, channel or medium."""
    if any(one in asked.where for one in ("device", "language", "country")):
        return Acts(None, None, None)
    first, end = (ids.first_of(one) if one else None for one in asked_bounds(campaign, asked, window))
    if asked.where:
        return _acts_where(session, campaign.id, asked.where, _among(first, end), with_people=with_people)
    found = scans.visits_between(session, campaign.id, first, end)
    again = _again(session, campaign.id, first, end) if with_people and first else 0
    return Acts(found.check_ins, found.late, found.firsts + again if with_people else None)


def _acts_where(
    session: Session, campaign_id: UUID, asked: Mapping[str, str], among: Iterable[Any], *, with_people: bool
) -> Acts:
    where = [col(CheckIn.campaign_id) == campaign_id, *_IS_PUBLIC, *among]
    for name, value in asked.items():
        if name in _OF_TOKEN:
            where.append(col(CheckIn.token_id).in_(_tokens(campaign_id, name, value)))
        elif name == "place":
            where.append(col(CheckIn.place_id) == ids.parse("plc", value))
        else:
            where.append(col(CheckIn.token_id).in_(code_ids(value)))
    people = [func.count(func.distinct(col(CheckIn.participant_id)))] if with_people else []
    check_ins, late, *rest = session.execute(columns(func.count(), _LATE, *people).where(*where)).one()
    return Acts(check_ins, int(late), rest[0] if rest else None)


def _among(first: UUID | None, end: UUID | None) -> Iterator[Any]:
    if first is not None:
        yield col(CheckIn.id) >= first
    if end is not None:
        yield col(CheckIn.id) < end


def _again(session: Session, campaign_id: UUID, first: UUID, end: UUID | None) -> int:
    """How many people came in a time who had come before it: of each, the check-in before which they last came then."""
    again = columns(func.count()).where(
        col(CheckIn.campaign_id) == campaign_id,
        *_IS_PUBLIC,
        not_(col(CheckIn.is_first)),
        *_among(first, end),
        col(CheckIn.came_before_at) < ids.instant_of(first),
    )
    return int(session.execute(again).scalar_one())


def _tokens(campaign_id: UUID, name: str, value: str) -> Any:
    column: Any = _OF_TOKEN[name]
    return columns(col(Token.id)).where(col(Token.campaign_id) == campaign_id, func.coalesce(column, "") == value)


def code_ids(value: str) -> Any:
    """The ids of what is counted as one code: itself, or the query of a batch's serials."""
    if value.startswith("tbt_"):
        return columns(col(Token.id)).where(col(Token.batch_id) == ids.parse("tbt", value))
    return [ids.parse("tok", value)]


def asked_bounds(campaign: Campaign, asked: Asked, window: Window) -> tuple[datetime | None, datetime | None]:
    """The same where a time was asked for. Without one there is no end: the day of the first scan where it was may
    begin later than it does where the campaign is, and by hours the window is a day.
    """
    since, until = bounds(campaign, window)
    is_open = window.span == "day"
    return None if is_open and asked.since is None else since, None if is_open and asked.until is None else until


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
