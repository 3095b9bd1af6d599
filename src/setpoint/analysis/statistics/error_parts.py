"""The covariance of cell means as a sum of parts: a known matrix times an estimated variance, each with its df.

Means of independent cells have one part a cell. Blocks, whole plots and incomplete tables have others; the formulas
for contrasts and for the ANOVA-type statistic are the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

CARRYING_FROM, CARRYING_SPAN = 2.0, 4.0
"""Number of dominating variance estimates at which the correction of the degrees of freedom begins."""


@dataclass(frozen=True)
class ErrorParts:
    """Independent estimates of variance and how they enter the covariance of C means.

    The covariance is the sum over columns q of `loadings[:, q]` `loadings[:, q]`ᵀ times the q-th element of `mixing` @
    `variances`.

    Attributes:
        loadings: (C, Q).
        mixing: (Q, P), not negative.
        variances: estimates of variance, (P,).
        df: their degrees of freedom, (P,).
    """

    loadings: Float[np.ndarray, "C Q"]
    mixing: Float[np.ndarray, "Q P"]
    variances: Float[np.ndarray, " P"]
    df: Float[np.ndarray, " P"]

    @cached_property
    def covariance(self) -> Float[np.ndarray, "C C"]:
        """The estimated covariance of the means."""
        return np.asarray((self.loadings * (self.mixing @ self.variances)) @ self.loadings.T)

    def of_contrast(self, weights: Float[np.ndarray, " C"]) -> Float[np.ndarray, " P"]:
        """What each estimate adds to the variance of a weighted sum of means."""
        return np.asarray((np.square(weights @ self.loadings) @ self.mixing) * self.variances)

    def of_trace(self, projector: Float[np.ndarray, "C C"]) -> Float[np.ndarray, " P"]:
        """What each estimate adds to tr(T S) of a projector T and the covariance S."""
        own = np.einsum("cq,cq->q", self.loadings, projector @ self.loadings)
        return np.asarray((own @ self.mixing) * self.variances)

    def squared_trace(self, projector: Float[np.ndarray, "C C"]) -> tuple[float, float]:
        """tr(T S T S), and how much of it is there on average because estimates vary."""
        crossed = np.square(self.loadings.T @ projector @ self.loadings)
        spread = self.mixing @ self.variances
        own = np.einsum("qp,qp->p", self.mixing, crossed @ self.mixing)
        return float(spread @ crossed @ spread), float(np.sum(own * noise_of(self.variances, self.df)))


def noise_of(variances: Float[np.ndarray, " P"], df: Float[np.ndarray, " P"]) -> Float[np.ndarray, " P"]:
    """The unbiased estimate of the variance of each variance estimate: 2 v²/(ν + 2)."""
    return np.asarray(2.0 * np.square(variances) / (df + 2.0))


def corrected_df(parts: Float[np.ndarray, " P"], df: Float[np.ndarray, " P"]) -> float:
    """Satterthwaite's degrees of freedom of a sum of variance estimates, with less bias where many carry it.

    The square of an estimate with ν degrees of freedom is too large by (ν + 2)/ν on average, which of many estimates
    with one or two degrees of freedom each would lose half. Where a few carry the sum the plain formula is kept, since
    there the correction would exceed the level (measured).
    """
    total, squares = float(parts.sum()), float(np.sum(parts**2))
    if squares <= 0.0:
        return 0.0
    plain = total**2 / float(np.sum(parts**2 / df))
    unbiased = total**2 / float(np.sum(parts**2 / (df + 2.0))) - 2.0
    limit = float(df[parts > 0.0].sum())
    return float(plain * (min(limit, max(plain, unbiased)) / plain) ** trust(total**2 / squares))


def trust(carrying: float) -> float:
    """Weight of the correction for biased squares, from 0 to 1, if `carrying` estimates dominate the sum."""
    return min(1.0, max(0.0, (carrying - CARRYING_FROM) / CARRYING_SPAN))


def joined(found: Sequence[ErrorParts]) -> ErrorParts:
    """Parts whose estimates are independent of each other, as one."""
    rows, columns = (sum(parts.mixing.shape[k] for parts in found) for k in (0, 1))
    mixing = np.zeros((rows, columns))
    row = column = 0
    for parts in found:
        own_rows, own_columns = parts.mixing.shape
        mixing[row : row + own_rows, column : column + own_columns] = parts.mixing
        row, column = row + own_rows, column + own_columns
    return ErrorParts(
        np.hstack([parts.loadings for parts in found]),
        mixing,
        np.concatenate([parts.variances for parts in found]),
        np.concatenate([parts.df for parts in found]),
    )
