"""Run one attempt at one stage of a plan in this process, as cluster jobs do."""

from setpoint.artifacts import StageFolder, Workspace
from setpoint.errors import InputError, SetpointError
from setpoint.execution import planned_task
from setpoint.execution.attempt import EXIT_NOT_READY, attempt_task
from setpoint.experiments.planning.build import stage_id
from setpoint.experiments.planning.stages import STAGES
from setpoint.records.plan import Plan


class NotReady(SetpointError):
    """The stage cannot run yet, because an upstream stage is not finished."""

    exit_code = EXIT_NOT_READY


def run_stage(workspace: Workspace, plan: Plan, name: str) -> int:
    """Make one attempt, as local workers do, and return the exit code of `attempt_task`.

    Raises:
        InputError: the stage does not exist, or the code differs from the plan's.
        NotReady: an upstream stage is not finished.
    """
    if name not in plan.stages:
        raise InputError(f"experiment {plan.experiment!r} has no stage {name!r}.")
    if _folder(workspace, plan, name).finished():
        return 0
    stage = plan.stages[name]
    missing = [need for need in stage.needs.values() if not _folder(workspace, plan, need).finished()]
    if missing:
        raise NotReady(f"stage {name} needs stage {' and '.join(missing)}, which is not finished. Run that first.")
    if stage_id(stage) != name:
        raise InputError(
            f"stage {name} was planned with other code of {stage.kind} stages, or other package versions. Restore "
            "them, or plan the experiment again with --fresh."
        )
    return attempt_task(planned_task(workspace, plan.stages, name, STAGES[stage.kind].target))


def _folder(workspace: Workspace, plan: Plan, name: str) -> StageFolder:
    return workspace.stage(plan.stages[name].kind, name)
