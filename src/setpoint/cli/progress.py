"""Progress of an experiment on stderr: a view where somebody watches, log lines elsewhere, nothing when quiet."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from setpoint.artifacts import Workspace
    from setpoint.records.journal import Event, Listener
    from setpoint.records.plan import Plan


def say(text: str) -> None:
    """One line on stderr, with the time of day."""
    print(f"{datetime.now():%H:%M:%S} {text}", file=sys.stderr, flush=True)


def say_nothing(_text: str) -> None:
    """For --quiet."""


@contextmanager
def progress(plan: "Plan", workspace: "Workspace", *, quiet: bool) -> "Iterator[Listener]":
    """A listener for the journal's events."""
    if quiet:
        yield lambda _event: None
    elif sys.stderr.isatty():
        from rich.console import Console

        from setpoint.cli.live import live

        with live(plan, workspace, Console(stderr=True)) as listener:
            yield listener
    else:
        yield lambda event: _log(plan, event)


def _log(plan: "Plan", event: "Event") -> None:
    from setpoint.analysis.data.formatting import counted
    from setpoint.records import journal

    match event:
        case journal.Started():
            say(f"{plan.experiment}: {counted(event.runs, 'run')} in {counted(event.stages, 'stage')}")
        case journal.StageStarted():
            say(f"{event.kind} {event.stage} started")
        case journal.StageFinished():
            say(f"{event.kind} {event.stage} finished")
        case journal.StageWaiting():
            say(f"{event.kind} {event.stage}: waiting; {event.reason}")
        case journal.StageFailed():
            again = "; trying again" if event.retry else ""
            kind = f"{plan.stages[event.stage].kind} " if event.stage in plan.stages else ""
            say(f"{kind}{event.stage} failed ({event.failure_class}): {event.reason}{again}")
        case journal.LeftBehind():
            say(f"{event.stage} has ended, but left behind: {event.reason}")
        case journal.Draining():
            running = counted(event.running, "running stage")
            say(f"stopping: {running} may finish; interrupt again to end now")
        case journal.WorkersReduced():
            say(f"going on with {event.workers} at the same time, because {event.reason}")
        case journal.RunFinished():
            say(f"run {event.run}: {event.state}")
