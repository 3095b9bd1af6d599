"""One attempt at a task in the current process, for batch jobs that may be requeued."""

import os
import signal
import time
from collections.abc import Callable

from setpoint.artifacts import Attempt, Lock, StageFolder, read_lock
from setpoint.artifacts.context import shutdown_signal, watch_shutdown
from setpoint.execution.task import Task
from setpoint.execution.worker import work
from setpoint.records.failure import FailureClass, read_failure

EXIT_SAVED = 75
"""The stage saved a checkpoint and must be restarted; EX_TEMPFAIL of sysexits.h, which some clusters requeue."""
EXIT_BUSY = 76
"""Another process was running the stage the whole time."""
EXIT_NOT_READY = 77
"""An upstream stage is not finished, so no attempt was made."""
_POLL_S = 2.0
_FREE_S = 30.0


def attempt_task(
    task: Task,
    *,
    patience_s: float = 600.0,
    free: Callable[[StageFolder], object] = lambda _: None,
    notify: Callable[[str], None] = lambda _: None,
) -> int:
    """Run the task in this process and return an exit code; call this from the main thread only.

    Args:
        free: frees a stage whose holder has ended; called now and then while another process holds the stage.
        notify: receives one line about what is waited for.

    Returns:
        0: finished, now or earlier. 1: failed; failure.json has the details. 75: stopped by SIGUSR1 or SIGTERM after
        saving a checkpoint. 76: another process held the stage for longer than `patience_s`.
    """
    watch_shutdown((signal.SIGUSR1, signal.SIGTERM))
    deadline_s = time.monotonic() + patience_s
    asked_s, told = float("-inf"), ""
    while True:
        if time.monotonic() - asked_s >= _FREE_S:
            free(task.stage)
            asked_s = time.monotonic()
        work(task)
        if task.stage.finished():
            return 0
        attempt = task.stage.latest_attempt()
        if attempt is not None and _made_here(attempt):
            failure = read_failure(attempt.failure)
            saved = failure is not None and failure.failure_class is FailureClass.PREEMPTED
            return EXIT_SAVED if saved else 1
        if time.monotonic() > deadline_s or shutdown_signal() is not None:
            return EXIT_BUSY
        holder = None if attempt is None else read_lock(attempt.lock)
        if holder is not None and holder.token != told:
            told = holder.token
            notify(f"waiting up to {patience_s / 60.0:.0f} min: {_described(holder)} is computing this stage")
        time.sleep(_POLL_S)


def _described(holder: Lock) -> str:
    job = f"job {holder.job.partition('/')[0]}, " if holder.job else ""
    return f"{job}process {holder.pid} on {holder.host},"


def _made_here(attempt: Attempt) -> bool:
    lock = read_lock(attempt.lock)
    return lock is not None and lock.pid == os.getpid() and lock.alive()
