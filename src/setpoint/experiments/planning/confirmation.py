"""Confirm the best configurations of a sweep with new seeds, for scores free of selection bias."""

from collections.abc import Mapping, Sequence

from setpoint.errors import InputError
from setpoint.experiments.planning.canonical import canonical_spec
from setpoint.experiments.planning.spec import ExperimentSpec, SweepSpec, planned_spec
from setpoint.records.plan import Plan, Value


def confirmation(plan: Plan, chosen: Sequence[Mapping[str, Value]], seeds: int) -> ExperimentSpec:
    """Return the sweep of `plan` restricted to the `chosen` configurations, each with `seeds` new seeds.

    Args:
        plan: plan of the experiment whose results selected them.
        chosen: system, training type and swept parameters of each configuration; only factors of the sweep.

    Raises:
        InputError: the experiment is not a sweep.
    """
    sweep = planned_spec(plan)
    if not isinstance(sweep, SweepSpec):
        raise InputError(
            f"only a hyperparameter_sweep can be confirmed, but {plan.experiment!r} is a {plan.type}. Repeat it with "
            f"--seed {_first_unused_seed(plan)} for new seeds."
        )
    changes: dict[str, object] = {"only": tuple(dict(entry) for entry in chosen), "confirms": plan.experiment}
    if sweep.search is not None:
        points = tuple({name: value for name, value in entry.items() if name != "system"} for entry in chosen)
        changes |= {"search": None, "points": points, "parameters": {}, "ranges": {}, "zipped": (), "conditions": {}}
    return canonical_spec(sweep.model_copy(update={**changes, "replicates": seeds, "seed": _first_unused_seed(plan)}))


def _first_unused_seed(plan: Plan) -> int:
    """Return the first seed that the experiment did not use."""
    return max(run.seed for run in plan.runs) + 1
