"""Names that become files and folders: what each may hold, so that none leads out of its place."""

import re

from setpoint.errors import InputError

_IDENTIFIER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,119}")
_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(?:/[A-Za-z0-9_][A-Za-z0-9._-]*)*")
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+=,-]{0,249}")


def check_identifier(kind: str, identifier: str) -> str:
    """`identifier` itself when it can be a folder name everywhere.

    Raises:
        InputError: it holds a path separator or an odd character, starts with a dot or dash, is empty or too long.
    """
    if _IDENTIFIER.fullmatch(identifier) is None:
        raise InputError(
            f"{kind} must be 1 to 120 letters, digits, '.', '_' or '-', not starting with '.' or '-', but is "
            f"{identifier!r}. Try {_nearest_identifier(identifier)!r}."
        )
    return identifier


def is_identifier(text: object) -> bool:
    """Whether `text` can be the name of a folder everywhere; see `check_identifier`."""
    return isinstance(text, str) and _IDENTIFIER.fullmatch(text) is not None


def is_file_name(text: object) -> bool:
    """Whether `text` can name a run, whose link has that name: an identifier that may be longer and hold `=+,`."""
    return isinstance(text, str) and _FILE_NAME.fullmatch(text) is not None


def is_file_path(text: object) -> bool:
    """Whether `text` names a file below a folder by identifiers, so that it cannot lead out of the folder."""
    return isinstance(text, str) and _PATH.fullmatch(text) is not None


def _nearest_identifier(identifier: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", identifier).strip("._-")[:120] or "my_experiment"
