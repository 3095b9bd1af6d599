"""`setpoint analyze FILE.csv --response y --factors a,b`: the claims that a table of results earns."""

import argparse
from pathlib import Path

from setpoint.cli.options import add_json, one_of, print_json, words
from setpoint.errors import InputError

_LEAST_ALPHA = 1e-9
"""Below it, the quantiles of the tests are no longer found to the digits that are printed."""


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
    from setpoint.analysis.data import claim as claims_module
    from setpoint.analysis.data.tables import TableQuestion, read_table, remarks, table_experiment
    from setpoint.analysis.overview import experiment_claims
    from setpoint.reports.content import one_line

    if not _LEAST_ALPHA <= arguments.alpha < 1.0:
        raise InputError(f"--alpha must lie between {_LEAST_ALPHA:g} and 1, but is {arguments.alpha:g}.")
    question = TableQuestion(
        response=arguments.response,
        factors=tuple(words(arguments.factors)),
        block=arguments.block,
        larger_is_better=arguments.larger_is_better,
        logarithmic=arguments.scale == "log",
        alpha=arguments.alpha,
        adaptive=arguments.adaptive,
    )
    rows = read_table(arguments.table)
    data = table_experiment(rows, question, arguments.table.stem)
    claims = experiment_claims(data)
    if arguments.json:
        found = [claims_module.to_json(claim) for claim in claims]
        print_json({"schema": claims_module.SCHEMA, "table": arguments.table.name, "claims": found})
        return 0
    for claim in claims:
        print(f"- {one_line(claim.heading)} [{claim.status.value}]: {one_line(claim.statement)}")
    for note in claims_module.all_caveats(claims):
        print(f"Note: {one_line(note)}.")
    if any("has no logarithm" in claim.reason for claim in claims):
        print("Note: with --scale linear differences are compared, for which values may be zero or negative.")
    for note in remarks(rows, question):
        print(f"Note: {one_line(note)}.")
    for factor in question.factors:
        if len({run.level(factor) for run in data.runs}) == 1:
            print(f"Note: {one_line(factor)} has one level, so there is nothing to compare.")
    scale = f"{data.analysis.scale} scale, alpha {arguments.alpha:g}"
    print(f"Response {one_line(question.response)} on a {scale}; one row is one run.")
    return 0
