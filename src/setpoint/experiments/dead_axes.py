"""Axes of a plan along which nothing changes: configurations whose runs are the same stages."""

from itertools import combinations

from setpoint.experiments.plan import Plan, PlannedRun


def dead_axes(plan: Plan) -> list[str]:
    """In words, for each set of factors in which runs differ although all their stages are the same."""
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
