"""Designs within a budget: their costs and minimum detectable differences."""

import math
from dataclasses import dataclass, replace
from typing import Any

from setpoint.analysis.data.design import Scale, observe
from setpoint.analysis.data.reading import read_experiment
from setpoint.analysis.statistics.intervals import detectable_difference, planned_contrast, pooled_deviation
from setpoint.artifacts import Workspace
from setpoint.errors import InputError
from setpoint.experiments import launch
from setpoint.experiments.cost.budget import VARIED, Budget, Offer, offers
from setpoint.experiments.cost.estimate import estimate
from setpoint.experiments.planning.spec import ExperimentSpec, SweptSpec, planned_spec
from setpoint.experiments.planning.spec_fields import METRICS
from setpoint.experiments.request import Request, resume_request
from setpoint.experiments.running.status import experiment_ids
from setpoint.records.plan import Plan, plan_path, read_plan

POWER_ALPHA = 0.05
_PILOTS = 3
"""Number of recent experiments that are searched for the seed-to-seed variability."""


@dataclass(frozen=True)
class PricedDesign:
    """A design within the budget, with its power.

    Attributes:
        offer: the design, its size and its cost.
        between_levels: minimum detectable difference between two levels of a parameter at 80 % power, in seed standard
            deviations; None without residual degrees of freedom.
        between_configurations: likewise for two configurations.
        seed_deviation: seed-to-seed standard deviation of the logarithm of the primary metric, from earlier
            experiments on the same systems; None if there are none.
    """

    offer: Offer
    between_levels: float | None
    between_configurations: float | None
    seed_deviation: float | None

    def to_json(self, budget: Budget) -> dict[str, Any]:
        """Return the design as JSON."""
        return {
            "name": self.offer.name,
            "runs": self.offer.runs,
            "configurations": self.offer.configurations,
            "replicates": self.offer.spec.replicates,
            "spent": self.offer.spent,
            "unit": budget.unit,
            "detectable_seed_deviations": self.between_levels,
            "seed_deviation": self.seed_deviation,
            "spec": self.offer.spec.model_dump(mode="json", exclude_defaults=True),
        }


def designs_within(request: Request, budget: Budget) -> list[PricedDesign]:
    """Return at most three designs for the same question within the budget; the first is recommended.

    Raises:
        InputError: nothing fits, or the cost of some stages is unknown.
    """
    plans: dict[str, Plan] = {}

    def plan(spec: SweptSpec) -> Plan:
        key = spec.model_dump_json()
        if key not in plans:
            plans[key] = launch.preview(replace(request, spec=spec, existing=None)).plan
        return plans[key]

    found = offers(request.spec, budget, plan, lambda each: price(each, request.workspace, budget))
    spread = seed_deviation(request.workspace, found[0].spec)
    return [_priced(offer, spread) for offer in found]


def chosen_before(workspace: Workspace, identifier: str | None, spec: ExperimentSpec) -> Request | None:
    """Return the experiment of this id if it is a design chosen earlier for the same question, else None.

    The same command then resumes it, although the remaining cost has changed.
    """
    plan = None if identifier is None else read_plan(workspace.experiment(identifier))
    if plan is None or identifier is None:
        return None
    now, before = (each.model_dump(exclude=set(VARIED)) for each in (spec, planned_spec(plan)))
    return resume_request(workspace, identifier) if now == before else None


def price(plan: Plan, workspace: Workspace, budget: Budget) -> float:
    """Return the remaining cost of a plan, in the unit of the budget.

    Raises:
        InputError: the cost of some stages is unknown.
    """
    if budget.unit == "runs":
        return float(len(plan.runs))
    expected = estimate(plan, workspace, 1)
    if expected.unknown:
        raise InputError(
            f"cannot price designs: no timings for {', '.join(expected.unknown)}. Measure them with --calibrate, or "
            "give the budget in runs."
        )
    return expected.gpu_hours if budget.unit == "gpu-hours" else expected.cpu_s / 3600.0


def seed_deviation(workspace: Workspace, spec: ExperimentSpec) -> float | None:
    """Return the seed-to-seed standard deviation of the logarithm of the primary metric, from recent experiments.

    None if no experiment on the same systems has replicates, or the metric is not analysed on a log scale.
    """
    metric = spec.metrics[0]
    if METRICS[metric] != "log":
        return None
    folders = [workspace.experiment(name) for name in experiment_ids(workspace)]
    for folder in sorted(folders, key=lambda path: -plan_path(path).stat().st_mtime)[:_PILOTS]:
        try:
            plan = read_plan(folder)
            if plan is None or plan.systems != spec.systems or not any(run.replicate for run in plan.runs):
                continue
            data = read_experiment(folder)
        except InputError:  # skip a damaged experiment
            continue
        samples: dict[tuple[int, str], list[float]] = {}
        for seen in observe(data, Scale(data.quantity(metric), logarithmic=True)):
            if seen.value is not None:
                samples.setdefault((seen.run.configuration, seen.system), []).append(seen.value)
        deviation, df = pooled_deviation(list(samples.values()))
        if df and deviation:
            return deviation
    return None


def relative_change(log_difference: float) -> float:
    """Convert a difference of logarithms to a relative change, capped at exp(7) - 1."""
    return math.expm1(min(log_difference, 7.0))


def _priced(offer: Offer, spread: float | None) -> PricedDesign:
    seeds = offer.spec.replicates
    return PricedDesign(
        offer,
        _smallest(seeds, offer.runs_per_level // seeds, offer.levels, _effects(offer)),
        _smallest(seeds, 1, offer.configurations, 1),
        spread,
    )


def _effects(offer: Offer) -> int:
    """Main effects and interactions of two, which are corrected together; one seed tests main effects alone."""
    count = offer.parameters
    return count * (count + 1) // 2 if offer.spec.replicates > 1 else count


def _smallest(seeds: int, cells: int, levels: int, tests: int) -> float | None:
    if seeds * cells < 2 or levels < 2:
        return None
    return detectable_difference(*planned_contrast(seeds, cells), levels, POWER_ALPHA / tests)
