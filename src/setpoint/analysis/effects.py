"""Tests of main effects and interactions, and how much of the spread each factor explains.

The test is the mean-based ANOVA-type statistic with Box's approximation (Brunner, Dette and Munk 1997). Its variances
may differ between cells, where the classical F test does not hold its level.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from jaxtyping import Float

from setpoint.analysis.cells import Cells, satterthwaite


@dataclass(frozen=True)
class EffectTest:
    """One effect's F-like statistic, its degrees of freedom and p-value."""

    statistic: float
    df_effect: float
    df_error: float
    p: float


def effect_projector(shape: tuple[int, ...], factors: tuple[int, ...]) -> Float[np.ndarray, "C C"]:
    """The projector of cell means on the main effect (one factor) or interaction (several) of `factors`."""
    parts = [np.eye(n) - 1.0 / n if k in factors else np.full((n, n), 1.0 / n) for k, n in enumerate(shape)]
    return reduce(np.kron, parts)


def anova_type_test(cells: Cells, factors: tuple[int, ...]) -> EffectTest:
    """Whether the effect of `factors` is zero. `cells.has_spread` must hold.

    The error degrees of freedom use the blocks of cells that share clusters; with independent runs they are Box's.
    """
    from scipy import special

    projector = effect_projector(cells.shape, factors)
    spread = projector @ cells.covariance
    trace = float(np.trace(spread))
    statistic = float(cells.means @ projector @ cells.means) / trace
    df_effect = trace**2 / float(np.sum(spread * spread.T))
    df_error = _error_df(cells, projector, trace)
    return EffectTest(statistic, df_effect, df_error, float(special.fdtrc(df_effect, df_error, statistic)))


def _error_df(cells: Cells, projector: Float[np.ndarray, "C C"], trace: float) -> float:
    """Degrees of freedom of the estimated expectation of the statistic's numerator, tr(T S) = `trace`.

    Each group's block of S is a scaled Wishart matrix, whose trace with T has a known variance.
    """
    if cells.pooled:
        return float(cells.df[0])
    variance = 0.0
    for group, df in zip(cells.groups, cells.df, strict=True):
        block = projector[np.ix_(group, group)] @ cells.covariance[np.ix_(group, group)]
        variance += float(np.sum(block * block.T)) / float(df)
    return trace**2 / variance


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given."""
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


def variance_components(cells: Cells, effects: Sequence[tuple[int, ...]]) -> Float[np.ndarray, "effects"]:
    """For each effect the variance between its levels' means less what noise alone would put there; may be negative."""
    return np.asarray(_components(cells, effects, cells.means[None, :], noise=1.0)[0])


def probability_of_largest(
    cells: Cells, effects: Sequence[tuple[int, ...]], rng: np.random.Generator, draws: int = 4000
) -> Float[np.ndarray, "effects"]:
    """For each effect the share of parametric-bootstrap draws in which its variance component is the largest.

    The drawn means carry the noise twice, once from the data and once from the draw; both are taken off.
    """
    resampled = _redraw(cells, rng, draws)
    largest = np.argmax(_components(cells, effects, resampled, noise=2.0), axis=1)
    return np.asarray(np.bincount(largest, minlength=len(effects)) / draws)


def _redraw(cells: Cells, rng: np.random.Generator, draws: int) -> Float[np.ndarray, "draws C"]:
    """Cell means drawn around the observed ones, with heavier tails the fewer degrees of freedom the noise has."""
    values, vectors = np.linalg.eigh(cells.covariance)
    root = vectors * np.sqrt(np.clip(values, 0.0, None))
    diagonal = np.diag(cells.covariance)
    df = satterthwaite([float(diagonal[group].sum()) for group in cells.groups], cells.df)
    scale = np.sqrt(df / rng.chisquare(df, size=(draws, 1)))
    return np.asarray(cells.means + scale * (rng.standard_normal((draws, len(cells.means))) @ root.T))


def _components(
    cells: Cells, effects: Sequence[tuple[int, ...]], means: Float[np.ndarray, "draws C"], noise: float
) -> Float[np.ndarray, "draws effects"]:
    """Variance components of many sets of means; `noise` counts how often the noise is in them."""
    columns = []
    for factors in effects:
        projector = effect_projector(cells.shape, factors)
        explained = np.einsum("di,ij,dj->d", means, projector, means)
        columns.append((explained - noise * float(np.trace(projector @ cells.covariance))) / len(cells.means))
    return np.stack(columns, axis=1)
