"""Ownership locks: files with host, boot id, pid and start time of a process, so that a dead holder is detected.

Locks are numbered and only ever added (`0001`, `0002`, …). The newest one is valid, and a process takes over from a
dead holder by being the first to create the next number. This needs neither clocks nor file locks, which network file
systems may lose.

Whether a process on another host is alive cannot be checked here. SLURM gives one exception: when a restarted job asks,
its earlier starts have ended, on whatever host they ran. `execution.slurm.holders` asks SLURM about other jobs.
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
    """Unique identity of a process: pids are reused, and hosts reboot.

    Attributes:
        job: SLURM job or array task of the process, as `id/restarts`; empty outside SLURM.
        cluster: name of the cluster of that job; ids are unique only within one.
    """

    host: str
    boot_id: str
    pid: int
    started: str
    token: str
    job: str = ""
    cluster: str = ""

    @classmethod
    def of_this_process(cls) -> "Lock":
        """Return a lock for the calling process, with a new token."""
        pid = os.getpid()
        started, job = _start_time(pid) or "", _job()
        cluster = os.environ.get("SLURM_CLUSTER_NAME", "") if job else ""
        return cls(socket.gethostname(), _boot_id(), pid, started, secrets.token_hex(8), job, cluster)

    def alive(self) -> bool:
        """Return whether the holder may still be running. A process on another host counts as running.

        An earlier start of the calling job has ended, even if its node has not noticed yet.
        """
        if _is_earlier_start(self.job, _job()):
            return False
        if self.host != socket.gethostname():
            return True
        return self.boot_id == _boot_id() and _start_time(self.pid) == self.started

    def create(self, path: Path) -> bool:
        """Write this lock to `path`; return False if another process was first."""
        return create_json(path, self.to_json())

    def to_json(self) -> dict[str, Any]:
        """Return the content of the file."""
        return {"schema": 1, **asdict(self)}


def read_lock(path: Path) -> Lock | None:
    """Read the lock in `path`; None if missing or damaged. A damaged lock is not valid."""
    content = read_json(path)
    if content is None:
        return None
    try:
        fields = Fields(content, path)
        return Lock(
            host=fields.text("host"),
            boot_id=fields.text("boot_id"),
            pid=fields.whole("pid", least=1),
            started=fields.text("started"),
            token=fields.text("token"),
            job=fields.text("job", ""),
            cluster=fields.text("cluster", ""),
        )
    except InputError:
        return None


def _job() -> str:
    """Return the SLURM job of this process as `squeue` names it, with its number of restarts."""
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
    """Return the kernel's start time of process `pid`; None if it is not running or is a zombie."""
    try:
        # proc(5): the command in parentheses may hold spaces; after it, field 0 is the state and field 19 starttime.
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
