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
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing import connection, forkserver
from multiprocessing.process import BaseProcess

from setpoint.artifacts import Attempt, create_json, read_lock
from setpoint.errors import SetpointError
from setpoint.execution.cleanup import end_group, left_behind
from setpoint.execution.failures import EXIT_STORAGE, STORAGE_ERRORS, describe_ended
from setpoint.execution.limits import Limits, Watch
from setpoint.execution.machine import device_variables, oom_kills, worker_variables
from setpoint.execution.sampling import GpuCounters
from setpoint.execution.task import Outcome, Task
from setpoint.execution.worker import work
from setpoint.processes import main_module_hidden
from setpoint.records.failure import Failure, read_failure

_PR_SET_PDEATHSIG = 1
_LOOK_S = 0.5
_SERVERS = 3
"""Fork servers that are tried before an experiment gives up."""
_USUAL = Limits()
_QUIET_TRACKER = "ignore:resource_tracker:UserWarning"
"""Python's tracker removes the locks of workers that were killed, and need not tell the user so."""


class LocalExecutor:
    """Runs tasks on this machine.

    The fork server starts with the first task. It only imports: a tensor operation or a CUDA query in it would leave
    locks and contexts behind that hang its children.
    """

    poll_s = 0.2
    shares_memory = True

    def __init__(
        self,
        *,
        preload: Sequence[str] = (),
        threads: int = 1,
        limits: Limits = _USUAL,
        devices: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare; nothing is started yet.

        Args:
            preload: modules the fork server imports, once for all workers.
            threads: for OpenMP and the linear-algebra libraries of each worker.
            limits: of every attempt.
            environment: more variables for the workers.
            devices: GPUs, as CUDA_VISIBLE_DEVICES names them; each worker sees the one with the fewest workers.
        """
        self._preload = [__name__, *preload]
        self._limits = limits
        self._load = Counter(dict.fromkeys(devices, 0))
        self._gpu = GpuCounters() if devices else None
        warnings = ",".join(filter(None, [os.environ.get("PYTHONWARNINGS"), _QUIET_TRACKER]))
        # The server is a `python -c`, which would import what lies in the current folder before the library itself.
        safe = {"PYTHONSAFEPATH": "1"}
        self._server_environment = {**worker_variables(threads), "PYTHONWARNINGS": warnings, **safe}
        self._environment = {**self._server_environment, **(environment or {})}

    def submit(self, task: Task) -> "LocalJob":
        """Start `task` in a new process and return at once.

        Raises:
            SetpointError: the server that starts the workers ends again and again.
        """
        device = min(self._load, key=lambda name: self._load[name], default=None)
        environment = self._environment | ({} if device is None else device_variables(device))
        process = self._started(task, environment)
        if device is not None:
            self._load[device] += 1
        return LocalJob(task, process, self._limits, lambda: self._release(device), self._gpu)

    def _started(self, task: Task, environment: dict[str, str]) -> BaseProcess:
        """A process of the fork server; one that was killed while it loaded its modules is replaced."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(self._preload)
        for _ in range(_SERVERS):
            process = context.Process(target=_main, args=(task, environment), name=f"{task.kind}-{task.stage_id}")
            with _environment(self._server_environment):  # thread counts are read when a library is loaded: in it
                forkserver.ensure_running()
            try:
                with main_module_hidden():
                    process.start()
            except (EOFError, ConnectionError):
                time.sleep(_LOOK_S)  # until the kernel has noted its end, without which no other would be started
            else:
                return process
        raise SetpointError(
            f"the server that starts workers ended {_SERVERS} times while it loaded {', '.join(self._preload)}. "
            "See what it printed; most often memory is short."
        )

    def adopt(self, task: Task) -> None:
        """Nothing: local workers end with their coordinator."""

    def _release(self, device: str | None) -> None:
        if device is not None:
            self._load[device] -= 1


class LocalJob:
    """A worker process and what became of it."""

    def __init__(
        self,
        task: Task,
        process: BaseProcess,
        limits: Limits = _USUAL,
        release: Callable[[], None] = lambda: None,
        gpu: GpuCounters | None = None,
    ) -> None:
        """Watch `process`, which works on `task`; call `release` once when it has ended. `gpu` is looked at then."""
        self.task = task
        self._process = process
        self._watch = Watch(process.pid or 0, limits)
        self._oom_kills = oom_kills()
        self._release = release
        self._gpu = gpu

    def wait(self, timeout_s: float | None = None) -> Outcome | None:
        """How the job ended, read from the disk, or None when it still runs after `timeout_s` seconds.

        A job that exceeds a limit is ended here.
        """
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left_s = _LOOK_S if deadline_s is None else deadline_s - time.monotonic()
            self._process.join(max(0.0, min(left_s, _LOOK_S)))
            if self._process.exitcode is not None:
                return self._ended()
            if self._watch.due():
                breach = self._watch.breach(self._attempt(), self.task.stage.checkpoints)
                if breach is not None:
                    return self._end_for(breach)
            if deadline_s is not None and time.monotonic() >= deadline_s:
                return None

    def _ended(self) -> Outcome:
        """What the worker came to; nothing of it may go on running."""
        self._end_group()
        left = left_behind(self._process.pid or 0, self._gpu)
        stage = self.task.stage
        if stage.finished():
            return Outcome("finished", left_behind=left)
        attempt = stage.latest_attempt()
        if attempt is None or not self._made(attempt):
            if attempt is not None and attempt.running():
                return Outcome("busy")
            # It died before it could claim the stage, and the record of that needs an attempt.
            attempt = stage.claim_attempt(self.task.asked())
            if attempt is None:
                return Outcome("busy")
        killed = max(0, oom_kills() - self._oom_kills)
        ended = describe_ended(self._process.exitcode, oom_kills=killed, peak_rss_gb=self._watch.peak_rss_gb)
        create_json(attempt.failure, ended.to_json())
        return Outcome("failed", read_failure(attempt.failure), left)

    def cancel(self) -> None:
        """Kill the worker's process group and wait for its end."""
        self._end_group()
        self._process.kill()  # for a worker that had no group of its own yet
        self._process.join()

    def _end_for(self, breach: Failure) -> Outcome:
        """End a worker that exceeds a limit, unless it has just finished."""
        attempt = self._attempt()
        self.cancel()
        if attempt is not None and not self.task.stage.finished():
            create_json(attempt.failure, breach.to_json())
        return self._ended()

    def _end_group(self) -> None:
        self._release()
        self._release = lambda: None
        end_group(self._process.pid or 0)

    def _attempt(self) -> Attempt | None:
        """The attempt that this worker makes, once it has claimed one."""
        attempt = self.task.stage.latest_attempt()
        return attempt if attempt is not None and self._made(attempt) else None

    def _made(self, attempt: Attempt) -> bool:
        lock = read_lock(attempt.lock)
        return lock is not None and lock.pid == self._process.pid


def _main(task: Task, environment: dict[str, str]) -> None:
    os.setsid()
    _die_with_the_coordinator()
    os.environ.update(environment)
    faulthandler.enable()
    gc.freeze()  # the preloaded modules are no garbage; walking them would copy the pages shared with the server
    try:
        work(task)
    except OSError as error:
        if error.errno not in STORAGE_ERRORS:
            raise
        os._exit(EXIT_STORAGE)  # nothing can be written, and the coordinator says so


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
