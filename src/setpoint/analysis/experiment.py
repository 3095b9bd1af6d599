"""An experiment as it lies on disk: its frozen plan, what its stages published, and what its runs came to.

`state.json` is asked only about what the stages cannot tell, such as whether a run is waiting.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from setpoint.analysis.quantities import Metrics, summarise
from setpoint.artifacts import StageFolder, Workspace, read_json
from setpoint.episodes import EPISODES, EpisodeResult, read_episodes
from setpoint.errors import InputError

PLAN_SCHEMA = 1
STAGE_ORDER = ("evaluate_start", "sft", "evaluate_sft", "grpo", "evaluate")
TRAINING_KINDS = frozenset({"sft", "grpo"})
PENDING_STATES = frozenset({"planned", "waiting", "running"})
FAILED_STATES = frozenset({"failed", "blocked", "lost"})
Level = str | int | float | bool | None
"""A value of a swept parameter."""


@dataclass(frozen=True)
class Failure:
    """Why a run has no result.

    Attributes:
        stage: the stage that failed, None where none did.
        attempt: folder of its last attempt.
    """

    failure_class: str
    reason: str
    suggestion: str = ""
    evidence: Mapping[str, Any] | None = None
    stage: StageFolder | None = None
    attempt: Path | None = None


@dataclass(frozen=True)
class Cost:
    """Measured time and memory; None where it was not measured. GPU values are also None where no GPU was used."""

    wall_s: float | None
    cpu_core_hours: float | None
    gpu_hours: float | None
    peak_memory_gb: float | None
    peak_gpu_gb: float | None


@dataclass(frozen=True)
class Outcome:
    """Metrics of one run on one system: at the start, after SFT, and at the end; None where there is no evaluation.

    Attributes:
        base: of the base, or of the adapter that the run trained further.
    """

    base: Metrics | None
    after_sft: Metrics | None
    final: Metrics | None


@dataclass(frozen=True)
class RunResult:
    """One trained model: what was asked, what became of it.

    Attributes:
        configuration: runs of one configuration differ only in their replicate.
        factors: the values of the swept parameters.
        resolved: the complete parameters.
        stages: role -> stage id; an evaluation's role ends in `:<system>` where the run has several systems.
        start: the stage whose adapter the run trained further; None where it began with the base.
        state: `ok`, `cancelled`, or one of `FAILED_STATES` and `PENDING_STATES`.
        outcomes: by system.
        training_time_s: seconds of the training stages.
        cost: of all stages of the run; a stage that several runs share counts in each of them.
    """

    name: str
    index: int
    configuration: int
    replicate: int
    seed: int
    model_type: str
    training_type: str
    systems: tuple[str, ...]
    factors: Mapping[str, Level]
    resolved: Mapping[str, Any]
    stages: Mapping[str, str]
    start: str | None
    state: str
    failure: Failure | None
    outcomes: Mapping[str, Outcome]
    training_time_s: float | None
    cost: Cost

    @property
    def pending(self) -> bool:
        """Whether a result may still come."""
        return self.state in PENDING_STATES

    def measured(self) -> dict[str, float | None]:
        """The metrics that come from clocks and counters."""
        return {
            "training_time": self.training_time_s,
            "gpu_hours": self.cost.gpu_hours,
            "cpu_core_hours": self.cost.cpu_core_hours,
            "peak_memory_gb": self.cost.peak_memory_gb,
        }

    def evaluation(self, system: str) -> str:
        """The stage that evaluated the trained model on `system`."""
        return self.stages.get(f"evaluate:{system}") or self.stages["evaluate"]

    def level(self, factor: str) -> Level:
        """The run's value of a swept parameter, or of a property that a plan may sweep."""
        properties: dict[str, Level] = {
            "training_type": self.training_type,
            "model_type": self.model_type,
            "system": "+".join(self.systems),
        }
        return self.factors[factor] if factor in self.factors else properties.get(factor)


@dataclass(frozen=True)
class AnalysisPlan:
    """The part of the plan that was fixed before any result was seen."""

    primary_metric: str
    secondary_metrics: tuple[str, ...]
    scale: str
    factors: tuple[str, ...]
    alpha: float
    judged: Mapping[str, str]


@dataclass(frozen=True)
class ExperimentData:
    """Everything that analysis and reports need.

    Attributes:
        finished_at: ISO time of the newest result, or of the plan where there is none.
        anchors: system -> controller -> metrics of the reference controllers.
        base: system -> metrics of the untrained base.
        cost: of every distinct stage once, failed attempts included.
        unmeasured_attempts: attempts that left no resources file.
    """

    folder: Path
    workspace: Workspace
    id: str
    type: str
    created_at: str
    finished_at: str
    systems: tuple[str, ...]
    analysis: AnalysisPlan
    runs: tuple[RunResult, ...]
    anchors: Mapping[str, Mapping[str, Metrics]]
    base: Mapping[str, Metrics]
    cost: Cost
    unmeasured_attempts: int
    plan: Mapping[str, Any]


def read_experiment(folder: Path) -> ExperimentData:
    """Read the experiment in `folder`, which is `<workspace>/experiments/<id>`.

    Raises:
        InputError: there is no plan, or one of another schema.
    """
    plan = _read_plan(folder)
    workspace = Workspace(folder.resolve().parents[1])
    stages = {name: workspace.stage(stage["kind"], name) for name, stage in plan["stages"].items()}
    judged = plan["analysis"]["judged"]
    shared = plan.get("shared", {})
    base = _controllers(stages, shared.get("evaluate_base", {}), judged)
    state = read_json(folder / "state.json") or {}
    reader = _RunReader(plan, stages, {system: found["llm"] for system, found in base.items() if "llm" in found})
    runs = tuple(reader.read(run, state.get("runs", {}).get(run["name"], {})) for run in plan["runs"])
    costs, unmeasured = _all_costs(stages.values())
    return ExperimentData(
        folder=folder,
        workspace=workspace,
        id=plan["experiment"],
        type=plan["type"],
        created_at=plan["created_at"],
        finished_at=_finished_at(stages.values()) or plan["created_at"],
        systems=tuple(plan["systems"]),
        analysis=_analysis_plan(plan["analysis"]),
        runs=runs,
        anchors=_controllers(stages, shared.get("reference", {}), judged),
        base=reader.base,
        cost=total_cost(costs),
        unmeasured_attempts=unmeasured,
        plan=plan,
    )


def total_cost(measured: Iterable[Mapping[str, Any]]) -> Cost:
    """Sums of times and maxima of memory over `measured` blocks of manifests or resources files."""
    blocks = list(measured)
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
    stages: Mapping[str, StageFolder]
    base: Mapping[str, Metrics]

    def read(self, run: Mapping[str, Any], cached: Mapping[str, Any]) -> RunResult:
        own = sorted(run["stages"].items(), key=_stage_position)
        folders = [self.stages[stage] for _, stage in own]
        state, failure = self._state(folders, cached)
        outcomes: Mapping[str, Outcome] = {}
        try:
            outcomes = {system: self._outcome(run, system) for system in run["systems"]}
        except InputError as error:
            state, failure = "failed", Failure("data", str(error), "verify the workspace, then run the stage again")
        if state == "ok" and any(outcome.final is None for outcome in outcomes.values()):
            state = "failed"
            failure = Failure("data", "the evaluation holds no episode of the judged mode", "evaluate again")
        measured = {stage: (self.stages[stage].read_manifest() or {}).get("measured", {}) for _, stage in own}
        training = [measured[stage] for _, stage in own if self.plan["stages"][stage]["kind"] in TRAINING_KINDS]
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
            training_time_s=total_cost(training).wall_s,
            cost=total_cost(measured.values()),
        )

    def _state(self, folders: list[StageFolder], cached: Mapping[str, Any]) -> tuple[str, Failure | None]:
        """The run's state from its stages, from what they need, and only then from the snapshot."""
        if all(folder.finished() for folder in folders):
            return "ok", None
        for folder in folders:
            failure = _stage_failure(folder)
            if failure is not None:
                return "failed", failure
        for folder in self._upstream(folders):
            failure = _stage_failure(folder)
            if failure is not None:
                kind = folder.path.parent.name
                return "blocked", Failure("blocked", f"{kind} stage {folder.path.name} failed: {failure.reason}")
        state = str(cached.get("state", "planned"))
        if state == "ok":
            return "lost", Failure("lost", "the run was finished, but files of its stages are missing or damaged")
        if state in PENDING_STATES:
            return state, None
        return state, Failure(str(cached.get("failure_class") or state), str(cached.get("reason") or "not recorded"))

    def _upstream(self, folders: list[StageFolder]) -> list[StageFolder]:
        """Every stage that `folders` need, directly or not."""
        found: dict[str, StageFolder] = {}
        queue = [folder.path.name for folder in folders]
        while queue:
            for needed in self.plan["stages"][queue.pop()].get("needs", {}).values():
                if needed not in found:
                    found[needed] = self.stages[needed]
                    queue.append(needed)
        return list(found.values())

    def _outcome(self, run: Mapping[str, Any], system: str) -> Outcome:
        start, after_sft, final = (
            self._metrics(run["stages"].get(role) or run["stages"].get(f"{role}:{system}"), system)
            for role in ("evaluate_start", "evaluate_sft", "evaluate")
        )
        if run["training_type"] == "sft":
            after_sft = final
        return Outcome(start if run.get("start") else self.base.get(system), after_sft, final)

    def _metrics(self, stage_id: str | None, system: str) -> Metrics | None:
        if stage_id is None:
            return None
        learned = [r for r in _episodes(self.stages[stage_id]) if r.system == system and r.controller == "llm"]
        return summarise(learned, self.plan["analysis"]["judged"].get(system, "open_loop"))


def _read_plan(folder: Path) -> dict[str, Any]:
    plan = read_json(folder / "plan.json")
    if not isinstance(plan, dict):
        raise InputError(
            f"an experiment is a folder with a plan.json, but {folder} has none that can be read. "
            "Name one that `setpoint experiment list` shows."
        )
    if plan.get("schema") != PLAN_SCHEMA:
        raise InputError(f"{folder / 'plan.json'} must have schema {PLAN_SCHEMA}, but has {plan.get('schema')!r}.")
    return plan


def _analysis_plan(block: Mapping[str, Any]) -> AnalysisPlan:
    return AnalysisPlan(
        primary_metric=block["primary_metric"],
        secondary_metrics=tuple(block.get("secondary_metrics", ())),
        scale=block.get("scale", "log"),
        factors=tuple(block["factors"]),
        alpha=float(block.get("alpha", 0.05)),
        judged=block["judged"],
    )


def _stage_position(item: tuple[str, str]) -> tuple[int, str]:
    role = item[0].partition(":")[0]
    return (STAGE_ORDER.index(role) if role in STAGE_ORDER else len(STAGE_ORDER), role)


def _stage_failure(folder: StageFolder) -> Failure | None:
    """The failure of the last attempt of a stage that is not finished."""
    attempt = None if folder.finished() else folder.latest_attempt()
    record = None if attempt is None else read_json(attempt.failure)
    if attempt is None or not isinstance(record, dict):
        return None
    return Failure(
        failure_class=str(record.get("failure_class", "crash")),
        reason=str(record.get("message", "not recorded")),
        suggestion=str(record.get("suggestion") or ""),
        evidence=record.get("evidence") or {},
        stage=folder,
        attempt=attempt.path,
    )


def _episodes(folder: StageFolder) -> list[EpisodeResult]:
    """The published episodes of a finished stage; none of an unfinished one."""
    return read_episodes(folder.path / EPISODES) if folder.finished() else []


def _controllers(
    stages: Mapping[str, StageFolder], shared: Mapping[str, str], judged: Mapping[str, str]
) -> dict[str, dict[str, Metrics]]:
    """system -> controller -> metrics of the shared stage of each system."""
    found: dict[str, dict[str, Metrics]] = {}
    for system, stage in shared.items():
        by_controller: dict[str, list[EpisodeResult]] = {}
        for row in _episodes(stages[stage]):
            if row.system == system:
                by_controller.setdefault(row.controller, []).append(row)
        summaries = {name: summarise(rows, judged.get(system, "open_loop")) for name, rows in by_controller.items()}
        found[system] = {name: metrics for name, metrics in summaries.items() if metrics is not None}
    return found


def _all_costs(folders: Iterable[StageFolder]) -> tuple[list[Mapping[str, Any]], int]:
    """The measured block of every attempt at every stage, and how many attempts left none."""
    blocks: list[Mapping[str, Any]] = []
    unmeasured = 0
    for folder in folders:
        manifest = folder.read_manifest()
        if manifest is not None:
            blocks.append(manifest.get("measured", {}))
        for attempt in folder.attempts():
            if manifest is not None and attempt.number == manifest.get("attempt"):
                continue
            resources = read_json(attempt.resources)
            blocks.append(resources or {})
            unmeasured += resources is None
    return blocks, unmeasured


def _finished_at(folders: Iterable[StageFolder]) -> str | None:
    times = [str((folder.read_manifest() or {}).get("finished_at", "")) for folder in folders]
    return max(times, default="") or None


def _numbers(blocks: Iterable[Mapping[str, Any]], key: str) -> list[float]:
    values = [block.get(key) for block in blocks]
    return [float(value) for value in values if isinstance(value, int | float) and math.isfinite(value)]


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
