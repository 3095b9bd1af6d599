"""`setpoint du`: disk usage of the workspace by experiment."""

import argparse

from setpoint.cli.options import add_json, add_workspace, print_json, workspace_of
from setpoint.cli.sizes import size_text


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_json(parser)
    add_workspace(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the sizes."""
    from setpoint.housekeeping.usage import disk_usage

    usage = disk_usage(workspace_of(arguments))
    if arguments.json:
        print_json(usage.to_json())
        return 0
    print(f"{'own':>9}  {'shared':>9}  experiment")
    for row in usage.experiments:
        note = "  (archived)" if row.archived else ""
        print(f"{size_text(row.own):>9}  {size_text(row.shared):>9}  {row.experiment}{note}")
    print(
        f"datasets {size_text(usage.datasets)}, stages {size_text(usage.stages)} (unreferenced "
        f"{size_text(usage.unreferenced)}), other files {size_text(usage.other)}; total {size_text(usage.total)}"
    )
    return 0
