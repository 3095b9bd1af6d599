"""Read an experiment from its folder: the frozen plan, what the stages published, and what the runs came to.

`state.json` is asked only about what the stages cannot tell, such as whether a run is waiting.
"""

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from setpoint.analysis.data.experiment import (
    PENDING_STATES,
    AnalysisPlan,
    Cost,
    ExperimentData,
    Failure,
    Forecast,
    Outcome,
    Prediction,
    RunResult,
)
from setpoint.analysis.data.quantities import CaseValues, Metrics, case_values, judged_episodes, summarise
from setpoint.artifacts import Attempt, StageFolder, Workspace, read_json, read_manifest
from setpoint.episodes import (
    EPISODES,
    EpisodeColumns,
    ManyEpisodes,
    read_episode_columns,
    read_many_episode_columns,
)
from setpoint.errors import InputError
from setpoint.fingerprint import digest, seal_broken
from setpoint.processes import ordered_map, usable_cores

PLAN_SCHEMA = 1
MANIFEST_SCHEMA = 1
ESTIMATE_SCHEMA = 1
ESTIMATE = "estimate.json"
"""What the experiment was expected to cost, written when it was first started."""
STAGE_ORDER = ("evaluate_start", "sft", "evaluate_sft", "grpo", "evaluate")
TRAINING_KINDS = frozenset({"sft", "grpo"})
DAMAGED = "the run was finished, but files of its stages are missing or damaged"
"""Nothing about its configuration: taking the experiment up again computes them anew."""


def read_experiment(folder: Path) -> ExperimentData:
    """Read the experiment in `folder`, which is `<workspace>/experiments/<id>`.

    Raises:
        InputError: there is no plan, or one of another schema, or one that names a run twice.
    """
    plan = _read_plan(folder)
    workspace = Workspace(folder.resolve().parents[1])
    place = str(workspace.stages)
    with _episodes_ahead(plan, workspace) as ahead:
        stages = {
            name: _Stage(f"{place}/{stage['kind']}/{name}", tuple(stage.get("needs", {}).values()), ahead)
            for name, stage in plan["stages"].items()
        }
        return _read_results(folder, workspace, plan, stages)


def _read_results(
    folder: Path, workspace: Workspace, plan: Mapping[str, Any], stages: Mapping[str, "_Stage"]
) -> ExperimentData:
    judged = plan["analysis"]["judged"]
    shared = plan.get("shared", {})
    base = _controllers(stages, shared.get("evaluate_base", {}), judged)
    state = read_json(folder / "state.json") or {}
    reader = _RunReader(plan, stages, {system: found["llm"] for system, found in base.items() if "llm" in found})
    runs = tuple(reader.read(run, state.get("runs", {}).get(run["name"], {})) for run in plan["runs"])
    return ExperimentData(
        folder=folder,
        workspace=workspace,
        id=plan["experiment"],
        type=plan["type"],
        created_at=plan["created_at"],
        finished_at=max(plan["created_at"], _finished_at(stages.values()), _failed_at(folder)),
        systems=tuple(plan["systems"]),
        analysis=_analysis_plan(plan["analysis"]),
        runs=runs,
        anchors=_controllers(stages, shared.get("reference", {}), judged),
        base=reader.base,
        cost=_all_costs(stages.values()),
        unmeasured_attempts=sum(stage.unmeasured for stage in stages.values()),
        plan=plan,
        forecast=_forecast(read_json(folder / ESTIMATE), stages),
    )


def _forecast(record: object, stages: Mapping[str, "_Stage"]) -> Forecast | None:
    """The content of estimate.json beside what the stages did cost."""
    if not isinstance(record, dict) or record.get("schema") != ESTIMATE_SCHEMA:
        return None
    if not record["stages"] and record.get("unknown_kinds", True):
        return None
    predicted = tuple(_prediction(stages[name], cost) for name, cost in record["stages"].items() if name in stages)
    low, high = record["predicted"]["cpu_s_interval"]
    return Forecast(float(record["level"]), (float(low), float(high)), predicted)


def _prediction(stage: "_Stage", cost: Mapping[str, Any]) -> Prediction:
    low, high = cost["cpu_s_interval"]
    measured = stage.measured.get("cpu_s")
    return Prediction(
        kind=stage.folder.path.parent.name,
        expected_s=float(cost["cpu_s"]),
        interval_s=(float(low), float(high)),
        measured_s=None if measured is None else float(measured),
        expected_gpu_hours=float(cost.get("gpu_hours", 0.0)),
        measured_gpu_hours=float(stage.measured.get("gpu_hours") or 0.0),
    )


@dataclass
class _Stage:
    """A stage as it was when it was first looked at; every file is read once.

    Attributes:
        path: of its folder. With thousands of them, making a `Path` of each takes longer than reading its files.
    """

    path: str
    needs: tuple[str, ...]
    ahead: "_EpisodesAhead"
    manifest: dict[str, Any] | None = field(init=False)
    finished: bool = field(init=False)
    foreign: str = ""
    """The schema of a manifest that another version wrote; such a stage has no result here."""

    def __post_init__(self) -> None:
        self.manifest = read_manifest(f"{self.path}/manifest.json")
        if self.manifest is not None and self.manifest.get("schema") != MANIFEST_SCHEMA:
            self.foreign, self.manifest = f"{self.manifest.get('schema')!r}", None
        self.finished = self.manifest is not None and all(
            _size(f"{self.path}/{name}") == file["bytes"] for name, file in self.manifest["files"].items()
        )

    @property
    def folder(self) -> StageFolder:
        """The stage on disk."""
        return StageFolder(Path(self.path))

    @property
    def measured(self) -> Mapping[str, Any]:
        """Time and memory of the attempt that succeeded."""
        measured: Mapping[str, Any] = (self.manifest or {}).get("measured", {})
        return measured

    @cached_property
    def costs(self) -> list[Mapping[str, Any] | None]:
        """What was measured of every attempt; None of one that left nothing."""
        succeeded = [] if self.manifest is None else [self.measured]
        return [*succeeded, *map(_attempt_cost, self.other_attempts())]

    @property
    def unmeasured(self) -> int:
        """Attempts that left nothing."""
        return sum(cost is None for cost in self.costs)

    @cached_property
    def episodes(self) -> EpisodeColumns | None:
        """The published episodes; None of an unfinished stage."""
        if not self.finished:
            return None
        file = f"{self.path}/{EPISODES}"
        return self.ahead.take(file) or read_episode_columns(Path(file))

    def other_attempts(self) -> list[Attempt]:
        """Every attempt but the one that succeeded."""
        succeeded = (self.manifest or {}).get("attempt")
        try:
            names = [entry.name for entry in os.scandir(f"{self.path}/attempts")]
        except OSError:
            return []
        if succeeded is not None and names == [f"{succeeded:04d}"]:
            return []
        return [attempt for attempt in self.folder.attempts() if attempt.number != succeeded]

    def failure(self) -> Failure | None:
        """The failure of the last attempt of a stage that is not finished, or that another version wrote."""
        if self.foreign:
            reason = f"{self.folder.manifest} must have schema {MANIFEST_SCHEMA}, but has {self.foreign}"
            return Failure("data", reason, "read it with the version that wrote it, or start afresh in a new workspace")
        attempt = None if self.finished else self.folder.latest_attempt()
        record = None if attempt is None else read_json(attempt.failure)
        if attempt is None or not isinstance(record, dict):
            return None
        return Failure(
            failure_class=str(record.get("failure_class", "crash")),
            reason=str(record.get("message", "not recorded")),
            suggestion=str(record.get("suggestion") or ""),
            evidence=record.get("evidence") or {},
            stage=self.folder,
            attempt=attempt.path,
        )


FILES_PER_TASK = 128
"""Enough that handing out the tasks costs nothing beside reading."""
_FILES_PER_PROCESS = 1500
"""Below this a further process costs more time than it saves."""


class _EpisodesAhead:
    """Episodes that other processes read while this one reads manifests and makes runs of them."""

    def __init__(self, parts: Iterator[ManyEpisodes]) -> None:
        self._parts = parts
        self._arrived: dict[str, EpisodeColumns] = {}

    def take(self, file: str) -> EpisodeColumns | None:
        """The episodes of `file`, which are waited for; None of a file that is not among them or cannot be read."""
        while file not in self._arrived and (part := next(self._parts, None)) is not None:
            self._arrived.update(part.by_file())
        return self._arrived.pop(file, None)


@contextmanager
def _episodes_ahead(plan: Mapping[str, Any], workspace: Workspace) -> Iterator[_EpisodesAhead]:
    """The episodes of all evaluations in the order of the plan."""
    names = [name for name, stage in plan["stages"].items() if stage["kind"] == "evaluate"]
    files = [f"{workspace.stages}/evaluate/{name}/{EPISODES}" for name in names]
    parts = [files[k : k + FILES_PER_TASK] for k in range(0, len(files), FILES_PER_TASK)]
    with ordered_map(min(usable_cores(), len(files) // _FILES_PER_PROCESS)) as run_all:
        yield _EpisodesAhead(run_all(read_many_episode_columns, parts))


def _size(path: str) -> int | None:
    try:
        return os.stat(path).st_size  # noqa: PTH116
    except OSError:
        return None


def total_cost(measured: Iterable[Mapping[str, Any]]) -> Cost:
    """Sums of times and maxima of memory over `measured` blocks of manifests or resources files."""
    blocks = [block for block in measured if block]
    cpu_s = _sum(blocks, "cpu_s")
    return Cost(
        wall_s=_sum(blocks, "wall_s"),
        cpu_core_hours=None if cpu_s is None else cpu_s / 3600.0,
        gpu_hours=_sum(blocks, "gpu_hours"),
        peak_memory_gb=max(_numbers(blocks, "peak_rss_gb"), default=None),
        peak_gpu_gb=max(_numbers(blocks, "peak_gpu_gb"), default=None),
    )


def learning_curve(stage: StageFolder) -> list[dict[str, float | str]]:
    """The records of all attempts of a training stage by step; a later attempt replaces the steps it repeats."""
    by_step: dict[tuple[str, float], dict[str, float | str]] = {}
    for attempt in stage.attempts():
        for record in _json_lines(attempt.metrics):
            if isinstance(record.get("step"), int | float):
                by_step.setdefault((str(record.get("stage", "")), float(record["step"])), {}).update(record)
    return [by_step[key] for key in sorted(by_step)]


@dataclass(frozen=True)
class _RunReader:
    """Turns entries of the plan into results."""

    plan: Mapping[str, Any]
    stages: Mapping[str, _Stage]
    base: Mapping[str, Metrics]

    def read(self, run: Mapping[str, Any], cached: Mapping[str, Any]) -> RunResult:
        own = {stage: self.stages[stage] for _, stage in sorted(run["stages"].items(), key=_stage_position)}
        state, failure = self._state(list(own.values()), cached)
        outcomes: Mapping[str, Outcome] = {}
        try:
            outcomes = {system: self._outcome(run, system) for system in run["systems"]}
        except InputError as error:
            state, failure = "failed", Failure("data", str(error), "verify the workspace, then run the stage again")
        if state == "ok" and any(outcome.final is None for outcome in outcomes.values()):
            state = "failed"
            failure = Failure("data", "the evaluation holds no episode of the judged mode", "evaluate again")
        training = {name: s for name, s in own.items() if self.plan["stages"][name]["kind"] in TRAINING_KINDS}
        return RunResult(
            **{key: run[key] for key in ("name", "index", "configuration", "replicate", "seed", "model_type")},
            training_type=run["training_type"],
            systems=tuple(run["systems"]),
            factors=run["factors"],
            resolved=run.get("resolved", {}),
            stages=run["stages"],
            start=run.get("start"),
            state=state,
            failure=failure,
            outcomes=outcomes,
            training_time_s=_sum([cost or {} for stage in training.values() for cost in stage.costs], "wall_s"),
            cost=_all_costs(own.values()),
            unmeasured={name: stage.unmeasured for name, stage in own.items() if stage.unmeasured},
            outputs=_outputs(own, self.plan),
        )

    def _state(self, own: list[_Stage], cached: Mapping[str, Any]) -> tuple[str, Failure | None]:
        """The run's state from its stages, from what they need, and only then from the snapshot."""
        if all(stage.finished for stage in own):
            return "ok", None
        for stage in own:
            failure = stage.failure()
            if failure is not None:
                return "failed", failure
        for stage in self._upstream(own):
            failure = stage.failure()
            if failure is not None:
                kind, name = stage.folder.path.parts[-2:]
                return "blocked", Failure("blocked", f"{kind} stage {name} failed: {failure.reason}")
        state = str(cached.get("state", "planned"))
        if state == "ok":
            return "waiting", Failure("corrupt_artifact", DAMAGED)
        if state in PENDING_STATES:
            return state, None
        return state, Failure(str(cached.get("failure_class") or state), str(cached.get("reason") or "not recorded"))

    def _upstream(self, own: list[_Stage]) -> list[_Stage]:
        """Every stage that `own` need, directly or not."""
        found: dict[str, _Stage] = {}
        queue = list(own)
        while queue:
            for needed in queue.pop().needs:
                # A parent may belong to another experiment, whose plan is not read.
                if needed not in found and needed in self.stages:
                    found[needed] = self.stages[needed]
                    queue.append(found[needed])
        return list(found.values())

    def _outcome(self, run: Mapping[str, Any], system: str) -> Outcome:
        (start, _), (after_sft, _), (final, cases) = (
            self._metrics(run["stages"].get(role) or run["stages"].get(f"{role}:{system}"), system)
            for role in ("evaluate_start", "evaluate_sft", "evaluate")
        )
        if run["training_type"] == "sft":
            after_sft = final
        return Outcome(start if run.get("start") else self.base.get(system), after_sft, final, cases)

    def _metrics(self, stage_id: str | None, system: str) -> tuple[Metrics | None, CaseValues | None]:
        judged = self.plan["analysis"]["judged"].get(system, "open_loop")
        episodes = None if stage_id is None else self.stages[stage_id].episodes
        if episodes is None:
            return None, None
        learned = episodes.where((episodes.system == system) & (episodes.controller == "llm"))
        cases = judged_episodes(learned, judged)
        return summarise(cases), case_values(cases)


def _outputs(own: Mapping[str, _Stage], plan: Mapping[str, Any]) -> dict[str, str]:
    """Digests of the weights that the last training stage published, and of the episodes of the final evaluations."""
    weights: dict[str, Any] = {}
    episodes: dict[str, Any] = {}
    for name, stage in own.items():
        files = {} if stage.manifest is None or not stage.finished else stage.manifest["files"]
        if plan["stages"][name]["kind"] in TRAINING_KINDS:  # the later one of two counts
            weights = {file: found["sha256"] for file, found in files.items() if file.endswith(".safetensors")}
        elif EPISODES in files:
            episodes = {**episodes, plan["stages"][name]["config"].get("system", ""): files[EPISODES]["sha256"]}
    found = {"weights": weights, "episodes": episodes}
    return {what: digest(content) for what, content in found.items() if content}


def _read_plan(folder: Path) -> dict[str, Any]:
    plan = read_json(folder / "plan.json")
    if not isinstance(plan, dict):
        raise InputError(
            f"an experiment is a folder with a plan.json, but {folder} has none that can be read. "
            "Name one that `setpoint experiment list` shows."
        )
    if plan.get("schema") != PLAN_SCHEMA:
        raise InputError(f"{folder / 'plan.json'} must have schema {PLAN_SCHEMA}, but has {plan.get('schema')!r}.")
    if seal_broken(plan):
        raise InputError(f"{folder / 'plan.json'} was changed after it was frozen. Restore it to analyse its results.")
    _refuse_duplicates(folder, plan["runs"])
    return plan


def _refuse_duplicates(folder: Path, runs: Iterable[Mapping[str, Any]]) -> None:
    """A run that counts twice would make every interval too narrow."""
    seen: dict[Any, str] = {}
    for run in runs:
        for identity in (run["name"], (run["configuration"], run["replicate"], tuple(run["systems"]))):
            if identity in seen:
                raise InputError(
                    f"{folder / 'plan.json'} must name every run once, but {seen[identity]!r} and {run['name']!r} are "
                    "the same run. Plan the experiment again under a new id."
                )
            seen[identity] = run["name"]


def _analysis_plan(block: Mapping[str, Any]) -> AnalysisPlan:
    return AnalysisPlan(
        primary_metric=block["primary_metric"],
        secondary_metrics=tuple(block.get("secondary_metrics", ())),
        scale=block.get("scale", "log"),
        factors=tuple(block["factors"]),
        alpha=float(block.get("alpha", 0.05)),
        judged=block["judged"],
        families=tuple(tuple(family) for family in block.get("families", ())),
        blocks=tuple(block.get("blocks", ())),
        adaptive=bool(block.get("adaptive", False)),
    )


def _stage_position(item: tuple[str, str]) -> tuple[int, str]:
    role = item[0].partition(":")[0]
    return (STAGE_ORDER.index(role) if role in STAGE_ORDER else len(STAGE_ORDER), role)


def _controllers(
    stages: Mapping[str, _Stage], shared: Mapping[str, str], judged: Mapping[str, str]
) -> dict[str, dict[str, Metrics]]:
    """system -> controller -> metrics of the shared stage of each system."""
    found: dict[str, dict[str, Metrics]] = {}
    for system, stage in shared.items():
        episodes = stages[stage].episodes
        found[system] = {}
        if episodes is None:
            continue
        rows = judged_episodes(episodes.where(episodes.system == system), judged.get(system, "open_loop"))
        for name in dict.fromkeys(rows.controller.tolist()):
            metrics = summarise(rows.where(rows.controller == name))
            if metrics is not None:
                found[system][name] = metrics
    return found


def _all_costs(stages: Iterable[_Stage]) -> Cost:
    """Of every attempt at every stage, as far as it was measured."""
    return total_cost(cost or {} for stage in stages for cost in stage.costs)


def _attempt_cost(attempt: Attempt) -> Mapping[str, Any] | None:
    """What was measured of an attempt that did not succeed, to its end or until shortly before it was killed."""
    found = read_json(attempt.resources) or read_json(attempt.resources_so_far)
    return found if isinstance(found, dict) else None


def _finished_at(stages: Iterable[_Stage]) -> str:
    """When the newest result was published; empty where there is none."""
    return max((str((stage.manifest or {}).get("finished_at", "")) for stage in stages), default="")


def _failed_at(folder: Path) -> str:
    """When the newest failure was recorded, in the form of manifests; empty where there is none."""
    events = [event for path in folder.glob("journal/*.jsonl") for event in _json_lines(path)]
    failures = [event.get("at") for event in events if event.get("event") == "stage_failed"]
    times = [datetime.fromisoformat(at) for at in failures if isinstance(at, str)]
    return max(times).isoformat(timespec="seconds") if times else ""


_NUMBER = (int, float)
"""A tuple: to make a union anew for every value takes longer than the rest."""


def _numbers(blocks: Iterable[Mapping[str, Any]], key: str) -> list[float]:
    return [float(value) for block in blocks if isinstance(value := block.get(key), _NUMBER) and math.isfinite(value)]


def _sum(blocks: Iterable[Mapping[str, Any]], key: str) -> float | None:
    numbers = _numbers(blocks, key)
    return math.fsum(numbers) if numbers else None


def _json_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON-lines file; a line that was cut off by a crash is skipped."""
    records: list[dict[str, Any]] = []
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return records
    for line in lines:
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(record, dict):
            records.append(record)
    return records
