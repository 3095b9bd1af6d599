"""Lease that limits an experiment to one coordinator: numbered locks; the newest is valid."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from setpoint.artifacts import Lock, open_for_writing, read_lock, write_text
from setpoint.errors import InputError


def lease_holder(experiment: Path) -> Lock | None:
    """Return the lock of the coordinator that is running the experiment, or None."""
    latest = _latest(experiment)
    if latest is None or latest.with_suffix(".released").exists():
        return None
    lock = read_lock(latest)
    return lock if lock is not None and lock.alive() else None


@contextlib.contextmanager
def lease(experiment: Path) -> Iterator[str]:
    """Hold the experiment, and yield a token for this lease. Tokens sort in the order of leases.

    Raises:
        InputError: another coordinator holds it, or its folder has links.
    """
    open_for_writing(experiment)
    holder = lease_holder(experiment)
    latest = _latest(experiment)
    number = 1 if latest is None else int(latest.stem) + 1
    path = _folder(experiment) / f"{number:04d}.json"
    lock = Lock.of_this_process()
    if holder is not None or not lock.create(path):
        holder = holder or read_lock(path)
        where = f"process {holder.pid} on {holder.host}" if holder else "another process"
        raise InputError(
            f"experiment {experiment.name!r} is being run by {where}. Wait for it, watch it with `setpoint experiment "
            f"status {experiment.name} --watch`, or stop it. If that host is permanently down, remove "
            f"{str(_folder(experiment))!r}."
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
