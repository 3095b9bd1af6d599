"""The second stage of a sweep: what looked best, again, with seeds that had no part in choosing it."""

from collections.abc import Mapping, Sequence

from setpoint.errors import InputError
from setpoint.experiments.planning.canonical import canonical_spec
from setpoint.experiments.planning.spec import ExperimentSpec, planned_spec
from setpoint.records.plan import Plan, Value


def confirmation(plan: Plan, chosen: Sequence[Mapping[str, Value]], seeds: int) -> ExperimentSpec:
    """The sweep of `plan` with its `chosen` configurations alone and `seeds` fresh seeds for each.

    Args:
        plan: of the experiment that chose them.
        chosen: system, training type and swept parameters of each, as far as the sweep has them.

    Raises:
        InputError: the experiment is no sweep.
    """
    if plan.type != "hyperparameter_sweep":
        raise InputError(
            f"what can be confirmed are configurations of a hyperparameter_sweep, but {plan.experiment!r} is a "
            f"{plan.type}. Run it again with --seed {_fresh(plan)} to repeat all of it with fresh seeds."
        )
    changes = {"only": tuple(dict(entry) for entry in chosen), "confirms": plan.experiment}
    return canonical_spec(planned_spec(plan).model_copy(update={**changes, "replicates": seeds, "seed": _fresh(plan)}))


def _fresh(plan: Plan) -> int:
    """The first seed above all that the experiment used."""
    return max(run.seed for run in plan.runs) + 1
