"""What would make a planned experiment say more; at least one suggestion for every plan."""

import math
from collections.abc import Iterator
from typing import TypeGuard

from setpoint.experiments.plan import Plan

ENOUGH_REPLICATES = 3


def suggestions(plan: Plan) -> list[str]:
    """In words, the most useful first."""
    return list(_improvements(plan)) or [
        f"none needed: {plan.spec.replicates} seeds for each configuration, so that the report can tell chance apart; "
        "repeat the best with fresh --seed values before you rely on it."
    ]


def _improvements(plan: Plan) -> Iterator[str]:
    spec = plan.spec
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
