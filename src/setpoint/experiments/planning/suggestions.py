"""Advice on a plan: what would make the experiment say more, and parameters that change nothing."""

import math
from collections.abc import Iterator
from itertools import combinations
from typing import TypeGuard

from setpoint.experiments.planning.spec import planned_spec
from setpoint.records.plan import Plan, PlannedRun

ENOUGH_REPLICATES = 3


def suggestions(plan: Plan) -> list[str]:
    """In words, the most useful first."""
    return list(_improvements(plan)) or [
        f"none needed: {planned_spec(plan).replicates} seeds per configuration allow significance tests; confirm the "
        "best with new seeds before you rely on it."
    ]


def _improvements(plan: Plan) -> Iterator[str]:
    spec = planned_spec(plan)
    if plan.type == "single":
        yield "one run compares nothing; `setpoint experiment run` sweeps parameters and repeats seeds."
        return
    if spec.replicates < ENOUGH_REPLICATES:
        more = _repeated(plan) * (ENOUGH_REPLICATES - spec.replicates)
        so_far = "a single seed says" if spec.replicates == 1 else f"{spec.replicates} seeds say"
        least = "at least " if plan.adapters else ""
        option = "--replicates" if spec.confirms is None else "--seeds"
        yield f"{option} {ENOUGH_REPLICATES} would add {least}{more} runs; {so_far} little about what is chance."
    if plan.type == "hyperparameter_sweep" and not plan.analysis.factors:
        yield "nothing is compared yet; --learning-rates 1e-4,2e-4,5e-4 is what matters most in most sweeps."
    fixed_levels = {name for group in spec.zipped for name in group}
    for name, values in spec.parameters.items():
        alone = spec.design == "full" and name not in fixed_levels and not spec.only
        yield from _levels(name, [value for value in values if _is_number(value)], more=alone)
    if plan.type == "training_ablation" and not spec.equal_compute_control and "sft_then_grpo" in spec.strategies:
        yield "--equal-compute-control tells whether GRPO is worth its compute: SFT alone for as long as both."


def _repeated(plan: Plan) -> int:
    """Configurations that have as many replicates as are asked for; an adapter from outside is there once."""
    outside = plan.adapter_places()
    return len({run.configuration for run in plan.runs if run.start not in outside})


def _levels(name: str, numbers: list[int | float], *, more: bool) -> Iterator[str]:
    """What the values of one parameter leave open; `more` says that others may be added to them alone."""
    numbers = sorted(numbers)
    if len(numbers) == 1:
        yield f"{name} has one value and is no factor; give it two or more, or set it with --set."
    if more and len(numbers) == 2 and numbers[0] > 0:
        third = _between(*numbers)
        if third not in numbers:
            yield f"a third value of {name}, such as {third:.3g}, would show whether its effect bends."


def _between(low: int | float, high: int | float) -> int | float:
    """The middle of two values on a logarithmic scale, whole between whole ones."""
    middle = math.sqrt(low * high)
    return round(middle) if isinstance(low, int) and isinstance(high, int) else middle


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def inert_parameters(plan: Plan) -> list[str]:
    """One warning for each set of parameters in which runs differ although all their stages are equal."""
    groups: dict[tuple[object, ...], list[PlannedRun]] = {}
    for run in plan.runs:
        groups.setdefault((run.systems, *sorted(run.stages.items())), []).append(run)
    found: dict[tuple[str, ...], list[PlannedRun]] = {}
    for runs in groups.values():
        for one, other in combinations(runs, 2):
            names = {*one.factors, *other.factors}
            differing = tuple(sorted(name for name in names if one.factors.get(name) != other.factors.get(name)))
            if one.configuration != other.configuration:
                found.setdefault(differing, [one, other])
    return [
        f"{' and '.join(names) or 'nothing'} makes no difference between {one.name} and {other.name}: they are the "
        "same stages, computed once, and no two observations."
        for names, (one, other) in found.items()
    ]
