"""One attempt at a task in this very process, for jobs that a batch system starts and may start again."""

import os
import signal
import time

from setpoint.artifacts import Attempt, read_lock
from setpoint.artifacts.context import shutdown_signal, watch_shutdown
from setpoint.execution.task import Task
from setpoint.execution.worker import work
from setpoint.records.failure import FailureClass, read_failure

EXIT_SAVED = 75
"""The stage saved its state and wants to be started again; EX_TEMPFAIL, which some clusters requeue by themselves."""
EXIT_BUSY = 76
"""Somebody else was computing the stage all the time."""
EXIT_NOT_READY = 77
"""What the stage needs is not finished, so that nothing was tried."""
_LOOK_S = 2.0


def attempt_task(task: Task, *, patience_s: float = 600.0) -> int:
    """Do what a local worker does, and say in an exit code what came of it; only the main thread may call this.

    0 finished, now or before; 1 failed, as failure.json says; 75 asked to end by SIGUSR1 or SIGTERM, with its state
    saved; 76 somebody else was computing it for longer than `patience_s`.
    """
    watch_shutdown((signal.SIGUSR1, signal.SIGTERM))
    deadline_s = time.monotonic() + patience_s
    while True:
        work(task)
        if task.stage.finished():
            return 0
        attempt = task.stage.latest_attempt()
        if attempt is not None and _ours(attempt):
            failure = read_failure(attempt.failure)
            saved = failure is not None and failure.failure_class is FailureClass.PREEMPTED
            return EXIT_SAVED if saved else 1
        if time.monotonic() > deadline_s or shutdown_signal() is not None:
            return EXIT_BUSY
        time.sleep(_LOOK_S)


def _ours(attempt: Attempt) -> bool:
    lock = read_lock(attempt.lock)
    return lock is not None and lock.pid == os.getpid() and lock.alive()
