"""Options shared by several verbs, and the parsers of option values."""

import argparse
import json
import math
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from setpoint.errors import InputError, shown, unknown_name

if TYPE_CHECKING:
    from setpoint.artifacts import Workspace


def add_workspace(parser: argparse.ArgumentParser) -> None:
    """Add `--workspace`, by default SETPOINT_WORKSPACE or the current folder."""
    parser.add_argument(
        "--workspace",
        type=file_path,
        default=Path(os.environ.get("SETPOINT_WORKSPACE") or "."),
        metavar="FOLDER",
        help="folder of all results (default: SETPOINT_WORKSPACE, or the current folder)",
    )


def workspace_of(arguments: argparse.Namespace) -> "Workspace":
    """Return the workspace of the command.

    Raises:
        InputError: the path is not a folder.
    """
    from setpoint.artifacts import Workspace

    workspace = Workspace(arguments.workspace)
    workspace.require_folder()
    return workspace


def add_json(parser: argparse._ActionsContainer) -> None:
    """Add `--json`: print the result as JSON on stdout."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def print_json(value: Any) -> None:
    """Print `value` as JSON on stdout; NaN and infinities become null."""
    escape = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"  # valid JSON on every terminal
    print(json.dumps(finite(value), indent=2, ensure_ascii=escape, allow_nan=False))


def finite(value: Any) -> Any:
    """Return `value` with None in place of NaN and infinities, at any depth."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(each) for key, each in value.items()}
    return [finite(each) for each in value] if isinstance(value, list | tuple) else value


def words(text: str) -> list[str]:
    """Split `a,b,c` into a list."""
    return [word.strip() for word in text.split(",")]


_LONGEST_NAME = 255
_LONGEST_PATH = 4096


def file_path(text: str) -> Path:
    """Parse a path, as the type of an option; a leading `~` is the home folder."""
    try:
        found = Path(text).expanduser()
    except RuntimeError:
        user = text.partition("/")[0]
        raise InputError(f"must be a path, but {shown(user)} is no home folder. Write the path out") from None
    if not text or "\0" in text:
        raise InputError(f"must be a path, got {shown(text)}")
    if len(os.fsencode(found)) >= _LONGEST_PATH or any(len(os.fsencode(n)) > _LONGEST_NAME for n in found.parts):
        raise InputError(
            f"must be a path with names of at most {_LONGEST_NAME} bytes and {_LONGEST_PATH} in all, got {shown(text)}"
        )
    return found


def count(text: str) -> int:
    """Parse a positive integer, as the type of an option."""
    if not (text.isascii() and text.isdecimal()) or int(text) < 1:
        raise InputError(f"must be an integer of at least 1, got {text!r}")
    return int(text)


def one_of(*known: str) -> Callable[[str], str]:
    """Return the type of an option that accepts only these words."""

    def word(text: str) -> str:
        if text not in known:
            raise unknown_name("value", text, known)
        return text

    return word
