"""The configuration-by-case interaction as an additional variance of comparisons.

All runs use the same test cases, so case effects cancel in comparisons, but the configuration-by-case interaction does
not. It is estimated from expected mean squares (runs nested in configurations, cases crossed) and added to the variance
of every mean. A claim that is still significant holds for new cases.
"""

from dataclasses import replace

import numpy as np

from setpoint.analysis.data.design import Factorial
from setpoint.analysis.data.quantities import CASE_METRICS
from setpoint.analysis.statistics.cells import Cells

LEAST_CASES = 5


def cells_for_new_cases(design: Factorial, cells: Cells) -> Cells | None:
    """Return `cells` with the variance that a new sample of cases adds; None without results of single cases."""
    if design.scale.quantity.name not in CASE_METRICS or not cells.independent or cells.pooled:
        return None
    profiles = _profiles(design)
    if profiles is None:
        return None
    cell = design.cell_indices(design.observations)
    counts = np.bincount(cell, minlength=len(cells.means))
    means = np.zeros((len(cells.means), profiles.shape[1]))
    np.add.at(means, cell, profiles)
    means /= counts[:, None]
    within = float(((profiles - means[cell]) ** 2).sum()) / ((len(cell) - len(counts)) * (profiles.shape[1] - 1))
    between = float((counts[:, None] * (means - means.mean(axis=0)) ** 2).sum())
    between /= (len(counts) - 1) * (profiles.shape[1] - 1)
    typical = len(counts) / float(np.sum(1.0 / counts))
    added = max(0.0, between - within) / (typical * profiles.shape[1])
    return replace(cells, covariance=cells.variances + added)


def _profiles(design: Factorial) -> np.ndarray | None:
    """Return the deviations of each run's cases from their mean, on the analysis scale, (runs, cases).

    For the logarithm of a mean they are jackknife pseudo-values. A first-order expansion (ratios to the mean) would
    underestimate the influence of cases that dominate the mean, and tests would reject too often.
    """
    name = design.scale.quantity.name
    rows = []
    identity: np.ndarray | None = None
    for observation in design.observations:
        outcome = observation.run.outcomes.get(observation.system)
        cases = None if outcome is None else outcome.cases
        if cases is None or len(cases.case_id) < LEAST_CASES:
            return None
        if identity is None:
            identity = cases.case_id
        if not np.array_equal(identity, cases.case_id):
            return None
        rows.append(_deviations(np.asarray(cases.values[name], dtype=float), logarithmic=design.scale.logarithmic))
    table = np.array(rows)
    return table if len(table) and np.isfinite(table).all() else None


def _deviations(values: np.ndarray, *, logarithmic: bool) -> np.ndarray:
    """Return the influence of each case on the mean or its logarithm; not finite if all other cases are zero."""
    if not logarithmic:
        return np.asarray(values - values.mean())
    count, total = len(values), float(values.sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        without = np.log((total - values) / (count - 1))
        pseudo = count * np.log(total / count) - (count - 1) * without
        return np.asarray(pseudo - pseudo.mean())
