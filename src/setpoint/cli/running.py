"""Run an experiment from the command line, from the checks to the printed report."""

import argparse
import shlex
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from setpoint.cli.main import EXIT_INTERRUPTED
from setpoint.cli.options import count, one_of, print_json
from setpoint.cli.progress import progress, say, say_nothing
from setpoint.cli.spec_options import assignments
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
    """How to run; none of it changes a result."""
    running = parser.add_argument_group("how to run; none of it changes a result")
    running.add_argument(
        "--workers", type=count, metavar="N", help="stages that run at the same time (default: one per GPU, or core)"
    )
    running.add_argument("--time-limit-min", type=_amount, metavar="M", help="end an attempt that takes longer")
    running.add_argument("--memory-limit-gb", type=_amount, metavar="G", help="end a worker that uses more")
    running.add_argument(
        "--stall-limit-min",
        type=_amount,
        default=30.0,
        metavar="M",
        help="end a hung attempt (default 30)",
    )
    running.add_argument(
        "--retries",
        nargs="+",
        metavar="CLASS=N",
        help="automatic retries, such as transient=5 crash=0",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def add_accept_option(parser: argparse.ArgumentParser) -> None:
    """What becomes of an experiment that cannot go on as planned."""
    parser.add_argument(
        "--accept-changes",
        action="store_true",
        help="where specification, base, data or code changed since: a new experiment that follows the old one",
    )


def add_calibrate_option(parser: argparse.ArgumentParser) -> None:
    """Whether the estimate may take short runs."""
    parser.add_argument(
        "--calibrate",
        action="store_true",
        help="measure what has never run in this workspace with short runs, for the estimate",
    )


def add_place_options(parser: argparse.ArgumentParser) -> None:
    """Where to run."""
    parser.add_argument(
        "--on", type=one_of("local", "slurm"), default="local", metavar="WHERE", help="local (default) or slurm"
    )
    add_cluster_options(parser)


def add_cluster_options(parser: argparse.ArgumentParser) -> None:
    """What a SLURM cluster is like, and what is asked of it."""
    cluster = parser.add_argument_group("on a SLURM cluster")
    cluster.add_argument("--profile", type=Path, metavar="FILE.yaml", help="the cluster, as in configs/slurm/")
    cluster.add_argument(
        "--resource-limits",
        metavar="R:V,R:V",
        help="of a stage that uses the model, such as gpu:1,mem:32GB,time:24:00:00 (default: the profile's; for memory "
        "and time that neither names, what equal stages took, and a margin)",
    )


def check_run_options(arguments: argparse.Namespace) -> None:
    """Refuse what is wrong with the options about how and where to run, before anything else is looked at.

    Raises:
        InputError: retries that cannot be, a cluster that cannot be, or one that would not be used.
    """
    findings = Findings()
    with findings.check():
        retries_of(arguments)
    if getattr(arguments, "on", None) == "slurm":
        with findings.check():
            slurm_of(arguments).cluster()
    else:
        options = {"--profile": "profile", "--resource-limits": "resource_limits"}
        given = [option for option, name in options.items() if getattr(arguments, name, None) is not None]
        if given:
            text = f"{' and '.join(given)} would have no effect, for nothing runs on a cluster here."
            findings.errors.append(InputError(f"{text} Add --on slurm, or leave it out."))
    findings.settle()


def slurm_of(arguments: argparse.Namespace) -> "Slurm":
    """The cluster that the options describe."""
    from setpoint.api.running import Slurm

    return Slurm(arguments.profile, arguments.resource_limits)


def _amount(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < float("inf"):
        raise InputError(f"must be a number above 0, but is {text!r}")
    return value


def limits_of(arguments: argparse.Namespace) -> "Limits":
    """The limits of every attempt."""
    from setpoint.execution import Limits

    return Limits(
        time_s=arguments.time_limit_min and 60 * arguments.time_limit_min,
        memory_gb=arguments.memory_limit_gb,
        stall_s=60 * arguments.stall_limit_min,
    )


def retries_of(arguments: argparse.Namespace) -> dict[str, int]:
    """The `class=n` texts of --retries.

    Raises:
        InputError: an unknown class, or one that is a result; a number that is none.
    """
    from setpoint.records.failure import RETRYABLE

    found = assignments(getattr(arguments, "retries", None) or [])
    findings = Findings()
    for name, number in found.items():
        with findings.check():
            if name not in RETRYABLE:
                raise unknown_name("retryable failure class", name, RETRYABLE)
            if not number.isdecimal():
                raise InputError(f"retries of {name} must be a whole number, but are {number!r}.")
    findings.settle()
    return {name: int(number) for name, number in found.items()}


def run_options(
    arguments: argparse.Namespace, *, retry: "Callable[[FailureClass], bool]" = lambda _: False
) -> "RunOptions":
    """How to run, as the options say.

    Raises:
        InputError: limits or retries that cannot be used.
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
        notify=say_nothing if arguments.quiet else say,
        progress=partial(progress, quiet=arguments.quiet),
    )


def run_request(
    request: "Request", arguments: argparse.Namespace, *, retry: "Callable[[FailureClass], bool]" = lambda _: False
) -> int:
    """Run or resume the experiment, write its report and print it; the exit code."""
    from setpoint.api.running import ReportInterrupted, RunInterrupted, run_experiment

    options = run_options(arguments, retry=retry)
    try:
        finished = run_experiment(request, options)
    except RunInterrupted as interrupted:
        return _interrupted(interrupted.request, on_slurm=options.on is not None)
    except ReportInterrupted as interrupted:
        again = _command(interrupted.request, "report")
        print(f"setpoint: interrupted while writing the report; write it with: {again}", file=sys.stderr)
        return EXIT_INTERRUPTED
    _print_result(finished, as_json=arguments.json)
    if not (arguments.quiet or arguments.json):
        say(f"HTML report: {finished.report.with_name('report.html')}")
    _advise(finished)
    return exit_code(finished.status)


def _interrupted(request: "Request", *, on_slurm: bool) -> int:
    again = resume_command(request) + (" --on slurm" if on_slurm else "")
    print(f"setpoint: interrupted; resume with: {again}", file=sys.stderr)
    if on_slurm:
        end = f"setpoint slurm cancel {request.experiment_id}"
        print(f"setpoint: the jobs keep running; cancel them with: {end}", file=sys.stderr)
    return EXIT_INTERRUPTED


def _advise(finished: "FinishedRun") -> None:
    """What to do about runs that are missing."""
    from setpoint.formatting import counted

    status, request = finished.status, finished.request
    if status.state == "interrupted":
        print(f"setpoint: stopped early; resume with: {resume_command(request)}", file=sys.stderr)
    failed = status.counts.get("failed", 0) + status.counts.get("lost", 0)
    if failed:
        lost = [run for run in status.runs.values() if run.state in {"failed", "lost"}]
        advice = f"fix the cause, then run: {resume_command(request, 'retry')}"
        if all(map(_is_final, lost)):
            suggestions = finished.report.with_name("failures.md")
            advice = f"a retry would fail again; start a new experiment, as {suggestions} suggests"
        print(f"setpoint: {counted(failed, 'run')} failed; {advice}", file=sys.stderr)


def _is_final(run: "RunState") -> bool:
    """Whether a retry of a failed run, which keeps its values, would fail again."""
    return run.failure_class is not None and run.failure_class.policy.final


def exit_code(status: "ExperimentState") -> int:
    """0 when every run is ok, else whether some or all are not."""
    ok = status.counts.get("ok", 0)
    if ok == len(status.runs):
        return 0
    return EXIT_SOME_FAILED if ok else EXIT_ALL_FAILED


def resume_command(request: "Request", action: str = "resume") -> str:
    """The command that takes the experiment up again; `retry` tries what failed, too."""
    return _command(request, "experiment", action)


def _command(request: "Request", *words: str) -> str:
    place = [] if request.workspace.root == Path() else ["--workspace", str(request.workspace.root)]
    return shlex.join(["setpoint", *words, request.experiment_id, *place])


def _print_result(finished: "FinishedRun", *, as_json: bool) -> None:
    from setpoint.reports.files import seen_from

    report, workspace = finished.report, finished.request.workspace.root
    if as_json:
        print_json({**finished.status.to_json(), "report": str(report)})
    else:
        print(seen_from(Path(), report.read_text(encoding="utf-8"), workspace), end="")
