"""Names of stages for people: what is trained or tested, with which parameters and seed, instead of a digest."""

from collections.abc import Mapping

from setpoint.formatting import factor_label, level_text, listed
from setpoint.records.plan import Plan, PlannedRun

_ROLES = {
    "evaluate_sft": "evaluate after SFT",
    "evaluate_start": "evaluate before training",
    "evaluate": "evaluate",
    "sft": "SFT",
    "grpo": "GRPO",
}
_SHOWN_LEVELS = 3


def stage_names(plan: Plan) -> dict[str, str]:
    """Return stage id -> `GRPO, double_integrator, LoRA rank 8, learning rate 1e-4, seed 1`."""
    users: dict[str, list[tuple[str, PlannedRun]]] = {}
    for run in plan.runs:
        for role, stage in run.stages.items():
            users.setdefault(stage, []).append((role, run))
    levels = {name: {run.factors.get(name) for run in plan.runs} for name in plan.analysis.factors}
    varied = {name: len(found) for name, found in levels.items() if len(found) > 1}
    names = {stage: f"evaluate the base, {system}" for system, stage in plan.shared.evaluate_base.items()}
    names |= {stage: f"references, {system}" for system, stage in plan.shared.reference.items()}
    names |= {stage: _name(found, varied) for stage, found in users.items() if stage not in names}
    return {stage: names.get(stage, f"{planned.kind} {stage}") for stage, planned in plan.stages.items()}


def _name(users: list[tuple[str, PlannedRun]], varied: Mapping[str, int]) -> str:
    """Name a stage by the values that its runs share and that distinguish them from others."""
    role, first = users[0]
    kind, _, system = role.partition(":")
    runs = [run for _, run in users]
    parts = [_ROLES.get(kind, kind.replace("_", " ")), system or "+".join(first.systems)]
    for factor, count in varied.items():
        own = list(dict.fromkeys(level_text(run.factors.get(factor)) for run in runs))
        if factor != "system" and len(own) < count and len(own) <= _SHOWN_LEVELS:
            parts.append(f"{factor_label(factor)} {listed(own, 'or')}")
    seeds = {run.seed for run in runs}
    if len(seeds) == 1:
        parts.append(f"seed {first.seed}")
    return ", ".join(parts)
