"""state.json: a snapshot of the state of an experiment, which the coordinator updates while it runs."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from setpoint.artifacts import Fields, is_file_name, read_json, write_json
from setpoint.plain_text import message_line
from setpoint.records.failure import FailureClass

SCHEMA = 1


class StageStatus(StrEnum):
    """Status of a stage."""

    ABSENT = "absent"
    """No attempt has been made, or its result is missing."""
    RUNNING = "running"
    """A process may be computing it."""
    FINISHED = "finished"
    """Its result is published."""
    FAILED = "failed"
    """Its last attempt failed."""
    INTERRUPTED = "interrupted"
    """Its last attempt ended without a result or a failure."""


class RunStatus(StrEnum):
    """Status of a run."""

    PLANNED = "planned"
    """None of its stages has started."""
    WAITING = "waiting"
    """Some of its stages have finished, and none is running."""
    RUNNING = "running"
    """One of its stages is running."""
    OK = "ok"
    """All of its stages have finished."""
    FAILED = "failed"
    """One of its own stages failed."""
    BLOCKED = "blocked"
    """An upstream stage failed."""
    LOST = "lost"
    """A worker running one of its own stages was lost."""
    CANCELLED = "cancelled"
    """It was interrupted, and can be resumed."""

    @property
    def ok(self) -> bool:
        """Whether the run has its result."""
        return self is RunStatus.OK

    @property
    def pending(self) -> bool:
        """Whether a result is still to be expected without intervention."""
        return self in PENDING

    @property
    def failed(self) -> bool:
        """Whether it ended without a result."""
        return self in FAILED


PENDING = frozenset({RunStatus.PLANNED, RunStatus.WAITING, RunStatus.RUNNING})
FAILED = frozenset({RunStatus.FAILED, RunStatus.BLOCKED, RunStatus.LOST})


class ExperimentStatus(StrEnum):
    """Status of an experiment."""

    RUNNING = "running"
    """A coordinator is running it."""
    FINISHED = "finished"
    """Nothing is left to do, unless failed stages are retried."""
    INTERRUPTED = "interrupted"
    """It was stopped early, and can be resumed."""


@dataclass(frozen=True, slots=True)
class RunState:
    """Status of a run, with the reason if it has no result."""

    state: RunStatus
    failure_class: FailureClass | None = None
    reason: str | None = None

    def to_json(self) -> dict[str, str]:
        """Return the fields that are set."""
        fields = {"state": self.state, "failure_class": self.failure_class, "reason": self.reason}
        return {name: str(value) for name, value in fields.items() if value is not None}


@dataclass(frozen=True, slots=True)
class ExperimentState:
    """State of an experiment at one point in time.

    Attributes:
        runs: run name -> state.
    """

    experiment: str
    state: ExperimentStatus
    runs: Mapping[str, RunState]

    @property
    def counts(self) -> dict[str, int]:
        """Run status -> number of runs."""
        return {state.value: number for state, number in Counter(run.state for run in self.runs.values()).items()}

    def to_json(self) -> dict[str, Any]:
        """Return the content of state.json, without the time."""
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
    """Read the last snapshot of the experiment in this folder; None if missing or damaged.

    The snapshot is only a cache: the stage folders hold the same information.
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
    """Parse one run of the snapshot, with minimal checks, because there may be a hundred thousand."""
    if not is_file_name(name):
        raise ValueError(name)
    bare = _BARE[content["state"]]
    if len(content) == 1:
        return bare
    failure_class, reason = content.get("failure_class"), content.get("reason")
    if not (reason is None or isinstance(reason, str)):
        raise TypeError(reason)
    reason = None if reason is None else message_line(reason)
    return RunState(bare.state, None if failure_class is None else FailureClass(failure_class), reason)


_BARE = {status.value: RunState(status) for status in RunStatus}
"""The states of runs that have nothing else to say."""
