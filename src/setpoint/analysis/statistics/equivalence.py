"""Equivalence within a margin: two one-sided tests (Schuirmann, 1987) of every pair, by the confidence limit.

A set of levels is equivalent if every pair of them is: an intersection-union test (Berger, 1982), which needs no
correction over the pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from setpoint.analysis.statistics.cells import Contrast


@dataclass(frozen=True)
class Largest:
    """The largest absolute difference within a set of contrasts.

    Attributes:
        observed: the observed one.
        limit: upper confidence limit of the true one.
        p: p-value of the null hypothesis that the true one is at least the margin.
    """

    observed: float
    limit: float
    p: float


def largest_difference(contrasts: Sequence[Contrast], margin: float, level: float) -> Largest:
    """Return the largest absolute difference; its limit is below `margin` exactly if the p-value is below `level`.

    Args:
        contrasts: differences, all estimable.
        margin: smallest difference that matters, on the scale of the contrasts.
        level: significance level; the limit has confidence 1 − `level`.
    """
    from scipy import special

    def limit(contrast: Contrast) -> float:
        return abs(contrast.value) + float(special.stdtrit(contrast.df, 1.0 - level)) * contrast.standard_error

    def p(contrast: Contrast) -> float:
        return float(special.stdtr(contrast.df, (abs(contrast.value) - margin) / contrast.standard_error))

    return Largest(max(abs(c.value) for c in contrasts), max(map(limit, contrasts)), max(map(p, contrasts)))
