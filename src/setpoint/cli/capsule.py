"""`setpoint capsule ID`: write an experiment with all its results into one file."""

import argparse
from pathlib import Path

from setpoint.cli.options import add_json, add_workspace, file_path, print_json, workspace_of
from setpoint.cli.sizes import size_text


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("experiment", metavar="ID", help="id of the experiment")
    parser.add_argument("--output", type=file_path, metavar="FILE.zip", help="file to write (default: ID.zip)")
    add_json(parser)
    add_workspace(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write the capsule and print its path and digest."""
    from setpoint.capsules.writing import write_capsule
    from setpoint.fingerprint import file_digest

    target = arguments.output or Path(f"{arguments.experiment}.zip")
    path = write_capsule(workspace_of(arguments), arguments.experiment, target)
    digest, size = file_digest(path), path.stat().st_size
    if arguments.json:
        print_json({"path": str(path), "bytes": size, "sha256": digest})
    else:
        print(f"{path} ({size_text(size)})\nsha256 {digest}")
    return 0
