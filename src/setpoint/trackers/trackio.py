"""Export to Trackio: its database in a folder, which `trackio show` opens."""

import os
from pathlib import Path
from typing import Any

from setpoint.trackers.content import Tracked, TrackedRun

FOLDER = "TRACKIO_DIR"
"""Variable that says where Trackio keeps its data; it is read when the package is imported."""


def export(content: Tracked, target: Path) -> list[str]:
    """Write the runs that the database in the folder `target` does not have yet, or has with other content.

    Returns:
        the names of the written runs.

    Raises:
        ModuleNotFoundError: the package trackio is not installed.
    """
    target.mkdir(parents=True, exist_ok=True)
    os.environ[FOLDER] = str(target.resolve())
    from trackio.sqlite_storage import SQLiteStorage

    written = []
    for run in content.runs:
        known = SQLiteStorage.get_run_config(content.experiment, run.name) or {}
        if known.get("setpoint.digest") == run.digest:
            continue
        SQLiteStorage.delete_run(content.experiment, run.name)
        steps = _steps(run)
        SQLiteStorage.bulk_log(
            project=content.experiment,
            run=run.name,
            metrics_list=list(steps.values()),
            steps=list(steps),
            timestamps=[run.finished_at] * len(steps),
            config={**run.parameters, **run.tags, **run.texts, "setpoint.digest": run.digest},
        )
        written.append(run.name)
    return written


def _steps(run: TrackedRun) -> dict[int, dict[str, Any]]:
    """Return step -> values; the final metrics are those of the step after the last."""
    steps: dict[int, dict[str, Any]] = {}
    for name, points in run.curves.items():
        for step, value in points:
            steps.setdefault(step, {})[name] = value
    last = max(steps, default=-1) + 1
    return {**dict(sorted(steps.items())), last: dict(run.metrics)}
