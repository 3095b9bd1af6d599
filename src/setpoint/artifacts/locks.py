"""Locks: a file that names one process on one boot of one host, so that a dead holder shows.

Locks are numbered and only ever added (`0001`, `0002`, …): the newest one counts, and to take over from a dead holder
is to be the first to create the next number. There is no clock in it and no lock that a network file system could lose.

Nobody can tell whether a process of another host is alive. Where a batch system runs both, it can: a job that it
started again has ended before, wherever that was.
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
from setpoint.artifacts.fields import Fields
from setpoint.errors import InputError


@dataclass(frozen=True, slots=True)
class Lock:
    """One process, told apart from every other: a pid alone is reused, a host alone reboots.

    Attributes:
        job: the SLURM job or array task that the process belongs to, as `id/restarts`; empty outside of one.
    """

    host: str
    boot_id: str
    pid: int
    started: str
    token: str
    job: str = ""

    @classmethod
    def of_this_process(cls) -> "Lock":
        """A lock of the calling process, with a fresh token."""
        pid = os.getpid()
        return cls(socket.gethostname(), _boot_id(), pid, _start_time(pid) or "", secrets.token_hex(8), _job())

    def alive(self) -> bool:
        """Whether the holder may still be running. One on another host counts as running: nobody here can tell.

        An earlier start of the job that asks is over, even if its node does not know that yet.
        """
        if _is_earlier_start(self.job, _job()):
            return False
        if self.host != socket.gethostname():
            return True
        return self.boot_id == _boot_id() and _start_time(self.pid) == self.started

    def create(self, path: Path) -> bool:
        """Write this lock to `path`; False where somebody was first."""
        return create_json(path, self.to_json())

    def to_json(self) -> dict[str, Any]:
        """The content of the file."""
        return {"schema": 1, **asdict(self)}


def read_lock(path: Path) -> Lock | None:
    """The lock in `path`, or None where there is none, or a damaged one, which holds nothing."""
    content = read_json(path)
    if content is None:
        return None
    fields = Fields(content, path)
    try:
        return Lock(
            host=fields.text("host"),
            boot_id=fields.text("boot_id"),
            pid=fields.whole("pid", least=1),
            started=fields.text("started"),
            token=fields.text("token"),
            job=fields.text("job", ""),
        )
    except InputError:
        return None


def _job() -> str:
    """The SLURM job of this process as `squeue` names it, and how often it was started again."""
    job, array = os.environ.get("SLURM_JOB_ID"), os.environ.get("SLURM_ARRAY_JOB_ID")
    if not job:
        return ""
    name = f"{array}_{os.environ.get('SLURM_ARRAY_TASK_ID', '0')}" if array else job
    return f"{name}/{os.environ.get('SLURM_RESTART_COUNT') or 0}"


def _is_earlier_start(job: str, of: str) -> bool:
    (name, _, start), (wanted, _, current) = job.partition("/"), of.partition("/")
    return bool(name) and name == wanted and start.isdecimal() and current.isdecimal() and int(start) < int(current)


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
