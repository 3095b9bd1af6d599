"""Confirmation runs: the best configurations of a finished sweep, rerun with new seeds to avoid selection bias."""

from setpoint.analysis.data.reading import read_experiment
from setpoint.analysis.runs.configurations import rank_configurations, ranking_metric
from setpoint.artifacts import Workspace
from setpoint.errors import InputError
from setpoint.experiments.planning.confirmation import confirmation
from setpoint.experiments.planning.experiment_types import CANDIDATE
from setpoint.experiments.request import Request, make_request
from setpoint.experiments.running.commands import resume_command
from setpoint.experiments.running.status import require_plan
from setpoint.records.plan import Value


def confirmation_request(
    workspace: Workspace,
    confirmed: str,
    *,
    top: int = 3,
    seeds: int = 5,
    experiment_id: str | None = None,
    fresh: bool = False,
    accept_changes: bool = False,
) -> Request:
    """Return the request for an experiment that reruns the `top` configurations of each system with `seeds` new seeds.

    Args:
        confirmed: id of the finished sweep.

    Raises:
        InputError: there is no such sweep, it is not finished, or none of its runs has a result.
    """
    plan = require_plan(workspace, confirmed)
    best = best_configurations(workspace, confirmed, top)
    return make_request(
        workspace,
        confirmation(plan, best, seeds),
        experiment_id=experiment_id,
        fresh=fresh,
        accept_changes=accept_changes,
    )


def best_configurations(workspace: Workspace, experiment_id: str, top: int) -> list[dict[str, Value]]:
    """Return system and swept parameters of the `top` configurations of each system.

    Raises:
        InputError: the experiment is not finished, or none of its runs has a result.
    """
    data = read_experiment(workspace.experiment(experiment_id))
    pending = sum(run.pending for run in data.runs)
    if pending:
        raise InputError(
            f"{pending} of {len(data.runs)} runs of {experiment_id!r} are not finished. Finish them first: "
            f"{resume_command(workspace, experiment_id)}"
        )
    best: list[dict[str, Value]] = []
    for system in data.systems:
        ranked = [each for each in rank_configurations(data, system, ranking_metric(data)) if each.mean is not None]
        for result in ranked[:top]:
            factors = result.runs[0].factors.items()
            levels = {name: level for name, level in factors if level is not None and name != CANDIDATE}
            best.append({**levels, "system": system})
    if not best:
        raise InputError(f"no run of {experiment_id!r} has a result, so there is nothing to confirm.")
    return best
