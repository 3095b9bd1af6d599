"""Checks of t intervals of means: zero inflation, and skewness that a few runs per level cannot average out."""

import math

import numpy as np
from jaxtyping import Float, Int

LEAST_RESIDUALS = 12
"""Smallest number of residual degrees of freedom for an estimate of skewness."""
MOST_TIED = 0.1
"""Largest share of runs tied at one end of the range that is not treated as an atom of the distribution."""
SKEWED = 10.0
"""A t interval of n runs covers .93 or more if n exceeds this multiple of the squared skewness (measured)."""


def doubt(values: Float[np.ndarray, " runs"], cell: Int[np.ndarray, " runs"], per_mean: int) -> str:
    """Return why t intervals of means over `per_mean` runs may undercover; empty if there is no sign of it.

    Args:
        values: values on the analysis scale.
        cell: cell index of each value.
        per_mean: number of runs of the level with the fewest.
    """
    count = len(values)
    for end, name in ((float(values.min()), "smallest"), (float(values.max()), "largest")):
        tied = int(np.sum(values == end))
        if tied >= 3 and tied > MOST_TIED * count and tied < count:
            return f"{tied} of {count} values equal the {name}"
    found = skewness(values, cell)
    if found is not None and per_mean < SKEWED * found**2:
        return f"skewed values (skewness {found:.2g})"
    return ""


def skewness(values: Float[np.ndarray, " runs"], cell: Int[np.ndarray, " runs"]) -> float | None:
    """Return the skewness of runs around the means of their cells; None if it is not significant."""
    counts = np.bincount(cell)
    means = np.bincount(cell, weights=values) / np.maximum(counts, 1)
    residuals = values - means[cell]
    freedom = len(values) - int(np.sum(counts > 0))
    if freedom < LEAST_RESIDUALS:
        return None
    # Deviations of n runs from their own mean are less skewed than the runs, by the factor (1 − 1/n)(1 − 2/n).
    shrunk = float(np.sum(counts * (1.0 - 1.0 / np.maximum(counts, 1)) * (1.0 - 2.0 / np.maximum(counts, 1))))
    spread = math.sqrt(float(np.sum(residuals**2)) / freedom)
    if not spread > 0.0 or not shrunk > 0.0:
        return None
    found = float(np.sum(residuals**3)) / shrunk / spread**3
    return found if abs(found) > 2.0 * math.sqrt(6.0 / freedom) else None
