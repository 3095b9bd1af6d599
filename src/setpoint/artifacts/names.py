"""Validation of names that become files and folders, so that none can escape its folder."""

import re

from setpoint.errors import InputError

_IDENTIFIER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,119}")
_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(?:/[A-Za-z0-9_][A-Za-z0-9._-]*)*")
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+=,-]{0,249}")


def check_identifier(kind: str, identifier: str) -> str:
    """Return `identifier` if it is a valid folder name on every platform.

    Raises:
        InputError: it is empty or too long, starts with a dot or dash, or contains another character than letters,
            digits, dots, dashes and underscores.
    """
    if _IDENTIFIER.fullmatch(identifier) is None:
        raise InputError(
            f"{kind} must be 1 to 120 letters, digits, '.', '_' or '-', not starting with '.' or '-', got "
            f"{identifier!r}. Try {_nearest_identifier(identifier)!r}."
        )
    return identifier


def is_identifier(text: object) -> bool:
    """Return whether `text` is a valid folder name; see `check_identifier`."""
    return isinstance(text, str) and _IDENTIFIER.fullmatch(text) is not None


def is_file_name(text: object) -> bool:
    """Return whether `text` is a valid run name and link name: an identifier that may be longer and contain `=+,`."""
    return isinstance(text, str) and _FILE_NAME.fullmatch(text) is not None


def is_file_path(text: object) -> bool:
    """Return whether `text` is a relative path of identifiers, so that it cannot escape its folder."""
    return isinstance(text, str) and _PATH.fullmatch(text) is not None


def _nearest_identifier(identifier: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", identifier).strip("._-")[:120] or "my_experiment"
