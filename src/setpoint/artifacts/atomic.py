"""Files that are either there in full or not there: temporary name, fsync, then rename or link."""

import json
import os
import secrets
from pathlib import Path
from typing import Any


def write_text(path: Path, text: str) -> None:
    """Replace `path` with `text` in one step; parents are created."""
    temporary = _write_temporary(path, text)
    temporary.replace(path)
    sync_folder(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Replace `path` with `value` as readable JSON; numbers must be finite."""
    write_text(path, json_text(value))


def create_json(path: Path, value: Any) -> bool:
    """Create `path` with its full content; False where it exists already, which then stays as it is.

    A link is exclusive on shared file systems too, and unlike `O_EXCL` nobody ever reads half a file.
    """
    temporary = _write_temporary(path, json_text(value))
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
    sync_folder(path.parent)
    return True


def read_json(path: Path | str) -> Any:
    """The JSON of `path`, or None where the file is missing or is not JSON."""
    try:
        with open(path, "rb") as stream:  # noqa: PTH123 (a `Path` of each of thousands of files takes time)
            return json.loads(stream.read().decode("utf-8"))
    except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError, json.JSONDecodeError):
        return None


def json_text(value: Any) -> str:
    """`value` as JSON for people to read: indented, in the order given, with a final newline."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def sync_file(path: Path) -> None:
    """Have the bytes of `path` on the disk before this returns."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


sync_folder = sync_file


def _write_temporary(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        with temporary.open("x", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    return temporary
