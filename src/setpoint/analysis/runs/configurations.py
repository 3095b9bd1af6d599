"""Configurations: the runs that differ only in their replicate, ranked, with the set of those that may be best."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from setpoint.analysis.data.design import Observation, Scale, cells_of_runs, observe
from setpoint.analysis.data.experiment import ExperimentData, Level, RunResult
from setpoint.analysis.runs.reliability import failed_itself
from setpoint.analysis.statistics.cells import Cells
from setpoint.analysis.statistics.failed_runs import FAILURES_AS_OUTCOMES
from setpoint.analysis.statistics.intervals import mean_interval
from setpoint.analysis.statistics.levels import BestSet, Comparison, best_set_of_cells
from setpoint.formatting import p_text

LEAST_RUNS = 3
"""Runs of a configuration that give an interval of its mean."""


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


@dataclass(frozen=True)
class Ranking:
    """The configurations of a system, and what sets the first apart.

    Attributes:
        results: the best first, those without a value last.
        lead: of the observed best over its nearest rival, on the analysed scale; None where it cannot be tested.
        doubts: why a significant lead is not yet a finding: other analyses in which it is none.
        blocks: how many blocks the runs share; 0 where they share none.
    """

    results: tuple[ConfigurationResult, ...]
    scale: Scale
    lead: Comparison | None
    doubts: tuple[str, ...]
    blocks: int


def rank_configurations(data: ExperimentData, system: str, metric: str) -> list[ConfigurationResult]:
    """The configurations of a system, the best first, those without a value last."""
    return list(ranking(data, system, metric).results)


def ranking(data: ExperimentData, system: str, metric: str) -> Ranking:
    """The configurations of a system, ranked and compared with the best."""
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
        compared = None
        if logarithmic or data.analysis.scale != "log":  # else the declared comparison cannot be made
            compared = _compare([o for o in observe(data, scale) if o.system == system], data, scale)
        means = {key: float(np.mean(found)) for key, found in samples.items() if found}
        intervals = {
            key: _interval(found, means.get(key, 0.0), scale, data.analysis.alpha) for key, found in samples.items()
        }
    if compared is not None:
        means |= compared.means
    results = [
        ConfigurationResult(
            configuration=key,
            system=system,
            levels={factor: runs[0].level(factor) for factor in data.analysis.factors},
            runs=tuple(runs),
            values=tuple(values[key]),
            mean=scale.natural(means[key]) if key in means else None,
            interval=intervals[key],
            possibly_best=None if compared is None or key not in compared.means else key in compared.members,
        )
        for key, runs in groups.items()
    ]
    ordered = tuple(sorted(results, key=lambda result: _position(result, scale)))
    if compared is None:
        return Ranking(ordered, scale, None, (), 0)
    return Ranking(ordered, scale, compared.lead, compared.doubts, compared.blocks)


def _values(runs: Sequence[RunResult], system: str, metric: str) -> list[float]:
    found = [(run.outcomes[system].final or {}).get(metric) for run in runs if run.state.ok]
    return [value for value in found if value is not None]


def _position(result: ConfigurationResult, scale: Scale) -> tuple[bool, float, int]:
    if result.mean is None:
        return True, 0.0, result.configuration
    sign = 1.0 if scale.quantity.better == "smaller" else -1.0
    return False, sign * result.mean, result.configuration


def _interval(sample: Sequence[float], mean: float, scale: Scale, alpha: float) -> tuple[float, float] | None:
    """The interval of one configuration's mean, from its own runs, of which there must be three."""
    if len(sample) < LEAST_RUNS:
        return None
    error = float(np.std(sample, ddof=1)) / len(sample) ** 0.5
    low, high = sorted(scale.natural(end) for end in mean_interval(mean, error, len(sample) - 1.0, alpha))
    return (low, high) if math.isfinite(low) and math.isfinite(high) else None


@dataclass(frozen=True)
class _Compared:
    """Configurations with two runs or more: their means, which may be the best, and the lead of the observed best."""

    means: Mapping[int, float]
    members: frozenset[int]
    lead: Comparison | None
    doubts: tuple[str, ...]
    blocks: int


def _compare(observations: Sequence[Observation], data: ExperimentData, scale: Scale) -> _Compared | None:
    """Multiple comparisons with the best; None where there is nothing to test."""
    table = _Table.of(observations)
    cells = None if table is None else table.cells(scale.unit(table.values))
    if table is None or cells is None:
        return None
    keys, alpha = table.keys, data.analysis.alpha
    found = best_set_of_cells(cells, alpha)
    doubts = _doubts(observations, keys, found, alpha) if found.lead and found.lead.p_adjusted < alpha else ()
    means = dict(zip(keys, cells.means.tolist(), strict=True))
    return _Compared(means, frozenset(keys[k] for k in found.members), found.lead, doubts, table.blocks)


def _doubts(observations: Sequence[Observation], keys: Sequence[int], found: BestSet, alpha: float) -> tuple[str, ...]:
    """What becomes of a significant lead with failed runs as the worst outcomes; empty where it stays."""
    ended = [o for o in observations if o.value is not None or failed_itself(o.run)]
    if all(o.value is not None for o in ended):
        return ()
    values, doubts = np.array([np.nan if o.value is None else o.value for o in ended]), []
    for name, way in FAILURES_AS_OUTCOMES:
        moved = [replace(o, value=float(v)) for o, v in zip(ended, way(values), strict=True)]
        table = _Table.of([o for o in moved if o.run.configuration in keys])
        cells = None if table is None else table.cells(1.0)
        if table is None or cells is None:
            return ("it cannot be tested with failed runs ranked worst",)
        there = best_set_of_cells(cells, alpha)
        best, here = table.keys[there.ranked[0]], keys[found.ranked[0]]
        if best != here or there.lead is None or there.lead.p_adjusted >= alpha:
            p = "" if there.lead is None else f", {p_text(there.lead.p_adjusted, alpha)}"
            doubts.append(f"{name} another configuration is best" if best != here else f"{name}{p}")
    return tuple(doubts)


@dataclass(frozen=True)
class _Table:
    """Runs of configurations that have two independent values or more; rows of one block are one, their mean.

    Attributes:
        keys: the configurations.
        cell: the position of each value's configuration among them.
        cluster: what the run of each value shares with others.
    """

    keys: tuple[int, ...]
    cell: np.ndarray
    values: np.ndarray
    cluster: tuple[str, ...]

    @classmethod
    def of(cls, observations: Sequence[Observation]) -> "_Table | None":
        """None where fewer than two configurations are left."""
        groups: dict[tuple[int, str], list[float]] = {}
        for o in observations:
            if o.value is not None:
                groups.setdefault((o.run.configuration, o.cluster), []).append(o.value)
        counts = Counter(key for key, _ in groups)
        keys = tuple(key for key in counts if counts[key] >= 2)
        if len(keys) < 2:
            return None
        place = {key: k for k, key in enumerate(keys)}
        kept = [(place[key], label, float(np.mean(found))) for (key, label), found in groups.items() if key in place]
        cell, cluster, values = zip(*kept, strict=True)
        return cls(keys, np.array(cell), np.array(values), tuple(cluster))

    @property
    def blocks(self) -> int:
        """How many clusters the values come from, where they share some."""
        count = len(set(self.cluster))
        return count if count < len(self.cluster) else 0

    def cells(self, unit: float) -> Cells | None:
        """The configurations as cells; None where they show no spread."""
        cells = replace(cells_of_runs((len(self.keys),), self.cell, self.values, self.cluster), unit=unit)
        return cells if np.isfinite(cells.variances).all() and cells.has_spread else None
