"""Inference on a population of systems, from the differences on a sample of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from setpoint.analysis.statistics.cells import Contrast, satterthwaite
from setpoint.analysis.statistics.levels import t_comparison

LARGEST_ENUMERATION = 16
"""Number of systems up to which all sign patterns are enumerated; above, they are sampled."""
DRAWS = 20_000


@dataclass(frozen=True)
class Generalisation:
    """Mean difference over systems, its confidence interval and p-value."""

    mean: float
    interval: tuple[float, float] | None
    p: float


def least_p(systems: int) -> float:
    """Return the smallest attainable two-sided p-value of the sign-flip test with this number of differences."""
    return float(2.0 ** (1 - systems))


def least_systems(alpha: float) -> int:
    """Return the smallest number of systems with which the sign-flip test can be significant at `alpha`."""
    count = 1
    while least_p(count) > alpha:
        count += 1
    return count


def sign_flip(differences: Sequence[float], alpha: float, rng: np.random.Generator) -> Generalisation:
    """Test the mean of `differences`, one per system, by sign flips; the interval inverts the test."""
    values = np.asarray(differences, dtype=float)
    signs = _signs(len(values), rng)
    p = _p(values, signs)
    interval = (
        (_end(values, signs, alpha, -1.0), _end(values, signs, alpha, 1.0)) if least_p(len(values)) <= alpha else None
    )
    return Generalisation(float(values.mean()), interval, p)


def over_runs_and_systems(
    differences: Sequence[float], shared: Sequence[tuple[float, float]], alpha: float
) -> Generalisation:
    """Test the mean of `differences` by t if runs are shared by all systems.

    Args:
        differences: one per system.
        shared: variance of the mean over runs, and its degrees of freedom, of each arm whose runs are shared.
        alpha: significance level of the interval.
    """
    values = np.asarray(differences, dtype=float)
    variances = [float(values.var(ddof=1)) / len(values), *(variance for variance, _ in shared)]
    df = satterthwaite(variances, [len(values) - 1.0, *(df for _, df in shared)])
    compared = t_comparison(Contrast(float(values.mean()), math.sqrt(sum(variances)), df), 1, alpha)
    return Generalisation(compared.value, compared.interval, compared.p_adjusted)


def _signs(count: int, rng: np.random.Generator) -> Float[np.ndarray, "patterns systems"]:
    if count <= LARGEST_ENUMERATION:
        return 1.0 - 2.0 * ((np.arange(2**count)[:, None] >> np.arange(count)) & 1)
    drawn = rng.choice([-1.0, 1.0], size=(DRAWS, count))
    return np.vstack([np.ones((1, count)), drawn])


def _p(values: Float[np.ndarray, " systems"], signs: Float[np.ndarray, "patterns systems"]) -> float:
    """Return the share of sign patterns whose mean is at least as far from zero as the observed one."""
    means = np.abs(signs @ values)
    observed = abs(float(values.sum()))
    return float(np.mean(means >= observed - 1e-12 * max(1.0, observed)))


def _end(values: np.ndarray, signs: np.ndarray, alpha: float, side: float) -> float:
    """Return the end of the interval on one side, by bisection: the furthest shift that the test does not reject."""
    inside = float(values.mean())
    outside = inside + side * (np.ptp(values) + 1.0)
    while _p(values - outside, signs) >= alpha:
        outside += side * (np.ptp(values) + 1.0)
    for _ in range(60):
        middle = 0.5 * (inside + outside)
        inside, outside = (middle, outside) if _p(values - middle, signs) >= alpha else (inside, middle)
    return float(outside)
