"""Journal events as lines of text."""

from collections.abc import Mapping
from datetime import datetime

from setpoint.experiments.running.watch import Watch
from setpoint.formatting import counted
from setpoint.records import journal
from setpoint.records.plan import Plan


def progress_text(watch: Watch, event: journal.Event) -> str | None:
    """Update `watch`, and return the event as one line for people; None for events that only programs read.

    The line begins with the position and the time left, and ends with the reward or loss of a finished stage.
    """
    reused_before = len(watch.reused)
    watch.listen(event)
    text = _stage_text(event, watch.names) or _experiment_text(watch.plan, event)
    if text is None or isinstance(event, journal.Started):
        return text
    value = watch.value_text(event.stage) if isinstance(event, journal.StageFinished) else ""
    reused = f" ({reused_before} reused)" if reused_before else ""
    return f"{watch.position(event.at)}{reused}: {text}{f', {value}' if value else ''}"


def running_texts(watch: Watch, now: datetime) -> list[str]:
    """Return one line per running stage: its name, how far it is, its latest value and its time so far."""
    lines = []
    for stage, since in list(watch.running.items()):  # the coordinator changes it from another thread
        elapsed = f"{max(0.0, (now - since).total_seconds()):.0f} s"
        detail = ", ".join(filter(None, [watch.step_text(stage), watch.value_text(stage), elapsed]))
        lines.append(f"{watch.names[stage]}: {detail}")
    return lines


def failure_text(event: journal.StageFailed, name: str) -> str:
    """Return why a stage failed, and whether it is retried; the id finds its folder."""
    retrying = "; retrying" if event.retry else ""
    return f"{name} failed ({event.failure_class}): {event.reason}{retrying} [{event.stage}]"


def _stage_text(event: journal.Event, names: Mapping[str, str]) -> str | None:
    match event:
        case journal.StageStarted():
            return f"{names.get(event.stage, event.stage)}: started"
        case journal.StageFinished():
            return f"{names.get(event.stage, event.stage)}: finished"
        case journal.StageWaiting():
            return f"{names.get(event.stage, event.stage)}: waiting; {event.reason}"
        case journal.StageFailed():
            return failure_text(event, names.get(event.stage, event.stage))
        case journal.LeftBehind():
            return f"{names.get(event.stage, event.stage)}: finished but leaked: {event.reason}"
    return None


def _experiment_text(plan: Plan, event: journal.Event) -> str | None:
    match event:
        case journal.Started():
            return f"{plan.experiment}: {counted(event.runs, 'run')} in {counted(event.stages, 'stage')}"
        case journal.Extended():
            return f"{plan.experiment}: next trials, {counted(event.runs, 'run')} in {counted(event.stages, 'stage')}"
        case journal.Draining():
            running = counted(event.running, "running stage")
            return f"stopping: waiting for {running}; interrupt again to stop now"
        case journal.WorkersReduced():
            return f"continuing with {event.workers} workers: {event.reason}"
        case journal.RunFinished():
            return f"run {event.run}: {event.state}"
    return None
