"""`setpoint arms`: train every arm on every system with every seed, and print one table that compares them."""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from setpoint.cli.options import add_workspace, count, words, workspace_of
from setpoint.cli.running import EXIT_SOME_FAILED, add_run_options, run_options
from setpoint.cli.spec_options import assignments
from setpoint.errors import InputError

if TYPE_CHECKING:
    from setpoint.api.comparison import PartEstimate

ASK_FROM_S = 3600.0
"""Longer comparisons ask before they start."""


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
    parser.add_argument("--dry-run", action="store_true", help="show the parts and their estimate, and run nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask before more than an hour of computation")
    add_workspace(parser)
    add_run_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the missing parts and print the table."""
    from setpoint import plants
    from setpoint.api.comparison import compare_arms, estimate_arms
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
    estimates = estimate_arms(settings, workspace_of(arguments))
    if arguments.dry_run:
        print("\n".join(_estimate_lines(estimates)))
        return 0
    if not arguments.yes:
        _ask(estimates)
    options = run_options(arguments)
    try:
        table, complete = compare_arms(settings, workspace_of(arguments), options, options.notify)
    except KeyboardInterrupt:
        print("setpoint: interrupted; run the same command again to resume", file=sys.stderr)
        raise
    print(table, end="")
    return 0 if complete else EXIT_SOME_FAILED


def _estimate_lines(estimates: "Sequence[PartEstimate]") -> list[str]:
    """Return one line per part, and one for all."""
    rows = [("part", "runs", "stages left", "CPU time", "wall clock")]
    rows += [
        (each.part, str(each.runs), str(each.left), _duration(each.cpu_s), _duration(each.wall_s)) for each in estimates
    ]
    total = (
        "all",
        str(sum(each.runs for each in estimates)),
        str(sum(each.left for each in estimates)),
        _duration(_sum([each.cpu_s for each in estimates])),
        _duration(_sum([each.wall_s for each in estimates])),
    )
    widths = [max(len(row[k]) for row in [*rows, total]) for k in range(len(total))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in [*rows, total]
    ]


def _sum(values: "Sequence[float | None]") -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "not known"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _ask(estimates: "Sequence[PartEstimate]") -> None:
    """Ask before a comparison that takes more than an hour, or for an unknown time.

    Raises:
        InputError: the answer is no, or there is nobody to ask.
    """
    wall_s = _sum([each.wall_s for each in estimates])
    if wall_s is not None and wall_s <= ASK_FROM_S:
        return
    print("\n".join(_estimate_lines(estimates)), file=sys.stderr)
    long = "more than an hour" if wall_s is not None else "an unknown time, because nothing comparable has run here"
    if not sys.stdin.isatty():
        raise InputError(f"the comparison takes {long}. Start it with --yes.")
    print(f"This takes {long}. Start? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise InputError("nothing was started.")
