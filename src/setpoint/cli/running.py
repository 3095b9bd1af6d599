"""Run an experiment from the command line, from the checks to the printed report."""

import argparse
import contextlib
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from setpoint.cli.main import EXIT_INTERRUPTED
from setpoint.cli.options import count, one_of, print_json
from setpoint.cli.progress import progress, say, say_nothing
from setpoint.cli.spec_options import assignments
from setpoint.errors import Findings, InputError, unknown_name

if TYPE_CHECKING:
    from setpoint.execution import Executor, Limits
    from setpoint.experiments.request import Request
    from setpoint.experiments.slurm.scripts import Cluster
    from setpoint.records.failure import FailureClass
    from setpoint.records.plan import Plan
    from setpoint.records.state import RunState, Status

EXIT_SOME_FAILED = 4
EXIT_ALL_FAILED = 5
_ALL = 1_000_000
"""More stages than there are: a cluster has a queue of its own."""


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
            cluster_of(arguments)
    else:
        options = {"--profile": "profile", "--resource-limits": "resource_limits"}
        given = [option for option, name in options.items() if getattr(arguments, name, None) is not None]
        if given:
            text = f"{' and '.join(given)} would have no effect, for nothing runs on a cluster here."
            findings.errors.append(InputError(f"{text} Add --on slurm, or leave it out."))
    findings.settle()


def cluster_of(arguments: argparse.Namespace, experiment: Path | None = None) -> "Cluster":
    """The cluster that the options describe, or else the one that the experiment in this folder used before.

    Raises:
        InputError: everything that is wrong with them.
    """
    from setpoint.execution.slurm import Profile, Resources
    from setpoint.execution.slurm.profile import read_profile
    from setpoint.execution.slurm.resources import named
    from setpoint.experiments.slurm.scripts import PROFILE, Cluster

    kept = None if experiment is None else experiment / "slurm" / PROFILE
    path = arguments.profile or (kept if kept is not None and kept.exists() else None)
    profile = Profile() if path is None else read_profile(path)
    limits = arguments.resource_limits or ""
    resources = Resources.parse(profile.resources).overridden(limits)
    return Cluster(profile, resources, named=named(profile.resources) | named(limits))


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


@contextlib.contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """A polite SIGTERM is an interrupt. Only the main thread gets signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def run_request(
    request: "Request", arguments: argparse.Namespace, *, retry: "Callable[[FailureClass], bool]" = lambda _: False
) -> int:
    """Run or resume the experiment, write its report and print it; the exit code."""
    from setpoint.analysis.data.formatting import counted
    from setpoint.experiments import launch
    from setpoint.experiments.planning.suggestions import inert_parameters
    from setpoint.reports import write_reports

    retries, limits = retries_of(arguments), limits_of(arguments)
    calibration = getattr(arguments, "calibrate", False)
    on_slurm = getattr(arguments, "on", "local") == "slurm"
    executor = _slurm_executor(request, arguments) if on_slurm else None
    request, plan = launch.take_up(
        request,
        say_nothing if arguments.quiet else say,
        calibration=calibration,
        accept_changes=arguments.accept_changes,
        trains_here=not on_slurm,
    )
    if not on_slurm:
        _check_memory(request, plan, arguments.workers, quiet=arguments.quiet)
    if not arguments.quiet:
        for text in inert_parameters(plan):
            say(f"warning: {text}")
    try:
        with progress(plan, request.workspace, quiet=arguments.quiet) as listener:
            options = launch.Options(
                workers=_ALL if on_slurm and arguments.workers is None else arguments.workers,
                executor=executor(plan) if executor else None,
                drain=not on_slurm,
                limits=limits,
                retries=retries,
                retry=retry,
                listeners=(listener,),
            )
            status = launch.run(request, plan, options)
    except KeyboardInterrupt:
        again = resume_command(request) + (" --on slurm" if on_slurm else "")
        print(f"setpoint: interrupted; resume with: {again}", file=sys.stderr)
        if on_slurm:
            print(
                f"setpoint: the jobs go on; end them with: setpoint slurm cancel {request.experiment_id}",
                file=sys.stderr,
            )
        return EXIT_INTERRUPTED
    try:
        with _terminated_as_interrupted():
            report = write_reports(request.folder)
    except KeyboardInterrupt:
        again = _command(request, "report")
        print(f"setpoint: interrupted while the report was written; write it with: {again}", file=sys.stderr)
        return EXIT_INTERRUPTED
    _print_result(status, report, request.workspace.root, as_json=arguments.json)
    if not (arguments.quiet or arguments.json):
        say(f"for a browser: {report.with_name('report.html')}")
    if status.state == "interrupted":
        print(f"setpoint: stopped early; resume with: {resume_command(request)}", file=sys.stderr)
    failed = status.counts.get("failed", 0) + status.counts.get("lost", 0)
    if failed:
        again = resume_command(request, "retry")
        settled = all(_is_final(run) for run in status.runs.values() if run.state in {"failed", "lost"})
        advice = f"mend the cause, then: {again}"
        if settled:
            advice = f"a retry would fail again; start a new experiment, as {report.with_name('failures.md')} suggests"
        print(f"setpoint: {counted(failed, 'run')} failed; {advice}", file=sys.stderr)
    return exit_code(status)


def _is_final(run: "RunState") -> bool:
    """Whether a retry of a failed run, which keeps its values, would fail again."""
    return run.failure_class is not None and run.failure_class.policy.final


def _check_memory(request: "Request", plan: "Plan", workers: int | None, *, quiet: bool) -> None:
    """Say where fewer rows at a time will fit, and refuse where not even one does, or not so many workers.

    Raises:
        InputError: of the training stages, those whose smallest pass needs more memory than there is; workers that
            together need more.
    """
    from setpoint.experiments.cost.memory import check_memory
    from setpoint.experiments.cost.workers import check_workers
    from setpoint.experiments.preflight import require_fit

    found = check_memory(request.base, plan.stages.values())
    if workers is not None:
        found.append(check_workers(request.workspace, plan, request.base, workers))
    require_fit(found)
    for check in found if not quiet else ():
        if check.result == "remark":
            say(f"{check.name}: {check.text}")


def _slurm_executor(request: "Request", arguments: argparse.Namespace) -> "Callable[[Plan], Executor]":
    """What makes the executor of a plan; what can be wrong with it is found here, before anything is prepared.

    Raises:
        InputError: there is no SLURM here, none that answers a new experiment, or the options are wrong.
    """
    from setpoint.execution.slurm import Client
    from setpoint.experiments.slurm.scripts import executor

    client = Client()
    client.require()
    cluster = cluster_of(arguments, request.folder)
    if request.existing is None:  # one that has jobs waits for a controller that is away
        client.require_answer()
    return lambda plan: executor(request.workspace, plan, cluster, client)


def exit_code(status: "Status") -> int:
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


def _print_result(status: "Status", report: Path, workspace: Path, *, as_json: bool) -> None:
    from setpoint.reports.files import seen_from

    if as_json:
        print_json({**status.to_json(), "report": str(report)})
    else:
        print(seen_from(Path(), report.read_text(encoding="utf-8"), workspace), end="")
