"""Has a code's stream of scans fallen off, as when a sticker covers it? A pure rule over whole days.

Given k scans in the last m open days and B in the n open days before, both Poisson with one daily rate, k is binomial
among B + k with the share m / (m + n), whatever the rate is: an exact test with no estimate put in for the truth
(Przyborowski and Wilenski, 1940). A slow week is told from a covered code by the campaign's other codes: when they had
less than their days before promise, m counts for as much less, never for more.

Each ended day is judged once, over its last one, two and four open days. The levels of the three sum to one in a
thousand, which is therefore the most false alarms a token-day (Bonferroni), as long as scans are Poisson: a
code whose weekdays differ much, and which has no others to be compared with, gives more. A code at ten a day that is
covered is found after one open day (99 times in 100), one at three a day within four (95 times in 100); a code with
fewer than 32 scans in its fourteen days cannot be judged.
"""

from collections.abc import Mapping, Sequence
from math import exp, lgamma, log, log1p
from typing import NamedTuple

BASELINE = 14  # open days before the window
SHORTEST_BASELINE = 7  # of a code that does not hang there longer
LEVELS = {1: 4e-4, 2: 2e-4, 4: 4e-4}  # open days looked at together -> the probability that is too small for chance
LEAST_SCANS = 32  # in the baseline: with fewer, not even four days without a scan are improbable enough
CALM = 10  # scans by which the others are taken to be as usual: the few they may have say little of the week
RETURNED = 0.5  # of the daily mean, on one day: the code is scanned again
LEAST_RETURNED = 2  # scans: one may be the shop's own look at the code

Days = Mapping[int, int]  # civil day -> scans; days without one may be missing


class Fall(NamedTuple):
    """The days that had too few scans, how many they should have had, and how many they had."""

    first_day: int
    open_days: int
    expected: float
    seen: int


def fell_off(open_days: Sequence[int], scans: Days, others: Days) -> Fall | None:
    """Whether the scans of a code fell off by the end of the last of `open_days`; None when they did not.

    `open_days` are ended civil days on which the code hung in an open shop, oldest first; `scans` are its own by day,
    `others` those of the campaign's other codes.
    """
    for days, level in LEVELS.items():
        window, before = open_days[-days:], open_days[-days - BASELINE : -days]
        if len(window) < days or len(before) < SHORTEST_BASELINE:
            return None
        usual = _sum(scans, before)
        if usual < LEAST_SCANS:
            continue
        seen = _sum(scans, window)
        exposure = days * _week(others, window, before)
        if seen < usual * exposure / len(before) and chance(seen, usual, exposure / (exposure + len(before))) < level:
            return Fall(window[0], days, round(usual * exposure / len(before), 1), seen)
    return None


def chance(seen: int, usual: int, share: float) -> float:
    """The probability of at most `seen` of `seen + usual` scans in a part of the time that is `share` of the whole."""
    total = seen + usual
    return sum(exp(_ln_choose(total, k) + k * log(share) + (total - k) * log1p(-share)) for k in range(seen, -1, -1))


def has_returned(scans: Days, expected_daily: float) -> bool:
    """Whether a code that had fallen off is scanned again, by its days since, today included."""
    return max(scans.values(), default=0) >= max(LEAST_RETURNED, RETURNED * expected_daily)


def _week(others: Days, window: Sequence[int], before: Sequence[int]) -> float:
    """What part of the usual the campaign's other codes had in the window, at most 1."""
    expected = _sum(others, before) * len(window) / len(before)
    return min(1.0, (_sum(others, window) + CALM) / (expected + CALM))


def _sum(scans: Days, days: Sequence[int]) -> int:
    return sum(scans.get(day, 0) for day in days)


def _ln_choose(total: int, part: int) -> float:
    return lgamma(total + 1) - lgamma(part + 1) - lgamma(total - part + 1)
