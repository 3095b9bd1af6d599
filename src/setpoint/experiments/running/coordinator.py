"""Run every stage of a plan in dependency order. A failed stage blocks only the stages that need it."""

import time
from collections import Counter
from collections.abc import Callable, Mapping

from setpoint.artifacts import Attempt, StageFolder, StageKind, Workspace, read_lock
from setpoint.execution import Executor, Job, Outcome, Task, planned_task
from setpoint.experiments.planning.stages import STAGES
from setpoint.experiments.running.status import StageState, failure_classes, read_stage, run_states
from setpoint.records.failure import POLICIES, Failure, FailureClass, failure_of
from setpoint.records.journal import (
    Draining,
    Extended,
    Finished,
    Interrupted,
    Journal,
    LeftBehind,
    RunFinished,
    StageFailed,
    StageFinished,
    StageReused,
    StageStarted,
    StageWaiting,
    Started,
    WorkersReduced,
)
from setpoint.records.plan import Plan
from setpoint.records.state import ExperimentState, ExperimentStatus, RunStatus, StageStatus, write_state

POLL_S = 0.2

BACKOFF_S = 5.0
"""First pause before a retry, for failure classes with a pause; it doubles with every retry."""
_SNAPSHOT_PAUSE = 10.0
"""Pause between two snapshots, in multiples of the time that one takes."""


class Coordinator:
    """Runs all stages of a plan that can be run, starting from the state on disk.

    All decisions are based on the stage folders, so a new coordinator can take over from one that was killed.
    """

    def __init__(
        self,
        workspace: Workspace,
        plan: Plan,
        executor: Executor,
        journal: Journal,
        *,
        workers: int = 1,
        targets: Mapping[StageKind, str] | None = None,
        retries: Mapping[str, int] | None = None,
        free: Callable[[StageFolder], object] = lambda _: None,
    ) -> None:
        """Prepare to run `plan`.

        Args:
            workers: maximum number of concurrent stages.
            targets: stage kind -> `module:function`; the package's own by default.
            retries: failure class -> maximum number of automatic retries, in place of the policy's.
            free: frees a stage whose holder has ended; called once a minute while another process holds one.
        """
        self._free = free
        self._free_not_before_s: dict[str, float] = {}
        self._workspace = workspace
        self._plan = plan
        self._executor = executor
        self._journal = journal
        self._workers = workers
        self._targets = targets or {kind: stage.target for kind, stage in STAGES.items()}
        self._states: dict[str, StageState] = {}
        self._limits: dict[str, int] = {name: policy.retries for name, policy in POLICIES.items()} | dict(retries or {})
        self._failures: Counter[tuple[str, FailureClass]] = Counter()
        self._not_before_s: dict[str, float] = {}
        self._jobs: dict[str, Job] = {}
        self._reported: set[str] = set()
        self._awaited: set[str] = set()
        self._stop = False
        self._next_snapshot_s = 0.0
        self._status = ExperimentState(plan.experiment, ExperimentStatus.RUNNING, {})

    def extend(self, plan: Plan) -> None:
        """Continue with a plan that has further runs; `run` then starts with these."""
        self._plan = plan

    def drain(self) -> None:
        """Start no more stages; let running ones finish."""
        self._stop = True
        self._journal.record(Draining(running=len(self._jobs)))

    def run(
        self, *, rerun_failed: frozenset[str] = frozenset(), settled: frozenset[str] = frozenset()
    ) -> ExperimentState:
        """Run all stages that can be run, and return the final state of every run.

        Args:
            rerun_failed: ids of failed stages to retry.
            settled: ids of failed stages that are not retried automatically, whatever the limit of their class.

        An interrupt stops the running workers and is re-raised. The experiment can be resumed.
        """
        ended = {StageStatus.FINISHED, StageStatus.FAILED}  # by an earlier call, before `extend`
        known = {name: state for name, state in self._states.items() if state.status in ended}
        self._states = {
            name: known.get(name) or self._initial_state(name, name in rerun_failed, name in settled)
            for name in self._plan.stages
        }
        stages, runs, place = len(self._plan.stages), len(self._plan.runs), self._executor.place
        self._journal.record(Extended(stages, runs) if known else Started(stages, runs, on=place))
        self._note_progress(ExperimentStatus.RUNNING)
        try:
            while self._jobs or self._ready():
                self._start_ready_stages()
                self._collect_finished_jobs()
        except BaseException as error:
            for job in self._jobs.values():
                job.cancel()
            self._states.update({name: StageState(StageStatus.INTERRUPTED) for name in self._jobs})
            self._journal.record(Interrupted(type(error).__name__))
            self._note_progress(ExperimentStatus.INTERRUPTED)
            raise
        status = self._note_progress(ExperimentStatus.FINISHED)
        self._journal.record(Finished())
        left = self._stop and any(
            run.state in {RunStatus.PLANNED, RunStatus.WAITING}
            or (run.failure_class is not None and run.failure_class.policy.resumes)
            for run in status.runs.values()
        )
        return self._note_progress(ExperimentStatus.INTERRUPTED) if left else status

    def _initial_state(self, name: str, rerun: bool, settled: bool) -> StageState:
        """Return the state on disk. Unlike `status`, verify the checksums of results that would be reused."""
        folder = self._folder(name)
        state = read_stage(folder)
        if state.status is StageStatus.FINISHED:
            if folder.verified():
                self._journal.record(StageReused(name))
                return state
            return StageState(StageStatus.ABSENT)
        if state.failure is None or rerun or self._executor.adopt(self._task(name)) is not None:
            return StageState(StageStatus.ABSENT)
        self._failures.update((name, found) for found in failure_classes(folder))
        if settled:
            return state
        return StageState(StageStatus.ABSENT) if self._should_retry(name, state.failure.failure_class) else state

    def _should_retry(self, name: str, failure_class: FailureClass) -> bool:
        """Return whether to retry a stage after a failure. Attempts by earlier coordinators count towards the limit."""
        return failure_class.policy.resumes or self._failures[name, failure_class] <= self._limits[failure_class]

    def _ready(self) -> list[str]:
        """Return the stages that can start as soon as a worker is free."""
        if self._stop:
            return []
        return [
            name
            for name, stage in self._plan.stages.items()
            if self._states[name].status is StageStatus.ABSENT
            and all(self._states[needed].status is StageStatus.FINISHED for needed in stage.needs.values())
        ]

    def _start_ready_stages(self) -> None:
        for name in self._ready():
            if len(self._jobs) >= self._workers:
                return
            task = self._task(name)
            job = self._executor.adopt(task)
            if job is None:
                latest = self._folder(name).latest_attempt()
                if latest is not None and latest.running():
                    self._wait_for_another(name, latest)
                    continue
                if time.monotonic() < self._not_before_s.get(name, 0.0):
                    continue
            self._states[name] = StageState(StageStatus.RUNNING)
            self._journal.record(StageStarted(name, self._plan.stages[name].kind))
            self._jobs[name] = self._executor.submit(task) if job is None else job
            self._note_progress(ExperimentStatus.RUNNING)

    def _wait_for_another(self, name: str, attempt: Attempt) -> None:
        """Record, once, that another experiment is computing the stage; free it once the holder has ended."""
        if time.monotonic() >= self._free_not_before_s.get(name, 0.0):
            self._free_not_before_s[name] = time.monotonic() + 60.0
            self._free(self._folder(name))
        holder = read_lock(attempt.lock)
        if name not in self._awaited and holder is not None:
            self._awaited.add(name)
            reason = (
                f"process {holder.pid} on {holder.host} is computing it; if that host is permanently down, "
                f"remove {attempt.path}"
            )
            self._journal.record(StageWaiting(name, self._plan.stages[name].kind, reason))

    def _collect_finished_jobs(self) -> None:
        if not self._jobs:
            time.sleep(POLL_S)
        for position, (name, job) in enumerate(list(self._jobs.items())):
            outcome = job.wait(self._executor.poll_s if position == 0 else 0)
            if outcome is not None:
                del self._jobs[name]
                self._settle(name, outcome)

    def _settle(self, name: str, outcome: Outcome) -> None:
        if outcome.state == "busy":  # another experiment claimed it first: check again later
            self._states[name] = StageState(StageStatus.ABSENT)
            return
        if outcome.left_behind:
            self._journal.record(LeftBehind(name, outcome.left_behind))
        if outcome.failure is not None:
            self._settle_failure(name, outcome.failure)
        elif not self._folder(name).verified():
            damaged = "published files do not match their checksums"
            self._settle_failure(name, failure_of(FailureClass.CORRUPT_ARTIFACT, damaged, {}))
        else:
            self._states[name] = StageState(StageStatus.FINISHED)
            self._journal.record(StageFinished(name, self._plan.stages[name].kind))
        self._note_progress(ExperimentStatus.RUNNING)

    def _settle_failure(self, name: str, failure: Failure) -> None:
        failure_class, policy = failure.failure_class, failure.failure_class.policy
        self._failures[name, failure_class] += 1
        retry = not policy.resumes and self._should_retry(name, failure_class)
        self._journal.record(StageFailed(name, failure_class, failure.message, retry))
        if retry:
            self._states[name] = StageState(StageStatus.ABSENT)
            if policy.pauses:
                pause_s = BACKOFF_S * 2 ** (self._failures[name, failure_class] - 1)
                self._not_before_s[name] = time.monotonic() + pause_s
            if failure_class is FailureClass.HOST_OOM and self._executor.shares_memory:
                self._share_memory()
            return
        self._states[name] = StageState(StageStatus.FAILED, failure)
        self._stop = self._stop or policy.resumes  # every other stage would fail on the same disk

    def _share_memory(self) -> None:
        """Halve the number of concurrent stages, so that each has twice the memory."""
        if self._workers > 1:
            self._workers //= 2
            self._journal.record(WorkersReduced(self._workers, "memory ran out"))

    def _note_progress(self, state: ExperimentStatus) -> ExperimentState:
        """Write the snapshot, and journal the runs that have ended since the last one.

        While stages are running, snapshots are spaced so that they take a small share of the time, even with many runs.
        """
        started_s = time.monotonic()
        if state is ExperimentStatus.RUNNING and started_s < self._next_snapshot_s:
            return self._status
        self._status = self._snapshot(state)
        self._next_snapshot_s = time.monotonic() + _SNAPSHOT_PAUSE * (time.monotonic() - started_s)
        return self._status

    def _snapshot(self, state: ExperimentStatus) -> ExperimentState:
        status = ExperimentState(self._plan.experiment, state, run_states(self._plan, self._states))
        for name, run in status.runs.items():
            if (run.state.ok or run.state.failed) and name not in self._reported:
                self._reported.add(name)
                self._journal.record(RunFinished(name, run.state, run.failure_class, run.reason))
        write_state(self._workspace.experiment(self._plan.experiment), status)
        return status

    def _task(self, name: str) -> Task:
        return planned_task(self._workspace, self._plan.stages, name, self._targets[self._plan.stages[name].kind])

    def _folder(self, name: str) -> StageFolder:
        return self._workspace.stage(self._plan.stages[name].kind, name)
