"""Progress of an experiment on stderr: a bar where somebody watches, log lines elsewhere, nothing when quiet."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from setpoint.experiments.journal import Listener
    from setpoint.experiments.plan import Plan

_ENDED = {"stage_finished", "stage_reused", "stage_failed"}


def say(text: str) -> None:
    """One line on stderr, with the time of day."""
    print(f"{datetime.now():%H:%M:%S} {text}", file=sys.stderr, flush=True)


def say_nothing(_text: str) -> None:
    """For --quiet."""


@contextmanager
def progress(plan: "Plan", *, quiet: bool) -> "Iterator[Listener]":
    """A listener for the journal's events."""
    if quiet:
        yield lambda _event: None
    elif sys.stderr.isatty():
        with _bar(plan) as listener:
            yield listener
    else:
        yield lambda event: _log(plan, event)


def _log(plan: "Plan", event: dict[str, Any]) -> None:
    kind = event["event"]
    if kind == "started":
        say(f"{plan.experiment}: {event['runs']} runs in {event['stages']} stages")
    elif kind in {"stage_started", "stage_finished"}:
        say(f"{event['kind']} {event['stage']} {kind.removeprefix('stage_')}")
    elif kind == "stage_waiting":
        say(f"{event['kind']} {event['stage']}: waiting; {event['reason']}")
    elif kind == "stage_failed":
        stage = f"{plan.stages[event['stage']].kind} {event['stage']}"
        again = "; trying again" if event["retry"] else ""
        say(f"{stage} failed ({event['failure_class']}): {event['reason']}{again}")
    elif kind == "draining":
        say(f"stopping: {event['reason']} and may finish; interrupt again to end them now")
    elif kind == "workers_reduced":
        say(f"going on with {event['workers']} at the same time, because {event['reason']}")
    elif kind == "run_finished":
        say(f"run {event['run']}: {event['state']}")


@contextmanager
def _bar(plan: "Plan") -> "Iterator[Listener]":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("stages", total=len(plan.stages))

        def listen(event: dict[str, Any]) -> None:
            kind = event["event"]
            if kind in _ENDED and not event.get("retry"):
                bar.advance(task)
            if kind == "stage_started":
                bar.update(task, description=f"{event['kind']} {event['stage']}")
            elif kind in {"stage_failed", "stage_waiting", "run_finished"}:
                with_reason = f": {event['reason']}" if event["reason"] else ""
                outcome = event.get("state") or event.get("failure_class") or "waiting"
                bar.console.print(f"{event.get('run') or event['stage']} {outcome}{with_reason}", markup=False)

        yield listen
