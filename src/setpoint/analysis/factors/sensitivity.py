"""Sensitivity of the best level: failed runs ranked worst, the other scale, and each seed left out."""

from collections.abc import Sequence

import numpy as np

from setpoint.analysis.data.design import Scale, observe, ordered_levels
from setpoint.analysis.data.evidence import Sensitivity
from setpoint.analysis.data.experiment import ExperimentData, Level
from setpoint.analysis.factors.factor_tests import SweepTests
from setpoint.analysis.runs.reliability import failed_itself
from setpoint.formatting import counted, level_text, listed

MOST_SEEDS = 200
"""Number of seeds above which leave-one-out is skipped, because no single seed matters."""


def changes(found: Sensitivity, best: Level, replicate: str, *, decided: bool) -> str:
    """Return which other analyses have another best level than `best`; empty if none has.

    The other scale is left out if the best level is `decided`: it is then among the reasons of the claim's status.
    """
    parts = []
    if not decided and found.arithmetic_means is not None and found.arithmetic_means != best:
        parts.append(f"by arithmetic means {level_text(found.arithmetic_means)} is best")
    others = [level for level in found.without_seed.values() if level != best]
    if others:
        names = listed([level_text(level) for level in dict.fromkeys(others)], "or")
        parts.append(f"without one of {counted(len(found.without_seed), replicate)} {names} is best ({len(others)}×)")
    return ", ".join(parts)


def sensitivity(sweep: SweepTests, factor: str) -> Sensitivity:
    """Return the best level of `factor` by the other analyses."""
    scale = sweep.design.scale
    return Sensitivity(
        failed_runs_ranked_worst=worst_rank_best(sweep.data, factor, scale),
        arithmetic_means=_raw_scale_best(sweep, factor) if scale.logarithmic else None,
        without_seed=_without_each_seed(sweep, factor),
    )


def worst_rank_best(data: ExperimentData, factor: str, scale: Scale) -> Level:
    """Return the best level by mean rank within systems, failed runs ranked worst; None if tied or without failures."""
    if not any(map(failed_itself, data.runs)):
        return None
    ended = [o for o in observe(data, scale) if o.value is not None or failed_itself(o.run)]
    ranks = np.empty(len(ended))
    systems = np.array([o.system for o in ended])
    for system in np.unique(systems):
        here = np.flatnonzero(systems == system)
        ranks[here] = _ranks([ended[k].value for k in here])
    labels = [o.level(factor) for o in ended]
    means = {level: float(ranks[[label == level for label in labels]].mean()) for level in ordered_levels(labels)}
    best = min(means.values())
    winners = [level for level, mean in means.items() if mean == best]
    return winners[0] if len(winners) == 1 else None


def _ranks(values: Sequence[float | None]) -> np.ndarray:
    """Return mid-ranks; missing values are ranked worst."""
    finite = np.array([np.inf if value is None else value for value in values])
    order = np.sort(finite)
    return (np.searchsorted(order, finite, "left") + np.searchsorted(order, finite, "right") + 1) / 2.0


def _raw_scale_best(sweep: SweepTests, factor: str) -> Level:
    """Return the best level by means on the other scale; None if that scale does not apply."""
    if sweep.other.other_scale is None:
        return None
    means = sweep.tables[factor].weights @ sweep.other.other_scale.cells.means
    return sweep.levels_of(factor)[int(np.argmin(means))]


def _without_each_seed(sweep: SweepTests, factor: str) -> dict[int, Level]:
    replicate, values = sweep.design.own_replicates, sweep.design.values
    replicates = sorted(set(replicate.tolist()))
    found: dict[int, Level] = {}
    if not 3 <= len(replicates) <= MOST_SEEDS:
        return found
    for left_out in replicates:
        kept = replicate != left_out
        best = _best(sweep, factor, sweep.design.own_cells[kept], values[kept])
        if best is not None:
            found[left_out] = best
    return found


def _best(sweep: SweepTests, factor: str, cell: np.ndarray, values: np.ndarray) -> Level:
    """Return the level with the smallest mean of cell means; None if a cell is empty, or if a sum overflows."""
    size = len(sweep.cells.means)
    counts = np.bincount(cell, minlength=size)
    if counts.min() == 0:
        return None
    means = np.bincount(cell, weights=values, minlength=size) / counts
    if not np.isfinite(means).all():
        return None
    return sweep.levels_of(factor)[int(np.argmin(sweep.tables[factor].weights @ means))]
