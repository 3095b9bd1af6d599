"""Limits on an attempt, watched from outside: time, memory, and how long it may go without any progress."""

import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from setpoint.artifacts import Attempt
from setpoint.records.failure import Failure, FailureClass, failure_of

_LOOK_EVERY_S = 1.0
_CPU_OF_PROGRESS_S = 0.5
"""Processor seconds between two looks that count as progress, in a stage that has no training curve yet."""


@dataclass(frozen=True, slots=True)
class Limits:
    """None stands for no limit.

    Attributes:
        time_s: of one attempt.
        memory_gb: resident memory of a worker and everything below it.
        stall_s: without a new line of the training curve, a log or a checkpoint.
    """

    time_s: float | None = None
    memory_gb: float | None = None
    stall_s: float | None = 1800.0


class Watch:
    """Looks at one worker, where `due` about once a second."""

    def __init__(self, pid: int, limits: Limits) -> None:
        """Start the clocks."""
        self._process = psutil.Process(pid) if psutil.pid_exists(pid) else None
        self._limits = limits
        self._started_s = self._looked_s = self._progress_s = time.monotonic()
        self._marks: tuple[object, ...] = ()
        self._cpu_s = 0.0
        self.peak_rss_gb = 0.0

    def due(self) -> bool:
        """Whether it is time to look again."""
        return self._process is not None and time.monotonic() - self._looked_s >= _LOOK_EVERY_S

    def breach(self, attempt: Attempt | None, checkpoints: Path) -> Failure | None:
        """Look, and say which limit the worker exceeds now, if any."""
        if self._process is None:
            return None
        now = self._looked_s = time.monotonic()
        rss_gb, cpu_s = _usage(self._process)
        self.peak_rss_gb = max(self.peak_rss_gb, rss_gb)
        self._note_progress(now, cpu_s, attempt, checkpoints)
        limits = self._limits
        if limits.memory_gb is not None and rss_gb > limits.memory_gb:
            evidence = {"rss_gb": round(rss_gb, 3), "memory_limit_gb": limits.memory_gb}
            return failure_of(
                FailureClass.HOST_OOM, f"the stage used {rss_gb:.2f} GB of {limits.memory_gb:g} GB", evidence
            )
        if limits.time_s is not None and now - self._started_s > limits.time_s:
            evidence = {"wall_s": round(now - self._started_s, 1), "time_limit_s": limits.time_s}
            return failure_of(FailureClass.TIMEOUT, f"the attempt took longer than {limits.time_s:g} s", evidence)
        if limits.stall_s is not None and now - self._progress_s > limits.stall_s:
            evidence = {"seconds_without_progress": round(now - self._progress_s, 1), "stall_limit_s": limits.stall_s}
            return failure_of(FailureClass.STALLED, f"there was no progress for {limits.stall_s:g} s", evidence)
        return None

    def _note_progress(self, now: float, cpu_s: float, attempt: Attempt | None, checkpoints: Path) -> None:
        """New output is progress. So is computing, until there is a training curve: a hung GPU call computes too."""
        curve = attempt is not None and attempt.metrics.exists()
        places = [*(_written_by(attempt) if attempt else ()), *checkpoints.glob("*/*")]
        marks = tuple(sorted((str(path), _size_and_time(path)) for path in places))
        computed = not curve and cpu_s - self._cpu_s >= _CPU_OF_PROGRESS_S
        if marks != self._marks or computed:
            self._marks, self._cpu_s, self._progress_s = marks, cpu_s, now


def _written_by(attempt: Attempt) -> list[Path]:
    """What the code of the stage writes; what it has cost so far is written by a thread that goes on when it hangs."""
    return [attempt.metrics, attempt.stdout, attempt.stderr, *attempt.output.glob("*")]


def _usage(process: psutil.Process) -> tuple[float, float]:
    """Resident gigabytes and processor seconds of a process and everything below it."""
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
