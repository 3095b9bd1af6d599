"""Cell means of runs that share a block, such as a seed, a batch or a whole plot: the additive model.

The model is cell mean + block effect + error, with a separate error variance for each cell. With few blocks it has far
more power than an unrestricted covariance of all cells, which r blocks estimate with only r − 1 degrees of freedom.
Blocks may contain all cells (randomised blocks), some of them (incomplete blocks), or a single level of a factor (split
plots, whose whole-plot factor is then tested against the variation of the block means).

Two assumptions are checked first. If the effect of a factor varies between blocks, the factor is tested against its
interaction with blocks. If several factors are crossed and the variances of the cells do not differ significantly, each
variance is shrunk towards the pooled one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from setpoint.analysis.statistics.cells import Cells, connected_cells, replicated_cells
from setpoint.analysis.statistics.effects import effect_projector
from setpoint.analysis.statistics.error_parts import ErrorParts, corrected_df, joined

UNEVEN_BLOCKS_BELOW, UNEVEN_OF_TWO_BELOW = 0.05, 0.25
"""Significance level at which a factor-by-block interaction replaces the error term of the factor. The second value is
for factors with two levels, whose interaction has few degrees of freedom."""
UNEQUAL_SPREADS_BELOW = 0.2
"""Significance level of the test for unequal variances below which variances are not shrunk."""
COMMON_DF = 4.0
"""Weight of the pooled variance in shrinkage, as prior degrees of freedom."""
LEAST_DF = 0.5
"""Cells with fewer residual degrees of freedom use the pooled variance."""


@dataclass(frozen=True)
class AdditiveFit:
    """Least-squares fit of cell and block effects.

    Attributes:
        means: cell means for the average block, (C,).
        solver: matrix that maps the values to `means`, (C, runs).
        residuals: residuals, (runs,).
        freedom: one minus the leverage of each run, (runs,); the sum is the residual degrees of freedom.
        blocks: block means adjusted for cells, (B,).
    """

    means: Float[np.ndarray, " C"]
    solver: Float[np.ndarray, "C runs"]
    residuals: Float[np.ndarray, " runs"]
    freedom: Float[np.ndarray, " runs"]
    blocks: Float[np.ndarray, " B"]


def additive_fit(
    cell: Int[np.ndarray, " runs"], block: Int[np.ndarray, " runs"], value: Float[np.ndarray, " runs"]
) -> AdditiveFit:
    """Fit cell and block effects, both numbered from 0; the design must be connected."""
    cells, blocks = int(cell.max()) + 1, int(block.max()) + 1
    design = np.zeros((len(value), cells + blocks - 1))
    design[np.arange(len(value)), cell] = 1.0
    last = block == blocks - 1
    design[np.flatnonzero(~last), cells + block[~last]] = 1.0
    design[last, cells:] = -1.0  # the blocks' effects add up to zero
    inverse = np.linalg.inv(design.T @ design)
    solver = inverse @ design.T
    found = solver @ value
    freedom = np.clip(1.0 - np.einsum("rk,kr->r", design, solver), 0.0, 1.0)
    effects = np.append(found[cells:], -found[cells:].sum())
    return AdditiveFit(found[:cells], solver[:cells], value - design @ found, freedom, effects + found[:cells].mean())


def additive_parts(
    cell: Int[np.ndarray, " runs"], fit: AdditiveFit, moderation: float
) -> tuple[Float[np.ndarray, " C"], ErrorParts]:
    """Return means and variance parts of connected cells; `moderation` is the prior df of the pooled variance."""
    count = len(fit.means)
    if count == 1:
        return fit.means, _of_mean(fit.blocks, 1)
    centre = np.eye(count) - 1.0 / count
    variances, df, owned = _spreads(count, cell, fit)
    mixing = _moderated(df, moderation)[owned][cell]
    return fit.means, joined([ErrorParts(centre @ fit.solver, mixing, variances, df), _of_mean(fit.blocks, count)])


def _spreads(
    count: int, cell: Int[np.ndarray, " runs"], fit: AdditiveFit
) -> tuple[Float[np.ndarray, " P"], Float[np.ndarray, " P"], Int[np.ndarray, " C"]]:
    """Return residual variances, their degrees of freedom, and which of them each cell uses."""
    squares = np.bincount(cell, weights=fit.residuals**2, minlength=count)
    df = np.bincount(cell, weights=fit.freedom, minlength=count)
    rich = df >= LEAST_DF
    if rich.all():
        return squares / df, df, np.arange(count)
    total, owned = max(float(df.sum()), 1e-12), np.full(count, int(rich.sum()))
    owned[rich] = np.arange(int(rich.sum()))
    common = squares.sum() / total
    return np.append(squares[rich] / df[rich], common), np.append(df[rich], total), owned


def _moderated(df: Float[np.ndarray, " P"], moderation: float) -> Float[np.ndarray, "P P"]:
    """Return weights that shrink each variance towards the pooled one, which has `moderation` prior df."""
    own = df / (df + moderation)
    return np.asarray(np.diag(own) + np.outer(1.0 - own, df / df.sum()))


def spreads_differ(shape: tuple[int, ...], cell: Int[np.ndarray, " runs"], fit: AdditiveFit) -> float:
    """Return the p-value of equal residual variances of cells and of factor levels (Bartlett's test, Bonferroni)."""
    count = int(np.prod(shape))
    squares = np.bincount(cell, weights=fit.residuals**2, minlength=count)
    df = np.bincount(cell, weights=fit.freedom, minlength=count)
    tables = [(squares, df)]
    if len(shape) > 1:
        for axis in range(len(shape)):
            others = tuple(k for k in range(len(shape)) if k != axis)
            tables.append((squares.reshape(shape).sum(axis=others), df.reshape(shape).sum(axis=others)))
    found = [bartlett(s[d >= LEAST_DF] / d[d >= LEAST_DF], d[d >= LEAST_DF]) for s, d in tables]
    return min(1.0, len(found) * min(found))


def bartlett(variances: Float[np.ndarray, " P"], df: Float[np.ndarray, " P"]) -> float:
    """Return the p-value of Bartlett's test of equal variances; degrees of freedom may be fractional."""
    from scipy import special

    if len(variances) < 2 or not float(variances.max()) > 0.0:
        return 1.0
    total = float(df.sum())
    pooled = float(df @ variances) / total
    logs = np.log(np.maximum(variances, 1e-12 * pooled))
    statistic = total * np.log(pooled) - float(df @ logs)
    correction = 1.0 + (float(np.sum(1.0 / df)) - 1.0 / total) / (3.0 * (len(df) - 1))
    return float(special.chdtrc(len(df) - 1.0, statistic / correction))


def uneven_factors(
    shape: tuple[int, ...],
    cell: Int[np.ndarray, " runs"],
    block: Int[np.ndarray, " runs"],
    value: Float[np.ndarray, " runs"],
) -> list[int]:
    """Return the factors with a significant factor-by-block interaction (F tests)."""
    from scipy import special

    levels = np.array(np.unravel_index(cell, shape))
    crossed = [levels[axis] * (int(block.max()) + 1) + block for axis in range(len(shape))]
    full, df_full = _unexplained([cell, block, *crossed], value)
    if df_full < 1 or not full > 0.0:
        return []
    found = []
    for axis in range(len(shape)):
        without, df_without = _unexplained([cell, block, *crossed[:axis], *crossed[axis + 1 :]], value)
        gained = df_without - df_full
        statistic = (without - full) / max(gained, 1) / (full / df_full)
        level = UNEVEN_BLOCKS_BELOW if shape[axis] > 2 else UNEVEN_OF_TWO_BELOW
        if gained and float(special.fdtrc(gained, df_full, statistic)) < level:
            found.append(axis)
    return found


def _unexplained(labels: Sequence[Int[np.ndarray, " runs"]], value: Float[np.ndarray, " runs"]) -> tuple[float, int]:
    """Return the residual sum of squares of the additive model of these groupings, and its degrees of freedom."""
    columns = np.hstack([(label[:, None] == np.unique(label)).astype(float) for label in labels])
    solution, _, rank, _ = np.linalg.lstsq(columns, value, rcond=1e-10)
    return float(np.sum((value - columns @ solution) ** 2)), len(value) - int(rank)


def stratified_parts(
    shape: tuple[int, ...], table: Float[np.ndarray, "C B"], uneven: Sequence[int], moderation: float
) -> ErrorParts:
    """Return the variance parts of a complete table if factors are tested against their interaction with blocks.

    Args:
        shape: number of levels of each factor.
        table: values, cells by blocks.
        uneven: positions of the factors that interact with blocks.
        moderation: prior degrees of freedom of the pooled variance.
    """
    count, blocks = table.shape
    centred = table - table.mean(axis=1, keepdims=True)
    rest, found = np.eye(count) - 1.0 / count, []
    for axis in uneven:
        projector = effect_projector(shape, (axis,))
        others = tuple(k for k in range(len(shape)) if k != axis)
        by_level = centred.reshape(*shape, blocks).mean(axis=others)
        squares = np.sum((by_level - by_level.mean(axis=0)) ** 2, axis=1)
        df = np.full(shape[axis], (1.0 - 1.0 / shape[axis]) * (blocks - 1))
        member = np.eye(shape[axis])[np.unravel_index(np.arange(count), shape)[axis]]
        found.append(ErrorParts(projector @ member, _moderated(df, moderation), squares / df / blocks, df))
        rest = rest - projector
    squares, df = np.sum((rest @ centred) ** 2, axis=1), np.diag(rest) * (blocks - 1)
    found.append(ErrorParts(rest, _moderated(df, moderation), squares / df / blocks, df))
    return joined([*found, _of_mean(table.mean(axis=0), count)])


def _of_mean(blocks: Float[np.ndarray, " B"], count: int) -> ErrorParts:
    """Return the variance part of the mean over all `count` cells, estimated from the block means."""
    variance = float(np.var(blocks, ddof=1)) / len(blocks)
    return ErrorParts(np.ones((count, 1)), np.ones((1, 1)), np.array([variance]), np.array([len(blocks) - 1.0]))


def blocked_cells(
    shape: tuple[int, ...], cell: Int[np.ndarray, " runs"], value: Float[np.ndarray, " runs"], cluster: Sequence[str]
) -> Cells:
    """Return the cells of runs that share blocks, by the additive model.

    Args:
        shape: number of levels of each factor.
        cell: cell index of each run.
        value: observation of each run.
        cluster: block label of each run; at most one run of a block per cell.

    Raises:
        ValueError: a cell has fewer than two runs.
    """
    size = int(np.prod(shape))
    if np.bincount(cell, minlength=size).min() < 2:
        raise ValueError("every cell needs two runs")
    block = np.unique(np.asarray(cluster), return_inverse=True)[1]
    groups = connected_cells(size, cell, block)
    if len(groups) > 1:
        return _separate(shape, cell, block, value, groups)
    complete = len(value) == size * (int(block.max()) + 1)
    uneven = uneven_factors(shape, cell, block, value) if len(shape) > 1 else []
    if uneven and not complete:
        return replicated_cells(shape, cell, value, list(cluster))
    fit = additive_fit(cell, block, value)
    crossed = len(shape) > 1 and spreads_differ(shape, cell, fit) >= UNEQUAL_SPREADS_BELOW
    moderation = COMMON_DF if crossed else 0.0
    means, joint = additive_parts(cell, fit, 0.0)
    parts = additive_parts(cell, fit, moderation)[1]
    table = _table(size, cell, block, value) if complete else None
    if uneven and table is not None:
        parts = stratified_parts(shape, table, uneven, moderation)
    return replace(_cells_of(shape, means, len(value), parts, joint), uneven=tuple(uneven), table=table)


def _table(
    size: int, cell: Int[np.ndarray, " runs"], block: Int[np.ndarray, " runs"], value: Float[np.ndarray, " runs"]
) -> Float[np.ndarray, "C B"]:
    table = np.zeros((size, int(block.max()) + 1))
    table[cell, block] = value
    return table


def blocks_matter(cells: Cells) -> float:
    """Return the p-value of equal block means (F test of randomised blocks); 1 if blocks are incomplete."""
    from scipy import special

    if cells.table is None:
        return 1.0
    count, blocks = cells.table.shape
    centred = cells.table - cells.table.mean(axis=1, keepdims=True)
    by_block = centred.mean(axis=0)
    error_df = (count - 1.0) * (blocks - 1.0)
    error = float(np.sum((centred - by_block) ** 2)) / error_df
    if not error > 0.0:
        return 1.0
    return float(special.fdtrc(blocks - 1.0, error_df, count * float(np.sum(by_block**2)) / (blocks - 1.0) / error))


def _separate(
    shape: tuple[int, ...],
    cell: Int[np.ndarray, " runs"],
    block: Int[np.ndarray, " runs"],
    value: Float[np.ndarray, " runs"],
    groups: Sequence[Int[np.ndarray, "members"]],
) -> Cells:
    """Return the cells of sets that share no block, such as whole plots of a split plot; each set has its own fit."""
    size = int(np.prod(shape))
    means, found = np.zeros(size), []
    for group in groups:
        inside = np.isin(cell, group)
        own = np.searchsorted(group, cell[inside])
        own_block = np.unique(block[inside], return_inverse=True)[1]
        means[group], parts = additive_parts(own, additive_fit(own, own_block, value[inside]), 0.0)
        loadings = np.zeros((size, parts.loadings.shape[1]))
        loadings[group] = parts.loadings
        found.append(ErrorParts(loadings, parts.mixing, parts.variances, parts.df))
    return _cells_of(shape, means, len(value), joined(found), None)


def _cells_of(
    shape: tuple[int, ...], means: Float[np.ndarray, " C"], n_runs: int, parts: ErrorParts, joint: ErrorParts | None
) -> Cells:
    everything = (np.arange(len(means)),)
    df = np.array([corrected_df(parts.of_trace(np.eye(len(means))), parts.df)])
    return Cells(shape, means, parts.covariance, everything, df, n_runs, parts=parts, joint_parts=joint)
