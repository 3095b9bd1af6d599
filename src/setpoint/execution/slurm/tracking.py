"""Determine the state of jobs. Sources in order of precedence:

1. the stage folder: a finished stage is finished, whatever SLURM reports about its job
2. marks: files written by the script at its start and, from its EXIT trap, with its exit code
3. `squeue --states=all`: queued, running and recently ended jobs
4. `sacct`, if the cluster has accounting: why a job ended, and whether a step ran out of memory
5. `scontrol`, and on clusters without accounting its output saved by the recorder job
6. a job that no source knows and that has no end mark is lost; it never counts as a success

A source that does not answer changes nothing. An entry counts only if it is about our job: ids are reused, and other
workspaces and users have jobs too, so user, name of the script and time of submission must agree.
"""

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from setpoint.artifacts import Attempt, StageConfig, StageFolder, create_json, read_lock
from setpoint.execution.attempt import EXIT_BUSY, EXIT_NOT_READY, EXIT_SAVED
from setpoint.execution.slurm.client import Client, Unavailable, user_name
from setpoint.execution.slurm.marks import StartMark, exit_code, read_starts, starts
from setpoint.execution.slurm.parsing import QueueEntry, control
from setpoint.execution.slurm.script import LOGS, MARKS, Batch, Submission, read_batches, read_jobs
from setpoint.execution.task import Outcome
from setpoint.records.failure import FailureClass, failure_of, read_failure
from setpoint.regular_files import read_end

RECORDS = "records"
_NO_LOG = "0:53"
"""Exit code that SLURM reports for a job whose log cannot be opened."""
_LOG_TAIL = 4000
_MOST_RECORDED = 10_000_000
_CLOCK_SKEW_S = 3600.0
"""Largest difference between the clocks of two machines; munge accepts less."""
_CONTROL_PER_POLL = 10
"""Number of arrays per poll for which `scontrol`, which takes one job a call, is asked."""
_OOM_LINE = re.compile(r"^slurmstepd(-\S+)?: error: .*(exceeded ((job|step) )?memory limit|oom[-_ ]kill)", re.I | re.M)


@dataclass(frozen=True, slots=True)
class JobState:
    """State of the last job of a stage.

    Attributes:
        job: job id, such as `12_3`.
        state: `unknown` if no source answers; `lost` if all sources answer and none knows the job.
        seen: SLURM's entry for the job.
        exit_code: exit code from the end mark of the script, if it exists.
        started: whether there is a start mark.
        log_stem: path of the script's log without the job id; the log may not exist.
        found_finished: whether the stage was already finished on disk, so that SLURM was not queried.
    """

    job: str
    state: Literal["queued", "running", "ended", "lost", "unknown"]
    seen: QueueEntry | None = None
    exit_code: int | None = None
    started: bool = False
    node: str = ""
    log_stem: Path = Path()
    found_finished: bool = False

    @property
    def log(self) -> Path:
        """Log of the script."""
        return Path(f"{self.log_stem}-{self.job}.log")

    @property
    def over(self) -> bool:
        """Whether the job has ended or is lost."""
        return self.state in {"ended", "lost"}

    @property
    def never_tried(self) -> bool:
        """Whether the job made no attempt: a dependency failed, or another job holds the stage.

        SLURM also lists a job that it rejected as failed without a node.
        """
        ended = "" if self.seen is None else self.seen.state
        unused = not self.started and (ended == "CANCELLED" or (ended == "FAILED" and not self.node))
        return self.over and (unused or self.exit_code in {EXIT_BUSY, EXIT_NOT_READY})


@dataclass(frozen=True, slots=True)
class _ArrayTask:
    """Array task of a stage.

    Attributes:
        job: job id, `array_index`.
        script: name of its script, and of the job.
        log_stem: path of the log without the job id.
        submitted_s: earliest time of submission, in s since 1970; 0 if unknown.
        marked_s: time of its start mark; None without one.
    """

    job: str
    script: str
    log_stem: Path
    submitted_s: float = 0.0
    marked_s: float | None = None

    @property
    def array(self) -> str:
        """Id of the job array."""
        return self.job.partition("_")[0]

    def describes(self, entry: QueueEntry) -> bool:
        """Return whether an entry with this id is about this submission of the script, not about an older job."""
        if entry.name == self.script:
            return not entry.submitted_s or entry.submitted_s >= self.submitted_s - _CLOCK_SKEW_S
        return self.marked_s is not None and entry.submitted_s <= self.marked_s + _CLOCK_SKEW_S


class Tracker:
    """Follows the jobs of one experiment."""

    def __init__(self, client: Client, folder: Path, *, lost_after_s: float = 30.0) -> None:
        """Follow the jobs of the scripts in `folder`.

        Args:
            lost_after_s: time after which a job that no source knows counts as lost, in s.
        """
        self._client = client
        self._folder = folder
        self._lost_after_s = lost_after_s
        self._users = {"", user_name(), str(os.getuid())}
        self._unseen_since_s: dict[str, float] = {}
        self._named: dict[str, list[QueueEntry]] | None = None
        self._over: dict[str, JobState] = {}
        self._lists: dict[Path, Batch] = {}
        self._jobs: dict[Path, tuple[Submission, ...]] = {}
        self._tasks: dict[str, _ArrayTask] = {}
        self._last_queue: dict[str, QueueEntry] = {}
        self._last_queue_s = float("-inf")

    def tasks(self) -> dict[str, _ArrayTask]:
        """Return stage -> array task of its last submission; stages that were never submitted have none."""
        self._lists |= read_batches(self._folder, skip=self._lists)
        jobs = {path: tuple(read_jobs(path.with_suffix(".jobs"))) for path in self._lists}
        by_hand = {batch.name for path, batch in self._lists.items() if not jobs[path]}
        self._find_by_name(by_hand if self._named is not None else self.scripts())
        if jobs != self._jobs or by_hand:
            self._jobs, self._tasks = jobs, self._latest_tasks(jobs)
        return self._tasks

    def scripts(self) -> set[str]:
        """Return the names of the scripts, which are those of their jobs."""
        self._lists |= read_batches(self._folder, skip=self._lists)
        return {batch.name for batch in self._lists.values()}

    def _latest_tasks(self, jobs: Mapping[Path, tuple[Submission, ...]]) -> dict[str, _ArrayTask]:
        """Order the submissions of each stage by time, never by id; marks decide which stage a job is of."""
        marks = read_starts(self._folder / MARKS)
        owners = {mark.job: stage for stage, found in marks.items() for mark in found}
        latest: dict[str, tuple[float, _ArrayTask]] = {}
        for path, batch in self._lists.items():
            stem = path.parent / LOGS / batch.name
            named = [
                entry
                for entry in (self._named or {}).get(batch.name, [])
                if all(entry.array != each.job for each in jobs[path])
            ]
            for stage, at_s, task in (
                *_by_index(batch, jobs[path], named, stem),
                *_marked(batch, jobs[path], named, stem, marks),
            ):
                if owners.get(task.job, stage) == stage and (stage not in latest or latest[stage][0] <= at_s):
                    latest[stage] = (at_s, task)
        return {stage: task for stage, (_, task) in latest.items()}

    def poll(
        self, stages: Iterable[str] | None = None, *, finished: Callable[[str], bool] = lambda _: False
    ) -> dict[str, JobState]:
        """Return stage -> job state for `stages` (default: all) that were ever submitted.

        Args:
            finished: whether a stage is finished on disk; its job is then not queried any further.
        """
        tasks = self.tasks()
        wanted = tasks if stages is None else {name: tasks[name] for name in stages if name in tasks}
        open_tasks = {name: task for name, task in wanted.items() if task.job not in self._over}
        job_states = {name: self._over[task.job] for name, task in wanted.items() if task.job in self._over}
        if open_tasks:
            job_states |= self._poll(open_tasks, finished)
        self._over |= {job_state.job: job_state for job_state in job_states.values() if job_state.over}
        return job_states

    def _poll(self, tasks: Mapping[str, _ArrayTask], finished: Callable[[str], bool]) -> dict[str, JobState]:
        live = self._ask_queue(tasks.values(), ended=False)
        before, before_s = self._last_queue, self._last_queue_s
        if live is not None:
            self._last_queue, self._last_queue_s = live, time.monotonic()
        job_states: dict[str, JobState] = {}
        gone: dict[str, _ArrayTask] = {}
        for name, task in tasks.items():
            seen = None if live is None else live.get(task.job)
            if seen is not None and not seen.ended:
                job_states[name] = _live(task, seen)
            elif finished(name):
                job_states[name] = JobState(
                    task.job, "ended", started=True, log_stem=task.log_stem, found_finished=True
                )
            else:
                gone[name] = task
        if not gone:
            return job_states
        return job_states | self._poll_ended(gone, before, before_s, answered=live is not None)

    def _poll_ended(
        self, tasks: Mapping[str, _ArrayTask], before: Mapping[str, QueueEntry], before_s: float, *, answered: bool
    ) -> dict[str, JobState]:
        """Return the states of jobs that are no longer listed as queued or running.

        Args:
            before: the queue at the time `before_s`.
        """
        queued = self._ask_queue(tasks.values(), ended=True) if answered else None
        if queued is not None:
            queued |= self._dropped(tasks.values(), queued, before, before_s)
        job_states: dict[str, JobState] = {}
        unexplained: dict[str, tuple[_ArrayTask, JobState]] = {}
        for name, task in tasks.items():
            job_state = self._from_marks_and_queue(name, task, None if queued is None else queued.get(task.job))
            job_states[name] = job_state
            if job_state.state == "unknown" or (job_state.over and job_state.exit_code != 0):
                unexplained[name] = (task, job_state)
        if unexplained:
            job_states |= self._explain(unexplained, answered=queued is not None)
        return job_states

    def _dropped(
        self,
        tasks: Iterable[_ArrayTask],
        queued: Mapping[str, QueueEntry],
        before: Mapping[str, QueueEntry],
        before_s: float,
    ) -> dict[str, QueueEntry]:
        """Return tasks that were cancelled while pending: SLURM drops them from their array and keeps no record.

        If a task was pending less than MinJobAge ago (slurm.conf(5)) and the controller now lists other tasks of its
        array but not this one, it cannot have run: the controller would still remember it.
        """
        try:
            if time.monotonic() - before_s >= self._client.limits.min_job_age_s:
                return {}
        except Unavailable:
            return {}
        waited = {job for job, seen in before.items() if seen.state == "PENDING"}
        arrays = {job.partition("_")[0] for job in queued}
        return {
            task.job: QueueEntry(task.job, "CANCELLED")
            for task in tasks
            if task.job in waited and task.job not in queued and task.array in arrays
        }

    def _ask_queue(self, tasks: Iterable[_ArrayTask], *, ended: bool) -> dict[str, QueueEntry] | None:
        arrays = {task.array: task for task in tasks}
        try:
            found = self._client.queue(sorted(arrays), ended=ended)
        except Unavailable:
            return None
        return {job: entry for job, entry in found.items() if self._is_ours(entry, arrays)}

    def _is_ours(self, entry: QueueEntry, arrays: Mapping[str, _ArrayTask]) -> bool:
        task = arrays.get(entry.array)
        return task is not None and entry.user in self._users and task.describes(entry)

    def _from_marks_and_queue(self, stage: str, task: _ArrayTask, seen: QueueEntry | None) -> JobState:
        if seen is not None and not seen.ended:
            return _live(task, seen)
        started, exit_code, node = self._marks(stage, task.job)
        ended = seen is not None or exit_code is not None
        found = seen.node if seen is not None and seen.node else node
        return JobState(task.job, "ended" if ended else "unknown", seen, exit_code, started, found, task.log_stem)

    def _explain(
        self, open_states: Mapping[str, tuple[_ArrayTask, JobState]], *, answered: bool
    ) -> dict[str, JobState]:
        """Query the slower sources about jobs that failed or that the controller has forgotten."""
        known, all_answered = self._slow_sources([task for task, _ in open_states.values()], controller=answered)
        return {
            name: self._decide(
                job_state, known.get(task.job) or known.get(task.array), answered=answered and all_answered
            )
            for name, (task, job_state) in open_states.items()
        }

    def _slow_sources(self, tasks: list[_ArrayTask], *, controller: bool) -> tuple[dict[str, QueueEntry], bool]:
        """Return the entry of each task, and whether all available sources answered."""
        arrays = {task.array: task for task in tasks}
        known: dict[str, QueueEntry] = {}
        answered = True
        for array in arrays:
            known |= {entry.job: entry for entry in _recorded(self._folder, array) if self._is_ours(entry, arrays)}
        try:
            if self._client.limits.accounting:
                rows = self._client.accounting(sorted(arrays))
                known |= {row.job: row for row in rows if self._is_ours(row, arrays)}
        except Unavailable:
            answered = False
        unexplained = {task.array for task in tasks if task.job not in known or not known[task.job].ended}
        try:
            # An unresponsive controller would cost a timeout each time.
            for array in sorted(unexplained)[:_CONTROL_PER_POLL] if controller else ():
                for entry in self._client.control(array):
                    before = known.get(entry.job)
                    if self._is_ours(entry, arrays) and (before is None or not before.ended):
                        known[entry.job] = entry
        except Unavailable:
            answered = False
        return known, answered and len(unexplained) <= _CONTROL_PER_POLL

    def _decide(self, job_state: JobState, seen: QueueEntry | None, *, answered: bool) -> JobState:
        best = seen if seen is not None and (seen.ended or job_state.seen is None) else job_state.seen
        if best is not None and job_state.seen is not None and job_state.seen.out_of_memory:
            best = replace(best, out_of_memory=True)
        if job_state.over or (best is not None and best.ended):
            self._unseen_since_s.pop(job_state.job, None)
            return replace(job_state, state="ended", seen=best, node=job_state.node or (best.node if best else ""))
        if not answered:
            return job_state
        since_s = self._unseen_since_s.setdefault(job_state.job, time.monotonic())
        return replace(job_state, state="lost") if time.monotonic() - since_s >= self._lost_after_s else job_state

    def _marks(self, stage: str, job: str) -> tuple[bool, int | None, str]:
        """Return whether the last start of the job left a mark, its exit code if it has ended, and its node."""
        folder = self._folder / MARKS / stage
        found = starts(folder, job)
        if not found:
            return False, None, ""
        last = max(found, key=lambda mark: mark.restart)
        return True, exit_code(folder, last), last.node

    def _find_by_name(self, names: Iterable[str]) -> None:
        wanted = sorted(names)
        try:
            found = self._client.find(wanted) if wanted else []
        except Unavailable:
            return
        fresh: dict[str, list[QueueEntry]] = {name: [] for name in wanted}
        for entry in found:
            fresh[entry.name].append(entry)
        self._named = (self._named or {}) | fresh


def _by_index(
    batch: Batch, jobs: Iterable[Submission], named: Iterable[QueueEntry], stem: Path
) -> Iterator[tuple[str, float, _ArrayTask]]:
    """Yield stage, time and array task of all submissions, as the order of stages in the script gives them.

    Args:
        jobs: recorded submissions, which are of all stages.
        named: array tasks that somebody submitted by hand.
    """
    for index, stage in enumerate(batch.stages):
        for each in jobs:
            yield stage, each.at_s, _ArrayTask(f"{each.job}_{index}", batch.name, stem, each.at_s)
        for entry in named:
            if entry.job == f"{entry.array}_{index}":
                yield stage, entry.submitted_s, _ArrayTask(entry.job, batch.name, stem)


def _marked(
    batch: Batch,
    jobs: Iterable[Submission],
    named: Iterable[QueueEntry],
    stem: Path,
    marks: Mapping[str, Sequence[StartMark]],
) -> Iterator[tuple[str, float, _ArrayTask]]:
    """Yield stage, time of submission and array task of the jobs of a script that left a mark at their start."""
    submissions = [*jobs, *(Submission(entry.array, entry.submitted_s) for entry in named)]
    for stage, found in marks.items():
        for mark in found:
            if mark.script == batch.name:
                task = _ArrayTask(mark.job, batch.name, stem, marked_s=mark.at_s)
                yield stage, _submission_s(mark, submissions), task


def _submission_s(mark: StartMark, submissions: Iterable[Submission]) -> float:
    """Return when the job that left a mark was submitted; without a record, when it started."""
    array = mark.job.partition("_")[0]
    times_s = [each.at_s for each in submissions if each.job == array and each.at_s <= mark.at_s + _CLOCK_SKEW_S]
    return max(times_s, default=mark.at_s)


def settle(stage: StageFolder, job_state: JobState, config: StageConfig) -> Outcome | None:
    """Return the outcome of a stage's job and record it if the worker could not; None while the job is active.

    Args:
        config: configuration of the stage, for a job that ended before it claimed the stage.
    """
    if stage.finished():
        return Outcome("finished")
    if not job_state.over:
        return None
    attempt = stage.latest_attempt()
    if attempt is None or not _made_by(attempt, job_state.job):
        if job_state.exit_code in {EXIT_BUSY, EXIT_NOT_READY} or (attempt is not None and attempt.running()):
            return Outcome("busy")
        attempt = stage.claim_attempt(config)
        if attempt is None:
            return Outcome("finished" if stage.finished() else "busy")
    failure_class, message = explain(job_state)
    seen = job_state.seen
    evidence = {
        "job": job_state.job,
        "slurm_state": seen.state if seen else None,
        "reason": seen.reason if seen else None,
        "slurm_exit_code": seen.exit_code if seen else None,
        "exit_code": job_state.exit_code,
        "node": job_state.node,
        "log": str(job_state.log),
    }
    create_json(attempt.failure, failure_of(failure_class, message, evidence).to_json())
    return Outcome("failed", read_failure(attempt.failure))


def explain(job_state: JobState) -> tuple[FailureClass, str]:
    """Return the failure class of a job that ended without a result, and a message."""
    seen = job_state.seen
    where = f"job {job_state.job}{f' on {job_state.node}' if job_state.node else ''}"
    if job_state.state == "lost" or (seen is None and job_state.exit_code is None):
        return FailureClass.LOST, f"{where} is unknown to SLURM and has no end mark"
    if seen is not None:
        if seen.out_of_memory or _logged_oom(seen, job_state.log):
            return FailureClass.HOST_OOM, f"{where} exceeded the memory it requested"
        if seen.exit_code == _NO_LOG:
            return FailureClass.TRANSIENT, f"{where} could not open its log {str(job_state.log)!r}"
        if seen.state in _CLASS_OF_STATE:
            failure_class, what = _CLASS_OF_STATE[seen.state]
            return failure_class, f"{where} {what}"
    if job_state.exit_code is not None:
        return _of_exit_code(where, job_state.exit_code)
    code, _, signal = (seen.exit_code if seen is not None else "").partition(":")
    if signal.isdecimal() and int(signal):
        return _of_exit_code(where, 128 + int(signal))
    return _of_exit_code(where, int(code) if code.isdecimal() else 1)


def _of_exit_code(where: str, code: int) -> tuple[FailureClass, str]:
    if code == EXIT_SAVED:
        return FailureClass.PREEMPTED, f"{where} saved a checkpoint but was not requeued"
    if code in {126, 127}:
        return FailureClass.CONFIG, f"{where} could not run setpoint; check the environment that the profile activates"
    if code > 128:
        return FailureClass.LOST, f"{where} was killed by signal {code - 128}"
    return (
        FailureClass.LOST if code == 0 else FailureClass.CRASH
    ), f"{where} exited with code {code} before it wrote a result"


_CLASS_OF_STATE = {
    "TIMEOUT": (FailureClass.TIMEOUT, "reached its time limit"),
    "DEADLINE": (FailureClass.TIMEOUT, "reached its deadline"),
    "NODE_FAIL": (FailureClass.NODE_FAILURE, "lost its node"),
    "BOOT_FAIL": (FailureClass.NODE_FAILURE, "failed to start on its node"),
    "LAUNCH_FAILED": (FailureClass.NODE_FAILURE, "failed to start on its node"),
    "RECONFIG_FAIL": (FailureClass.NODE_FAILURE, "failed to start on its node"),
    "PREEMPTED": (FailureClass.PREEMPTED, "was preempted by another job"),
    "REVOKED": (FailureClass.PREEMPTED, "was taken over by another cluster"),
    "CANCELLED": (FailureClass.CANCELLED, "was cancelled"),
}


def _logged_oom(seen: QueueEntry, log: Path) -> bool:
    """Return whether SLURM logged an out-of-memory kill; without cgroups it is reported nowhere else."""
    if seen.state != "FAILED" or not seen.exit_code.endswith(":9"):
        return False
    try:
        tail = read_end(log, _LOG_TAIL).decode("utf-8", errors="replace")
    except OSError:
        return False
    return _OOM_LINE.search(tail) is not None


def _made_by(attempt: Attempt, job: str) -> bool:
    lock = read_lock(attempt.lock)
    return lock is not None and lock.job.partition("/")[0] == job


def _recorded(folder: Path, array: str) -> list[QueueEntry]:
    """Return the entries that the recorder job saved for an array."""
    try:
        return control(read_end(folder / RECORDS / array, _MOST_RECORDED).decode("utf-8", errors="replace"))
    except OSError:
        return []


def _live(task: _ArrayTask, seen: QueueEntry) -> JobState:
    state: Literal["queued", "running"] = "queued" if seen.state in {"PENDING", "REQUEUED"} else "running"
    return JobState(task.job, state, seen, node=seen.node, log_stem=task.log_stem)
