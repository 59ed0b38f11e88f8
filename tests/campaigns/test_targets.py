"""Targets on both databases: what there is, what is to be expected, and forecasts kept beside what came."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from campaigns import stats
from campaigns.planning import Campaign
from campaigns.planning.models import ALL_KPIS
from campaigns.stats import kpis, targets
from campaigns.stats.watch import keep_forecasts
from campaigns.storage import Database
from tests.factories import NOON, make_campaign, make_organisation
from tests.scene import INSIDE, Scene, set_scene

DAY = timedelta(days=1)
END = NOON + 30 * DAY
EVERY = {kpi: 0.5 if kpi in ("bridge_rate", "return_rate") else 1000.0 for kpi in ALL_KPIS}


def flight(database: Database, **fields: Any) -> Scene:
    return set_scene(database, campaign={"targets": EVERY, "ends_at": END, **fields})


def standing(scene: Scene, now: datetime) -> dict[str, targets.TargetStanding]:
    with scene.database.snapshot() as session:
        campaign = session.get_one(Campaign, scene.campaign.id)
        return {one.target.kpi: one for one in stats.reached(session, campaign, now=now)}


def visit(scene: Scene, at: datetime, number: int) -> None:
    """Somebody comes, is confirmed and checks in; the first of a day gives an idea too."""
    row = scene.scan_and_confirm(at=at, visitor_key=number)
    done = scene.check_in(row, now=at, position=INSIDE)
    if number % 10 == 1:
        scene.post_idea(done.person, now=at, client_id=f"i-{number}")


def busy(scene: Scene, days: int, *, a_day: int = 2) -> None:
    number = 0
    for day in range(days):
        for _ in range(a_day):
            number += 1
            visit(scene, NOON + day * DAY + timedelta(minutes=7 * number), number)
    scene.drain(now=NOON + days * DAY)


def test_values_come_from_live_acts_and_what_nobody_measures_is_null(database: Database) -> None:
    scene = flight(database)
    busy(scene, 3)
    found = standing(scene, NOON + 3 * DAY)
    values = {kpi: one.value for kpi, one in found.items()}
    assert values == {
        "verified_scans": 6, "unique_visitors": 6, "participants": 6, "check_ins": 6, "completions": 7, "ideas": 1,
        "votes": 0, "referrals": 0, "coupons_redeemed": 0, "conversions": None, "revenue_minor": None,
        "bridge_rate": round(1 / 6, 4), "return_rate": None,
    }  # fmt: skip
    check_ins = found["check_ins"]
    assert (check_ins.progress, check_ins.is_reached, check_ins.is_on_course) == (0.006, False, False)
    assert check_ins.expected == pytest.approx(100), "a tenth of the flight is over"
    assert found["bridge_rate"].expected == 0.5, "a rate is expected to be what it is"
    assert found["conversions"].reason == targets.NOT_MEASURED
    assert found["return_rate"].reason == targets.TOO_FEW


def test_each_day_of_a_count_is_what_came_on_it(database: Database) -> None:
    scene = flight(database)
    busy(scene, 4, a_day=3)
    first = (NOON.date() - datetime(1970, 1, 1, tzinfo=UTC).date()).days
    with database.snapshot() as session:
        campaign = session.get_one(Campaign, scene.campaign.id)
        for kpi, wanted in (("check_ins", [3] * 4), ("participants", [3] * 4), ("verified_scans", [3] * 4)):
            assert kpis.by_day(session, campaign, kpi, first, first + 4) == wanted, kpi
        assert kpis.by_day(session, campaign, "unique_visitors", first, first + 4) == [3] * 4
        assert kpis.by_day(session, campaign, "ideas", first, first + 4) == [1, 0, 0, 1]
        assert kpis.by_day(session, campaign, "completions", first, first + 4) == [4, 3, 3, 4]
        for kpi in ("votes", "referrals", "coupons_redeemed"):
            assert kpis.by_day(session, campaign, kpi, first, first + 4) == [0] * 4, kpi
        assert kpis.by_day(session, campaign, "check_ins", first, first) == []


def test_nothing_of_a_pilot_is_in_a_day(database: Database) -> None:
    scene = flight(database)
    busy(scene, 2)
    with database.transaction() as session:
        for table in ("check_ins", "memberships", "step_completions", "ideas"):
            session.execute(text(f"UPDATE {table} SET phase = 'pilot'"))
    first = (NOON.date() - datetime(1970, 1, 1, tzinfo=UTC).date()).days
    with database.snapshot() as session:
        campaign = session.get_one(Campaign, scene.campaign.id)
        for kpi in ("check_ins", "participants", "completions", "ideas"):
            assert kpis.by_day(session, campaign, kpi, first, first + 2) == [0, 0], kpi


def test_a_forecast_a_day_is_kept_and_later_stands_beside_what_came(database: Database) -> None:
    scene = flight(database, ends_at=NOON + 12 * DAY)
    busy(scene, 9)
    early, late = NOON + 5 * DAY, NOON + 9 * DAY
    assert keep_forecasts(database, now=early) == 1
    assert keep_forecasts(database, now=early + timedelta(hours=1)) == 0, "one a civil day"
    assert standing(scene, early)["check_ins"].reason == targets.TOO_EARLY
    assert keep_forecasts(database, now=late) == 1
    told = standing(scene, late)["check_ins"]
    # Two a day; left are half a day, two whole ones and, as the clocks have changed by then, eleven hours.
    assert told.kept is not None
    assert (told.kept.value, told.reason) == (18, None)
    assert told.kept.forecast == pytest.approx(18 + 2 * (2.5 + 11 / 24))
    visit(scene, NOON + 10 * DAY, 777)
    over = NOON + 13 * DAY
    assert keep_forecasts(database, now=over) == 0, "the flight is over"
    found = standing(scene, over)["check_ins"]
    assert (found.reason, found.value, found.kept, found.expected) == (targets.ENDED, 19, None, 1000)
    with database.snapshot() as session:
        kept = stats.forecasts_of(session, scene.campaign.id, kpi="check_ins")
    assert [(one.forecast, one.value, one.reason) for one in kept] == [
        (told.kept.forecast, 18, None),
        (None, 18, targets.TOO_EARLY),
    ]


def test_a_rate_is_held_and_not_summed(database: Database) -> None:
    scene = flight(database, ends_at=None)
    busy(scene, 3, a_day=4)
    keep_forecasts(database, now=NOON + 3 * DAY)
    found = standing(scene, NOON + 3 * DAY)
    rate, count = found["bridge_rate"], found["check_ins"]
    assert rate.kept is not None
    assert rate.kept.low is not None
    assert rate.kept.high is not None
    assert rate.kept.low < rate.kept.forecast < rate.kept.high  # type: ignore[operator]
    assert rate.kept.forecast == pytest.approx(2 / 12)
    assert (count.reason, count.expected) == (targets.NO_END, None)


def test_before_the_launch_nothing_is_forecast(database: Database) -> None:
    scene = set_scene(database, live=False, campaign={"targets": {"check_ins": 10.0}, "ends_at": END})
    assert keep_forecasts(database, now=NOON + 10 * DAY) == 0
    found = standing(scene, NOON + DAY)["check_ins"]
    assert (found.reason, found.value, found.expected, found.is_on_course) == (targets.NOT_BEGUN, 0, None, None)


def test_a_campaign_that_starts_later_is_expected_to_have_nothing_yet(database: Database) -> None:
    scene = flight(database, starts_at=NOON + 10 * DAY)
    assert keep_forecasts(database, now=NOON + DAY) == 0
    assert standing(scene, NOON + DAY)["check_ins"].reason == targets.NOT_BEGUN
    assert standing(scene, NOON + 20 * DAY)["check_ins"].expected == pytest.approx(500)


def test_the_days_of_a_flight_are_those_of_its_zone(database: Database) -> None:
    """A launch at midnight in Paris has that day whole, also over the night the clocks change."""
    midnight = datetime(2026, 10, 19, 22, tzinfo=UTC)
    with database.transaction() as session:
        organisation = make_organisation(session)
        campaign = make_campaign(session, organisation, now=midnight, ends_at=midnight + 14 * DAY)
        late = make_campaign(session, organisation, now=midnight + timedelta(hours=1))
    now = datetime(2026, 10, 26, 23, tzinfo=UTC)  # midnight of the 27th, in winter time
    first, end = targets._whole_days(campaign, now)
    assert end - first == 7
    assert targets._whole_days(late, now) == (first + 1, end), "a day that began before the launch is no whole one"
    left = list(targets._left(campaign, now))
    assert left[:-1] == [1.0] * 6
    assert left[-1] == pytest.approx(23 / 24), "it ends an hour before midnight, as midnight is now"
