"""What a scenario is, and the numbers that claims must reach."""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from setpoint.truth.grading import Grade
from setpoint.truth.planted import Planted


class Generator(Protocol):
    """Draws experiments of one kind."""

    def sample(self, rng: np.random.Generator) -> Planted:
        """One experiment."""


@dataclass(frozen=True)
class Target:
    """The bound of one quantity, the mean of its grades over the simulations."""

    quantity: str
    relation: Literal["at most", "at least", "near", "of", "beside", "uniform", "never early"]
    """`near`: within .02. `uniform` and `never early` judge the distribution of a p-value: by Kolmogorov and Smirnov's
    test against the uniform one, and by whether P(p ≤ α) ≤ α for every α of a grid."""
    bound: float
    reference: str = ""
    """For `of`: the quantity of which it must reach the share `bound`; `beside` only shows it."""


@dataclass(frozen=True)
class Scenario:
    """One world, graded.

    Attributes:
        name: begins with the number of its group, G0 to G20.
        statuses_only: whether a few experiments show all there is to see.
    """

    name: str
    title: str
    world: Generator
    grade: Grade
    targets: tuple[Target, ...]
    statuses_only: bool = False


FAMILIES = ("false main effect", "false interaction", "false best level", "false best configuration")
TYPE_ONE = tuple(Target(name, "at most", 0.06) for name in FAMILIES)
COVERAGE = (Target("gain covered", "at least", 0.94), Target("best level in its set", "at least", 0.94))
PAIR = (Target("differences covered", "at least", 0.94),)
"""For designs with a parameter of two levels, whose difference has an interval."""
MEANS = (Target("level means covered", "near", 0.95),)
EXACT_FAILURES = (
    Target("false failure claim", "at most", 0.06),
    Target("p of failures:learning_rate", "never early", 3.0),
)
NAMING = (Target("named wrongly", "at most", 0.05),)
ALL = (*TYPE_ONE, *NAMING, *COVERAGE)
ONE_FACTOR = tuple(target for target in (*TYPE_ONE, *COVERAGE) if target.quantity != "false interaction")
"""For designs of one factor, which is not named the most impactful of all."""
ONE_SEED = tuple(target for target in ALL if target.quantity not in {"false interaction", "false best configuration"})
"""For designs of one seed."""
RIGHT = (Target("correct status", "at least", 1.0), Target("any false claim", "at most", 0.0))
