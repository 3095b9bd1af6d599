"""Whether the best level stays the best when one thing is done differently.

Failed runs ranked worst, the metric as it is instead of its logarithm, and every seed left out once.
"""

from collections.abc import Sequence

import numpy as np

from setpoint.analysis.data.design import Scale, observe, ordered_levels
from setpoint.analysis.data.evidence import Sensitivity
from setpoint.analysis.data.experiment import ExperimentData, Level
from setpoint.analysis.factors.factor_tests import SweepTests
from setpoint.analysis.runs.reliability import failed_itself
from setpoint.formatting import counted, level_text, listed

MOST_SEEDS = 200
"""Of more seeds no single one decides."""


def changes(found: Sensitivity, best: Level, replicate: str, *, decided: bool) -> str:
    """What other analyses change where `best` is the best of the main one; empty where nothing does.

    Of a level that is `decided` to be best the other scale is a doubt, which is told as such.
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
    """The other analyses of `factor`."""
    scale = sweep.design.scale
    return Sensitivity(
        failed_runs_ranked_worst=worst_rank_best(sweep.data, factor, scale),
        arithmetic_means=_raw_scale_best(sweep, factor) if scale.logarithmic else None,
        without_seed=_without_each_seed(sweep, factor),
    )


def worst_rank_best(data: ExperimentData, factor: str, scale: Scale) -> Level:
    """The best level by mean rank within systems, failed runs ranked worst; None where no run failed or levels tie."""
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
    """Mid-ranks; a missing value is worse than every other."""
    finite = np.array([np.inf if value is None else value for value in values])
    order = np.sort(finite)
    return (np.searchsorted(order, finite, "left") + np.searchsorted(order, finite, "right") + 1) / 2.0


def _raw_scale_best(sweep: SweepTests, factor: str) -> Level:
    """By the means of the other scale; None where it has none."""
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
    """The level with the smallest mean of cell means; None where a cell would be empty, or its sum overflows."""
    size = len(sweep.cells.means)
    counts = np.bincount(cell, minlength=size)
    if counts.min() == 0:
        return None
    means = np.bincount(cell, weights=values, minlength=size) / counts
    if not np.isfinite(means).all():
        return None
    return sweep.levels_of(factor)[int(np.argmin(sweep.tables[factor].weights @ means))]
