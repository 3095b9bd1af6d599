"""Confidence intervals of means and proportions, and detectable differences."""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

Interval = tuple[float, float]


def mean_interval(mean: float, standard_error: float, df: float, alpha: float) -> Interval:
    """Return mean ± t · standard error."""
    reach = t_quantile(df, 1.0 - alpha / 2.0) * standard_error
    return mean - reach, mean + reach


@lru_cache(maxsize=1024)
def t_quantile(df: float, probability: float) -> float:
    """Return the quantile of Student's t."""
    from scipy import special

    return float(special.stdtrit(df, probability))


def pooled_deviation(samples: Sequence[Sequence[float]]) -> tuple[float, int]:
    """Return the pooled standard deviation of the samples and its degrees of freedom; (0.0, 0) without replicates."""
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
    """Return the exact (Clopper–Pearson) interval of a proportion of `total` > 0."""
    from scipy import special

    lower = 0.0 if hits == 0 else float(special.betaincinv(hits, total - hits + 1, alpha / 2.0))
    upper = 1.0 if hits == total else float(special.betaincinv(hits + 1, total - hits, 1.0 - alpha / 2.0))
    return lower, upper


def planned_contrast(seeds: int, cells: int) -> tuple[float, float]:
    """Return the expected standard error and degrees of freedom of the difference of two levels.

    Satterthwaite's formula underestimates the degrees of freedom: a squared variance estimate with ν degrees of freedom
    is too large by (ν + 2)/ν on average. With one seed the error term is the interactions' mean square.

    Args:
        seeds: number of runs per cell.
        cells: number of cells per level; at least two with one seed.

    Returns:
        The standard error in units of the standard deviation of a run, and the degrees of freedom.
    """
    own = seeds - 1
    df = 2.0 * cells * own**2 / (own + 2.0) if own else 2.0 * (cells - 1)
    return math.sqrt(2.0 / (seeds * cells)), max(1.0, df)


def rival_level(levels: int, alpha: float) -> float:
    """Return the one-sided significance level of the comparison of the best of `levels` with each rival.

    This is Bonferroni's correction over the rivals; for two levels the test is two-sided, because either could have
    been observed best.
    """
    return alpha / max(2, levels - 1)


def detectable_difference(standard_error: float, df: float, levels: int, alpha: float, power: float = 0.8) -> float:
    """Return the smallest lead of the best of `levels` means over a rival that is detected with probability `power`.

    Args:
        standard_error: standard error of the difference.
        df: degrees of freedom of the standard error, at least 1.
        levels: number of means that are compared.
        alpha: significance level.
        power: probability, above one half.
    """
    from scipy import special

    critical = t_quantile(df, 1.0 - rival_level(levels, alpha))
    return float(special.nctdtrinc(df, 1.0 - power, critical)) * standard_error
