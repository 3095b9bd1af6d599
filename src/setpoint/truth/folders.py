"""Write a simulated experiment as an ordinary folder, with the files that real stages publish."""

from hashlib import sha256
from pathlib import Path

import numpy as np

from setpoint.artifacts import Attempt, Lock, Manifest, Measured, PublishedFile, StageKind, Workspace
from setpoint.artifacts.atomic import json_text
from setpoint.episodes import EpisodeResult, write_episodes
from setpoint.fingerprint import digest
from setpoint.records.failure import FailureClass, failure_of
from setpoint.records.plan import PlannedRun, PlannedStage, StageRole, write_plan
from setpoint.records.state import RunStatus
from setpoint.trajectory import Termination
from setpoint.truth.planted import FINISHED_AT, Planted, PlantedRun, planted_plan

_MEASURED = Measured(wall_s=12.5, cpu_s=10.8, peak_rss_gb=1.25)
_LOCK = Lock(host="planted", boot_id="0", pid=1, started="0", token="0")


def write_folder(planted: Planted, workspace: Workspace, experiment: str) -> Path:
    """Write plan, stages and episodes below `workspace`, and return the experiment's folder."""
    folder = workspace.experiment(experiment)
    stages: dict[str, PlannedStage] = {}
    runs = [_planned_run(index, run, stages, experiment) for index, run in enumerate(planted.runs)]
    write_plan(folder, planted_plan(planted, experiment, runs, stages))
    for run, planned in zip(planted.runs, runs, strict=True):
        if run.state is not RunStatus.PLANNED:
            _write_stages(run, planned, stages, workspace)
    return folder


def _planned_run(index: int, run: PlantedRun, stages: dict[str, PlannedStage], experiment: str) -> PlannedRun:
    training = digest([experiment, "grpo", run.stage or run.name])
    stages[training] = PlannedStage(kind=StageKind.GRPO, config={"planted": run.name}, seed=run.replicate)
    own = {StageRole.GRPO.value: training}
    for system in run.systems:
        role = StageRole.EVALUATE.value if len(run.systems) == 1 else f"{StageRole.EVALUATE}:{system}"
        own[role] = digest([experiment, "evaluate", run.name, system])
        needs = {"adapter": training}
        stages[own[role]] = PlannedStage(kind=StageKind.EVALUATE, config={"system": system}, needs=needs, seed=0)
    return PlannedRun(
        name=run.name,
        index=index,
        configuration=run.configuration,
        replicate=run.replicate,
        seed=run.replicate,
        model_type=run.model_type,
        systems=run.systems,
        training_type="grpo",
        factors={name: level for name, level in run.factors.items() if level is not None},
        resolved={},
        stages=own,
    )


def _write_stages(run: PlantedRun, planned: PlannedRun, stages: dict[str, PlannedStage], workspace: Workspace) -> None:
    """Write the files of a run's stages, without fsync, because there are thousands."""
    for name in planned.stages.values():
        stage = stages[name]
        folder = workspace.stage(stage.kind, name)
        attempt = Attempt(folder.attempts_folder / "0001")
        attempt.path.mkdir(parents=True, exist_ok=True)
        attempt.lock.write_text(json_text(_LOCK.to_json()))
        if run.state is RunStatus.FAILED:
            failure = failure_of(FailureClass.DIVERGED, "the loss became NaN", {})
            attempt.failure.write_text(json_text(failure.to_json()))
            return
        files = {}
        if not stage.kind.trains:
            path = folder.path / "episodes.parquet"
            write_episodes(path, _episodes(stage.system, run.errors[stage.system]))
            files = {path.name: PublishedFile(sha256(path.read_bytes()).hexdigest(), path.stat().st_size)}
        manifest = Manifest(1, name, stage.kind, 1, FINISHED_AT, files, {}, _MEASURED, {})
        folder.manifest.write_text(json_text(manifest.to_json()))


def _episodes(system: str, errors: np.ndarray) -> list[EpisodeResult]:
    return [
        EpisodeResult(
            case_id=case,
            system=system,
            controller="llm",
            mode="open_loop",
            replan_interval=0,
            initial_state=(1.0, 0.0),
            final_state=(error, 0.0),
            termination=Termination.COMPLETED,
            parsed=True,
            final_error=error,
            normalised_error=error,
            control_cost=error,
            optimal_cost=1.0,
            blocked_optimal_cost=1.0,
            regret=error,
            violation_max=0.0,
            violation_count=0,
            success=error <= 0.05,
            success_loose=error <= 0.1,
            tokens=80,
            plans=1,
            plans_parsed=1,
        )
        for case, error in enumerate(errors.tolist())
    ]
