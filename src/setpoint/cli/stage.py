"""`setpoint stage run`: one stage of an experiment in this process, as cluster jobs run it."""

import argparse
import os

from setpoint.cli.options import add_workspace, workspace_of


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    verbs = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    help_line = "run one attempt of a stage of a planned experiment"
    run_parser = verbs.add_parser("run", help=help_line, description=help_line, allow_abbrev=False)
    run_parser.add_argument("--experiment", required=True, metavar="ID", help="id of the experiment")
    run_parser.add_argument("--stage", required=True, metavar="STAGE", help="id of the stage, as in plan.json")
    add_workspace(run_parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the stage. Its output goes to the folder of the attempt, and one final line to stderr."""
    from setpoint.execution.attempt import EXIT_BUSY, EXIT_SAVED
    from setpoint.experiments.running.one_stage import run_stage
    from setpoint.experiments.running.status import require_plan

    endings = {0: "finished", EXIT_SAVED: "saved its state", EXIT_BUSY: "is already running elsewhere"}
    workspace = workspace_of(arguments)
    plan = require_plan(workspace, arguments.experiment)
    with os.fdopen(os.dup(2), "w", encoding="utf-8") as messages:
        code = run_stage(
            workspace, plan, arguments.stage, notify=lambda text: print(f"setpoint: {text}", file=messages, flush=True)
        )
        kind = plan.stages[arguments.stage].kind
        folder = workspace.stage(kind, arguments.stage).path
        print(f"setpoint: {kind} stage {arguments.stage} {endings.get(code, 'failed')}; see {folder}", file=messages)
    return code
