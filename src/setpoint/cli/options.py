"""Options that several verbs share, and how their text is read."""

import argparse
import json
import math
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from setpoint.errors import InputError, unknown_name

if TYPE_CHECKING:
    from setpoint.artifacts import Workspace


def add_workspace(parser: argparse.ArgumentParser) -> None:
    """`--workspace`, by default SETPOINT_WORKSPACE or the current folder."""
    parser.add_argument(
        "--workspace",
        type=Path,
        default=Path(os.environ.get("SETPOINT_WORKSPACE") or "."),
        metavar="FOLDER",
        help="where results lie (default: SETPOINT_WORKSPACE, or the current folder)",
    )


def workspace_of(arguments: argparse.Namespace) -> "Workspace":
    """The workspace that the command names.

    Raises:
        InputError: it is no folder.
    """
    from setpoint.artifacts import Workspace

    workspace = Workspace(arguments.workspace)
    workspace.require_folder()
    return workspace


def add_json(parser: argparse._ActionsContainer) -> None:
    """`--json`: the result on stdout for programs."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def print_json(value: Any) -> None:
    """`value` on stdout; numbers that JSON does not have, NaN and the infinities, are null."""
    plain = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"  # then JSON has escapes of its own
    print(json.dumps(finite(value), indent=2, ensure_ascii=plain, allow_nan=False))


def finite(value: Any) -> Any:
    """`value` with None in place of the numbers that JSON does not have, at any depth."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(each) for key, each in value.items()}
    return [finite(each) for each in value] if isinstance(value, list | tuple) else value


def words(text: str) -> list[str]:
    """`a,b,c` as a list."""
    return [word.strip() for word in text.split(",")]


def count(text: str) -> int:
    """A whole number of at least 1, as the type of an option."""
    if not (text.isascii() and text.isdecimal()) or int(text) < 1:
        raise InputError(f"must be a whole number of at least 1, but is {text!r}")
    return int(text)


def one_of(*known: str) -> Callable[[str], str]:
    """The type of an option that takes one of these words."""

    def word(text: str) -> str:
        if text not in known:
            raise unknown_name("value", text, known)
        return text

    return word
