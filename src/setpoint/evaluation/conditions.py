"""Conditions other than the nominal ones, under which a comprehensive evaluation tests the same model as well.

| condition  | what differs                                                                          |
| ---------- | ------------------------------------------------------------------------------------- |
| `tight`    | the system's twin with bounds that the optimum meets, where it has one                |
| `held_out` | parameters that training never draws, where the system is a member of a family        |
| `noise`    | errors of measured states and of applied controls                                     |
| `mismatch` | every parameter of the real plant is 10 % off, up or down                             |

Runs are ranked by the nominal cases alone; conditions show what of a ranking lasts elsewhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from setpoint import plants, problems
from setpoint.fingerprint import digest
from setpoint.problems import Problem, TestCases, suite_cases, suite_systems
from setpoint.simulation import NO_DISTURBANCE, NOISE, Disturbance

CONDITION_CASES = 50
"""Of each condition at most: together they cost about as much as the nominal cases do by default."""

MISMATCH = Disturbance(mismatch=0.1)


@dataclass(frozen=True)
class Condition:
    """What differs from the nominal conditions.

    Attributes:
        system: full name of the plant that is controlled.
        suite: see `setpoint.problems.suites`.
        disturbance: what the world does that a controller does not know of.
    """

    name: str
    system: str
    suite: str
    disturbance: Disturbance = NO_DISTURBANCE

    def groups(self, cases: int) -> tuple[TestCases, ...]:
        """The first of its cases, no more than `cases`, by the parameters of their plant."""
        return suite_cases(self.suite, self.system, min(cases, CONDITION_CASES))

    def definition(self) -> dict[str, Any]:
        """What defines it, for the identity of a stage."""
        problem = problems.get(self.system)
        sizes = {name: size for name, size in vars(self.disturbance).items() if size}
        family = {name: list(vars(interval).values()) for name, interval in problem.plant.family.items()}
        own = {} if problem.built_in else {"problem": digest([problem.definition(), family])}
        return {"name": self.name, "system": self.system, "suite": self.suite, "disturbance": sizes, **own}

    @classmethod
    def from_definition(cls, definition: Mapping[str, Any]) -> "Condition":
        """The inverse of `definition`."""
        disturbance = Disturbance(**definition["disturbance"])
        return cls(definition["name"], definition["system"], definition["suite"], disturbance)


def conditions_of(problem: Problem) -> tuple[Condition, ...]:
    """The conditions that `problem` has besides the nominal ones."""
    name = problem.name
    found = []
    if (twin := f"{name}_tight") in suite_systems("tight"):
        found.append(Condition("tight", plants.canonical(twin), "tight"))
    if problem.plant.family:
        found.append(Condition("held_out", name, "held_out"))
    return (*found, Condition("noise", name, "nominal", NOISE), Condition("mismatch", name, "nominal", MISMATCH))
