"""One attempt at one stage of a plan, in this process: what a job of a cluster runs."""

from setpoint.artifacts import StageFolder, Workspace
from setpoint.errors import InputError, SetpointError
from setpoint.execution import planned_task
from setpoint.execution.attempt import EXIT_NOT_READY, attempt_task
from setpoint.experiments.planning.build import stage_id
from setpoint.experiments.planning.stages import STAGES
from setpoint.records.plan import Plan


class NotReady(SetpointError):
    """A stage whose turn has not come."""

    exit_code = EXIT_NOT_READY


def run_stage(workspace: Workspace, plan: Plan, name: str) -> int:
    """Make one attempt, as local workers do; the exit code, as `attempt_task` gives it.

    Raises:
        InputError: there is no such stage, or the code is not that of the plan.
        NotReady: what it needs is not finished.
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
            f"stage {name} was planned with other code of {stage.kind} stages, or other versions of its packages. "
            "Run it with those, or plan the experiment again with --fresh."
        )
    return attempt_task(planned_task(workspace, plan.stages, name, STAGES[stage.kind].target))


def _folder(workspace: Workspace, plan: Plan, name: str) -> StageFolder:
    return workspace.stage(plan.stages[name].kind, name)
