"""What is exported: the runs of an experiment with parameters, curves and metrics, and its claims as one more run."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from setpoint.analysis.data.claim import Claim
from setpoint.analysis.data.experiment import ExperimentData, RunResult
from setpoint.analysis.data.reading import learning_curve, read_experiment
from setpoint.artifacts import StageFolder
from setpoint.fingerprint import digest
from setpoint.records.plan import Value
from setpoint.reports import read_claims, write_reports
from setpoint.reports.results import result_rows

CLAIMS_RUN = "claims"
"""Name of the run that holds the claims of the experiment."""
_NOT_METRICS = ("run", "index", "configuration", "replicate", "seed")
Points = tuple[tuple[int, float], ...]
"""Steps and values of a curve."""


@dataclass(frozen=True)
class TrackedRun:
    """One run of a tracker.

    Attributes:
        id: stable identity, of letters and digits.
        curves: name such as `sft/loss` -> steps and values.
        texts: name -> Markdown.
        artefacts: files and folders that belong to it.
        finished_at: ISO time.
    """

    id: str
    name: str
    parameters: Mapping[str, Value]
    metrics: Mapping[str, float]
    curves: Mapping[str, Points]
    tags: Mapping[str, str]
    finished_at: str
    texts: Mapping[str, str] = field(default_factory=dict)
    artefacts: tuple[Path, ...] = ()
    failed: bool = False

    @property
    def digest(self) -> str:
        """Digest of the content, by which a second export knows what it need not write again."""
        content = [self.name, dict(self.parameters), dict(self.metrics), dict(self.tags), dict(self.texts)]
        curves = {name: [list(point) for point in points] for name, points in self.curves.items()}
        return digest([*content, curves, [path.name for path in self.artefacts]])


@dataclass(frozen=True)
class Tracked:
    """All runs of an experiment, the claims last."""

    experiment: str
    runs: tuple[TrackedRun, ...]


def tracked(experiment: Path, *, adapters: bool = False) -> Tracked:
    """Read the results of the experiment in this folder; its reports are written again first.

    Args:
        adapters: count the adapters of finished runs among the artefacts; they may be large.

    Raises:
        InputError: the folder holds no experiment.
    """
    report = write_reports(experiment, figures=False)
    data = read_experiment(experiment)
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in result_rows(data):
        rows.setdefault(str(row["run"]), []).append(row)
    runs = [_run(data, run, rows.get(run.name, []), adapters=adapters) for run in data.runs]
    return Tracked(data.id, (*runs, _claims_run(data, read_claims(report), report.parent)))


def _run(data: ExperimentData, run: RunResult, rows: list[dict[str, Any]], *, adapters: bool) -> TrackedRun:
    kinds = {name: stage.kind for name, stage in data.plan.stages.items()}
    trained = [data.workspace.stage(kinds[name], name) for name in run.stages.values() if kinds[name].trains]
    tags = {
        "setpoint.experiment": data.id,
        "setpoint.state": run.state.value,
        "setpoint.training_type": run.training_type,
        "setpoint.systems": ", ".join(run.systems),
        "setpoint.configuration": str(run.configuration),
        "setpoint.base": f"{data.plan.base.name} ({data.plan.base.digest})",
    }
    if run.failure is not None:
        tags |= {"setpoint.failure_class": run.failure.failure_class.value, "setpoint.failure": run.failure.reason}
    parameters: dict[str, Value] = {"seed": run.seed, "model_type": run.model_type}
    for group, values in run.resolved.items():
        if isinstance(values, Mapping):
            parameters |= {f"{group}.{name}": value for name, value in values.items() if _is_value(value)}
    parameters |= {name: value for name, value in run.factors.items() if value is not None and name not in parameters}
    finished = [stage.path / "adapter" for stage in trained if stage.finished()]
    return TrackedRun(
        id=digest([data.id, data.created_at, run.name]),
        name=run.name,
        parameters=parameters,
        metrics=dict(_metrics(rows, {*_NOT_METRICS, *parameters})),
        curves=_curves(trained),
        tags=tags,
        finished_at=data.finished_at,
        artefacts=tuple(finished[-1:]) if adapters else (),
        failed=run.state.failed,
    )


def _is_value(value: object) -> bool:
    return isinstance(value, str | int | float | bool)


def _metrics(rows: list[dict[str, Any]], without: set[str]) -> Iterator[tuple[str, float]]:
    """Yield the measured numbers of a run, as `system/metric`."""
    for row in rows:
        for name, value in row.items():
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if number and name not in without and "lora_" not in name and "." not in name and math.isfinite(value):
                yield f"{row['system']}/{name}", float(value)


def _curves(stages: list[StageFolder]) -> dict[str, Points]:
    found: dict[str, list[tuple[int, float]]] = {}
    for stage in stages:
        for record in learning_curve(stage):
            step = record.get("step")
            for name, value in record.items():
                if name not in {"step", "stage"} and isinstance(value, float) and isinstance(step, int | float):
                    found.setdefault(f"{stage.path.parent.name}/{name}", []).append((int(step), value))
    return {name: tuple(points) for name, points in sorted(found.items()) if all(math.isfinite(v) for _, v in points)}


def _claims_run(data: ExperimentData, claims: list[Claim], reports: Path) -> TrackedRun:
    """Return the claims: estimates with their intervals as metrics, statuses as tags, statements as texts."""
    metrics: dict[str, float] = {}
    for claim in claims:
        numbers = {"estimate": claim.estimate, "p_adjusted": claim.p_adjusted}
        if claim.interval is not None:
            numbers |= {"low": claim.interval[0], "high": claim.interval[1]}
        metrics |= {
            f"{claim.id}/{name}": float(value)
            for name, value in numbers.items()
            if value is not None and math.isfinite(value)
        }
    return TrackedRun(
        id=digest([data.id, data.created_at, CLAIMS_RUN]),
        name=CLAIMS_RUN,
        parameters={"primary_metric": data.analysis.primary_metric, "alpha": data.analysis.alpha, "design": data.type},
        metrics=metrics,
        curves={},
        tags={"setpoint.experiment": data.id, **{f"claim.{claim.id}": claim.status.value for claim in claims}},
        finished_at=data.finished_at,
        texts={claim.id: f"**{claim.heading}** ({claim.status.value}): {claim.statement}" for claim in claims},
        artefacts=tuple(sorted(path for path in reports.iterdir() if path.is_file())),
    )
