"""What is known about an experiment: its frozen plan, its runs, and what they came to."""

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
        stage: the stage that failed, None where none did.
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
    """Measured time and memory; None where it was not measured. GPU values are also None where no GPU was used."""

    wall_s: float | None
    cpu_core_hours: float | None
    gpu_hours: float | None
    peak_memory_gb: float | None
    peak_gpu_gb: float | None


@dataclass(frozen=True)
class RunOutcome:
    """Metrics of one run on one system: at the start, after SFT, and at the end; None where there is no evaluation.

    Attributes:
        base: of the base, or of the adapter that the run trained further.
        cases: the values of the single cases behind `final`.
    """

    base: Metrics | None
    after_sft: Metrics | None
    final: Metrics | None
    cases: CaseValues | None = None


@dataclass(frozen=True)
class RunResult:
    """One trained model: what was asked, what became of it.

    Attributes:
        configuration: runs of one configuration differ only in their replicate.
        factors: the values of the swept parameters.
        resolved: the complete parameters.
        stages: role -> stage id; an evaluation's role ends in `:<system>` where the run has several systems.
        start: the stage whose adapter the run trained further; None where it began with the base.
        outcomes: by system.
        training_time_s: seconds of the training stages.
        cost: of all stages of the run; a stage that several runs share counts in each of them. This and the time
            are of all attempts, as far as they were measured.
        unmeasured: stage -> attempts of which nothing was measured; only stages that have some.
        outputs: `weights` of the last training and `episodes` of the evaluation, as digests, where they are there.
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
        """Whether a result may still come."""
        return self.state.pending

    def measured(self) -> dict[str, float | None]:
        """The metrics that come from clocks and counters."""
        return {
            "training_time": self.training_time_s,
            "gpu_hours": self.cost.gpu_hours,
            "cpu_core_hours": self.cost.cpu_core_hours,
            "peak_memory_gb": self.cost.peak_memory_gb,
        }

    def evaluation(self, system: str) -> str:
        """The stage that evaluated the trained model on `system`; an empty name where there is none."""
        return self.stages.get(f"evaluate:{system}") or self.stages.get("evaluate", "")

    def level(self, factor: str) -> Level:
        """The run's value of a swept parameter, or of a property that a plan may sweep."""
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
    """What one stage was expected to cost, with an interval of its processor seconds, and what it did cost.

    Attributes:
        measured_s: None where it is not finished, or was not measured.
    """

    kind: str
    expected_s: float
    interval_s: tuple[float, float]
    measured_s: float | None = None
    expected_gpu_hours: float = 0.0
    measured_gpu_hours: float = 0.0

    @property
    def inside(self) -> bool:
        """Whether the interval holds what was measured."""
        return self.measured_s is not None and self.interval_s[0] <= self.measured_s <= self.interval_s[1]


@dataclass(frozen=True)
class Forecast:
    """What an experiment was expected to cost when it was first started, stage by stage.

    Attributes:
        level: the probability of the intervals.
        interval_s: of the processor seconds of all predicted stages together.
    """

    level: float
    interval_s: tuple[float, float]
    stages: tuple[Prediction, ...]

    @property
    def finished(self) -> tuple[Prediction, ...]:
        """Those whose cost is known by now."""
        return tuple(stage for stage in self.stages if stage.measured_s is not None)


@dataclass(frozen=True)
class Words:
    """What an observation and its repetitions are called in sentences.

    Attributes:
        run: one observation.
        replicate: one of several observations of the same levels.
        configuration: observations with the same levels.
        block: what observations of several configurations share.
    """

    run: str = "run"
    replicate: str = "seed"
    configuration: str = "configuration"
    block: str = "seed"


@dataclass(frozen=True)
class ExperimentData:
    """Everything that analysis and reports need.

    Attributes:
        finished_at: ISO time of the newest of results, failures and the plan; a stage may be older than the experiment.
        anchors: system -> controller -> metrics of the reference controllers.
        base: system -> metrics of the untrained base.
        cost: of every distinct stage once, failed attempts included.
        unmeasured_attempts: attempts that left no resources file.
        quantities: the metrics that exist here.
        words: what its observations are called.
        forecast: what the stages were expected to cost; None where nothing was predicted.
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

    @property
    def id(self) -> str:
        """The experiment's name."""
        return self.plan.experiment

    @property
    def type(self) -> str:
        """The experiment's type, such as `hyperparameter_sweep`."""
        return self.plan.type

    @property
    def created_at(self) -> str:
        """ISO time of the plan."""
        return self.plan.created_at

    @property
    def systems(self) -> tuple[str, ...]:
        """Full names of the plan's systems."""
        return self.plan.systems

    @property
    def analysis(self) -> AnalysisPlan:
        """What was fixed before any result was seen."""
        return self.plan.analysis

    def quantity(self, name: str) -> Quantity:
        """The metric called `name`.

        Raises:
            InputError: there is none.
        """
        return self.quantities[name] if name in self.quantities else quantity(name)
