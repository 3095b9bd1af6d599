"""Recompute the figures of a report from plan, manifests and Parquet rows: `python -m support.recompute FOLDER`.

It imports nothing of the package, so that a mistake in the analysis cannot hide in both. Prints one JSON object.
"""

import json
import math
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

MODES = {"open_loop": "open_loop", "closed_loop": "replan_5"}


def recompute(folder: Path) -> dict[str, Any]:
    """Counts, mean errors by run and configuration, mean training time, and hours."""
    plan = json.loads((folder / "plan.json").read_text())
    stages = folder.parents[1] / "stages"
    paths = {stage: stages / entry["kind"] / stage for stage, entry in plan["stages"].items()}
    manifests = {stage: json.loads((path / "manifest.json").read_text()) for stage, path in paths.items() if done(path)}
    errors: dict[str, float] = {}
    configurations: dict[str, list[float]] = {}
    times = []
    for run in plan["runs"]:
        if not all(stage in manifests for stage in run["stages"].values()):
            continue
        system = run["systems"][0]
        rows = pq.read_table(paths[run["stages"]["evaluate"]] / "episodes.parquet").to_pylist()
        mode = MODES[plan["analysis"]["evaluation_modes"][system]]
        judged = [r["final_error"] for r in rows if (r["system"], r["mode"], r["controller"]) == (system, mode, "llm")]
        errors[run["name"]] = sum(judged) / len(judged)
        configurations.setdefault(str(run["configuration"]), []).append(errors[run["name"]])
        trained = [run["stages"][role] for role in ("sft", "grpo") if role in run["stages"]]
        times.append(sum(manifests[stage]["measured"]["wall_s"] for stage in trained))
    spent = [block for path in paths.values() for block in measured(path)]
    return {
        "total": len(plan["runs"]),
        "successful": len(errors),
        "failed": sum(failed(run, paths) for run in plan["runs"]),
        "errors": errors,
        "configurations": {key: math.exp(sum(map(math.log, e)) / len(e)) for key, e in configurations.items()},
        "training_time_s": sum(times) / len(times) if times else None,
        "cpu_core_hours": sum(block["cpu_s"] for block in spent) / 3600,
        "gpu_hours": sum(block["gpu_hours"] or 0.0 for block in spent),
        "peak_memory_gb": max((block["peak_rss_gb"] for block in spent), default=None),
    }


def done(path: Path) -> bool:
    """Whether a stage has published."""
    return (path / "manifest.json").exists()


def failed(run: dict[str, Any], paths: dict[str, Path]) -> bool:
    """Whether the last attempt of a stage of the run ended in a failure."""
    for stage in run["stages"].values():
        attempts = sorted((paths[stage] / "attempts").glob("*"))
        if attempts and not done(paths[stage]) and (attempts[-1] / "failure.json").exists():
            return True
    return False


def measured(path: Path) -> list[dict[str, Any]]:
    """What every attempt at a stage cost."""
    blocks = []
    published = json.loads((path / "manifest.json").read_text()) if done(path) else None
    if published:
        blocks.append(published["measured"])
    for attempt in sorted((path / "attempts").glob("*")):
        if published and int(attempt.name) == published["attempt"]:
            continue
        if (attempt / "resources.json").exists():
            blocks.append(json.loads((attempt / "resources.json").read_text()))
    return blocks


if __name__ == "__main__":
    print(json.dumps(recompute(Path(sys.argv[1])), indent=1))
