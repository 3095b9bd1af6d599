"""One simulated experiment: its ground truth, and its results as the analysis sees them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np

from setpoint.analysis.data.experiment import ExperimentData, Level, MeasuredCost, RunFailure, RunOutcome, RunResult
from setpoint.analysis.data.quantities import CASE_METRICS, CaseValues
from setpoint.artifacts import Workspace
from setpoint.modes import EvaluationMode
from setpoint.records.failure import FailureClass
from setpoint.records.plan import AnalysisPlan, NamedDigest, Plan, PlannedRun, PlannedStage, Shared
from setpoint.records.state import RunStatus

CREATED_AT = "2026-01-01T00:00:00+00:00"
FINISHED_AT = "2026-01-02T03:04:05+00:00"
_COST = MeasuredCost(12.5, 0.003, None, 1.25, None)


@dataclass(frozen=True)
class PlantedRun:
    """One run with its results.

    Attributes:
        configuration: number of the configuration; equal for replicates.
        errors: system -> final errors of its cases, (cases,).
        state: ok, failed or planned.
        stage: name of the training stage; runs with equal names share it.
        row: number of the run among those of one configuration and replicate, such as rows of a table within a block.
    """

    configuration: int
    replicate: int
    factors: Mapping[str, Level]
    systems: tuple[str, ...]
    errors: Mapping[str, np.ndarray]
    state: RunStatus = RunStatus.OK
    model_type: str = "specialist"
    stage: str = ""
    row: int = 0

    def mean_error(self, system: str) -> float:
        """Return the mean over cases."""
        errors = self.errors[system]
        return float(errors.mean()) if len(errors) > 1 else float(errors[0])

    @cached_property
    def name(self) -> str:
        """Return a name that is unique within the experiment."""
        levels = "_".join(f"{name}={value}" for name, value in self.factors.items())
        row = f"_r{self.row}" if self.row else ""
        return f"{levels}_{'+'.join(self.systems)}_c{self.configuration}_s{self.replicate}{row}"


@dataclass(frozen=True)
class Planted:
    """A simulated experiment.

    Attributes:
        truth: levels of all factors, in their order -> true mean of the logarithm, one entry per cell.
        extra: further true values, by name.
        adaptive: results decided which runs were made.
        confirms: name of the experiment that selected the configurations; empty if none did.
        equivalence: margin that the plan declares, as in `AnalysisPlan`.
        here: true means on the drawn cases, which intervals must cover; None if they equal `truth`.
    """

    factors: tuple[str, ...]
    runs: tuple[PlantedRun, ...]
    truth: Mapping[tuple[Level, ...], float]
    systems: tuple[str, ...] = ("double_integrator",)
    type: str = "hyperparameter_sweep"
    scale: Literal["log", "linear"] = "log"
    metric: str = "final_error"
    blocks: tuple[str, ...] = ()
    trends: tuple[str, ...] = ()
    extra: Mapping[str, float] = field(default_factory=dict)
    here: Mapping[tuple[Level, ...], float] | None = None
    equivalence: float | None = None
    adaptive: bool = False
    confirms: str = ""

    def marginal(self, factor: str) -> dict[Level, float]:
        """Return the true mean of each level over all cells."""
        return self._marginals[factor]

    @cached_property
    def _marginals(self) -> dict[str, dict[Level, float]]:
        return {factor: _marginal(self.truth, k) for k, factor in enumerate(self.factors)}

    def marginal_here(self, factor: str) -> dict[Level, float]:
        """Return `marginal` on the drawn cases."""
        return self._marginals[factor] if self.here is None else self._marginals_here[factor]

    @cached_property
    def _marginals_here(self) -> dict[str, dict[Level, float]]:
        return {factor: _marginal(self.here or {}, k) for k, factor in enumerate(self.factors)}

    def interacts(self, first: str, second: str) -> bool:
        """Return whether two factors truly interact."""
        a, b = self.factors.index(first), self.factors.index(second)
        cells: dict[tuple[Level, Level], list[float]] = {}
        for levels, value in self.truth.items():
            cells.setdefault((levels[a], levels[b]), []).append(value)
        means = {pair: float(np.mean(values)) for pair, values in cells.items()}
        rows, columns = self.marginal(first), self.marginal(second)
        grand = float(np.mean(list(means.values())))
        return any(abs(mean - rows[x] - columns[y] + grand) > 1e-9 for (x, y), mean in means.items())


def _marginal(truth: Mapping[tuple[Level, ...], float], position: int) -> dict[Level, float]:
    found: dict[Level, list[float]] = {}
    for levels, value in truth.items():
        found.setdefault(levels[position], []).append(value)
    return {level: float(np.mean(values)) for level, values in found.items()}


def planted_plan(
    planted: Planted,
    experiment: str,
    runs: Iterable[PlannedRun] = (),
    stages: Mapping[str, PlannedStage] | None = None,
) -> Plan:
    """Build the plan of the experiment, with the runs and stages that it has on disk."""
    return Plan(
        schema=1,
        experiment=experiment,
        type=planted.type,
        created_at=CREATED_AT,
        spec={"confirms": planted.confirms} if planted.confirms else {},
        spec_digest="0" * 12,
        analysis=AnalysisPlan(
            primary_metric=planted.metric,
            scale=planted.scale,
            factors=planted.factors,
            families=(planted.factors,),
            blocks=planted.blocks,
            evaluation_modes=dict.fromkeys(planted.systems, EvaluationMode.OPEN_LOOP),
            trends=planted.trends,
            equivalence=planted.equivalence,
            adaptive=planted.adaptive,
        ),
        systems=planted.systems,
        base=NamedDigest(name="planted", digest="0" * 12),
        datasets={},
        runs=tuple(runs),
        stages=dict(stages or {}),
        shared=Shared(),
        provenance={},
    )


def as_data(planted: Planted) -> ExperimentData:
    """Return the experiment as it would be read from its folder, without writing one."""
    return ExperimentData(
        folder=Path("planted"),
        workspace=Workspace(Path()),
        plan=planted_plan(planted, "planted"),
        finished_at=FINISHED_AT,
        runs=tuple(_result(index, run) for index, run in enumerate(planted.runs)),
        anchors={},
        base={},
        cost=_COST,
        unmeasured_attempts=0,
    )


def _result(index: int, run: PlantedRun) -> RunResult:
    failed = run.state is RunStatus.FAILED
    return RunResult(
        name=run.name,
        index=index,
        configuration=run.configuration,
        replicate=run.replicate,
        seed=run.replicate,
        model_type=run.model_type,
        training_type="grpo",
        systems=run.systems,
        factors=run.factors,
        resolved={},
        stages={"grpo": run.stage or run.name, "evaluate": run.name},
        start=None,
        state=run.state,
        failure=RunFailure(FailureClass.DIVERGED, "the loss became NaN") if failed else None,
        outcomes={system: _outcome(run, system) for system in run.systems} if run.state.ok else {},
        training_time_s=12.5,
        cost=_COST,
        outputs=_outputs(run) if run.state.ok else {},
    )


def _outputs(run: PlantedRun) -> dict[str, str]:
    """Return digests that are equal if the episodes of two runs would be equal files."""
    return {"episodes": " ".join(run.errors[system].tobytes().hex() for system in run.systems)}


def _outcome(run: PlantedRun, system: str) -> RunOutcome:
    errors, mean = run.errors[system], run.mean_error(system)
    metrics = {"final_error": mean if math.isfinite(mean) else None, "cases": float(len(errors))}
    cases = CaseValues(_case_ids(len(errors)), dict.fromkeys(CASE_METRICS, errors))
    return RunOutcome(None, None, metrics, cases=cases)


@lru_cache(maxsize=64)
def _case_ids(count: int) -> np.ndarray:
    return np.arange(count)


def crossed(levels: Mapping[str, Sequence[Level]]) -> list[tuple[Level, ...]]:
    """Return all combinations of levels, in order."""
    return list(product(*levels.values()))


def truth_of(cells: Iterable[tuple[Level, ...]], means: np.ndarray) -> dict[tuple[Level, ...], float]:
    """Return cell -> true mean."""
    return dict(zip(cells, means.tolist(), strict=True))
