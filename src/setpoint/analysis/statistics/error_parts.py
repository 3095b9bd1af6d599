"""The covariance of cell means as a sum of parts, each a known matrix times an estimated variance with its df.

Independent cells have one part per cell. Designs with blocks or whole plots have other parts; the formulas for
contrasts and for the ANOVA-type statistic are the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

CARRYING_FROM, CARRYING_SPAN = 2.0, 4.0
"""Number of dominant variance estimates from which the bias correction is applied, and over which it is phased in."""


@dataclass(frozen=True)
class ErrorParts:
    """Independent variance estimates, and how they enter the covariance of C means.

    The covariance is the sum over columns q of `loadings[:, q]` `loadings[:, q]`ᵀ times the q-th element of `mixing` @
    `variances`.

    Attributes:
        loadings: (C, Q).
        mixing: non-negative, (Q, P).
        variances: variance estimates, (P,).
        df: degrees of freedom of the estimates, (P,).
    """

    loadings: Float[np.ndarray, "C Q"]
    mixing: Float[np.ndarray, "Q P"]
    variances: Float[np.ndarray, " P"]
    df: Float[np.ndarray, " P"]

    @cached_property
    def covariance(self) -> Float[np.ndarray, "C C"]:
        """Return the estimated covariance of the means, (C, C)."""
        return np.asarray((self.loadings * (self.mixing @ self.variances)) @ self.loadings.T)

    def of_contrast(self, weights: Float[np.ndarray, " C"]) -> Float[np.ndarray, " P"]:
        """Return the contribution of each estimate to the variance of a weighted sum of means, (P,)."""
        return np.asarray((np.square(weights @ self.loadings) @ self.mixing) * self.variances)

    def of_trace(self, projector: Float[np.ndarray, "C C"]) -> Float[np.ndarray, " P"]:
        """Return the contribution of each estimate to tr(T S) of a projector T and the covariance S, (P,)."""
        own = np.einsum("cq,cq->q", self.loadings, projector @ self.loadings)
        return np.asarray((own @ self.mixing) * self.variances)

    def squared_trace(self, projector: Float[np.ndarray, "C C"]) -> tuple[float, float]:
        """Return tr(T S T S), and its expected excess due to the sampling variance of the estimates."""
        crossed = np.square(self.loadings.T @ projector @ self.loadings)
        spread = self.mixing @ self.variances
        own = np.einsum("qp,qp->p", self.mixing, crossed @ self.mixing)
        return float(spread @ crossed @ spread), float(np.sum(own * noise_of(self.variances, self.df)))


def noise_of(variances: Float[np.ndarray, " P"], df: Float[np.ndarray, " P"]) -> Float[np.ndarray, " P"]:
    """Return the unbiased estimate of the sampling variance of each variance estimate, 2 v²/(ν + 2)."""
    return np.asarray(2.0 * np.square(variances) / (df + 2.0))


def corrected_df(parts: Float[np.ndarray, " P"], df: Float[np.ndarray, " P"]) -> float:
    """Return Satterthwaite's degrees of freedom of a sum of variance estimates, bias-corrected if many dominate it.

    A squared estimate with ν degrees of freedom is too large by (ν + 2)/ν on average, which would halve the degrees of
    freedom of many estimates with one or two each. If few estimates dominate the sum, the plain formula is used,
    because the corrected test would exceed its level (measured).
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
    """Join parts with independent estimates."""
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
