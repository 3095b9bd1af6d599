"""Number of usable cores, an ordered map over worker processes, and pauses of the garbage collector."""

import gc
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import util
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Protocol, TypeVar

from setpoint.errors import InputError, shown

_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")

T = TypeVar("T")
R = TypeVar("R")


def usable_cores() -> int:
    """Return the number of cores that this process may use, from its CPU affinity and its container's quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = _CPU_QUOTA.read_text(encoding="ascii").split()
        return max(1, min(cores, int(quota) // int(period)))
    except (OSError, ValueError):  # no cgroup controller, or no quota
        return cores


@contextmanager
def uncollected() -> Iterator[None]:
    """Without the search for cycles of garbage, which takes a fifth of the time where masses of objects stay."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class OrderedMap(Protocol):
    """The built-in `map`, for one iterable."""

    def __call__(self, function: Callable[[T], R], items: Iterable[T], /) -> Iterator[R]:
        """Return the results of `function`, in the order of `items`."""


@contextmanager
def ordered_map(workers: int) -> "Iterator[OrderedMap]":
    """Yield a map over `workers` processes, or in this process for one. Functions and items must be picklable."""
    if workers <= 1:
        yield map
        return
    context = multiprocessing.get_context("spawn")  # forking a process with threads can deadlock
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent) as pool:

        def run_all(function: Callable[[T], R], items: Iterable[T], /) -> Iterator[R]:
            with main_module_hidden():  # all processes start here, when items are submitted
                return pool.map(function, items)

        try:
            yield run_all
        except BaseException:
            _stop(pool)
            raise


def _stop(pool: ProcessPoolExecutor) -> None:
    """End the processes of `pool` without waiting for what they compute."""
    processes = list((pool._processes or {}).values())  # no public access before Python 3.14
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.terminate()


@contextmanager
def main_module_hidden() -> Iterator[None]:
    """Start processes in the body that do not import the program's main module.

    Otherwise a script without `if __name__ == "__main__"` would run again in each of its workers. Functions that run in
    a worker must be importable by name.
    """
    # multiprocessing.spawn.get_preparation_data reads these attributes, and imports nothing if they are missing.
    main = sys.modules["__main__"]
    kept: dict[str, Any] = {name: vars(main).pop(name) for name in ("__file__", "__spec__") if name in vars(main)}
    main.__spec__ = None
    try:
        yield
    finally:
        vars(main).update(kept)


_SHORT_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")
_LONGEST_FOLDER = 70
"""Bytes of a folder whose sockets still have names within the 108 bytes of Linux (unix(7))."""


def make_sockets_short() -> None:
    """Make sockets of `multiprocessing` possible where the folder for temporary files has a long name.

    Raises:
        InputError: no folder with a short name is writable.
    """
    if len(os.fsencode(tempfile.gettempdir())) <= _LONGEST_FOLDER:
        return
    usable = [folder for folder in _SHORT_FOLDERS if os.access(folder, os.W_OK | os.X_OK)]
    if not usable:
        raise InputError(
            f"worker processes need a writable temporary folder with a name of at most {_LONGEST_FOLDER} bytes, got "
            f"{shown(tempfile.gettempdir())}. Set TMPDIR to another one."
        )
    given, tempfile.tempdir = tempfile.tempdir, usable[0]
    try:
        util.get_temp_dir()  # made now, and kept for every later socket of this process
    finally:
        tempfile.tempdir = given


def _end_with_parent() -> None:
    """Exit when the parent process is killed, which an idle worker would not notice, and leave Ctrl-C to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_after, args=(parent,), daemon=True).start()


def _exit_after(process: BaseProcess) -> None:
    process.join()
    os._exit(1)
