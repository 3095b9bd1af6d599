"""Detect what a worker leaks: processes of its group, and GPU memory.

Leaked processes slow the next stage down; leaked memory may make it fail.
"""

import contextlib
import os
import signal
import time

import psutil

from setpoint.execution.sampling import GpuCounters

PATIENCE_S = 5.0
"""Grace period: the kernel and the driver take a moment to free the memory of a killed process."""
_POLL_S = 0.05


def kill_group(worker: int) -> None:
    """Kill the remaining processes of a worker's group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(worker, signal.SIGKILL)


def left_behind(worker: int, gpu: GpuCounters | None, patience_s: float = PATIENCE_S) -> str:
    """Wait for a stopped worker to disappear; describe leaked processes and GPU memory, or return an empty text."""
    deadline_s = time.monotonic() + patience_s
    while True:
        processes = _group(worker)
        held = gpu is not None and worker in gpu.processes()
        if not processes and not held:
            return ""
        if time.monotonic() >= deadline_s:
            found = [f"processes {', '.join(map(str, processes))}"] if processes else []
            return " and ".join([*found, *([f"GPU memory of process {worker}"] if held else [])])
        time.sleep(_POLL_S)


def _group(worker: int) -> list[int]:
    """Return the live processes of the worker's group; zombies hold no resources and are ignored."""
    try:
        os.killpg(worker, 0)
    except ProcessLookupError:
        return []
    except PermissionError:  # the group exists, but belongs to another user
        pass
    return [pid for pid in psutil.pids() if _belongs(pid, worker)]


def _belongs(pid: int, group: int) -> bool:
    try:
        return os.getpgid(pid) == group and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except (OSError, psutil.Error):
        return False
