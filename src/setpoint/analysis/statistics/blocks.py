"""Cell means of runs that share a block, such as a seed, a batch or a whole plot: the additive model.

A block raises or lowers all its runs alike; the error is what is left after cells and blocks, and every cell keeps a
spread of its own. With few blocks this resolves far more than a covariance of all cells, which r blocks estimate from
r − 1 degrees of freedom alone. Blocks may hold all cells (randomised blocks), some of them (incomplete blocks), or one
level of a factor only (split plots, whose whole-plot factor is then judged by the means of the blocks).

What the model takes for granted is looked at first. Where a factor acts differently from block to block, it is judged
by that variation, as a whole-plot factor is. Where several factors are crossed and no cells spread more
than others, their common spread weighs like some more degrees of freedom.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from setpoint.analysis.statistics.cells import Cells, connected_cells, replicated_cells
from setpoint.analysis.statistics.effects import effect_projector
from setpoint.analysis.statistics.error_parts import ErrorParts, corrected_df, joined

UNEVEN_BLOCKS_BELOW, UNEVEN_OF_TWO_BELOW = 0.05, 0.25
"""A factor whose variation over blocks exceeds the rest at this level is judged by it; a factor of two levels, whose
variation has few degrees of freedom to be seen by, at the second."""
UNEQUAL_SPREADS_BELOW = 0.2
"""Cells whose spreads differ at this level are not moderated."""
COMMON_DF = 4.0
"""The weight of the common spread of a factorial's cells, as a number of degrees of freedom."""
LEAST_DF = 0.5
"""Cells with fewer residual degrees of freedom borrow the common spread."""


@dataclass(frozen=True)
class AdditiveFit:
    """Cells and blocks fitted by least squares; the cells hold for the average block.

    Attributes:
        means: of the cells, (C,).
        solver: the matrix that turns values into `means`, (C, runs).
        residuals: (runs,).
        freedom: the share of a degree of freedom that each residual has, (runs,).
        blocks: the mean of each block, adjusted to all cells, (B,).
    """

    means: Float[np.ndarray, " C"]
    solver: Float[np.ndarray, "C runs"]
    residuals: Float[np.ndarray, " runs"]
    freedom: Float[np.ndarray, " runs"]
    blocks: Float[np.ndarray, " B"]


def additive_fit(
    cell: Int[np.ndarray, " runs"], block: Int[np.ndarray, " runs"], value: Float[np.ndarray, " runs"]
) -> AdditiveFit:
    """Fit cells and blocks, both numbered from 0, of a connected table: any cell can be reached from any other."""
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
    """Means and error parts of one connected set of cells; `moderation` is the weight of the common spread, in df."""
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
    """Residual variances, their degrees of freedom, and which of them each cell has; poor cells share the common."""
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
    """Each variance as a mean of itself and of the common one, which counts like `moderation` degrees of freedom."""
    own = df / (df + moderation)
    return np.asarray(np.diag(own) + np.outer(1.0 - own, df / df.sum()))


def spreads_differ(shape: tuple[int, ...], cell: Int[np.ndarray, " runs"], fit: AdditiveFit) -> float:
    """The p-value that the cells, or the levels of a factor, have equal residual spreads (Bartlett, Bonferroni)."""
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
    """Bartlett's test of equal variances, for estimates whose degrees of freedom may be fractions."""
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
    """Factors whose effect varies over blocks by more than the rest of the table explains, by F tests."""
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
    """The residual sum of squares of a model with these groupings, and its degrees of freedom."""
    columns = np.hstack([(label[:, None] == np.unique(label)).astype(float) for label in labels])
    solution, _, rank, _ = np.linalg.lstsq(columns, value, rcond=1e-10)
    return float(np.sum((value - columns @ solution) ** 2)), len(value) - int(rank)


def stratified_parts(
    shape: tuple[int, ...], table: Float[np.ndarray, "C B"], uneven: Sequence[int], moderation: float
) -> ErrorParts:
    """Error parts of a complete table, in which each factor of `uneven` is judged by its variation over blocks.

    Args:
        shape: of the factorial.
        table: cells by blocks.
        uneven: positions of such factors.
        moderation: as of `additive_parts`.
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
    """The part of the mean of `count` cells, from the means of the blocks."""
    variance = float(np.var(blocks, ddof=1)) / len(blocks)
    return ErrorParts(np.ones((count, 1)), np.ones((1, 1)), np.array([variance]), np.array([len(blocks) - 1.0]))


def blocked_cells(
    shape: tuple[int, ...], cell: Int[np.ndarray, " runs"], value: Float[np.ndarray, " runs"], cluster: Sequence[str]
) -> Cells:
    """Cells of runs that share blocks, by the additive model.

    Args:
        shape: levels of each factor.
        cell: the cell of each run.
        value: the observation of each run.
        cluster: the block of each run; at most once in a cell.

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
    """The p-value that blocks do not differ, by the F test of randomised blocks; 1 where they are not complete."""
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
    """Cells of several sets that share no block, such as the whole plots of a split plot: each set separately."""
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
