"""`setpoint report EXPERIMENT`: write the reports again from the result files, and print one."""

import argparse

from setpoint.cli.options import add_json, add_workspace, print_json, workspace_of


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("experiment", metavar="EXPERIMENT", help="the experiment's id")
    parser.add_argument("--format", choices=("text", "markdown"), default="text", help="what to print (default: text)")
    add_json(parser)
    add_workspace(parser)


def run(args: argparse.Namespace) -> int:
    """Write the reports and print the one that was asked for."""
    from setpoint.artifacts import read_json
    from setpoint.reports import write_reports

    report = write_reports(workspace_of(args).experiment(args.experiment))
    if args.json:
        print_json(read_json(report.with_name("claims.json")))
        return 0
    shown = report if args.format == "text" else report.with_name("report.md")
    print(shown.read_text(encoding="utf-8"), end="")
    return 0
