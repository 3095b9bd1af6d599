"""Intervals for means and shares, and the effect that a design can resolve."""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

Interval = tuple[float, float]


def mean_interval(mean: float, standard_error: float, df: float, alpha: float) -> Interval:
    """mean ± t · standard error."""
    reach = t_quantile(df, 1.0 - alpha / 2.0) * standard_error
    return mean - reach, mean + reach


@lru_cache(maxsize=1024)
def t_quantile(df: float, probability: float) -> float:
    """The quantile of Student's t."""
    from scipy import special

    return float(special.stdtrit(df, probability))


def pooled_deviation(samples: Sequence[Sequence[float]]) -> tuple[float, int]:
    """The standard deviation within samples, taken as equal in all of them, and its degrees of freedom.

    Samples of one value add nothing; with nothing to pool the result is (0.0, 0).
    """
    by_size: dict[int, list[Sequence[float]]] = {}
    for sample in samples:
        if len(sample) >= 2:
            by_size.setdefault(len(sample), []).append(sample)
    df = sum((size - 1) * len(found) for size, found in by_size.items())
    if df == 0:
        return 0.0, 0
    tables = [np.asarray(found, dtype=float) for found in by_size.values()]
    squares = [((table - table.mean(axis=1, keepdims=True)) ** 2).sum(axis=1) for table in tables]
    return math.sqrt(math.fsum(np.concatenate(squares).tolist()) / df), df


def share_interval(hits: int, total: int, alpha: float) -> Interval:
    """The exact (Clopper–Pearson) interval of a share of `total` > 0."""
    from scipy import special

    lower = 0.0 if hits == 0 else float(special.betaincinv(hits, total - hits + 1, alpha / 2.0))
    upper = 1.0 if hits == total else float(special.betaincinv(hits + 1, total - hits, 1.0 - alpha / 2.0))
    return lower, upper


def planned_contrast(seeds: int, cells: int) -> tuple[float, float]:
    """What is to be expected of the difference of two levels: its standard error and its degrees of freedom.

    Those that Satterthwaite's formula will find are fewer than there are: the square of a variance estimate with ν
    degrees of freedom is too large by (ν + 2)/ν on average. One seed is judged by the interactions instead.

    Args:
        seeds: runs of every cell.
        cells: cells of each level; more than one where there is one seed.

    Returns:
        The standard error in standard deviations of one run, and the degrees of freedom.
    """
    own = seeds - 1
    df = 2.0 * cells * own**2 / (own + 2.0) if own else 2.0 * (cells - 1)
    return math.sqrt(2.0 / (seeds * cells)), max(1.0, df)


def rival_level(levels: int, alpha: float) -> float:
    """The one-sided level at which the best of `levels` is compared with each rival.

    Bonferroni over the rivals; of two levels both sides count, since either might have been the best observed.
    """
    return alpha / max(2, levels - 1)


def detectable_difference(standard_error: float, df: float, levels: int, alpha: float, power: float = 0.8) -> float:
    """The smallest lead of the best of `levels` means over another that is shown with probability `power`.

    Args:
        standard_error: of the difference.
        df: its degrees of freedom, at least 1.
        levels: how many means are compared.
        alpha: of naming a level the best that is not.
        power: the probability, above one half.
    """
    from scipy import special

    critical = t_quantile(df, 1.0 - rival_level(levels, alpha))
    return float(special.nctdtrinc(df, 1.0 - power, critical)) * standard_error
