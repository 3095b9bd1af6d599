"""Export to Weights & Biases: offline runs in a folder, which `wandb sync` uploads from anywhere."""

import json
from pathlib import Path

from setpoint.artifacts import read_json, remove, write_text
from setpoint.trackers.content import Tracked, TrackedRun

_LONGEST_TAG = 64


def export(content: Tracked, target: Path) -> list[str]:
    """Write the runs that are not in the folder `target` yet, or differ; return their names. Nothing is uploaded.

    Raises:
        ModuleNotFoundError: the package wandb is not installed.
    """
    target.mkdir(parents=True, exist_ok=True)
    written = []
    for run in content.runs:
        state = target / f"setpoint-{run.id}.json"
        known = read_json(state)
        if isinstance(known, dict) and known.get("digest") == run.digest and _folders(target, run):
            continue
        for folder in _folders(target, run):
            remove(folder)
        _write(content.experiment, run, target)
        write_text(state, json.dumps({"run": run.name, "digest": run.digest}) + "\n")
        written.append(run.name)
    return written


def _folders(target: Path, run: TrackedRun) -> list[Path]:
    return list((target / "wandb").glob(f"offline-run-*-{run.id}"))


def _write(experiment: str, run: TrackedRun, target: Path) -> None:
    from wandb import Artifact, Settings, init

    settings = Settings(
        console="off", silent=True, disable_git=True, save_code=False, x_disable_stats=True, x_disable_meta=True
    )
    begun = init(
        mode="offline",
        project=experiment,
        id=run.id,
        name=run.name,
        dir=str(target),
        config=dict(run.parameters),
        notes="\n\n".join(run.texts.values()) or None,
        tags=[f"{name}={value}"[:_LONGEST_TAG] for name, value in run.tags.items()],
        settings=settings,
        reinit="create_new",
    )
    for values in _rows(run):
        begun.log(values)
    begun.summary.update({**run.metrics, **run.tags})
    for path in run.artefacts:
        if path.is_dir():
            adapter = Artifact(f"{run.id}-{path.name}", type="model")
            adapter.add_dir(str(path))
            begun.log_artifact(adapter)
        else:
            begun.save(str(path), base_path=str(path.parent), policy="now")
    begun.finish(exit_code=1 if run.failed else 0)


def _rows(run: TrackedRun) -> list[dict[str, float]]:
    """Return the curves as rows: the values of one step of one stage, with the step in a column of its own."""
    rows: dict[tuple[str, int], dict[str, float]] = {}
    for name, points in run.curves.items():
        stage = name.partition("/")[0]
        for step, value in points:
            rows.setdefault((stage, step), {f"{stage}/step": float(step)})[name] = value
    return [rows[key] for key in sorted(rows)]
