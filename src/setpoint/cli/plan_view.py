"""A plan in words: how much there is to do, how much of it is done already, and what else is worth knowing."""

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from setpoint.artifacts import Workspace
    from setpoint.experiments.plan import Plan


def plan_summary(plan: "Plan", workspace: "Workspace") -> dict[str, Any]:
    """The plan for programs, with the number of stages that are finished already; ids only where they are known."""
    known = _stage_ids_known(plan)
    finished = sum(workspace.stage(stage.kind, name).finished() for name, stage in plan.stages.items()) if known else 0
    return {**plan.to_json(), "stage_ids_known": known, "finished_stages": finished}


def plan_text(plan: "Plan", workspace: "Workspace") -> str:
    """The plan for people."""
    summary = plan_summary(plan, workspace)
    configurations = len({run.configuration for run in plan.runs})
    replicates = plan.spec.replicates
    kinds = Counter(stage.kind for stage in plan.stages.values())
    asked = sum(len(run.stages) for run in plan.runs) + len(plan.shared.reference) + len(plan.shared.evaluate_base)
    lines = [
        f"Experiment: {plan.experiment} ({plan.type})",
        f"Systems: {', '.join(plan.systems)}",
        f"Data sets: {', '.join(f'{system}: {data.name} ({data.digest})' for system, data in plan.datasets.items())}",
        f"Base model: {plan.base.name} ({plan.base.digest})",
        f"Runs: {configurations} configurations x {replicates} replicates = {len(plan.runs)}",
        f"Stages: {', '.join(f'{count} {kind}' for kind, count in kinds.items())}"
        f" ({asked - len(plan.stages)} shared, {summary['finished_stages']} finished already)",
        *(f"  {run.name}" for run in plan.runs),
    ]
    if replicates < 3 and plan.type != "single":
        more = configurations * (3 - replicates)
        lines.append(
            f"Suggestion: --replicates 3 would add {more} runs; without replicates, chance cannot be told apart."
        )
    return "\n".join(lines)


def _stage_ids_known(plan: "Plan") -> bool:
    from setpoint.experiments.data import NOT_GENERATED

    return all(data.digest != NOT_GENERATED for data in plan.datasets.values())
