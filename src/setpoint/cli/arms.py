"""`setpoint arms`: train every arm on every system with every seed, and print one table that compares them."""

import argparse
import sys

from setpoint.cli.options import add_workspace, count, words, workspace_of
from setpoint.cli.running import EXIT_SOME_FAILED, add_run_options, run_options
from setpoint.cli.spec_options import assignments


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `setpoint arms`."""
    parser.add_argument("--systems", type=words, metavar="A,B", help="systems (default: all)")
    parser.add_argument("--replicates", type=count, default=3, metavar="N", help="training seeds per arm (default 3)")
    parser.add_argument("--evaluation-cases", type=count, default=300, metavar="N", help="test states (default 300)")
    parser.add_argument(
        "--rows", type=count, default=8000, metavar="N", help="demonstrations per system (default 8000)"
    )
    parser.add_argument(
        "--parts",
        type=words,
        metavar="A,B",
        help="optimal, detuned, universal, equal-compute (default: these); sft or dagger: on optimal control only",
    )
    parser.add_argument(
        "--evaluation", default="replanning", metavar="KIND", help="standard, replanning (default) or comprehensive"
    )
    parser.add_argument(
        "--set", nargs="+", metavar="NAME=V", help="parameter values for every arm, such as sft.steps=100"
    )
    parser.add_argument("--prefix", default="arms", metavar="ID", help="prefix of the experiment ids (default arms)")
    add_workspace(parser)
    add_run_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the missing parts and print the table."""
    from setpoint import plants
    from setpoint.api.comparison import compare_arms
    from setpoint.experiments.planning.comparison import PARTS, ArmSettings

    settings = ArmSettings(
        systems=tuple(dict.fromkeys(map(plants.canonical, arguments.systems or plants.names()))),
        replicates=arguments.replicates,
        cases=arguments.evaluation_cases,
        rows=arguments.rows,
        prefix=arguments.prefix,
        parts=tuple(arguments.parts or PARTS),
        evaluation=arguments.evaluation,
        fixed=assignments(arguments.set or []),
    )
    options = run_options(arguments)
    try:
        table, complete = compare_arms(settings, workspace_of(arguments), options, options.notify)
    except KeyboardInterrupt:
        print("setpoint: interrupted; run the same command again to resume", file=sys.stderr)
        raise
    print(table, end="")
    return 0 if complete else EXIT_SOME_FAILED
