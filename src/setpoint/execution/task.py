"""Interface of executors: tasks, jobs and outcomes, shared by local workers and cluster jobs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from setpoint.artifacts import StageConfig, StageFolder, Workspace
from setpoint.records.failure import Failure
from setpoint.records.plan import PlannedStage


@dataclass(frozen=True, slots=True)
class Task:
    """One attempt at one stage; holds plain data only, so that it can be pickled.

    Attributes:
        target: `module:function`; takes a `StageContext` and returns the stage's summary.
        needs: role -> folder of a finished upstream stage.
    """

    workspace: Path
    kind: str
    stage_id: str
    target: str
    config: dict[str, Any]
    seed: int
    needs: dict[str, Path]

    @property
    def stage(self) -> StageFolder:
        """The stage's folder."""
        return Workspace(self.workspace).stage(self.kind, self.stage_id)

    def stage_config(self) -> StageConfig:
        """Return the configuration that is stored in the stage folder."""
        needs = sorted(path.name for path in self.needs.values())
        return StageConfig(self.kind, self.config, tuple(needs), self.seed)


def planned_task(workspace: Workspace, stages: Mapping[str, PlannedStage], name: str, target: str) -> Task:
    """Return the task for the stage `name` of a plan.

    Args:
        stages: planned stages by id, including the upstream stages.
    """
    stage = stages[name]
    needs = {role: workspace.stage(stages[need].kind, need).path.absolute() for role, need in stage.needs.items()}
    return Task(workspace.root.absolute(), stage.kind, name, target, stage.config, stage.seed, needs)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of a job: `finished`, `failed` with a failure, or `busy` if another process holds the stage.

    Attributes:
        left_behind: description of leaked processes or GPU memory; empty if there are none.
    """

    state: Literal["finished", "failed", "busy"]
    failure: Failure | None = None
    left_behind: str = ""


class Job(Protocol):
    """A submitted task."""

    @property
    def task(self) -> Task:
        """The submitted task."""

    def wait(self, timeout_s: float | None = None) -> Outcome | None:
        """Return the outcome, or None if the job is still running after `timeout_s` seconds."""

    def cancel(self) -> None:
        """Stop the job and all its processes now. The attempt counts as interrupted, not as failed.

        A job that may outlive its coordinator keeps running; the next coordinator adopts it.
        """


class Executor(Protocol):
    """Runs tasks, on this machine or on a cluster.

    Attributes:
        poll_s: sensible interval between two checks of a task, in s.
        place: `local` or `slurm`.
        shares_memory: whether parallel tasks compete for the same memory.
    """

    poll_s: float
    place: str
    shares_memory: bool

    def submit(self, task: Task) -> Job:
        """Start `task` and return at once."""

    def adopt(self, task: Task) -> Job | None:
        """Return the unfinished job that an earlier coordinator started for `task`, if any.

        May be called repeatedly for the same task.
        """
