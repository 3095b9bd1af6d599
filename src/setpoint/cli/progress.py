"""Progress of an experiment on stderr: a live view on a terminal, log lines elsewhere, nothing when quiet."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from setpoint.plain_text import unescaped

if TYPE_CHECKING:
    from setpoint.artifacts import Workspace
    from setpoint.experiments.running.watch import Watch
    from setpoint.records.journal import Event, Listener
    from setpoint.records.plan import Plan


QUIET_S = 20.0
"""Time without an event after which the progress of the running stages is printed."""


def say(text: str) -> None:
    """Print one line with the time of day on stderr."""
    print(f"{datetime.now():%H:%M:%S} {text}", file=sys.stderr, flush=True)


def say_nothing(_text: str) -> None:
    """Print nothing (for --quiet)."""


@contextmanager
def progress(plan: "Plan", workspace: "Workspace", *, quiet: bool) -> "Iterator[Listener]":
    """Yield a listener that shows the journal's events."""
    from setpoint.experiments.running.watch import Watch

    watch = Watch(plan, workspace)
    if quiet:
        yield lambda event: _answer(watch, event)
    elif sys.stderr.isatty():
        from rich.console import Console

        from setpoint.cli.live import live

        with live(plan, workspace, Console(file=unescaped(sys.stderr))) as listener:
            yield listener
    else:
        with _log_lines(watch) as listener:
            yield listener


def _answer(watch: "Watch", event: "Event") -> None:
    """Print what happens after an interrupt, which is always answered."""
    from setpoint.experiments.running.messages import progress_text
    from setpoint.records.journal import Draining

    text = progress_text(watch, event) if isinstance(event, Draining) else None
    if text is not None:
        say(text)


@contextmanager
def _log_lines(watch: "Watch") -> "Iterator[Listener]":
    """Yield a listener that prints events, and the progress of the running stages when nothing happens for a while."""
    from setpoint.experiments.running.messages import progress_text, running_texts

    happened, ended = threading.Event(), threading.Event()

    def listen(event: "Event") -> None:
        text = progress_text(watch, event)
        if text is not None:
            happened.set()
            say(text)

    def repeat() -> None:
        while not ended.is_set():
            if happened.wait(QUIET_S):
                happened.clear()
            elif not ended.is_set():
                for line in running_texts(watch, datetime.now().astimezone()):
                    say(line)

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield listen
    finally:
        ended.set()
        happened.set()
        thread.join()
