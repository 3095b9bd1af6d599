"""The state of every stage and run, computed from the plan and the disk. It only reads."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from setpoint.artifacts import StageFolder, Workspace, read_json
from setpoint.errors import InputError
from setpoint.experiments.running.lease import lease_holder
from setpoint.records.plan import Plan, PlannedRun, plan_path, read_plan

StageStatus = Literal["absent", "running", "finished", "failed", "interrupted"]


@dataclass(frozen=True, slots=True)
class StageState:
    """What became of a stage; `failure` is the content of failure.json where it failed."""

    status: StageStatus
    failure: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class RunState:
    """What became of a run: planned, waiting, running, ok, failed, blocked, lost or cancelled."""

    state: str
    failure_class: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """An experiment at one moment."""

    experiment: str
    state: Literal["running", "finished", "interrupted"]
    runs: dict[str, RunState]

    @property
    def counts(self) -> dict[str, int]:
        """State -> number of runs in it."""
        return dict(Counter(run.state for run in self.runs.values()))

    def to_json(self) -> dict[str, Any]:
        """The content of state.json, without the time."""
        runs = {
            name: {key: value for key in RunState.__slots__ if (value := getattr(run, key)) is not None}
            for name, run in self.runs.items()
        }
        return {"schema": 1, "experiment": self.experiment, "state": self.state, "runs": runs, "counts": self.counts}


def read_stage(folder: StageFolder) -> StageState:
    """The state of one stage."""
    if folder.finished():
        return StageState("finished")
    attempt = folder.latest_attempt()
    if attempt is None:
        return StageState("absent")
    failure = read_json(attempt.failure)
    if isinstance(failure, dict):
        return StageState("failed", failure)
    return StageState("running" if attempt.running() else "interrupted")


def failure_classes(folder: StageFolder) -> list[str]:
    """The failure class of every attempt at a stage that failed, oldest first."""
    records = [read_json(attempt.failure) for attempt in folder.attempts()]
    return [record["failure_class"] for record in records if isinstance(record, dict)]


def read_stages(workspace: Workspace, plan: Plan) -> dict[str, StageState]:
    """Stage id -> state, for every stage of the plan."""
    return {name: read_stage(workspace.stage(stage.kind, name)) for name, stage in plan.stages.items()}


def run_state(plan: Plan, run: PlannedRun, stages: Mapping[str, StageState]) -> RunState:
    """The state of a run, from the states of its own stages and of those they need."""
    own = [stages[name] for name in run.stages.values()]
    for stage in own:
        if stage.failure is not None:
            failure_class = stage.failure["failure_class"]
            return RunState("lost" if failure_class == "lost" else "failed", failure_class, stage.failure["message"])
    upstream = sorted({name for stage in run.stages.values() for name in plan.upstream(stage)})
    for name in upstream:
        failure = stages[name].failure
        if failure is not None:
            reason = f"{plan.stages[name].kind} stage {name} failed: {failure['message']}"
            return RunState("blocked", failure["failure_class"], reason)
    found = {stage.status for stage in own}
    if found == {"finished"}:
        return RunState("ok")
    if "running" in found:
        return RunState("running")
    if "interrupted" in found:
        return RunState("cancelled", reason="interrupted; `setpoint experiment resume` continues it")
    return RunState("waiting" if "finished" in found else "planned")


def run_states(plan: Plan, stages: Mapping[str, StageState]) -> dict[str, RunState]:
    """Run name -> state."""
    return {run.name: run_state(plan, run, stages) for run in plan.runs}


def read_status(workspace: Workspace, experiment_id: str, *, check: bool = False) -> Status:
    """The state of an experiment: the coordinator's snapshot, or what the stages say where that is out of date.

    Args:
        check: look at every stage in any case; files may have gone since.

    Raises:
        InputError: there is no such experiment.
    """
    experiment = workspace.experiment(experiment_id)
    running = lease_holder(experiment) is not None
    snapshot = None if check else _read_snapshot(experiment)
    if snapshot is not None and (snapshot.state == "running") == running:
        return snapshot
    plan = require_plan(workspace, experiment_id)
    runs = run_states(plan, read_stages(workspace, plan))
    if running:
        return Status(experiment_id, "running", runs)
    open_states = {"planned", "waiting", "running", "cancelled"}
    unfinished = any(run.state in open_states for run in runs.values())
    return Status(experiment_id, "interrupted" if unfinished else "finished", runs)


def _read_snapshot(experiment: Path) -> Status | None:
    found = read_json(experiment / "state.json")
    try:
        runs = {
            name: RunState(run["state"], run.get("failure_class"), run.get("reason"))
            for name, run in found["runs"].items()
        }
        return Status(found["experiment"], found["state"], runs)
    except (TypeError, KeyError, AttributeError):
        return None


def require_plan(workspace: Workspace, experiment_id: str) -> Plan:
    """The plan of an experiment that must exist.

    Raises:
        InputError: it does not; the message lists those that do.
    """
    plan = read_plan(workspace.experiment(experiment_id))
    if plan is None:
        known = ", ".join(experiment_ids(workspace)) or "none yet"
        raise InputError(
            f"there is no experiment {experiment_id!r} in workspace {str(workspace.root)!r}. Known: {known}. "
            "Start one with `setpoint experiment run`."
        )
    return plan


def experiment_ids(workspace: Workspace) -> list[str]:
    """The experiments of a workspace, by name."""
    return sorted(folder.name for folder in _folders(workspace.experiments) if plan_path(folder).exists())


def _folders(parent: Path) -> list[Path]:
    return [path for path in parent.iterdir() if path.is_dir()] if parent.is_dir() else []
