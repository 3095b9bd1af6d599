"""Experiments of a workspace that already answer part of a plan, because they evaluate the same trained models."""

from dataclasses import dataclass

from setpoint.artifacts import Workspace
from setpoint.errors import InputError
from setpoint.experiments.running.status import experiment_ids
from setpoint.records.plan import Plan, PlannedRun, StageRole, read_plan


@dataclass(frozen=True)
class Answered:
    """An experiment that has runs of a plan.

    Attributes:
        runs: number of runs of the plan that it has.
        finished: number of these with a result.
        of: number of runs of the plan.
    """

    experiment: str
    runs: int
    finished: int
    of: int


def asked_before(workspace: Workspace, plan: Plan) -> list[Answered]:
    """Return the other experiments that share runs with `plan`, those with most of them first."""
    wanted = {evaluations for run in plan.runs if (evaluations := _evaluations(run))}
    found = []
    for name in experiment_ids(workspace):
        other = None if name == plan.experiment else _readable(workspace, name)
        if other is None:
            continue
        shared = wanted & {_evaluations(run) for run in other.runs}
        finished = sum(all(workspace.stage(other.stages[e].kind, e).finished() for e in each) for each in shared)
        if shared:
            found.append(Answered(name, len(shared), finished, len(plan.runs)))
    return sorted(found, key=lambda each: (-each.runs, each.experiment))


def _evaluations(run: PlannedRun) -> tuple[str, ...]:
    """Return the stages that evaluate the final model of a run."""
    return tuple(sorted(name for role, name in run.own_stages() if role is StageRole.EVALUATE))


def _readable(workspace: Workspace, name: str) -> Plan | None:
    try:
        return read_plan(workspace.experiment(name))
    except InputError:  # a damaged plan of another experiment must not hide this one
        return None
