"""`setpoint arms`: train every arm on every system with every seed, and print one table of all of them."""

import argparse
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from setpoint.cli.options import add_workspace, count, words, workspace_of
from setpoint.cli.progress import progress, say, say_nothing
from setpoint.cli.running import EXIT_SOME_FAILED, add_run_options, limits_of, retries_of
from setpoint.cli.spec_options import assignments

if TYPE_CHECKING:
    from setpoint.experiments.launch import Options
    from setpoint.experiments.request import Request
    from setpoint.records.plan import Plan


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `setpoint arms`."""
    parser.add_argument("--systems", type=words, metavar="A,B", help="systems (default: all)")
    parser.add_argument("--replicates", type=count, default=3, metavar="N", help="training seeds of an arm (default 3)")
    parser.add_argument("--evaluation-cases", type=count, default=300, metavar="N", help="test states (default 300)")
    parser.add_argument(
        "--rows", type=count, default=8000, metavar="N", help="demonstrations of a system (default 8000)"
    )
    parser.add_argument(
        "--parts",
        type=words,
        metavar="A,B",
        help="optimal, detuned, universal, equal-compute (all of these by default), or sft: SFT on the optima alone",
    )
    parser.add_argument(
        "--evaluation", default="replanning", metavar="KIND", help="standard, replanning (default) or comprehensive"
    )
    parser.add_argument(
        "--set", nargs="+", metavar="NAME=V", help="parameters with another value in every arm, such as sft.steps=100"
    )
    parser.add_argument("--prefix", default="arms", metavar="ID", help="of the experiments' ids (default arms)")
    add_workspace(parser)
    add_run_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run what is missing, and print the table."""
    from setpoint import systems
    from setpoint.analysis.data.evaluations import read_arms
    from setpoint.experiments import launch
    from setpoint.experiments.planning import comparison as arms
    from setpoint.experiments.request import make_request
    from setpoint.experiments.running.status import require_plan
    from setpoint.reports.arms import write_arms

    workspace = workspace_of(arguments)
    settings = arms.ArmSettings(
        systems=tuple(dict.fromkeys(map(systems.canonical, arguments.systems or systems.names()))),
        replicates=arguments.replicates,
        cases=arguments.evaluation_cases,
        rows=arguments.rows,
        prefix=arguments.prefix,
        parts=tuple(arguments.parts or arms.PARTS),
        evaluation=arguments.evaluation,
        fixed=assignments(arguments.set or []),
    )
    options = launch.Options(arguments.workers, limits_of(arguments), retries_of(arguments))
    speak = say_nothing if arguments.quiet else say
    arms.make_datasets(settings, workspace, speak)
    parts, complete = {}, True

    def planned(part: str) -> "Plan":
        return require_plan(workspace, settings.experiment_id(part))

    for part, spec in arms.specifications(settings, workspace, planned):
        identifier = settings.experiment_id(part)
        request = make_request(workspace, spec, experiment_id=identifier)
        complete &= _run_part(request, options, quiet=arguments.quiet)
        parts[identifier] = arms.ROLES[part]
    report = workspace.experiment(settings.experiment_id(settings.parts[0])) / "reports" / "arms.md"
    print(write_arms(read_arms(workspace, parts), report), end="")
    return 0 if complete else EXIT_SOME_FAILED


def _run_part(request: "Request", options: "Options", *, quiet: bool) -> bool:
    """Run one experiment to its end; whether all its runs are ok."""
    from setpoint.experiments import launch

    plan = launch.prepare(request, say_nothing if quiet else say)
    try:
        with progress(plan, request.workspace, quiet=quiet) as listener:
            status = launch.run(request, plan, replace(options, listeners=(listener,)))
    except KeyboardInterrupt:
        print("setpoint: interrupted; the same command goes on where it stopped", file=sys.stderr)
        raise
    return status.counts.get("ok", 0) == len(status.runs)
