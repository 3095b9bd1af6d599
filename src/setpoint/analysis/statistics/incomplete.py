"""Designs without runs for some combinations of levels: aliased effects, and cell means under an additive model.

Every missing cell gets the mean that an additive model of the other cells predicts, which leaves the least-squares
estimates of main effects as they are (Yates 1933). The predictions are linear in the observed means, so their
covariance is known, and tests of the complete factorial apply.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from jaxtyping import Float, Int

from setpoint.analysis.statistics.blocks import additive_fit, additive_parts
from setpoint.analysis.statistics.cells import Cells, connected_cells
from setpoint.analysis.statistics.error_parts import ErrorParts, corrected_df

TOLERANCE = 1e-9
LEAST_ERROR_DF = 3.0
"""Smallest number of error degrees of freedom for which the design is tested."""


@dataclass(frozen=True)
class IncompleteDesign:
    """The combinations of levels that have runs.

    Attributes:
        shape: number of levels of each factor.
        present: level of each factor in each cell with runs, in C order, (present, factors); every level occurs.
    """

    shape: tuple[int, ...]
    present: tuple[tuple[int, ...], ...]

    @cached_property
    def places(self) -> Int[np.ndarray, " present"]:
        """Return the indices of the cells with runs in the complete factorial."""
        return np.asarray(np.ravel_multi_index(tuple(np.array(self.present).T), self.shape))

    def _columns(self, effect: tuple[int, ...]) -> Float[np.ndarray, "C columns"]:
        """Return the sum-to-zero columns of an effect for all cells of the complete factorial."""
        codes = np.array(np.unravel_index(np.arange(int(np.prod(self.shape))), self.shape))
        found = np.ones((codes.shape[1], 1))
        for axis in effect:
            coded = np.eye(self.shape[axis])[codes[axis]]
            own = coded[:, :-1] - coded[:, -1:]
            found = (found[:, :, None] * own[:, None, :]).reshape(len(found), -1)
        return found

    def _model(self, effects: Sequence[tuple[int, ...]]) -> Float[np.ndarray, "C columns"]:
        mean = np.ones((int(np.prod(self.shape)), 1))
        return np.hstack([mean, *(self._columns(effect) for effect in effects)])

    def _rank(self, effects: Sequence[tuple[int, ...]]) -> int:
        return int(np.linalg.matrix_rank(self._model(effects)[self.places], tol=TOLERANCE * len(self.present)))

    @property
    def _mains(self) -> list[tuple[int, ...]]:
        return [(axis,) for axis in range(len(self.shape))]

    @property
    def additive(self) -> bool:
        """Return whether all main effects can be estimated together."""
        return self._rank(self._mains) == 1 + sum(count - 1 for count in self.shape)

    def estimable(self, first: int, second: int) -> bool:
        """Return whether any contrast of an interaction can be estimated in addition to the main effects."""
        return self._rank([*self._mains, (first, second)]) > self._rank(self._mains)

    def aliases(self, axis: int) -> list[tuple[int, int]]:
        """Return the interactions of other factors without which a main effect loses contrasts."""
        others = [effect for effect in self._mains if effect != (axis,)]
        full = self.shape[axis] - 1
        return [
            pair
            for pair in combinations([k for k in range(len(self.shape)) if k != axis], 2)
            if self._rank([*self._mains, pair]) - self._rank([*others, pair]) < full
        ]

    @cached_property
    def completion(self) -> Float[np.ndarray, "C present"]:
        """Return the matrix that maps the means of cells with runs to those of all cells."""
        model = self._model(self._mains)
        found = model @ np.linalg.pinv(model[self.places])
        found[self.places] = np.eye(len(self.places))
        return np.asarray(found)


def incomplete_cells(
    design: IncompleteDesign,
    cell: Int[np.ndarray, " runs"],
    value: Float[np.ndarray, " runs"],
    cluster: Sequence[str],
) -> Cells | None:
    """Return the cells of the completed factorial; None with too few error degrees of freedom.

    The variance of cells with single runs is the pooled one. If no cell has two runs, the error is the residual of the
    additive model.

    Args:
        design: the cells with runs; all main effects must be estimable together.
        cell: position of each run's cell in `design.present`.
        value: observation of each run.
        cluster: block label of each run; at most one run of a block per cell.
    """
    if len(set(cluster)) == len(cluster):
        means, parts, error_df = _independent(design, cell, value)
    else:
        block = np.unique(np.asarray(cluster), return_inverse=True)[1]
        if block.max() == 0 or len(connected_cells(len(design.present), cell, block)) > 1:
            return None
        fit = additive_fit(cell, block, value)
        means, parts = additive_parts(cell, fit, 0.0)
        error_df = float(fit.freedom.sum())
    if error_df < LEAST_ERROR_DF:
        return None
    completed = ErrorParts(design.completion @ parts.loadings, parts.mixing, parts.variances, parts.df)
    everything = (np.arange(len(design.completion)),)
    df = np.array([corrected_df(completed.of_trace(np.eye(len(design.completion))), completed.df)])
    means = design.completion @ means
    return Cells(design.shape, means, completed.covariance, everything, df, len(value), parts=completed)


def _independent(
    design: IncompleteDesign, cell: Int[np.ndarray, " runs"], value: Float[np.ndarray, " runs"]
) -> tuple[Float[np.ndarray, " present"], ErrorParts, float]:
    """Return means, variance parts and error degrees of freedom of runs without blocks."""
    count = len(design.present)
    number = np.bincount(cell, minlength=count)
    means = np.bincount(cell, weights=value, minlength=count) / number
    squares = np.bincount(cell, weights=(value - means[cell]) ** 2, minlength=count)
    loadings, df = np.diag(1.0 / np.sqrt(number)), number - 1.0
    if df.sum() < 1.0:
        columns = design._model(design._mains)[design.places]
        residual = means - columns @ (np.linalg.pinv(columns) @ means)
        freedom = float(count - columns.shape[1])
        variance = np.array([float(residual @ residual) / max(freedom, 1.0)])
        return means, ErrorParts(loadings, np.ones((count, 1)), variance, np.array([max(freedom, 1.0)])), freedom
    rich = np.flatnonzero(df > 0)
    mixing = np.tile(df[rich] / df.sum(), (count, 1))
    mixing[rich] = np.eye(len(rich))
    return means, ErrorParts(loadings, mixing, squares[rich] / df[rich], df[rich]), float(df.sum())
