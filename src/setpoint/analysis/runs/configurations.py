"""Ranking of configurations (sets of runs that differ only in their replicate), and the near-best ones."""

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
"""Smallest number of runs of a configuration for an interval of its mean."""


@dataclass(frozen=True)
class ConfigurationResult:
    """One configuration on one system.

    Attributes:
        levels: the swept parameters.
        runs: all its runs.
        values: ranking metric of each run that has one, in the metric's unit.
        mean: geometric mean of `values` (arithmetic on a linear scale); None without values.
        interval: confidence interval of the mean over training seeds; None with too few seeds.
        possibly_best: whether it is near-best; None if not testable.
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
        """Return the number of runs that failed, were blocked or were lost."""
        return sum(run.state.failed for run in self.runs)

    def average(self, metric: str) -> float | None:
        """Return the arithmetic mean over finished runs of a metric of the final evaluation; None if not measured."""
        values = [(run.outcomes[self.system].final or {}).get(metric) for run in self.runs if run.state.ok]
        numbers = [value for value in values if value is not None]
        return float(np.mean(numbers)) if numbers else None


def ranking_metric(data: ExperimentData) -> str:
    """Return the ranking metric: the primary one if it is computed from episodes, else the final error."""
    primary = data.quantity(data.analysis.primary_metric)
    return primary.name if primary.source != "measured" else "final_error"


@dataclass(frozen=True)
class Ranking:
    """The ranked configurations of a system, and the lead of the first.

    Attributes:
        results: best first, those without a value last.
        lead: lead of the observed best over its nearest rival, on the analysis scale; None if not testable.
        doubts: other analyses that do not confirm a significant lead.
        blocks: number of blocks; 0 without blocks.
    """

    results: tuple[ConfigurationResult, ...]
    scale: Scale
    lead: Comparison | None
    doubts: tuple[str, ...]
    blocks: int


def rank_configurations(data: ExperimentData, system: str, metric: str) -> list[ConfigurationResult]:
    """Return the configurations of a system, best first, those without a value last."""
    return list(ranking(data, system, metric).results)


def ranking(data: ExperimentData, system: str, metric: str) -> Ranking:
    """Rank the configurations of a system and compare them with the best."""
    groups: dict[int, list[RunResult]] = {}
    for run in data.runs:
        if system in run.systems:
            groups.setdefault(run.configuration, []).append(run)
    values = {key: _values(runs, system, metric) for key, runs in groups.items()}
    everything = [value for found in values.values() for value in found]
    logarithmic = data.analysis.scale == "log" and all(value > 0.0 for value in everything)
    scale = Scale(data.quantity(metric), logarithmic)
    samples = {key: [scale.transform(value) for value in found] for key, found in values.items()}
    with np.errstate(over="ignore", invalid="ignore"):  # values too large to square are not compared
        compared = None
        if logarithmic or data.analysis.scale != "log":  # otherwise the declared analysis does not apply
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
    """Return the interval of a configuration's mean from its own runs; None with fewer than `LEAST_RUNS`."""
    if len(sample) < LEAST_RUNS:
        return None
    error = float(np.std(sample, ddof=1)) / len(sample) ** 0.5
    low, high = sorted(scale.natural(end) for end in mean_interval(mean, error, len(sample) - 1.0, alpha))
    return (low, high) if math.isfinite(low) and math.isfinite(high) else None


@dataclass(frozen=True)
class _BestSet:
    """Configurations with at least two runs: their means, the near-best ones, and the lead of the observed best."""

    means: Mapping[int, float]
    members: frozenset[int]
    lead: Comparison | None
    doubts: tuple[str, ...]
    blocks: int


def _compare(observations: Sequence[Observation], data: ExperimentData, scale: Scale) -> _BestSet | None:
    """Return multiple comparisons with the best; None if not testable."""
    table = _Table.of(observations)
    cells = None if table is None else table.cells(scale.unit(table.values))
    if table is None or cells is None:
        return None
    keys, alpha = table.keys, data.analysis.alpha
    found = best_set_of_cells(cells, alpha)
    doubts = _doubts(observations, keys, found, alpha) if found.lead and found.lead.p_adjusted < alpha else ()
    means = dict(zip(keys, cells.means.tolist(), strict=True))
    return _BestSet(means, frozenset(keys[k] for k in found.members), found.lead, doubts, table.blocks)


def _doubts(observations: Sequence[Observation], keys: Sequence[int], found: BestSet, alpha: float) -> tuple[str, ...]:
    """Return the analyses with failed runs as worst outcomes that do not confirm a significant lead."""
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
    """Values of configurations with at least two independent values; rows of one block are averaged.

    Attributes:
        keys: the configurations.
        cell: position of each value's configuration in `keys`.
        cluster: label of each value; values with equal labels are correlated.
    """

    keys: tuple[int, ...]
    cell: np.ndarray
    values: np.ndarray
    cluster: tuple[str, ...]

    @classmethod
    def of(cls, observations: Sequence[Observation]) -> "_Table | None":
        """Build the table; None if fewer than two configurations are left."""
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
        """Return the number of clusters; 0 if no two values share one."""
        count = len(set(self.cluster))
        return count if count < len(self.cluster) else 0

    def cells(self, unit: float) -> Cells | None:
        """Return the configurations as cells; None if values do not vary within configurations."""
        cells = replace(cells_of_runs((len(self.keys),), self.cell, self.values, self.cluster), unit=unit)
        return cells if np.isfinite(cells.variances).all() and cells.has_spread else None
