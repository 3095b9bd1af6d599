"""Configurations: the runs that differ only in their replicate, ranked, with the set of those that may be best."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from setpoint.analysis.data.design import Scale
from setpoint.analysis.data.experiment import ExperimentData, Level, RunResult
from setpoint.analysis.runs.improvement import LEAST_POOLED_DF
from setpoint.analysis.statistics.cells import Cells, replicated_cells
from setpoint.analysis.statistics.intervals import mean_interval, pooled_deviation
from setpoint.analysis.statistics.levels import possibly_best_cells


@dataclass(frozen=True)
class ConfigurationResult:
    """One configuration on one system.

    Attributes:
        levels: the swept parameters.
        runs: all its runs.
        values: the ranking metric of each run that has it, in the metric's unit.
        mean: their geometric mean (arithmetic where the plan's scale is not logarithmic); None without values.
        interval: of the mean over training seeds; None where the seeds do not give one.
        possibly_best: whether it is in the set that holds the true best; None where that cannot be tested.
    """

    configuration: int
    system: str
    levels: Mapping[str, Level]
    runs: tuple[RunResult, ...]
    values: tuple[float, ...]
    mean: float | None
    interval: tuple[float, float] | None
    possibly_best: bool | None

    @property
    def failed(self) -> int:
        """Runs that failed, were blocked or were lost."""
        return sum(run.state.failed for run in self.runs)

    def average(self, metric: str) -> float | None:
        """The arithmetic mean over successful runs of a metric of the final evaluation."""
        values = [(run.outcomes[self.system].final or {}).get(metric) for run in self.runs if run.state.ok]
        numbers = [value for value in values if value is not None]
        return float(np.mean(numbers)) if numbers else None


def ranking_metric(data: ExperimentData) -> str:
    """The metric that configurations are ranked by: the primary one where episodes give it, else the final error."""
    primary = data.quantity(data.analysis.primary_metric)
    return primary.name if primary.source != "measured" else "final_error"


def rank_configurations(data: ExperimentData, system: str, metric: str) -> list[ConfigurationResult]:
    """The configurations of a system, the best first, those without a value last."""
    groups: dict[int, list[RunResult]] = {}
    for run in data.runs:
        if system in run.systems:
            groups.setdefault(run.configuration, []).append(run)
    values = {key: _values(runs, system, metric) for key, runs in groups.items()}
    everything = [value for found in values.values() for value in found]
    logarithmic = data.analysis.scale == "log" and all(value > 0.0 for value in everything)
    scale = Scale(data.quantity(metric), logarithmic)
    samples = {key: [scale.transform(value) for value in found] for key, found in values.items()}
    with np.errstate(over="ignore", invalid="ignore"):  # of numbers too large to square nothing is said
        judged = logarithmic or data.analysis.scale != "log"  # else the declared comparison cannot be made
        means = {key: float(np.mean(found)) for key, found in samples.items() if found}
        best = _best_set(samples, means, data.analysis.alpha, scale) if judged else None
        pooled = pooled_deviation(list(samples.values()))
        intervals = {
            key: _interval(found, means.get(key, 0.0), pooled, scale, data.analysis.alpha)
            for key, found in samples.items()
        }
    results = [
        ConfigurationResult(
            configuration=key,
            system=system,
            levels={factor: runs[0].level(factor) for factor in data.analysis.factors},
            runs=tuple(runs),
            values=tuple(values[key]),
            mean=scale.natural(means[key]) if key in means else None,
            interval=intervals[key],
            possibly_best=None if best is None or key not in best else best[key],
        )
        for key, runs in groups.items()
    ]
    return sorted(results, key=lambda result: _position(result, scale))


def _values(runs: Sequence[RunResult], system: str, metric: str) -> list[float]:
    found = [(run.outcomes[system].final or {}).get(metric) for run in runs if run.state.ok]
    return [value for value in found if value is not None]


def _position(result: ConfigurationResult, scale: Scale) -> tuple[bool, float, int]:
    if result.mean is None:
        return True, 0.0, result.configuration
    sign = 1.0 if scale.quantity.better == "smaller" else -1.0
    return False, sign * result.mean, result.configuration


def _interval(
    sample: Sequence[float], mean: float, pooled: tuple[float, int], scale: Scale, alpha: float
) -> tuple[float, float] | None:
    """The interval of one configuration's mean; up to three runs borrow the spread of the others."""
    if len(sample) < 2:
        return None
    deviation, df = pooled if len(sample) <= 3 else pooled_deviation([sample])
    if len(sample) <= 3 and df < LEAST_POOLED_DF:
        if len(sample) < 3:
            return None
        deviation, df = pooled_deviation([sample])
    ends = mean_interval(mean, deviation / len(sample) ** 0.5, df, alpha)
    low, high = sorted(scale.natural(end) for end in ends)
    return (low, high) if math.isfinite(low) and math.isfinite(high) else None


def _best_set(
    samples: Mapping[int, Sequence[float]], means: Mapping[int, float], alpha: float, scale: Scale
) -> dict[int, bool] | None:
    """For each configuration with two runs or more whether it may be the best; None where there is nothing to test."""
    tested = {key: sample for key, sample in samples.items() if len(sample) >= 2}
    if len(tested) < 2:
        return None
    values = np.concatenate([np.asarray(sample) for sample in tested.values()])
    counts = np.array([len(sample) for sample in tested.values()])
    deviation, df = pooled_deviation(list(tested.values()))
    if counts.min() <= 3:
        if df < LEAST_POOLED_DF:
            return None
        observed = np.array([means[key] for key in tested])
        covariance = deviation**2 / counts
        everything = (np.arange(len(counts)),)
        cells = Cells((len(counts),), observed, covariance, everything, np.array([float(df)]), len(values), pooled=True)
    else:
        position = np.repeat(np.arange(len(counts)), counts)
        cells = replicated_cells((len(counts),), position, values, [str(k) for k in range(len(values))])
    cells = replace(cells, unit=scale.unit(values))
    if not (np.isfinite(cells.variances).all() and cells.has_spread):
        return None
    best = set(possibly_best_cells(cells, alpha))
    return {key: k in best for k, key in enumerate(tested)}
