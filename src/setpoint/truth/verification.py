"""Run scenarios and tabulate how often the claims were right."""

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
from setpoint.truth.grading import P_VALUE, prose_is_sound
from setpoint.truth.planted import as_data
from setpoint.truth.targets import Scenario, Target
from setpoint.truth.worlds import ONE_WAY, World

NEAR = 0.02
ALPHAS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5)
FEW = 40
"""Experiments of a scenario in which only statuses are looked at."""


@dataclass
class Result:
    """What became of one scenario.

    Attributes:
        sums: quantity -> sum of its grades.
        counts: quantity -> how many experiments had one.
        p_values: those that were graded, by quantity.
        crashes: tracebacks, the first of each kind.
        unsound: experiments whose prose held a number that is none.
    """

    scenario: Scenario
    simulations: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    p_values: dict[str, list[float]] = field(default_factory=dict)
    crashes: list[str] = field(default_factory=list)
    unsound: int = 0

    def rate(self, quantity: str) -> float | None:
        """The mean grade; None where nothing was graded."""
        count = self.counts.get(quantity, 0)
        return self.sums[quantity] / count if count else None

    def add(self, quantity: str, value: float | None) -> None:
        """Count one grade."""
        if value is not None and quantity.startswith(P_VALUE):
            self.p_values.setdefault(quantity, []).append(value)
        elif value is not None:
            self.sums[quantity] = self.sums.get(quantity, 0.0) + value
            self.counts[quantity] = self.counts.get(quantity, 0) + 1


@dataclass(frozen=True)
class TargetOutcome:
    """One target with what was measured."""

    scenario: str
    title: str
    simulations: int
    target: Target
    measured: float | None
    reference: float | None = None

    @property
    def text(self) -> str:
        """The target in words."""
        target = self.target
        return {
            "of": f"≥ {target.bound:g} × {target.reference}",
            "beside": f"beside {target.reference}",
            "at most": f"≤ {target.bound:g}",
            "at least": f"≥ {target.bound:g}",
            "near": f"{target.bound:g} ± {NEAR:g}",
            "uniform": f"uniform: KS p > {target.bound:g}",
            "never early": f"P(p ≤ α) ≤ α + {target.bound:g} standard errors",
        }[target.relation]

    @property
    def value_text(self) -> str:
        """What was measured, in words."""
        return "–" if self.measured is None else f"{self.measured:.3f}"

    @property
    def verdict(self) -> str:
        """Whether the target was reached, in words."""
        if self.held is None:
            return "nothing to measure"
        if self.target.relation == "beside":
            return "shown"
        if self.held:
            return "reached"
        return "**missed**" if self.missed else "within chance"

    @property
    def margin(self) -> float | None:
        """How far the measured value is on the right side of its target; negative where it missed."""
        if self.measured is None or self.target.relation == "beside":
            return None
        bound, measured = self.target.bound, self.measured
        if self.target.relation in {"at most", "never early"}:
            return bound - measured
        if self.target.relation == "near":
            return NEAR - abs(measured - bound)
        return measured - bound * (self.reference or 0.0 if self.target.relation == "of" else 1.0)

    @property
    def standard_errors_missed(self) -> float:
        """By how many standard errors of so many simulations a bound was missed; infinite where none is allowed."""
        target = self.target
        if self.margin is None or target.relation not in {"at most", "at least", "near"} or target.bound in {0.0, 1.0}:
            return math.inf
        error = math.sqrt(target.bound * (1.0 - target.bound) / max(1, self.simulations))
        return max(0.0, -self.margin) / error

    @property
    def within_chance(self) -> bool:
        """Whether a missed bound is no further away than two standard errors."""
        return self.standard_errors_missed <= 2.0

    @property
    def missed(self) -> bool:
        """Whether the target was missed by more than chance."""
        return self.held is False and not self.within_chance

    @property
    def held(self) -> bool | None:
        """Whether the target was reached; None where nothing was measured."""
        if self.measured is None or self.target.relation == "beside":
            return None if self.measured is None else True
        if self.target.relation in {"at most", "never early"}:
            return self.measured <= self.target.bound + 1e-12
        if self.target.relation == "at least":
            return self.measured >= self.target.bound - 1e-12
        if self.target.relation == "near":
            return abs(self.measured - self.target.bound) <= NEAR + 1e-12
        if self.target.relation == "uniform":
            return self.measured > self.target.bound
        return self.reference is not None and self.measured >= self.target.bound * self.reference - 1e-12


def simulate(scenario: Scenario, simulations: int) -> Result:
    """Draw, analyse and grade `simulations` experiments."""
    result = Result(scenario, simulations)
    for index in range(simulations):
        planted = scenario.world.sample(generator("truth", scenario.name, index))
        try:
            claims = experiment_claims(as_data(planted))
            grades = scenario.grade(planted, claims)
        except Exception:  # a crash is counted, not passed on
            trace = traceback.format_exc()
            if trace not in result.crashes:
                result.crashes.append(trace)
            result.add("crash", 1.0)
            continue
        result.add("crash", 0.0)
        result.unsound += not prose_is_sound(claims)
        for quantity, value in grades.items():
            result.add(quantity, value)
    return result


def duplicates_refused(folder: Path, simulations: int) -> TargetOutcome:
    """G19: whether a plan that names a run twice is refused."""
    refused = 0
    for index in range(simulations):
        planted = World(levels=ONE_WAY).sample(generator("truth", "G19", index))
        doubled = replace(planted, runs=(*planted.runs, planted.runs[index % len(planted.runs)]))
        try:
            read_experiment(write_folder(doubled, Workspace(folder), f"G19-{index}"))
        except InputError:
            refused += 1
    target = Target("correct status", "at least", 1.0)
    return TargetOutcome("G19", "a run that is named twice", simulations, target, refused / simulations)


def _slug(name: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in name)


def reached(result: Result) -> list[TargetOutcome]:
    """Every target of a scenario with what was measured, and that nothing crashed or was unsound."""
    scenario = result.scenario
    rows = [_row(result, target) for target in scenario.targets]
    never = Target("crash or unsound number", "at most", 0.0)
    broken = (result.sums.get("crash", 0.0) + result.unsound) / max(1, result.simulations)
    return [*rows, TargetOutcome(scenario.name, scenario.title, result.simulations, never, broken)]


def _row(result: Result, target: Target) -> TargetOutcome:
    scenario = result.scenario
    if target.quantity.startswith(P_VALUE):
        p_values = result.p_values.get(target.quantity, [])
        measure = uniformity if target.relation == "uniform" else earliness
        measured = measure(p_values) if p_values else None
        return TargetOutcome(scenario.name, scenario.title, len(p_values), target, measured)
    count = result.counts.get(target.quantity, result.simulations)
    rates = result.rate(target.quantity), result.rate(target.reference)
    return TargetOutcome(scenario.name, scenario.title, count, target, *rates)


def uniformity(p_values: Sequence[float]) -> float:
    """The p-value of Kolmogorov and Smirnov's test that `p_values` are uniform."""
    from scipy import special

    ordered, count = sorted(p_values), len(p_values)
    distance = max(max((k + 1) / count - p, p - k / count) for k, p in enumerate(ordered))
    return float(special.kolmogorov(distance * math.sqrt(count)))


def earliness(p_values: Sequence[float]) -> float:
    """By how many standard errors P(p ≤ α) exceeds α, at the α of a grid where it exceeds it most."""
    count = len(p_values)
    return max(
        (sum(p <= alpha for p in p_values) / count - alpha) / math.sqrt(alpha * (1.0 - alpha) / count)
        for alpha in ALPHAS
    )


def to_markdown(rows: Sequence[TargetOutcome]) -> str:
    """The tables of the documentation: each quantity where it is worst, then everything."""
    return f"{_summary(rows)}\n{_everything(rows)}"


def _summary(rows: Sequence[TargetOutcome]) -> str:
    """For each quantity and target the scenario that comes closest to missing it, or misses it by most."""
    groups: dict[tuple[str, str], list[TargetOutcome]] = {}
    for row in rows:
        name = f"p of {row.target.relation} tests" if row.target.quantity.startswith(P_VALUE) else row.target.quantity
        groups.setdefault((_without_factor(name), row.text), []).append(row)
    lines = [
        "| quantity | target | scenarios | the worst of them | measured | simulations | |",
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
    kinds = {"p of uniform": "p of continuous", "p of never early": "p of discrete and conservative"}
    for before, after in {" learning_rate": " the effect", **kinds}.items():
        text = text.replace(before, after)
    return text


def _everything(rows: Iterable[TargetOutcome]) -> str:
    lines = [
        "| scenario | what is planted | quantity | measured | target | simulations | |",
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
    """Those whose name begins with one of `wanted`; all where nothing is wanted."""
    if not wanted:
        return list(scenarios)
    return [s for s in scenarios if any(s.name == name or s.name.split()[0] == name for name in wanted)]


Reporter = Callable[[Path, str], Sequence[Claim] | None]
"""Workspace and experiment -> the claims of its report; None where there is no report."""


def folder_row(scenario: Scenario, simulations: int, folder: Path, report: Reporter) -> TargetOutcome:
    """Whether `report` gives of ordinary folders the claims that are made in memory."""
    agreed = 0
    for index in range(simulations):
        planted = scenario.world.sample(generator("truth", scenario.name, index))
        name = f"{_slug(scenario.name)}-{index}"
        write_folder(planted, Workspace(folder), name)
        reported = report(folder, name)
        agreed += reported is not None and _essence(reported) == _essence(experiment_claims(as_data(planted)))
    target = Target("reported from folders alike", "at least", 1.0)
    return TargetOutcome(scenario.name, scenario.title, simulations, target, agreed / simulations)


def _essence(claims: Sequence[Claim]) -> list[tuple[str, str, str]]:
    return [(claim.id, claim.status.value, claim.statement) for claim in claims]
