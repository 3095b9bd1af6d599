"""Whether anything of a worker is left after its end: a process of its group, or memory that it holds on a GPU.

What is left would slow the next stage down, or take the memory away that it was promised.
"""

import contextlib
import os
import signal
import time

import psutil

from setpoint.execution.sampling import GpuCounters

PATIENCE_S = 5.0
"""The kernel and the driver take a moment to free what a killed process held."""
_LOOK_S = 0.05


def end_group(worker: int) -> None:
    """Kill what there still is of a worker's process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(worker, signal.SIGKILL)


def left_behind(worker: int, gpu: GpuCounters | None, patience_s: float = PATIENCE_S) -> str:
    """Wait until a worker that was ended is gone in full; what would not go, in words, or nothing."""
    deadline_s = time.monotonic() + patience_s
    while True:
        processes = _group(worker)
        held = gpu is not None and worker in gpu.processes()
        if not processes and not held:
            return ""
        if time.monotonic() >= deadline_s:
            found = [f"processes {', '.join(map(str, processes))}"] if processes else []
            return " and ".join([*found, *([f"GPU memory of process {worker}"] if held else [])])
        time.sleep(_LOOK_S)


def _group(worker: int) -> list[int]:
    """Living processes of the worker's group. One that is dead but was not reaped yet holds nothing."""
    try:
        os.killpg(worker, 0)
    except ProcessLookupError:
        return []
    except PermissionError:
        pass
    return [pid for pid in psutil.pids() if _belongs(pid, worker)]


def _belongs(pid: int, group: int) -> bool:
    try:
        return os.getpgid(pid) == group and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except (OSError, psutil.Error):
        return False
