"""The state of an experiment at one moment: state.json, a snapshot that the coordinator takes now and then."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from setpoint.artifacts import Fields, is_file_name, read_json, write_json
from setpoint.records.failure import FailureClass

SCHEMA = 1


class StageStatus(StrEnum):
    """What became of a stage."""

    ABSENT = "absent"
    """Nobody has tried it, or its result is gone."""
    RUNNING = "running"
    """Somebody may be computing it."""
    FINISHED = "finished"
    """Its result is published."""
    FAILED = "failed"
    """Its last attempt failed."""
    INTERRUPTED = "interrupted"
    """Its last attempt ended without a result or a failure."""


class RunStatus(StrEnum):
    """What became of a run."""

    PLANNED = "planned"
    """None of its stages has begun."""
    WAITING = "waiting"
    """Some of its stages have finished, and none is running."""
    RUNNING = "running"
    """One of its stages is being computed."""
    OK = "ok"
    """All of its stages have finished."""
    FAILED = "failed"
    """One of its own stages failed."""
    BLOCKED = "blocked"
    """A stage that its own ones need failed."""
    LOST = "lost"
    """A worker of its own stages disappeared."""
    CANCELLED = "cancelled"
    """It was interrupted, and can be resumed."""

    @property
    def pending(self) -> bool:
        """Whether a result may still come without anybody's help."""
        return self in PENDING

    @property
    def failed(self) -> bool:
        """Whether it ended without a result."""
        return self in FAILED


PENDING = frozenset({RunStatus.PLANNED, RunStatus.WAITING, RunStatus.RUNNING})
FAILED = frozenset({RunStatus.FAILED, RunStatus.BLOCKED, RunStatus.LOST})


class ExperimentStatus(StrEnum):
    """What an experiment as a whole is doing."""

    RUNNING = "running"
    """A coordinator works on it."""
    FINISHED = "finished"
    """There is nothing left to do, unless failed stages are tried again."""
    INTERRUPTED = "interrupted"
    """It was stopped before its end, and can be resumed."""


@dataclass(frozen=True, slots=True)
class RunState:
    """What became of a run, and why where it has no result."""

    state: RunStatus
    failure_class: FailureClass | None = None
    reason: str | None = None

    def to_json(self) -> dict[str, str]:
        """The fields that say something."""
        fields = {"state": self.state, "failure_class": self.failure_class, "reason": self.reason}
        return {name: str(value) for name, value in fields.items() if value is not None}


@dataclass(frozen=True, slots=True)
class ExperimentState:
    """An experiment at one moment.

    Attributes:
        runs: by name.
    """

    experiment: str
    state: ExperimentStatus
    runs: Mapping[str, RunState]

    @property
    def counts(self) -> dict[str, int]:
        """State -> number of runs in it."""
        return dict(Counter(run.state.value for run in self.runs.values()))

    def to_json(self) -> dict[str, Any]:
        """The content of state.json, without the time."""
        return {
            "schema": SCHEMA,
            "experiment": self.experiment,
            "state": self.state.value,
            "runs": {name: run.to_json() for name, run in self.runs.items()},
            "counts": self.counts,
        }


def write_state(experiment: Path, status: ExperimentState) -> None:
    """Replace the snapshot of the experiment in this folder."""
    write_json(
        experiment / "state.json",
        {**status.to_json(), "updated_at": datetime.now(UTC).isoformat(timespec="seconds")},
    )


def read_state(experiment: Path) -> ExperimentState | None:
    """The last snapshot of the experiment in this folder; None where there is none, or a damaged one.

    Nothing is lost with it: the stages say the same.
    """
    path = experiment / "state.json"
    content = read_json(path)
    if content is None:
        return None
    try:
        fields = Fields(content, path)
        runs = {name: _run(name, run) for name, run in fields.table("runs").items()}
        return ExperimentState(fields.text("experiment"), ExperimentStatus(fields.text("state")), runs)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _run(name: str, content: Any) -> RunState:
    """A run of the snapshot; there may be a hundred thousand, so that only what can go wrong is looked at."""
    failure_class, reason = content.get("failure_class"), content.get("reason")
    if not is_file_name(name) or not (reason is None or isinstance(reason, str)):
        raise ValueError(name)
    return RunState(RunStatus(content["state"]), None if failure_class is None else FailureClass(failure_class), reason)
