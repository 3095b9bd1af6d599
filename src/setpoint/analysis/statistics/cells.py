"""Cell means of a factorial experiment, their covariance, and contrasts of them.

A cell is one combination of factor levels; a run is one observation. Runs in different cells may share a random
component, such as the SFT parent of their replicate: they belong to one cluster and are correlated. All formulas allow
for this, and reduce to the textbook ones if every run is its own cluster.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, reduce

import numpy as np
from jaxtyping import Float, Int

from setpoint.analysis.statistics.complete_blocks import contrast_variance, mean_square
from setpoint.analysis.statistics.error_parts import ErrorParts, corrected_df

NO_SPREAD = 1e-12
"""Relative size below which a standard error counts as round-off."""


@dataclass(frozen=True)
class Contrast:
    """A weighted sum of cell means: its value, standard error and Satterthwaite degrees of freedom.

    Attributes:
        unit: magnitude relative to which differences count as round-off; 1 for logarithms.
    """

    value: float
    standard_error: float
    df: float
    unit: float = 1.0

    @property
    def estimable(self) -> bool:
        """Return whether the standard error is larger than round-off."""
        return self.standard_error > NO_SPREAD * max(self.unit, abs(self.value)) and self.df > 0


@dataclass(frozen=True)
class Cells:
    """The means of all cells of a complete factorial, in C order of the factors' levels.

    Attributes:
        shape: number of levels of each factor; their product is the number of cells C.
        means: cell means, (C,).
        covariance: estimated covariance of the means, (C, C); its diagonal, (C,), if all means are independent.
        groups: disjoint sets of cell indices; means of different groups are independent.
        df: degrees of freedom of each group's block of `covariance`.
        n_runs: number of observations.
        pooled: True if `covariance` is a known matrix times one estimated variance.
        unit: magnitude relative to which differences count as round-off; 1 for logarithms.
        parts: variance estimates that make up `covariance`, for designs with blocks; otherwise None.
        joint_parts: the same for interactions, if they have another error term.
        uneven: factors that interact with blocks, and are tested against that interaction.
        table: values, cells by blocks, (C, B); None if blocks are absent or incomplete.
    """

    shape: tuple[int, ...]
    means: Float[np.ndarray, " C"]
    covariance: Float[np.ndarray, "C C"] | Float[np.ndarray, " C"]
    groups: tuple[Int[np.ndarray, "members"], ...]
    df: Float[np.ndarray, "groups"]
    n_runs: int
    pooled: bool = False
    unit: float = 1.0
    parts: ErrorParts | None = None
    joint_parts: ErrorParts | None = None
    uneven: tuple[int, ...] = ()
    table: Float[np.ndarray, "C B"] | None = None

    @property
    def independent(self) -> bool:
        """Return whether all means are independent, so that `covariance` is a diagonal."""
        return self.covariance.ndim == 1

    @cached_property
    def variances(self) -> Float[np.ndarray, " C"]:
        """Return the estimated variance of each mean, (C,)."""
        return np.asarray(self.covariance if self.independent else np.diag(self.covariance))

    @cached_property
    def has_spread(self) -> bool:
        """Return whether the variance within cells is larger than round-off; otherwise nothing can be tested."""
        variances = self.variances if self.one_way_table is None else mean_square(self.one_way_table)
        typical = math.sqrt(float(np.mean(variances)))
        return typical > NO_SPREAD * max(self.unit, float(np.abs(self.means).max()))

    @cached_property
    def total_df(self) -> float:
        """Return the degrees of freedom of the average variance."""
        if self.parts is not None:
            return corrected_df(self.parts.of_trace(np.eye(len(self.means))), self.parts.df)
        return satterthwaite(self.group_sums(self.variances), self.df)

    def group_sums(self, values: Float[np.ndarray, " C"]) -> Float[np.ndarray, "groups"]:
        """Return the sum of `values` over each group."""
        if len(self.groups) == len(self.means):
            return np.asarray(values[self._group_order])
        return np.array([values[group].sum() for group in self.groups])

    @cached_property
    def _group_order(self) -> Int[np.ndarray, " C"]:
        return np.concatenate(self.groups)

    def contrast(self, weights: Float[np.ndarray, " C"]) -> Contrast:
        """Return the contrast with `weights`; if its own variance is zero, use the average variance of all cells."""
        variance, df = self._variance(weights)
        value = float(weights @ self.means)
        if math.sqrt(max(variance, 0.0)) > NO_SPREAD * max(self.unit, abs(value)):
            return Contrast(value, math.sqrt(variance), df, self.unit)
        average = float(np.mean(self.variances))
        return Contrast(value, math.sqrt(average * float(weights @ weights)), self.total_df, self.unit)

    def mean_of(self, weights: Float[np.ndarray, " C"]) -> Contrast:
        """Return the contrast of a mean over many cells, with less biased degrees of freedom than `contrast`.

        A squared variance estimate with ν degrees of freedom is too large by (ν + 2)/ν on average, which would cost a
        mean over cells of two runs more than half of its degrees of freedom. The unbiased estimate has more variance,
        and t quantiles are convex in the degrees of freedom; so the geometric mean of the two is used. With complete
        blocks, every block gives one value of the mean, and the t interval of those values is used.
        """
        found = self.contrast(weights)
        if self.table is not None:
            by_block = weights @ self.table
            error = float(np.std(by_block, ddof=1)) / math.sqrt(len(by_block))
            return replace(found, standard_error=error, df=len(by_block) - 1.0)
        if self.parts is not None:
            return found
        unbiased = satterthwaite(self._variance_by_group(weights), self.df + 2.0) - 2.0
        between = math.sqrt(found.df * max(found.df, unbiased))
        return replace(found, df=min(float(self.df.sum()), between))

    def planned_df(self, weights: Float[np.ndarray, " C"]) -> float:
        """Return the degrees of freedom that a contrast would have if all cells had equal variances."""
        if self.pooled:
            return float(self.df[0])
        if self.one_way_table is not None:
            return contrast_variance(self.one_way_table, weights)[1]
        if self.parts is not None:
            alike = self.parts.of_contrast(weights) / np.maximum(self.parts.variances, 1e-300)
            return satterthwaite(alike, self.parts.df)
        if self.independent:
            return satterthwaite(self.group_sums(weights**2) / (self.df + 1.0), self.df)
        return self.contrast(weights).df

    def _variance(self, weights: Float[np.ndarray, " C"]) -> tuple[float, float]:
        """Return the variance of a contrast and its degrees of freedom."""
        if self.one_way_table is not None:
            return contrast_variance(self.one_way_table, weights)
        if self.parts is not None:
            found = self.parts.of_contrast(weights)
            return float(found.sum()), corrected_df(found, self.parts.df)
        found = self._variance_by_group(weights)
        return float(found.sum()), satterthwaite(found, self.df)

    @property
    def one_way_table(self) -> Float[np.ndarray, "C B"] | None:
        """Return the table of a single factor in complete blocks; otherwise None."""
        return self.table if len(self.shape) == 1 else None

    def _variance_by_group(self, weights: Float[np.ndarray, " C"]) -> Float[np.ndarray, "groups"]:
        if self.independent:
            return self.group_sums(weights**2 * self.variances)
        return np.array([float(weights[g] @ self.covariance[np.ix_(g, g)] @ weights[g]) for g in self.groups])

    def marginal_weights(self, factor: int) -> Float[np.ndarray, "levels C"]:
        """Return the weights that average the cells of each level of `factor`, (levels, C)."""
        return level_weights(self.shape, factor)


@lru_cache(maxsize=256)
def level_weights(shape: tuple[int, ...], factor: int) -> Float[np.ndarray, "levels C"]:
    """Return the weights that average the cells of each level of `factor` in a complete factorial, (levels, C)."""
    rows = [np.eye(n) if k == factor else np.full((1, n), 1.0 / n) for k, n in enumerate(shape)]
    weights = reduce(np.kron, rows)
    weights.flags.writeable = False
    return weights


def satterthwaite(
    variances: Sequence[float] | Float[np.ndarray, "groups"], df: Sequence[float] | Float[np.ndarray, "groups"]
) -> float:
    """Return Satterthwaite's degrees of freedom of a sum of independent variance estimates."""
    parts = np.asarray(variances, dtype=float)
    spread = float(np.sum(parts**2 / np.asarray(df, dtype=float)))
    return float(parts.sum()) ** 2 / spread if spread > 0.0 else 0.0


def replicated_cells(
    shape: tuple[int, ...], cell: Int[np.ndarray, " runs"], value: Float[np.ndarray, " runs"], cluster: Sequence[str]
) -> Cells:
    """Return cells with at least two runs each and separate variances.

    Args:
        shape: number of levels of each factor.
        cell: cell index of each run.
        value: observation of each run.
        cluster: label of each run; runs with equal labels are correlated. At most one run of a label per cell.
    """
    size = math.prod(shape)
    counts = np.bincount(cell, minlength=size)
    if counts.min() < 2:
        raise ValueError("every cell needs two runs")
    means = np.bincount(cell, weights=value, minlength=size) / counts
    deviation = value - means[cell]
    if len(set(cluster)) == len(cluster):
        variances = np.bincount(cell, weights=deviation**2, minlength=size) / (counts * (counts - 1.0))
        singles = tuple(np.arange(size)[:, None])
        return Cells(shape, means, variances, singles, counts - 1.0, len(value))
    number = {label: k for k, label in enumerate(sorted(set(cluster)))}
    column = np.array([number[label] for label in cluster])
    # One row per cell, one column per cluster; scaled so that the diagonal of its square is s²/n.
    scores = np.zeros((size, len(number)))
    scores[cell, column] = deviation / np.sqrt(counts * (counts - 1.0))[cell]
    groups = connected_cells(size, cell, column)
    covariance = np.zeros((size, size))
    for group in groups:
        covariance[np.ix_(group, group)] = scores[group] @ scores[group].T
    df = np.array([counts[group].min() - 1.0 for group in groups])
    return Cells(shape, means, covariance, groups, df, len(value))


def unreplicated_cells(shape: tuple[int, ...], value: Float[np.ndarray, " C"]) -> Cells | None:
    """Return cells of one run each, with the interactions' mean square as variance; None below three error df.

    True interactions inflate the variance, so tests of main effects are then conservative.
    """
    size = math.prod(shape)
    error_df = size - 1 - sum(n - 1 for n in shape)
    if error_df < 3:
        return None
    table = value.reshape(shape)
    additive = sum(
        table.mean(axis=tuple(k for k in range(len(shape)) if k != axis), keepdims=True) for axis in range(len(shape))
    ) - (len(shape) - 1) * float(table.mean())
    mean_square = float(((table - additive) ** 2).sum()) / error_df
    everything = (np.arange(size),)
    covariance = np.full(size, mean_square)
    return Cells(shape, value.astype(float), covariance, everything, np.array([float(error_df)]), size, pooled=True)


def connected_cells(
    size: int, cell: Int[np.ndarray, " runs"], column: Int[np.ndarray, " runs"]
) -> tuple[Int[np.ndarray, "members"], ...]:
    """Return the connected components of the cells, in which cells are linked by shared clusters."""
    label = np.arange(size)
    for shared in np.unique(column):
        members = np.unique(label[cell[column == shared]])
        label[np.isin(label, members)] = members[0]
    return tuple(np.flatnonzero(label == first) for first in np.unique(label))
