"""One attempt at one stage of a plan, in this process: what a job of a cluster runs."""

import os
import signal
import time
from collections.abc import Mapping

from setpoint.artifacts import Attempt, StageFolder, Workspace, interruption, read_claim, read_json
from setpoint.errors import InputError
from setpoint.execution import Task
from setpoint.execution.worker import work
from setpoint.experiments.plan import Plan
from setpoint.experiments.planning import stage_id
from setpoint.experiments.stages import STAGES

EXIT_SAVED = 75
EXIT_BUSY = 76
_LOOK_S = 2.0


def make_task(workspace: Workspace, plan: Plan, name: str, targets: Mapping[str, str] | None = None) -> Task:
    """One attempt at a stage of the plan, as every executor is given it."""
    stage = plan.stages[name]
    needs = {role: _folder(workspace, plan, need).path.absolute() for role, need in stage.needs.items()}
    return Task(
        workspace=workspace.root.absolute(),
        kind=stage.kind,
        stage_id=name,
        target=(targets or {}).get(stage.kind) or STAGES[stage.kind].target,
        config=stage.config,
        seed=stage.seed,
        needs=needs,
    )


def run_stage(workspace: Workspace, plan: Plan, name: str, *, patience_s: float = 600.0) -> int:
    """Make one attempt, as local workers do; the exit code.

    0 finished, now or before; 1 failed, as failure.json says; 75 asked to end by SIGUSR1 or SIGTERM, with its state
    saved; 76 somebody else was computing it for longer than `patience_s`.

    Raises:
        InputError: there is no such stage, what it needs is not finished, or the code is not that of the plan.
    """
    if name not in plan.stages:
        raise InputError(f"experiment {plan.experiment!r} has no stage {name!r}.")
    stage = _folder(workspace, plan, name)
    if stage.finished():
        return 0
    _require_ready(workspace, plan, name)
    interruption.watch((signal.SIGUSR1, signal.SIGTERM))
    task = make_task(workspace, plan, name)
    deadline_s = time.monotonic() + patience_s
    while True:
        work(task)
        if stage.finished():
            return 0
        attempt = stage.latest_attempt()
        if attempt is not None and _ours(attempt):
            failure = read_json(attempt.failure)
            saved = isinstance(failure, dict) and failure.get("failure_class") == "preempted"
            return EXIT_SAVED if saved else 1
        if time.monotonic() > deadline_s or interruption.requested() is not None:
            return EXIT_BUSY
        time.sleep(_LOOK_S)


def _require_ready(workspace: Workspace, plan: Plan, name: str) -> None:
    stage = plan.stages[name]
    missing = [need for need in stage.needs.values() if not _folder(workspace, plan, need).finished()]
    if missing:
        raise InputError(f"stage {name} needs stage {' and '.join(missing)}, which is not finished. Run that first.")
    if stage_id(stage) != name:
        raise InputError(
            f"stage {name} was planned with other code of {stage.kind} stages, or other versions of its packages. "
            "Run it with those, or plan the experiment again with --fresh."
        )


def _folder(workspace: Workspace, plan: Plan, name: str) -> StageFolder:
    return workspace.stage(plan.stages[name].kind, name)


def _ours(attempt: Attempt) -> bool:
    claim = read_claim(attempt.claim)
    return claim is not None and claim.pid == os.getpid() and claim.alive()
