"""Read an experiment from its folder: the frozen plan, and the results of its stages and runs.

`state.json` is used only for what the stages cannot tell, such as whether a run is waiting.
"""

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from setpoint.analysis.data.experiment import (
    ExperimentData,
    Forecast,
    MeasuredCost,
    Prediction,
    RunFailure,
    RunOutcome,
    RunResult,
)
from setpoint.analysis.data.quantities import CaseValues, Metrics, case_values, episodes_in_mode, summarise
from setpoint.artifacts import (
    Attempt,
    Manifest,
    Measured,
    StageFolder,
    StageKind,
    Workspace,
    parse_json,
    read_manifest,
    read_measured,
)
from setpoint.artifacts.manifest import SCHEMA as MANIFEST_SCHEMA
from setpoint.episodes import (
    EPISODES,
    EpisodeColumns,
    ManyEpisodes,
    read_episode_columns,
    read_many_episode_columns,
)
from setpoint.errors import InputError
from setpoint.fingerprint import digest
from setpoint.processes import ordered_map, uncollected, usable_cores
from setpoint.records.estimate import EstimateRecord, StageEstimate, read_estimate
from setpoint.records.failure import FailureClass, read_failure
from setpoint.records.journal import EventKind, read_events
from setpoint.records.plan import Plan, PlannedRun, StageRole, read_plan
from setpoint.records.state import RunState, RunStatus, read_state
from setpoint.regular_files import read_regular

DAMAGED = "result files of this finished run are missing or damaged; resume the experiment to recompute them"


@uncollected()
def read_experiment(folder: Path) -> ExperimentData:
    """Read the experiment in `folder`, which is `<workspace>/experiments/<id>`.

    Raises:
        InputError: there is no plan, or one that is damaged or of another version.
    """
    plan = read_plan(folder)
    if plan is None:
        raise InputError(
            f"no experiment {folder.name!r}: {folder} has no plan.json. List the experiments with `setpoint experiment "
            "list`."
        )
    workspace = Workspace(folder.resolve().parents[1])
    place = str(workspace.stages)
    with _episodes_ahead(plan, workspace) as ahead:
        stages = {
            name: _Stage(f"{place}/{stage.kind}/{name}", stage.kind, ahead) for name, stage in plan.stages.items()
        }
        return _read_results(folder, workspace, plan, stages)


def _read_results(folder: Path, workspace: Workspace, plan: Plan, stages: Mapping[str, "_Stage"]) -> ExperimentData:
    base = _controllers(plan, stages, plan.shared.evaluate_base)
    state = read_state(folder)
    reader = _RunReader(plan, stages, {system: found["llm"] for system, found in base.items() if "llm" in found})
    cached = {} if state is None else state.runs
    runs = tuple(reader.read(run, cached.get(run.name, _UNRECORDED)) for run in plan.runs)
    return ExperimentData(
        folder=folder,
        workspace=workspace,
        plan=plan,
        finished_at=max(plan.created_at, _finished_at(stages.values()), _failed_at(folder)),
        runs=runs,
        anchors=_controllers(plan, stages, plan.shared.reference),
        base=reader.base,
        cost=_all_costs(stages.values()),
        unmeasured_attempts=sum(stage.unmeasured for stage in stages.values()),
        forecast=_forecast(read_estimate(folder), stages),
        modes=_modes_of_shared(plan, stages),
    )


def _modes_of_shared(plan: Plan, stages: Mapping[str, "_Stage"]) -> dict[str, dict[str, dict[str, Metrics]]]:
    """Return system -> mode -> controller -> metrics of the reference controllers and the untrained base model."""
    found: dict[str, dict[str, dict[str, Metrics]]] = {}
    for shared in (plan.shared.reference, plan.shared.evaluate_base):
        for system, stage in shared.items():
            episodes = stages[stage].episodes
            if episodes is None:
                continue
            rows = episodes.where(episodes.system == system)
            for mode in dict.fromkeys(rows.mode.tolist()):
                here = rows.where(rows.mode == mode)
                for name in dict.fromkeys(here.controller.tolist()):
                    metrics = summarise(here.where(here.controller == name))
                    if metrics is not None:
                        found.setdefault(system, {}).setdefault(mode, {})[name] = metrics
    return found


_UNRECORDED = RunState(RunStatus.PLANNED)


def _forecast(record: EstimateRecord | None, stages: Mapping[str, "_Stage"]) -> Forecast | None:
    """Combine the cost estimate of the stages with their measured cost; None if there was no estimate."""
    if record is None or (not record.stages and record.unknown_kinds):
        return None
    predicted = tuple(_prediction(stages[name], cost) for name, cost in record.stages.items() if name in stages)
    return Forecast(record.level, record.predicted.cpu_s_interval, predicted)


def _prediction(stage: "_Stage", cost: StageEstimate) -> Prediction:
    return Prediction(
        kind=stage.kind,
        expected_s=cost.cpu_s,
        interval_s=cost.cpu_s_interval,
        measured_s=stage.measured.cpu_s,
        expected_gpu_hours=cost.gpu_hours,
        measured_gpu_hours=stage.measured.gpu_hours or 0.0,
    )


_NOT_MEASURED = Measured()


@dataclass
class _Stage:
    """A stage as it was when first read; every file is read once.

    Attributes:
        path: its folder. With thousands of stages, creating a `Path` for each takes longer than reading its files.
        foreign: schema of a manifest that another version wrote; such a stage has no result here.
    """

    path: str
    kind: StageKind
    ahead: "_EpisodesAhead"
    manifest: Manifest | None = field(init=False)
    finished: bool = field(init=False)
    foreign: int | None = None

    def __post_init__(self) -> None:
        self.manifest = read_manifest(f"{self.path}/manifest.json")
        if self.manifest is not None and self.manifest.schema != MANIFEST_SCHEMA:
            self.foreign, self.manifest = self.manifest.schema, None
        self.finished = self.manifest is not None and all(
            _size(f"{self.path}/{name}") == file.bytes for name, file in self.manifest.files.items()
        )

    @property
    def folder(self) -> StageFolder:
        """Return the stage on disk."""
        return StageFolder(Path(self.path))

    @property
    def measured(self) -> Measured:
        """Return time and memory of the successful attempt."""
        return _NOT_MEASURED if self.manifest is None else self.manifest.measured

    @cached_property
    def costs(self) -> list[Measured | None]:
        """Return the measured cost of every attempt; None for attempts that recorded nothing."""
        succeeded = [] if self.manifest is None else [self.manifest.measured]
        return [*succeeded, *map(_attempt_cost, self.other_attempts())]

    @property
    def unmeasured(self) -> int:
        """Return the number of attempts that recorded nothing."""
        return sum(cost is None for cost in self.costs)

    @cached_property
    def episodes(self) -> EpisodeColumns | None:
        """Return the published episodes; None if the stage has not finished."""
        if not self.finished:
            return None
        file = f"{self.path}/{EPISODES}"
        return self.ahead.take(file) or read_episode_columns(Path(file))

    def other_attempts(self) -> list[Attempt]:
        """Return all attempts except the successful one."""
        succeeded = None if self.manifest is None else self.manifest.attempt
        try:
            names = [entry.name for entry in os.scandir(f"{self.path}/attempts")]
        except OSError:
            return []
        if succeeded is not None and names == [f"{succeeded:04d}"]:
            return []
        return [attempt for attempt in self.folder.attempts() if attempt.number != succeeded]

    def failure(self) -> RunFailure | None:
        """Return why a stage has no result: its last failure, or a manifest of another version; None otherwise."""
        if self.foreign is not None:
            reason = f"{self.folder.manifest}: the schema must be {MANIFEST_SCHEMA}, got {self.foreign}"
            remedy = "use the version of Setpoint that wrote it, or a new workspace"
            return RunFailure(FailureClass.DATA, reason, remedy)
        attempt = None if self.finished else self.folder.latest_attempt()
        failure = None if attempt is None else read_failure(attempt.failure)
        if attempt is None or failure is None:
            return None
        return RunFailure(
            failure_class=failure.failure_class,
            reason=failure.message,
            suggestion=failure.suggestion,
            evidence=failure.evidence,
            stage=self.folder,
            attempt=attempt.path,
        )


FILES_PER_TASK = 128
"""Large enough that dispatching a task costs little compared with reading its files."""
_FILES_PER_PROCESS = 1500
"""With fewer files, starting another process costs more time than it saves."""


class _EpisodesAhead:
    """Episodes that other processes read ahead, while this process reads manifests and assembles runs."""

    def __init__(self, parts: Iterator[ManyEpisodes]) -> None:
        self._parts = parts
        self._arrived: dict[str, EpisodeColumns] = {}

    def take(self, file: str) -> EpisodeColumns | None:
        """Wait for the episodes of `file`; None if it is not read ahead or cannot be read."""
        while file not in self._arrived and (part := next(self._parts, None)) is not None:
            self._arrived.update(part.by_file())
        return self._arrived.pop(file, None)


@contextmanager
def _episodes_ahead(plan: Plan, workspace: Workspace) -> Iterator[_EpisodesAhead]:
    """Read the episodes of all evaluations ahead, in the order of the plan."""
    names = [name for name, stage in plan.stages.items() if stage.kind is StageKind.EVALUATE]
    files = [f"{workspace.stages}/evaluate/{name}/{EPISODES}" for name in names]
    parts = [files[k : k + FILES_PER_TASK] for k in range(0, len(files), FILES_PER_TASK)]
    with ordered_map(min(usable_cores(), len(files) // _FILES_PER_PROCESS)) as run_all:
        yield _EpisodesAhead(run_all(read_many_episode_columns, parts))


def _size(path: str) -> int | None:
    try:
        return os.stat(path).st_size  # noqa: PTH116
    except OSError:
        return None


def total_cost(measured: Iterable[Measured]) -> MeasuredCost:
    """Sum the times, and take the maxima of memory."""
    blocks = list(measured)
    cpu_s = _sum(block.cpu_s for block in blocks)
    return MeasuredCost(
        wall_s=_sum(block.wall_s for block in blocks),
        cpu_core_hours=None if cpu_s is None else cpu_s / 3600.0,
        gpu_hours=_sum(block.gpu_hours for block in blocks),
        peak_memory_gb=max((block.peak_rss_gb for block in blocks if block.peak_rss_gb is not None), default=None),
        peak_gpu_gb=max((block.peak_gpu_gb for block in blocks if block.peak_gpu_gb is not None), default=None),
    )


def learning_curve(stage: StageFolder) -> list[dict[str, float | str]]:
    """Return the log records of a training stage by step; a later attempt replaces the steps that it repeats."""
    by_step: dict[tuple[str, float], dict[str, float | str]] = {}
    for attempt in stage.attempts():
        for record in _json_lines(attempt.metrics):
            if isinstance(record.get("step"), int | float):
                by_step.setdefault((str(record.get("stage", "")), float(record["step"])), {}).update(record)
    return [by_step[key] for key in sorted(by_step)]


@dataclass(frozen=True)
class _RunReader:
    """Reads the results of planned runs."""

    plan: Plan
    stages: Mapping[str, _Stage]
    base: Mapping[str, Metrics]

    def read(self, run: PlannedRun, cached: RunState) -> RunResult:
        own = {name: self.stages[name] for _, name in run.own_stages()}
        state, failure = self._state(run, own, cached)
        outcomes: Mapping[str, RunOutcome] = {}
        try:
            outcomes = {system: self._outcome(run, system) for system in run.systems}
        except InputError as error:
            state = RunStatus.FAILED
            failure = RunFailure(FailureClass.DATA, str(error), "verify the workspace, then retry the run")
        if state is RunStatus.OK and any(outcome.final is None for outcome in outcomes.values()):
            state = RunStatus.FAILED
            reason = "the evaluation has no episodes in the primary evaluation mode"
            failure = RunFailure(FailureClass.DATA, reason, "evaluate the model again")
        training = [stage for stage in own.values() if stage.kind.trains]
        return RunResult(
            name=run.name,
            index=run.index,
            configuration=run.configuration,
            replicate=run.replicate,
            seed=run.seed,
            model_type=run.model_type,
            training_type=run.training_type,
            systems=run.systems,
            factors=run.factors,
            resolved=run.resolved,
            stages=run.stages,
            start=run.start,
            state=state,
            failure=failure,
            outcomes=outcomes,
            training_time_s=_sum(cost.wall_s for stage in training for cost in stage.costs if cost is not None),
            cost=_all_costs(own.values()),
            unmeasured={name: stage.unmeasured for name, stage in own.items() if stage.unmeasured},
            outputs=_outputs(own, self.plan),
        )

    def _state(
        self, run: PlannedRun, own: Mapping[str, _Stage], cached: RunState
    ) -> tuple[RunStatus, RunFailure | None]:
        """Determine the run's state from its stages, then from upstream stages, and only then from `state.json`."""
        if all(stage.finished for stage in own.values()):
            return RunStatus.OK, None
        for stage in own.values():
            failure = stage.failure()
            if failure is not None:
                return RunStatus.FAILED, failure
        for name in sorted(self.plan.upstream(*run.stages.values())):
            failure = self.stages[name].failure()
            if failure is not None:
                reason = f"{self.stages[name].kind} stage {name} failed: {failure.reason}"
                return RunStatus.BLOCKED, RunFailure(FailureClass.BLOCKED, reason)
        if cached.state is RunStatus.OK:
            return RunStatus.WAITING, RunFailure(FailureClass.CORRUPT_ARTIFACT, DAMAGED)
        if cached.state.pending:
            return cached.state, None
        failure_class = cached.failure_class or _CLASS_OF_STATUS[cached.state]
        return cached.state, RunFailure(failure_class, cached.reason or "not recorded")

    def _outcome(self, run: PlannedRun, system: str) -> RunOutcome:
        start, _, _ = self._metrics(run.stage(StageRole.EVALUATE_START, system), system)
        after_sft, _, _ = self._metrics(run.stage(StageRole.EVALUATE_SFT, system), system)
        after_dagger, _, _ = self._metrics(run.stage(StageRole.EVALUATE_DAGGER, system), system)
        final, cases, modes = self._metrics(run.stage(StageRole.EVALUATE, system), system, all_modes=True)
        if run.training_type == "sft":
            after_sft = final
        if run.training_type == "dagger":
            after_dagger = final
        before = start if run.start else self.base.get(system)
        return RunOutcome(before, after_sft, final, cases, modes, after_dagger)

    def _metrics(
        self, stage_id: str | None, system: str, *, all_modes: bool = False
    ) -> tuple[Metrics | None, CaseValues | None, dict[str, Metrics]]:
        """Return metrics and cases in the primary evaluation mode, and on request the metrics in every mode."""
        episodes = None if stage_id is None else self.stages[stage_id].episodes
        if episodes is None:
            return None, None, {}
        learned = episodes.where((episodes.system == system) & (episodes.controller == "llm"))
        primary = self.plan.analysis.mode(system)
        cases = episodes_in_mode(learned, primary)
        metrics = summarise(cases)
        modes: dict[str, Metrics] = {} if metrics is None else {primary.episodes: metrics}
        others = all_modes and len(cases.case_id) < len(learned.case_id)
        for mode in set(learned.mode.tolist()) - set(modes) if others else ():
            found = summarise(learned.where(learned.mode == mode))
            if found is not None:
                modes[mode] = found
        return metrics, case_values(cases), modes


_CLASS_OF_STATUS = {
    RunStatus.FAILED: FailureClass.CRASH,
    RunStatus.BLOCKED: FailureClass.BLOCKED,
    RunStatus.LOST: FailureClass.LOST,
    RunStatus.CANCELLED: FailureClass.CANCELLED,
}
"""Failure class of a run without a result if `state.json` names none."""


def _outputs(own: Mapping[str, _Stage], plan: Plan) -> dict[str, str]:
    """Return digests of the weights of the last training stage, and of the episodes of the final evaluations."""
    weights: dict[str, str] = {}
    episodes: dict[str, str] = {}
    for name, stage in own.items():
        files = {} if stage.manifest is None or not stage.finished else stage.manifest.files
        if stage.kind.trains:  # the last training stage counts
            weights = {file: found.sha256 for file, found in files.items() if file.endswith(".safetensors")}
        elif EPISODES in files:
            episodes = {**episodes, plan.stages[name].system: files[EPISODES].sha256}
    found = {"weights": weights, "episodes": episodes}
    return {what: digest(content) for what, content in found.items() if content}


def _controllers(plan: Plan, stages: Mapping[str, _Stage], shared: Mapping[str, str]) -> dict[str, dict[str, Metrics]]:
    """Return system -> controller -> metrics, from the shared stage of each system."""
    found: dict[str, dict[str, Metrics]] = {}
    for system, stage in shared.items():
        episodes = stages[stage].episodes
        found[system] = {}
        if episodes is None:
            continue
        rows = episodes_in_mode(episodes.where(episodes.system == system), plan.analysis.mode(system))
        for name in dict.fromkeys(rows.controller.tolist()):
            metrics = summarise(rows.where(rows.controller == name))
            if metrics is not None:
                found[system][name] = metrics
    return found


def _all_costs(stages: Iterable[_Stage]) -> MeasuredCost:
    """Return the cost of all measured attempts of all stages."""
    return total_cost(cost for stage in stages for cost in stage.costs if cost is not None)


def _attempt_cost(attempt: Attempt) -> Measured | None:
    """Return the measured cost of an unsuccessful attempt: to its end, or the last sample before it was killed."""
    return read_measured(attempt.resources) or read_measured(attempt.resources_so_far)


def _finished_at(stages: Iterable[_Stage]) -> str:
    """Return the time of the latest result; empty if there is none."""
    return max((stage.manifest.finished_at for stage in stages if stage.manifest is not None), default="")


def _failed_at(folder: Path) -> str:
    """Return the time of the latest failure, in the format of manifests; empty if there is none."""
    times = [event.at for event in read_events(folder, EventKind.STAGE_FAILED)]
    return max(times).isoformat(timespec="seconds") if times else ""


def _sum(numbers: Iterable[float | None]) -> float | None:
    known = [number for number in numbers if number is not None]
    return math.fsum(known) if known else None


def _json_lines(path: Path) -> list[dict[str, Any]]:
    """Read the objects of a JSON-lines file; skip a line that a crash has truncated."""
    try:
        lines = read_regular(path, links=False).splitlines()
    except OSError:
        return []
    records = [parse_json(line) for line in lines]
    return [record for record in records if isinstance(record, dict)]
