"""`setpoint compare ID ID …`: experiments side by side, with a test where their runs are comparable."""

import argparse

from setpoint.cli.options import add_json, add_workspace, print_json, workspace_of


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("experiments", nargs="+", metavar="ID", help="two or more experiments of the workspace")
    parser.add_argument(
        "--equivalence",
        metavar="X",
        help="test for equivalence: X is the largest difference that does not matter, such as 5%% (log scale) or 0.02 "
        "(linear)",
    )
    add_json(parser)
    add_workspace(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the comparison."""
    from dataclasses import asdict

    from setpoint.analysis.data.claim import to_json
    from setpoint.api.side_by_side import compare

    root = workspace_of(arguments).root
    found = compare(*arguments.experiments, workspace=root, equivalence=arguments.equivalence)
    if not arguments.json:
        print(found)
        return 0
    result = found.result
    systems = [{**asdict(each), "claims": [to_json(claim) for claim in each.claims]} for each in result.systems]
    print_json({**asdict(result), "systems": systems})
    return 0
