"""From runs to cells: which runs and levels can be analysed for one metric, and why others cannot."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from setpoint.analysis.cells import Cells, replicated_cells, unreplicated_cells
from setpoint.analysis.claims import Status
from setpoint.analysis.experiment import ExperimentData, Level, RunResult
from setpoint.analysis.quantities import Quantity, quantity
from setpoint.analysis.wording import counted, level_text

SYSTEM = "system"
"""The factor that stands for the systems of a run."""


def ratio(difference: float) -> float:
    """exp(`difference`), kept finite."""
    return math.exp(min(max(difference, -700.0), 700.0))


@dataclass(frozen=True)
class Scale:
    """How a metric enters the analysis: so that smaller is better, on logs or as it is."""

    quantity: Quantity
    logarithmic: bool

    def transform(self, value: float) -> float:
        """The analysed value of `value`."""
        sign = 1.0 if self.quantity.better == "smaller" else -1.0
        return sign * (math.log(value) if self.logarithmic else value)

    def natural(self, value: float) -> float:
        """The metric's value that `transform` turned into `value`."""
        sign = 1.0 if self.quantity.better == "smaller" else -1.0
        return ratio(sign * value) if self.logarithmic else sign * value

    def improvement(self, difference: float) -> float:
        """What a difference of analysed values means: a relative improvement on logs, else an absolute one.

        Positive is better: 0.2 is a 20 % lower error, or a 20 % higher rate where larger is better.
        """
        if not self.logarithmic:
            return -difference
        return 1.0 - ratio(difference) if self.quantity.better == "smaller" else ratio(-difference) - 1.0

    def improvement_interval(self, interval: tuple[float, float]) -> tuple[float, float]:
        """`improvement` of both ends, in order."""
        return self.improvement(interval[1]), self.improvement(interval[0])


@dataclass(frozen=True)
class Obstacle:
    """Why there is nothing to analyse."""

    status: Status
    reason: str


@dataclass(frozen=True)
class Factorial:
    """The runs of one experiment as a complete factorial of one metric.

    Attributes:
        scale: how the metric was transformed.
        factors: names of the factors with at least two levels left.
        levels: the levels of each of them, in order.
        cells: their means, or the `Obstacle` that prevents them.
        runs: the runs behind the cells.
        replicates: the smallest and the largest number of runs in a cell.
        dropped: factor and level that had to be left out because cells were empty.
        notes: what was left out and why, in words.
    """

    scale: Scale
    factors: tuple[str, ...]
    levels: tuple[tuple[Level, ...], ...]
    cells: Cells | Obstacle
    runs: tuple[RunResult, ...]
    replicates: tuple[int, int]
    dropped: tuple[tuple[str, Level], ...]
    notes: tuple[str, ...]


def run_value(run: RunResult, scale: Scale) -> float | None:
    """The analysed value of a run: the mean over its systems; None where one was not measured or has no logarithm."""
    values: list[float | None]
    if scale.quantity.source == "measured":
        values = [run.measured().get(scale.quantity.name)]
    else:
        values = [(outcome.final or {}).get(scale.quantity.name) for outcome in run.outcomes.values()]
    numbers = [value for value in values if value is not None]
    if not numbers or len(numbers) < len(values) or (scale.logarithmic and min(numbers) <= 0.0):
        return None
    return float(np.mean([scale.transform(value) for value in numbers]))


def clusters(runs: Sequence[RunResult]) -> dict[str, str]:
    """run name -> label that is equal for runs with the same SFT parent, or that trained the same adapter further."""
    return {run.name: run.start or run.stages.get("sft", run.name) for run in runs}


def factorial(data: ExperimentData, metric: str) -> Factorial:
    """The factorial of `metric` over the plan's factors; the system is one more where runs differ in it."""
    scale = Scale(quantity(metric), data.analysis.scale == "log")
    finished = [run for run in data.runs if run.state == "ok"]
    usable = [run for run in finished if run_value(run, scale) is not None]
    factors = _factors(data)
    notes: list[str] = []
    obstacle = _obstacle(data, factors, finished, scale)
    if len(usable) < len(finished) and obstacle is None:
        notes.append(f"{metric} is missing in {counted(len(finished) - len(usable), 'finished run')}, left out")
    levels = {factor: ordered_levels(run.level(factor) for run in data.runs) for factor in factors}
    wanted = 2 if _most_replicates(usable, factors) >= 2 else 1
    levels, dropped = _complete_levels(usable, levels, wanted)
    enough = counted(wanted, "finished run")
    notes += [f"{factor} {level_text(level)} left out: fewer than {enough} in a cell" for factor, level in dropped]
    kept = tuple(run for run in usable if all(run.level(factor) in levels[factor] for factor in factors))
    left = tuple(factor for factor in factors if len(levels[factor]) >= 2)
    cells = obstacle or _cells(kept, {factor: levels[factor] for factor in left}, scale, wanted, notes)
    counts = _counts(kept, left).values()
    replicates = (min(counts, default=0), max(counts, default=0))
    return Factorial(scale, left, tuple(levels[f] for f in left), cells, kept, replicates, tuple(dropped), tuple(notes))


def ordered_levels(values: Iterable[Level]) -> tuple[Level, ...]:
    """The distinct values: numbers by size, then text by alphabet."""
    return tuple(sorted(set(values), key=_level_position))


def _level_position(level: Level) -> tuple[bool, float, str]:
    numeric = isinstance(level, int | float)
    return (not numeric, float(level) if isinstance(level, int | float) else 0.0, str(level))


def _factors(data: ExperimentData) -> tuple[str, ...]:
    planned = [f for f in data.analysis.factors if len({run.level(f) for run in data.runs}) >= 2]
    by_system = len({run.systems for run in data.runs}) >= 2
    return (*planned, SYSTEM) if by_system and SYSTEM not in planned else tuple(planned)


def _obstacle(
    data: ExperimentData, factors: Sequence[str], finished: Sequence[RunResult], scale: Scale
) -> Obstacle | None:
    """Reasons that hold whatever the cells are, the most basic first."""
    name = scale.quantity.name
    if not data.runs:
        return Obstacle(Status.NOT_TESTABLE, "the plan has no runs")
    if not finished:
        return Obstacle(Status.NOT_TESTABLE, f"none of {counted(len(data.runs), 'run')} has finished successfully")
    if not [factor for factor in factors if factor != SYSTEM]:
        return Obstacle(Status.NOT_TESTABLE, "no parameter was swept")
    raw = Scale(scale.quantity, logarithmic=False)
    measured = [value for run in finished if (value := run_value(run, raw)) is not None]
    if not measured:
        return Obstacle(Status.NOT_TESTABLE, f"{name} was not measured")
    if scale.logarithmic:
        without = sum(run_value(run, raw) is not None and run_value(run, scale) is None for run in finished)
        if without:
            runs = counted(without, "run")
            return Obstacle(Status.REFUSED, f"{name} is zero or negative in {runs}, so it has no logarithm")
    return None


def _cells(
    runs: Sequence[RunResult],
    levels: Mapping[str, tuple[Level, ...]],
    scale: Scale,
    wanted: int,
    notes: Sequence[str],
) -> Cells | Obstacle:
    """The cells of a complete factorial over `levels`, or why there are none."""
    if not [factor for factor in levels if factor != SYSTEM]:
        reason = f"no parameter has two levels with enough finished runs ({'; '.join(notes)})"
        return Obstacle(Status.NOT_TESTABLE, reason)
    values = np.array([run_value(run, scale) for run in runs], dtype=float)
    shape = tuple(len(levels[factor]) for factor in levels)
    positions = [[levels[factor].index(run.level(factor)) for factor in levels] for run in runs]
    cell = np.ravel_multi_index(tuple(np.array(positions).T), shape)
    labels = clusters(runs)
    if wanted >= 2:
        cells = replicated_cells(shape, np.asarray(cell), values, [labels[run.name] for run in runs])
        if not cells.has_spread:
            return Obstacle(Status.NOT_TESTABLE, f"{scale.quantity.name} does not vary between replicates")
        return cells
    return _cells_of_one(shape, np.asarray(cell), values, shared=len(set(labels.values())) < len(runs))


def _cells_of_one(shape: tuple[int, ...], cell: np.ndarray, values: np.ndarray, shared: bool) -> Cells | Obstacle:
    """Cells of a design with one seed each."""
    if shared:
        reason = "one seed per configuration, and runs share SFT parents: nothing shows how much a parent matters"
        return Obstacle(Status.NOT_TESTABLE, reason)
    cells = unreplicated_cells(shape, values[np.argsort(cell)])
    if cells is None:
        reason = "one seed per configuration and fewer than three error degrees of freedom from interactions"
        return Obstacle(Status.NOT_TESTABLE, reason)
    if not cells.has_spread:
        return Obstacle(Status.NOT_TESTABLE, "the metric shows no spread to test against")
    return cells


def _counts(runs: Sequence[RunResult], factors: Sequence[str]) -> dict[tuple[Level, ...], int]:
    counts: dict[tuple[Level, ...], int] = {}
    for run in runs:
        key = tuple(run.level(factor) for factor in factors)
        counts[key] = counts.get(key, 0) + 1
    return counts


def _most_replicates(runs: Sequence[RunResult], factors: Sequence[str]) -> int:
    return max(_counts(runs, factors).values(), default=0)


def _complete_levels(
    runs: Sequence[RunResult], levels: Mapping[str, tuple[Level, ...]], wanted: int
) -> tuple[dict[str, tuple[Level, ...]], list[tuple[str, Level]]]:
    """Drop levels, the emptiest first, until every cell that is left has `wanted` runs."""
    counts = _counts(runs, list(levels))
    kept = dict(levels)
    dropped: list[tuple[str, Level]] = []
    while True:
        deficient = [cell for cell in product(*kept.values()) if counts.get(cell, 0) < wanted]
        if not deficient or any(not values for values in kept.values()):
            return kept, dropped
        factor, level = _emptiest_level(kept, deficient)
        kept[factor] = tuple(value for value in kept[factor] if value != level)
        dropped.append((factor, level))


def _emptiest_level(kept: Mapping[str, tuple[Level, ...]], deficient: list[tuple[Level, ...]]) -> tuple[str, Level]:
    """The level with the largest share of deficient cells; the first of equals."""
    size = math.prod(len(values) for values in kept.values())
    shares = [
        (sum(cell[position] == level for cell in deficient) * len(values) / size, factor, level)
        for position, (factor, values) in enumerate(kept.items())
        for level in values
    ]
    _, factor, level = max(shares, key=lambda share: share[0])
    return factor, level
