"""Journal events as lines of text."""

from setpoint.formatting import counted
from setpoint.records import journal
from setpoint.records.plan import Plan


def event_text(plan: Plan, event: journal.Event) -> str | None:
    """Return one line of text for people; None for events that only programs read."""
    return _stage_text(plan, event) or _experiment_text(plan, event)


def _stage_text(plan: Plan, event: journal.Event) -> str | None:
    match event:
        case journal.StageStarted():
            return f"{event.kind} {event.stage} started"
        case journal.StageFinished():
            return f"{event.kind} {event.stage} finished"
        case journal.StageWaiting():
            return f"{event.kind} {event.stage}: waiting; {event.reason}"
        case journal.StageFailed():
            kind = f"{plan.stages[event.stage].kind} " if event.stage in plan.stages else ""
            again = "; retrying" if event.retry else ""
            return f"{kind}{event.stage} failed ({event.failure_class}): {event.reason}{again}"
        case journal.LeftBehind():
            return f"{event.stage} finished but leaked: {event.reason}"
    return None


def _experiment_text(plan: Plan, event: journal.Event) -> str | None:
    match event:
        case journal.Started():
            return f"{plan.experiment}: {counted(event.runs, 'run')} in {counted(event.stages, 'stage')}"
        case journal.Draining():
            running = counted(event.running, "running stage")
            return f"stopping: waiting for {running}; interrupt again to stop now"
        case journal.WorkersReduced():
            return f"continuing with {event.workers} workers: {event.reason}"
        case journal.RunFinished():
            return f"run {event.run}: {event.state}"
    return None
