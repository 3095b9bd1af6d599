"""Stages as tasks of arrays: collected for a moment, handed in as the queue has room, adopted by the next coordinator.

Nothing here is remembered that is not on the disk: which job a stage has is read from the scripts and their `.jobs`
files, how often it failed and why from its attempts.
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

_AT_POLL_S = 300
"""Jobs that are looked at as often as asked for; the more there are, the more a look costs, and the rarer it is."""
_GATHER_S = 0.5
_RETRY_S = 5.0


@dataclass(frozen=True, slots=True)
class ResourceRequest:
    """What stages ask the cluster for.

    Attributes:
        resources: of a stage that uses the model.
        cpu_kinds: stages that compute on the processor alone.
        comments: stage id -> a word on it, for the reader of a script.
        stages: stage id -> what it asks for where that is known better.
    """

    resources: Resources
    cpu_kinds: Collection[str] = ()
    comments: Mapping[str, str] = field(default_factory=dict)
    stages: Mapping[str, Resources] = field(default_factory=dict)

    def of(self, kind: str, stage: str) -> Resources:
        """What a stage of this kind asks for at first."""
        found = self.stages.get(stage, self.resources)
        return found.without_gpu() if kind in self.cpu_kinds else found


@dataclass
class _Waiting:
    """A stage that has no job yet."""

    task: Task
    since_s: float


class SlurmExecutor:
    """Hands stages to the cluster.

    A coordinator that ends leaves the jobs to the cluster; the next one finds them by `adopt`.
    """

    shares_memory = False

    def __init__(
        self, client: Client, site: Site, terms: ResourceRequest, *, poll_s: float = 2.0, lost_after_s: float = 30.0
    ) -> None:
        """Prepare; SLURM is asked for the first time when a stage is submitted.

        Args:
            poll_s: seconds between two looks at the queue, and longer where it holds many of our jobs.
            lost_after_s: how long a job must be unknown to every source before it counts as lost.
        """
        self._client = client
        self._site = site
        self._terms = terms
        self.poll_s = poll_s
        self._tracker = Tracker(client, site.folder, lost_after_s=lost_after_s)
        self._folder = site.folder / f"run-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(2)}"
        self._waiting: dict[str, _Waiting] = {}
        self._live: dict[str, Task] = {}
        self._stages: dict[str, StageFolder] = {}
        self._failed: set[str] = set()
        self._fates: dict[str, JobState] = {}
        self._looked_s = float("-inf")
        self._not_before_s = 0.0
        self._batches = 0
        self._unsure: tuple[Batch, Sequence[Task]] | None = None

    def submit(self, task: Task) -> "SlurmJob":
        """Take `task`; it reaches the cluster with others of its kind, as soon as the queue has room."""
        self._fates.pop(task.stage_id, None)
        self._waiting[task.stage_id] = _Waiting(task, time.monotonic())
        return SlurmJob(self, task)

    def adopt(self, task: Task) -> "SlurmJob | None":
        """The job that an earlier coordinator or somebody by hand submitted for `task`, if it is not settled yet."""
        if task.stage_id in self._waiting:
            return SlurmJob(self, task)
        if self._looked_s == float("-inf"):
            self._look()
        fate = self._fates.get(task.stage_id)
        if fate is None or fate.never_tried or (fate.over and _settled(task.stage, fate.job)):
            return None
        self._live[task.stage_id] = task
        return SlurmJob(self, task)

    def outcome(self, task: Task) -> Outcome | None:
        """How the stage's job ended; None while it goes on.

        Raises:
            Refused: the cluster will not take the stage as it is.
        """
        self._refresh()
        fate = self._fates.get(task.stage_id)
        if fate is None or fate.state in {"queued", "running"} or task.stage_id in self._waiting:
            return None  # without a look at the disk, which for thousands of stages would cost more than SLURM does
        found = Outcome("finished") if fate.found_finished else settle(self._stage(task), fate, task.asked())
        if found is not None:
            self._live.pop(task.stage_id, None)
            self._fates.pop(task.stage_id, None)
            if found.state == "failed":
                self._failed.add(task.stage_id)
                fate.log.parent.mkdir(parents=True, exist_ok=True)  # a job whose log cannot be opened does not start
        return found

    def _refresh(self) -> None:
        now_s = time.monotonic()
        if self._waiting and now_s >= self._not_before_s:
            oldest = next(iter(self._waiting.values()))
            if now_s - oldest.since_s >= _GATHER_S:
                self._hand_in()
        if now_s - self._looked_s >= self.poll_s * max(1.0, min(10.0, len(self._live) / _AT_POLL_S)):
            self._look()

    def _look(self) -> None:
        wanted = None if self._looked_s == float("-inf") else self._live
        found = self._tracker.look(wanted, finished=self._finished) if wanted is None or wanted else {}
        self._fates = found if wanted is None else {**self._fates, **found}
        self._looked_s = time.monotonic()

    def _finished(self, stage: str) -> bool:
        return stage in self._live and self._stage(self._live[stage]).finished()

    def _stage(self, task: Task) -> StageFolder:
        """The folder of `task`, made once: its path is put together anew each time that a task is asked for it."""
        return self._stages.get(task.stage_id) or self._stages.setdefault(task.stage_id, task.stage)

    def _hand_in(self) -> None:
        """Submit what waits, array by array, as far as the cluster takes it now."""
        self._not_before_s = time.monotonic() + _RETRY_S
        try:
            if self._unsure is not None:
                self._resolve(*self._unsure)
            room = self._room()
            for group in self._groups():
                left = group
                while left and room > 0:
                    taken = self._hand_in_some(left[: min(room, self._client.limits.max_array_size)])
                    if not taken:
                        return
                    left, room = left[taken:], room - taken
        except Unavailable:
            return

    def _hand_in_some(self, tasks: Sequence[Task]) -> int:
        """Submit as many of `tasks` as the cluster takes in one array, and say how many those were."""
        size = len(tasks)
        while size:
            batch = self._batch(tasks[:size])
            write_batch(self._site, batch)
            try:
                self._register(batch, tasks[:size], self._client.submit(batch.script))
                return size
            except SubmitLimit:
                _withdraw(batch)
                size //= 2
            except Unavailable:
                self._unsure = (batch, tasks[:size])
                raise
            except Refused as error:
                _withdraw(batch)
                fit = nearest_fit(self._client, self._site, batch)
                raise Refused(f"SLURM refuses a {batch.kind} stage: {error}. {fit}") from error
        return 0

    def _register(self, batch: Batch, tasks: Sequence[Task], job: str) -> None:
        add_job(batch, job)
        stem = batch.folder / LOGS / batch.name
        for index, task in enumerate(tasks):
            self._waiting.pop(task.stage_id, None)
            self._live[task.stage_id] = task
            self._fates[task.stage_id] = JobState(f"{job}_{index}", "queued", log_stem=stem)

    def _resolve(self, batch: Batch, tasks: Sequence[Task]) -> None:
        """Find out whether a submission that was not answered was taken all the same.

        Raises:
            Unavailable: that is still not known.
        """
        job = self._client.find([batch.name]).get(batch.name)
        self._unsure = None
        if job is None:
            _withdraw(batch)
        else:
            self._register(batch, tasks, job)

    def _groups(self) -> Iterable[list[Task]]:
        """What waits, in arrays of equal needs."""
        tasks = [each.task for each in self._waiting.values()]
        tried = self._failed.union(*(_begun(place, kind) for place, kind in {(t.workspace, t.kind) for t in tasks}))
        groups: dict[object, list[Task]] = {}
        for task in tasks:
            known = task.stage_id in tried
            needs = self._needs(task) if known else (self._terms.of(task.kind, task.stage_id), ())
            groups.setdefault((task.kind, *needs), []).append(task)
        return list(groups.values())

    def _needs(self, task: Task) -> tuple[Resources, tuple[str, ...]]:
        """What a stage asks for after what happened to it so far, and the nodes that it avoids."""
        found = [read_failure(each.failure) for each in self._stage(task).attempts()]
        failures = [failure for failure in found if failure is not None]
        counts = Counter(failure.failure_class for failure in failures)
        nodes = {
            failure.evidence_text("node") for failure in failures if failure.failure_class is FailureClass.NODE_FAILURE
        }
        resources = self._terms.of(task.kind, task.stage_id)
        memory, time_out = counts[FailureClass.HOST_OOM], counts[FailureClass.TIMEOUT]
        if memory or time_out:
            resources = resources.grown(memory=memory, time=time_out, most=self._most(task.kind))
        return resources, tuple(sorted(nodes - {""}))

    def _most(self, kind: str) -> Resources | None:
        """The most that a node of the partition gives."""
        wanted = self._site.profile.allocation(gpu=kind not in self._terms.cpu_kinds).get("partition")
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
            name=job_name(self._site.experiment, self._folder.name[4:], str(self._batches), kind),
            folder=self._folder,
            kind=kind,
            stages=tuple(task.stage_id for task in tasks),
            resources=resources,
            gpu=kind not in self._terms.cpu_kinds,
            exclude=exclude,
            comments={task.stage_id: self._terms.comments.get(task.stage_id, "") for task in tasks},
        )

    def _room(self) -> int:
        limits = (self._site.profile.submit_limit, self._client.limits.submit_limit)
        return min((limit for limit in limits if limit is not None), default=10**6) - len(self._live)


class SlurmJob:
    """A stage that was given to the cluster."""

    def __init__(self, executor: SlurmExecutor, task: Task) -> None:
        """Follow `task`."""
        self.task = task
        self._executor = executor

    def wait(self, timeout_s: float | None = None) -> Outcome | None:
        """How the job ended, or None when it still waits or runs after `timeout_s` seconds."""
        found = self._executor.outcome(self.task)
        left_s = float("inf") if timeout_s is None else timeout_s
        while found is None and left_s > 0:
            before_s = time.monotonic()
            time.sleep(min(left_s, 0.5))
            left_s -= time.monotonic() - before_s
            found = self._executor.outcome(self.task)
        return found

    def cancel(self) -> None:
        """Let go of the job: it belongs to the cluster, and whoever takes the experiment up finds it again."""


def nearest_fit(client: Client, site: Site, batch: Batch) -> str:
    """What the cluster offers that comes nearest to what it refused."""
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
        return f"There is no partition {wanted!r}.{nearest} Known: {', '.join(partitions)}."
    here = [node for node in nodes if wanted in {None, node.partition}]
    offers = sorted({_offer(node) for node in here})
    asked = ", ".join(f"{name}={value}" for name, value in batch.resources.options())
    return (
        f"Asked for {asked}; the cluster has {'; '.join(offers)}. Lower --resource-limits, or name another partition."
    )


def _offer(node: Node) -> str:
    gres = "" if node.gres in {"", "(null)"} else f", {node.gres}"
    limit = "any time" if node.time_min is None else f"{node.time_min} min"
    return f"{node.partition}: {node.cpus} cpus, {node.mem_mb}M{gres}, {limit}"


def _begun(workspace: Path, kind: str) -> set[str]:
    """The stages of a kind that anybody ever claimed, from one look at their common folder."""
    try:
        return {path.name for path in (Workspace(workspace).stages / kind).iterdir()}
    except OSError:
        return set()


def _settled(stage: StageFolder, job: str) -> bool:
    """Whether the end of the job is on the disk already."""
    return any(
        _job_of(attempt) == job and (attempt.failure.exists() or attempt.resources.exists())
        for attempt in stage.attempts()
    )


def _job_of(attempt: Attempt) -> str:
    """The job that made the attempt, or the one for which a coordinator did after its end."""
    lock, failure = read_lock(attempt.lock), read_failure(attempt.failure)
    recorded = failure.evidence_text("job") if failure is not None else ""
    return recorded or (lock.job.partition("/")[0] if lock else "")


def _withdraw(batch: Batch) -> None:
    """Remove a script that the cluster has not taken."""
    for path in (batch.script, batch.script.with_suffix(".json")):
        path.unlink(missing_ok=True)
