"""Tests of main effects and interactions, and how much of the spread each factor explains.

The test is the mean-based ANOVA-type statistic with Box's approximation (Brunner, Dette and Munk 1997). Its variances
may differ between cells, where the classical F test does not hold its level.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce

import numpy as np
from jaxtyping import Float, Int

from setpoint.analysis.statistics.cells import Cells, level_weights
from setpoint.analysis.statistics.error_parts import ErrorParts, corrected_df, trust


@dataclass(frozen=True)
class EffectTest:
    """One effect's F-like statistic, its degrees of freedom and p-value."""

    statistic: float
    df_effect: float
    df_error: float
    p: float


@lru_cache(maxsize=256)
def effect_projector(shape: tuple[int, ...], factors: tuple[int, ...]) -> Float[np.ndarray, "C C"]:
    """The projector of cell means on the main effect (one factor) or interaction (several) of `factors`."""
    parts = [np.eye(n) - 1.0 / n if k in factors else np.full((n, n), 1.0 / n) for k, n in enumerate(shape)]
    projector = reduce(np.kron, parts)
    projector.flags.writeable = False
    return projector


def anova_type_test(cells: Cells, factors: tuple[int, ...]) -> EffectTest:
    """Whether the effect of `factors` is zero. `cells.has_spread` must hold.

    The error degrees of freedom use the blocks of cells that share clusters; with independent runs they are Box's.
    """
    from scipy import special

    explained = float(_explained(cells.shape, factors, cells.means[None, :])[0])
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


def _unbiased_df(cells: Cells, factors: tuple[int, ...], trace: float, squared: float) -> tuple[float, float]:
    """Box's degrees of freedom with less bias where many cells have three runs or more.

    The square of a variance estimate with ν degrees of freedom is too large by (ν + 2)/ν on average, which with many
    cells of three runs alone would halve the degrees of freedom. How far the correction is applied depends on how many
    cells carry the spread: with one or two, or with two runs a cell, the test would exceed its level (measured).
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
    """As `_unbiased_df`, for a covariance of parts."""
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
    """The error parts of an effect, where the covariance has some."""
    return cells.joint_parts if len(factors) > 1 and cells.joint_parts is not None else cells.parts


def _share(cells: Cells, factors: tuple[int, ...]) -> float:
    """The diagonal of the effect's projector, which is the same for all cells."""
    return math.prod((n - 1 if k in factors else 1) / n for k, n in enumerate(cells.shape))


def _traces(cells: Cells, factors: tuple[int, ...]) -> tuple[float, float]:
    """tr(T S) and tr(T S T S) of the effect's projector T and the covariance S of the means."""
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
    """(T∘T) v for the variances v, factor by factor, without the C × C matrix."""
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
    """The squared length of the effect's part of each set of means, m' T m."""
    size = math.prod(n for k, n in enumerate(shape) if k not in factors)
    if len(factors) == 1:  # of thousands of draws much faster than sums over axes
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
    """Degrees of freedom of the estimated expectation of the statistic's numerator, tr(T S) = `trace`.

    Each group's block of S is a scaled Wishart matrix, whose trace with T has a known variance.
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
    part = max(1, 4_000_000 // len(cells.means))
    drawn = [_redraw(cells, rng, min(part, draws - done)) for done in range(0, draws, part)]
    largest = np.concatenate([np.argmax(_components(cells, effects, d, noise=2.0), axis=1) for d in drawn])
    return np.asarray(np.bincount(largest, minlength=len(effects)) / draws)


def _redraw(cells: Cells, rng: np.random.Generator, draws: int) -> Float[np.ndarray, "draws C"]:
    """Cell means drawn around the observed ones, with heavier tails the fewer degrees of freedom the noise has.

    The draws go along when levels change their order, as names and the order of runs make them.
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
    """The indices of the cells, as they stand where the levels of every factor are sorted by their mean."""
    orders = [np.argsort(cells.marginal_weights(k) @ cells.means, kind="stable") for k in range(len(cells.shape))]
    return np.arange(len(cells.means)).reshape(cells.shape)[np.ix_(*orders)].reshape(-1)


def _components(
    cells: Cells, effects: Sequence[tuple[int, ...]], means: Float[np.ndarray, "draws C"], noise: float
) -> Float[np.ndarray, "draws effects"]:
    """Variance components of many sets of means; `noise` counts how often the noise is in them."""
    columns = [
        (_explained(cells.shape, factors, means) - noise * _traces(cells, factors)[0]) / len(cells.means)
        for factors in effects
    ]
    return np.stack(columns, axis=1)
