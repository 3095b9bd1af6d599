"""Run scenarios, and tabulate error rates, coverage and power of the claims."""

import math
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from setpoint.analysis.data.claim import Claim
from setpoint.analysis.data.reading import read_experiment
from setpoint.analysis.overview import experiment_claims
from setpoint.artifacts import Workspace
from setpoint.errors import InputError
from setpoint.seeding import generator
from setpoint.truth.folders import write_folder
from setpoint.truth.grading import P_VALUE, prose_is_finite
from setpoint.truth.planted import as_data
from setpoint.truth.targets import Scenario, Target
from setpoint.truth.worlds import ONE_WAY, World

NEAR = 0.02
ALPHAS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5)
FEW = 40
"""Simulations of a scenario that checks only statuses."""


@dataclass
class Result:
    """Results of one scenario.

    Attributes:
        sums: quantity -> sum of its grades.
        counts: quantity -> number of experiments that have a grade.
        p_values: quantity -> graded p-values.
        crashes: distinct tracebacks.
        non_finite: number of experiments whose claims contain nan, inf or None.
    """

    scenario: Scenario
    simulations: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    p_values: dict[str, list[float]] = field(default_factory=dict)
    crashes: list[str] = field(default_factory=list)
    non_finite: int = 0

    def rate(self, quantity: str) -> float | None:
        """Return the mean grade; None if nothing was graded."""
        count = self.counts.get(quantity, 0)
        return self.sums[quantity] / count if count else None

    def add(self, quantity: str, value: float | None) -> None:
        """Add one grade."""
        if value is not None and quantity.startswith(P_VALUE):
            self.p_values.setdefault(quantity, []).append(value)
        elif value is not None:
            self.sums[quantity] = self.sums.get(quantity, 0.0) + value
            self.counts[quantity] = self.counts.get(quantity, 0) + 1


@dataclass(frozen=True)
class TargetOutcome:
    """One target with the measured value."""

    scenario: str
    title: str
    simulations: int
    target: Target
    measured: float | None
    reference: float | None = None

    @property
    def text(self) -> str:
        """Return the target as text."""
        target = self.target
        return {
            "of": f"≥ {target.bound:g} × {target.reference}",
            "beside": f"beside {target.reference}",
            "at most": f"≤ {target.bound:g}",
            "at least": f"≥ {target.bound:g}",
            "near": f"{target.bound:g} ± {NEAR:g}",
            "uniform": f"uniform: KS p > {target.bound:g}",
            "conservative": f"P(p ≤ α) ≤ α + {target.bound:g} standard errors",
        }[target.relation]

    @property
    def value_text(self) -> str:
        """Return the measured value as text."""
        return "–" if self.measured is None else f"{self.measured:.3f}"

    @property
    def verdict(self) -> str:
        """Return whether the target was reached, as text."""
        if self.held is None:
            return "not measured"
        if self.target.relation == "beside":
            return "shown"
        if self.held:
            return "reached"
        return "**missed**" if self.missed else "within simulation error"

    @property
    def margin(self) -> float | None:
        """Return by how much the target was reached; negative if it was missed."""
        if self.measured is None or self.target.relation == "beside":
            return None
        bound, measured = self.target.bound, self.measured
        if self.target.relation in {"at most", "conservative"}:
            return bound - measured
        if self.target.relation == "near":
            return NEAR - abs(measured - bound)
        return measured - bound * (self.reference or 0.0 if self.target.relation == "of" else 1.0)

    @property
    def standard_errors_missed(self) -> float:
        """Return by how many Monte Carlo standard errors a bound was missed; infinite for exact bounds."""
        target = self.target
        if self.margin is None or target.relation not in {"at most", "at least", "near"} or target.bound in {0.0, 1.0}:
            return math.inf
        error = math.sqrt(target.bound * (1.0 - target.bound) / max(1, self.simulations))
        return max(0.0, -self.margin) / error

    @property
    def within_chance(self) -> bool:
        """Return whether the bound was missed by at most two standard errors."""
        return self.standard_errors_missed <= 2.0

    @property
    def missed(self) -> bool:
        """Return whether the target was missed by more than simulation error."""
        return self.held is False and not self.within_chance

    @property
    def held(self) -> bool | None:
        """Return whether the target was reached; None if nothing was measured."""
        if self.measured is None or self.target.relation == "beside":
            return None if self.measured is None else True
        if self.target.relation in {"at most", "conservative"}:
            return self.measured <= self.target.bound + 1e-12
        if self.target.relation == "at least":
            return self.measured >= self.target.bound - 1e-12
        if self.target.relation == "near":
            return abs(self.measured - self.target.bound) <= NEAR + 1e-12
        if self.target.relation == "uniform":
            return self.measured > self.target.bound
        return self.reference is not None and self.measured >= self.target.bound * self.reference - 1e-12


def simulate(scenario: Scenario, simulations: int) -> Result:
    """Draw, analyse and grade `simulations` experiments of a scenario."""
    result = Result(scenario, simulations)
    for index in range(simulations):
        planted = scenario.world.sample(generator("truth", scenario.name, index))
        try:
            claims = experiment_claims(as_data(planted))
            grades = scenario.grade(planted, claims)
        except Exception:  # counted as a grade of its own
            trace = traceback.format_exc()
            if trace not in result.crashes:
                result.crashes.append(trace)
            result.add("crash", 1.0)
            continue
        result.add("crash", 0.0)
        result.non_finite += not prose_is_finite(claims)
        for quantity, value in grades.items():
            result.add(quantity, value)
    return result


def duplicates_refused(folder: Path, simulations: int) -> TargetOutcome:
    """Run scenario G19: check that a plan with a duplicate run is refused."""
    refused = 0
    for index in range(simulations):
        planted = World(levels=ONE_WAY).sample(generator("truth", "G19", index))
        doubled = replace(planted, runs=(*planted.runs, planted.runs[index % len(planted.runs)]))
        try:
            read_experiment(write_folder(doubled, Workspace(folder), f"G19-{index}"))
        except InputError:
            refused += 1
    target = Target("correct status", "at least", 1.0)
    return TargetOutcome("G19", "a duplicate run", simulations, target, refused / simulations)


def _slug(name: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in name)


def reached(result: Result) -> list[TargetOutcome]:
    """Return all targets of a scenario with measured values, and the rate of crashes and non-finite numbers."""
    scenario = result.scenario
    rows = [_row(result, target) for target in scenario.targets]
    never = Target("crash or non-finite number", "at most", 0.0)
    broken = (result.sums.get("crash", 0.0) + result.non_finite) / max(1, result.simulations)
    return [*rows, TargetOutcome(scenario.name, scenario.title, result.simulations, never, broken)]


def _row(result: Result, target: Target) -> TargetOutcome:
    scenario = result.scenario
    if target.quantity.startswith(P_VALUE):
        p_values = result.p_values.get(target.quantity, [])
        measure = uniformity if target.relation == "uniform" else excess_rejections
        measured = measure(p_values) if p_values else None
        return TargetOutcome(scenario.name, scenario.title, len(p_values), target, measured)
    count = result.counts.get(target.quantity, result.simulations)
    rates = result.rate(target.quantity), result.rate(target.reference)
    return TargetOutcome(scenario.name, scenario.title, count, target, *rates)


def uniformity(p_values: Sequence[float]) -> float:
    """Return the p-value of the Kolmogorov–Smirnov test that `p_values` are uniform (asymptotic distribution)."""
    from scipy import special

    ordered, count = sorted(p_values), len(p_values)
    distance = max(max((k + 1) / count - p, p - k / count) for k, p in enumerate(ordered))
    return float(special.kolmogorov(distance * math.sqrt(count)))


def excess_rejections(p_values: Sequence[float]) -> float:
    """Return the excess of P(p ≤ α) over α in standard errors, maximised over a grid of α; positive if too small."""
    count = len(p_values)
    return max(
        (sum(p <= alpha for p in p_values) / count - alpha) / math.sqrt(alpha * (1.0 - alpha) / count)
        for alpha in ALPHAS
    )


def to_markdown(rows: Sequence[TargetOutcome]) -> str:
    """Format the tables of the documentation: the worst scenario of each quantity, then all scenarios."""
    return f"{_summary(rows)}\n{_everything(rows)}"


def _summary(rows: Sequence[TargetOutcome]) -> str:
    """Tabulate, for each quantity and target, the scenario with the smallest margin."""
    groups: dict[tuple[str, str], list[TargetOutcome]] = {}
    for row in rows:
        name = f"p of {row.target.relation} tests" if row.target.quantity.startswith(P_VALUE) else row.target.quantity
        groups.setdefault((_without_factor(name), row.text), []).append(row)
    lines = [
        "| quantity | target | scenarios | worst scenario | measured | simulations | result |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (quantity, text), found in groups.items():
        worst = min(found, key=lambda row: math.inf if row.margin is None else row.margin)
        lines.append(
            f"| {quantity} | {_without_factor(text)} | {len(found)} | {worst.scenario} | {worst.value_text} | "
            f"{worst.simulations} | {worst.verdict} |"
        )
    return "\n".join(lines) + "\n"


def _without_factor(text: str) -> str:
    kinds = {"p of uniform": "p of continuous", "p of conservative": "p of discrete and conservative"}
    for before, after in {" learning_rate": " the effect", **kinds}.items():
        text = text.replace(before, after)
    return text


def _everything(rows: Iterable[TargetOutcome]) -> str:
    lines = [
        "| scenario | description | quantity | measured | target | simulations | result |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        reference = "" if row.reference is None else f" = {row.target.bound * row.reference:.3f}"
        lines.append(
            f"| {row.scenario} | {row.title} | {row.target.quantity} | {row.value_text} | {row.text}{reference} | "
            f"{row.simulations} | {row.verdict} |"
        )
    return "\n".join(lines) + "\n"


def chosen(scenarios: Sequence[Scenario], wanted: Sequence[str]) -> list[Scenario]:
    """Return the scenarios whose name or group is in `wanted`; all if `wanted` is empty."""
    if not wanted:
        return list(scenarios)
    return [s for s in scenarios if any(s.name == name or s.name.split()[0] == name for name in wanted)]


Reporter = Callable[[Path, str], Sequence[Claim] | None]
"""Returns the claims of an experiment's report, given workspace and id; None if there is no report."""


def folder_row(scenario: Scenario, simulations: int, folder: Path, report: Reporter) -> TargetOutcome:
    """Check that reports of ordinary experiment folders make the same claims as the analysis in memory."""
    agreed = 0
    for index in range(simulations):
        planted = scenario.world.sample(generator("truth", scenario.name, index))
        name = f"{_slug(scenario.name)}-{index}"
        write_folder(planted, Workspace(folder), name)
        reported = report(folder, name)
        agreed += reported is not None and _essence(reported) == _essence(experiment_claims(as_data(planted)))
    target = Target("same claims from folders", "at least", 1.0)
    return TargetOutcome(scenario.name, scenario.title, simulations, target, agreed / simulations)


def _essence(claims: Sequence[Claim]) -> list[tuple[str, str, str]]:
    return [(claim.id, claim.status.value, claim.statement) for claim in claims]
