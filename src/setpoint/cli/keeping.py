"""`setpoint experiment delete|archive`."""

import argparse
import sys
from collections.abc import Callable

from setpoint.cli.options import print_json, workspace_of
from setpoint.cli.sizes import size_text
from setpoint.errors import InputError

Add = Callable[[str, str, Callable[[argparse.Namespace], int]], argparse.ArgumentParser]


def add_keeping(add: Add) -> None:
    """Add the verbs that delete, archive and restore experiments."""
    delete = add("delete", "delete an experiment and the stages that no other experiment refers to", _delete)
    delete.add_argument("experiment_id", metavar="ID")
    delete.add_argument("--keep-stages", action="store_true", help="delete the plan and the reports only")
    delete.add_argument("--dry-run", action="store_true", help="show what would be deleted")
    delete.add_argument("--yes", dest="agreed", action="store_true", help="do not ask")

    archive = add("archive", "move an experiment to the archive of the workspace, or back; its stages stay", _archive)
    archive.add_argument("experiment_id", metavar="ID")
    archive.add_argument("--restore", action="store_true", help="move it back")


def _delete(arguments: argparse.Namespace) -> int:
    from setpoint.formatting import counted
    from setpoint.housekeeping.deletion import delete, deletion

    workspace = workspace_of(arguments)
    planned = deletion(workspace, arguments.experiment_id, keep_stages=arguments.keep_stages)
    stages = counted(len(planned.stages), "stage")
    text = f"experiment {arguments.experiment_id!r} and {stages} ({size_text(planned.bytes)})"
    if not arguments.dry_run:
        if not arguments.agreed:
            _ask(text)
        delete(workspace, planned)
    if arguments.json:
        paths = [str(path) for path in (planned.experiment.folder, *(stage.path for stage in planned.stages))]
        print_json({"deleted": not arguments.dry_run, "bytes": planned.bytes, "paths": paths, "kept": planned.kept})
    else:
        print(f"{'would delete' if arguments.dry_run else 'deleted'} {text}; {planned.kept} other stages stay")
    return 0


def _ask(text: str) -> None:
    """Ask before something is deleted.

    Raises:
        InputError: the answer is no, or there is nobody to ask.
    """
    if not sys.stdin.isatty():
        raise InputError(f"this deletes {text}. Accept it with --yes, or look with --dry-run.")
    print(f"Delete {text}? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise InputError("nothing was deleted.")


def _archive(arguments: argparse.Namespace) -> int:
    from setpoint.housekeeping.deletion import archive, restore

    move = restore if arguments.restore else archive
    moved = move(workspace_of(arguments), arguments.experiment_id)
    if arguments.json:
        print_json({"experiment": moved.folder.name, "archived": moved.archived, "path": str(moved.folder)})
    else:
        print(moved.folder)
    return 0
