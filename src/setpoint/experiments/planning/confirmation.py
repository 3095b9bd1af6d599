"""Confirming the best configurations of a sweep with new seeds, for scores free of selection bias."""

from collections.abc import Mapping, Sequence

from setpoint.errors import InputError
from setpoint.experiments.planning.canonical import canonical_spec
from setpoint.experiments.planning.spec import ExperimentSpec, SweepSpec, planned_spec
from setpoint.records.plan import Plan, Value


def confirmation(plan: Plan, chosen: Sequence[Mapping[str, Value]], seeds: int) -> ExperimentSpec:
    """The sweep of `plan` with its `chosen` configurations alone and `seeds` fresh seeds for each.

    Args:
        plan: of the experiment that chose them.
        chosen: system, training type and swept parameters of each, as far as the sweep has them.

    Raises:
        InputError: the experiment is no sweep.
    """
    sweep = planned_spec(plan)
    if not isinstance(sweep, SweepSpec):
        raise InputError(
            f"only a hyperparameter_sweep can be confirmed, but {plan.experiment!r} is a {plan.type}. Repeat it with "
            f"--seed {_fresh(plan)} for new seeds."
        )
    changes = {"only": tuple(dict(entry) for entry in chosen), "confirms": plan.experiment}
    return canonical_spec(sweep.model_copy(update={**changes, "replicates": seeds, "seed": _fresh(plan)}))


def _fresh(plan: Plan) -> int:
    """The first seed above all that the experiment used."""
    return max(run.seed for run in plan.runs) + 1
