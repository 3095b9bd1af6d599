"""What an experiment will cost, from what equal work has cost: time, memory and GPU hours, each with an interval.

Every finished stage of the workspace is an observation. A stage's work is counted in units (rows, completions, cases),
its cost is a start-up share plus so much per unit, fitted for stages of the same kind, base and task. `calibration`
makes observations where there are none.
"""

import contextlib
import heapq
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from setpoint.artifacts import TRAINING_KINDS, Fields, Measured, StageFolder, StageKind, Workspace
from setpoint.errors import InputError
from setpoint.evaluation import CONDITION_CASES
from setpoint.records.estimate import ActualCost, EstimateRecord, StageEstimate, TotalEstimate
from setpoint.records.plan import Plan

KINDS = (StageKind.REFERENCE, StageKind.EVALUATE, StageKind.SFT, StageKind.GRPO)
"""In the order in which a calibration runs them."""
CALIBRATION = "calibration"
"""The folder of a workspace with the stages of calibration runs, a workspace of its own."""

_HELD_OUT_WEIGHT = 3.0
"""StageCost of a case of a held-out plant, whose cases are asked for in small batches, over that of a nominal one."""
_VALIDATION_ROWS = 200
_FORWARD_SHARE = 1 / 3
"""StageCost of a row without its backward pass."""
_LEAST_SPREAD = 0.08
_ONE_OBSERVATION_SPREAD = 0.2
"""Relative standard deviation of a cost that was observed once."""
_SPREAD_OF_OTHERS = 0.35
"""The same where only similar work was observed."""
_NORMAL_90 = 1.645
_OBSERVED = 400
"""The newest observations count; the others only cost time to read."""


@dataclass(frozen=True, slots=True)
class Work:
    """How much there is to do in a stage.

    Attributes:
        kind: of the stage.
        task: stages of one kind with equal tasks cost the same per unit; more and more general.
    """

    kind: StageKind
    task: tuple[str, ...]
    units: float


@dataclass(frozen=True, slots=True)
class StageTiming:
    """A finished stage: its work and what was measured."""

    work: Work
    measured: Measured


@dataclass(frozen=True, slots=True)
class StageCost:
    """Processor seconds with a 90 % interval, and what else was seen of such stages."""

    cpu_s: float
    spread: float
    wall_s: float
    memory_gb: float
    gpu_hours: float
    gpu_memory_gb: float
    basis: str

    @property
    def interval(self) -> tuple[float, float]:
        """The interval of `cpu_s`."""
        factor = math.exp(_NORMAL_90 * self.spread)
        return self.cpu_s / factor, self.cpu_s * factor


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the unfinished stages of a plan will cost.

    Attributes:
        stages: by id; those without any observation are missing.
        unknown: kinds that were never observed.
        workers: stages at the same time that `wall_s` is for.
        unlike: kinds that were, but with other tasks than those of some stages.
    """

    stages: Mapping[str, StageCost]
    unknown: tuple[StageKind, ...]
    cpu_s: float
    interval: tuple[float, float]
    wall_s: float
    workers: int
    memory_gb: float
    gpu_hours: float
    gpu_memory_gb: float
    unlike: tuple[StageKind, ...] = ()

    def record(self) -> EstimateRecord:
        """What is kept of it."""
        basis: dict[str, int] = {}
        for cost in self.stages.values():
            basis[cost.basis] = basis.get(cost.basis, 0) + 1
        return EstimateRecord(
            predicted=TotalEstimate(
                cpu_s=round(self.cpu_s, 2),
                cpu_s_interval=_rounded(self.interval, 2),
                wall_s=round(self.wall_s, 2),
                workers=self.workers,
                memory_gb_per_worker=round(self.memory_gb, 3),
                gpu_hours=round(self.gpu_hours, 4),
                gpu_memory_gb=round(self.gpu_memory_gb, 3),
            ),
            level=0.9,
            basis=basis,
            unknown_kinds=self.unknown,
            stages={
                name: StageEstimate(
                    cpu_s=round(cost.cpu_s, 3),
                    cpu_s_interval=_rounded(cost.interval, 3),
                    wall_s=round(cost.wall_s, 3),
                    memory_gb=round(cost.memory_gb, 3),
                    gpu_hours=round(cost.gpu_hours, 6),
                )
                for name, cost in self.stages.items()
            },
        )


def _rounded(interval: tuple[float, float], digits: int) -> tuple[float, float]:
    return round(interval[0], digits), round(interval[1], digits)


def work_of(kind: StageKind, config: Mapping[str, Any]) -> Work:
    """The work of a stage with this configuration.

    Raises:
        InputError: it lacks something that every configuration of this kind has.
    """
    fields = Fields(config, f"the configuration of a stage of kind {kind}")
    base = fields.inner("base", {}).text("digest", "")
    if kind.trains:
        return _training_work(kind, base, fields.inner(kind))
    cases = fields.number("cases")
    units = cases
    for condition in fields.inners("conditions", []):
        weight = _HELD_OUT_WEIGHT if condition.text("suite") == "held_out" else 1.0
        units += weight * min(cases, CONDITION_CASES)
    return Work(kind, (base, fields.text("evaluation"), fields.text("system")), units)


def _training_work(kind: StageKind, base: str, fields: Fields) -> Work:
    steps, batch = fields.whole("steps"), fields.whole("batch_size", least=1)
    if kind is StageKind.GRPO:
        return Work(kind, (base, str(fields.whole("reward_horizon", 0)), str(batch)), steps * batch)
    every = fields.whole("validation_every", 0)
    validations = 1 + (steps // every if every else 0)
    return Work(kind, (base, str(batch)), steps * batch + validations * _VALIDATION_ROWS * _FORWARD_SHARE)


def observations(workspace: Workspace) -> list[StageTiming]:
    """What finished stages of the workspace, and of its calibration, have cost; the newest first."""
    places = (workspace, Workspace(workspace.root / CALIBRATION))
    manifests = [path for place in places for path in place.stages.glob("*/*/manifest.json")]
    newest = sorted(manifests, key=lambda path: path.stat().st_mtime, reverse=True)[:_OBSERVED]
    return list(_observed(StageFolder(path.parent) for path in newest))


def _observed(folders: Iterable[StageFolder]) -> Iterator[StageTiming]:
    """What can be learned from `folders`; one whose files are damaged teaches nothing."""
    for folder in folders:
        asked, manifest = folder.read_config(), folder.read_manifest()
        if asked is not None and manifest is not None and asked.kind in KINDS and manifest.measured.cpu_s:
            with contextlib.suppress(InputError):
                yield StageTiming(work_of(StageKind(asked.kind), asked.config), manifest.measured)


def estimate(plan: Plan, workspace: Workspace, workers: int, seen: Sequence[StageTiming] | None = None) -> Estimate:
    """What is left of `plan`, with `workers` stages at the same time."""
    seen = observations(workspace) if seen is None else seen
    left = {name: stage for name, stage in plan.stages.items() if not workspace.stage(stage.kind, name).finished()}
    fits: dict[tuple[StageKind, tuple[str, ...]], _Fit | None] = {}
    stages: dict[str, StageCost] = {}
    unknown: dict[StageKind, None] = {}
    unlike: dict[StageKind, None] = {}
    for name, stage in left.items():
        work = work_of(stage.kind, stage.config)
        key = (work.kind, work.task)
        if key not in fits:
            fits[key] = _fit(work, seen)
        fit = fits[key]
        if fit is None:
            unknown[work.kind] = None
        else:
            stages[name] = fit.cost(work.units)
            if not fit.exact:
                unlike[work.kind] = None
    costs = list(stages.values())
    total = math.fsum(cost.cpu_s for cost in costs)
    return Estimate(
        stages=stages,
        unknown=tuple(unknown),
        cpu_s=total,
        interval=_total_interval(plan, stages),
        wall_s=_makespan(plan, stages, workers),
        workers=workers,
        memory_gb=max((cost.memory_gb for cost in costs), default=0.0),
        gpu_hours=math.fsum(cost.gpu_hours for cost in costs),
        gpu_memory_gb=max((cost.gpu_memory_gb for cost in costs), default=0.0),
        unlike=tuple(unlike),
    )


def actual_cost(workspace: Workspace, plan: Plan, predicted: Mapping[str, StageEstimate]) -> ActualCost:
    """What the predicted stages that are finished have cost, and what was predicted for these."""
    measured: dict[str, Measured] = {}
    for name in predicted:
        if name in plan.stages:
            manifest = workspace.stage(plan.stages[name].kind, name).read_manifest()
            if manifest is not None:
                measured[name] = manifest.measured
    cpu_s = math.fsum(cost.cpu_s or 0.0 for cost in measured.values())
    expected_s = math.fsum(predicted[name].cpu_s for name in measured)
    return ActualCost(
        stages_finished=len(measured),
        stages_predicted=len(predicted),
        cpu_s=round(cpu_s, 2),
        predicted_cpu_s=round(expected_s, 2),
        actual_over_predicted=round(cpu_s / expected_s, 3) if expected_s else None,
        gpu_hours=round(math.fsum(cost.gpu_hours or 0.0 for cost in measured.values()), 4),
        memory_gb_per_worker=max((cost.peak_rss_gb or 0.0 for cost in measured.values()), default=None),
    )


def compute_ratio(workspace: Workspace, base_digest: str) -> float | None:
    """Processor seconds of a GRPO completion over those of an SFT row; None where one of them was never observed."""
    seen = observations(workspace)
    sft, grpo = (_fit(Work(kind, (base_digest,), 0.0), seen) for kind in TRAINING_KINDS)
    if sft is None or grpo is None or not sft.per_unit_s:
        return None
    return round(grpo.per_unit_s / sft.per_unit_s, 4)


@dataclass(frozen=True, slots=True)
class _Fit:
    """StageCost against work, from the observations that are most alike; `exact` where their task is the same."""

    start_s: float
    per_unit_s: float
    spread: float
    typical_units: float
    wall_ratio: float
    memory_gb: float
    gpu_hours_per_cpu_s: float
    gpu_memory_gb: float
    basis: str
    exact: bool

    def cost(self, units: float) -> StageCost:
        cpu_s = self.start_s + self.per_unit_s * units
        # Far from what was observed, the line itself is less certain.
        distance = abs(math.log(max(units, 1.0) / max(self.typical_units, 1.0)))
        return StageCost(
            cpu_s=cpu_s,
            spread=math.hypot(self.spread, 0.03 * distance),
            wall_s=cpu_s * self.wall_ratio,
            memory_gb=self.memory_gb,
            gpu_hours=self.gpu_hours_per_cpu_s * cpu_s,
            gpu_memory_gb=self.gpu_memory_gb,
            basis=self.basis,
        )


def _fit(work: Work, seen: Sequence[StageTiming]) -> _Fit | None:
    """From observations of the same task, else of ever more general ones; None without any of the kind and base."""
    same_kind = [found for found in seen if found.work.kind == work.kind]
    for depth in range(len(work.task), 0, -1):
        alike = [found for found in same_kind if found.work.task[:depth] == work.task[:depth]]
        if alike:
            exact = depth == len(work.task)
            return _fitted(alike, f"{work.kind}: {'equal' if exact else 'similar'} stages", exact)
    return None


def _fitted(alike: Sequence[StageTiming], basis: str, exact: bool) -> _Fit:
    units = np.array([found.work.units for found in alike])
    cpu_s = np.array([found.measured.cpu_s or 0.0 for found in alike])
    start_s, per_unit_s = _line(units, cpu_s)
    residuals = np.log(cpu_s / np.maximum(start_s + per_unit_s * units, 1e-9))
    spread = max(_LEAST_SPREAD, float(np.sqrt((residuals**2).sum() / max(1, len(alike) - 2))))
    if len(alike) < 2:
        spread = _ONE_OBSERVATION_SPREAD
    wall = [found.measured.wall_s or 0.0 for found in alike]
    return _Fit(
        start_s=start_s,
        per_unit_s=per_unit_s,
        spread=spread if exact else max(spread, _SPREAD_OF_OTHERS),
        typical_units=float(np.median(units)),
        wall_ratio=max(0.05, float(np.median(np.array(wall) / cpu_s))),
        memory_gb=max(found.measured.peak_rss_gb or 0.0 for found in alike),
        gpu_hours_per_cpu_s=math.fsum(f.measured.gpu_hours or 0.0 for f in alike) / float(cpu_s.sum()),
        gpu_memory_gb=max(found.measured.peak_gpu_gb or 0.0 for found in alike),
        basis=basis,
        exact=exact,
    )


def _line(units: np.ndarray, cpu_s: np.ndarray) -> tuple[float, float]:
    """Start-up and cost per unit, both at least 0, with the smallest relative errors."""
    weights = 1.0 / np.maximum(cpu_s, 1e-9)
    if len(set(units.tolist())) >= 2:
        columns = np.stack([np.ones_like(units), units], axis=1) * weights[:, None]
        (start_s, per_unit_s), *_ = np.linalg.lstsq(columns, np.ones_like(units), rcond=None)
        if start_s >= 0.0 and per_unit_s >= 0.0:
            return float(start_s), float(per_unit_s)
        if per_unit_s < 0.0:
            return float(np.median(cpu_s)), 0.0
    return 0.0, float(np.median(cpu_s / np.maximum(units, 1e-9)))


def _total_interval(plan: Plan, stages: Mapping[str, StageCost]) -> tuple[float, float]:
    """Errors of one kind go the same way, those of different kinds are independent."""
    total = math.fsum(cost.cpu_s for cost in stages.values())
    kinds = {plan.stages[name].kind for name in stages}
    by_kind = [
        math.fsum(c.cpu_s * c.spread for n, c in stages.items() if plan.stages[n].kind == kind) for kind in kinds
    ]
    if not total:
        return 0.0, 0.0
    factor = math.exp(_NORMAL_90 * math.hypot(*by_kind) / total)
    return total / factor, total * factor


def _makespan(plan: Plan, stages: Mapping[str, StageCost], workers: int) -> float:
    """When the last stage ends, if each starts as soon as what it needs is done and a worker is free."""
    ends: dict[str, float] = {}
    free = [0.0] * max(1, workers)
    for name, stage in plan.stages.items():
        if name in stages:
            needed = max((ends.get(other, 0.0) for other in stage.needs.values()), default=0.0)
            start = max(heapq.heappop(free), needed)
            ends[name] = start + stages[name].wall_s
            heapq.heappush(free, ends[name])
    return max(ends.values(), default=0.0)
