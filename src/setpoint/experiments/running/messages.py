"""The events of a run as lines of text."""

from setpoint.records.journal import Event
from setpoint.records.plan import Plan


def event_text(plan: Plan, event: Event) -> str | None:
    """One line for a person; None for events that only programs read."""
    kind = event["event"]
    if kind == "started":
        return f"{plan.experiment}: {_counted(event['runs'], 'run')} in {_counted(event['stages'], 'stage')}"
    if kind in {"stage_started", "stage_finished"}:
        return f"{event['kind']} {event['stage']} {kind.removeprefix('stage_')}"
    if kind == "stage_waiting":
        return f"{event['kind']} {event['stage']}: waiting; {event['reason']}"
    if kind == "stage_failed":
        stage = f"{plan.stages[event['stage']].kind} {event['stage']}"
        again = "; retrying" if event["retry"] else ""
        return f"{stage} failed ({event['failure_class']}): {event['reason']}{again}"
    if kind == "left_behind":
        return f"{event['stage']} finished but leaked: {event['reason']}"
    if kind == "draining":
        return f"stopping: waiting for {_counted(event['running'], 'running stage')}; interrupt again to stop now"
    if kind == "workers_reduced":
        return f"continuing with {event['workers']} workers: {event['reason']}"
    return f"run {event['run']}: {event['state']}" if kind == "run_finished" else None


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
