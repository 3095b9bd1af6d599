"""Run scenarios and tabulate how often the claims were right."""

import math
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from setpoint.analysis.claims import Claim
from setpoint.analysis.overview import experiment_claims
from setpoint.analysis.reading import read_experiment
from setpoint.artifacts import Workspace
from setpoint.errors import InputError
from setpoint.seeding import generator
from setpoint.truth.folders import write_folder
from setpoint.truth.grading import prose_is_sound
from setpoint.truth.planted import as_data
from setpoint.truth.scenarios import Scenario, Target
from setpoint.truth.worlds import ONE_WAY, World

FEW = 40
"""Experiments of a scenario in which only statuses are looked at."""


@dataclass
class Result:
    """What became of one scenario.

    Attributes:
        sums: quantity -> sum of its grades.
        counts: quantity -> how many experiments had one.
        crashes: tracebacks, the first of each kind.
        unsound: experiments whose prose held a number that is none.
    """

    scenario: Scenario
    simulations: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    crashes: list[str] = field(default_factory=list)
    unsound: int = 0

    def rate(self, quantity: str) -> float | None:
        """The mean grade; None where nothing was graded."""
        count = self.counts.get(quantity, 0)
        return self.sums[quantity] / count if count else None

    def add(self, quantity: str, value: float | None) -> None:
        """Count one grade."""
        if value is not None:
            self.sums[quantity] = self.sums.get(quantity, 0.0) + value
            self.counts[quantity] = self.counts.get(quantity, 0) + 1


@dataclass(frozen=True)
class Reached:
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
        if self.target.relation == "of":
            return f"≥ {self.target.bound:g} × {self.target.reference}"
        return f"{'≤' if self.target.relation == 'at most' else '≥'} {self.target.bound:g}"

    @property
    def within_chance(self) -> bool:
        """Whether a missed bound is no further away than two standard errors of so many simulations."""
        if self.measured is None or self.target.relation == "of" or self.target.bound in {0.0, 1.0}:
            return False
        error = math.sqrt(self.target.bound * (1.0 - self.target.bound) / max(1, self.simulations))
        return abs(self.measured - self.target.bound) <= 2.0 * error

    @property
    def held(self) -> bool | None:
        """Whether the target was reached; None where nothing was measured."""
        if self.measured is None:
            return None
        if self.target.relation == "at most":
            return self.measured <= self.target.bound + 1e-12
        if self.target.relation == "at least":
            return self.measured >= self.target.bound - 1e-12
        return self.reference is not None and self.measured >= self.target.bound * self.reference - 1e-12


def simulate(scenario: Scenario, simulations: int, folder: Path | None = None) -> Result:
    """Draw, analyse and grade `simulations` experiments; through ordinary folders where `folder` is given."""
    result = Result(scenario, simulations)
    for index in range(simulations):
        planted = scenario.world.sample(generator("truth", scenario.name, index))
        try:
            if folder is None:
                data = as_data(planted)
            else:
                data = read_experiment(write_folder(planted, Workspace(folder), f"{_slug(scenario.name)}-{index}"))
            claims = experiment_claims(data)
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


def duplicates_refused(folder: Path, simulations: int) -> Reached:
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
    return Reached("G19", "a run that is named twice", simulations, target, refused / simulations)


def _slug(name: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in name)


def reached(result: Result) -> list[Reached]:
    """Every target of a scenario with what was measured, and that nothing crashed or was unsound."""
    scenario = result.scenario
    rows = [
        Reached(
            scenario.name,
            scenario.title,
            result.counts.get(target.quantity, result.simulations),
            target,
            result.rate(target.quantity),
            result.rate(target.reference),
        )
        for target in scenario.targets
    ]
    never = Target("crash or unsound number", "at most", 0.0)
    broken = (result.sums.get("crash", 0.0) + result.unsound) / max(1, result.simulations)
    return [*rows, Reached(scenario.name, scenario.title, result.simulations, never, broken)]


def to_markdown(rows: Iterable[Reached]) -> str:
    """The table of the documentation."""
    lines = [
        "| scenario | what is planted | quantity | measured | target | simulations | |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    words = {True: "reached", False: "**missed**", None: "nothing to measure"}
    for row in rows:
        measured = "–" if row.measured is None else f"{row.measured:.3f}"
        reference = "" if row.reference is None else f" = {row.target.bound * row.reference:.3f}"
        lines.append(
            f"| {row.scenario} | {row.title} | {row.target.quantity} | {measured} | {row.text}{reference} | "
            f"{row.simulations} | {'within chance' if row.held is False and row.within_chance else words[row.held]} |"
        )
    return "\n".join(lines) + "\n"


def chosen(scenarios: Sequence[Scenario], wanted: Sequence[str]) -> list[Scenario]:
    """Those whose name begins with one of `wanted`; all where nothing is wanted."""
    if not wanted:
        return list(scenarios)
    return [s for s in scenarios if any(s.name == name or s.name.split()[0] == name for name in wanted)]


def folder_row(scenario: Scenario, simulations: int, folder: Path) -> Reached:
    """Whether experiments read from ordinary folders give the claims that they give in memory."""
    agreed = 0
    for index in range(simulations):
        planted = scenario.world.sample(generator("truth", scenario.name, index))
        workspace = Workspace(folder)
        read = read_experiment(write_folder(planted, workspace, f"{_slug(scenario.name)}-{index}"))
        agreed += _essence(experiment_claims(read)) == _essence(experiment_claims(as_data(planted)))
    target = Target("folder and memory agree", "at least", 1.0)
    return Reached(scenario.name, scenario.title, simulations, target, agreed / simulations)


def _essence(claims: Sequence[Claim]) -> list[tuple[str, str, str]]:
    return [(claim.id, claim.status.value, claim.statement) for claim in claims]
