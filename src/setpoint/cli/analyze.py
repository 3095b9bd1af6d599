"""`setpoint analyze FILE.csv --response y --factors a,b`: statistical analysis of a table of results."""

import argparse

from setpoint.cli.options import add_json, file_path, one_of, print_json, words
from setpoint.cli.spec_options import add_test_options


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "table", type=file_path, metavar="FILE.csv", help="CSV file with a header line and one row per run"
    )
    parser.add_argument("--response", required=True, metavar="COLUMN", help="the metric")
    parser.add_argument("--factors", required=True, metavar="A,B", help="columns with the swept parameters")
    parser.add_argument(
        "--block", metavar="COLUMN", help="blocking column: rows with the same label share a seed, a machine, …"
    )
    parser.add_argument(
        "--scale",
        type=one_of("log", "linear"),
        default="log",
        metavar="SCALE",
        help="scale of the response: log (default) or linear",
    )
    parser.add_argument("--larger-is-better", action="store_true", help="the best level has the largest response")
    parser.add_argument(
        "--adaptive",
        action="store_true",
        help="earlier results decided which rows were run, as in a search: every claim is exploratory",
    )
    add_test_options(parser, "factors")
    parser.add_argument("--alpha", type=float, default=0.05, help="significance level of all tests (default: 0.05)")
    parser.add_argument(
        "--strict",
        action="store_true",
        help="correct for all families of tests together: alpha bounds the rate of any false finding in the report",
    )
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Analyse the table and print the claims."""
    from setpoint.analysis.data.claim import SCHEMA, to_json
    from setpoint.api.results import answer
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
        trend=arguments.trend,
        equivalence=arguments.equivalence,
    )
    found = found.strict() if arguments.strict else found
    if arguments.json:
        claims = [to_json(claim) for claim in found.claims]
        print_json({"schema": SCHEMA, "table": arguments.table.name, "claims": claims})
        return 0
    for claim in found.claims:
        print(f"- {one_line(claim.heading)} [{claim.status.value}]: {one_line(answer(claim))}")
    for note in found.notes:
        print(f"Note: {one_line(note)}.")
    scale = f"{found.data.analysis.scale} scale, alpha {arguments.alpha:g}"
    print(f"Response {one_line(arguments.response)} on a {scale}. Each row counts as one run.")
    return 0
