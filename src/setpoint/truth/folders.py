"""A planted experiment as an ordinary folder, with the files that real stages leave."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from setpoint.artifacts import Workspace
from setpoint.episodes import EpisodeResult, write_episodes
from setpoint.fingerprint import canonical_json, digest
from setpoint.trajectory import Termination
from setpoint.truth.planted import CREATED_AT, FINISHED_AT, Planted, PlantedRun, analysis_block

_MEASURED = {"wall_s": 12.5, "cpu_s": 10.8, "peak_rss_gb": 1.25, "gpu_hours": None, "peak_gpu_gb": None}


def write_folder(planted: Planted, workspace: Workspace, experiment: str) -> Path:
    """Write plan, stages and episodes below `workspace`; the experiment's folder."""
    folder = workspace.experiment(experiment)
    folder.mkdir(parents=True)
    stages: dict[str, Any] = {}
    runs = [_plan_run(index, run, stages, experiment) for index, run in enumerate(planted.runs)]
    plan = {
        "schema": 1,
        "experiment": experiment,
        "type": planted.type,
        "created_at": CREATED_AT,
        "spec": {},
        "spec_digest": "0" * 12,
        "analysis": analysis_block(planted),
        "systems": list(planted.systems),
        "base": {"name": "planted", "digest": "0" * 12},
        "datasets": {},
        "runs": runs,
        "stages": stages,
        "shared": {"reference": {}, "evaluate_base": {}},
        "provenance": {},
    }
    (folder / "plan.json").write_text(json.dumps(plan))
    for run, planned in zip(planted.runs, runs, strict=True):
        if run.state != "planned":
            _write_stages(run, planned, stages, workspace)
    return folder


def _plan_run(index: int, run: PlantedRun, stages: dict[str, Any], experiment: str) -> dict[str, Any]:
    training = digest([experiment, "grpo", run.stage or run.name])
    stages[training] = {"kind": "grpo", "config": {"planted": run.name}, "needs": {}, "seed": run.replicate}
    own = {"grpo": training}
    for system in run.systems:
        role = "evaluate" if len(run.systems) == 1 else f"evaluate:{system}"
        own[role] = digest([experiment, "evaluate", run.name, system])
        needs = {"adapter": training}
        stages[own[role]] = {"kind": "evaluate", "config": {"system": system}, "needs": needs, "seed": 0}
    return {
        "name": run.name,
        "index": index,
        "configuration": run.configuration,
        "replicate": run.replicate,
        "seed": run.replicate,
        "model_type": run.model_type,
        "systems": list(run.systems),
        "training_type": "grpo",
        "factors": dict(run.factors),
        "resolved": {},
        "stages": own,
    }


def _write_stages(run: PlantedRun, planned: dict[str, Any], stages: dict[str, Any], workspace: Workspace) -> None:
    for role, stage in planned["stages"].items():
        folder = workspace.stage(stages[stage]["kind"], stage).path
        attempt = folder / "attempts" / "0001"
        attempt.mkdir(parents=True, exist_ok=True)
        (attempt / "claim.json").write_text("{}")
        if run.state == "failed":
            failure = {"schema": 1, "failure_class": "diverged", "message": "the loss became NaN"}
            (attempt / "failure.json").write_text(canonical_json(failure))
            return
        files = {}
        if role != "grpo":
            system = stages[stage]["config"]["system"]
            path = folder / "episodes.parquet"
            write_episodes(path, _episodes(system, run.errors[system]))
            files = {path.name: {"sha256": sha256(path.read_bytes()).hexdigest(), "bytes": path.stat().st_size}}
        manifest = {
            "schema": 1,
            "stage": stage,
            "kind": stages[stage]["kind"],
            "attempt": 1,
            "finished_at": FINISHED_AT,
            "files": files,
            "summary": {},
            "measured": _MEASURED,
            "provenance": {},
        }
        (folder / "manifest.json").write_text(json.dumps(manifest))


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
