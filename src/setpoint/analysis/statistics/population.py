"""Claims about systems that were not tried, from the differences on those that were."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from setpoint.analysis.statistics.cells import Contrast, satterthwaite
from setpoint.analysis.statistics.levels import t_comparison

LARGEST_ENUMERATION = 16
"""Number of systems up to which all sign patterns are enumerated; beyond, they are sampled in a fixed order."""
DRAWS = 20_000


@dataclass(frozen=True)
class Generalisation:
    """The mean difference over systems, its interval, and the p-value of no difference."""

    mean: float
    interval: tuple[float, float] | None
    p: float


def least_p(systems: int) -> float:
    """The smallest attainable two-sided p-value of sign flips with this number of differences."""
    return float(2.0 ** (1 - systems))


def least_systems(alpha: float) -> int:
    """How many systems a two-sided claim at level `alpha` needs at least."""
    count = 1
    while least_p(count) > alpha:
        count += 1
    return count


def sign_flip(differences: Sequence[float], alpha: float, rng: np.random.Generator) -> Generalisation:
    """The sign-flip test of the mean of `differences`, one for each system, with the interval of its inversion."""
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
    """The t test of the mean of `differences` where runs are common to all systems.

    Args:
        differences: one for each system.
        shared: for each arm with common runs the variance of its mean over them, and its degrees of freedom.
        alpha: of the interval.
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
    """The share of sign patterns whose mean is at least as far from zero."""
    means = np.abs(signs @ values)
    observed = abs(float(values.sum()))
    return float(np.mean(means >= observed - 1e-12 * max(1.0, observed)))


def _end(values: np.ndarray, signs: np.ndarray, alpha: float, side: float) -> float:
    """The shift furthest to one side that the test does not reject, by bisection."""
    inside = float(values.mean())
    outside = inside + side * (np.ptp(values) + 1.0)
    while _p(values - outside, signs) >= alpha:
        outside += side * (np.ptp(values) + 1.0)
    for _ in range(60):
        middle = 0.5 * (inside + outside)
        inside, outside = (middle, outside) if _p(values - middle, signs) >= alpha else (inside, middle)
    return float(outside)
