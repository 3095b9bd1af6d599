"""What became of a job. The sources are asked in the order in which they can be trusted.

1. the stage folder: a finished stage is finished, whatever anybody says of its job
2. our marks: the script leaves one when it starts and, from its EXIT trap, one with its exit code
3. `squeue --states=all`, for what is queued, runs or has just ended
4. `sacct`, where there is accounting: why a job ended, and whether a step ran out of memory
5. `scontrol`, and what the recorder job kept of it where there is no accounting
6. a job that nobody knows and that left no mark at its end is lost; it is never a success

A source that does not answer changes nothing.
"""

import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from setpoint.artifacts import Attempt, Fields, StageConfig, StageFolder, create_json, read_json, read_lock
from setpoint.errors import InputError
from setpoint.execution.attempt import EXIT_BUSY, EXIT_NOT_READY, EXIT_SAVED
from setpoint.execution.slurm.client import Client, Unavailable
from setpoint.execution.slurm.parsing import QueueEntry, control
from setpoint.execution.slurm.script import LOGS, MARKS, Batch, read_batches, read_jobs
from setpoint.execution.task import Outcome
from setpoint.records.failure import FailureClass, failure_of, read_failure

RECORDS = "records"
_NO_LOG = "0:53"
_LOG_TAIL = 4000
_OOM_LINE = re.compile(r"^slurmstepd(-\S+)?: error: .*(exceeded ((job|step) )?memory limit|oom[-_ ]kill)", re.I | re.M)


@dataclass(frozen=True, slots=True)
class JobState:
    """The last job of a stage.

    Attributes:
        job: `12_3`.
        state: `unknown` while no source says anything; `lost` when they all answer and none knows it.
        seen: what SLURM says.
        exit_code: what the script's end mark says, where it came that far.
        started: whether there is a start mark.
        log_stem: the path of the script's log, which need not exist, without the job.
        found_finished: whether the stage was finished on the disk, so that SLURM was not asked how its job ended.
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
        """The log of the script."""
        return Path(f"{self.log_stem}-{self.job}.log")

    @property
    def over(self) -> bool:
        """Whether nothing more will come of this job."""
        return self.state in {"ended", "lost"}

    @property
    def never_tried(self) -> bool:
        """Whether the job came to nothing for others' sake: a dependency failed, or another job has the stage.

        SLURM keeps a job that it refused, too, as one that failed and never had a node.
        """
        ended = "" if self.seen is None else self.seen.state
        unused = not self.started and (ended == "CANCELLED" or (ended == "FAILED" and not self.node))
        return self.over and (unused or self.exit_code in {EXIT_BUSY, EXIT_NOT_READY})


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a stage stands.

    Attributes:
        array: the id of the array, of which `index` is its task.
        log_stem: the log's path without the job.
    """

    array: str
    index: int
    job: str
    log_stem: Path


class Tracker:
    """Lineage the jobs of one experiment."""

    def __init__(self, client: Client, folder: Path, *, lost_after_s: float = 30.0) -> None:
        """Look at the scripts below `folder`.

        Args:
            lost_after_s: how long a job must be unknown to every source before it counts as lost.
        """
        self._client = client
        self._folder = folder
        self._lost_after_s = lost_after_s
        self._unseen_since_s: dict[str, float] = {}
        self._by_name: dict[str, str] = {}
        self._over: dict[str, JobState] = {}
        self._lists: dict[Path, Batch] = {}
        self._jobs: dict[Path, tuple[str, ...]] = {}
        self._places: dict[str, _Place] = {}
        self._last_queue: dict[str, QueueEntry] = {}
        self._last_queue_s = float("-inf")

    def places(self) -> dict[str, _Place]:
        """Stage -> where it was submitted last."""
        self._lists |= read_batches(self._folder, but=self._lists)
        jobs = {path: tuple(read_jobs(path.with_suffix(".jobs"))) for path in self._lists}
        unknown = {batch.name for path, batch in self._lists.items() if not jobs[path]}
        self._find_by_name(unknown - self._by_name.keys())
        if jobs != self._jobs or unknown:
            self._jobs, self._places = jobs, self._placed(jobs)
        return self._places

    def _placed(self, jobs: Mapping[Path, tuple[str, ...]]) -> dict[str, _Place]:
        found: dict[str, _Place] = {}
        for path, batch in self._lists.items():
            submitted = jobs[path][-1] if jobs[path] else self._by_name.get(batch.name)
            stem = path.parent / LOGS / batch.name
            for index, stage in enumerate(batch.stages):
                array = submitted or self._marked_array(stage, index)
                if array and (stage not in found or int(found[stage].array) <= int(array)):
                    found[stage] = _Place(array, index, f"{array}_{index}", stem)
        return found

    def look(
        self, stages: Iterable[str] | None = None, *, finished: Callable[[str], bool] = lambda _: False
    ) -> dict[str, JobState]:
        """Stage -> fate, of those (by default all) that were ever submitted.

        Args:
            finished: whether a stage is finished on the disk; its job is then not asked about any further.
        """
        places = self.places()
        wanted = places if stages is None else {name: places[name] for name in stages if name in places}
        open_places = {name: place for name, place in wanted.items() if place.job not in self._over}
        fates = {name: self._over[place.job] for name, place in wanted.items() if place.job in self._over}
        if open_places:
            fates |= self._look(open_places, finished)
        self._over |= {fate.job: fate for fate in fates.values() if fate.over}
        return fates

    def _look(self, places: Mapping[str, _Place], finished: Callable[[str], bool]) -> dict[str, JobState]:
        live = self._ask_queue(places.values(), ended=False)
        before, before_s = self._last_queue, self._last_queue_s
        if live is not None:
            self._last_queue, self._last_queue_s = live, time.monotonic()
        fates: dict[str, JobState] = {}
        gone: dict[str, _Place] = {}
        for name, place in places.items():
            seen = None if live is None else live.get(place.job)
            if seen is not None and not seen.ended:
                fates[name] = _live(place, seen)
            elif finished(name):
                fates[name] = JobState(place.job, "ended", started=True, log_stem=place.log_stem, found_finished=True)
            else:
                gone[name] = place
        if not gone:
            return fates
        return fates | self._look_closer(gone, before, before_s, answered=live is not None)

    def _look_closer(
        self, places: Mapping[str, _Place], before: Mapping[str, QueueEntry], before_s: float, *, answered: bool
    ) -> dict[str, JobState]:
        """The fates of jobs that no longer wait or run, or of which the controller does not say so.

        Args:
            before: the queue as it was at the time `before_s`.
        """
        queued = self._ask_queue(places.values(), ended=True) if answered else None
        if queued is not None:
            queued |= self._dropped(places.values(), queued, before, before_s)
        fates: dict[str, JobState] = {}
        unexplained: dict[str, tuple[_Place, JobState]] = {}
        for name, place in places.items():
            fate = self._from_marks_and_queue(name, place, None if queued is None else queued.get(place.job))
            fates[name] = fate
            if fate.state == "unknown" or (fate.over and fate.exit_code != 0):
                unexplained[name] = (place, fate)
        if unexplained:
            fates |= self._explain(unexplained, answered=queued is not None)
        return fates

    def _dropped(
        self,
        places: Iterable[_Place],
        queued: Mapping[str, QueueEntry],
        before: Mapping[str, QueueEntry],
        before_s: float,
    ) -> dict[str, QueueEntry]:
        """Tasks that were cancelled before they began: SLURM drops them from their array and keeps no record.

        A task that waited a moment ago, and that the controller no longer knows though it knows others of its array,
        cannot have run: it would still be known.
        """
        try:
            if time.monotonic() - before_s >= self._client.limits.min_job_age_s:
                return {}
        except Unavailable:
            return {}
        waited = {job for job, seen in before.items() if seen.state == "PENDING"}
        arrays = {job.partition("_")[0] for job in queued}
        return {
            place.job: QueueEntry(place.job, "CANCELLED")
            for place in places
            if place.job in waited and place.job not in queued and place.array in arrays
        }

    def _ask_queue(self, places: Iterable[_Place], *, ended: bool) -> dict[str, QueueEntry] | None:
        try:
            return self._client.queue(sorted({place.array for place in places}), ended=ended)
        except Unavailable:
            return None

    def _from_marks_and_queue(self, stage: str, place: _Place, seen: QueueEntry | None) -> JobState:
        if seen is not None and not seen.ended:
            return _live(place, seen)
        started, exit_code, node = self._marks(stage, place.job)
        ended = seen is not None or exit_code is not None
        found = seen.node if seen is not None and seen.node else node
        return JobState(place.job, "ended" if ended else "unknown", seen, exit_code, started, found, place.log_stem)

    def _explain(self, open_fates: Mapping[str, tuple[_Place, JobState]], *, answered: bool) -> dict[str, JobState]:
        """Ask the slower sources about jobs that did not end well, or that the controller has forgotten."""
        arrays = sorted({place.array for place, _ in open_fates.values()})
        known, all_answered = self._slow_sources(arrays, controller=answered)
        return {
            name: self._decide(fate, known.get(place.job) or known.get(place.array), answered=answered and all_answered)
            for name, (place, fate) in open_fates.items()
        }

    def _slow_sources(self, arrays: list[str], *, controller: bool) -> tuple[dict[str, QueueEntry], bool]:
        """What is known of each task, and whether every source that there is has answered."""
        known: dict[str, QueueEntry] = {}
        answered = True
        for array in arrays:
            known |= {seen.job: seen for seen in _recorded(self._folder, array)}
        try:
            for array in arrays if controller else ():  # one that does not answer would be waited for each time
                known |= {seen.job: seen for seen in self._client.control(array)}
        except Unavailable:
            answered = False
        try:
            if self._client.limits.accounting:
                for row in self._client.accounting(arrays):
                    before = known.get(row.job)
                    memory = row.out_of_memory or (before is not None and before.out_of_memory)
                    if row.ended or before is None:
                        known[row.job] = replace(row, out_of_memory=memory)
        except Unavailable:
            answered = False
        return known, answered

    def _decide(self, fate: JobState, seen: QueueEntry | None, *, answered: bool) -> JobState:
        best = seen if seen is not None and (seen.ended or fate.seen is None) else fate.seen
        if best is not None and fate.seen is not None and fate.seen.out_of_memory:
            best = replace(best, out_of_memory=True)
        if fate.over or (best is not None and best.ended):
            self._unseen_since_s.pop(fate.job, None)
            return replace(fate, state="ended", seen=best, node=fate.node or (best.node if best else ""))
        if not answered:
            return fate
        since_s = self._unseen_since_s.setdefault(fate.job, time.monotonic())
        return replace(fate, state="lost") if time.monotonic() - since_s >= self._lost_after_s else fate

    def _marks(self, stage: str, job: str) -> tuple[bool, int | None, str]:
        """Whether the job's last start left a mark, the exit code of its end if it has ended, and its node."""
        folder = self._folder / MARKS / stage
        starts = [found for path in folder.glob(f"{job}-*.start.json") if (found := _start(path)) is not None]
        if not starts:
            return False, None, ""
        restart, node = max(starts)
        return True, _exit_code(folder / f"{job}-{restart}.end.json"), node

    def _marked_array(self, stage: str, index: int) -> str:
        """The newest array that this stage was a task of, by its start marks: for scripts submitted by hand."""
        names = (path.name.partition("-")[0] for path in (self._folder / MARKS / stage).glob(f"*_{index}-*.start.json"))
        return max((name.partition("_")[0] for name in names), key=int, default="")

    def _find_by_name(self, names: Iterable[str]) -> None:
        wanted = sorted(set(names))
        try:
            self._by_name |= self._client.find(wanted) if wanted else {}
        except Unavailable:
            return


def settle(stage: StageFolder, fate: JobState, asked: StageConfig) -> Outcome | None:
    """The end of a stage's job, kept on the disk if the worker could not; None while the job goes on.

    Args:
        asked: what the task is, for a job that ended before it could claim the stage.
    """
    if stage.finished():
        return Outcome("finished")
    if not fate.over:
        return None
    attempt = stage.latest_attempt()
    if attempt is None or not _made_by(attempt, fate.job):
        if fate.exit_code in {EXIT_BUSY, EXIT_NOT_READY} or (attempt is not None and attempt.running()):
            return Outcome("busy")
        attempt = stage.claim_attempt(asked)
        if attempt is None:
            return Outcome("finished" if stage.finished() else "busy")
    failure_class, message = explain(fate)
    seen = fate.seen
    evidence = {
        "job": fate.job,
        "slurm_state": seen.state if seen else None,
        "reason": seen.reason if seen else None,
        "slurm_exit_code": seen.exit_code if seen else None,
        "exit_code": fate.exit_code,
        "node": fate.node,
        "log": str(fate.log),
    }
    create_json(attempt.failure, failure_of(failure_class, message, evidence).to_json())
    return Outcome("failed", read_failure(attempt.failure))


def explain(fate: JobState) -> tuple[FailureClass, str]:
    """The failure class of a job that ended without a result, and a line on it."""
    seen = fate.seen
    where = f"job {fate.job}{f' on {fate.node}' if fate.node else ''}"
    if fate.state == "lost" or (seen is None and fate.exit_code is None):
        return FailureClass.LOST, f"{where} is unknown to SLURM and left no mark at its end"
    if seen is not None:
        if seen.out_of_memory or _logged_oom(seen, fate.log):
            return FailureClass.HOST_OOM, f"{where} used more memory than it asked for"
        if seen.exit_code == _NO_LOG:
            return FailureClass.TRANSIENT, f"{where} could not open its log {str(fate.log)!r}"
        if seen.state in _CLASS_OF_STATE:
            failure_class, words = _CLASS_OF_STATE[seen.state]
            return failure_class, f"{where} {words}"
    if fate.exit_code is not None:
        return _of_exit_code(where, fate.exit_code)
    code, _, signal = (seen.exit_code if seen is not None else "").partition(":")
    if signal.isdecimal() and int(signal):
        return _of_exit_code(where, 128 + int(signal))
    return _of_exit_code(where, int(code) if code.isdecimal() else 1)


def _of_exit_code(where: str, code: int) -> tuple[FailureClass, str]:
    if code == EXIT_SAVED:
        return FailureClass.PREEMPTED, f"{where} saved its state and was not started again"
    if code in {126, 127}:
        return FailureClass.CONFIG, f"{where} has no setpoint there; look at the environment that the profile activates"
    if code > 128:
        return FailureClass.LOST, f"{where} was ended by signal {code - 128}"
    return (
        FailureClass.LOST if code == 0 else FailureClass.CRASH
    ), f"{where} ended with exit code {code} and without a result"


_CLASS_OF_STATE = {
    "TIMEOUT": (FailureClass.TIMEOUT, "reached its time limit"),
    "DEADLINE": (FailureClass.TIMEOUT, "reached its deadline"),
    "NODE_FAIL": (FailureClass.NODE_FAILURE, "lost its node"),
    "BOOT_FAIL": (FailureClass.NODE_FAILURE, "could not be started on its node"),
    "LAUNCH_FAILED": (FailureClass.NODE_FAILURE, "could not be started on its node"),
    "RECONFIG_FAIL": (FailureClass.NODE_FAILURE, "could not be started on its node"),
    "PREEMPTED": (FailureClass.PREEMPTED, "had to make room for another job"),
    "REVOKED": (FailureClass.PREEMPTED, "was taken over by another cluster"),
    "CANCELLED": (FailureClass.CANCELLED, "was cancelled"),
}


def _logged_oom(seen: QueueEntry, log: Path) -> bool:
    """Whether SLURM itself wrote that it ended the job for its memory, which without cgroups shows nowhere else."""
    if seen.state != "FAILED" or not seen.exit_code.endswith(":9"):
        return False
    try:
        tail = log.read_bytes()[-_LOG_TAIL:].decode("utf-8", errors="replace")
    except OSError:
        return False
    return _OOM_LINE.search(tail) is not None


def _made_by(attempt: Attempt, job: str) -> bool:
    lock = read_lock(attempt.lock)
    return lock is not None and lock.job.partition("/")[0] == job


def _start(path: Path) -> tuple[int, str] | None:
    """How often the job had been started before, and its node, from the mark of a start."""
    try:
        fields = Fields(read_json(path), path)
        return fields.whole("restart"), fields.text("node", "")
    except InputError:
        return None


def _exit_code(path: Path) -> int | None:
    """The exit code in the mark of an end."""
    try:
        return Fields(read_json(path), path).whole("exit_code")
    except InputError:
        return None


def _recorded(folder: Path, array: str) -> list[QueueEntry]:
    """What the recorder job kept of an array."""
    try:
        return control((folder / RECORDS / array).read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return []


def _live(place: _Place, seen: QueueEntry) -> JobState:
    state: Literal["queued", "running"] = "queued" if seen.state in {"PENDING", "REQUEUED"} else "running"
    return JobState(place.job, state, seen, node=seen.node, log_stem=place.log_stem)
