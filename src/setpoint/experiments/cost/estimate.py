"""Cost estimates from earlier stages: CPU time with an interval, wall-clock time, memory and GPU hours.

Every finished stage of the workspace is an observation. A stage's work is counted in units (rows, completions, cases);
its cost is a start-up time plus a time per unit, fitted to stages of the same kind, base model and task. If there are
no observations, `calibration` makes some.
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
from setpoint.fingerprint import digest
from setpoint.records.estimate import ActualCost, EstimateRecord, StageEstimate, TotalEstimate
from setpoint.records.plan import Plan
from setpoint.training.config import training_units

KINDS = (StageKind.REFERENCE, StageKind.EVALUATE, *TRAINING_KINDS)
"""Stage kinds, in the order in which a calibration runs them."""
CALIBRATION = "calibration"
"""Subfolder of a workspace with the calibration runs; it is a workspace itself."""

_HELD_OUT_WEIGHT = 3.0
"""Cost of a test case of a held-out plant relative to a nominal one; held-out cases run in small batches."""
_VALIDATION_ROWS = 200
_FORWARD_SHARE = 1 / 3
"""Cost of a forward pass relative to forward and backward pass."""
_MIN_SPREAD = 0.08
"""Lower limit of the relative standard deviation of a cost."""
_ONE_OBSERVATION_SPREAD = 0.2
"""Relative standard deviation of a cost with a single observation."""
_SIMILAR_WORK_SPREAD = 0.35
"""Lower limit of the relative standard deviation if only similar work was observed."""
_NORMAL_90 = 1.645
"""95 % quantile of the standard normal distribution, for two-sided 90 % intervals."""
_MAX_OBSERVATIONS = 400
"""Only the newest observations are read; older ones add little and take time."""


@dataclass(frozen=True, slots=True)
class Work:
    """Amount of work in a stage.

    Attributes:
        kind: kind of the stage.
        task: attributes that determine the cost per unit, the most important first; prefixes are more general tasks.
        units: rows, completions or cases.
    """

    kind: StageKind
    task: tuple[str, ...]
    units: float


@dataclass(frozen=True, slots=True)
class StageTiming:
    """Work and measured cost of a finished stage."""

    work: Work
    measured: Measured


@dataclass(frozen=True, slots=True)
class StageCost:
    """Estimated cost of one stage: CPU time with a 90 % interval, and other costs.

    Attributes:
        spread: standard deviation of the logarithm of `cpu_s`.
        basis: observations on which the estimate is based.
    """

    cpu_s: float
    spread: float
    wall_s: float
    memory_gb: float
    gpu_hours: float
    gpu_memory_gb: float
    basis: str

    @property
    def interval(self) -> tuple[float, float]:
        """90 % interval of `cpu_s`."""
        factor = math.exp(_NORMAL_90 * self.spread)
        return self.cpu_s / factor, self.cpu_s * factor


@dataclass(frozen=True, slots=True)
class Estimate:
    """Estimated cost of the unfinished stages of a plan.

    Attributes:
        stages: stage id -> cost; stages without comparable observations are missing.
        unknown: kinds without observations.
        workers: number of concurrent stages that `wall_s` assumes.
        unlike: kinds with observations of similar tasks only, for some stages.
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
        """Return the content to store in estimate.json."""
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
    """Return the work of a stage with this configuration.

    Raises:
        InputError: the configuration lacks a field that its kind requires.
    """
    fields = Fields(config, f"the configuration of a stage of kind {kind}")
    base = fields.inner("base", {}).text("digest", "")
    # Lengths of prompts and answers determine the cost of a large base more than anything else.
    form = digest([dict(fields.table(name, {})) for name in ("dialect", "generation")])
    if kind.trains:
        return _training_work(kind, (base, form), fields)
    cases = fields.number("cases")
    units = cases
    for condition in fields.inners("conditions", []):
        weight = _HELD_OUT_WEIGHT if condition.text("suite") == "held_out" else 1.0
        units += weight * min(cases, CONDITION_CASES)
    return Work(kind, (base, form, fields.text("evaluation"), fields.text("system")), units)


def _training_work(kind: StageKind, model: tuple[str, str], config: Fields) -> Work:
    fields = config.inner(kind)
    steps, batch = fields.whole("steps"), fields.whole("batch_size", least=1)
    if kind is StageKind.GRPO:
        return Work(kind, (*model, str(fields.whole("reward_horizon", 0)), str(batch)), steps * batch)
    if kind is StageKind.DAGGER:
        try:
            units = training_units(kind, config.table(kind), len(config.texts("systems")))
        except ValueError as error:
            raise InputError(f"invalid parameters of a stage of kind {kind}: {error}.") from error
        return Work(kind, (*model, str(batch)), units)
    every = fields.whole("validation_every", 0)
    validations = 1 + (steps // every if every else 0)
    return Work(kind, (*model, str(batch)), steps * batch + validations * _VALIDATION_ROWS * _FORWARD_SHARE)


def observations(workspace: Workspace) -> list[StageTiming]:
    """Return the timings of finished stages of the workspace and its calibration, newest first."""
    places = (workspace, Workspace(workspace.root / CALIBRATION))
    manifests = [path for place in places for path in place.stages.glob("*/*/manifest.json")]
    newest = sorted(manifests, key=lambda path: path.stat().st_mtime, reverse=True)[:_MAX_OBSERVATIONS]
    return list(_observed(StageFolder(path.parent) for path in newest))


def _observed(folders: Iterable[StageFolder]) -> Iterator[StageTiming]:
    """Yield the timings in `folders`; damaged files are skipped."""
    for folder in folders:
        config, manifest = folder.read_config(), folder.read_manifest()
        if config is not None and manifest is not None and config.kind in KINDS and manifest.measured.cpu_s:
            with contextlib.suppress(InputError):
                yield StageTiming(work_of(StageKind(config.kind), config.config), manifest.measured)


def estimate(plan: Plan, workspace: Workspace, workers: int, seen: Sequence[StageTiming] | None = None) -> Estimate:
    """Estimate the cost of the unfinished stages of `plan` with `workers` concurrent stages."""
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
    """Return the actual cost of the predicted stages that have finished, with the prediction for the same stages."""
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


def compute_ratios(workspace: Workspace, base_digest: str, kinds: Iterable[StageKind]) -> dict[StageKind, float] | None:
    """Return the CPU time of a unit of work of each kind relative to an SFT row; None if any has no observations."""
    seen = observations(workspace)
    sft = _fit(Work(StageKind.SFT, (base_digest,), 0.0), seen)
    fits = {kind: _fit(Work(kind, (base_digest,), 0.0), seen) for kind in kinds}
    if sft is None or not sft.per_unit_s:
        return None
    found = {kind: round(fit.per_unit_s / sft.per_unit_s, 4) for kind, fit in fits.items() if fit is not None}
    return found if found.keys() == fits.keys() else None


@dataclass(frozen=True, slots=True)
class _Fit:
    """Linear model of cost against work; `exact` if it is fitted to observations of the same task."""

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
        # Extrapolation: the fitted line is less certain far from the observations.
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
    """Fit observations of the same task, else of the next more general one; None without any of kind and base model."""
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
    # Errors of run times are multiplicative, so the spread is the standard deviation of log residuals.
    residuals = np.log(cpu_s / np.maximum(start_s + per_unit_s * units, 1e-9))
    spread = max(_MIN_SPREAD, float(np.sqrt((residuals**2).sum() / max(1, len(alike) - 2))))
    if len(alike) < 2:
        spread = _ONE_OBSERVATION_SPREAD
    wall = [found.measured.wall_s or 0.0 for found in alike]
    return _Fit(
        start_s=start_s,
        per_unit_s=per_unit_s,
        spread=spread if exact else max(spread, _SIMILAR_WORK_SPREAD),
        typical_units=float(np.median(units)),
        wall_ratio=max(0.05, float(np.median(np.array(wall) / cpu_s))),
        memory_gb=max(found.measured.peak_rss_gb or 0.0 for found in alike),
        gpu_hours_per_cpu_s=math.fsum(f.measured.gpu_hours or 0.0 for f in alike) / float(cpu_s.sum()),
        gpu_memory_gb=max(found.measured.peak_gpu_gb or 0.0 for found in alike),
        basis=basis,
        exact=exact,
    )


def _line(units: np.ndarray, cpu_s: np.ndarray) -> tuple[float, float]:
    """Fit start-up time and time per unit, both non-negative, by least squares on relative errors."""
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
    """Return a 90 % interval of the total CPU time.

    Errors are taken as fully correlated within a kind of stage and as independent between kinds.
    """
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
    """Return the end of the last stage if each starts once its upstream stages are done and a worker is free."""
    ends: dict[str, float] = {}
    free = [0.0] * max(1, workers)
    for name, stage in plan.stages.items():
        if name in stages:
            needed = max((ends.get(other, 0.0) for other in stage.needs.values()), default=0.0)
            start = max(heapq.heappop(free), needed)
            ends[name] = start + stages[name].wall_s
            heapq.heappush(free, ends[name])
    return max(ends.values(), default=0.0)
