"""One section for each failed run: what happened, the evidence, and how to go on."""

import json
import shlex

from setpoint.analysis.experiment import FAILED_STATES, ExperimentData, Failure, RunResult
from setpoint.analysis.wording import level_text
from setpoint.reports.markdown import code_block, escape
from setpoint.reports.remedies import fails_again, suggested_change

LOG_LINES = 20
ARMS = frozenset({"training_type", "model_type", "strategy", "start", "system", "candidate"})
"""Factors that are no parameters of a run."""


def render_failures(data: ExperimentData) -> str | None:
    """Markdown about every failed run; None where there is none."""
    failed = [run for run in data.runs if run.state in FAILED_STATES]
    if not failed:
        return None
    head = f"# Failed runs of {escape(data.id)}\n\n{len(failed)} of {len(data.runs)} runs.\n"
    return "\n".join([head, *(_section(data, run) for run in failed)])


def _section(data: ExperimentData, run: RunResult) -> str:
    failure = run.failure or Failure("unknown", "not recorded")
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
        code_block(_single_command(data, run)),
        "",
        _about_retry(failure),
        "",
        code_block(_retry_command(data)),
    ]
    command = _reproduction_command(data, run)
    if command is not None:
        lines += ["", "To repeat this run alone:", "", code_block(command)]
    for title, text in _blocks(data, failure):
        lines += ["", f"{title}:", "", code_block(text)]
    return "\n".join([*lines, ""])


def _about_retry(failure: Failure) -> str:
    """What the command that retries is good for."""
    if fails_again(failure.failure_class):
        return (
            "A retry keeps the values of this run, so it would fail again; make the suggested change in a new "
            "experiment. To try the other failed runs of this one again, in the workspace folder:"
        )
    return "To try again, with every other failed run of the experiment, in the workspace folder:"


def _single_command(data: ExperimentData, run: RunResult) -> str:
    command = data.plan["runs"][run.index].get("command")
    return f"{command} --again" if command else "not recorded"


def _retry_command(data: ExperimentData) -> str:
    return shlex.join(["setpoint", "experiment", "retry", data.id])


def _reproduction_command(data: ExperimentData, run: RunResult) -> str | None:
    """One run of its own with the same training; None where it went on from another run's adapter."""
    if len(run.systems) != 1 or run.start is not None:
        return None
    spec = data.plan.get("spec") or {}
    (system,) = run.systems
    words = ["setpoint", "train", "--system", system, "--training-type", run.training_type, "--seed", str(run.seed)]
    words += ["--base-model", str(data.plan["base"]["name"])]
    dataset = data.plan.get("datasets", {}).get(system)
    if dataset:
        words += ["--dataset-name", str(dataset["name"])]
    for field, option in (("evaluation", "--evaluation"), ("evaluation_cases", "--evaluation-cases")):
        if spec.get(field) is not None:
            words += [option, str(spec[field])]
    parameters = {**(spec.get("fixed") or {}), **{k: v for k, v in run.factors.items() if k not in ARMS}}
    if parameters:
        words += ["--set", *(f"{name}={value}" for name, value in parameters.items())]
    return shlex.join(words)


def _stage_place(data: ExperimentData, failure: Failure) -> str:
    if failure.attempt is None:
        return "none of its own"
    return failure.attempt.relative_to(data.workspace.root).as_posix()


def _blocks(data: ExperimentData, failure: Failure) -> list[tuple[str, str]]:
    """Evidence, the end of the log, and what the failed stage was asked to do."""
    blocks = []
    if failure.evidence:
        blocks.append(("Evidence", json.dumps(dict(failure.evidence), indent=2, sort_keys=True)))
    if failure.attempt is not None:
        blocks.append((f"Last {LOG_LINES} lines of stderr", _last_lines(failure) or "(empty)"))
    if failure.stage is not None:
        planned = data.plan["stages"][failure.stage.path.name]
        blocks.append(("Stage", json.dumps(planned, indent=2, sort_keys=True)))
    return blocks


def _last_lines(failure: Failure) -> str:
    if failure.attempt is None:
        return ""
    try:
        text = (failure.attempt / "stderr.log").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-LOG_LINES:])
