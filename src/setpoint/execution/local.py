"""Local workers: forked from a server that has the heavy modules loaded already, one process for each attempt."""

import contextlib
import ctypes
import faulthandler
import gc
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from multiprocessing import connection, forkserver
from multiprocessing.process import BaseProcess

from setpoint.artifacts import Attempt, create_json, read_claim, read_json
from setpoint.execution.failures import describe_lost
from setpoint.execution.task import Outcome, Task
from setpoint.execution.worker import work

_PR_SET_PDEATHSIG = 1


class LocalExecutor:
    """Runs tasks on this machine.

    The fork server starts with the first task. It only imports: a tensor operation or a CUDA query in it would leave
    locks and contexts behind that hang its children.
    """

    def __init__(self, *, preload: Sequence[str] = (), threads: int = 1) -> None:
        """Prepare; nothing is started yet.

        Args:
            preload: modules the fork server imports, once for all workers.
            threads: for OpenMP and the linear-algebra libraries of each worker.
        """
        self._preload = [__name__, *preload]
        self._environment = {
            "OMP_NUM_THREADS": str(threads),
            "MKL_NUM_THREADS": str(threads),
            "OPENBLAS_NUM_THREADS": str(threads),
            "TOKENIZERS_PARALLELISM": "false",
        }

    def submit(self, task: Task) -> "LocalJob":
        """Start `task` in a new process and return at once."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(self._preload)
        with _environment(self._environment):  # thread counts are read when a library is loaded: in the server
            forkserver.ensure_running()
        process = context.Process(target=_main, args=(task, self._environment), name=f"{task.kind}-{task.stage_id}")
        process.start()
        return LocalJob(task, process)


class LocalJob:
    """A worker process and what became of it."""

    def __init__(self, task: Task, process: BaseProcess) -> None:
        """Watch `process`, which works on `task`."""
        self.task = task
        self._process = process

    def wait(self, timeout_s: float | None = None) -> Outcome | None:
        """How the job ended, read from the disk, or None when it still runs after `timeout_s` seconds."""
        self._process.join(timeout_s)
        if self._process.exitcode is None:
            return None
        stage = self.task.stage
        if stage.finished():
            return Outcome("finished")
        attempt = stage.latest_attempt()
        if attempt is None or not self._made(attempt):
            if attempt is not None and attempt.running():
                return Outcome("busy")
            # It died before it could claim the stage, and the record of that needs an attempt.
            attempt = stage.claim_attempt(description=self.task.describe())
            if attempt is None:
                return Outcome("busy")
        create_json(attempt.failure, describe_lost(self._process.exitcode))
        return Outcome("failed", read_json(attempt.failure))

    def cancel(self) -> None:
        """Kill the worker's process group and wait for its end."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid or 0, signal.SIGKILL)
        self._process.kill()  # for a worker that had no group of its own yet
        self._process.join()

    def _made(self, attempt: Attempt) -> bool:
        claim = read_claim(attempt.claim)
        return claim is not None and claim.pid == self._process.pid


def _main(task: Task, environment: dict[str, str]) -> None:
    os.setsid()
    _die_with_the_coordinator()
    os.environ.update(environment)
    faulthandler.enable()
    gc.freeze()  # the preloaded modules are no garbage; walking them would copy the pages shared with the server
    work(task)


def _die_with_the_coordinator() -> None:
    """Have the kernel, and a thread, end this process group when the processes above it are gone.

    The death signal covers the fork server, which is the parent in the kernel's eyes. The server lives as long as any
    worker does, so it does not follow a killed coordinator by itself; the thread waits on the coordinator's pipe.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    coordinator = multiprocessing.parent_process()
    assert coordinator is not None

    def watch() -> None:
        connection.wait([coordinator.sentinel])
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, name="coordinator-watch", daemon=True).start()


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
