"""Recovery plan: what resuming an experiment would do with each unfinished stage, and why."""

from collections.abc import Callable
from dataclasses import dataclass

from setpoint.artifacts import StageFolder, Workspace
from setpoint.experiments.running.status import StageState, failure_classes, read_stages, run_states
from setpoint.records.failure import POLICIES, FailureClass
from setpoint.records.plan import Plan
from setpoint.records.state import RunStatus, StageStatus

RECOVERABLE = frozenset(name for name, policy in POLICIES.items() if policy.retries or policy.resumes)
"""Infrastructure failures: they do not depend on a run's configuration and may not recur."""


@dataclass(frozen=True, slots=True)
class Step:
    """Planned action for one unfinished stage.

    Attributes:
        action: `run`, `continue` (from a checkpoint), `retry`, `wait` (another process is computing it), `keep` (the
            failure is a result, or needs a change) or `blocked`.
        runs: names of the runs that need the stage.
    """

    stage: str
    kind: str
    action: str
    why: str
    runs: tuple[str, ...]


def recovery_steps(workspace: Workspace, plan: Plan, retry: Callable[[FailureClass], bool]) -> list[Step]:
    """Return the steps in the order of the plan; `retry` decides which failure classes to retry. Read-only."""
    states = read_stages(workspace, plan)
    kept = {name for name, state in states.items() if state.failure and not retry(state.failure.failure_class)}
    steps = []
    for name, stage in plan.stages.items():
        if states[name].status is StageStatus.FINISHED:
            continue
        blocking = sorted(plan.upstream(name) & kept)
        folder = workspace.stage(stage.kind, name)
        action, why = ("blocked", f"needs {blocking[0]}") if blocking else _action(folder, states[name], name in kept)
        runs = tuple(run.name for run in plan.runs if name in run.stages.values())
        steps.append(Step(name, stage.kind, action, why, runs))
    return steps


def recovery_text(workspace: Workspace, plan: Plan, retry: Callable[[FailureClass], bool]) -> str:
    """Return the steps as text."""
    steps = recovery_steps(workspace, plan, retry)
    finished = len(plan.stages) - len(steps)
    counts = dict.fromkeys((RunStatus.OK, RunStatus.FAILED, RunStatus.BLOCKED, RunStatus.LOST), 0)
    for run in run_states(plan, read_stages(workspace, plan)).values():
        counts[run.state] = counts.get(run.state, 0) + 1
    runs = ", ".join(f"{count} {state}" for state, count in counts.items() if count) or "none"
    lines = [f"{plan.experiment}: {finished} of {len(plan.stages)} stages finished (kept); runs: {runs}"]
    lines += [f"  {step.action:<9} {step.kind:<9} {step.stage}  {step.why}" for step in steps]
    return "\n".join(lines)


def _action(folder: StageFolder, state: StageState, kept: bool) -> tuple[str, str]:
    if state.status is StageStatus.RUNNING:
        return "wait", "another process is computing it"
    checkpoint = any(folder.checkpoints.glob("*/checkpoint-*"))
    if state.failure is not None:
        failed = f"{state.failure.failure_class}: {state.failure.message}"
        times = len(failure_classes(folder))
        if kept:
            return "keep", f"{failed}; {state.failure.suggestion}"
        return "retry", f"{failed} (attempt {times + 1}{', from its checkpoint' if checkpoint else ''})"
    if checkpoint:
        return "continue", "from its checkpoint"
    return "run", "interrupted before its first checkpoint" if folder.attempts() else "not started"
