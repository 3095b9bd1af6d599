"""`setpoint mcp`: serve the workspace to an agent over the Model Context Protocol, on standard input and output."""

import argparse

from setpoint.cli.options import add_workspace, count, workspace_of
from setpoint.errors import InputError, shown


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--allow-runs",
        type=_core_hours,
        default=0.0,
        metavar="CORE_HOURS",
        help="let the agent run experiments, with this many core-hours in all (default: reading only)",
    )
    parser.add_argument("--workers", type=count, default=1, metavar="N", help="stages of a run in parallel (default 1)")
    add_workspace(parser)


def run(arguments: argparse.Namespace) -> int:
    """Serve until standard input is closed."""
    from setpoint.agents.budget import Budget
    from setpoint.agents.server import make_server

    make_server(workspace_of(arguments), Budget(arguments.allow_runs, arguments.workers)).run("stdio")
    return 0


def _core_hours(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 < value < float("inf"):
        raise InputError(f"must be a positive number of core-hours, got {shown(text)}")
    return value
