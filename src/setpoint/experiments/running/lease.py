"""Lease that limits an experiment to one coordinator: numbered locks; the newest is valid."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

from setpoint.artifacts import Lock, open_for_writing, read_lock, write_text
from setpoint.errors import InputError
from setpoint.execution.slurm import Client
from setpoint.execution.slurm.holders import describe, is_over


def lease_holder(experiment: Path) -> Lock | None:
    """Return the lock of the coordinator that is running the experiment, or None."""
    latest = _latest(experiment)
    if latest is None or latest.with_suffix(".released").exists():
        return None
    lock = read_lock(latest)
    return lock if lock is not None and lock.alive() else None


@contextlib.contextmanager
def lease(experiment: Path, *, take_over: bool = False) -> Iterator[str]:
    """Hold the experiment, and yield a token for this lease. Tokens sort in the order of leases.

    Args:
        take_over: whether to take it from a coordinator on another host, which cannot be asked whether it runs. If it
            does, both submit stages, and some are computed twice; results are the same.

    Raises:
        InputError: another coordinator holds it, or its folder has links.
    """
    open_for_writing(experiment)
    holder = lease_holder(experiment)
    latest = _latest(experiment)
    number = 1 if latest is None else int(latest.stem) + 1
    path = _folder(experiment) / f"{number:04d}.json"
    lock = Lock.of_this_process()
    elsewhere = holder is not None and holder.host != socket.gethostname()
    if holder is not None and elsewhere and (take_over or (latest is not None and is_over(holder, latest, Client()))):
        holder = None
    if holder is not None or not lock.create(path):
        holder = holder or read_lock(path)
        raise InputError(
            f"experiment {experiment.name!r} is being run by {describe(holder) if holder else 'another process'}. Wait "
            f"for it, watch it with `setpoint experiment status {experiment.name} --watch`, or stop it."
            + (" If it does not run any more, take over with --take-over." if elsewhere else "")
        )
    try:
        yield f"{number:04d}-{lock.token[:8]}"
    finally:
        write_text(path.with_suffix(".released"), "")


def _folder(experiment: Path) -> Path:
    return experiment / "leases"


def _latest(experiment: Path) -> Path | None:
    """Return the lock with the highest number. Other files, such as conflict copies of a sync client, are ignored."""
    locks = [path for path in _folder(experiment).glob("*.json") if path.stem.isdecimal()]
    return max(locks, key=lambda path: int(path.stem), default=None)
