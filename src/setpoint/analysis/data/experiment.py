"""Data of an experiment: its frozen plan, its runs, and their results."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from setpoint.analysis.data.quantities import QUANTITIES, CaseValues, Metrics, Quantity, quantity
from setpoint.artifacts import StageFolder, Workspace
from setpoint.records.failure import FailureClass
from setpoint.records.plan import AnalysisPlan, Plan
from setpoint.records.state import RunStatus

Level = str | int | float | bool | None
"""A value of a swept parameter."""


@dataclass(frozen=True)
class RunFailure:
    """Why a run has no result.

    Attributes:
        stage: the stage that failed; None if no stage failed.
        attempt: folder of its last attempt.
    """

    failure_class: FailureClass
    reason: str
    suggestion: str = ""
    evidence: Mapping[str, Any] | None = None
    stage: StageFolder | None = None
    attempt: Path | None = None


@dataclass(frozen=True)
class MeasuredCost:
    """Measured time and memory; None if not measured. GPU values are also None if no GPU was used."""

    wall_s: float | None
    cpu_core_hours: float | None
    gpu_hours: float | None
    peak_memory_gb: float | None
    peak_gpu_gb: float | None


@dataclass(frozen=True)
class RunOutcome:
    """Metrics of one run on one system; None if there is no evaluation.

    Attributes:
        base: metrics of the base model, or of the adapter from which the run continued.
        after_sft: metrics after SFT.
        final: metrics at the end of the run.
        cases: values of the single test cases behind `final`.
        modes: mode of the episodes -> metrics at the end of the run, for every mode that was evaluated.
        after_dagger: metrics after DAgger.
    """

    base: Metrics | None
    after_sft: Metrics | None
    final: Metrics | None
    cases: CaseValues | None = None
    modes: Mapping[str, Metrics] = field(default_factory=dict)
    after_dagger: Metrics | None = None


@dataclass(frozen=True)
class RunResult:
    """One run: its parameters, its state and its results.

    Attributes:
        configuration: number of the configuration; its runs differ only in their replicate.
        factors: values of the swept parameters.
        resolved: the complete parameters.
        stages: role -> stage id; the role of an evaluation ends in `:<system>` if the run has several systems.
        start: the stage whose adapter the run continues from; None if it starts from the base model.
        outcomes: system -> metrics.
        training_time_s: wall-clock time of the training stages, over all measured attempts.
        cost: cost of all stages of the run, over all measured attempts. A stage that several runs share counts in each.
        unmeasured: stage -> number of attempts whose cost was not measured, for stages with such attempts.
        outputs: digests of the `weights` of the last training stage and of the `episodes` of the evaluation, if
            available.
    """

    name: str
    index: int
    configuration: int
    replicate: int
    seed: int
    model_type: str
    training_type: str
    systems: tuple[str, ...]
    factors: Mapping[str, Level]
    resolved: Mapping[str, Any]
    stages: Mapping[str, str]
    start: str | None
    state: RunStatus
    failure: RunFailure | None
    outcomes: Mapping[str, RunOutcome]
    training_time_s: float | None
    cost: MeasuredCost
    outputs: Mapping[str, str] = field(default_factory=dict)
    unmeasured: Mapping[str, int] = field(default_factory=dict)

    @property
    def pending(self) -> bool:
        """Return whether the run has not ended."""
        return self.state.pending

    def measured(self) -> dict[str, float | None]:
        """Return the metrics of measured time and memory."""
        return {
            "training_time": self.training_time_s,
            "gpu_hours": self.cost.gpu_hours,
            "cpu_core_hours": self.cost.cpu_core_hours,
            "peak_memory_gb": self.cost.peak_memory_gb,
        }

    def evaluation(self, system: str) -> str:
        """Return the stage that evaluated the trained model on `system`; empty if there is none."""
        return self.stages.get(f"evaluate:{system}") or self.stages.get("evaluate", "")

    def level(self, factor: str) -> Level:
        """Return the run's value of a swept parameter, or of a property that a plan may compare."""
        if factor in self.factors:
            return self.factors[factor]
        properties: dict[str, Level] = {
            "training_type": self.training_type,
            "model_type": self.model_type,
            "system": "+".join(self.systems),
        }
        return properties.get(factor)


@dataclass(frozen=True)
class Prediction:
    """Predicted and measured cost of one stage.

    Attributes:
        expected_s: predicted CPU time [s].
        interval_s: prediction interval of the CPU time [s].
        measured_s: measured CPU time [s]; None if the stage has not finished, or was not measured.
    """

    kind: str
    expected_s: float
    interval_s: tuple[float, float]
    measured_s: float | None = None
    expected_gpu_hours: float = 0.0
    measured_gpu_hours: float = 0.0

    @property
    def inside(self) -> bool:
        """Return whether the measured CPU time is within the prediction interval."""
        return self.measured_s is not None and self.interval_s[0] <= self.measured_s <= self.interval_s[1]


@dataclass(frozen=True)
class Forecast:
    """Cost estimate of an experiment when it was first started, by stage.

    Attributes:
        level: coverage probability of the intervals.
        interval_s: prediction interval of the total CPU time of all predicted stages [s].
    """

    level: float
    interval_s: tuple[float, float]
    stages: tuple[Prediction, ...]

    @property
    def finished(self) -> tuple[Prediction, ...]:
        """Return the stages whose cost has been measured."""
        return tuple(stage for stage in self.stages if stage.measured_s is not None)


@dataclass(frozen=True)
class Words:
    """Nouns for observations in the sentences of claims; a table has rows where an experiment has runs.

    Attributes:
        run: one observation.
        replicate: one of several observations with equal levels.
        configuration: observations with equal levels.
        block: the property that observations of several configurations share.
    """

    run: str = "run"
    replicate: str = "seed"
    configuration: str = "configuration"
    block: str = "seed"


@dataclass(frozen=True)
class ExperimentData:
    """All data that analysis and reports need.

    Attributes:
        finished_at: ISO time of the latest result or failure, or of the plan if that is later (reused stages may be
            older than the experiment).
        anchors: system -> controller -> metrics of the reference controllers.
        base: system -> metrics of the untrained base model.
        modes: system -> mode of the episodes -> controller (`llm`: the untrained base model) -> metrics.
        cost: cost of every distinct stage once, including failed attempts.
        unmeasured_attempts: number of attempts without a resources file.
        quantities: name -> metric.
        words: nouns for its observations.
        forecast: cost estimate; None if there was none.
    """

    folder: Path
    workspace: Workspace
    plan: Plan
    finished_at: str
    runs: tuple[RunResult, ...]
    anchors: Mapping[str, Mapping[str, Metrics]]
    base: Mapping[str, Metrics]
    cost: MeasuredCost
    unmeasured_attempts: int
    quantities: Mapping[str, Quantity] = field(default_factory=lambda: QUANTITIES)
    words: Words = field(default_factory=Words)
    forecast: Forecast | None = None
    modes: Mapping[str, Mapping[str, Mapping[str, Metrics]]] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Return the experiment's id."""
        return self.plan.experiment

    @property
    def type(self) -> str:
        """Return the experiment's type, such as `hyperparameter_sweep`."""
        return self.plan.type

    @property
    def created_at(self) -> str:
        """Return the ISO time of the plan."""
        return self.plan.created_at

    @property
    def systems(self) -> tuple[str, ...]:
        """Return the full names of the plan's systems."""
        return self.plan.systems

    @property
    def analysis(self) -> AnalysisPlan:
        """Return the analysis plan, which was fixed before any result."""
        return self.plan.analysis

    def quantity(self, name: str) -> Quantity:
        """Return the metric `name`.

        Raises:
            InputError: there is no such metric.
        """
        return self.quantities[name] if name in self.quantities else quantity(name)
