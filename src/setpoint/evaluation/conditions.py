"""Off-nominal conditions, under which a comprehensive evaluation also tests a model.

| condition  | difference from nominal                                                        |
| ---------- | ------------------------------------------------------------------------------ |
| `tight`    | the variant of the system with tight bounds, if there is one                   |
| `held_out` | parameters held out from training, if the system belongs to a family           |
| `noise`    | noise on measured states and applied controls                                  |
| `mismatch` | every parameter of the real plant is off by 10 %, up or down                   |

Runs are ranked by the nominal cases only. Conditions show whether a ranking is robust.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from setpoint import plants, problems
from setpoint.fingerprint import digest
from setpoint.problems import Problem, TestCases, suite_cases, suite_systems
from setpoint.simulation import NO_DISTURBANCE, NOISE, Disturbance

CONDITION_CASES = 50
"""Upper limit per condition: all conditions together cost about as much as the default nominal cases."""

MISMATCH = Disturbance(mismatch=0.1)


@dataclass(frozen=True)
class Condition:
    """One off-nominal condition.

    Attributes:
        system: full name of the plant that is controlled.
        suite: see `setpoint.problems.suites`.
        disturbance: unmodelled disturbances and plant mismatch.
    """

    name: str
    system: str
    suite: str
    disturbance: Disturbance = NO_DISTURBANCE

    def groups(self, cases: int) -> tuple[TestCases, ...]:
        """Return its first cases, at most `cases`, grouped by plant parameters."""
        return suite_cases(self.suite, self.system, min(cases, CONDITION_CASES))

    def definition(self) -> dict[str, Any]:
        """Return the fields that define the condition, for the identity of a stage."""
        problem = problems.get(self.system)
        sizes = {name: size for name, size in vars(self.disturbance).items() if size}
        family = {name: list(vars(interval).values()) for name, interval in problem.plant.family.items()}
        own = {} if problem.built_in else {"problem": digest([problem.definition(), family])}
        return {"name": self.name, "system": self.system, "suite": self.suite, "disturbance": sizes, **own}

    @classmethod
    def from_definition(cls, definition: Mapping[str, Any]) -> "Condition":
        """Invert `definition`."""
        disturbance = Disturbance(**definition["disturbance"])
        return cls(definition["name"], definition["system"], definition["suite"], disturbance)


def conditions_of(problem: Problem) -> tuple[Condition, ...]:
    """Return the off-nominal conditions of `problem`."""
    name = problem.name
    found = []
    if (twin := f"{name}_tight") in suite_systems("tight"):
        found.append(Condition("tight", plants.canonical(twin), "tight"))
    if problem.plant.family:
        found.append(Condition("held_out", name, "held_out"))
    return (*found, Condition("noise", name, "nominal", NOISE), Condition("mismatch", name, "nominal", MISMATCH))
