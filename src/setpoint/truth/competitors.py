"""Textbook tests of the same simulated experiment: F, Welch's t with Holm, permutation, randomised blocks, regression.

Each reports which true main effects are significant, and whether the true best level of a factor is significantly
better than every other level.
"""

import math
from collections.abc import Mapping
from itertools import combinations

import numpy as np

from setpoint.analysis.data.experiment import Level
from setpoint.analysis.data.subject import FactorTrend
from setpoint.analysis.statistics.effects import effect_projector, holm
from setpoint.analysis.statistics.permutation import max_t
from setpoint.analysis.statistics.trends import SHAPES, axis_of
from setpoint.seeding import generator
from setpoint.truth.planted import Planted

ALPHA = 0.05
SAME = 1e-9


def complete_table(planted: Planted) -> np.ndarray | None:
    """Return the logarithms of all runs, cells by replicates; None if runs are missing, or without replicates."""
    values: dict[tuple[Level, ...], list[float]] = {cell: [] for cell in planted.truth}
    for run in sorted(planted.runs, key=lambda run: run.replicate):
        levels = tuple(run.factors[factor] for factor in planted.factors)
        if not run.state.ok or levels not in values or run.row:
            return None
        values[levels].append(math.log(run.mean_error(run.systems[0])))
    counts = {len(found) for found in values.values()}
    return np.array(list(values.values())) if len(counts) == 1 and counts.pop() >= 2 else None


def found_by_others(planted: Planted) -> dict[str, float]:
    """Return what each test finds; empty for incomplete tables."""
    table = complete_table(planted) if planted.scale == "log" else None
    if table is None:
        return {}
    shape = tuple(len(planted.marginal(factor)) for factor in planted.factors)
    if math.prod(shape) != len(table):
        return {}
    found = {f"F test finds {name}": value for name, value in _effects(planted, table, shape, blocked=False).items()}
    if planted.blocks:
        effects = _effects(planted, table, shape, blocked=True)
        found |= {f"block ANOVA finds {name}": value for name, value in effects.items()}
    if len(shape) == 1:
        found |= _one_way(planted, table) | _equivalent(planted, table)
    if len(shape) == 1 and planted.trends and not planted.blocks:
        found |= _regression(planted, table)
    return found | _best_levels(planted, table, shape)


def true_trend(planted: Planted, effect: FactorTrend) -> float:
    """Return the true size of a trend, as the claims define it."""
    means = planted.marginal_here(effect.factor)
    levels = sorted(level for level in means if isinstance(level, int | float))
    weights = axis_of(levels).weights(effect.shape)
    return float(weights @ np.array([means[level] for level in levels]))


def _regression(planted: Planted, table: np.ndarray) -> dict[str, float]:
    """Return which true trends the t-tests of a quadratic regression find, with Holm's correction for both."""
    from scipy import special

    levels, runs = table.shape
    factor = planted.factors[0]
    axis = axis_of([float(level) for level in planted.marginal(factor) if isinstance(level, int | float)])
    columns = np.vander(axis.positions - axis.positions.mean(), 3)
    fitted = columns @ (np.linalg.pinv(columns) @ table.mean(axis=1))
    df = levels * runs - 3
    variance = float(np.sum((table - fitted[:, None]) ** 2)) / df / runs
    p_values = []
    for shape in SHAPES:
        weights = axis.weights(shape)
        t = float(weights @ table.mean(axis=1)) / math.sqrt(variance * float(weights @ weights))
        p_values.append(2.0 * float(special.stdtr(df, -abs(t))))
    adjusted = dict(zip(SHAPES, holm(p_values), strict=True))
    return {
        f"regression finds {shape} {factor}": float(p < ALPHA)
        for shape, p in adjusted.items()
        if abs(true_trend(planted, FactorTrend(factor, shape))) > SAME
    }


def _equivalent(planted: Planted, table: np.ndarray) -> dict[str, float]:
    """Return whether two groups are equivalent by the two one-sided t tests with Welch's degrees of freedom."""
    from scipy import stats

    if planted.equivalence is None or len(table) != 2:
        return {}
    margin, first, second = math.log1p(planted.equivalence), *table
    below = stats.ttest_ind(first - margin, second, equal_var=False, alternative="less").pvalue
    above = stats.ttest_ind(first + margin, second, equal_var=False, alternative="greater").pvalue
    return {"TOST finds equivalence": float(max(below, above) < ALPHA)}


def _one_way(planted: Planted, table: np.ndarray) -> dict[str, float]:
    """Return whether the effect of a single factor is significant by tests that allow unequal variances."""
    if not np.ptp(list(planted.truth.values())) > SAME:
        return {}
    p = greenhouse_geisser(table) if planted.blocks else welch_anova(table)
    name = "Greenhouse-Geisser" if planted.blocks else "Welch ANOVA"
    return {f"{name} finds {planted.factors[0]}": float(p < ALPHA)}


def welch_anova(table: np.ndarray) -> float:
    """Return the p-value of Welch's (1951) test of equal means."""
    from scipy import special

    groups, runs = table.shape
    weights = runs / table.var(axis=1, ddof=1)
    total = float(weights.sum())
    centre = float(weights @ table.mean(axis=1)) / total
    between = float(weights @ (table.mean(axis=1) - centre) ** 2) / (groups - 1)
    spread = float(np.sum((1.0 - weights / total) ** 2)) / (runs - 1)
    statistic = between / (1.0 + 2.0 * (groups - 2) / (groups**2 - 1) * spread)
    return float(special.fdtrc(groups - 1.0, (groups**2 - 1) / (3.0 * spread), statistic))


def greenhouse_geisser(table: np.ndarray) -> float:
    """Return the p-value of repeated-measures ANOVA with Greenhouse and Geisser's correction."""
    from scipy import special

    levels, blocks = table.shape
    residual = table - table.mean(axis=1, keepdims=True)
    residual = residual - residual.mean(axis=0)
    covariance = residual @ residual.T / (blocks - 1)
    rank = float(np.trace(covariance)) ** 2 / float(np.sum(covariance**2))
    mean_square = float(np.trace(covariance)) / (levels - 1)
    statistic = blocks * float(table.mean(axis=1).var(ddof=1)) / mean_square
    return float(special.fdtrc(rank, rank * (blocks - 1), statistic))


def _effects(planted: Planted, table: np.ndarray, shape: tuple[int, ...], *, blocked: bool) -> dict[str, float]:
    """Return which true main effects, and whether an interaction, are significant by F with Holm over all effects."""
    from scipy import special

    residual = table - table.mean(axis=1, keepdims=True)
    error_df = table.size - len(table)
    if blocked:
        residual = residual - residual.mean(axis=0)
        error_df -= table.shape[1] - 1
    mean_square = float((residual**2).sum()) / error_df
    axes = [*((k,) for k in range(len(shape))), *combinations(range(len(shape)), 2)]
    means, p_values = table.mean(axis=1), []
    for own in axes:
        explained = float(means @ effect_projector(shape, own) @ means) * table.shape[1]
        df = math.prod(shape[k] - 1 for k in own)
        p_values.append(float(special.fdtrc(float(df), float(error_df), explained / df / mean_square)))
    adjusted = dict(zip(axes, holm(p_values), strict=True))
    found = {
        factor: float(adjusted[k,] < ALPHA)
        for k, factor in enumerate(planted.factors)
        if np.ptp(list(planted.marginal(factor).values())) > SAME
    }
    both = [p for own, p in adjusted.items() if len(own) == 2]
    return found | ({"interaction": float(min(both) < ALPHA)} if both else {})


def _best_levels(planted: Planted, table: np.ndarray, shape: tuple[int, ...]) -> dict[str, float]:
    """Return, by test, whether the single best level of a factor is significantly better than each other level."""
    truth = [list(planted.marginal(factor).values()) for factor in planted.factors]
    unique = [axis for axis, means in enumerate(truth) if sum(mean < min(means) + SAME for mean in means) == 1]
    if not unique:
        return {}
    axis = unique[0]
    best = int(np.argmin(truth[axis]))
    cells = np.moveaxis(np.arange(len(table)).reshape(shape), axis, 0).reshape(shape[axis], -1)
    groups = [table[own].ravel() for own in cells]
    found = {
        "Tukey finds the best level": _tukey(table, cells, best, blocked=False),
        "Welch-Holm finds the best level": _welch(groups, best),
        "permutation finds the best level": _permutation(groups, best) if len(shape) == 1 else None,
        "block Tukey finds the best level": _tukey(table, cells, best, blocked=True) if planted.blocks else None,
    }
    return {name: float(value) for name, value in found.items() if value is not None}


def _tukey(table: np.ndarray, cells: np.ndarray, best: int, *, blocked: bool) -> bool:
    """Return whether Tukey's test separates the best level, with the error term of F or of randomised blocks."""
    from scipy import stats

    residual = table - table.mean(axis=1, keepdims=True)
    df = table.size - len(table)
    if blocked:
        residual, df = residual - residual.mean(axis=0), df - (table.shape[1] - 1)
    error = math.sqrt(float((residual**2).sum()) / df / (cells.shape[1] * table.shape[1]))
    means = np.array([table[own].mean() for own in cells])
    leads = np.delete(means, best) - means[best]
    if leads.min() <= 0.0:
        return False
    return bool((stats.studentized_range.sf(leads.min() / error, len(means), df)) < ALPHA)


def _welch(groups: list[np.ndarray], best: int) -> bool:
    from scipy import stats

    pairs = list(combinations(range(len(groups)), 2))
    p_values = holm([float(stats.ttest_ind(groups[a], groups[b], equal_var=False).pvalue) for a, b in pairs])
    return _all_beaten(groups, best, dict(zip(pairs, p_values, strict=True)))


def _permutation(groups: list[np.ndarray], best: int) -> bool:
    return _all_beaten(groups, best, max_t([group.tolist() for group in groups], generator("competitors")))


def _all_beaten(groups: list[np.ndarray], best: int, p_values: Mapping[tuple[int, int], float]) -> bool:
    means = [float(group.mean()) for group in groups]
    return all(p < ALPHA for pair, p in p_values.items() if best in pair) and means[best] == min(means)
