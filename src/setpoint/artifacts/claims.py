"""Who holds a thing: a file that names one process on one boot of one host, so that a dead holder shows.

Claims are numbered and only ever added (`0001`, `0002`, …): the newest one counts, and to take over from a dead holder
is to be the first to create the next number. There is no clock in it and no lock that a network file system could lose.
"""

import os
import secrets
import socket
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from setpoint.artifacts.atomic import create_json, read_json


@dataclass(frozen=True, slots=True)
class Claim:
    """One process, told apart from every other: a pid alone is reused, a host alone reboots."""

    host: str
    boot_id: str
    pid: int
    started: str
    token: str

    @classmethod
    def of_this_process(cls) -> "Claim":
        """A claim by the calling process, with a fresh token."""
        pid = os.getpid()
        return cls(socket.gethostname(), _boot_id(), pid, _start_time(pid) or "", secrets.token_hex(8))

    def alive(self) -> bool:
        """Whether the holder may still be running. One on another host counts as running: nobody here can tell."""
        if self.host != socket.gethostname():
            return True
        return self.boot_id == _boot_id() and _start_time(self.pid) == self.started

    def create(self, path: Path) -> bool:
        """Write this claim to `path`; False where somebody was first."""
        return create_json(path, {"schema": 1, **asdict(self)})


def read_claim(path: Path) -> Claim | None:
    """The claim in `path`, or None where there is none that can be read."""
    fields: Any = read_json(path)
    try:
        return Claim(fields["host"], fields["boot_id"], fields["pid"], fields["started"], fields["token"])
    except (TypeError, KeyError):
        return None


@cache
def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return str(psutil.boot_time())


def _start_time(pid: int) -> str | None:
    """When process `pid` started, as the kernel counts it; None where it does not run (a zombie runs no more)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return None if fields[0] in "ZX" else fields[19]
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
    except ProcessLookupError:
        return None
    try:
        return str(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return None
