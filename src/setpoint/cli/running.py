"""Run an experiment from the command line, from the checks to the printed report."""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from setpoint.cli.main import EXIT_INTERRUPTED
from setpoint.cli.notification import command, notifying, require_program
from setpoint.cli.options import count, file_path, one_of, print_json
from setpoint.cli.progress import progress, say, say_nothing
from setpoint.cli.spec_options import assignments
from setpoint.cli.streams import tell
from setpoint.errors import Findings, InputError, unknown_name

if TYPE_CHECKING:
    from setpoint.api.running import FinishedRun, RunOptions, Slurm
    from setpoint.execution import Limits
    from setpoint.experiments.request import Request
    from setpoint.records.failure import FailureClass
    from setpoint.records.state import ExperimentState, RunState

EXIT_SOME_FAILED = 4
EXIT_ALL_FAILED = 5


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that control execution."""
    running = parser.add_argument_group("execution (does not change results)")
    running.add_argument(
        "--workers", type=count, metavar="N", help="stages to run in parallel (default: one per GPU or core)"
    )
    running.add_argument("--time-limit-min", type=_amount, metavar="M", help="stop an attempt that takes longer")
    running.add_argument("--memory-limit-gb", type=_amount, metavar="G", help="stop a worker that uses more")
    running.add_argument(
        "--stall-limit-min",
        type=_amount,
        default=30.0,
        metavar="M",
        help="stop an attempt that makes no progress for this long (default 30)",
    )
    running.add_argument(
        "--retries",
        nargs="+",
        metavar="CLASS=N",
        help="automatic retries per failure class, such as transient=5 crash=0",
    )
    add_take_over_option(running)
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def add_take_over_option(parser: "argparse._ActionsContainer") -> None:
    """Add the option for an experiment whose coordinator on another host has died."""
    parser.add_argument(
        "--take-over",
        action="store_true",
        help="take the experiment from a coordinator on another host that does not run any more; if it does run, "
        "stages may be computed twice, with the same results",
    )


def add_accept_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that continues a changed experiment as a new one."""
    parser.add_argument(
        "--accept-changes",
        action="store_true",
        help="if the specification, base, data or code has changed, start a new experiment that follows the old one",
    )


def add_calibrate_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that measures costs for the estimate."""
    parser.add_argument(
        "--calibrate",
        action="store_true",
        help="time stages that have never run in this workspace with short runs, for the estimate",
    )


def add_place_options(parser: argparse.ArgumentParser) -> None:
    """Add the options on where to run."""
    parser.add_argument(
        "--on", type=one_of("local", "slurm"), default="local", metavar="WHERE", help="local (default) or slurm"
    )
    parser.add_argument(
        "--notify",
        type=command,
        metavar="COMMAND",
        help="command to run at the end, without a shell; SETPOINT_EXPERIMENT, SETPOINT_ENDING, SETPOINT_EXIT_CODE, "
        "SETPOINT_REPORT and SETPOINT_FOLDER in its environment say how it ended",
    )
    add_cluster_options(parser)


def add_cluster_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for a SLURM cluster."""
    cluster = parser.add_argument_group("on a SLURM cluster")
    cluster.add_argument("--profile", type=file_path, metavar="FILE.yaml", help="cluster profile, as in configs/slurm/")
    cluster.add_argument(
        "--resource-limits",
        metavar="R:V,R:V",
        help="resources of a stage that uses the model, such as gpu:1,mem:32GB,time:24:00:00 (default: those of the "
        "profile; unspecified memory and time are estimated from earlier stages, with a margin)",
    )


def check_run_options(arguments: argparse.Namespace) -> None:
    """Check the options on how and where to run, before anything else.

    Raises:
        InputError: the retries or the cluster are invalid, or the cluster options would have no effect.
    """
    findings = Findings()
    with findings.check():
        retries_of(arguments)
    with findings.check():
        require_program(getattr(arguments, "notify", None))
    if getattr(arguments, "on", None) == "slurm":
        with findings.check():
            slurm_of(arguments).cluster()
    else:
        options = {"--profile": "profile", "--resource-limits": "resource_limits"}
        given = [option for option, name in options.items() if getattr(arguments, name, None) is not None]
        if given:
            verb = "have" if len(given) > 1 else "has"
            text = f"{' and '.join(given)} {verb} no effect without --on slurm."
            findings.errors.append(InputError(f"{text} Add --on slurm or remove the option."))
    findings.settle()


def slurm_of(arguments: argparse.Namespace) -> "Slurm":
    """Return the cluster that the options describe."""
    from setpoint.api.running import Slurm

    return Slurm(arguments.profile, arguments.resource_limits)


def _amount(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < float("inf"):
        raise InputError(f"must be a positive number, got {text!r}")
    return value


def limits_of(arguments: argparse.Namespace) -> "Limits":
    """Return the limits of every attempt."""
    from setpoint.execution import Limits

    return Limits(
        time_s=arguments.time_limit_min and 60 * arguments.time_limit_min,
        memory_gb=arguments.memory_limit_gb,
        stall_s=60 * arguments.stall_limit_min,
    )


def retries_of(arguments: argparse.Namespace) -> dict[str, int]:
    """Parse the `class=n` values of --retries.

    Raises:
        InputError: a class is unknown or never retried, or a number is invalid.
    """
    from setpoint.records.failure import RETRYABLE

    found = assignments(getattr(arguments, "retries", None) or [])
    findings = Findings()
    for name, number in found.items():
        with findings.check():
            if name not in RETRYABLE:
                raise unknown_name("retryable failure class", name, RETRYABLE)
            if not number.isdecimal():
                raise InputError(f"retries of {name} must be an integer, got {number!r}.")
    findings.settle()
    return {name: int(number) for name, number in found.items()}


def run_options(
    arguments: argparse.Namespace, *, retry: "Callable[[FailureClass], bool]" = lambda _: False
) -> "RunOptions":
    """Return the run options that the command line gives.

    Raises:
        InputError: the limits or retries are invalid.
    """
    from setpoint.api.running import RunOptions

    return RunOptions(
        workers=arguments.workers,
        limits=limits_of(arguments),
        retries=retries_of(arguments),
        retry=retry,
        on=slurm_of(arguments) if getattr(arguments, "on", "local") == "slurm" else None,
        calibrate=getattr(arguments, "calibrate", False),
        accept_changes=getattr(arguments, "accept_changes", False),
        take_over=arguments.take_over,
        notify=say_nothing if arguments.quiet else say,
        progress=partial(progress, quiet=arguments.quiet),
    )


def run_request(
    request: "Request", arguments: argparse.Namespace, *, retry: "Callable[[FailureClass], bool]" = lambda _: False
) -> int:
    """Run or resume the experiment, write and print its report, notify the user, and return the exit code."""
    with notifying(arguments.notify, request) as outcome:
        outcome.exit_code = _run_request(request, arguments, retry)
    return outcome.exit_code


def _run_request(request: "Request", arguments: argparse.Namespace, retry: "Callable[[FailureClass], bool]") -> int:
    from setpoint.api.running import PreparationInterrupted, ReportInterrupted, RunInterrupted, run_experiment
    from setpoint.experiments.running.commands import command

    options = run_options(arguments, retry=retry)
    try:
        finished = run_experiment(request, options)
    except PreparationInterrupted:
        tell("interrupted before the experiment was planned; run the same command again")
        return EXIT_INTERRUPTED
    except RunInterrupted as interrupted:
        return _interrupted(interrupted.request)
    except ReportInterrupted as interrupted:
        report = command(interrupted.request.workspace, interrupted.request.experiment_id, "report")
        tell(f"interrupted while writing the report; write it with: {report}")
        return EXIT_INTERRUPTED
    _print_result(finished, as_json=arguments.json)
    for each in filter(None, (finished, finished.confirmation)):
        if not (arguments.quiet or arguments.json):
            say(f"HTML report: {each.report.with_name('report.html')}")
        _advise(each)
    return max(exit_code(each.status) for each in (finished, finished.confirmation) if each is not None)


def _interrupted(request: "Request") -> int:
    from setpoint.experiments.running.commands import command, last_on_slurm, resume_command

    tell(f"interrupted; resume with: {resume_command(request.workspace, request.experiment_id)}")
    if last_on_slurm(request.folder):
        cancel = command(request.workspace, request.experiment_id, "slurm", "cancel")
        tell(f"the jobs keep running; cancel them with: {cancel}")
    return EXIT_INTERRUPTED


def _advise(finished: "FinishedRun") -> None:
    """Print what to do about runs without a result."""
    from setpoint.experiments.running.commands import resume_command
    from setpoint.formatting import counted
    from setpoint.records.state import ExperimentStatus, RunStatus

    status, request = finished.status, finished.request
    if status.state is ExperimentStatus.INTERRUPTED:
        tell(f"stopped early; resume with: {resume_command(request.workspace, request.experiment_id)}")
    failed = status.counts.get("failed", 0) + status.counts.get("lost", 0)
    if failed:
        lost = [run for run in status.runs.values() if run.state in {RunStatus.FAILED, RunStatus.LOST}]
        retry = resume_command(request.workspace, request.experiment_id, "retry")
        advice = f"fix the cause, then run: {retry}"
        if all(map(_is_final, lost)):
            suggestions = finished.report.with_name("failures.md")
            advice = f"a retry would fail again; start a new experiment as suggested in {suggestions}"
        tell(f"{counted(failed, 'run')} failed; {advice}")


def _is_final(run: "RunState") -> bool:
    """Return whether a retry with the same parameters would fail again."""
    return run.failure_class is not None and run.failure_class.policy.final


def exit_code(status: "ExperimentState") -> int:
    """Return 0 if every run is ok, 4 if some failed, 5 if all failed."""
    ok = status.counts.get("ok", 0)
    if ok == len(status.runs):
        return 0
    return EXIT_SOME_FAILED if ok else EXIT_ALL_FAILED


def _print_result(finished: "FinishedRun", *, as_json: bool) -> None:
    from setpoint.reports.files import seen_from

    parts = [each for each in (finished, finished.confirmation) if each is not None]
    if as_json:
        first, *rest = [{**each.status.to_json(), "report": str(each.report)} for each in parts]
        print_json({**first, **({"confirmation": rest[0]} if rest else {})})
        return
    workspace = finished.request.workspace.root
    print("\n".join(seen_from(Path(), each.report.read_text(encoding="utf-8"), workspace) for each in parts), end="")
