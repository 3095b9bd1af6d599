"""A plan in words: how much there is to do, how much of it is done already, and what else is worth knowing."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from setpoint.cli.options import print_json

if TYPE_CHECKING:
    from setpoint.api.planning import Preparation
    from setpoint.artifacts import Workspace
    from setpoint.records.plan import Plan


def show_plan(prepared: "Preparation", *, as_json: bool) -> None:
    """Print what an experiment would run, or was planned to run."""
    if as_json:
        print_json(plan_summary(prepared))
    else:
        print(plan_text(prepared))


def plan_summary(prepared: "Preparation") -> dict[str, Any]:
    """The plan for programs, with the number of finished stages; stage ids only where they are known."""
    from setpoint.execution import default_workers
    from setpoint.experiments.planning.suggestions import inert_parameters, suggestions

    plan, workspace = prepared.plan, prepared.request.workspace
    expected = prepared.estimate(default_workers()).record().to_json()
    extra = {"suggestions": suggestions(plan), "warnings": inert_parameters(plan), "estimate": expected}
    known = {"stage_ids_known": _stage_ids_known(plan), "finished_stages": _finished_stages(plan, workspace)}
    return {**plan.to_json(), **known, **extra}


def plan_text(prepared: "Preparation") -> str:
    """The plan for people."""
    from setpoint.experiments.cost.memory import check_memory
    from setpoint.experiments.planning.suggestions import inert_parameters, suggestions

    plan, workspace, base = prepared.plan, prepared.request.workspace, prepared.request.base
    kinds = Counter(stage.kind for stage in plan.stages.values())
    asked = Counter(name for run in plan.runs for name in run.stages.values())
    shared = sum(times - 1 for times in asked.values())
    lines = [
        f"Experiment: {plan.experiment} ({plan.type})",
        f"Systems: {', '.join(plan.systems)}",
        f"Data sets: {', '.join(f'{system}: {data.name} ({data.digest})' for system, data in plan.datasets.items())}",
        f"Base model: {plan.base.name} ({plan.base.digest})",
        f"Runs: {_runs_text(plan)}",
        *_design_lines(plan),
        f"Stages: {', '.join(f'{count} {kind}' for kind, count in kinds.items())}"
        f" ({shared} saved by sharing, {_finished_stages(plan, workspace)} finished already)",
        *(f"  {run.name}" for run in plan.runs),
        *_start_lines(plan),
    ]
    lines += [*_estimate_lines(prepared), *(f"Warning: {text}" for text in inert_parameters(plan))]
    lines += [
        f"{'Problem' if check.result == 'problem' else 'Remark'}: {check.name}: {check.text}"
        for check in check_memory(base, plan.stages.values())
        if check.result != "ok"
    ]
    lines += [f"Suggestion: {text}" for text in suggestions(plan)]
    return "\n".join(lines)


def _runs_text(plan: "Plan") -> str:
    """`6 configurations x 2 replicates = 12`; an arm of existing adapters has as many replicates as adapters."""
    from setpoint.formatting import counted

    replicates = Counter(run.configuration for run in plan.runs)
    sizes = Counter(replicates.values())
    parts = [
        f"{counted(sizes[size], 'configuration')} x {counted(size, 'replicate')}"
        for size in sorted(sizes, reverse=True)
    ]
    return f"{' + '.join(parts)} = {len(plan.runs)}"


def _start_lines(plan: "Plan") -> list[str]:
    """The adapters from outside the experiment, by the name of the arm that goes on from them."""
    places = plan.adapter_places()
    named = {
        run.start: str(run.factors["start"]) for run in plan.runs if run.start in places and "start" in run.factors
    }
    return [f"Start {label}: adapter {places[start]}" for start, label in named.items() if start is not None]


def _design_lines(plan: "Plan") -> list[str]:
    """How the configurations were chosen, where they are not all combinations."""
    from setpoint.experiments.planning.designs import resolution
    from setpoint.experiments.planning.spec import SingleSpec, planned_spec

    spec = planned_spec(plan)
    if isinstance(spec, SingleSpec):
        return []
    zips = [f"{' and '.join(names)} vary together" for names in spec.zipped]
    where = [
        f"{name} only where {' and '.join(f'{other} is {_listed(values)}' for other, values in wanted.items())}"
        for name, wanted in spec.conditions.items()
    ]
    chosen = {
        "full": [],
        "fractional": [f"a fraction of all combinations, {_resolution_text(resolution(spec))}"],
        "random": [f"{spec.configurations} points drawn at random{_each(plan)}"],
        "sobol": [f"{spec.configurations} points of a Sobol sequence{_each(plan)}"],
    }[spec.design]
    found = [*chosen, *zips, *where]
    return [f"Design: {'; '.join(found)}"] if found else []


def _each(plan: "Plan") -> str:
    """What has these points each, where it is not the experiment alone."""
    several = [("system", len(plan.systems)), ("training type", len({run.training_type for run in plan.runs}))]
    named = [name for name, count in several if count > 1]
    return f" for each {' and '.join(named)}" if named else ""


def _listed(values: Sequence[object]) -> str:
    return " or ".join(map(str, values))


def _resolution_text(resolution: int | None) -> str:
    if resolution is None:
        return "which is every one of them"
    if resolution == 3:
        return "resolution III: main effects are aliased with two-factor interactions"
    if resolution == 4:
        return "resolution IV: main effects are clear of two-factor interactions, which are aliased with each other"
    return "resolution V or more: main effects and two-factor interactions are clear of each other"


def _estimate_lines(prepared: "Preparation") -> list[str]:
    from setpoint.experiments.planning.spec import needs_compute_ratio, planned_spec

    plan, expected = prepared.plan, prepared.estimate()
    lines = []
    if expected.stages:
        low, high = expected.interval
        lines.append(
            f"Estimate: {_duration(expected.cpu_s)} of one core (90 %: {_duration(low)} to {_duration(high)}) for "
            f"{len(expected.stages)} stages; {_duration(expected.wall_s)} with {expected.workers} at a time on "
            f"a machine as busy as it was before; {expected.memory_gb:.2f} GB each; {expected.gpu_hours:.2f} GPU hours"
        )
    if expected.unknown:
        kinds = ", ".join(expected.unknown)
        lines.append(f"Estimate: not known for {kinds}: none has run in this workspace; --calibrate measures it")
    if needs_compute_ratio(planned_spec(plan)) and plan.compute_ratio is None:
        lines.append("The steps of the equal-compute control are provisional; they are measured before the launch.")
    return lines or ["Estimate: nothing is left to do"]


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _stage_ids_known(plan: "Plan") -> bool:
    from setpoint.experiments.planning.datasets import NOT_GENERATED

    return all(data.digest != NOT_GENERATED for data in plan.datasets.values())


def _finished_stages(plan: "Plan", workspace: "Workspace") -> int:
    """Stages that are there already; none whose data set is still to be made can be among them."""
    return sum(workspace.stage(stage.kind, name).finished() for name, stage in plan.stages.items())
