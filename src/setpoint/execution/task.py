"""What an executor is given, and what it gives back. The same words for a local worker and for a cluster's job."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from setpoint.artifacts import StageConfig, StageFolder, Workspace
from setpoint.records.failure import Failure
from setpoint.records.plan import PlannedStage


@dataclass(frozen=True, slots=True)
class Task:
    """One attempt at one stage; nothing but text and numbers, so that it can travel.

    Attributes:
        target: `module:function`, called with a `StageContext`; it returns the stage's summary.
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

    def asked(self) -> StageConfig:
        """What the stage folder keeps as its configuration."""
        needs = sorted(path.name for path in self.needs.values())
        return StageConfig(self.kind, self.config, tuple(needs), self.seed)


def planned_task(workspace: Workspace, stages: Mapping[str, PlannedStage], name: str, target: str) -> Task:
    """One attempt at the stage called `name`, as every executor is given it.

    Args:
        stages: by id, with those that it needs.
    """
    stage = stages[name]
    needs = {role: workspace.stage(stages[need].kind, need).path.absolute() for role, need in stage.needs.items()}
    return Task(workspace.root.absolute(), stage.kind, name, target, stage.config, stage.seed, needs)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended: `finished`, `failed` with its failure, or `busy` where somebody else has it.

    Attributes:
        left_behind: processes and GPU memory of the worker that would not go, in words; empty where all is clean.
    """

    state: Literal["finished", "failed", "busy"]
    failure: Failure | None = None
    left_behind: str = ""


class Job(Protocol):
    """A task that was submitted."""

    @property
    def task(self) -> Task:
        """What was submitted."""

    def wait(self, timeout_s: float | None = None) -> Outcome | None:
        """How the job ended, or None when it still runs after `timeout_s` seconds."""

    def cancel(self) -> None:
        """End the job, and everything it started, now. The attempt counts as interrupted, not as failed.

        A job that outlives its coordinator is let go instead: the next one adopts it.
        """


class Executor(Protocol):
    """A place where tasks run.

    Attributes:
        poll_s: how often it is worth while to ask what became of a task.
        shares_memory: whether fewer tasks at the same time leave more memory to each.
    """

    poll_s: float
    shares_memory: bool

    def submit(self, task: Task) -> Job:
        """Start `task` and return at once."""

    def adopt(self, task: Task) -> Job | None:
        """The job that an earlier coordinator started for `task` and that must be seen to its end, if any.

        It may be asked for again.
        """
