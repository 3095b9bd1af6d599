"""Factorial designs: the runs and levels that can be analysed for one metric, and why others cannot.

An observation is one run on one system. The observations of a run on several systems are correlated, and so are runs
with the same SFT parent and, if the plan declares it, runs with the same seed.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from setpoint.analysis.data.claim import Obstacle, Status
from setpoint.analysis.data.experiment import ExperimentData, Level, RunResult
from setpoint.analysis.data.missing_combinations import MissingCombinations, missing_combinations
from setpoint.analysis.data.quantities import Quantity
from setpoint.analysis.statistics.blocks import blocked_cells
from setpoint.analysis.statistics.cells import Cells, replicated_cells, unreplicated_cells
from setpoint.analysis.statistics.incomplete import IncompleteDesign, incomplete_cells
from setpoint.formatting import counted, level_text, number_text, share_text

LARGEST = 1e100
"""Squares of larger values overflow, and squares of values below its inverse underflow."""
MOST_COMBINATIONS = 20_000
"""Number of combinations of levels above which a factorial with few runs is not analysed."""
SYSTEM = "system"
"""Name of the factor whose levels are the systems."""


def ratio(difference: float) -> float:
    """Return exp(`difference`), clipped to stay finite."""
    return math.exp(min(max(difference, -700.0), 700.0))


@dataclass(frozen=True)
class Scale:
    """Analysis scale of a metric: logarithmic or linear, with the sign chosen so that smaller is better."""

    quantity: Quantity
    logarithmic: bool

    def transform(self, value: float) -> float:
        """Transform a value of the metric to the analysis scale."""
        sign = 1.0 if self.quantity.better == "smaller" else -1.0
        return sign * (math.log(value) if self.logarithmic else value)

    def natural(self, value: float) -> float:
        """Transform a value on the analysis scale back to the metric."""
        sign = 1.0 if self.quantity.better == "smaller" else -1.0
        return ratio(sign * value) if self.logarithmic else sign * value

    def unit(self, values: np.ndarray) -> float:
        """Return the magnitude relative to which differences count as round-off."""
        return 1.0 if self.logarithmic else float(np.abs(values).max())

    def improvement(self, difference: float) -> float:
        """Convert a difference on the analysis scale to an improvement: relative if logarithmic, else absolute.

        Positive is better: 0.2 means a 20 % lower error, or a 20 % higher rate if larger is better.
        """
        if not self.logarithmic:
            return -difference
        return 1.0 - ratio(difference) if self.quantity.better == "smaller" else ratio(-difference) - 1.0

    def improvement_interval(self, interval: tuple[float, float]) -> tuple[float, float]:
        """Return `improvement` of both ends, in ascending order."""
        return self.improvement(interval[1]), self.improvement(interval[0])

    def size(self, difference: float) -> float:
        """Convert an absolute difference on the analysis scale: a share of the smaller value if logarithmic."""
        return ratio(difference) - 1.0 if self.logarithmic else difference

    def size_text(self, difference: float) -> str:
        """Return an absolute difference on the analysis scale as `5 %`, or `0.02` on a linear scale."""
        return share_text(self.size(difference)) if self.logarithmic else number_text(difference)


@dataclass(frozen=True)
class Observation:
    """One run on one system.

    Attributes:
        system: the system; all systems of the run joined by `+` if one number covers them.
        value: value on the analysis scale; None if the run has none.
        cluster: label; observations with equal labels are correlated.
    """

    run: RunResult
    system: str
    value: float | None
    cluster: str

    def level(self, factor: str) -> Level:
        """Return the value of a swept parameter, or the system."""
        return self.system if factor == SYSTEM else self.run.level(factor)


@dataclass(frozen=True)
class Factorial:
    """The observations of one experiment as a complete factorial of one metric.

    Attributes:
        scale: analysis scale of the metric.
        factors: names of the factors that have at least two levels left.
        levels: the levels of each of these factors, in order.
        cells: cell means, or the `Obstacle` that prevents them.
        observations: the observations in the cells, all with a value.
        replicates: smallest and largest number of observations in a cell.
        dropped: factor and level of those that were left out because cells were empty.
        notes: explanation of what was left out.
        incomplete: the cells with runs, if some combinations were never run; else None.
        aliases: factor -> names of the effects that it is aliased with.
    """

    scale: Scale
    factors: tuple[str, ...]
    levels: tuple[tuple[Level, ...], ...]
    cells: Cells | Obstacle
    observations: tuple[Observation, ...]
    replicates: tuple[int, int]
    dropped: tuple[tuple[str, Level], ...]
    notes: tuple[str, ...]
    incomplete: IncompleteDesign | None = None
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def cell_indices(self, observations: Sequence[Observation]) -> np.ndarray:
        """Return the cell index of each observation; all their levels must be in `levels`."""
        return _cell_indices(observations, dict(zip(self.factors, self.levels, strict=True)))

    @cached_property
    def own_cells(self) -> np.ndarray:
        """Return the cell index of each of `observations`."""
        return self.cell_indices(self.observations)

    @cached_property
    def own_replicates(self) -> np.ndarray:
        """Return the replicate of each of `observations`."""
        return np.array([observation.run.replicate for observation in self.observations])

    @cached_property
    def values(self) -> np.ndarray:
        """Return the values of `observations` on the analysis scale."""
        return np.array([observation.value or 0.0 for observation in self.observations])

    def holds(self, observation: Observation) -> bool:
        """Return whether all levels of an observation are among `levels`."""
        return all(
            observation.level(factor) in levels for factor, levels in zip(self.factors, self.levels, strict=True)
        )

    def cells_of(self, observations: Sequence[Observation], unit: float) -> Cells | None:
        """Return the same cells with other values; None if a cell is empty, or if the values do not vary."""
        kept = [o for o in observations if o.value is not None and self.holds(o)]
        kept = _one_per_cluster(kept, self.factors)
        shape = tuple(len(levels) for levels in self.levels)
        if not kept:
            return None
        values, cell = np.array([o.value for o in kept], dtype=float), self.cell_indices(kept)
        labels, counts = [o.cluster for o in kept], np.bincount(cell, minlength=math.prod(shape))
        if self.incomplete is not None:
            places = self.incomplete.places
            if counts[places].min() < 1 or counts.sum() > counts[places].sum():
                return None
            found = incomplete_cells(self.incomplete, np.searchsorted(places, cell), values, labels)
        elif counts.min() < min(2, self.replicates[0]):
            return None
        else:
            found = replicated_or_not(shape, cell, values, labels)
        found = None if found is None else replace(found, unit=unit)
        return found if found is not None and np.isfinite(found.variances).all() and found.has_spread else None

    @property
    def n_runs(self) -> int:
        """Return the number of distinct runs in the cells."""
        return len({observation.run.name for observation in self.observations})


def observed_value(run: RunResult, system: str, scale: Scale) -> float | None:
    """Return the value of a run on a system on the analysis scale; None if not measured, or if it has no logarithm."""
    if scale.quantity.source == "measured":
        value = run.measured().get(scale.quantity.name)
    else:
        outcome = run.outcomes.get(system)
        value = (outcome.final or {}).get(scale.quantity.name) if outcome else None
    if value is None or not math.isfinite(value) or (scale.logarithmic and value <= 0.0):
        return None
    return scale.transform(value)


def observe(data: ExperimentData, scale: Scale) -> list[Observation]:
    """Return one observation per run and system, including those without a value."""
    found = []
    labels = clusters(data)
    for run in data.runs:
        systems = ("+".join(run.systems),) if scale.quantity.source == "measured" else run.systems
        for system in systems:
            value = observed_value(run, system, scale) if run.state.ok else None
            found.append(Observation(run, system, value, labels[run.name]))
    return found


def clusters(data: ExperimentData) -> dict[str, str]:
    """Return run name -> cluster label: the run's seed if the plan declares seeds as blocks, else its first training.

    Runs that continue from the same adapter share its label, unless all runs of their configuration do: then the
    adapter is part of the configuration, and the claim is about that adapter.
    """
    if data.analysis.blocked_by_seed:
        return {run.name: f"seed {run.replicate}" for run in data.runs}
    starts: dict[tuple[int, str], int] = Counter((run.configuration, run.start or "") for run in data.runs)
    labels = {}
    for run in data.runs:
        own = run.stages.get("sft") or run.stages.get("grpo") or run.name
        labels[run.name] = run.start if run.start and starts[run.configuration, run.start] == 1 else own
    return labels


def factorial(
    data: ExperimentData, metric: str, *, system: str | None = None, logarithmic: bool | None = None
) -> Factorial:
    """Build the factorial of `metric` over the plan's factors, and over systems if there are several.

    Args:
        data: the experiment.
        metric: name of the metric.
        system: restrict the observations to this system.
        logarithmic: use this scale instead of the plan's.
    """
    scale = Scale(data.quantity(metric), data.analysis.scale == "log" if logarithmic is None else logarithmic)
    observations = [o for o in observe(data, scale) if system is None or o.system == system]
    finished = [o for o in observations if o.run.state.ok]
    usable = [o for o in finished if o.value is not None]
    factors = _factors(data, observations)
    obstacle = _obstacle(data, factors, finished, scale)
    levels = {factor: ordered_levels(o.level(factor) for o in observations) for factor in factors}
    missing = _missing(data, observations, levels)
    if missing is not None:
        levels = {factor: levels[factor] for factor in missing.factors}
        factors = missing.factors
        if missing.design is not None and obstacle is None:
            found = _incomplete(scale, levels, _one_per_cluster(usable, factors), missing)
            if found is not None:
                return found
    obstacle = obstacle or _too_many(levels, observations)
    left = _complete(_one_per_cluster(usable, factors), {} if _too_many(levels, observations) else levels)
    notes = [*left.notes, *(missing.notes if missing is not None else ())]
    if len(usable) < len(finished) and obstacle is None:
        without = counted(len(finished) - len(usable), "finished run")
        notes = [f"{metric} is missing in {without}, left out", *notes]
    return Factorial(
        scale=scale,
        factors=tuple(left.compared),
        levels=tuple(left.compared.values()),
        cells=obstacle or _sparse(data, left.dropped) or _cells(left, scale, notes),
        observations=left.observations,
        replicates=left.replicates,
        dropped=tuple(left.dropped),
        notes=tuple(notes),
        aliases={} if missing is None else missing.aliases,
    )


def _missing(
    data: ExperimentData, observations: Sequence[Observation], levels: Mapping[str, tuple[Level, ...]]
) -> MissingCombinations | None:
    """Return the combinations that a table or a full design never ran; None if there are none."""
    if data.type not in {"table", "hyperparameter_sweep"} or data.plan.design != "full":
        return None
    return missing_combinations(_counts(observations, list(levels)), levels)


def _too_many(levels: Mapping[str, tuple[Level, ...]], observations: Sequence[Observation]) -> Obstacle | None:
    """Return the obstacle of a table with far more combinations of levels than rows."""
    combinations = math.prod(len(found) for found in levels.values())
    if combinations <= MOST_COMBINATIONS or len(observations) >= combinations:
        return None
    largest = max(levels, key=lambda factor: len(levels[factor]))
    reason = (
        f"only {len(observations)} observations for {combinations} combinations of levels; group the "
        f"{len(levels[largest])} levels of {largest}, or leave factors out"
    )
    return Obstacle(Status.NOT_TESTABLE, reason)


def _incomplete(
    scale: Scale,
    levels: Mapping[str, tuple[Level, ...]],
    observations: Sequence[Observation],
    missing: MissingCombinations,
) -> Factorial | None:
    """Return the factorial with missing combinations; None if runs of another combination have no value either."""
    counts = _counts(observations, list(levels))
    if missing.design is None or len(counts) < len(missing.design.present):
        return None
    design = Factorial(
        scale=scale,
        factors=tuple(levels),
        levels=tuple(levels.values()),
        cells=Obstacle(Status.NOT_TESTABLE, f"too few runs to estimate an error ({'; '.join(missing.notes)})"),
        observations=tuple(observations),
        replicates=(min(counts.values()), max(counts.values())),
        dropped=(),
        notes=missing.notes,
        incomplete=missing.design,
        aliases=missing.aliases,
    )
    values = design.values
    unit = scale.unit(values)
    if not scale.logarithmic and not (unit == 0.0 or 1.0 / LARGEST < unit < LARGEST):
        return None
    cells = design.cells_of(observations, unit)
    return design if cells is None else replace(design, cells=cells)


@dataclass(frozen=True)
class _Complete:
    """The largest part of a factorial whose cells all have at least `wanted` observations.

    Attributes:
        levels: remaining levels of each factor; may be empty.
        dropped: factor and level of those that were left out.
        replicates: smallest and largest number of observations in a non-empty cell.
    """

    levels: Mapping[str, tuple[Level, ...]]
    observations: tuple[Observation, ...]
    dropped: Sequence[tuple[str, Level]]
    replicates: tuple[int, int]
    wanted: int

    @cached_property
    def compared(self) -> dict[str, tuple[Level, ...]]:
        """Return the factors with at least two remaining levels; none if some factor has lost all its levels."""
        return {f: found for f, found in self.levels.items() if len(found) >= 2} if all(self.levels.values()) else {}

    @property
    def notes(self) -> list[str]:
        """Explain what was left out."""
        enough = counted(self.wanted, "finished run")
        return [f"{f} {level_text(level)} left out: fewer than {enough} in a cell" for f, level in self.dropped]


def _complete(observations: Sequence[Observation], levels: Mapping[str, tuple[Level, ...]]) -> _Complete:
    """Leave out levels until every cell has two observations (one, if no cell has two)."""
    factors = list(levels)
    counts = _counts(observations, factors)
    wanted = 2 if max(counts.values(), default=0) >= 2 else 1
    kept, dropped = _complete_levels(counts, levels, wanted)
    if dropped:
        observations = [o for o in observations if all(o.level(factor) in kept[factor] for factor in factors)]
        counts = _counts(observations, factors)
    replicates = (min(counts.values(), default=0), max(counts.values(), default=0))
    return _Complete(kept, tuple(observations), dropped, replicates, wanted)


def _one_per_cluster(observations: Sequence[Observation], factors: Sequence[str]) -> list[Observation]:
    """Average the observations of one cluster in one cell: a copy of a run does not count as a second seed."""
    groups: dict[tuple[Level, ...], list[Observation]] = {}
    for o in observations:
        groups.setdefault((o.cluster, *(o.level(factor) for factor in factors)), []).append(o)
    return [
        group[0] if len(group) == 1 else replace(group[0], value=float(np.mean([o.value for o in group])))
        for group in groups.values()
    ]


def swept(data: ExperimentData) -> list[str]:
    """Return the plan's factors in which runs differ."""
    return [factor for factor in data.analysis.factors if len({run.level(factor) for run in data.runs}) >= 2]


def ordered_levels(values: Iterable[Level]) -> tuple[Level, ...]:
    """Return the distinct values: numbers in ascending order, then text in alphabetical order."""
    return tuple(sorted(set(values), key=_level_position))


def _level_position(level: Level) -> tuple[bool, float, str]:
    numeric = isinstance(level, int | float)
    return (not numeric, float(level) if isinstance(level, int | float) else 0.0, str(level))


def _factors(data: ExperimentData, observations: Sequence[Observation]) -> tuple[str, ...]:
    planned = [f for f in data.analysis.factors if len({o.level(f) for o in observations}) >= 2]
    by_system = len({o.system for o in observations}) >= 2
    return (*planned, SYSTEM) if by_system and SYSTEM not in planned else tuple(planned)


def _obstacle(
    data: ExperimentData, factors: Sequence[str], finished: Sequence[Observation], scale: Scale
) -> Obstacle | None:
    """Return the first obstacle that does not depend on the cells, most basic first."""
    name = scale.quantity.name
    if not data.runs:
        return Obstacle(Status.NOT_TESTABLE, "the plan has no runs")
    if not finished:
        return Obstacle(Status.NOT_TESTABLE, f"none of {counted(len(data.runs), 'run')} has succeeded")
    if not [factor for factor in factors if factor != SYSTEM]:
        return Obstacle(Status.NOT_TESTABLE, "no parameter has several values")
    raw = Scale(scale.quantity, logarithmic=False)
    values = [observed_value(o.run, o.system, raw) for o in finished]
    if all(value is None for value in values):
        return Obstacle(Status.NOT_TESTABLE, f"{name} was not measured")
    if scale.logarithmic:
        without = sum(raw is not None and o.value is None for raw, o in zip(values, finished, strict=True))
        if without:
            runs = counted(without, "run")
            return Obstacle(Status.REFUSED, f"{name} is zero or negative in {runs}, so it has no logarithm")
    return None


def _sparse(data: ExperimentData, dropped: Sequence[tuple[str, Level]]) -> Obstacle | None:
    """Return the obstacle of a design that leaves cells empty: its complete part was not planned to be compared."""
    design = data.plan.design
    if design == "full" or not dropped:
        return None
    reason = f"a {design} design has no runs for some combinations, but tests of single parameters need all of them"
    return Obstacle(Status.NOT_TESTABLE, reason)


def _cells(left: _Complete, scale: Scale, notes: Sequence[str]) -> Cells | Obstacle:
    """Return the cells of the complete part of the factorial, or why there are none."""
    observations, levels = left.observations, left.compared
    if not [factor for factor in levels if factor != SYSTEM]:
        reason = f"no parameter has two levels with enough finished runs ({'; '.join(notes)})"
        return Obstacle(Status.NOT_TESTABLE, reason)
    values = np.array([o.value for o in observations], dtype=float)
    largest = float(np.abs(values).max())
    if not scale.logarithmic and not (largest == 0.0 or 1.0 / LARGEST < largest < LARGEST):
        size, effect = ("large", "overflows") if largest > 1.0 else ("small", "underflows")
        reason = f"{scale.quantity.name} is too {size} (its square {effect} at {largest:.3g}); change its unit"
        return Obstacle(Status.REFUSED, reason)
    shape = tuple(len(levels[factor]) for factor in levels)
    cell = _cell_indices(observations, levels)
    labels = [o.cluster for o in observations]
    if left.wanted >= 2:
        cells = replace(cells_of_runs(shape, cell, values, labels), unit=scale.unit(values))
        if not cells.has_spread:
            return Obstacle(Status.NOT_TESTABLE, f"{scale.quantity.name} does not vary between seeds")
        return cells
    return _cells_of_one(shape, cell, values, scale, shared=len(set(labels)) < len(labels))


def cells_of_runs(shape: tuple[int, ...], cell: np.ndarray, values: np.ndarray, labels: Sequence[str]) -> Cells:
    """Return cells of at least two runs each; by the additive block model if runs of different cells share a label."""
    shared = len(set(labels)) < len(labels)
    return (blocked_cells if shared else replicated_cells)(shape, cell, values, labels)


def replicated_or_not(
    shape: tuple[int, ...], cell: np.ndarray, values: np.ndarray, labels: Sequence[str]
) -> Cells | None:
    """Return cells with any number of runs; None if some cells have one run and others more, or too few df."""
    if len(values) > math.prod(shape):
        if np.bincount(cell, minlength=math.prod(shape)).min() < 2:
            return None
        return cells_of_runs(shape, cell, values, labels)
    return unreplicated_cells(shape, values[np.argsort(cell)])


def _cell_indices(observations: Sequence[Observation], levels: Mapping[str, tuple[Level, ...]]) -> np.ndarray:
    places = {factor: {level: k for k, level in enumerate(found)} for factor, found in levels.items()}
    positions = np.array([[places[factor][o.level(factor)] for factor in levels] for o in observations])
    return np.asarray(np.ravel_multi_index(tuple(positions.T), tuple(len(found) for found in levels.values())))


def _cells_of_one(
    shape: tuple[int, ...], cell: np.ndarray, values: np.ndarray, scale: Scale, *, shared: bool
) -> Cells | Obstacle:
    """Return the cells of a design with one seed per configuration."""
    if shared:
        reason = "one seed per configuration, with shared SFT parents or seeds, gives no variance estimate"
        return Obstacle(Status.NOT_TESTABLE, reason)
    cells = unreplicated_cells(shape, values[np.argsort(cell)])
    if cells is None:
        reason = "one seed per configuration gives no variance estimate (interactions leave under 3 degrees of freedom)"
        return Obstacle(Status.NOT_TESTABLE, reason)
    cells = replace(cells, unit=scale.unit(values))
    if not cells.has_spread:
        return Obstacle(Status.NOT_TESTABLE, "the metric does not vary")
    return cells


def _counts(observations: Sequence[Observation], factors: Sequence[str]) -> Counter[tuple[Level, ...]]:
    return Counter(tuple(o.level(factor) for factor in factors) for o in observations)


def _complete_levels(
    counts: Mapping[tuple[Level, ...], int], levels: Mapping[str, tuple[Level, ...]], wanted: int
) -> tuple[dict[str, tuple[Level, ...]], list[tuple[str, Level]]]:
    """Drop levels, those with most deficient cells first, until every remaining cell has `wanted` observations."""
    # Greedy, because the largest complete subdesign is a hard combinatorial problem (maximum biclique for two factors).
    kept = dict(levels)
    dropped: list[tuple[str, Level]] = []
    complete = [cell for cell, count in counts.items() if count >= wanted]
    while True:
        complete = [cell for cell in complete if all(map(_holds, kept.values(), cell))]
        size = math.prod(len(values) for values in kept.values())
        if len(complete) == size or not kept:
            return kept, dropped
        factor, level = _emptiest_level(kept, complete, size)
        kept[factor] = tuple(value for value in kept[factor] if value != level)
        dropped.append((factor, level))


def _holds(values: tuple[Level, ...], level: Level) -> bool:
    return level in values


def _emptiest_level(
    kept: Mapping[str, tuple[Level, ...]], complete: Sequence[tuple[Level, ...]], size: int
) -> tuple[str, Level]:
    """Return the level with the largest share of deficient cells; ties go to the first.

    Args:
        complete: the cells with enough observations; only they are counted, because there may be far more others.
        size: number of all cells.
    """
    shares = []
    for position, (factor, values) in enumerate(kept.items()):
        found = Counter(cell[position] for cell in complete)
        shares += [((size // len(values) - found[level]) * len(values) / size, factor, level) for level in values]
    _, factor, level = max(shares, key=lambda share: share[0])
    return factor, level
