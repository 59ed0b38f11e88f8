"""What a count will have come to when the flight ends: a pure rule over whole days (formula forecast/1).

The days that are left are taken to go as the last 28 whole days went, a weekday as its own weekdays when there are
fourteen days or more. The 95 % interval has both the chance of the days to come and that of the mean: of days of one
kind (a weekday, or any), n were seen with the mean m, and w are left, so that they bring w m, give or take
s (sum of the squared parts + w²/n), with s² the variance from day to day and Student's t for the days that it rests on.

A rate is no sum of days. It is held as it is, with the interval of Wilson (1927) for a binomial share.
"""

from collections import defaultdict
from collections.abc import Sequence
from math import sqrt
from typing import Final, NamedTuple

LEAST_DAYS: Final = 7
MOST_DAYS: Final = 28
BY_WEEKDAY: Final = 14  # days from which each weekday was seen twice
LEAST_OF_A_RATE: Final = 5  # people or coupons: of fewer nothing is said (DOMAIN section 7)
FORMULA: Final = "forecast/1"
_Z: Final = 1.959964  # of 95 %, both sides


class Forecast(NamedTuple):
    """What is expected at the end, and the 95 % interval of it."""

    value: float
    low: float
    high: float


def of_count(days: Sequence[int], left: Sequence[float], *, weekday: int, done: float) -> Forecast | None:
    """The count at the end of the flight; None from fewer than seven days.

    `days` are the last whole days, oldest first. `left` are the coming ones, today first, each with the part of it (0
    to 1) that lies in the flight and is still to come. `weekday` is today's, 0 to 6; `done` what there is by now.
    """
    days = days[-MOST_DAYS:]
    if len(days) < LEAST_DAYS:
        return None
    kinds = 7 if len(days) >= BY_WEEKDAY else 1
    seen: dict[int, list[int]] = defaultdict(list)
    for back, number in enumerate(reversed(days), 1):
        seen[(weekday - back) % kinds].append(number)
    to_come: dict[int, float] = defaultdict(float)
    for ahead, part in enumerate(left):
        to_come[(weekday + ahead) % kinds] += part
    means = {kind: sum(numbers) / len(numbers) for kind, numbers in seen.items()}
    freedom = len(days) - kinds
    variance = sum((one - means[kind]) ** 2 for kind, numbers in seen.items() for one in numbers) / freedom
    spread = sum(part * part for part in left) + sum(parts**2 / len(seen[kind]) for kind, parts in to_come.items())
    more = sum(parts * means[kind] for kind, parts in to_come.items())
    half = _student(freedom) * sqrt(variance * spread)
    return Forecast(done + more, max(done, done + more - half), done + more + half)


def of_rate(hits: int, of: int) -> Forecast | None:
    """A rate held as it is, with its binomial interval; None of fewer than five."""
    if of < LEAST_OF_A_RATE:
        return None
    rate, z2 = hits / of, _Z * _Z
    middle = (rate + z2 / (2 * of)) / (1 + z2 / of)
    half = _Z * sqrt(rate * (1 - rate) / of + z2 / (4 * of * of)) / (1 + z2 / of)
    return Forecast(rate, max(0.0, middle - half), min(1.0, middle + half))


def _student(freedom: int) -> float:
    """The two-sided 95 % point of Student's t, by the expansion of Cornish and Fisher: right to 0.01 from six on."""
    z: float = _Z
    terms = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96, (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return float(z + sum(term / float(freedom) ** power for power, term in enumerate(terms, 1)))
