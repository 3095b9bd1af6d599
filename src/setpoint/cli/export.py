"""`setpoint export ID --to TRACKER`: finished results in the format of an experiment tracker."""

import argparse
import importlib
import re
from pathlib import Path

from setpoint.cli.options import add_json, add_workspace, one_of, print_json, workspace_of
from setpoint.errors import InputError

TRACKERS = ("tensorboard", "mlflow", "wandb", "trackio")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("experiment", metavar="ID", help="id of the experiment")
    parser.add_argument(
        "--to", type=one_of(*TRACKERS), required=True, metavar="TRACKER", help="tensorboard, mlflow, wandb or trackio"
    )
    parser.add_argument(
        "--output",
        metavar="FOLDER",
        help="folder to write to (default: exports/TRACKER in the workspace); for mlflow also the address of a server",
    )
    parser.add_argument("--adapters", action="store_true", help="also copy the final adapter of every run")
    add_json(parser)
    add_workspace(parser)


def run(arguments: argparse.Namespace) -> int:
    """Export what is new, and print what was written."""
    from setpoint.experiments.running.status import no_experiment
    from setpoint.records.plan import plan_path
    from setpoint.trackers.content import tracked

    workspace = workspace_of(arguments)
    experiment = workspace.experiment(arguments.experiment)
    if not plan_path(experiment).exists():
        raise no_experiment(workspace, arguments.experiment)
    target = _target(arguments, workspace.root)
    backend = importlib.import_module(f"setpoint.trackers.{arguments.to}")
    content = tracked(experiment, adapters=arguments.adapters)
    written = backend.export(content, target)
    if arguments.json:
        print_json({"target": str(target), "runs": len(content.runs), "written": written})
    else:
        same = len(content.runs) - len(written)
        print(f"{target}: {len(written)} runs written, {same} unchanged{_hint(arguments.to, target)}")
    return 0


def _target(arguments: argparse.Namespace, root: Path) -> Path | str:
    """Return the folder, or the address of an MLflow server."""
    given = arguments.output
    if given is not None and re.match(r"[a-z]+://", given):
        if arguments.to != "mlflow" or not given.startswith(("http://", "https://")):
            raise InputError(f"--output must be a folder for {arguments.to}, got {given!r}.")
        return str(given)
    folder = root / "exports" / arguments.to if given is None else Path(given).expanduser()
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--output must be a folder, but {str(folder)!r} is a file.")
    return str(folder.resolve()) if arguments.to == "mlflow" else folder


def _hint(tracker: str, target: Path | str) -> str:
    """Return how the result is opened."""
    commands = {
        "tensorboard": f"tensorboard --logdir {target}",
        "mlflow": f"mlflow ui --backend-store-uri {target}",
        "wandb": f"wandb sync {target}/wandb/offline-run-*",
        "trackio": f"TRACKIO_DIR={target} trackio show",
    }
    return f"\nopen it with: {commands[tracker]}"
