"""The rule that a code's scans fell off: pure, judged on simulated shops."""

import math
import random
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.care.falling import BASELINE, LEVELS, Fall, chance, fell_off, has_returned

OPEN = list(range(100, 118))  # fourteen days before and four
TODAY = OPEN[-1] + 1


def poisson(chance: random.Random, mean: float) -> int:
    """Knuth's method."""
    limit, number, product = math.exp(-mean), 0, chance.random()
    while product > limit:
        number += 1
        product *= chance.random()
    return number


def days(numbers: Iterable[int], first: int = OPEN[0]) -> dict[int, int]:
    return dict(enumerate(numbers, first))


def found_after(rule: random.Random, mean: float, *, most: int) -> int:
    """Open days until a code covered after a month is found; `most` + 1 when it is not."""
    scans = days(poisson(rule, mean) for _ in range(30))
    for covered in range(1, most + 1):
        open_days = range(OPEN[0], OPEN[0] + 30 + covered)
        if fell_off(open_days, scans, {}) is not None:
            return covered
    return most + 1


def test_the_levels_sum_to_one_in_a_thousand() -> None:
    assert sum(LEVELS.values()) == pytest.approx(1e-3)


@pytest.mark.parametrize("mean", [0.5, 3, 10, 40])
def test_of_a_thousand_days_of_a_code_nobody_covers_at_most_one_is_a_false_alarm(mean: float) -> None:
    rule = random.Random(7)
    judged, alarms = 12_000, 0
    scans = days((poisson(rule, mean) for _ in range(judged + BASELINE)), 0)
    for today in range(BASELINE + 4, judged + BASELINE):
        alarms += fell_off(range(today - 18, today), scans, {}) is not None
    assert alarms / judged <= 1e-3


def test_a_code_at_ten_a_day_is_found_covered_within_one_open_day() -> None:
    rule = random.Random(8)
    trials = [found_after(rule, 10, most=2) for _ in range(500)]
    assert trials.count(1) >= 0.97 * len(trials)
    assert max(trials) == 2


def test_a_code_at_three_a_day_is_found_covered_within_four_open_days() -> None:
    rule = random.Random(9)
    trials = [found_after(rule, 3, most=6) for _ in range(500)]
    assert sum(one <= 4 for one in trials) >= 0.9 * len(trials)
    assert fell_off(OPEN, days([3] * 14), {}) == Fall(OPEN[14], 4, 12.0, 0)


def test_a_slow_week_of_the_whole_campaign_is_no_alarm() -> None:
    mine = days([10] * 17 + [0])
    assert fell_off(OPEN, mine, days([100] * 17 + [12])) is None
    assert fell_off(OPEN, mine, days([100] * 18)) == Fall(OPEN[17], 1, 10.0, 0)


def test_others_who_had_more_raise_no_expectation() -> None:
    mine = days([10] * 17 + [4])
    assert fell_off(OPEN, mine, days([10] * 17 + [1_000])) is None


def test_a_few_silent_others_say_nothing_of_the_week() -> None:
    found = fell_off(OPEN, days([12] * 17 + [0]), days([1] * 17 + [0]))
    assert found is not None
    assert found.expected == pytest.approx(12 * 10 / 11, abs=0.1)


def test_closed_days_are_not_counted_as_silence() -> None:
    every = range(80, 118)
    open_days = [day for day in every if day % 7 not in (4, 5)]  # the last two are closed
    scans = dict.fromkeys(open_days, 10)
    assert fell_off(open_days, scans, {}) is None
    assert fell_off(every, scans, {}) is not None


def test_a_code_that_hangs_there_for_six_days_is_not_judged() -> None:
    scans = days([50] * 7)
    assert fell_off(OPEN[:7], {**scans, OPEN[6]: 0}, {}) is None
    assert fell_off(OPEN[:8], {**scans, OPEN[7]: 0}, {}) is not None


@given(st.integers(0, 60), st.integers(1, 200), st.floats(0.01, 0.6))
def test_the_chance_is_the_binomial_distribution(seen: int, usual: int, share: float) -> None:
    total = seen + usual
    exact = math.fsum(math.comb(total, k) * share**k * (1 - share) ** (total - k) for k in range(seen + 1))
    assert chance(seen, usual, share) == pytest.approx(exact, rel=1e-6, abs=1e-12)


@given(st.lists(st.integers(0, 500), max_size=30), st.lists(st.integers(0, 10**9), max_size=30))
def test_whatever_the_counts_an_alarm_has_too_few_scans(mine: Sequence[int], others: Sequence[int]) -> None:
    found = fell_off(range(100, 100 + len(mine)), days(mine), days(others))
    assert found is None or found.seen < found.expected


@pytest.mark.parametrize(
    ("scans", "returned"), [({}, False), ({TODAY: 1}, False), ({TODAY: 4}, False), ({1: 0, 2: 5}, True)]
)
def test_scans_have_returned_when_a_day_has_half_the_usual(scans: dict[int, int], returned: bool) -> None:
    assert has_returned(scans, 10) is returned
    assert has_returned({TODAY: 1}, 1) is False
    assert has_returned({TODAY: 2}, 1) is True
