"""Limits on an attempt, enforced by the parent process: time, memory, and time without progress."""

import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from setpoint.arguments import require_number
from setpoint.artifacts import Attempt
from setpoint.errors import InputError
from setpoint.records.failure import Failure, FailureClass, failure_of

_CHECK_INTERVAL_S = 1.0
_PROGRESS_CPU_S = 0.5
"""CPU time between two checks that counts as progress, while the stage has no training curve yet."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on one attempt; None means no limit.

    Attributes:
        time_s: wall-clock time, in s.
        memory_gb: resident memory of the worker and its descendants, in GB.
        stall_s: time without new output in the training curve, a log or a checkpoint, in s.
    """

    time_s: float | None = None
    memory_gb: float | None = None
    stall_s: float | None = 1800.0

    def __post_init__(self) -> None:
        """Reject limits that are not positive numbers."""
        for name in ("time_s", "memory_gb", "stall_s"):
            limit = getattr(self, name)
            if limit is not None and not require_number(limit, name) > 0:
                raise InputError(f"{name} must be positive, or None for no limit, got {limit}.")


class Watch:
    """Checks one worker against its limits; `due` about once a second."""

    def __init__(self, pid: int, limits: Limits) -> None:
        """Start timing the process `pid`."""
        self._process = psutil.Process(pid) if psutil.pid_exists(pid) else None
        self._limits = limits
        self._started_s = self._checked_s = self._progress_s = time.monotonic()
        self._marks: tuple[object, ...] = ()
        self._cpu_s = 0.0
        self.peak_rss_gb = 0.0

    def due(self) -> bool:
        """Return whether the next check is due."""
        return self._process is not None and time.monotonic() - self._checked_s >= _CHECK_INTERVAL_S

    def breach(self, attempt: Attempt | None, checkpoints: Path) -> Failure | None:
        """Check the worker and return the failure for the limit it exceeds, if any."""
        if self._process is None:
            return None
        now = self._checked_s = time.monotonic()
        rss_gb, cpu_s = _usage(self._process)
        self.peak_rss_gb = max(self.peak_rss_gb, rss_gb)
        self._note_progress(now, cpu_s, attempt, checkpoints)
        limits = self._limits
        if limits.memory_gb is not None and rss_gb > limits.memory_gb:
            evidence = {"rss_gb": round(rss_gb, 3), "memory_limit_gb": limits.memory_gb}
            return failure_of(
                FailureClass.HOST_OOM, f"the stage used {rss_gb:.2f} GB (limit: {limits.memory_gb:g} GB)", evidence
            )
        if limits.time_s is not None and now - self._started_s > limits.time_s:
            evidence = {"wall_s": round(now - self._started_s, 1), "time_limit_s": limits.time_s}
            return failure_of(
                FailureClass.TIMEOUT, f"the attempt exceeded its time limit of {limits.time_s:g} s", evidence
            )
        if limits.stall_s is not None and now - self._progress_s > limits.stall_s:
            evidence = {"seconds_without_progress": round(now - self._progress_s, 1), "stall_limit_s": limits.stall_s}
            return failure_of(FailureClass.STALLED, f"the stage made no progress for {limits.stall_s:g} s", evidence)
        return None

    def _note_progress(self, now: float, cpu_s: float, attempt: Attempt | None, checkpoints: Path) -> None:
        """Note new output, or CPU time while there is no training curve: a hung GPU call uses CPU time, too."""
        curve = attempt is not None and attempt.metrics.exists()
        paths = [*(_written_by(attempt) if attempt else ()), *checkpoints.glob("*/*")]
        marks = tuple(sorted((str(path), _size_and_time(path)) for path in paths))
        computed = not curve and cpu_s - self._cpu_s >= _PROGRESS_CPU_S
        if marks != self._marks or computed:
            self._marks, self._cpu_s, self._progress_s = marks, cpu_s, now


def _written_by(attempt: Attempt) -> list[Path]:
    """Return the files written by the stage code; the resource log is excluded, since it grows during a hang."""
    return [attempt.metrics, attempt.stdout, attempt.stderr, *attempt.output.glob("*")]


def _usage(process: psutil.Process) -> tuple[float, float]:
    """Return resident memory (GB) and CPU time (s) of a process and its descendants."""
    rss, cpu = 0, 0.0
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        return 0.0, 0.0
    for member in family:
        try:
            rss += member.memory_info().rss
            times = member.cpu_times()
            cpu += times.user + times.system
        except psutil.Error:
            continue
    return rss / 1e9, cpu


def _size_and_time(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_size, found.st_mtime_ns
