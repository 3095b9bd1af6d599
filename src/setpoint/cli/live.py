"""Live view of an experiment, in the process that runs it or in another process that only reads."""

import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from setpoint.artifacts import Workspace
    from setpoint.records.journal import Event, Listener
    from setpoint.records.plan import Plan

_TAIL = 4096
_MESSAGES = 5
_PER_SECOND = 2
SHOWN = ("loss", "validation_loss", "reward")
"""Metrics of a training curve in order of preference; the view shows the first that is available."""


class View:
    """Follows the journal's events and the training curves of the running stages."""

    def __init__(self, plan: "Plan", workspace: "Workspace") -> None:
        """Start without events."""
        self._plan = plan
        self._workspace = workspace
        self._running: dict[str, datetime] = {}
        self._ended: set[str] = set()
        self._runs: dict[str, str] = {}
        self._messages: deque[str] = deque(maxlen=_MESSAGES)

    def listen(self, event: "Event") -> None:
        """Update the view with one journal event; stages outside the plan are ignored."""
        from setpoint.records import journal

        match event:
            case journal.Started():  # stages of an earlier coordinator ended with it
                self._running, self._ended = {}, set()
            case journal.StageStarted() if event.stage in self._plan.stages:
                self._running[event.stage] = event.at
            case journal.StageFinished() | journal.StageReused():
                self._running.pop(event.stage, None)
                self._ended.add(event.stage)
            case journal.StageFailed():
                self._running.pop(event.stage, None)
                if not event.retry:
                    self._ended.add(event.stage)
            case journal.RunFinished():
                self._runs[event.run] = event.state
        if text := _message(event):
            self._messages.append(text)

    def __rich__(self) -> "RenderableType":
        """Return a progress bar, one line per running stage, and the latest failures."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        total = len(self._plan.stages)
        head = Table.grid(padding=(0, 1))
        states = Counter(self._runs.values())
        counts = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
        text = f"{len(self._ended)} of {total} stages, {len(self._runs)} of {len(self._plan.runs)} runs done"
        text += f" ({counts})" if counts else ""
        head.add_row(Text(self._plan.experiment), ProgressBar(total, len(self._ended), width=30), Text(text))
        lines = Table.grid(padding=(0, 2))
        for stage, since in list(self._running.items()):  # the coordinator changes it from another thread
            lines.add_row(*map(Text, self._line(stage, since)))
        return Group(head, lines, *(Text(message, style="red") for message in self._messages))

    def lines(self) -> list[str]:
        """Return one line per running stage."""
        return ["  ".join(filter(None, self._line(*stage))) for stage in list(self._running.items())]

    def _line(self, stage: str, since: datetime) -> tuple[str, str, str, str]:
        from setpoint.artifacts.fields import finite

        planned = self._plan.stages[stage]
        elapsed_s = max(0.0, datetime.now(since.tzinfo).timestamp() - since.timestamp())
        record = self._last_record(stage)
        at = finite(record.get("step"))
        step = "" if at is None else f"step {at:g}{'' if planned.steps is None else f'/{planned.steps}'}"
        step = record["progress"] if isinstance(record.get("progress"), str) else step
        value = next((f"{name} {record[name]:.4g}" for name in SHOWN if isinstance(record.get(name), float)), "")
        return f"{planned.kind} {stage}", f"{elapsed_s:.0f} s", step, value

    def _last_record(self, stage: str) -> dict[str, Any]:
        """Return the last complete line of the training curve of the latest attempt."""
        from setpoint.artifacts import parse_json

        attempt = self._workspace.stage(self._plan.stages[stage].kind, stage).latest_attempt()
        if attempt is None:
            return {}
        try:
            with attempt.metrics.open("rb") as curve:
                curve.seek(max(0, attempt.metrics.stat().st_size - _TAIL))
                whole = curve.read().rpartition(b"\n")[0]
        except OSError:
            return {}
        record = parse_json(whole.rpartition(b"\n")[2])
        return record if isinstance(record, dict) else {}


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


def _message(event: "Event") -> str:
    from setpoint.records import journal

    match event:
        case journal.StageFailed():
            retrying = "; retrying" if event.retry else ""
            return f"{event.stage} failed ({event.failure_class}): {event.reason}{retrying}"
        case journal.StageWaiting():
            return f"{event.stage} waiting: {event.reason}"
    return ""
