"""Comparison of training arms: SFT, DAgger, SFT + GRPO, an equal-compute control, a detuned expert, a universal model.

Each part is an ordinary experiment, so equal stages are trained once and an interrupted comparison can be resumed. The
equal-compute control is planned last, because its number of steps follows from the measured cost of the other arms.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import ceil
from statistics import mean
from typing import Any

from setpoint import demonstrations
from setpoint.artifacts import StageKind, Workspace
from setpoint.errors import Findings, InputError, StageError, unknown_name
from setpoint.evaluation import Evaluation
from setpoint.experiments.planning.datasets import Notify
from setpoint.experiments.planning.parameters import canonical_fixed, find
from setpoint.experiments.planning.spec import ExperimentSpec, make_spec
from setpoint.records.plan import Plan, Value

OPTIMAL, CONTROL, DETUNED, UNIVERSAL = "optimal", "equal-compute", "detuned", "universal"
SFT_ALONE, DAGGER = "sft", "dagger"
PARTS = (OPTIMAL, DETUNED, UNIVERSAL, CONTROL)
"""The usual parts, in the order in which they must run; `SFT_ALONE` is the first half of `OPTIMAL` and of `DAGGER`."""
ROLES = {
    SFT_ALONE: {"evaluate": "SFT"},
    DAGGER: {"evaluate_sft": "SFT", "evaluate": "SFT + DAgger"},
    OPTIMAL: {"evaluate_sft": "SFT", "evaluate": "SFT + GRPO"},
    CONTROL: {"evaluate": "SFT, equal compute"},
    UNIVERSAL: {"evaluate": "universal SFT"},
    DETUNED: {"evaluate_sft": "detuned SFT", "evaluate": "detuned SFT + GRPO"},
}
"""Part -> evaluation role -> name of the arm."""

VALIDATION_EVERY = 50
SFT: dict[str, Value] = {"sft.steps": 600, "sft.validation_every": VALIDATION_EVERY, "sft.patience": 4}
UNIVERSAL_STEPS = 300
"""Steps per system."""
DETUNED_SFT: dict[str, Value] = {"sft.steps": 100, "sft.learning_rate": 5e-4}
GRPO: dict[str, Value] = {"grpo.steps": 100, "grpo.learning_rate": 5e-5, "grpo.reward_horizon": 5}
DETUNED_GRPO: dict[str, Value] = {**GRPO, "grpo.learning_rate": 2e-4}
"""A poor expert leaves more to learn. After a good one, this learning rate mainly lowers the parse rate."""


@dataclass(frozen=True)
class ArmSettings:
    """Settings of a comparison.

    Attributes:
        systems: full names.
        replicates: training seeds per arm.
        cases: test states per system.
        rows: demonstrations per system; more than the default, so that long training rarely repeats them.
        prefix: prefix of the experiment ids.
        parts: which of `PARTS`, `SFT_ALONE` or `DAGGER`.
        evaluation: see `EvaluationConfig.named`.
        fixed: parameters that replace the defaults of this module in every arm.
    """

    systems: tuple[str, ...]
    replicates: int = 3
    cases: int = 300
    rows: int = 8000
    prefix: str = "arms"
    parts: tuple[str, ...] = PARTS
    evaluation: Evaluation = "replanning"
    fixed: Mapping[str, Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Validate the settings.

        Raises:
            InputError: all errors in the settings.
        """
        findings = Findings()
        for part in self.parts:
            if part not in ROLES:
                findings.errors.append(unknown_name("part", part, ROLES))
        if self.parts == (UNIVERSAL,) and len(self.systems) < 2:
            findings.errors.append(InputError("a universal model needs at least two systems. Add to --systems."))
        for name in self.systems:
            with findings.check():
                demonstrations.Recipe((name,), self.rows)
        with findings.check():
            self.overrides()
        with findings.check():
            fields = {"systems": list(self.systems), "replicates": self.replicates, "evaluation_cases": self.cases}
            make_spec({**fields, "evaluation": self.evaluation})
        findings.settle()

    def overrides(self) -> dict[str, Value]:
        """Return `fixed` with canonical names and parsed values.

        Raises:
            InputError: unknown names, invalid values, and parameters that no part uses.
        """
        trained = ["both"] if {OPTIMAL, DETUNED} & set(self.parts) else []
        trained += ["dagger"] if DAGGER in self.parts else []
        return canonical_fixed(self.fixed, (), trained or ["sft"])

    def datasets(self) -> list[str]:
        """Return the names of the datasets of optimal control, in the order of the systems."""
        return [f"{self.prefix}_{system}" for system in self.systems]

    def experiment_id(self, part: str) -> str:
        """Return the experiment id of one part."""
        return f"{self.prefix}-{part}"


def specifications(
    settings: ArmSettings, workspace: Workspace, planned: Callable[[str], Plan]
) -> Iterator[tuple[str, ExperimentSpec]]:
    """Yield part and specification, in the order in which they must run.

    Args:
        planned: returns the plan of a part that has already run.
    """
    yield from independent_parts(settings)
    if CONTROL in settings.parts:
        steps = equal_compute_steps(planned(OPTIMAL), workspace)
        control: dict[str, Value] = {
            "sft.steps": steps,
            "sft.validation_every": VALIDATION_EVERY,
            "sft.patience": ceil(steps / VALIDATION_EVERY),  # never stops early, and keeps the best adapter
        }
        yield CONTROL, _spec(settings, control, training_types=["sft"], datasets=settings.datasets(), fixed={})


def independent_parts(settings: ArmSettings) -> Iterator[tuple[str, ExperimentSpec]]:
    """Yield the parts that do not depend on measurements of others, with their specifications."""
    named = settings.datasets()
    fields: dict[str, dict[str, Any]] = {
        SFT_ALONE: {"training_types": ["sft"], "datasets": named, "fixed": SFT},
        DAGGER: {"training_types": ["dagger"], "datasets": named, "fixed": SFT},
        OPTIMAL: {"training_types": ["both"], "datasets": named, "fixed": {**SFT, **GRPO}},
        DETUNED: {"training_types": ["both"], "expert": "detuned", "fixed": {**DETUNED_SFT, **DETUNED_GRPO}},
        UNIVERSAL: {
            "type": "cross_system",
            "model_types": ["universal"],
            "training_types": ["sft"],
            "datasets": named,
            "fixed": {**SFT, "sft.steps": UNIVERSAL_STEPS},
        },
    }
    for part, part_fields in fields.items():
        if part in settings.parts and (part != UNIVERSAL or len(settings.systems) > 1):
            yield part, _spec(settings, **part_fields)


def make_datasets(settings: ArmSettings, workspace: Workspace, notify: Notify) -> None:
    """Generate the datasets of the arms that learn from optimal control, or reuse existing ones."""
    for system, name in zip(settings.systems, settings.datasets(), strict=True):
        notify(f"dataset {name}: {settings.rows} rows")
        demonstrations.create(workspace, name, demonstrations.Recipe((system,), settings.rows))


def equal_compute_steps(plan: Plan, workspace: Workspace) -> int:
    """Return the number of SFT steps with the same mean CPU time as SFT and GRPO together in the runs of `plan`.

    Raises:
        StageError: no run of `plan` finished both stages.
    """
    per_step: list[float] = []
    both: list[float] = []
    for run in plan.runs:
        kinds = (StageKind.SFT, StageKind.GRPO)
        sft, grpo = (workspace.stage(kind, run.stages[kind]).read_manifest() for kind in kinds)
        if sft is None or grpo is None or sft.measured.cpu_s is None or grpo.measured.cpu_s is None:
            continue
        per_step.append(sft.measured.cpu_s / sft.number("steps"))
        both.append(sft.measured.cpu_s + grpo.measured.cpu_s)
    if not both:
        raise StageError(
            "data",
            "the equal-compute control needs a finished run of SFT and GRPO, but none has finished",
            evidence={"experiment": plan.experiment},
            suggestion="fix the failures of that experiment, then retry it",
        )
    return ceil(mean(both) / mean(per_step))


def _spec(settings: ArmSettings, measured: Mapping[str, Value] | None = None, **fields: Any) -> ExperimentSpec:
    """Return the specification of one part. `measured` takes precedence over `settings.fixed`."""
    common = {
        "systems": list(settings.systems),
        "replicates": settings.replicates,
        "evaluation": settings.evaluation,
        "evaluation_cases": settings.cases,
        "metrics": ["regret_median", "final_error", "success_rate"],
    }
    (trained,) = fields["training_types"]
    overrides = {name: value for name, value in settings.overrides().items() if find(name).places_in(trained)}
    return make_spec({**common, **fields, "fixed": {**fields["fixed"], **overrides, **(measured or {})}})
