"""Live view of an experiment, in the process that runs it or in another process that only reads."""

import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from setpoint.artifacts import Workspace
    from setpoint.records.journal import Event, Listener
    from setpoint.records.plan import Plan

_MESSAGES = 5
_PER_SECOND = 2


class View:
    """Shows what a watch of the journal's events and of the logs of running stages sees."""

    def __init__(self, plan: "Plan", workspace: "Workspace") -> None:
        """Start without events."""
        from setpoint.experiments.running.watch import Watch

        self._watch = Watch(plan, workspace)
        self._messages: deque[str] = deque(maxlen=_MESSAGES)

    def listen(self, event: "Event") -> None:
        """Update the view with one journal event; stages outside the plan are ignored."""
        self._watch.listen(event)
        if text := _message(event, self._watch.names):
            self._messages.append(text)

    def __rich__(self) -> "RenderableType":
        """Return a progress bar, one line per running stage, and the latest failures."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        watch, plan = self._watch, self._watch.plan
        now = datetime.now().astimezone()
        head = Table.grid(padding=(0, 1))
        head.add_row(Text(plan.experiment), ProgressBar(len(plan.stages), len(watch.ended), width=20))
        states = Counter(watch.runs.values())
        counts = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
        reused = f" ({len(watch.reused)} reused)" if watch.reused else ""
        done = f"{watch.position(now)}{reused}; {len(watch.runs)} of {len(plan.runs)} runs done"
        lines = Table.grid(padding=(0, 2))
        for stage, since in list(watch.running.items()):  # the coordinator changes it from another thread
            elapsed_s = max(0.0, (now - since).total_seconds())
            detail = ", ".join(filter(None, [watch.step_text(stage), watch.value_text(stage), f"{elapsed_s:.0f} s"]))
            lines.add_row(Text(watch.names[stage]), Text(detail))
        summary = Text(f"stages: {done}{f' ({counts})' if counts else ''}")
        return Group(head, summary, lines, *(Text(message, style="red") for message in self._messages))


@contextmanager
def live(plan: "Plan", workspace: "Workspace", console: "Console") -> "Iterator[Listener]":
    """Yield a listener whose view is redrawn while the body runs."""
    from rich.live import Live

    view = View(plan, workspace)
    with Live(view, console=console, refresh_per_second=_PER_SECOND, transient=False):
        yield view.listen


def follow(plan: "Plan", workspace: "Workspace", listener: "Listener") -> None:
    """Pass the journal's events to `listener` as they are written, until no process runs the experiment."""
    from setpoint.experiments.running.lease import lease_holder
    from setpoint.records.journal import read_events

    folder = workspace.experiment(plan.experiment)
    seen = 0
    while True:
        running = lease_holder(folder) is not None
        events = list(read_events(folder))
        for event in events[seen:]:
            listener(event)
        seen = len(events)
        if not running:
            return
        time.sleep(1 / _PER_SECOND)


def _message(event: "Event", names: "Mapping[str, str]") -> str:
    from setpoint.experiments.running.messages import failure_text
    from setpoint.records import journal

    match event:
        case journal.StageFailed():
            return failure_text(event, names.get(event.stage, event.stage))
        case journal.StageWaiting():
            return f"{names.get(event.stage, event.stage)} waiting: {event.reason}"
    return ""
