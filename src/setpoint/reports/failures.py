"""One section for each failed run: what happened, the evidence, and how to go on."""

import json
import shlex

from setpoint.analysis.data.experiment import ExperimentData, RunFailure, RunResult
from setpoint.artifacts.fields import finite
from setpoint.formatting import level_text
from setpoint.records.failure import FailureClass
from setpoint.reports.markdown import code_block, escape
from setpoint.reports.remedies import suggested_change

LOG_LINES = 20
LIMITS = (
    ("memory_limit_gb", "--memory-limit-gb", 1),
    ("time_limit_s", "--time-limit-min", 60),
    ("stall_limit_s", "--stall-limit-min", 60),
)
"""Evidence of an attempt that a limit ended, the option that sets the limit, and how much of one the other is."""


def render_failures(data: ExperimentData) -> str | None:
    """Markdown about every failed run; None where there is none."""
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
        "To reproduce it alone, in the workspace folder:",
        "",
        code_block(_single_command(data, run, failure)),
        "",
        *_about_retry(data, run, failure),
    ]
    for title, text in _blocks(data, failure):
        lines += ["", f"{title}:", "", code_block(text)]
    return "\n".join([*lines, ""])


def _about_retry(data: ExperimentData, run: RunResult, failure: RunFailure) -> list[str]:
    """What the command that retries is good for."""
    command = code_block(shlex.join(["setpoint", "experiment", "retry", data.id]))
    others = any(other is not run and other.state.failed for other in data.runs)
    too = ", with every other failed run of the experiment" if others else ""
    if not failure.failure_class.policy.final:
        return [f"To try again{too}, in the workspace folder:", "", command]
    again = (
        "A retry keeps the values of this run, so it would fail again; make the suggested change in a new experiment."
    )
    if not others:
        return [again]
    return [f"{again} To try the other failed runs of this one again, in the workspace folder:", "", command]


def _single_command(data: ExperimentData, run: RunResult, failure: RunFailure) -> str:
    """The run alone, under the limit that ended it where one did: no limit is part of what a run is."""
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
        return "none of its own"
    return failure.attempt.relative_to(data.workspace.root).as_posix()


def _blocks(data: ExperimentData, failure: RunFailure) -> list[tuple[str, str]]:
    """Evidence, the end of the log, and what the failed stage was asked to do."""
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
        text = (failure.attempt / "stderr.log").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-LOG_LINES:])
