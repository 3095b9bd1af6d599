"""Tests of equal failure rates."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np


def failure_test(failed: Sequence[int], total: Sequence[int], rng: np.random.Generator, draws: int = 9999) -> float:
    """Return the p-value of equal failure rates: Boschloo's exact test for two levels, permutation chi-square for more.

    Args:
        failed: number of failed runs per level.
        total: number of runs per level, each at least 1.
        rng: generator of the permutation test.
        draws: number of permutations.
    """
    if sum(failed) in {0, sum(total)}:
        return 1.0
    if len(failed) == 2:
        return _boschloo(failed[0], failed[1], total[0], total[1])
    sizes = np.asarray(total)
    # Given the margins, the permuted counts are a draw without replacement.
    permuted = rng.multivariate_hypergeometric(sizes, sum(failed), size=draws)
    observed = _imbalance(np.asarray(failed), sizes)
    return (1 + int(np.sum(_imbalance(permuted, sizes) >= observed - 1e-12))) / (draws + 1)


@lru_cache(maxsize=4096)
def _boschloo(first: int, second: int, of_first: int, of_second: int) -> float:
    from scipy import stats

    table = np.array([[first, second], [of_first - first, of_second - second]])
    return float(np.clip(stats.boschloo_exact(table).pvalue, 0.0, 1.0))


def _imbalance(failed: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Return the chi-square statistic up to a constant factor for these margins."""
    expected = total * (failed.sum(axis=-1, keepdims=True) / total.sum())
    return np.asarray(((failed - expected) ** 2 / total).sum(axis=-1))
