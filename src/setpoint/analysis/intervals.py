"""Intervals for means and shares, and the effect that a design can resolve."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

Interval = tuple[float, float]


def geometric_mean(values: Sequence[float] | Float[np.ndarray, " n"]) -> float:
    """The geometric mean of positive values."""
    return math.exp(float(np.mean(np.log(np.asarray(values, dtype=float)))))


def t_interval(values: Sequence[float] | Float[np.ndarray, " n"], alpha: float) -> Interval:
    """The two-sided 1 − `alpha` interval of the mean of two or more values."""
    sample = np.asarray(values, dtype=float)
    standard_error = float(sample.std(ddof=1)) / math.sqrt(len(sample))
    return mean_interval(float(sample.mean()), standard_error, len(sample) - 1, alpha)


def mean_interval(mean: float, standard_error: float, df: float, alpha: float) -> Interval:
    """mean ± t · standard error."""
    from scipy import special

    reach = float(special.stdtrit(df, 1.0 - alpha / 2.0)) * standard_error
    return mean - reach, mean + reach


def pooled_deviation(samples: Sequence[Sequence[float]]) -> tuple[float, int]:
    """The standard deviation within samples, taken as equal in all of them, and its degrees of freedom.

    Samples of one value add nothing; with nothing to pool the result is (0.0, 0).
    """
    repeated = [np.asarray(sample, dtype=float) for sample in samples if len(sample) >= 2]
    df = sum(len(sample) - 1 for sample in repeated)
    if df == 0:
        return 0.0, 0
    squares = math.fsum(float(((sample - sample.mean()) ** 2).sum()) for sample in repeated)
    return math.sqrt(squares / df), df


def share_interval(hits: int, total: int, alpha: float) -> Interval:
    """The exact (Clopper–Pearson) interval of a share of `total` > 0."""
    from scipy import special

    lower = 0.0 if hits == 0 else float(special.betaincinv(hits, total - hits + 1, alpha / 2.0))
    upper = 1.0 if hits == total else float(special.betaincinv(hits + 1, total - hits, 1.0 - alpha / 2.0))
    return lower, upper


def detectable_difference(deviation: float, runs_per_level: int, comparisons: int, alpha: float) -> float:
    """The smallest difference of two means that a two-sided t test resolves with probability 0.8.

    Args:
        deviation: standard deviation of one run.
        runs_per_level: runs behind each of the two means, at least 2.
        comparisons: Bonferroni's correction for so many tests.
    """
    from scipy import special

    df = 2.0 * (runs_per_level - 1)
    critical = float(special.stdtrit(df, 1.0 - alpha / comparisons / 2.0))
    low, high = 0.0, 200.0
    while high - low > 1e-5:
        middle = (low + high) / 2.0
        power = 1.0 - float(special.nctdtr(df, middle, critical))
        low, high = (middle, high) if power < 0.8 else (low, middle)
    return high * deviation * math.sqrt(2.0 / runs_per_level)
