"""Files that are either there in full or not there: temporary name, fsync, then rename or link."""

import json
import os
import re
import secrets
from pathlib import Path
from typing import Any

_LONE_SURROGATE = re.compile(rb"\\u[dD][89abAB]")
_MOST_NESTED = 64
_SMALL_BYTES = 1_000_000


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
    """The JSON of `path`, or None where there is no such file or no JSON in it; see `parse_json`."""
    try:
        with open(path, "rb") as stream:  # noqa: PTH123 (a `Path` of each of thousands of files takes time)
            return parse_json(stream.read())
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def parse_json(data: bytes) -> Any:
    """The JSON in `data`, or None where it is none, is nested too deeply, or has text that no file can hold."""
    try:
        value = json.loads(data.decode())
        if _LONE_SURROGATE.search(data):
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError, MemoryError):  # of numbers with thousands of digits too
        return None
    return value if len(data) > _SMALL_BYTES or _flat_enough(value) else None


def _flat_enough(value: Any) -> bool:
    """Whether the nesting leaves room on the stack for whoever works on `value` by recursion."""
    level = [value]
    for _ in range(_MOST_NESTED):
        level = [inner for outer in level for inner in _inside(outer) if isinstance(inner, dict | list)]
        if not level:
            return True
    return False


def _inside(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


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
