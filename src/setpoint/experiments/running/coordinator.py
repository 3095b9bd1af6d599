"""Runs every stage of a plan in dependency order; one failed stage stops only what needs it."""

import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from setpoint.artifacts import Attempt, StageFolder, Workspace, read_claim, write_json
from setpoint.execution import Executor, Job, Outcome, Task
from setpoint.experiments.planning.stages import STAGES
from setpoint.experiments.running.status import StageState, Status, failure_classes, read_stage, run_states
from setpoint.records.failure import RESUMED, RETRIES
from setpoint.records.journal import Journal
from setpoint.records.plan import Plan

POLL_S = 0.2

_WAITS = frozenset({"transient", "node_failure"})
"""Classes that are tried again only after a pause, which doubles."""
BACKOFF_S = 5.0
_SNAPSHOT_PAUSE = 10.0
"""Between two snapshots, in units of the time that one takes."""


class Coordinator:
    """Takes a plan from whatever is on the disk to as finished as it can be.

    Every decision is read from the stage folders, so that a coordinator that was killed leaves nothing behind that the
    next one would need.
    """

    def __init__(
        self,
        workspace: Workspace,
        plan: Plan,
        executor: Executor,
        journal: Journal,
        *,
        workers: int = 1,
        targets: Mapping[str, str] | None = None,
        retries: Mapping[str, int] | None = None,
    ) -> None:
        """Prepare to run `plan`.

        Args:
            workers: stages that may run at the same time.
            retries: failure class -> how often a stage is tried again by itself, in place of `RETRIES`.
            targets: stage kind -> `module:function`; the package's own by default.
        """
        self._workspace = workspace
        self._plan = plan
        self._executor = executor
        self._journal = journal
        self._workers = workers
        self._targets = targets or {kind: stage.target for kind, stage in STAGES.items()}
        self._states: dict[str, StageState] = {}
        self._limits = {**RETRIES, **(retries or {})}
        self._failures: Counter[tuple[str, str]] = Counter()
        self._not_before_s: dict[str, float] = {}
        self._jobs: dict[str, Job] = {}
        self._reported: set[str] = set()
        self._awaited: set[str] = set()
        self._stop = False
        self._next_snapshot_s = 0.0
        self._status = Status(plan.experiment, "running", {})

    def drain(self) -> None:
        """Start nothing more, and let what runs come to its end."""
        self._stop = True
        self._journal.record("draining", running=len(self._jobs))

    def run(self, *, rerun_failed: frozenset[str] = frozenset(), settled: frozenset[str] = frozenset()) -> Status:
        """Run all stages that can be run, and say what became of every run.

        Args:
            rerun_failed: ids of failed stages to try again.
            settled: ids of failed stages that stay failed otherwise, however often their class would be tried again.

        An interrupt ends the running workers, leaves everything resumable, and is passed on.
        """
        self._states = {
            name: self._initial_state(name, name in rerun_failed, name in settled) for name in self._plan.stages
        }
        self._journal.record("started", stages=len(self._plan.stages), runs=len(self._plan.runs))
        self._note_progress("running")
        try:
            while self._jobs or self._ready():
                self._start_ready_stages()
                self._collect_finished_jobs()
        except BaseException as error:
            for job in self._jobs.values():
                job.cancel()
            self._states.update({name: StageState("interrupted") for name in self._jobs})
            self._journal.record("interrupted", reason=type(error).__name__)
            self._note_progress("interrupted")
            raise
        status = self._note_progress("finished")
        self._journal.record("finished")
        left = self._stop and any(
            run.state in {"planned", "waiting"} or run.failure_class in RESUMED for run in status.runs.values()
        )
        return self._note_progress("interrupted") if left else status

    def _initial_state(self, name: str, rerun: bool, settled: bool) -> StageState:
        """The state on disk; here, unlike in `status`, the content of what would be reused is checked in full."""
        folder = self._folder(name)
        state = read_stage(folder)
        if state.status == "finished":
            if folder.verified():
                self._journal.record("stage_reused", stage=name)
                return state
            return StageState("absent")
        if state.status != "failed" or rerun or self._executor.adopt(self._task(name)) is not None:
            return StageState("absent")
        self._failures.update((name, found) for found in failure_classes(folder))
        if settled:
            return state
        return StageState("absent") if self._try_again(name, (state.failure or {})["failure_class"]) else state

    def _try_again(self, name: str, failure_class: str) -> bool:
        """Whether a stage is tried again after a failure; what earlier coordinators tried counts as well."""
        return failure_class in RESUMED or self._failures[name, failure_class] <= self._limits.get(failure_class, 0)

    def _ready(self) -> list[str]:
        """Stages that wait for nothing but a worker."""
        if self._stop:
            return []
        return [
            name
            for name, stage in self._plan.stages.items()
            if self._states[name].status == "absent"
            and all(self._states[needed].status == "finished" for needed in stage.needs.values())
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
            self._states[name] = StageState("running")
            self._journal.record("stage_started", stage=name, kind=self._plan.stages[name].kind)
            self._jobs[name] = self._executor.submit(task) if job is None else job
            self._note_progress("running")

    def _wait_for_another(self, name: str, attempt: Attempt) -> None:
        """Note, once, that another experiment is computing the stage just now."""
        holder = read_claim(attempt.claim)
        if name not in self._awaited and holder is not None:
            self._awaited.add(name)
            reason = (
                f"process {holder.pid} on {holder.host} is computing it; if that host is gone for good, "
                f"remove {attempt.path}"
            )
            self._journal.record("stage_waiting", stage=name, kind=self._plan.stages[name].kind, reason=reason)

    def _collect_finished_jobs(self) -> None:
        if not self._jobs:
            time.sleep(POLL_S)
        for position, (name, job) in enumerate(list(self._jobs.items())):
            outcome = job.wait(self._executor.poll_s if position == 0 else 0)
            if outcome is not None:
                del self._jobs[name]
                self._settle(name, outcome)

    def _settle(self, name: str, outcome: Outcome) -> None:
        if outcome.state == "busy":  # another experiment was first: look again later
            self._states[name] = StageState("absent")
            return
        if outcome.left_behind:
            self._journal.record("left_behind", stage=name, reason=outcome.left_behind)
        if outcome.state == "failed":
            self._settle_failure(name, outcome.failure or {})
        elif not self._folder(name).verified():
            damaged = {"failure_class": "corrupt_artifact", "message": "what was published is not what was written"}
            self._settle_failure(name, damaged)
        else:
            self._states[name] = StageState("finished")
            self._journal.record("stage_finished", stage=name, kind=self._plan.stages[name].kind)
        self._note_progress("running")

    def _settle_failure(self, name: str, failure: dict[str, Any]) -> None:
        failure_class = failure["failure_class"]
        self._failures[name, failure_class] += 1
        retry = failure_class not in RESUMED and self._try_again(name, failure_class)
        self._journal.record(
            "stage_failed", stage=name, failure_class=failure_class, reason=failure["message"], retry=retry
        )
        if retry:
            self._states[name] = StageState("absent")
            if failure_class in _WAITS:
                pause_s = BACKOFF_S * 2 ** (self._failures[name, failure_class] - 1)
                self._not_before_s[name] = time.monotonic() + pause_s
            if failure_class == "host_oom" and self._executor.shares_memory:
                self._share_memory()
            return
        self._states[name] = StageState("failed", failure)
        self._stop = self._stop or failure_class in RESUMED  # every other stage would fail on the same disk

    def _share_memory(self) -> None:
        """Run half as many stages at the same time from now on, so that each has twice the memory."""
        if self._workers > 1:
            self._workers //= 2
            self._journal.record("workers_reduced", workers=self._workers, reason="memory ran out")

    def _note_progress(self, state: Literal["running", "finished", "interrupted"]) -> Status:
        """Write the snapshot, and journal the runs that have come to an end since the last one.

        While stages are running, this takes a small share of the time at most, however many runs there are.
        """
        started_s = time.monotonic()
        if state == "running" and started_s < self._next_snapshot_s:
            return self._status
        self._status = self._snapshot(state)
        self._next_snapshot_s = time.monotonic() + _SNAPSHOT_PAUSE * (time.monotonic() - started_s)
        return self._status

    def _snapshot(self, state: Literal["running", "finished", "interrupted"]) -> Status:
        status = Status(self._plan.experiment, state, run_states(self._plan, self._states))
        for name, run in status.runs.items():
            if run.state in {"ok", "failed", "blocked", "lost"} and name not in self._reported:
                self._reported.add(name)
                self._journal.record(
                    "run_finished", run=name, state=run.state, failure_class=run.failure_class, reason=run.reason
                )
        snapshot = {**status.to_json(), "updated_at": datetime.now(UTC).isoformat(timespec="seconds")}
        write_json(self._workspace.experiment(self._plan.experiment) / "state.json", snapshot)
        return status

    def _task(self, name: str) -> Task:
        stage = self._plan.stages[name]
        return Task(
            workspace=self._workspace.root.absolute(),
            kind=stage.kind,
            stage_id=name,
            target=self._targets[stage.kind],
            config=stage.config,
            seed=stage.seed,
            needs={role: self._folder(needed).path.absolute() for role, needed in stage.needs.items()},
        )

    def _folder(self, name: str) -> StageFolder:
        return self._workspace.stage(self._plan.stages[name].kind, name)
