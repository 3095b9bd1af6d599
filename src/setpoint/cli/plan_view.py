"""Plan as text: runs and stages, finished work, estimate, warnings and suggestions."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from setpoint.cli.options import print_json

if TYPE_CHECKING:
    from setpoint.api.planning import Preparation
    from setpoint.artifacts import Workspace
    from setpoint.experiments.running.asked_before import Answered
    from setpoint.policies import BaseModel
    from setpoint.records.plan import Plan


_SHOWN_EXPERIMENTS = 5


def show_plan(prepared: "Preparation", *, as_json: bool) -> None:
    """Print the plan of an experiment."""
    if as_json:
        print_json(plan_summary(prepared))
    else:
        print(plan_text(prepared))


def plan_summary(prepared: "Preparation") -> dict[str, Any]:
    """Return the plan as JSON, with its estimate, suggestions, warnings and number of finished stages."""
    from setpoint.execution import default_workers
    from setpoint.experiments.planning.suggestions import inert_parameters, suggestions
    from setpoint.experiments.running.asked_before import asked_before

    plan, workspace = prepared.plan, prepared.request.workspace
    expected = prepared.estimate(default_workers()).record().to_json()
    extra: dict[str, Any] = {"suggestions": suggestions(plan), "warnings": inert_parameters(plan), "estimate": expected}
    extra["asked_before"] = [asdict(each) for each in asked_before(workspace, plan)]
    known = {"stage_ids_known": _stage_ids_known(plan), "finished_stages": _finished_stages(plan, workspace)}
    return {**plan.to_json(), **known, **extra}


def plan_text(prepared: "Preparation") -> str:
    """Return the plan as text."""
    from setpoint.experiments.cost.memory import check_memory
    from setpoint.experiments.planning.suggestions import inert_parameters, suggestions
    from setpoint.experiments.running.asked_before import asked_before

    plan, workspace, base = prepared.plan, prepared.request.workspace, prepared.request.base
    kinds = Counter(stage.kind for stage in plan.stages.values())
    uses = Counter(name for run in plan.runs for name in run.stages.values())
    shared = sum(count - 1 for count in uses.values())
    lines = [
        f"Experiment: {plan.experiment} ({plan.type})",
        f"Systems: {', '.join(plan.systems)}",
        f"Datasets: {', '.join(f'{system}: {data.name} ({data.digest})' for system, data in plan.datasets.items())}",
        f"Base model: {plan.base.name} ({plan.base.digest})",
        f"Runs: {_runs_text(plan)}",
        *_design_lines(plan),
        *_margin_lines(plan),
        f"Stages: {', '.join(f'{count} {kind}' for kind, count in kinds.items())}"
        f" ({shared} saved by sharing, {_finished_stages(plan, workspace)} already finished)",
        *(f"  {run.name}" for run in plan.runs),
        *_rate_lines(plan),
        *_start_lines(plan),
        *_token_lines(plan, base),
    ]
    lines += [*_estimate_lines(prepared), *(f"Warning: {text}" for text in inert_parameters(plan))]
    lines += [
        f"{'Problem' if check.result == 'problem' else 'Remark'}: {check.name}: {check.text}"
        for check in check_memory(base, plan.stages.values())
        if check.result != "ok"
    ]
    lines += [_asked_text(each) for each in asked_before(workspace, plan)[:_SHOWN_EXPERIMENTS]]
    lines += [f"Suggestion: {text}" for text in suggestions(plan)]
    return "\n".join(lines)


def _asked_text(found: "Answered") -> str:
    """Name an experiment that already answers part of the plan."""
    from setpoint.formatting import counted

    state = "finished" if found.finished == found.runs else f"{found.finished} of them finished"
    part = f"{found.runs} of the {counted(found.of, 'run')}"
    return f"Asked before: {found.experiment} has {part}, {state}; see setpoint report {found.experiment}"


def _runs_text(plan: "Plan") -> str:
    """Return `6 configurations x 2 replicates = 12`; an arm of existing adapters has one replicate per adapter."""
    from setpoint.formatting import counted

    replicates = Counter(run.configuration for run in plan.runs)
    sizes = Counter(replicates.values())
    parts = [
        f"{counted(sizes[size], 'configuration')} x {counted(size, 'replicate')}"
        for size in sorted(sizes, reverse=True)
    ]
    return f"{' + '.join(parts)} = {len(plan.runs)}"


def _rate_lines(plan: "Plan") -> list[str]:
    """Return one line per stage after SFT: the ratio of its learning rate to that of SFT."""
    from setpoint.experiments.planning.parameters import rate_ratios
    from setpoint.formatting import listed, number_text

    ratios: dict[str, dict[str, None]] = {}
    for run in plan.runs:
        for kind, ratio in rate_ratios(run.resolved):
            ratios.setdefault(kind, {})[number_text(ratio)] = None
    return [
        f"Learning rate of {kind}: {listed(list(found))} times that of sft (set it by {kind}.learning_rate_ratio, or "
        f"{kind}.learning_rate)"
        for kind, found in ratios.items()
    ]


def _start_lines(plan: "Plan") -> list[str]:
    """Return one line per adapter from outside the experiment, with the arm that starts from it."""
    places = plan.adapter_places()
    named = {
        run.start: str(run.factors["start"]) for run in plan.runs if run.start in places and "start" in run.factors
    }
    return [f"Start {label}: adapter {places[start]}" for start, label in named.items() if start is not None]


def _token_lines(plan: "Plan", base: "BaseModel") -> list[str]:
    """Return one line per prompt format and system: tokens of a prompt and of its answer."""
    from setpoint import problems
    from setpoint.language import PromptFormat
    from setpoint.policies.token_counts import token_counts

    formats = {json.dumps(found): found for stage in plan.stages.values() if (found := stage.config.get("dialect"))}
    lines = []
    for definition in formats.values():
        prompt_format = PromptFormat.from_definition(dict(definition))
        for system in plan.systems:
            found = token_counts(base, problems.get(system), prompt_format)
            if found is not None:
                lines.append(
                    f"Tokens: {system}, {prompt_format.describe(problems.get(system))}: about {found.prompt} per "
                    f"prompt, at most {found.answer} per answer"
                )
    return list(dict.fromkeys(lines))


def _design_lines(plan: "Plan") -> list[str]:
    """Describe how the configurations were chosen, unless they are all combinations."""
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
        "fractional": [f"fractional factorial, {_resolution_text(resolution(spec))}"],
        "random": [f"{spec.configurations} random points{_each(plan)}"],
        "sobol": [f"{spec.configurations} points of a Sobol sequence{_each(plan)}"],
    }[spec.design]
    found = [*_search_texts(plan), *chosen, *zips, *where]
    return [f"Design: {'; '.join(found)}"] if found else []


def _search_texts(plan: "Plan") -> list[str]:
    """Describe a search, whose plan has its trials so far; empty for other experiments."""
    search = plan.search
    if search is None:
        return []
    reused = f", after {search.reused} that had finished before" if search.reused else ""
    return [f"search by {search.sampler}, {search.done} of {search.trials} trials planned so far{reused}"]


def _margin_lines(plan: "Plan") -> list[str]:
    """State the equivalence margin, if there is one."""
    from setpoint.formatting import number_text, share_text

    margin = plan.analysis.equivalence
    text = share_text if plan.analysis.scale == "log" else number_text
    return [] if margin is None else [f"Equivalence: differences up to {text(margin)} do not matter"]


def _each(plan: "Plan") -> str:
    """Name the groups that have these points each; empty if the whole experiment is one group."""
    several = [("system", len(plan.systems)), ("training type", len({run.training_type for run in plan.runs}))]
    named = [name for name, count in several if count > 1]
    return f" for each {' and '.join(named)}" if named else ""


def _listed(values: Sequence[object]) -> str:
    return " or ".join(map(str, values))


def _resolution_text(resolution: int | None) -> str:
    if resolution is None:
        return "which includes all combinations here"
    if resolution == 3:
        return "resolution III: main effects are aliased with two-factor interactions"
    if resolution == 4:
        return "resolution IV: main effects are clear; two-factor interactions are aliased with each other"
    return "resolution V or higher: main effects and two-factor interactions are not aliased"


def _estimate_lines(prepared: "Preparation") -> list[str]:
    from setpoint.experiments.planning.canonical import measured_kinds
    from setpoint.experiments.planning.spec import planned_spec
    from setpoint.formatting import counted

    plan, expected = prepared.plan, prepared.estimate()
    lines = []
    if expected.stages:
        low, high = expected.interval
        lines += [
            f"Estimate for {counted(len(expected.stages), 'stage')}:",
            f"  CPU time:   {_duration(expected.cpu_s)} (90 % interval: {_duration(low)} to {_duration(high)})",
            f"  wall clock: about {_duration(expected.wall_s)} with {counted(expected.workers, 'worker')} at the load "
            "seen so far",
            f"  memory:     {expected.memory_gb:.2f} GB per stage",
            f"  GPU:        {expected.gpu_hours:.2f} hours",
        ]
    if expected.unknown:
        kinds = ", ".join(expected.unknown)
        lines.append(f"Estimate: no timings for {kinds}: none has run in this workspace. Use --calibrate to measure")
    if measured_kinds(planned_spec(plan)) and plan.compute_ratios is None:
        lines.append("The steps of the equal-compute control are provisional; they are measured before the launch.")
    return lines or ["Estimate: nothing left to do"]


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _stage_ids_known(plan: "Plan") -> bool:
    from setpoint.experiments.planning.datasets import NOT_GENERATED

    return all(data.digest != NOT_GENERATED for data in plan.datasets.values())


def _finished_stages(plan: "Plan", workspace: "Workspace") -> int:
    """Count the finished stages; a stage whose dataset is not generated yet has no final id and never counts."""
    return sum(workspace.stage(stage.kind, name).finished() for name, stage in plan.stages.items())
