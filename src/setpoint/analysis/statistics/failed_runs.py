"""Failed runs as outcomes: analyses in which a run without a result is worse than every run with one.

Where the worse runs are the ones that fail, the mean of the others says nothing about the procedure (Lachin 1999). Two
analyses of all runs say whether a difference stands: by ranks, in which failures are tied for the last place, and with
the worst result that was seen in the place of every failure. Values are "smaller is better".
"""

import numpy as np
from jaxtyping import Float


def worst_ranks(values: Float[np.ndarray, " runs"]) -> Float[np.ndarray, " runs"]:
    """Mid-ranks of all runs; NaN stands for a failed run, and all of them share the last place."""
    finite = np.where(np.isnan(values), np.inf, values)
    ordered = np.sort(finite)
    below, upto = np.searchsorted(ordered, finite, "left"), np.searchsorted(ordered, finite, "right")
    return np.asarray((below + upto + 1) / 2.0)


def tied_worst(values: Float[np.ndarray, " runs"]) -> Float[np.ndarray, " runs"]:
    """The values with the worst of them in the place of every NaN, of which there must be fewer than all."""
    return np.where(np.isnan(values), np.nanmax(values), values)


FAILURES_AS_OUTCOMES = (
    ("with failed runs ranked worst", worst_ranks),
    ("with failed runs as bad as the worst", tied_worst),
)
"""The analyses that must confirm a difference, by their names."""
