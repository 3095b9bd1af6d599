"""Local workers: one process per attempt, forked from a server that has preloaded the heavy modules."""

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
from setpoint.execution.cleanup import kill_group, left_behind
from setpoint.execution.failures import EXIT_STORAGE, STORAGE_ERRORS, describe_exit
from setpoint.execution.limits import Limits, Watch
from setpoint.execution.machine import device_variables, oom_kills, worker_variables
from setpoint.execution.sampling import GpuCounters
from setpoint.execution.task import Outcome, Task
from setpoint.execution.worker import work
from setpoint.processes import main_module_hidden, make_sockets_short
from setpoint.records.failure import Failure, read_failure

_PR_SET_PDEATHSIG = 1
_POLL_S = 0.5
_MAX_SERVER_STARTS = 3
"""Fork servers started before the experiment gives up."""
_DEFAULT_LIMITS = Limits()
_QUIET_TRACKER = "ignore:resource_tracker:UserWarning"
"""Python's resource tracker removes the locks of killed workers; its warnings would only confuse users."""


class LocalExecutor:
    """Runs tasks on this machine.

    The fork server starts with the first task. It only imports modules: after a tensor operation or a CUDA query, its
    forked children would inherit locks and contexts, and hang.
    """

    poll_s = 0.2
    place = "local"
    shares_memory = True

    def __init__(
        self,
        *,
        preload: Sequence[str] = (),
        threads: int = 1,
        limits: Limits = _DEFAULT_LIMITS,
        devices: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Configure the executor; no process is started yet.

        Args:
            preload: modules that the fork server imports, once for all workers.
            threads: OpenMP and BLAS threads per worker.
            limits: limits on every attempt.
            environment: additional environment variables of the workers.
            devices: GPUs, as in CUDA_VISIBLE_DEVICES; each worker gets the GPU with the fewest workers.
        """
        self._preload = [__name__, *preload]
        self._limits = limits
        self._load = Counter(dict.fromkeys(devices, 0))
        self._gpu = GpuCounters() if devices else None
        warnings = ",".join(filter(None, [os.environ.get("PYTHONWARNINGS"), _QUIET_TRACKER]))
        # The server runs as `python -c`, which would put the current folder first on the module path.
        safe_path = {"PYTHONSAFEPATH": "1"}
        self._server_environment = {**worker_variables(threads), "PYTHONWARNINGS": warnings, **safe_path}
        self._environment = {**self._server_environment, **(environment or {})}

    def submit(self, task: Task) -> "LocalJob":
        """Start `task` in a new process and return at once.

        Raises:
            SetpointError: the fork server keeps dying.
        """
        device = min(self._load, key=lambda name: self._load[name], default=None)
        environment = self._environment | ({} if device is None else device_variables(device))
        process = self._start_process(task, environment)
        if device is not None:
            self._load[device] += 1
        return LocalJob(task, process, self._limits, lambda: self._release(device), self._gpu)

    def _start_process(self, task: Task, environment: dict[str, str]) -> BaseProcess:
        """Start a process in the fork server; a server that dies while loading modules is replaced."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(self._preload)
        for _ in range(_MAX_SERVER_STARTS):
            process = context.Process(target=_main, args=(task, environment), name=f"{task.kind}-{task.stage_id}")
            with _environment(self._server_environment):  # libraries read thread counts when the server loads them
                make_sockets_short()
                forkserver.ensure_running()
            try:
                with main_module_hidden():
                    process.start()
            except (EOFError, ConnectionError):
                time.sleep(_POLL_S)  # a new server only starts once the old one is seen to be dead
            else:
                return process
        raise SetpointError(
            f"the worker server died {_MAX_SERVER_STARTS} times while loading {', '.join(self._preload)}. Check its "
            "output; the usual cause is lack of memory."
        )

    def adopt(self, task: Task) -> None:
        """Return None: local workers never outlive their coordinator."""

    def _release(self, device: str | None) -> None:
        if device is not None:
            self._load[device] -= 1


class LocalJob:
    """A worker process and its outcome."""

    def __init__(
        self,
        task: Task,
        process: BaseProcess,
        limits: Limits = _DEFAULT_LIMITS,
        release: Callable[[], None] = lambda: None,
        gpu: GpuCounters | None = None,
    ) -> None:
        """Watch `process`, which runs `task`. When it ends, call `release` once and check `gpu` for leaked memory."""
        self.task = task
        self._process = process
        self._watch = Watch(process.pid or 0, limits)
        self._oom_kills = oom_kills()
        self._release = release
        self._gpu = gpu

    def wait(self, timeout_s: float | None = None) -> Outcome | None:
        """Return the outcome, read from disk, or None if the job is still running after `timeout_s` seconds.

        A job that exceeds a limit is killed here.
        """
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left_s = _POLL_S if deadline_s is None else deadline_s - time.monotonic()
            self._process.join(max(0.0, min(left_s, _POLL_S)))
            if self._process.exitcode is not None:
                return self._outcome()
            if self._watch.due():
                breach = self._watch.breach(self._attempt(), self.task.stage.checkpoints)
                if breach is not None:
                    return self._kill_for(breach)
            if deadline_s is not None and time.monotonic() >= deadline_s:
                return None

    def _outcome(self) -> Outcome:
        """Return the outcome of the worker, after killing any process it left running."""
        self._kill_group()
        left = left_behind(self._process.pid or 0, self._gpu)
        stage = self.task.stage
        if stage.finished():
            return Outcome("finished", left_behind=left)
        attempt = stage.latest_attempt()
        if attempt is None or not self._made(attempt):
            if attempt is not None and attempt.running():
                return Outcome("busy")
            # The worker died before it claimed the stage; its failure record needs an attempt.
            attempt = stage.claim_attempt(self.task.stage_config())
            if attempt is None:
                return Outcome("busy")
        killed = max(0, oom_kills() - self._oom_kills)
        failure = describe_exit(self._process.exitcode, oom_kills=killed, peak_rss_gb=self._watch.peak_rss_gb)
        create_json(attempt.failure, failure.to_json())
        return Outcome("failed", read_failure(attempt.failure), left)

    def cancel(self) -> None:
        """Kill the worker's process group and wait for the worker to exit."""
        self._kill_group()
        self._process.kill()  # the worker may not have called setsid yet
        self._process.join()

    def _kill_for(self, breach: Failure) -> Outcome:
        """Kill a worker that exceeds a limit, unless it has just finished."""
        attempt = self._attempt()
        self.cancel()
        if attempt is not None and not self.task.stage.finished():
            create_json(attempt.failure, breach.to_json())
        return self._outcome()

    def _kill_group(self) -> None:
        self._release()
        self._release = lambda: None
        kill_group(self._process.pid or 0)

    def _attempt(self) -> Attempt | None:
        """Return the attempt of this worker, once it has claimed one."""
        attempt = self.task.stage.latest_attempt()
        return attempt if attempt is not None and self._made(attempt) else None

    def _made(self, attempt: Attempt) -> bool:
        lock = read_lock(attempt.lock)
        return lock is not None and lock.pid == self._process.pid


def _main(task: Task, environment: dict[str, str]) -> None:
    os.setsid()
    _die_with_coordinator()
    os.environ.update(environment)
    faulthandler.enable()
    gc.freeze()  # scanning the preloaded modules would copy pages shared with the server
    try:
        work(task)
    except OSError as error:
        if error.errno not in STORAGE_ERRORS:
            raise
        os._exit(EXIT_STORAGE)  # no record can be written here; the coordinator reports it


def _die_with_coordinator() -> None:
    """Kill this process group when the fork server or the coordinator dies.

    PR_SET_PDEATHSIG (prctl(2)) covers the fork server, which is the parent process for the kernel. The server outlives
    a killed coordinator while any worker runs, so a thread also waits on the coordinator's pipe.
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
