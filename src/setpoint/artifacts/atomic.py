"""Atomic file writes: temporary name, fsync, then rename or link, so that a file is complete or absent."""

import contextlib
import errno
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from setpoint.artifacts.leftovers import temporary_path
from setpoint.regular_files import read_regular

_LONE_SURROGATE = re.compile(rb"\\u[dD][89abAB]")
_MAX_DEPTH = 64
_SMALL_BYTES = 1_000_000
_UNUSABLE = {
    errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EINVAL, errno.ENXIO, errno.ENODEV, errno.EFBIG,
    errno.ENAMETOOLONG,
}  # fmt: skip
"""Errors of files that are missing, larger than any of ours, or no regular files."""


def write_text(path: Path, text: str) -> None:
    """Replace the content of `path` with `text` atomically; parent folders are created."""
    temporary = _write_temporary(path, text)
    temporary.replace(path)
    sync_folder(path.parent)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` for the body to write, and rename it to `path` if the body succeeds."""
    temporary = temporary_path(path)
    try:
        yield temporary
        sync_file(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Replace the content of `path` with `value` as indented JSON, atomically; numbers must be finite."""
    write_text(path, json_text(value))


def create_json(path: Path, value: Any) -> bool:
    """Create `path` atomically; return False, and leave it unchanged, if it exists.

    Creating a link is exclusive on network file systems too, and unlike with `O_EXCL` readers never see a partial file.
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


def read_json(path: Path | str, *, links: bool = False) -> Any:
    """Read the JSON in `path`; None if the file is missing, too large or invalid, see `parse_json`.

    Args:
        links: whether the file may be a link; otherwise, and if it is not a regular file, it is invalid.

    Raises:
        OSError: the file exists, but cannot be read.
    """
    try:
        return parse_json(read_regular(path, links=links))
    except OSError as error:
        if error.errno in _UNUSABLE:
            return None
        raise


def parse_json(data: bytes) -> Any:
    """Parse the JSON in `data`; None if it is invalid, nested too deeply, or contains text that UTF-8 cannot encode."""
    try:
        value = json.loads(data.decode())
        if _LONE_SURROGATE.search(data):
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError, MemoryError):  # ValueError also for integers with thousands of digits
        return None
    return value if _is_shallow(value, data) else None


def _is_shallow(value: Any, data: bytes) -> bool:
    """Return whether `value` is nested no deeper than recursive code can handle.

    Large files, such as plans, are not checked: it takes time, and their readers validate them.
    """
    if data.count(b"{") + data.count(b"[") <= _MAX_DEPTH or len(data) > _SMALL_BYTES:
        return True
    level = [value]
    for _ in range(_MAX_DEPTH):
        level = [inner for outer in level for inner in _children(outer) if isinstance(inner, dict | list)]
        if not level:
            return True
    return False


def _children(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def json_text(value: Any) -> str:
    """Return `value` as indented JSON in the given order, with a final newline."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def sync_file(path: Path) -> None:
    """Flush the content of `path` to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


sync_folder = sync_file


def _write_temporary(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_path(path)
    try:
        with temporary.open("x", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    return temporary
