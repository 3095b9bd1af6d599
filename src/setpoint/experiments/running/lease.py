"""One coordinator for an experiment at a time: numbered locks, the newest of which counts."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from setpoint.artifacts import Lock, read_lock, write_text
from setpoint.errors import InputError


def lease_holder(experiment: Path) -> Lock | None:
    """Who coordinates the experiment now, or None."""
    latest = _latest(experiment)
    if latest is None or latest.with_suffix(".released").exists():
        return None
    lock = read_lock(latest)
    return lock if lock is not None and lock.alive() else None


@contextlib.contextmanager
def lease(experiment: Path) -> Iterator[str]:
    """Hold the experiment, and yield the token that names this tenure; tokens sort by the order of tenures.

    Raises:
        InputError: another coordinator holds it.
    """
    holder = lease_holder(experiment)
    latest = _latest(experiment)
    number = 1 if latest is None else int(latest.stem) + 1
    path = _folder(experiment) / f"{number:04d}.json"
    lock = Lock.of_this_process()
    if holder is not None or not lock.create(path):
        holder = holder or read_lock(path)
        where = f"process {holder.pid} on {holder.host}" if holder else "another process"
        raise InputError(
            f"an experiment has one coordinator at a time, and {where} works on {experiment.name!r}. Wait for it, "
            f"watch it with `setpoint experiment status {experiment.name} --watch`, or end it. If that host is gone "
            f"for good, remove {str(_folder(experiment))!r}."
        )
    try:
        yield f"{number:04d}-{lock.token[:8]}"
    finally:
        write_text(path.with_suffix(".released"), "")


def _folder(experiment: Path) -> Path:
    return experiment / "leases"


def _latest(experiment: Path) -> Path | None:
    """The lock with the highest number; other files, such as copies that a synchronised folder makes, are none."""
    locks = [path for path in _folder(experiment).glob("*.json") if path.stem.isdecimal()]
    return max(locks, key=lambda path: int(path.stem), default=None)
