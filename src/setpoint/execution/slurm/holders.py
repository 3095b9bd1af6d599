"""Free what a job holds after it has ended: SLURM is asked about claims and leases of jobs on other hosts.

Whether a process on another host is alive cannot be checked, but a claim names its job, and SLURM knows of every job
that runs.
"""

import time
from collections.abc import Iterable
from pathlib import Path

from setpoint.artifacts import Lock, StageFolder, create_json, read_lock
from setpoint.errors import SetpointError
from setpoint.execution.slurm.client import Client, user_name
from setpoint.execution.slurm.parsing import QueueEntry
from setpoint.execution.slurm.tracking import CLOCK_SKEW_S, JobState, explain
from setpoint.records.failure import FailureClass, failure_of, read_failure


def free_stages(stages: Iterable[StageFolder], client: Client) -> dict[str, FailureClass]:
    """Record the end of attempts whose jobs have ended without recording it; return stage -> failure class.

    Nothing changes if SLURM does not answer, or does not manage the jobs.
    """
    held: dict[str, tuple[StageFolder, Lock, Path]] = {}
    for stage in stages:
        attempt = stage.latest_attempt()
        lock = read_lock(attempt.lock) if attempt is not None and attempt.running() else None
        if attempt is not None and lock is not None and lock.job and not stage.finished():
            held[_job(lock)] = (stage, lock, attempt.path)
    ended = _ended({job: (lock, path / "claim.json") for job, (_, lock, path) in held.items()}, client)
    found: dict[str, FailureClass] = {}
    for job, entry in ended.items():
        stage, lock, path = held[job]
        state = JobState(job, "lost" if entry is None else "ended", entry, node=lock.host, log_stem=path / "job")
        failure_class, message = explain(state)
        evidence = {"job": job, "slurm_state": entry.state if entry else None, "node": lock.host}
        create_json(path / "failure.json", failure_of(failure_class, message, evidence).to_json())
        recorded = read_failure(path / "failure.json")
        if recorded is not None:
            found[stage.path.name] = recorded.failure_class
    return found


def is_over(lock: Lock, path: Path, client: Client) -> bool:
    """Return whether the job that holds the lock in the file at `path` has ended, as far as SLURM answers."""
    return bool(lock.job) and _job(lock) in _ended({_job(lock): (lock, path)}, client)


def describe(lock: Lock) -> str:
    """Return who holds a lock."""
    job = f"job {_job(lock)}, " if lock.job else ""
    return f"{job}process {lock.pid} on {lock.host}"


def _ended(held: dict[str, tuple[Lock, Path]], client: Client) -> dict[str, QueueEntry | None]:
    """Return, of the jobs that hold locks, the entries of those that have ended; None if SLURM does not know them."""
    if not held:
        return {}
    try:
        client.require()
        own = {job: each for job, each in held.items() if each[0].cluster == client.limits.cluster}
        queue = client.queue(sorted({job.partition("_")[0] for job in own})) if own else {}
    except SetpointError:
        return {}
    found: dict[str, QueueEntry | None] = {}
    for job, (_, path) in own.items():
        entry = queue.get(job)
        if entry is not None and not _holds(entry, path):
            entry = None
        if entry is None or entry.ended:
            found[job] = entry
    return found


def _holds(entry: QueueEntry, path: Path) -> bool:
    """Return whether an entry is about the job that wrote a lock, not about a later one with its id."""
    try:
        written_s = path.stat().st_mtime
    except OSError:
        written_s = time.time()
    restarted = entry.state in {"PENDING", "REQUEUED"}
    return entry.user == user_name() and (restarted or entry.submitted_s <= written_s + CLOCK_SKEW_S)


def _job(lock: Lock) -> str:
    return lock.job.partition("/")[0]
