"""The funnel of a campaign: from the hit to the redeemed coupon, how many came how far, how fast, and where they left.

Scans are counted by the rollups, people by their own tables. No group of one to four people is shown.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Final, NamedTuple

from sqlmodel import Session

from campaigns import ids
from campaigns.missions.insiders import LEAST_GROUP
from campaigns.planning import Campaign
from campaigns.scans.figures import Figures
from campaigns.stats import people as ways
from campaigns.stats.cohorts import Cohort, cohorts
from campaigns.stats.conversions import number_told
from campaigns.stats.people import Counts, Group, Way
from campaigns.stats.service import Answer, Asked, ask, asked_bounds, code_ids, date_of
from campaigns.stats.source import Window

FUNNEL_FORMULA: Final = "funnel/1"  # people by their first counted check-in; of them who did each step until now
DROP_OFF_FORMULA: Final = "drop_off/1"  # who did a step and not the next, by place or code
OF_SCANS: Final = ("hit", "scan", "verified")
OF_PEOPLE: Final = ("check_in", "join", "online_act", "coupon", "redemption")
CONVERSION: Final = "conversion"
STEPS: Final = (*OF_SCANS, *OF_PEOPLE, CONVERSION)
MOST_DROP_OFFS: Final = 100


@dataclass(frozen=True)
class Reached:
    """A step: how many scans or people reached it, and how many of those had reached the step before.

    `number` is None where nothing is measured or a group is too small to be shown. `median_s` and `p90_s` are of the
    time since the step before, of `timed` people; None of fewer than five.
    """

    step: str
    number: int | None
    from_before: int | None = None
    median_s: int | None = None
    p90_s: int | None = None
    timed: int = 0

    @property
    def unit(self) -> str:
        if self.step == CONVERSION:
            return "conversions"
        return "scans" if self.step in OF_SCANS else "people"


@dataclass(frozen=True)
class DropOff:
    """That of who reached a step at a place, or with a code, so many did not do the next one."""

    key: str
    step: str
    next: str
    reached: int
    lost: int

    @property
    def unit(self) -> str:
        return "scans" if self.step in OF_SCANS else "people"


class Funnel(NamedTuple):
    """All of it. `sampled` people of `people` were read for times and cohorts: all, or some 5,000 drawn by chance."""

    window: Window
    steps: list[Reached]
    groups: dict[str, list[Reached]]
    drop_offs: list[DropOff]
    cohorts: list[Cohort]
    figures: Figures
    bridge_rate: float | None
    people: int
    sampled: int
    complete_up_to: datetime


def group_of(campaign: Campaign, asked: Asked, window: Window) -> Group:
    """The people that belong to a question."""
    since, until = asked_bounds(campaign, asked, window)
    place, token = asked.where.get("place"), asked.where.get("token")
    return Group(
        campaign.id,
        since,
        until,
        ids.parse("plc", place) if place else None,
        code_ids(token) if token else None,
    )


def is_whole(asked: Asked) -> bool:
    """Whether all of a campaign is asked for, without a time or a filter."""
    return asked.since is asked.until is None and not asked.where


def funnel(
    session: Session, campaign: Campaign, asked: Asked, *, can_measure: bool, by: str | None, now: datetime
) -> Funnel:
    """The funnel of a campaign, or of a time, place or code of it; `by` place or token with a group each.

    Invalid for what `ask` refuses.
    """
    answer = ask(session, campaign, Asked(asked.since, asked.until, (by,) if by else (), asked.where), now=now)
    group = group_of(campaign, asked, answer.window)
    (whole,) = ways.count_people(session, group)
    drawn = ways.sample(session, group, people=whole.check_in)
    is_shown = is_whole(asked) or _is_enough(whole)
    sold = _sold(session, asked, group, answer.window)
    steps = list(_steps(answer.total.figures, whole, can_measure, is_shown=is_shown, drawn=drawn, sold=sold))
    groups = _groups(session, group, answer, by, can_measure) if by else {}
    rate = round(whole.online_act / whole.check_in, 4) if whole.check_in and is_shown else None
    return Funnel(
        answer.window,
        steps,
        groups,
        _drop_offs(groups),
        cohorts(session, campaign, drawn, now=now),
        answer.total.figures,
        rate,
        whole.check_in,
        len(drawn),
        answer.complete_up_to,
    )


def _sold(session: Session, asked: Asked, group: Group, window: Window) -> int | None:
    return number_told(
        session,
        group.campaign_id,
        since=date_of(window.first) if asked.since else None,
        until=date_of(window.end) if asked.until else None,
        place_id=group.place_id,
        token_ids=group.token_ids,
    )


def _is_enough(counts: Counts) -> bool:
    return counts.check_in == 0 or counts.check_in >= LEAST_GROUP


def _steps(
    figures: Figures,
    counts: Counts,
    can_measure: bool,
    *,
    is_shown: bool,
    drawn: Sequence[Way] = (),
    sold: int | None = None,
) -> Iterator[Reached]:
    """Each step of one group. Conversions are of sales, not of the same people: no share of the step before."""
    verified = figures.verified if figures.verified or can_measure else None
    yield Reached("hit", figures.raw)
    yield Reached("scan", figures.human, figures.human)
    yield Reached("verified", verified, verified)
    before = {
        "check_in": counts.check_in,
        "join": counts.join,
        "online_act": counts.online_act_on,
        "coupon": counts.coupon_on,
        "redemption": counts.redemption,
    }
    for step in OF_PEOPLE:
        if not is_shown:
            yield Reached(step, None)
            continue
        yield Reached(step, getattr(counts, step), before[step], *_times(_GAPS[step], drawn))
    yield Reached(CONVERSION, sold)


def _since(before: str, step: str) -> Callable[[Way], float | None]:
    def gap(way: Way) -> float | None:
        start, end = getattr(way, before), getattr(way, step)
        return None if start is None or end is None or end < start else (end - start).total_seconds()

    return gap


def _since_scan(way: Way) -> float | None:
    return None if way.by_staff else max(0.0, (way.check_in - ids.instant_of(way.scan_id)).total_seconds())


_GAPS: dict[str, Callable[[Way], float | None]] = {
    "check_in": _since_scan,
    **{step: _since(before, step) for before, step in pairwise(OF_PEOPLE)},
}


def _times(gap: Callable[[Way], float | None], drawn: Sequence[Way]) -> tuple[int | None, int | None, int]:
    """Median and nine tenths of the times, by nearest rank, and of how many people."""
    found = sorted(time for time in map(gap, drawn) if time is not None)
    if len(found) < LEAST_GROUP:
        return None, None, len(found)
    return round(_rank(found, 0.5)), round(_rank(found, 0.9)), len(found)


def _rank(values: Sequence[float], share: float) -> float:
    return values[min(len(values) - 1, int(len(values) * share))]


def _groups(session: Session, group: Group, answer: Answer, by: str, can_measure: bool) -> dict[str, list[Reached]]:
    """A funnel for each place or code, of people by the place or code of their first check-in."""
    found = {one.key: one for one in ways.count_people(session, group, by)}
    scanned = {str(line.keys[by]): line.figures for line in answer.lines}
    groups = {}
    for key in sorted(scanned.keys() | found.keys()):
        figures, counts = scanned.get(key, Figures()), found.get(key, _NOBODY)
        groups[key] = list(_steps(figures, counts, can_measure, is_shown=_is_enough(counts)))
    return groups


_NOBODY: Final = Counts("", 0, 0, 0, 0, 0, 0, 0)


def _drop_offs(groups: dict[str, list[Reached]]) -> list[DropOff]:
    """Where most were lost, most first. Robots are no loss, and no people are taken from scans."""
    found = []
    for key, steps in groups.items():
        for one, after in pairwise(steps[1:]):
            if one.unit != after.unit or one.number is None or after.from_before is None:
                continue
            lost = one.number - after.from_before
            if lost > 0:
                found.append(DropOff(key, one.step, after.step, one.number, lost))
    found.sort(key=lambda one: (-one.lost, one.key, one.step))
    return found[:MOST_DROP_OFFS]
