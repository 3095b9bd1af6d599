"""How many processes this machine has room for, and a map over several whose results come in order."""

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Protocol, TypeVar

_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")

T = TypeVar("T")
R = TypeVar("R")


def usable_cores() -> int:
    """Cores that this process may use: its affinity, and its container's quota where there is one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = _CPU_QUOTA.read_text(encoding="ascii").split()
        return max(1, min(cores, int(quota) // int(period)))
    except (OSError, ValueError):  # no such controller, or no quota
        return cores


class OrderedMap(Protocol):
    """`map` for one iterable."""

    def __call__(self, function: Callable[[T], R], items: Iterable[T], /) -> Iterator[R]:
        """The results of `function`, in the order of `items`."""


@contextmanager
def ordered_map(workers: int) -> "Iterator[OrderedMap]":
    """A map over `workers` processes; within this process for one. Functions and items must be picklable."""
    if workers <= 1:
        yield map
        return
    context = multiprocessing.get_context("spawn")  # forking a process that may have threads can hang
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent) as pool:

        def run_all(function: Callable[[T], R], items: Iterable[T], /) -> Iterator[R]:
            with main_module_hidden():  # all processes start here, when the items are submitted
                return pool.map(function, items)

        yield run_all


@contextmanager
def main_module_hidden() -> Iterator[None]:
    """Start processes in the body without importing the program's own main module in them.

    Otherwise a script without `if __name__ == "__main__"` would start all over in each of its workers. Whatever runs in
    a worker has to be importable by its name.
    """
    # multiprocessing.spawn.get_preparation_data looks for these two, and imports nothing where they are missing.
    main = sys.modules["__main__"]
    kept: dict[str, Any] = {name: vars(main).pop(name) for name in ("__file__", "__spec__") if name in vars(main)}
    main.__spec__ = None
    try:
        yield
    finally:
        vars(main).update(kept)


def _end_with_parent() -> None:
    """Make this process end when the one that started it is killed; an idle worker would not notice."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_after, args=(parent,), daemon=True).start()


def _exit_after(process: BaseProcess) -> None:
    process.join()
    os._exit(1)
