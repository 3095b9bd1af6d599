"""What an experiment was expected to cost when it was first started, and what it did: estimate.json."""

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
    """What one stage is expected to cost, with an interval of its processor seconds."""

    cpu_s: float
    cpu_s_interval: tuple[float, float]
    wall_s: float
    memory_gb: float
    gpu_hours: float


@dataclass(frozen=True, slots=True)
class TotalEstimate:
    """The same of all stages together, with `workers` of them at the same time."""

    cpu_s: float
    cpu_s_interval: tuple[float, float]
    wall_s: float
    workers: int
    memory_gb_per_worker: float
    gpu_hours: float
    gpu_memory_gb: float


@dataclass(frozen=True, slots=True)
class ActualCost:
    """What the predicted stages that have finished did cost, and what was predicted for these."""

    stages_finished: int
    stages_predicted: int
    cpu_s: float
    predicted_cpu_s: float
    actual_over_predicted: float | None
    gpu_hours: float
    memory_gb_per_worker: float | None


@dataclass(frozen=True, slots=True)
class EstimateRecord:
    """The content of estimate.json.

    Attributes:
        level: the probability of the intervals.
        basis: what the costs were taken from -> stages.
        unknown_kinds: kinds of stages that were never observed.
        stages: by id; those that nothing was known of are missing.
        at: when it was made, as ISO time; empty where it was not kept.
    """

    predicted: TotalEstimate
    level: float
    basis: Mapping[str, int]
    unknown_kinds: tuple[str, ...]
    stages: Mapping[str, StageEstimate]
    actual: ActualCost | None = None
    at: str = ""

    def to_json(self) -> dict[str, Any]:
        """The content of the file, as far as there is any of it."""
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
    """Make `record`, with the present time, the estimate of the experiment in this folder."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    write_json(experiment / ESTIMATE, replace(record, at=at).to_json())


def write_actual_cost(experiment: Path, record: EstimateRecord, actual: ActualCost) -> None:
    """Put `actual` beside the prediction that it belongs to."""
    write_json(experiment / ESTIMATE, replace(record, actual=actual).to_json())


def read_estimate(experiment: Path) -> EstimateRecord | None:
    """The estimate of the experiment in this folder; None where there is none, or a damaged one: it is only compared.

    What the stages did cost is not read: their manifests say it.
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
