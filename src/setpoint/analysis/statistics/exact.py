"""Exact permutation tests, which check an approximate test whose p-value is close to the significance level.

Each is valid for any distribution, provided runs are exchangeable under the null hypothesis. With few runs the smallest
attainable p-value, `least`, can exceed the significance level.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, permutations, product

import numpy as np
from jaxtyping import Float

from setpoint.analysis.statistics.permutation import DRAWS, MOST_EXACT


@dataclass(frozen=True)
class ExactTest:
    """A p-value, and the smallest attainable p-value with this number of runs."""

    p: float
    least: float


def two_samples(first: Sequence[float], second: Sequence[float], rng: np.random.Generator) -> ExactTest:
    """Test two samples for equal distributions: two-sided permutation test with Welch's t."""
    values = np.concatenate([np.asarray(first, dtype=float), np.asarray(second, dtype=float)])
    size, count = len(first), len(values)
    deals = math.comb(count, size)
    observed = abs(_welch(values[None, :], size)[0])
    if deals <= MOST_EXACT:
        chosen = np.array(list(combinations(range(count), size)))
        left = np.ones((deals, count), dtype=bool)
        left[np.arange(deals)[:, None], chosen] = False
        rest = np.nonzero(left)[1].reshape(deals, count - size)
        dealt = values[np.hstack([chosen, rest])]
        return ExactTest(_share(np.abs(_welch(dealt, size)), observed), 2.0 / deals)
    # Sorted, so that the draws do not depend on the order of runs.
    dealt = rng.permuted(np.tile(np.sort(values), (DRAWS, 1)), axis=1)
    return ExactTest(_with_data(np.abs(_welch(dealt, size)), observed), 1.0 / (DRAWS + 1))


def _welch(table: Float[np.ndarray, "deals runs"], size: int) -> Float[np.ndarray, " deals"]:
    a, b = table[:, :size], table[:, size:]
    variance = a.var(axis=1, ddof=1) / size + b.var(axis=1, ddof=1) / b.shape[1]
    floor = 1e-12 * max(1.0, float(np.abs(table).max()))
    return np.asarray((a.mean(axis=1) - b.mean(axis=1)) / np.maximum(np.sqrt(variance), floor))


def paired(differences: Sequence[float], rng: np.random.Generator) -> ExactTest:
    """Test a mean difference of zero: two-sided sign-flip test."""
    values = np.asarray(differences, dtype=float)
    count = len(values)
    observed = abs(float(values.sum()))
    if 2**count <= MOST_EXACT:
        signs = 1.0 - 2.0 * ((np.arange(2**count)[:, None] >> np.arange(count)) & 1)
        return ExactTest(_share(np.abs(signs @ values), observed), 2.0 ** (1 - count))
    signs = rng.choice([-1.0, 1.0], size=(DRAWS, count))
    return ExactTest(_with_data(np.abs(signs @ np.sort(np.abs(values))), observed), 1.0 / (DRAWS + 1))


def within_blocks(table: Float[np.ndarray, "levels B"], rng: np.random.Generator) -> ExactTest:
    """Test equal levels by permutation within blocks; the statistic is F of randomised blocks."""
    levels, blocks = table.shape
    if levels == 2:
        return paired((table[0] - table[1]).tolist(), rng)
    observed = float(np.var(table.sum(axis=1)))
    ways = math.factorial(levels) ** (blocks - 1)
    if ways <= MOST_EXACT:
        orders = np.array(list(permutations(range(levels))))
        chosen = np.array(list(product(range(len(orders)), repeat=blocks - 1)), dtype=int)
        moved = (table[:, k + 1][orders][chosen[:, k]] for k in range(blocks - 1))
        totals = table[:, 0] + sum(moved, start=np.zeros(levels))
        return ExactTest(_share(np.var(totals, axis=1), observed), 1.0 / ways)
    totals = rng.permuted(np.tile(np.sort(table.T, axis=1), (DRAWS, 1, 1)), axis=2).sum(axis=1)
    return ExactTest(_with_data(np.var(totals, axis=1), observed), 1.0 / (DRAWS + 1))


def _share(statistics: Float[np.ndarray, " ways"], observed: float) -> float:
    """Return the share of all permutations that are at least as extreme as the data."""
    return float(np.mean(statistics >= observed * (1.0 - 1e-9)))


def _with_data(statistics: Float[np.ndarray, " draws"], observed: float) -> float:
    """Return the p-value of a random sample of permutations, to which the data are added."""
    return float((np.sum(statistics >= observed * (1.0 - 1e-9)) + 1) / (len(statistics) + 1))
