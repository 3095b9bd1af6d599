"""What the page shows, as JSON values read from the files of the workspace."""

import math
from collections.abc import Mapping
from functools import lru_cache
from itertools import islice
from typing import Any

from setpoint.analysis.data.reading import learning_curve
from setpoint.artifacts import StageFolder, Workspace
from setpoint.errors import InputError
from setpoint.experiments.running.scores import best_so_far
from setpoint.experiments.running.status import experiment_ids, read_status, require_plan
from setpoint.records.estimate import read_estimate
from setpoint.records.plan import Plan, PlannedRun, plan_path
from setpoint.regular_files import read_end
from setpoint.reports.files import REPORTS

MOST_LOG_BYTES = 20_000
MOST_POINTS = 400
"""Most points of a curve; longer curves are thinned."""


@lru_cache(maxsize=32)
def _read_plan(workspace: Workspace, name: str, _stamp: tuple[int, int]) -> Plan:
    return require_plan(workspace, name)


def _plan(workspace: Workspace, name: str) -> Plan:
    """Return the plan of an experiment; it is read again only if its file has changed.

    Raises:
        InputError: there is no such experiment.
    """
    try:
        status = plan_path(workspace.experiment(name)).stat()
    except OSError:
        return require_plan(workspace, name)
    return _read_plan(workspace, name, (status.st_mtime_ns, status.st_size))


def experiments(workspace: Workspace) -> list[dict[str, Any]]:
    """Return every experiment with its state and the number of its runs by state, newest first."""
    found: list[dict[str, Any]] = []
    for name in experiment_ids(workspace):
        try:
            plan, status = _plan(workspace, name), read_status(workspace, name)
        except (InputError, OSError) as error:
            found.append({"id": name, "state": "unreadable", "reason": str(error), "counts": {}, "created": ""})
            continue
        about = {"type": plan.type, "systems": list(plan.systems), "created": plan.created_at}
        found.append({"id": name, "state": status.state.value, "counts": status.counts, **about})
    return sorted(found, key=lambda each: (str(each["created"]), str(each["id"])), reverse=True)


def experiment(workspace: Workspace, name: str) -> dict[str, Any]:
    """Return the runs of an experiment with their states, and what is known of its cost and its best runs.

    Raises:
        InputError: there is no such experiment.
    """
    plan, status = _plan(workspace, name), read_status(workspace, name)
    runs = [
        {
            "name": run.name,
            "configuration": run.configuration,
            "seed": run.seed,
            "systems": list(run.systems),
            **status.runs[run.name].to_json(),
        }
        for run in plan.runs
        if run.name in status.runs
    ]
    return {
        "id": name,
        "state": status.state.value,
        "counts": status.counts,
        "runs": runs,
        "best": [score.text for score in best_so_far(workspace, plan)],
        "estimate": _estimate(workspace, plan),
        "report": (workspace.experiment(name) / REPORTS / "report.html").is_file(),
    }


def run(workspace: Workspace, name: str, run_name: str) -> dict[str, Any]:
    """Return the parameters, the curves and the last log lines of one run.

    Raises:
        InputError: there is no such experiment or run.
    """
    plan = _plan(workspace, name)
    planned = next((each for each in plan.runs if each.name == run_name), None)
    if planned is None:
        raise InputError(f"experiment {name!r} has no run {run_name!r}.")
    stages = [(role.value, workspace.stage(role.kind, stage)) for role, stage in planned.own_stages()]
    return {
        "name": planned.name,
        "parameters": _parameters(planned),
        "curves": {key: points for _, stage in stages for key, points in _curves(stage).items()},
        "logs": [{"stage": f"{role} {stage.path.name}", "text": _log(stage)} for role, stage in stages],
    }


def _parameters(planned: PlannedRun) -> dict[str, Any]:
    found: dict[str, Any] = {"seed": planned.seed, "training": planned.training_type, **planned.factors}
    for group, values in planned.resolved.items():
        if isinstance(values, Mapping):
            found |= {f"{group}.{field}": value for field, value in values.items()}
    return found


def _curves(stage: StageFolder) -> dict[str, list[list[float]]]:
    """Return curve -> points, at most `MOST_POINTS` of each."""
    found: dict[str, list[list[float]]] = {}
    for record in learning_curve(stage):
        step = record.get("step")
        for field, value in record.items():
            if field not in {"step", "stage"} and isinstance(value, float) and isinstance(step, int | float):
                found.setdefault(f"{stage.path.parent.name}/{field}", []).append([float(step), value])
    return {key: list(islice(points, 0, None, 1 + len(points) // MOST_POINTS)) for key, points in found.items()}


def _log(stage: StageFolder) -> str:
    """Return the end of the logs of the latest attempt; empty if there are none."""
    attempt = stage.latest_attempt()
    if attempt is None:
        return ""
    parts = []
    for path in (attempt.stdout, attempt.stderr):
        try:
            parts.append(read_end(path, MOST_LOG_BYTES).decode("utf-8", errors="replace"))
        except OSError:
            continue
    return "\n".join(part for part in parts if part.strip())


def _estimate(workspace: Workspace, plan: Plan) -> dict[str, float] | None:
    """Return the predicted CPU time of all stages and of those that are not finished [s]; None without an estimate."""
    record = read_estimate(workspace.experiment(plan.experiment))
    if record is None:
        return None
    left = sum(
        cost.cpu_s
        for name, cost in record.stages.items()
        if name in plan.stages and not workspace.stage(plan.stages[name].kind, name).manifest.exists()
    )
    return {"cpu_s": record.predicted.cpu_s, "left_s": left / max(1, record.predicted.workers)}


def finite(value: Any) -> Any:
    """Return `value` with None in place of NaN and infinities, at any depth."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(each) for key, each in value.items()}
    return [finite(each) for each in value] if isinstance(value, list | tuple) else value
