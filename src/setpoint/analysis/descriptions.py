"""Numbers that describe without testing: a mean that outliers do not move, and how often one arm beats another."""

from collections.abc import Sequence

import numpy as np


def interquartile_mean(values: Sequence[float]) -> float:
    """The mean of the middle half: a quarter of the values, rounded down, is left out at each end."""
    ordered = np.sort(np.asarray(values, dtype=float))
    cut = len(ordered) // 4
    return float(ordered[cut : len(ordered) - cut].mean())


def probability_of_improvement(first: Sequence[float], second: Sequence[float]) -> float:
    """How often a value of `second` is smaller than one of `first`; ties count half."""
    a, b = np.asarray(first, dtype=float)[:, None], np.asarray(second, dtype=float)[None, :]
    return float(np.mean((b < a) + 0.5 * (b == a)))
