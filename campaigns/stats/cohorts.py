"""Who comes back: people by the civil week of their first counted check-in, and how many of them acted weeks later."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple
from uuid import UUID

from sqlmodel import Session

from campaigns import clock
from campaigns.missions.insiders import LEAST_GROUP
from campaigns.planning import Campaign
from campaigns.scans.rollup_weeks import first_day_of, week_of
from campaigns.stats import people as ways
from campaigns.stats.people import Way
from campaigns.stats.service import date_of

COHORT_FORMULA: Final = "cohort_retention/1"  # of a week's new people, who did any act so many weeks later
MOST_WEEKS: Final = 53
_SLOT_S: Final = 900  # days begin on a quarter of an hour everywhere


class Cohort(NamedTuple):
    """People won in a week, named by its Monday; of them, who acted in that week, the next, and so on until now.

    `people` and `active` are None of one to four people. Of a sample both are of the people drawn.
    """

    week: str
    people: int | None
    active: list[int] | None


def cohorts(session: Session, campaign: Campaign, drawn: Sequence[Way], *, now: datetime) -> list[Cohort]:
    """The last 53 weeks since people were won, oldest first, weeks without any among them; of the people drawn.

    An act is a counted check-in, an idea, or a verified completion of an online step.
    """
    acts = ((id, _week(campaign, at)) for id, at in ways.acts_of(session, campaign.id, drawn))
    weeks: dict[UUID, set[int]] = defaultdict(set)
    for id, week in acts:
        weeks[id].add(week)
    firsts = {way.participant_id: _week(campaign, way.check_in) for way in drawn}
    return list(_cohorts(firsts, weeks, last=_week(campaign, now)))


def _cohorts(firsts: dict[UUID, int], weeks: dict[UUID, set[int]], *, last: int) -> Iterable[Cohort]:
    if not firsts:
        return
    size = Counter(firsts.values())
    active: Counter[tuple[int, int]] = Counter()
    for id, first in firsts.items():
        active.update((first, week - first) for week in weeks[id] if week >= first)
    for first in range(max(min(size), last - MOST_WEEKS + 1), last + 1):
        name = date_of(first_day_of(first)).isoformat()
        if 0 < size[first] < LEAST_GROUP:
            yield Cohort(name, None, None)
        else:
            yield Cohort(name, size[first], [active[first, later] for later in range(last - first + 1)])


def _week(campaign: Campaign, at: datetime) -> int:
    return _week_of(campaign.time_zone, int(at.timestamp()) // _SLOT_S)


@lru_cache(1 << 16)
def _week_of(time_zone: str, slot: int) -> int:
    at = clock.EPOCH + timedelta(seconds=slot * _SLOT_S)
    return week_of((clock.civil_day(at, time_zone) - clock.EPOCH.date()).days)
