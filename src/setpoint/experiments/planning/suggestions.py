"""Suggestions for a plan: how to learn more from the experiment, and inert parameters."""

import math
from collections.abc import Iterator
from itertools import combinations
from typing import TypeGuard

from setpoint.experiments.planning.spec import AblationSpec, SingleSpec, SweepSpec, SweptSpec, planned_spec
from setpoint.experiments.planning.spec_fields import CONTROLLED
from setpoint.records.plan import Plan, PlannedRun

ENOUGH_REPLICATES = 3
MANY_LEVELS = 4
"""Number of numeric values from which a trend is often the better question."""


def suggestions(plan: Plan) -> list[str]:
    """Return suggestions, one sentence each, the most useful first."""
    spec = planned_spec(plan)
    if isinstance(spec, SingleSpec):
        return [
            "a single run has nothing to compare with; `setpoint experiment run` sweeps parameters and repeats seeds."
        ]
    return list(_improvements(plan, spec)) or [
        f"none needed: {spec.replicates} seeds per configuration allow significance tests; confirm the best with new "
        "seeds before you rely on it."
    ]


def _improvements(plan: Plan, spec: SweptSpec) -> Iterator[str]:
    confirms = isinstance(spec, SweepSpec) and spec.confirms is not None
    if spec.replicates < ENOUGH_REPLICATES:
        more = _repeated(plan) * (ENOUGH_REPLICATES - spec.replicates)
        seeds = "one seed" if spec.replicates == 1 else f"{spec.replicates} seeds"
        least = "at least " if plan.adapters else ""
        option = "--seeds" if confirms else "--replicates"
        yield (
            f"{option} {ENOUGH_REPLICATES} would add {least}{more} runs; with {seeds} per configuration, effects are "
            "hard to distinguish from seed-to-seed variability."
        )
    if isinstance(spec, SweepSpec) and not plan.analysis.factors:
        yield (
            "there is nothing to compare yet; sweep --learning-rates 1e-4,2e-4,5e-4, which is usually the most "
            "influential parameter."
        )
    fixed_levels = {name for group in spec.zipped for name in group}
    every_value = spec.design == "full" and not (isinstance(spec, SweepSpec) and (spec.only or spec.search))
    for name, values in spec.parameters.items():
        numbers = [value for value in values if _is_number(value)]
        yield from _levels(name, numbers, more=every_value and name not in fixed_levels)
        if len(numbers) >= MANY_LEVELS and every_value and name in plan.analysis.factors and name not in spec.trend:
            yield (
                f"--trend {name} would test whether the metric rises or falls along its {len(numbers)} values, instead "
                "of whether any of them differ."
            )
    if isinstance(spec, AblationSpec) and not spec.equal_compute_control and set(CONTROLLED) & set(spec.strategies):
        yield (
            "--equal-compute-control shows whether the stage after SFT is worth its compute: it adds an SFT-only arm "
            "with the compute of both together."
        )


def _repeated(plan: Plan) -> int:
    """Return the number of configurations that more replicates would repeat: all but those of existing adapters."""
    outside = plan.adapter_places()
    return len({run.configuration for run in plan.runs if run.start not in outside})


def _levels(name: str, numbers: list[int | float], *, more: bool) -> Iterator[str]:
    """Yield suggestions for the values of one parameter; `more`: values can be added without changing other axes."""
    numbers = sorted(numbers)
    if len(numbers) == 1:
        yield f"{name} has a single value, so it is not a factor; give it two or more, or set it with --set."
    if more and len(numbers) == 2 and numbers[0] > 0:
        third = _between(*numbers)
        if third not in numbers:
            yield f"a third value of {name}, such as {third:.3g}, would reveal curvature."


def _between(low: int | float, high: int | float) -> int | float:
    """Return the geometric mean of two values, rounded if both are integers."""
    middle = math.sqrt(low * high)
    return round(middle) if isinstance(low, int) and isinstance(high, int) else middle


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def inert_parameters(plan: Plan) -> list[str]:
    """Return one warning per set of parameters whose values change no stage."""
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
        f"{' and '.join(names) or 'nothing'} has no effect between {one.name} and {other.name}: both use the same "
        "stages, which are computed once and count as one observation."
        for names, (one, other) in found.items()
    ]
