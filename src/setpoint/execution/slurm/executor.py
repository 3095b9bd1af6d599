"""Run stages as tasks of job arrays: batched, submitted as queue slots free up, adopted by the next coordinator.

All state is on disk: the job of a stage is read from the scripts and their `.jobs` files, its failures from its
attempts.
"""

import secrets
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from setpoint.artifacts import Attempt, StageFolder, Workspace, read_lock
from setpoint.execution.slurm.client import Client, Node, Refused, SubmitLimit, Unavailable
from setpoint.execution.slurm.resources import Resources
from setpoint.execution.slurm.script import LOGS, Batch, Site, add_job, job_name, write_batch
from setpoint.execution.slurm.tracking import JobState, Tracker, settle
from setpoint.execution.task import Outcome, Task
from setpoint.records.failure import FailureClass, read_failure

_JOBS_PER_POLL = 300
"""Number of jobs up to which the polling interval is kept; it grows in proportion beyond, up to tenfold."""
_GATHER_S = 0.5
_RETRY_S = 5.0


@dataclass(frozen=True, slots=True)
class ResourceRequest:
    """Resources that stages request.

    Attributes:
        resources: default request of a stage that uses the model.
        cpu_kinds: kinds of stages that run on the CPU only.
        comments: stage id -> comment on the stage in the script.
        stages: stage id -> request that overrides the default.
    """

    resources: Resources
    cpu_kinds: Collection[str] = ()
    comments: Mapping[str, str] = field(default_factory=dict)
    stages: Mapping[str, Resources] = field(default_factory=dict)

    def of(self, kind: str, stage: str) -> Resources:
        """Return the initial request of a stage."""
        found = self.stages.get(stage, self.resources)
        return found.without_gpu() if kind in self.cpu_kinds else found


@dataclass
class _Waiting:
    """A stage that has not been submitted yet."""

    task: Task
    since_s: float


class SlurmExecutor:
    """Submits stages to the cluster.

    Jobs keep running when the coordinator exits; the next coordinator finds them with `adopt`.
    """

    shares_memory = False

    def __init__(
        self, client: Client, site: Site, request: ResourceRequest, *, poll_s: float = 2.0, lost_after_s: float = 30.0
    ) -> None:
        """Configure the executor; SLURM is first contacted when a stage is submitted.

        Args:
            poll_s: interval between two polls of the queue, in s; longer with many jobs.
            lost_after_s: time after which a job that no source knows counts as lost, in s.
        """
        self._client = client
        self._site = site
        self._request = request
        self.poll_s = poll_s
        self._tracker = Tracker(client, site.folder, lost_after_s=lost_after_s)
        self._folder = site.folder / f"run-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(2)}"
        self._waiting: dict[str, _Waiting] = {}
        self._live: dict[str, Task] = {}
        self._stages: dict[str, StageFolder] = {}
        self._failed: set[str] = set()
        self._job_states: dict[str, JobState] = {}
        self._polled_s = float("-inf")
        self._not_before_s = 0.0
        self._batches = 0
        self._unconfirmed: tuple[Batch, Sequence[Task]] | None = None

    def submit(self, task: Task) -> "SlurmJob":
        """Queue `task` for submission, in an array with others of its kind, as soon as the cluster accepts it."""
        self._job_states.pop(task.stage_id, None)
        self._waiting[task.stage_id] = _Waiting(task, time.monotonic())
        return SlurmJob(self, task)

    def adopt(self, task: Task) -> "SlurmJob | None":
        """Return the unsettled job of `task`, submitted by an earlier coordinator or by hand, if any."""
        if task.stage_id in self._waiting:
            return SlurmJob(self, task)
        if self._polled_s == float("-inf"):
            self._poll()
        job_state = self._job_states.get(task.stage_id)
        if job_state is None or job_state.never_tried or (job_state.over and _settled(task.stage, job_state.job)):
            return None
        self._live[task.stage_id] = task
        return SlurmJob(self, task)

    def outcome(self, task: Task) -> Outcome | None:
        """Return the outcome of the stage's job; None while it is queued or running.

        Raises:
            Refused: the cluster rejects the stage.
        """
        self._refresh()
        job_state = self._job_states.get(task.stage_id)
        if job_state is None or job_state.state in {"queued", "running"} or task.stage_id in self._waiting:
            return None  # no disk access here: for thousands of stages it would cost more than the queries
        found = (
            Outcome("finished")
            if job_state.found_finished
            else settle(self._stage(task), job_state, task.stage_config())
        )
        if found is not None:
            self._live.pop(task.stage_id, None)
            self._job_states.pop(task.stage_id, None)
            if found.state == "failed":
                self._failed.add(task.stage_id)
                job_state.log.parent.mkdir(parents=True, exist_ok=True)  # SLURM fails a job whose log folder is missing
        return found

    def _refresh(self) -> None:
        now_s = time.monotonic()
        if self._waiting and now_s >= self._not_before_s:
            oldest = next(iter(self._waiting.values()))
            if now_s - oldest.since_s >= _GATHER_S:
                self._submit_waiting()
        if now_s - self._polled_s >= self.poll_s * max(1.0, min(10.0, len(self._live) / _JOBS_PER_POLL)):
            self._poll()

    def _poll(self) -> None:
        wanted = None if self._polled_s == float("-inf") else self._live
        found = self._tracker.poll(wanted, finished=self._finished) if wanted is None or wanted else {}
        self._job_states = found if wanted is None else {**self._job_states, **found}
        self._polled_s = time.monotonic()

    def _finished(self, stage: str) -> bool:
        return stage in self._live and self._stage(self._live[stage]).finished()

    def _stage(self, task: Task) -> StageFolder:
        """Return the cached folder of `task`; building its path for every poll would be slow."""
        return self._stages.get(task.stage_id) or self._stages.setdefault(task.stage_id, task.stage)

    def _submit_waiting(self) -> None:
        """Submit waiting stages, array by array, until the cluster accepts no more."""
        self._not_before_s = time.monotonic() + _RETRY_S
        try:
            if self._unconfirmed is not None:
                self._resolve(*self._unconfirmed)
            room = self._room()
            for group in self._groups():
                remaining = group
                while remaining and room > 0:
                    submitted = self._submit_array(remaining[: min(room, self._client.limits.max_array_size)])
                    if not submitted:
                        return
                    remaining, room = remaining[submitted:], room - submitted
        except Unavailable:
            return

    def _submit_array(self, tasks: Sequence[Task]) -> int:
        """Submit as many of `tasks` as the cluster accepts in one array, and return their number."""
        size = len(tasks)
        while size:
            batch = self._batch(tasks[:size])
            write_batch(self._site, batch)
            try:
                self._register(batch, tasks[:size], self._client.submit(batch.script, name=batch.name))
                return size
            except SubmitLimit:
                _discard(batch)
                size //= 2
            except Unavailable:
                self._unconfirmed = (batch, tasks[:size])
                raise
            except Refused as error:
                _discard(batch)
                fit = nearest_fit(self._client, self._site, batch)
                raise Refused(f"SLURM rejected a {batch.kind} stage: {error}. {fit}") from error
        return 0

    def _register(self, batch: Batch, tasks: Sequence[Task], job: str) -> None:
        add_job(batch.jobs_file, job)
        stem = batch.folder / LOGS / batch.name
        for index, task in enumerate(tasks):
            self._waiting.pop(task.stage_id, None)
            self._live[task.stage_id] = task
            self._job_states[task.stage_id] = JobState(f"{job}_{index}", "queued", log_stem=stem)

    def _resolve(self, batch: Batch, tasks: Sequence[Task]) -> None:
        """Find out whether a submission without an answer was accepted.

        Raises:
            Unavailable: SLURM still does not answer.
        """
        found = self._client.find([batch.name])
        self._unconfirmed = None
        if found:
            self._register(batch, tasks, max(found, key=lambda entry: entry.submitted_s).array)
        else:
            _discard(batch)

    def _groups(self) -> Iterable[list[Task]]:
        """Group the waiting stages into arrays with equal requests."""
        tasks = [each.task for each in self._waiting.values()]
        tried = self._failed.union(*(_begun(place, kind) for place, kind in {(t.workspace, t.kind) for t in tasks}))
        groups: dict[object, list[Task]] = {}
        for task in tasks:
            known = task.stage_id in tried
            needs = self._needs(task) if known else (self._request.of(task.kind, task.stage_id), ())
            groups.setdefault((task.kind, *needs), []).append(task)
        return list(groups.values())

    def _needs(self, task: Task) -> tuple[Resources, tuple[str, ...]]:
        """Return the resources of the next attempt, given earlier failures, and the nodes to exclude."""
        found = [read_failure(each.failure) for each in self._stage(task).attempts()]
        failures = [failure for failure in found if failure is not None]
        counts = Counter(failure.failure_class for failure in failures)
        nodes = {
            failure.evidence_text("node") for failure in failures if failure.failure_class is FailureClass.NODE_FAILURE
        }
        resources = self._request.of(task.kind, task.stage_id)
        memory, time_out = counts[FailureClass.HOST_OOM], counts[FailureClass.TIMEOUT]
        if memory or time_out:
            resources = resources.grown(memory=memory, time=time_out, limit=self._largest(task.kind))
        return resources, tuple(sorted(nodes - {""}))

    def _largest(self, kind: str) -> Resources | None:
        """Return the largest memory and time of any node in the partition."""
        wanted = self._site.profile.allocation(gpu=kind not in self._request.cpu_kinds).get("partition")
        try:
            nodes = [node for node in self._client.nodes() if wanted in {None, node.partition}]
        except Unavailable:
            return None
        times = [node.time_min for node in nodes]
        longest = max((time for time in times if time), default=0) if None not in times else 10**6
        return Resources(mem_mb=max((node.mem_mb for node in nodes), default=0), time_min=longest)

    def _batch(self, tasks: Sequence[Task]) -> Batch:
        self._batches += 1
        kind = tasks[0].kind
        resources, exclude = self._needs(tasks[0])
        return Batch(
            name=job_name(kind, str(self._batches), self._folder.name[4:], self._site.token, self._site.experiment),
            folder=self._folder,
            kind=kind,
            stages=tuple(task.stage_id for task in tasks),
            resources=resources,
            gpu=kind not in self._request.cpu_kinds,
            exclude=exclude,
            comments={task.stage_id: self._request.comments.get(task.stage_id, "") for task in tasks},
            home=self._folder,
        )

    def _room(self) -> int:
        limits = (self._site.profile.submit_limit, self._client.limits.submit_limit)
        return min((limit for limit in limits if limit is not None), default=10**6) - len(self._live)


class SlurmJob:
    """A stage submitted to the cluster."""

    def __init__(self, executor: SlurmExecutor, task: Task) -> None:
        """Follow `task`."""
        self.task = task
        self._executor = executor

    def wait(self, timeout_s: float | None = None) -> Outcome | None:
        """Return the outcome, or None if the job is still queued or running after `timeout_s` seconds."""
        found = self._executor.outcome(self.task)
        left_s = float("inf") if timeout_s is None else timeout_s
        while found is None and left_s > 0:
            before_s = time.monotonic()
            time.sleep(min(left_s, 0.5))
            left_s -= time.monotonic() - before_s
            found = self._executor.outcome(self.task)
        return found

    def cancel(self) -> None:
        """Leave the job to the cluster; whoever resumes the experiment adopts it."""


def nearest_fit(client: Client, site: Site, batch: Batch) -> str:
    """Describe the resources on offer, as advice after a rejected request."""
    try:
        nodes = client.nodes()
    except Unavailable:
        return ""
    from difflib import get_close_matches

    wanted = site.profile.allocation(gpu=batch.gpu).get("partition")
    partitions = sorted({node.partition for node in nodes})
    if wanted and wanted not in partitions:
        near = get_close_matches(wanted, partitions, n=1, cutoff=0.3)
        nearest = f" Did you mean {near[0]!r}?" if near else ""
        return f"There is no partition {wanted!r}.{nearest} Available: {', '.join(partitions)}."
    here = [node for node in nodes if wanted in {None, node.partition}]
    offers = sorted({_offer(node) for node in here})
    requested = ", ".join(f"{name}={value}" for name, value in batch.resources.options())
    return (
        f"Requested: {requested}; available: {'; '.join(offers)}. Lower --resource-limits, or choose another partition."
    )


def _offer(node: Node) -> str:
    gres = "" if node.gres in {"", "(null)"} else f", {node.gres}"
    limit = "no time limit" if node.time_min is None else f"{node.time_min} min"
    return f"{node.partition}: {node.cpus} cpus, {node.mem_mb}M{gres}, {limit}"


def _begun(workspace: Path, kind: str) -> set[str]:
    """Return all stages of a kind that were ever claimed, from a single listing of their folder."""
    try:
        return {path.name for path in (Workspace(workspace).stages / kind).iterdir()}
    except OSError:
        return set()


def _settled(stage: StageFolder, job: str) -> bool:
    """Return whether the end of the job is already recorded on disk."""
    return any(
        _job_of(attempt) == job and (attempt.failure.exists() or attempt.resources.exists())
        for attempt in stage.attempts()
    )


def _job_of(attempt: Attempt) -> str:
    """Return the job that made the attempt, or on whose behalf a coordinator recorded it."""
    lock, failure = read_lock(attempt.lock), read_failure(attempt.failure)
    recorded = failure.evidence_text("job") if failure is not None else ""
    return recorded or (lock.job.partition("/")[0] if lock else "")


def _discard(batch: Batch) -> None:
    """Remove a script that the cluster did not accept."""
    for path in (batch.script, batch.script.with_suffix(".json")):
        path.unlink(missing_ok=True)
