"""Run an experiment from the command line, from the checks to the printed report."""

import argparse
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from setpoint.cli.main import EXIT_INTERRUPTED
from setpoint.cli.options import print_json
from setpoint.cli.progress import progress, say, say_nothing

if TYPE_CHECKING:
    from setpoint.experiments.launch import Request
    from setpoint.experiments.status import Status

EXIT_SOME_FAILED = 4
EXIT_ALL_FAILED = 5


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """How to run; none of it changes a result."""
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="stages that run at the same time (default 1)"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, but is {text!r}")
    return int(text)


def run_request(
    request: "Request", arguments: argparse.Namespace, *, retry: Callable[[str], bool] = lambda _: False
) -> int:
    """Run or resume the experiment, write its report and print it; the exit code."""
    from setpoint.experiments import launch
    from setpoint.reports import write_reports

    plan = launch.prepare(request, say_nothing if arguments.quiet else say)
    try:
        with progress(plan, quiet=arguments.quiet) as listener:
            options = launch.Options(workers=arguments.workers, retry=retry, listeners=(listener,))
            status = launch.run(request, plan, options)
    except KeyboardInterrupt:
        print(f"setpoint: interrupted; resume with: {resume_command(request)}", file=sys.stderr)
        return EXIT_INTERRUPTED
    _print_result(status, write_reports(request.folder), as_json=arguments.json)
    if status.state == "interrupted":
        print(f"setpoint: stopped early; resume with: {resume_command(request)}", file=sys.stderr)
    return exit_code(status)


def exit_code(status: "Status") -> int:
    """0 when every run is ok, else whether some or all are not."""
    ok = status.counts.get("ok", 0)
    if ok == len(status.runs):
        return 0
    return EXIT_SOME_FAILED if ok else EXIT_ALL_FAILED


def resume_command(request: "Request") -> str:
    """The command that takes the experiment up again."""
    words = ["setpoint", "experiment", "resume", request.experiment_id]
    if request.workspace.root != Path():
        words += ["--workspace", str(request.workspace.root)]
    return shlex.join(words)


def _print_result(status: "Status", report: Path, *, as_json: bool) -> None:
    if as_json:
        print_json({**status.to_json(), "report": str(report)})
    else:
        print(report.read_text(encoding="utf-8"), end="")
