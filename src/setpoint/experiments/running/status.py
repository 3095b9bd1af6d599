"""State of every stage and run, computed from the plan and the stage folders. Read-only."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from setpoint.artifacts import StageFolder, Workspace
from setpoint.errors import InputError, did_you_mean
from setpoint.experiments.running.lease import lease_holder
from setpoint.records.failure import Failure, FailureClass, read_failure
from setpoint.records.plan import Plan, PlannedRun, plan_path, read_plan
from setpoint.records.state import ExperimentState, ExperimentStatus, RunState, RunStatus, StageStatus, read_state


@dataclass(frozen=True, slots=True)
class StageState:
    """State of a stage, with its failure if it failed."""

    status: StageStatus
    failure: Failure | None = None


def read_stage(folder: StageFolder) -> StageState:
    """Return the state of one stage."""
    if folder.finished():
        return StageState(StageStatus.FINISHED)
    attempt = folder.latest_attempt()
    if attempt is None:
        return StageState(StageStatus.ABSENT)
    failure = read_failure(attempt.failure)
    if failure is not None:
        return StageState(StageStatus.FAILED, failure)
    return StageState(StageStatus.RUNNING if attempt.running() else StageStatus.INTERRUPTED)


def failure_classes(folder: StageFolder) -> list[FailureClass]:
    """Return the failure classes of all failed attempts at a stage, oldest first."""
    failures = [read_failure(attempt.failure) for attempt in folder.attempts()]
    return [failure.failure_class for failure in failures if failure is not None]


def read_stages(workspace: Workspace, plan: Plan) -> dict[str, StageState]:
    """Return stage id -> state, for every stage of the plan."""
    return {name: read_stage(workspace.stage(stage.kind, name)) for name, stage in plan.stages.items()}


def run_state(plan: Plan, run: PlannedRun, stages: Mapping[str, StageState]) -> RunState:
    """Derive the state of a run from the states of its own stages and their upstream stages."""
    own = [stages[name] for name in run.stages.values()]
    for stage in own:
        if stage.failure is not None:
            failure_class = stage.failure.failure_class
            state = RunStatus.LOST if failure_class is FailureClass.LOST else RunStatus.FAILED
            return RunState(state, failure_class, stage.failure.message)
    for name in sorted(plan.upstream(*run.stages.values())):
        failure = stages[name].failure
        if failure is not None:
            reason = f"{plan.stages[name].kind} stage {name} failed: {failure.message}"
            return RunState(RunStatus.BLOCKED, failure.failure_class, reason)
    found = {stage.status for stage in own}
    if found == {StageStatus.FINISHED}:
        return RunState(RunStatus.OK)
    if StageStatus.RUNNING in found:
        return RunState(RunStatus.RUNNING)
    if StageStatus.INTERRUPTED in found:
        return RunState(RunStatus.CANCELLED, reason="interrupted; resume the experiment to continue it")
    return RunState(RunStatus.WAITING if StageStatus.FINISHED in found else RunStatus.PLANNED)


def run_states(plan: Plan, stages: Mapping[str, StageState]) -> dict[str, RunState]:
    """Return run name -> state."""
    return {run.name: run_state(plan, run, stages) for run in plan.runs}


def read_status(workspace: Workspace, experiment_id: str, *, check: bool = False) -> ExperimentState:
    """Return the state of an experiment: the coordinator's snapshot, or the state of its stages if that is outdated.

    Args:
        check: inspect every stage even if the snapshot is current, because files may have been deleted since.

    Raises:
        InputError: there is no such experiment.
    """
    experiment = workspace.experiment(experiment_id)
    running = lease_holder(experiment) is not None
    snapshot = None if check else read_state(experiment)
    if snapshot is not None and (snapshot.state is ExperimentStatus.RUNNING) == running:
        return snapshot
    plan = require_plan(workspace, experiment_id)
    runs = run_states(plan, read_stages(workspace, plan))
    if running:
        return ExperimentState(experiment_id, ExperimentStatus.RUNNING, runs)
    unfinished = any(run.state.pending or run.state is RunStatus.CANCELLED for run in runs.values())
    return ExperimentState(
        experiment_id, ExperimentStatus.INTERRUPTED if unfinished else ExperimentStatus.FINISHED, runs
    )


def require_plan(workspace: Workspace, experiment_id: str) -> Plan:
    """Return the plan of an existing experiment.

    Raises:
        InputError: there is no such experiment; the message lists the existing ones.
    """
    plan = read_plan(workspace.experiment(experiment_id))
    if plan is None:
        raise no_experiment(workspace, experiment_id)
    return plan


def no_experiment(workspace: Workspace, experiment_id: str) -> InputError:
    """Return the error for an experiment that does not exist, with the nearest existing id."""
    known = experiment_ids(workspace)
    return InputError(
        f"there is no experiment {experiment_id!r} in workspace {str(workspace.root)!r}."
        f"{did_you_mean(experiment_id, known)} Known: {', '.join(known) or 'none yet'}. Start one with `setpoint "
        "experiment run`."
    )


def experiment_ids(workspace: Workspace) -> list[str]:
    """Return the ids of the experiments in a workspace, sorted."""
    return sorted(folder.name for folder in _folders(workspace.experiments) if plan_path(folder).exists())


def _folders(parent: Path) -> list[Path]:
    return [path for path in parent.iterdir() if path.is_dir()] if parent.is_dir() else []
