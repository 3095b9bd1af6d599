"""The failure report: one section per failed run with its cause, the evidence, and what to do."""

import json
import shlex

from setpoint.analysis.data.experiment import ExperimentData, RunFailure, RunResult
from setpoint.artifacts.fields import finite
from setpoint.formatting import level_text
from setpoint.records.failure import FailureClass
from setpoint.regular_files import read_end
from setpoint.reports.markdown import code_block, escape
from setpoint.reports.remedies import suggested_change

LOG_LINES = 20
_LOG_BYTES = 100_000
LIMITS = (
    ("memory_limit_gb", "--memory-limit-gb", 1),
    ("time_limit_s", "--time-limit-min", 60),
    ("stall_limit_s", "--stall-limit-min", 60),
)
"""Evidence key of a limit that ended an attempt, the option that sets it, and units of the evidence per option unit."""


def render_failures(data: ExperimentData) -> str | None:
    """Render the failure report as Markdown; None if no run failed."""
    failed = [run for run in data.runs if run.state.failed]
    if not failed:
        return None
    head = f"# Failed runs of {escape(data.id)}\n\n{len(failed)} of {len(data.runs)} runs.\n"
    return "\n".join([head, *(_section(data, run) for run in failed)])


def _section(data: ExperimentData, run: RunResult) -> str:
    failure = run.failure or RunFailure(FailureClass.CRASH, "not recorded")
    factors = ", ".join(f"{name} = {level_text(level)}" for name, level in run.factors.items()) or "none swept"
    lines = [
        f"## {escape(run.name)}",
        "",
        f"- State: {escape(run.state)}",
        f"- Class: {escape(failure.failure_class)}",
        f"- Reason: {escape(failure.reason)}",
        f"- Suggested change: {escape(suggested_change(run))}",
        f"- Parameters: {escape(factors)}, seed {run.seed}",
        f"- Stage: {escape(_stage_place(data, failure))}",
        "",
        "To reproduce this run, run in the workspace folder:",
        "",
        code_block(_single_command(data, run, failure)),
        "",
        *_about_retry(data, run, failure),
    ]
    for title, text in _blocks(data, failure):
        lines += ["", f"{title}:", "", code_block(text)]
    return "\n".join([*lines, ""])


def _about_retry(data: ExperimentData, run: RunResult, failure: RunFailure) -> list[str]:
    """Say whether a retry can help, and give its command."""
    command = code_block(shlex.join(["setpoint", "experiment", "retry", data.id]))
    others = any(other is not run and other.state.failed for other in data.runs)
    failed = "all failed runs of the experiment" if others else "it"
    if not failure.failure_class.policy.final:
        return [f"To retry {failed}, run in the workspace folder:", "", command]
    again = (
        "A retry uses the same parameter values and would fail again. Make the suggested change in a new experiment."
    )
    if not others:
        return [again]
    return [f"{again} To retry the other failed runs of this experiment, run in the workspace folder:", "", command]


def _single_command(data: ExperimentData, run: RunResult, failure: RunFailure) -> str:
    """Return the command that repeats only this run, with the limit that ended it (limits are not part of a run)."""
    command = data.plan.runs[run.index].command
    if not command:
        return "not recorded"
    evidence = failure.evidence or {}
    limits = [
        f" {option} {limit / unit:g}"
        for name, option, unit in LIMITS
        if (limit := finite(evidence.get(name))) is not None
    ]
    return f"{command} --again{''.join(limits)}"


def _stage_place(data: ExperimentData, failure: RunFailure) -> str:
    if failure.attempt is None:
        return "none"
    return failure.attempt.relative_to(data.workspace.root).as_posix()


def _blocks(data: ExperimentData, failure: RunFailure) -> list[tuple[str, str]]:
    """Return titles and texts: the evidence, the end of the log, and the planned stage."""
    blocks = []
    if failure.evidence:
        blocks.append(("Evidence", json.dumps(dict(failure.evidence), indent=2, sort_keys=True)))
    if failure.attempt is not None:
        blocks.append((f"Last {LOG_LINES} lines of stderr", _last_lines(failure) or "(empty)"))
    if failure.stage is not None:
        planned = data.plan.stages[failure.stage.path.name]
        blocks.append(("Stage", json.dumps(planned.model_dump(mode="json"), indent=2, sort_keys=True)))
    return blocks


def _last_lines(failure: RunFailure) -> str:
    if failure.attempt is None:
        return ""
    try:
        text = read_end(failure.attempt / "stderr.log", _LOG_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-LOG_LINES:])
