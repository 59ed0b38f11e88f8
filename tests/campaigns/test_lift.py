"""Lift: golden numbers, quantiles against printed tables, and how often the intervals hold what is true.

The simulations draw conversions and amounts of known means, from fixed seeds. Tried by hand, each turning a test red:
the normal quantile instead of Student's t; no correction for a unit's weight; the squares of amounts left out; the
counts' own chance left out.
"""

import math
import random
from collections.abc import Sequence
from typing import NamedTuple

import pytest

from campaigns.stats import lift
from campaigns.stats.lift import Estimate, Unit

RUNS = 2000
BASKET = 8_000  # minor units
SPREAD = 0.7  # of the logarithm of an amount


def alike(units: int, exposures: int, conversions: int) -> list[Unit]:
    """An arm of so many equal units, every amount the basket."""
    each = conversions // units
    return [Unit(exposures // units, each, each * BASKET, float(each * BASKET**2)) for _ in range(units)]


def test_the_golden_campaign_loses_40_400() -> None:
    """1,200 of 100,000 against 900 of 100,000, basket 80, margin 40 %, cost 50,000 (DOMAIN §6)."""
    found = lift.between_units(alike(10, 100_000, 1200), alike(10, 100_000, 900))
    assert found.conversions.value == 300
    assert found.revenue_minor.value == 24_000_00
    profit = lift.profit(found.revenue_minor, margin=0.4, cost_minor=50_000_00)
    assert profit.value == pytest.approx(-40_400_00)
    roi = lift.roi(profit, cost_minor=50_000_00)
    assert roi.value == pytest.approx(-0.808)
    assert roi.high < 0


def test_of_200_000_sold_80_000_more_return_60_percent_and_not_300() -> None:
    exposed, holdout = Unit(100_000, 2500, 200_000_00), Unit(100_000, 1500, 120_000_00)
    more = lift.of_counts(exposed, holdout).revenue_minor
    assert more.value == 80_000_00
    assert lift.roi(lift.profit(more, margin=1.0, cost_minor=50_000_00), cost_minor=50_000_00).value == 0.6


def test_a_smaller_holdout_is_scaled_to_the_exposed() -> None:
    conversions, revenue = lift.incremental(Unit(90_000, 1200, 96_000_00), Unit(10_000, 90, 7_200_00))
    assert conversions == 1200 - 9 * 90
    assert revenue == 96_000_00 - 9 * 7_200_00


# Two-sided 95 % and 99 % points of Student's t, as printed tables have them (e.g. NIST/SEMATECH e-Handbook, 1.3.6.7.2).
@pytest.mark.parametrize(
    ("freedom", "at_975", "at_995"),
    [
        (1, 12.706, 63.657),
        (2, 4.303, 9.925),
        (3, 3.182, 5.841),
        (4, 2.776, 4.604),
        (5, 2.571, 4.032),
        (7, 2.365, 3.499),
        (10, 2.228, 3.169),
        (15, 2.131, 2.947),
        (18, 2.101, 2.878),
        (30, 2.042, 2.750),
        (60, 2.000, 2.660),
        (100, 1.984, 2.626),
    ],
)
def test_the_quantiles_of_students_t_are_those_of_the_tables(freedom: int, at_975: float, at_995: float) -> None:
    assert lift.t_quantile(0.975, freedom) == pytest.approx(at_975, abs=0.0006)
    assert lift.t_quantile(0.995, freedom) == pytest.approx(at_995, abs=0.0006)


def test_broken_degrees_of_freedom_lie_between_whole_ones_and_many_are_normal() -> None:
    assert lift.t_quantile(0.975, 4) > lift.t_quantile(0.975, 4.5) > lift.t_quantile(0.975, 5)
    assert lift.t_quantile(0.975, 1e6) == pytest.approx(1.95996, abs=1e-4)


@pytest.mark.parametrize(
    ("exposed", "holdout"),
    [
        (alike(4, 1000, 400), alike(10, 1000, 400)),  # four shops
        (alike(10, 1000, 400), alike(4, 1000, 400)),
        (alike(5, 1000, 15), alike(5, 1000, 400)),  # fifteen sales
        (alike(5, 1000, 400), alike(5, 1000, 0)),
        ([*alike(4, 1000, 400), Unit(0, 50)], alike(5, 1000, 400)),  # the fifth was exposed to nobody
        ([], []),
    ],
)
def test_too_little_is_called_too_few(exposed: list[Unit], holdout: list[Unit]) -> None:
    assert lift.is_too_few(exposed, holdout)
    with pytest.raises(ValueError, match="too few"):
        lift.between_units(exposed, holdout)


def test_units_that_are_all_the_same_still_have_the_chance_of_their_counts() -> None:
    exposed, holdout = alike(10, 100_000, 1200), alike(10, 100_000, 900)
    found = lift.between_units(exposed, holdout).conversions
    assert found.high - found.value == pytest.approx(1.95996 * math.sqrt(2100), rel=1e-4)


def test_one_shop_that_sells_far_more_proves_nothing() -> None:
    """Twice as much in all, all of it from one of ten places: the places differ, and that is all there is to see."""
    exposed = [*alike(9, 9000, 180), Unit(1000, 220, 220 * BASKET, 220.0 * BASKET**2)]
    found = lift.between_units(exposed, alike(10, 10_000, 200))
    assert found.conversions.value == 200
    assert found.conversions.holds_zero
    assert not lift.of_counts(Unit.total(exposed), Unit.total(alike(10, 10_000, 200))).conversions.holds_zero


# Coverage --------------------------------------------------------------------------------------------------------


class World(NamedTuple):
    """What is true: so many places a side, of this mean size and rate; how they differ; how much the campaign adds."""

    exposed: int
    holdout: int
    size: int
    rate: float
    differ: float  # coefficient of variation of places' rates
    sizes: float  # and of their sizes
    lift: float


def some_count(chance: random.Random, mean: float) -> int:
    """A Poisson number: arrivals within a time, by their gaps."""
    number, left = -1, mean
    while left > 0:
        left -= chance.expovariate(1.0)
        number += 1
    return max(number, 0)


def around_one(chance: random.Random, variation: float) -> float:
    return chance.gammavariate(1 / variation**2, variation**2) if variation else 1.0


def a_place(chance: random.Random, world: World, by: float) -> Unit:
    exposures = max(1, round(world.size * around_one(chance, world.sizes)))
    conversions = some_count(chance, exposures * world.rate * around_one(chance, world.differ) * by)
    amounts = [round(BASKET * math.exp(chance.gauss(-(SPREAD**2) / 2, SPREAD))) for _ in range(conversions)]
    return Unit(exposures, conversions, sum(amounts), float(sum(one * one for one in amounts)))


def coverage(world: World, *, counts_alone: bool = False) -> tuple[float, float]:
    """How often the intervals of conversions and of revenue hold the truth."""
    chance = random.Random(20261130)
    held = [0, 0]
    for _ in range(RUNS):
        exposed = [a_place(chance, world, 1 + world.lift) for _ in range(world.exposed)]
        holdout = [a_place(chance, world, 1.0) for _ in range(world.holdout)]
        totals = Unit.total(exposed), Unit.total(holdout)
        found = lift.of_counts(*totals) if counts_alone else lift.between_units(exposed, holdout)
        more = totals[0].exposures * world.rate * world.lift
        held[0] += covers(found.conversions, more)
        held[1] += covers(found.revenue_minor, more * BASKET)
    return held[0] / RUNS, held[1] / RUNS


def covers(found: Estimate, truth: float) -> bool:
    return found.low <= truth <= found.high


@pytest.mark.parametrize(
    "world",
    [
        World(10, 10, 600, 0.03, 0.2, 0.0, 0.3),
        World(10, 10, 600, 0.03, 0.2, 0.5, 0.0),
        World(10, 10, 600, 0.03, 0.4, 0.5, 0.3),
        World(15, 5, 600, 0.03, 0.2, 0.3, 0.3),
        World(15, 5, 600, 0.03, 0.3, 0.5, -0.2),
        World(20, 10, 400, 0.03, 0.3, 0.5, 0.1),
    ],
)
def test_intervals_between_places_hold_the_truth_93_to_97_times_in_100(world: World) -> None:
    for share in coverage(world):
        assert 0.93 <= share <= 0.97, share


@pytest.mark.parametrize(
    "world",
    [
        World(1, 1, 100_000, 0.002, 0.0, 0.0, 0.3),
        World(1, 1, 20_000, 0.01, 0.0, 0.0, 0.0),
        World(1, 1, 2000, 0.05, 0.0, 0.0, 0.2),
    ],
)
def test_intervals_of_counts_hold_the_truth_93_to_97_times_in_100(world: World) -> None:
    for share in coverage(world, counts_alone=True):
        assert 0.93 <= share <= 0.97, share


def test_where_places_differ_counts_alone_would_lie() -> None:
    """Why the interval is between places: of twenty that differ by 40 %, the counts alone cover far too little."""
    share, _ = coverage(World(10, 10, 600, 0.03, 0.4, 0.0, 0.3), counts_alone=True)
    assert share < 0.8


def test_where_places_are_all_alike_the_interval_is_a_little_wide_and_never_narrow() -> None:
    shares: Sequence[float] = coverage(World(10, 10, 600, 0.03, 0.0, 0.0, 0.3))
    assert all(0.94 <= share <= 0.985 for share in shares), shares
