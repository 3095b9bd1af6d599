"""`setpoint clean`: list or delete what no experiment of the workspace needs."""

import argparse
from collections import Counter
from typing import TYPE_CHECKING

from setpoint.cli.options import add_json, add_workspace, print_json, workspace_of
from setpoint.cli.sizes import size_text

if TYPE_CHECKING:
    from setpoint.housekeeping.cleaning import Removable


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--delete", action="store_true", help="delete it (default: only list it)")
    add_json(parser)
    add_workspace(parser)


def run(arguments: argparse.Namespace) -> int:
    """List or delete unreferenced stages, leftovers and links to nothing."""
    from setpoint.housekeeping.cleaning import clean, removable

    workspace = workspace_of(arguments)
    found = clean(workspace) if arguments.delete else removable(workspace)
    if arguments.json:
        print_json(
            {
                "deleted": arguments.delete,
                "bytes": sum(each.bytes for each in found),
                "items": [
                    {"path": str(each.path), "reason": each.reason.name.lower(), "bytes": each.bytes} for each in found
                ],
            }
        )
    else:
        print("\n".join(_lines(found, deleted=arguments.delete)))
    return 0


def _lines(found: "list[Removable]", *, deleted: bool) -> list[str]:
    if not found:
        return ["nothing to remove"]
    total = size_text(sum(each.bytes for each in found))
    rows = [f"{size_text(each.bytes):>9}  {each.path}  ({each.reason.value})" for each in found]
    reasons = Counter(each.reason.value for each in found)
    summary = "; ".join(f"{count} × {reason}" for reason, count in reasons.items())
    ending = f"deleted {total}: {summary}" if deleted else f"{total}: {summary}. Delete it with --delete"
    return [*rows, ending]
