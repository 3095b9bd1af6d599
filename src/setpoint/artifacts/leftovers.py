"""Temporary names of unfinished writes, and the removal of those whose writer was killed.

A temporary file or folder is named `.<name>.<host>-<pid>-<random>`, so that any later command on the same host can tell
whether its writer still runs. Those of other hosts are removed after a day.
"""

import hashlib
import os
import re
import secrets
import socket
import time
from functools import cache
from pathlib import Path

import psutil

from setpoint.artifacts.places import remove

_TEMPORARY = re.compile(r"\..*\.([0-9a-f]{8})-(\d{1,10})-[0-9a-f]{12}", re.DOTALL)
_OLD_S = 86_400.0


def temporary_path(path: Path) -> Path:
    """Return a path beside `path` for content that is not complete yet; the name is new on every call."""
    return path.with_name(f".{path.name[:150]}.{_host()}-{os.getpid()}-{secrets.token_hex(6)}")


def remove_leftovers(folder: Path, *, below: bool = False) -> None:
    """Delete what killed processes left in `folder`.

    Args:
        below: also in its subfolders.
    """
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(place, name)
            if is_leftover(path):
                remove(path)
        if not below:
            return


def is_leftover(path: Path) -> bool:
    """Return whether `path` is a temporary file or folder whose writer is gone."""
    match = _TEMPORARY.fullmatch(path.name)
    if match is None:
        return False
    if match[1] == _host() and not psutil.pid_exists(int(match[2])):
        return True
    try:
        return time.time() - path.lstat().st_mtime > _OLD_S
    except OSError:
        return False


@cache
def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
