"""Progress of an experiment on stderr: a live view on a terminal, log lines elsewhere, nothing when quiet."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from setpoint.artifacts import Workspace
    from setpoint.experiments.running.watch import Watch
    from setpoint.records.journal import Event, Listener
    from setpoint.records.plan import Plan


def say(text: str) -> None:
    """Print one line with the time of day on stderr."""
    print(f"{datetime.now():%H:%M:%S} {text}", file=sys.stderr, flush=True)


def say_nothing(_text: str) -> None:
    """Print nothing (for --quiet)."""


@contextmanager
def progress(plan: "Plan", workspace: "Workspace", *, quiet: bool) -> "Iterator[Listener]":
    """Yield a listener that shows the journal's events."""
    if quiet:
        yield lambda _event: None
    elif sys.stderr.isatty():
        from rich.console import Console

        from setpoint.cli.live import live

        with live(plan, workspace, Console(stderr=True)) as listener:
            yield listener
    else:
        from setpoint.experiments.running.watch import Watch

        watch = Watch(plan, workspace)
        yield lambda event: _log(watch, event)


def _log(watch: "Watch", event: "Event") -> None:
    from setpoint.experiments.running.messages import progress_text

    text = progress_text(watch, event)
    if text is not None:
        say(text)
