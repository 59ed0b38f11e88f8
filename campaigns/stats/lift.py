"""What a campaign brought that would not have come without it: exposed against held out, with 95 % intervals.

The estimate is DOMAIN §6's: incremental = C_t - N_t * C_h / N_h, of conversions or of their amounts. Its uncertainty is
taken twice, and the wider interval is given:

- between units. Places (or codes) were drawn, not customers: what differs from place to place is chance too. Each arm
  is a ratio of sums, its variance that of the residuals of its units (Cochran, Sampling Techniques, 6.9), each
  corrected for its own weight in the arm (Bell and McCaffrey 2002). Student's t has Welch's degrees of freedom, an arm
  of n units those of as many equal ones as its sizes are worth (Kish: (sum N)² / sum N²): a large shop is one shop.
- within them. Conversions come one by one: counts are Poisson, amounts compound Poisson (the variance is the sum of
  the squared amounts), and no two places are more alike than that. With the normal quantile.

Too few events or units prove nothing, and are told as too few, not as an interval that nobody should trust.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

CONFIDENCE = 0.95
LEAST_UNITS = 5  # in each arm: below, a variance between units is a guess
LEAST_CONVERSIONS = 20  # in each arm: below, a count is too skewed for any of these intervals
_UPPER = (1 + CONFIDENCE) / 2
_NORMAL = NormalDist().inv_cdf(_UPPER)


@dataclass(frozen=True)
class Unit:
    """What was counted at a place or code, or of a whole arm. `squares`: the sum of the squared amounts."""

    exposures: int
    conversions: int = 0
    revenue_minor: int = 0
    squares: float = 0.0

    @classmethod
    def total(cls, units: "Iterable[Unit]") -> "Unit":
        """The sum of units."""
        kept = list(units)
        return cls(
            sum(one.exposures for one in kept),
            sum(one.conversions for one in kept),
            sum(one.revenue_minor for one in kept),
            math.fsum(one.squares for one in kept),
        )


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def holds_zero(self) -> bool:
        return self.low <= 0 <= self.high

    def scaled(self, by: float, less: float = 0.0) -> "Estimate":
        """The estimate times a number above zero, less a constant."""
        return Estimate(self.value * by - less, self.low * by - less, self.high * by - less)


@dataclass(frozen=True)
class Lift:
    """Incremental conversions, and revenue in minor units."""

    conversions: Estimate
    revenue_minor: Estimate


def incremental(exposed: Unit, holdout: Unit) -> tuple[float, float]:
    """Conversions and revenue beyond what the exposed would have had at the holdout's rates: the point estimates."""
    ratio = exposed.exposures / holdout.exposures
    return (
        exposed.conversions - ratio * holdout.conversions,
        exposed.revenue_minor - ratio * holdout.revenue_minor,
    )


def is_too_few(exposed: Sequence[Unit], holdout: Sequence[Unit]) -> bool:
    """Whether there is too little to say anything: units that were exposed to nobody count for none."""
    for arm in (exposed, holdout):
        seen = [one for one in arm if one.exposures > 0]
        if len(seen) < LEAST_UNITS or Unit.total(seen).conversions < LEAST_CONVERSIONS:
            return True
    return False


def between_units(exposed: Sequence[Unit], holdout: Sequence[Unit]) -> Lift:
    """The lift and its intervals, of units that were drawn: see the module. ValueError when there are too few."""
    if is_too_few(exposed, holdout):
        raise ValueError("too few units or conversions")
    arms = [[one for one in arm if one.exposures > 0] for arm in (exposed, holdout)]
    within = of_counts(Unit.total(arms[0]), Unit.total(arms[1]))
    ratio = Unit.total(arms[0]).exposures / Unit.total(arms[1]).exposures
    pairs = []
    for name, inside in (("conversions", within.conversions), ("revenue_minor", within.revenue_minor)):
        first, second = (_ratio_variance([(getattr(one, name), one.exposures) for one in arm]) for arm in arms)
        parts = ((first, _worth(arms[0]) - 1), (ratio**2 * second, _worth(arms[1]) - 1))
        pairs.append(_widened(inside, _half_width(parts)))
    return Lift(*pairs)


def of_counts(exposed: Unit, holdout: Unit) -> Lift:
    """The same of two totals, where every exposure was drawn for itself: the counts' own chance alone."""
    conversions, revenue = incremental(exposed, holdout)
    ratio = exposed.exposures / holdout.exposures
    of_conversions = exposed.conversions + ratio**2 * holdout.conversions
    of_revenue = exposed.squares + ratio**2 * holdout.squares
    return Lift(_around(conversions, _NORMAL * of_conversions**0.5), _around(revenue, _NORMAL * of_revenue**0.5))


def profit(revenue_minor: Estimate, *, margin: float, cost_minor: int) -> Estimate:
    """Incremental profit = incremental revenue * margin - cost, in minor units. `margin` is a share, 0 to 1."""
    return revenue_minor.scaled(margin, less=cost_minor)


def roi(profit_minor: Estimate, *, cost_minor: int) -> Estimate:
    """Incremental profit / cost: 0.6 is 60 %."""
    return profit_minor.scaled(1 / cost_minor)


def _around(value: float, half: float) -> Estimate:
    return Estimate(value, value - half, value + half)


def _widened(estimate: Estimate, half: float) -> Estimate:
    return _around(estimate.value, max(half, estimate.high - estimate.value))


def _ratio_variance(pairs: Sequence[tuple[int, int]]) -> float:
    """The variance of an arm's sum, given its exposures: residuals from its rate, each corrected for its weight."""
    exposures = sum(seen for _, seen in pairs)
    rate = sum(counted for counted, _ in pairs) / exposures
    return math.fsum((counted - rate * seen) ** 2 / (1 - seen / exposures) for counted, seen in pairs)


def _worth(arm: Sequence[Unit]) -> float:
    """As how many equal units an arm counts; at least two, so that something is left to vary."""
    return max(2.0, sum(one.exposures for one in arm) ** 2 / sum(one.exposures**2 for one in arm))


def _half_width(parts: Sequence[tuple[float, float]]) -> float:
    """Half of the interval of a sum of independent parts (variance, degrees of freedom): Welch and Satterthwaite."""
    variance = sum(one for one, _ in parts)
    if variance == 0:
        return 0.0
    freedom = variance**2 / sum(one**2 / degrees for one, degrees in parts)
    return t_quantile(_UPPER, freedom) * math.sqrt(variance)


# Student's t -----------------------------------------------------------------------------------------------------


def t_quantile(share: float, freedom: float) -> float:
    """The quantile of Student's t above the median, to 9 digits. `freedom` may be broken, from 1 up.

    Newton's steps from the normal quantile: it lies below, and the distribution is concave there, so none oversteps.
    """
    t = NormalDist().inv_cdf(share)
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(freedom * math.pi)
    for _ in range(100):
        step = (share - t_share(t, freedom)) / (scale * (1 + t * t / freedom) ** (-(freedom + 1) / 2))
        t += step
        if abs(step) < 1e-10 * t:
            break
    return t


def t_share(t: float, freedom: float) -> float:
    """The share of Student's t below `t`, from 0 up: 1 - I_x(freedom/2, 1/2) / 2 with x = freedom/(freedom + t²)."""
    return 1 - _beta_share(freedom / (freedom + t * t), freedom / 2, 0.5) / 2


def _beta_share(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function (DLMF 8.17), by its continued fraction 8.17.22 where that is quick."""
    if x <= 0 or x >= 1:
        return min(max(x, 0.0), 1.0)
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta_share(1 - x, b, a)
    scale = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)) / a
    fraction = 1.0  # from its far end inwards: at 300 terms it has long stood still
    for m in range(300, 0, -1):
        half = m // 2
        if m % 2:
            term = -(a + half) * (a + b + half) * x / ((a + 2 * half) * (a + 2 * half + 1))
        else:
            term = half * (b - half) * x / ((a + 2 * half - 1) * (a + 2 * half))
        fraction = 1 + term / fraction
    return scale / fraction
