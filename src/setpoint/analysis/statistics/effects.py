"""Tests of main effects and interactions, and variance components.

The test is the mean-based ANOVA-type statistic with Box's approximation (Brunner, Dette and Munk 1997). It allows
unequal variances, under which the classical F test exceeds its significance level.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce

import numpy as np
from jaxtyping import Float, Int

from setpoint.analysis.statistics.cells import Cells, level_weights
from setpoint.analysis.statistics.complete_blocks import mean_square, sphericity
from setpoint.analysis.statistics.error_parts import ErrorParts, corrected_df, trust


@dataclass(frozen=True)
class EffectTest:
    """F-like statistic of one effect, its degrees of freedom and p-value."""

    statistic: float
    df_effect: float
    df_error: float
    p: float


@lru_cache(maxsize=256)
def effect_projector(shape: tuple[int, ...], factors: tuple[int, ...]) -> Float[np.ndarray, "C C"]:
    """Return the projector of cell means on the main effect or interaction of `factors`, (C, C)."""
    parts = [np.eye(n) - 1.0 / n if k in factors else np.full((n, n), 1.0 / n) for k, n in enumerate(shape)]
    projector = reduce(np.kron, parts)
    projector.flags.writeable = False
    return projector


def anova_type_test(cells: Cells, factors: tuple[int, ...]) -> EffectTest:
    """Test whether the effect of `factors` is zero; `cells.has_spread` must be True.

    The error degrees of freedom allow for correlated cells; with independent runs they are Box's.
    """
    from scipy import special

    explained = float(_explained(cells.shape, factors, cells.means[None, :])[0])
    if cells.one_way_table is not None:
        return _one_way_in_blocks(cells.one_way_table, explained)
    trace, squared = _traces(cells, factors)
    statistic = explained / trace
    parts = _parts(cells, factors)
    if parts is not None:
        df_effect, df_error = _df_of_parts(cells, factors, parts)
    elif cells.independent and not cells.pooled:
        df_effect, df_error = _unbiased_df(cells, factors, trace, squared)
    else:
        df_effect, df_error = trace**2 / squared, _error_df(cells, factors, trace)
    return EffectTest(statistic, df_effect, df_error, float(special.fdtrc(df_effect, df_error, statistic)))


def wide_level_factor(levels: int, runs: int) -> float:
    """Return the factor by which the p-value of many independent levels may be too small if one level varies most.

    With few runs the variance of such a level is often underestimated, and Box's degrees of freedom are then too many:
    the test of eight levels of three runs, one of which has five times the standard deviation of the others, rejects a
    true null hypothesis in 9 % of experiments. With this factor, 4 to 20 levels of 3 to 10 runs hold 6.7 %, and 6 % in
    most designs (measured).
    """
    per_level = 0.1 if runs == 2 else min(0.4, 3.6 / runs**2)
    return 1.0 + per_level * max(0, levels - 3)


def _one_way_in_blocks(table: Float[np.ndarray, "levels blocks"], explained: float) -> EffectTest:
    """Test equal levels in complete blocks: F of randomised blocks, corrected for unequal variances."""
    from scipy import special

    rank, blocks = table.shape[0] - 1.0, float(table.shape[1])
    statistic = explained * blocks / rank / mean_square(table)
    correction = sphericity(table)
    df_effect, df_error = correction * rank, correction * rank * (blocks - 1.0)
    return EffectTest(statistic, df_effect, df_error, float(special.fdtrc(df_effect, df_error, statistic)))


def _unbiased_df(cells: Cells, factors: tuple[int, ...], trace: float, squared: float) -> tuple[float, float]:
    """Return Box's degrees of freedom, with a bias correction if many cells have at least three runs.

    A squared variance estimate with ν degrees of freedom is too large by (ν + 2)/ν on average, which would halve the
    degrees of freedom of many cells with three runs. The correction is weighted by the number of cells that dominate
    the variance: with one or two of them, or with two runs per cell, the test would exceed its level (measured).
    """
    share = _share(cells, factors)
    df = np.empty(len(cells.means))
    df[np.concatenate(cells.groups)] = cells.df
    fourth = cells.variances**2
    divisor = np.where(df >= 2.0, df + 2.0, df)
    noise = share**2 * float(np.sum(fourth / divisor))
    corrected = squared - share**2 * float(np.sum(fourth * (1.0 - df / divisor)))
    trusted = trust(float(cells.variances.sum()) ** 2 / float(fourth.sum()))
    rank = math.prod(cells.shape[k] - 1 for k in factors)
    plain_effect, plain_error = trace**2 / squared, _error_df(cells, factors, trace)
    effect = min(float(rank), max(plain_effect, (trace**2 - 2.0 * noise) / corrected))
    error = min(float(df.sum()), max(plain_error, trace**2 / noise - 2.0))
    return (
        plain_effect * (effect / plain_effect) ** trusted,
        plain_error * (error / plain_error) ** trusted,
    )


def _df_of_parts(cells: Cells, factors: tuple[int, ...], parts: ErrorParts) -> tuple[float, float]:
    """Return the degrees of freedom of `_unbiased_df` for a covariance that is a sum of parts."""
    projector = effect_projector(cells.shape, factors)
    by_part = parts.of_trace(projector)
    trace, (squared, noise) = float(by_part.sum()), parts.squared_trace(projector)
    of_trace = float(np.sum(by_part**2 / (parts.df + 2.0)))
    rank = math.prod(cells.shape[k] - 1 for k in factors)
    plain = trace**2 / squared
    unbiased = min(float(rank), max(plain, (trace**2 - 2.0 * of_trace) / max(squared - noise, 1e-300)))
    trusted = trust(trace**2 / float(np.sum(by_part**2)))
    return plain * (unbiased / plain) ** trusted, corrected_df(by_part, parts.df)


def _parts(cells: Cells, factors: tuple[int, ...]) -> ErrorParts | None:
    """Return the variance parts that are the error term of an effect; None without parts."""
    return cells.joint_parts if len(factors) > 1 and cells.joint_parts is not None else cells.parts


def _share(cells: Cells, factors: tuple[int, ...]) -> float:
    """Return the diagonal element of the effect's projector, which is equal for all cells."""
    return math.prod((n - 1 if k in factors else 1) / n for k, n in enumerate(cells.shape))


def _traces(cells: Cells, factors: tuple[int, ...]) -> tuple[float, float]:
    """Return tr(T S) and tr(T S T S) of the effect's projector T and the covariance S of the means."""
    parts = _parts(cells, factors)
    if parts is not None:
        projector = effect_projector(cells.shape, factors)
        return float(parts.of_trace(projector).sum()), parts.squared_trace(projector)[0]
    if cells.independent:
        variances = cells.variances
        trace = _share(cells, factors) * float(variances.sum())
        return trace, float(variances @ _squared_projector_times(cells, factors))
    spread = effect_projector(cells.shape, factors) @ cells.covariance
    return float(np.trace(spread)), float(np.sum(spread * spread.T))


def _squared_projector_times(cells: Cells, factors: tuple[int, ...]) -> Float[np.ndarray, " C"]:
    """Return (T∘T) v for the variances v, factor by factor, without the C × C matrix."""
    table = cells.variances.reshape(cells.shape)
    for axis, n in enumerate(cells.shape):
        total = table.sum(axis=axis, keepdims=True)
        if axis in factors:  # diagonal (1 − 1/n)², elsewhere 1/n²
            table = ((1.0 - 1.0 / n) ** 2 - 1.0 / n**2) * table + total / n**2
        else:
            table = np.broadcast_to(total / n**2, table.shape)
    return np.asarray(table).reshape(-1)


def _explained(
    shape: tuple[int, ...], factors: tuple[int, ...], means: Float[np.ndarray, "draws C"]
) -> Float[np.ndarray, "draws"]:
    """Return m' T m, the squared length of the effect in each set of means m."""
    size = math.prod(n for k, n in enumerate(shape) if k not in factors)
    if len(factors) == 1:  # a matrix product is much faster than sums over axes
        levels = means @ level_weights(shape, factors[0]).T
        levels -= levels.mean(axis=1, keepdims=True)
        return np.asarray(np.square(levels, out=levels).sum(axis=1) * size)
    table = means.reshape(len(means), *shape)
    others = tuple(k + 1 for k in range(len(shape)) if k not in factors)
    table = table.mean(axis=others, keepdims=True)
    for axis in factors:
        table = table - table.mean(axis=axis + 1, keepdims=True)
    return np.asarray((table**2).reshape(len(means), -1).sum(axis=1) * size)


def _error_df(cells: Cells, factors: tuple[int, ...], trace: float) -> float:
    """Return the degrees of freedom of `trace` = tr(T S), the estimated expectation of the statistic's numerator.

    Each group's block of S is a scaled Wishart matrix, so the variance of its trace with T is known.
    """
    if cells.pooled:
        return float(cells.df[0])
    if cells.independent:
        share = _share(cells, factors)
        return trace**2 / float(np.sum((share * cells.group_sums(cells.variances)) ** 2 / cells.df))
    projector = effect_projector(cells.shape, factors)
    variance = 0.0
    for group, df in zip(cells.groups, cells.df, strict=True):
        block = projector[np.ix_(group, group)] @ cells.covariance[np.ix_(group, group)]
        variance += float(np.sum(block * block.T)) / float(df)
    return trace**2 / variance


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p-values, in the given order."""
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


def variance_components(cells: Cells, effects: Sequence[tuple[int, ...]]) -> Float[np.ndarray, "effects"]:
    """Return the bias-corrected variance component of each effect, (effects,); it can be negative."""
    return np.asarray(_components(cells, effects, cells.means[None, :], noise=1.0)[0])


def probability_of_largest(
    cells: Cells, effects: Sequence[tuple[int, ...]], rng: np.random.Generator, draws: int = 4000
) -> Float[np.ndarray, "effects"]:
    """Return, for each effect, the share of parametric-bootstrap draws in which its variance component is the largest.

    The drawn means contain noise twice, from the data and from the draw; both are subtracted.
    """
    part = max(1, 4_000_000 // len(cells.means))
    drawn = [_redraw(cells, rng, min(part, draws - done)) for done in range(0, draws, part)]
    largest = np.concatenate([np.argmax(_components(cells, effects, d, noise=2.0), axis=1) for d in drawn])
    return np.asarray(np.bincount(largest, minlength=len(effects)) / draws)


def _redraw(cells: Cells, rng: np.random.Generator, draws: int) -> Float[np.ndarray, "draws C"]:
    """Draw cell means from a multivariate t distribution around the observed ones, (draws, C).

    The draws are equivariant: if the levels are reordered, so are the draws.
    """
    noise = rng.standard_normal((draws, len(cells.means)))
    if cells.independent:
        noise = noise[:, np.argsort(_by_level_means(cells))]
        noise *= np.sqrt(cells.variances)
    else:
        values, vectors = np.linalg.eigh(cells.covariance)
        vectors = np.where((cells.means - cells.means.mean()) @ vectors < 0.0, -vectors, vectors)
        noise = noise @ (vectors * np.sqrt(np.clip(values, 0.0, None))).T
    scale = np.sqrt(cells.total_df / rng.chisquare(cells.total_df, size=(draws, 1)))
    noise *= scale
    noise += cells.means
    return noise


def _by_level_means(cells: Cells) -> Int[np.ndarray, " C"]:
    """Return the indices of the cells after the levels of every factor are sorted by their mean, (C,)."""
    orders = [np.argsort(cells.marginal_weights(k) @ cells.means, kind="stable") for k in range(len(cells.shape))]
    return np.arange(len(cells.means)).reshape(cells.shape)[np.ix_(*orders)].reshape(-1)


def _components(
    cells: Cells, effects: Sequence[tuple[int, ...]], means: Float[np.ndarray, "draws C"], noise: float
) -> Float[np.ndarray, "draws effects"]:
    """Return the variance components of many sets of means; `noise` is how many times they contain the noise."""
    columns = [
        (_explained(cells.shape, factors, means) - noise * _traces(cells, factors)[0]) / len(cells.means)
        for factors in effects
    ]
    return np.stack(columns, axis=1)
