"""Forecasts as a pure rule: golden numbers, and an interval that holds what it says."""

from math import exp
from random import Random

import pytest

from campaigns.stats import forecast

WEEK = (1.0, 0.9, 0.8, 1.0, 1.3, 1.8, 0.2)  # of a shop: busy on Saturdays, hardly anybody on Sundays


def poisson(chance: Random, mean: float) -> int:
    number, left, floor = 0, chance.random(), exp(-mean)
    while left > floor:
        number, left = number + 1, left * chance.random()
    return number


def test_seven_even_days_go_on_without_any_doubt() -> None:
    told = forecast.of_count([10] * 7, [0.5, 1, 1, 0.25], weekday=2, done=100)
    assert told is not None
    assert tuple(told) == (127.5, 127.5, 127.5)


def test_the_interval_of_seven_days_is_that_of_the_textbook() -> None:
    # Mean 4, variance 14/3, Student's t of 6 degrees 2.447: one day more is 2.447 sqrt(14/3 (1 + 1/7)).
    told = forecast.of_count([1, 2, 3, 4, 5, 6, 7], [1], weekday=0, done=0)
    assert told is not None
    assert told.value == 4
    assert told.high - 4 == pytest.approx(2.447 * (14 / 3 * 8 / 7) ** 0.5, abs=0.01)
    assert told.low == 0, "there is no less than there is by now"


def test_weekdays_go_as_their_own_weekdays_from_fourteen_days_on() -> None:
    fortnight = [0, 0, 0, 0, 0, 70, 0] * 2  # Monday first
    saturday = forecast.of_count(fortnight, [0] * 5 + [1], weekday=0, done=0)
    sunday = forecast.of_count(fortnight, [0] * 6 + [1], weekday=0, done=0)
    assert (saturday, sunday) == ((70, 70, 70), (0, 0, 0))
    week = forecast.of_count(fortnight[:7], [1], weekday=5, done=0)
    assert week is not None
    assert week.value == 10, "one week tells nothing of weekdays"


def test_only_the_last_28_days_count() -> None:
    assert forecast.of_count([1000] * 30 + [3] * 28, [1, 1], weekday=0, done=5) == (11, 11, 11)


def test_under_seven_days_nothing_is_forecast() -> None:
    assert forecast.of_count([10] * 6, [1], weekday=0, done=60) is None
    assert forecast.of_count([], [1], weekday=0, done=0) is None


@pytest.mark.parametrize("days", [7, 14, 28])
def test_the_interval_holds_what_comes_about_95_times_in_100(days: int) -> None:
    chance, held, tries = Random(8), 0, 1000
    week = WEEK if days >= forecast.BY_WEEKDAY else (1.0,) * 7
    for number in range(tries):
        today = number % 7
        before = [poisson(chance, 12 * week[(today - days + back) % 7]) for back in range(days)]
        came = sum(poisson(chance, 12 * week[(today + ahead) % 7]) for ahead in range(20))
        told = forecast.of_count(before, [1.0] * 20, weekday=today, done=0)
        assert told is not None
        held += told.low <= came <= told.high
    assert 0.925 <= held / tries <= 0.975


def test_a_rate_is_held_with_the_interval_of_wilson() -> None:
    # 10 of 50: published bounds 0.112 and 0.330 (Wilson without continuity correction).
    told = forecast.of_rate(10, 50)
    assert told is not None
    assert (told.value, round(told.low, 3), round(told.high, 3)) == (0.2, 0.112, 0.330)
    assert forecast.of_rate(0, 5) is not None
    assert forecast.of_rate(4, 4) is None, "of fewer than five nothing is said"
