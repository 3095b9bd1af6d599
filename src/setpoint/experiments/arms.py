"""The arms of training: what SFT, GRPO, equal compute, an imperfect teacher and a universal model each bring.

Composed of ordinary experiments, so that equal stages are trained once and an interrupted comparison goes on where it
stopped. The control with equal compute is planned last: its length follows from what the others were measured to cost.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil
from statistics import mean

from setpoint import demonstrations
from setpoint.artifacts import Workspace
from setpoint.errors import StageError
from setpoint.experiments.plan import Plan
from setpoint.experiments.spec import ExperimentSpec, Value, make_spec

OPTIMAL, CONTROL, DETUNED, UNIVERSAL = "optimal", "equal-compute", "detuned", "universal"
ROLES = {
    OPTIMAL: {"evaluate_sft": "SFT", "evaluate": "SFT + GRPO"},
    CONTROL: {"evaluate": "SFT, equal compute"},
    UNIVERSAL: {"evaluate": "universal SFT"},
    DETUNED: {"evaluate_sft": "detuned SFT", "evaluate": "detuned SFT + GRPO"},
}
"""Part -> evaluation role -> name of the arm."""

VALIDATION_EVERY = 50
SFT: dict[str, Value] = {"sft.steps": 600, "sft.validation_every": VALIDATION_EVERY, "sft.patience": 4}
UNIVERSAL_STEPS = 300
"""For each of its systems."""
DETUNED_SFT: dict[str, Value] = {"sft.steps": 100, "sft.learning_rate": 5e-4}
GRPO: dict[str, Value] = {"grpo.steps": 100, "grpo.learning_rate": 2e-4, "grpo.reward_horizon": 5}


@dataclass(frozen=True)
class ArmSettings:
    """What is compared.

    Attributes:
        systems: full names.
        replicates: training seeds of each arm.
        cases: test states of each system.
        rows: demonstrations of each system; more than the default, so that long training does not repeat them often.
        prefix: of the experiments' ids.
    """

    systems: tuple[str, ...]
    replicates: int = 3
    cases: int = 300
    rows: int = 8000
    prefix: str = "arms"

    def experiment_id(self, part: str) -> str:
        """The id of one part."""
        return f"{self.prefix}-{part}"


def specifications(
    settings: ArmSettings, workspace: Workspace, planned: Callable[[str], Plan]
) -> Iterator[tuple[str, ExperimentSpec]]:
    """Part and specification, in the order in which they must run.

    Args:
        planned: the plan of a part that has been run.
    """
    named = [f"{settings.prefix}_{system}" for system in settings.systems]
    yield OPTIMAL, _spec(settings, training_types=["both"], datasets=named, fixed={**SFT, **GRPO})
    yield DETUNED, _spec(settings, training_types=["both"], expert="detuned", fixed={**DETUNED_SFT, **GRPO})
    if len(settings.systems) > 1:
        yield (
            UNIVERSAL,
            _spec(
                settings,
                type="cross_system",
                model_types=["universal"],
                training_types=["sft"],
                datasets=named,
                fixed={**SFT, "sft.steps": UNIVERSAL_STEPS},
            ),
        )
    steps = equal_compute_steps(planned(OPTIMAL), workspace)
    control: dict[str, Value] = {
        "sft.steps": steps,
        "sft.validation_every": VALIDATION_EVERY,
        "sft.patience": ceil(steps / VALIDATION_EVERY),  # never stops early, and keeps the best adapter
    }
    yield CONTROL, _spec(settings, training_types=["sft"], datasets=named, fixed=control)


def make_datasets(settings: ArmSettings, workspace: Workspace, say: Callable[[str], None]) -> None:
    """The data sets of the arms that learn from the optimum; found where they were made before."""
    for system in settings.systems:
        name = f"{settings.prefix}_{system}"
        say(f"data set {name}: {settings.rows} rows")
        demonstrations.create(workspace, name, demonstrations.Recipe((system,), settings.rows))


def equal_compute_steps(plan: Plan, workspace: Workspace) -> int:
    """SFT steps that cost as many CPU-seconds as SFT and GRPO together did in the runs of `plan`.

    Raises:
        StageError: no run of `plan` finished both stages.
    """
    per_step: list[float] = []
    both: list[float] = []
    for run in plan.runs:
        sft, grpo = (workspace.stage(kind, run.stages[kind]).read_manifest() for kind in ("sft", "grpo"))
        if sft is not None and grpo is not None:
            per_step.append(sft["measured"]["cpu_s"] / sft["summary"]["steps"])
            both.append(sft["measured"]["cpu_s"] + grpo["measured"]["cpu_s"])
    if not both:
        raise StageError(
            "data",
            "the control with equal compute needs a finished run with SFT and GRPO, but there is none",
            evidence={"experiment": plan.experiment},
            suggestion="see the failures of that experiment, and retry it",
        )
    return ceil(mean(both) / mean(per_step))


def _spec(settings: ArmSettings, **fields: object) -> ExperimentSpec:
    common = {
        "systems": list(settings.systems),
        "replicates": settings.replicates,
        "evaluation": "comprehensive",
        "evaluation_cases": settings.cases,
        "metrics": ["regret_median", "final_error", "success_rate"],
    }
    return make_spec({**common, **fields})
