"""Journal of an experiment: its events in order, one file per coordinator."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar

from setpoint.artifacts import Fields, StageKind, is_file_name, is_identifier, parse_json
from setpoint.records.failure import FailureClass
from setpoint.records.state import RunStatus
from setpoint.regular_files import read_regular


class EventKind(StrEnum):
    """Kinds of events."""

    STARTED = "started"
    """A coordinator started or resumed the experiment."""
    EXTENDED = "extended"
    """A search appended trials to its plan."""
    DRAINING = "draining"
    """No more stages are started; running ones finish."""
    INTERRUPTED = "interrupted"
    """The coordinator was stopped, and stopped its running stages."""
    FINISHED = "finished"
    """All stages that could run have run."""
    STAGE_REUSED = "stage_reused"
    """A stage had finished before."""
    STAGE_STARTED = "stage_started"
    """A stage was submitted to a worker."""
    STAGE_WAITING = "stage_waiting"
    """Another experiment is computing a stage."""
    STAGE_FINISHED = "stage_finished"
    """A stage published its result."""
    STAGE_FAILED = "stage_failed"
    """An attempt at a stage failed."""
    LEFT_BEHIND = "left_behind"
    """A worker that has ended leaked processes or GPU memory."""
    WORKERS_REDUCED = "workers_reduced"
    """The number of concurrent stages was reduced."""
    RUN_FINISHED = "run_finished"
    """A run ended, with or without a result."""


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event with its time; subclasses add the fields of each kind."""

    event: ClassVar[EventKind]

    at: datetime = field(default_factory=_now)

    def to_json(self) -> dict[str, Any]:
        """Return the line of the journal."""
        own = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "at"}
        return {"at": self.at.isoformat(timespec="milliseconds"), "event": self.event.value, **own}


@dataclass(frozen=True, slots=True)
class Started(Event):
    """See `EventKind.STARTED`; includes the size of the plan, and where it runs: `local` or `slurm`."""

    event = EventKind.STARTED
    stages: int
    runs: int
    on: str = "local"


@dataclass(frozen=True, slots=True)
class Extended(Event):
    """See `EventKind.EXTENDED`; includes the new size of the plan."""

    event = EventKind.EXTENDED
    stages: int
    runs: int


@dataclass(frozen=True, slots=True)
class Draining(Event):
    """See `EventKind.DRAINING`; `running` is the number of running stages."""

    event = EventKind.DRAINING
    running: int


@dataclass(frozen=True, slots=True)
class Interrupted(Event):
    """See `EventKind.INTERRUPTED`; `reason` is the type of the exception."""

    event = EventKind.INTERRUPTED
    reason: str


@dataclass(frozen=True, slots=True)
class Finished(Event):
    """See `EventKind.FINISHED`."""

    event = EventKind.FINISHED


@dataclass(frozen=True, slots=True)
class StageReused(Event):
    """See `EventKind.STAGE_REUSED`."""

    event = EventKind.STAGE_REUSED
    stage: str


@dataclass(frozen=True, slots=True)
class StageStarted(Event):
    """See `EventKind.STAGE_STARTED`."""

    event = EventKind.STAGE_STARTED
    stage: str
    kind: StageKind


@dataclass(frozen=True, slots=True)
class StageWaiting(Event):
    """See `EventKind.STAGE_WAITING`."""

    event = EventKind.STAGE_WAITING
    stage: str
    kind: StageKind
    reason: str


@dataclass(frozen=True, slots=True)
class StageFinished(Event):
    """See `EventKind.STAGE_FINISHED`."""

    event = EventKind.STAGE_FINISHED
    stage: str
    kind: StageKind


@dataclass(frozen=True, slots=True)
class StageFailed(Event):
    """See `EventKind.STAGE_FAILED`; `retry` tells whether the stage is retried."""

    event = EventKind.STAGE_FAILED
    stage: str
    failure_class: FailureClass
    reason: str
    retry: bool


@dataclass(frozen=True, slots=True)
class LeftBehind(Event):
    """See `EventKind.LEFT_BEHIND`; `reason` names what leaked."""

    event = EventKind.LEFT_BEHIND
    stage: str
    reason: str


@dataclass(frozen=True, slots=True)
class WorkersReduced(Event):
    """See `EventKind.WORKERS_REDUCED`; `workers` is the new number."""

    event = EventKind.WORKERS_REDUCED
    workers: int
    reason: str


@dataclass(frozen=True, slots=True)
class RunFinished(Event):
    """See `EventKind.RUN_FINISHED`."""

    event = EventKind.RUN_FINISHED
    run: str
    state: RunStatus
    failure_class: FailureClass | None = None
    reason: str | None = None


Listener = Callable[[Event], None]
_TYPES: Mapping[str, type[Event]] = {
    each.event: each
    for each in (
        Started,
        Draining,
        Interrupted,
        Finished,
        StageReused,
        StageStarted,
        StageWaiting,
        StageFinished,
        StageFailed,
        LeftBehind,
        WorkersReduced,
        RunFinished,
    )
}


class Journal:
    """Appends events to `journal/<token>.jsonl` and passes each to the listeners."""

    def __init__(self, experiment: Path, token: str, listeners: tuple[Listener, ...] = ()) -> None:
        """Open the journal of `experiment`; tokens sort in the order of the coordinators' leases."""
        folder = experiment / "journal"
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{token}.jsonl"
        self._listeners = listeners

    def record(self, event: Event) -> None:
        """Append one event and flush it to disk."""
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(event.to_json()) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        for listener in self._listeners:
            listener(event)


def read_events(experiment: Path, kind: EventKind | None = None) -> Iterator[Event]:
    """Yield the events of the experiment, oldest coordinator first. Invalid lines, as after a crash, are skipped.

    Args:
        kind: kind of events to return; all by default.
    """
    sign = b"" if kind is None else kind.encode()
    for path in sorted((experiment / "journal").glob("*.jsonl")):
        for line in _lines(path):
            event = _event(parse_json(line), path) if sign in line else None
            if event is not None and kind in {None, event.event}:
                yield event


def _lines(path: Path) -> list[bytes]:
    """Return the lines of one file of the journal; none if it is a link, or no regular file."""
    try:
        return read_regular(path, links=False).splitlines()
    except OSError:
        return []


def _event(content: object, path: Path) -> Event | None:
    try:
        line = Fields(content, path)
        kind = _TYPES[line.text("event")]
        own = {each.name: _READ[each.name](line) for each in fields(kind) if each.name != "at"}
        at = datetime.fromisoformat(line.text("at"))
        return None if at.tzinfo is None else kind(at=at, **own)
    except (ValueError, KeyError):  # unknown event, wrong type of a field, or invalid name
        return None


def _stage(line: Fields) -> str:
    name = line.text("stage")
    if not is_identifier(name):
        raise ValueError(name)
    return name


def _run(line: Fields) -> str:
    name = line.text("run")
    if not is_file_name(name):
        raise ValueError(name)
    return name


def _failure_class(line: Fields) -> FailureClass | None:
    name = line.optional_text("failure_class")
    return None if name is None else FailureClass(name)


_READ: Mapping[str, Callable[[Fields], object]] = {
    "stages": lambda line: line.whole("stages"),
    "runs": lambda line: line.whole("runs"),
    "on": lambda line: line.text("on", "local"),
    "running": lambda line: line.whole("running"),
    "workers": lambda line: line.whole("workers"),
    "stage": _stage,
    "kind": lambda line: StageKind(line.text("kind")),
    "run": _run,
    "state": lambda line: RunStatus(line.text("state")),
    "failure_class": _failure_class,
    "reason": lambda line: line.optional_line("reason"),
    "retry": lambda line: line.flag("retry"),
}
