"""`setpoint analyze FILE.csv --response y --factors a,b`: the claims that a table of results earns."""

import argparse
from pathlib import Path

from setpoint.cli.options import add_json, one_of, print_json, words


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("table", type=Path, metavar="FILE.csv", help="one row a run, with a header line")
    parser.add_argument("--response", required=True, metavar="COLUMN", help="the metric")
    parser.add_argument("--factors", required=True, metavar="A,B", help="columns with the swept parameters")
    parser.add_argument("--block", metavar="COLUMN", help="rows with equal labels share something, such as a seed")
    parser.add_argument(
        "--scale",
        type=one_of("log", "linear"),
        default="log",
        metavar="SCALE",
        help="of the response: log (default) or linear",
    )
    parser.add_argument("--larger-is-better", action="store_true", help="the best level has the largest response")
    searched = "results decided what was run, as in a search: everything is exploratory at most"
    parser.add_argument("--adaptive", action="store_true", help=searched)
    parser.add_argument("--alpha", type=float, default=0.05, help="the level of all tests (default: 0.05)")
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Analyse the table and print the claims."""
    from setpoint.analysis.data.claim import SCHEMA, to_json
    from setpoint.api.tables import analyze
    from setpoint.reports.content import one_line

    found = analyze(
        arguments.table,
        response=arguments.response,
        factors=words(arguments.factors),
        block=arguments.block,
        larger_is_better=arguments.larger_is_better,
        scale=arguments.scale,
        alpha=arguments.alpha,
        adaptive=arguments.adaptive,
    )
    if arguments.json:
        claims = [to_json(claim) for claim in found.claims]
        print_json({"schema": SCHEMA, "table": arguments.table.name, "claims": claims})
        return 0
    for claim in found.claims:
        print(f"- {one_line(claim.heading)} [{claim.status.value}]: {one_line(claim.statement)}")
    for note in found.notes:
        print(f"Note: {one_line(note)}.")
    scale = f"{found.data.analysis.scale} scale, alpha {arguments.alpha:g}"
    print(f"Response {one_line(arguments.response)} on a {scale}; one row is one run.")
    return 0
