"""Scenarios, and the targets that claims must reach in them."""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from setpoint.truth.grading import Grade
from setpoint.truth.planted import Planted


class Generator(Protocol):
    """Generator of simulated experiments."""

    def sample(self, rng: np.random.Generator) -> Planted:
        """Draw one experiment."""


@dataclass(frozen=True)
class Target:
    """A bound on one quantity, which is the mean of its grades over the simulations.

    Attributes:
        relation: `near` means within 0.02. `uniform` and `conservative` test the distribution of a p-value: `uniform`
            by a Kolmogorov–Smirnov test, `conservative` (stochastically larger than uniform) by P(p ≤ α) ≤ α on a grid
            of α. `beside` sets no bound: it shows the quantity beside its reference.
        reference: for `of` and `beside`: the quantity to compare with; for `of` its value times `bound` is the target.
    """

    quantity: str
    relation: Literal["at most", "at least", "near", "of", "beside", "uniform", "conservative"]
    bound: float
    reference: str = ""


@dataclass(frozen=True)
class Scenario:
    """One generator of experiments with its grade and targets.

    Attributes:
        name: starts with the number of its group, G0 to G22 or F1 to F10; also seeds the simulations.
        statuses_only: check only the statuses of claims, for which a few simulations suffice.
        table: a table with several rows per block and level, which no plan of an experiment can hold.
    """

    name: str
    title: str
    world: Generator
    grade: Grade
    targets: tuple[Target, ...]
    statuses_only: bool = False
    table: bool = False


FAMILIES = ("false main effect", "false interaction", "false best level", "false best configuration")
TYPE_ONE = tuple(Target(name, "at most", 0.06) for name in FAMILIES)
COVERAGE = (Target("gain covered", "at least", 0.94), Target("best level in its set", "at least", 0.94))
PAIR = (Target("differences covered", "at least", 0.94),)
"""Targets for designs with a parameter of two levels, whose difference has an interval."""
MEANS = (Target("level means covered", "near", 0.95),)
EXACT_FAILURES = (
    Target("false failure claim", "at most", 0.06),
    Target("p of failures:learning_rate", "conservative", 3.0),
)
TRENDS = (
    Target("false trend", "at most", 0.06),
    Target("false main effect", "at most", 0.06),
    Target("trends covered", "at least", 0.94),
)
"""Targets for designs with declared trends."""
NAMING = (Target("most impactful wrong", "at most", 0.05),)
ALL = (*TYPE_ONE, *NAMING, *COVERAGE)
ONE_FACTOR = tuple(target for target in (*TYPE_ONE, *COVERAGE) if target.quantity != "false interaction")
"""Targets for designs with one factor."""
ONE_SEED = tuple(target for target in ALL if target.quantity not in {"false interaction", "false best configuration"})
"""Targets for one seed per configuration."""
RIGHT = (Target("correct status", "at least", 1.0), Target("any false claim", "at most", 0.0))
