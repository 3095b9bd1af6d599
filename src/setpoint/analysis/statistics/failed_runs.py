"""Failed runs as outcomes: analyses in which a failed run is worse than every finished run.

If failures are informative, the mean of the finished runs is biased (Lachin 1999). Two analyses include all runs:
ranks, with failed runs tied for the last place, and values, with the worst observed value for every failed run. Smaller
values are better.
"""

import numpy as np
from jaxtyping import Float


def worst_ranks(values: Float[np.ndarray, " runs"]) -> Float[np.ndarray, " runs"]:
    """Return the mid-ranks of all runs; failed runs (NaN) are tied for the last place."""
    finite = np.where(np.isnan(values), np.inf, values)
    ordered = np.sort(finite)
    below, upto = np.searchsorted(ordered, finite, "left"), np.searchsorted(ordered, finite, "right")
    return np.asarray((below + upto + 1) / 2.0)


def tied_worst(values: Float[np.ndarray, " runs"]) -> Float[np.ndarray, " runs"]:
    """Replace failed runs (NaN) by the worst value; at least one value must be finite."""
    return np.where(np.isnan(values), np.nanmax(values), values)


FAILURES_AS_OUTCOMES = (
    ("with failed runs ranked worst", worst_ranks),
    ("with failed runs as bad as the worst", tied_worst),
)
"""Name and transformation of the analyses that must confirm a difference."""
