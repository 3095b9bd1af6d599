"""Measured cost of configurations: the cheapest near-best one, and the Pareto front of error and cost."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from setpoint.analysis.data.experiment import RunResult
from setpoint.analysis.runs.configurations import ConfigurationResult
from setpoint.formatting import counted, number_text
from setpoint.reports.content import NOT_MEASURED, RankedSystem, Report, short_label


@dataclass(frozen=True)
class ConfigurationCost:
    """Mean error of one configuration, and mean cost of its runs.

    Attributes:
        hours: mean cost of a run, in `unit`.
        possibly_best: the configuration belongs to the set that holds the true best.
        unmeasured: stage -> attempts whose cost was not measured.
    """

    result: ConfigurationResult
    error: float
    hours: float
    unit: str
    possibly_best: bool
    unmeasured: Mapping[str, int]

    @property
    def per_run(self) -> str:
        """Return `0.017 CPU core-hours per run`."""
        return f"{number_text(self.hours, 2)} {self.unit} per run"


def configuration_costs(ranked: RankedSystem) -> list[ConfigurationCost]:
    """Return the cost of every configuration with a result: in GPU hours if all have them, else in CPU core-hours.

    Empty if the cost of some configuration was not measured.
    """
    results = ranked.with_result
    for unit, attribute in (("GPU hours", "gpu_hours"), ("CPU core-hours", "cpu_core_hours")):
        found = [(result, _mean_cost(result, attribute)) for result in results]
        costs = [(result, cost) for result, cost in found if cost is not None]
        if costs and len(costs) == len(results) and any(cost > 0.0 for _, cost in costs):
            return [
                ConfigurationCost(
                    result=result,
                    error=result.mean or 0.0,
                    hours=cost,
                    unit=unit,
                    possibly_best=bool(result.possibly_best),
                    unmeasured=unmeasured(_ok(result)),
                )
                for result, cost in costs
            ]
    return []


def cost_range(cost: ConfigurationCost) -> tuple[float, float]:
    """Return the smallest and the largest cost of a run of the configuration, in its unit."""
    attribute = "gpu_hours" if cost.unit == "GPU hours" else "cpu_core_hours"
    known = [value for run in _ok(cost.result) if (value := getattr(run.cost, attribute)) is not None]
    return min(known), max(known)


def _mean_cost(result: ConfigurationResult, attribute: str) -> float | None:
    costs = [getattr(run.cost, attribute) for run in _ok(result)]
    known = [cost for cost in costs if cost is not None]
    return sum(known) / len(known) if known else None


def _ok(result: ConfigurationResult) -> list[RunResult]:
    return [run for run in result.runs if run.state.ok]


def missing_from(costs: Sequence[ConfigurationCost]) -> str:
    """Return the suffix that says how many attempts are missing from the costs that were compared."""
    return missing_text(sum({stage: n for cost in costs for stage, n in cost.unmeasured.items()}.values()))


def pareto_front(costs: Sequence[ConfigurationCost]) -> list[ConfigurationCost]:
    """Return the configurations that no other beats in both error and cost, cheapest first."""
    front: list[ConfigurationCost] = []
    for cost in sorted(costs, key=lambda c: (c.hours, c.error)):
        if not front or cost.error < front[-1].error:
            front.append(cost)
    return front


def cheapest_text(report: Report) -> str:
    """Name the cheapest configuration of each system that is statistically tied with the best."""
    parts = []
    for ranked in report.ranked:
        best = [cost for cost in configuration_costs(ranked) if cost.possibly_best]
        if best:
            cheapest = min(best, key=lambda cost: cost.hours)
            parts.append(
                f"{short_label(report.data, cheapest.result)} on {ranked.system} ({cheapest.per_run}; {len(best)} "
                f"near-best{missing_from(best)})"
            )
    return "; ".join(parts) or "n/a (not enough seeds)"


def front_text(report: Report) -> str:
    """Name the configurations on the Pareto front of error and cost, for each system."""
    parts = []
    for ranked in report.ranked:
        costs = configuration_costs(ranked)
        if len(costs) >= 2:
            front = pareto_front(costs)[:6]
            metric = report.data.quantity(ranked.metric).label
            names = "; ".join(
                f"{short_label(report.data, c.result)}, {metric} {number_text(c.error)} at {c.per_run}" for c in front
            )
            parts.append(f"{ranked.system}: {names}{missing_from(costs)}")
    return "; ".join(parts) or "not measured"


def unmeasured(runs: Iterable[RunResult]) -> dict[str, int]:
    """Return stage -> attempts whose cost was not measured, counting a stage that several runs share once."""
    return {stage: count for run in runs for stage, count in run.unmeasured.items()}


def missing_text(attempts: int) -> str:
    """Return the suffix that says how many attempts are missing from a cost."""
    return f"; {counted(attempts, 'attempt')} {NOT_MEASURED}" if attempts else ""
