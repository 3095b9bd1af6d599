"""One stage of a plan in this process: an attempt, as cluster jobs make it, or an examination before it runs."""

import importlib
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from setpoint.artifacts import StageContext, StageFolder, Workspace
from setpoint.errors import InputError, SetpointError
from setpoint.execution import planned_task
from setpoint.execution.attempt import EXIT_NOT_READY, attempt_task
from setpoint.execution.slurm import Client
from setpoint.execution.slurm.holders import free_stages
from setpoint.experiments.planning.build import stage_id
from setpoint.experiments.planning.stages import STAGES
from setpoint.records.plan import Plan


class NotReady(SetpointError):
    """The stage cannot run yet, because an upstream stage is not finished."""

    exit_code = EXIT_NOT_READY


def run_stage(workspace: Workspace, plan: Plan, name: str, *, notify: Callable[[str], None] = lambda _: None) -> int:
    """Make one attempt, as local workers do, and return the exit code of `attempt_task`.

    Args:
        notify: receives one line if another process holds the stage.

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
    return attempt_task(
        planned_task(workspace, plan.stages, name, STAGES[stage.kind].target),
        free=lambda folder: free_stages([folder], Client(timeout_s=10.0)),
        notify=notify,
    )


def examine_stage(workspace: Workspace, plan: Plan, name: str, target: str) -> dict[str, Any]:
    """Call `target` (`module:function`) with the context of a planned stage; nothing is published.

    Raises:
        InputError: an upstream stage is not finished.
    """
    task = planned_task(workspace, plan.stages, name, target)
    missing = [path.name for path in task.needs.values() if not StageFolder(path).finished()]
    if missing:
        raise InputError(f"stage {' and '.join(missing)} is not finished. Finish it first.")
    module, _, function = target.partition(":")
    with TemporaryDirectory(prefix="setpoint-") as scratch:
        output, checkpoints, attempt = (Path(scratch) / part for part in ("output", "checkpoints", "attempt"))
        for folder in (output, checkpoints, attempt):
            folder.mkdir()
        context = StageContext(
            workspace=workspace,
            kind=task.kind,
            stage_id=name,
            config=task.config,
            seed=task.seed,
            needs=task.needs,
            output=output,
            checkpoints=checkpoints,
            attempt=attempt,
        )
        found: dict[str, Any] = getattr(importlib.import_module(module), function)(context)
    return found


def _folder(workspace: Workspace, plan: Plan, name: str) -> StageFolder:
    return workspace.stage(plan.stages[name].kind, name)
