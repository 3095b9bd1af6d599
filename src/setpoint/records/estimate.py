"""estimate.json: the cost predicted when an experiment was first started, and the actual cost."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from setpoint.artifacts import Fields, read_json, write_json
from setpoint.errors import InputError

ESTIMATE = "estimate.json"
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class StageEstimate:
    """Predicted cost of one stage, with an interval for its CPU time."""

    cpu_s: float
    cpu_s_interval: tuple[float, float]
    wall_s: float
    memory_gb: float
    gpu_hours: float


@dataclass(frozen=True, slots=True)
class TotalEstimate:
    """Predicted cost of all stages, with `workers` concurrent ones."""

    cpu_s: float
    cpu_s_interval: tuple[float, float]
    wall_s: float
    workers: int
    memory_gb_per_worker: float
    gpu_hours: float
    gpu_memory_gb: float


@dataclass(frozen=True, slots=True)
class ActualCost:
    """Actual cost of the predicted stages that have finished, with the prediction for the same stages."""

    stages_finished: int
    stages_predicted: int
    cpu_s: float
    predicted_cpu_s: float
    actual_over_predicted: float | None
    gpu_hours: float
    memory_gb_per_worker: float | None


@dataclass(frozen=True, slots=True)
class EstimateRecord:
    """Content of estimate.json.

    Attributes:
        level: nominal coverage of the intervals.
        basis: kind of observations -> number of stages estimated from them.
        unknown_kinds: kinds of stages without observations.
        stages: stage id -> estimate; stages without comparable observations are missing.
        at: ISO time of the estimate; empty if not recorded.
    """

    predicted: TotalEstimate
    level: float
    basis: Mapping[str, int]
    unknown_kinds: tuple[str, ...]
    stages: Mapping[str, StageEstimate]
    actual: ActualCost | None = None
    at: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the content of the file; missing parts are left out."""
        return {
            **({"at": self.at} if self.at else {}),
            "schema": SCHEMA,
            "predicted": asdict(self.predicted),
            "level": self.level,
            "basis": dict(self.basis),
            "unknown_kinds": list(self.unknown_kinds),
            "stages": {name: asdict(stage) for name, stage in self.stages.items()},
            **({} if self.actual is None else {"actual": asdict(self.actual)}),
        }


def write_estimate(experiment: Path, record: EstimateRecord) -> None:
    """Write `record`, with the current time, as the estimate of the experiment in this folder."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    write_json(experiment / ESTIMATE, replace(record, at=at).to_json())


def write_actual_cost(experiment: Path, record: EstimateRecord, actual: ActualCost) -> None:
    """Write `actual` next to its prediction."""
    write_json(experiment / ESTIMATE, replace(record, actual=actual).to_json())


def read_estimate(experiment: Path) -> EstimateRecord | None:
    """Read the estimate of the experiment in this folder; None if missing or damaged, because nothing depends on it.

    Actual costs are not read, because the stage manifests have them.
    """
    path = experiment / ESTIMATE
    content = read_json(path)
    if content is None:
        return None
    try:
        fields = Fields(content, path)
        if fields.whole("schema") != SCHEMA:
            return None
        stages = fields.inner("stages")
        return EstimateRecord(
            predicted=_total(fields.inner("predicted")),
            level=fields.number("level"),
            basis=dict(fields.table("basis", {})),
            unknown_kinds=fields.texts("unknown_kinds"),
            stages={name: _stage(stages.inner(name)) for name in fields.table("stages")},
            at=fields.text("at", ""),
        )
    except InputError:
        return None


def _total(fields: Fields) -> TotalEstimate:
    return TotalEstimate(
        cpu_s=fields.number("cpu_s"),
        cpu_s_interval=fields.interval("cpu_s_interval"),
        wall_s=fields.number("wall_s"),
        workers=fields.whole("workers"),
        memory_gb_per_worker=fields.number("memory_gb_per_worker"),
        gpu_hours=fields.number("gpu_hours"),
        gpu_memory_gb=fields.number("gpu_memory_gb"),
    )


def _stage(fields: Fields) -> StageEstimate:
    return StageEstimate(
        cpu_s=fields.number("cpu_s"),
        cpu_s_interval=fields.interval("cpu_s_interval"),
        wall_s=fields.number("wall_s"),
        memory_gb=fields.number("memory_gb"),
        gpu_hours=fields.number("gpu_hours", 0.0),
    )
