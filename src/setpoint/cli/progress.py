"""Progress of an experiment on stderr: a view where somebody watches, log lines elsewhere, nothing when quiet."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from setpoint.artifacts import Workspace
    from setpoint.records.journal import Listener
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


def _log(plan: "Plan", event: dict[str, Any]) -> None:
    from setpoint.analysis.data.formatting import counted

    kind = event["event"]
    if kind == "started":
        say(f"{plan.experiment}: {counted(event['runs'], 'run')} in {counted(event['stages'], 'stage')}")
    elif kind in {"stage_started", "stage_finished"}:
        say(f"{event['kind']} {event['stage']} {kind.removeprefix('stage_')}")
    elif kind == "stage_waiting":
        say(f"{event['kind']} {event['stage']}: waiting; {event['reason']}")
    elif kind == "stage_failed":
        stage = f"{plan.stages[event['stage']].kind} {event['stage']}"
        again = "; trying again" if event["retry"] else ""
        say(f"{stage} failed ({event['failure_class']}): {event['reason']}{again}")
    elif kind == "left_behind":
        say(f"{event['stage']} has ended, but left behind: {event['reason']}")
    elif kind == "draining":
        say(f"stopping: {counted(event['running'], 'running stage')} may finish; interrupt again to end now")
    elif kind == "workers_reduced":
        say(f"going on with {event['workers']} at the same time, because {event['reason']}")
    elif kind == "run_finished":
        say(f"run {event['run']}: {event['state']}")
