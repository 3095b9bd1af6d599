"""The evaluation protocol: a suite of initial states and how often the controller replans."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from setpoint import problems
from setpoint.errors import InputError, unknown_name
from setpoint.evaluation.conditions import Condition, conditions_of
from setpoint.modes import CLOSED_LOOP_REPLANNING, mode_name
from setpoint.problems import DEFAULT_CASES, MoveBlocking, Problem, require_cases, suite_states

Evaluation = Literal["standard", "replanning", "comprehensive"]
EVALUATIONS: tuple[Evaluation, ...] = ("standard", "replanning", "comprehensive")


@dataclass(frozen=True, slots=True)
class Mode:
    """Open loop (`replan_interval` 0: one plan for the whole horizon), or replanning every `replan_interval` steps."""

    replan_interval: int

    @property
    def name(self) -> str:
        """`open_loop`, or `replan_<steps>`."""
        return mode_name(self.replan_interval)

    def needs(self, problem: Problem) -> int:
        """Return the number of steps that a plan must cover."""
        return self.replan_interval or problem.steps


OPEN_LOOP = Mode(0)
_REPLANNED, _EVERY_STEP = Mode(CLOSED_LOOP_REPLANNING), Mode(1)


def standard_modes(problem: Problem) -> tuple[Mode, ...]:
    """Return the modes of a standard evaluation: closed loop, and open loop if it is meaningful for the plant."""
    return (OPEN_LOOP, _REPLANNED) if problem.open_loop else (_REPLANNED,)


@dataclass(frozen=True)
class EvaluationConfig:
    """Evaluation of one system.

    Attributes:
        system: full name.
        modes: evaluation modes, in the order of the rows.
        cases: number of leading states of the suite.
        suite: see `setpoint.problems.suites`.
        conditions: off-nominal conditions, tested in the same modes.
    """

    system: str
    modes: tuple[Mode, ...]
    cases: int = DEFAULT_CASES
    suite: str = "nominal"
    conditions: tuple[Condition, ...] = ()

    def __post_init__(self) -> None:
        """Reject an evaluation without modes, and an invalid number of cases."""
        require_cases(self.cases)
        if not self.modes:
            raise InputError("an evaluation needs at least one mode, got none.")

    @classmethod
    def named(cls, evaluation: str, system: str, cases: int = DEFAULT_CASES) -> "EvaluationConfig":
        """Return a named evaluation of a system.

        `standard` uses the standard modes of the plant, `replanning` adds replanning at every step, and `comprehensive`
        also adds the off-nominal conditions.

        Raises:
            InputError: no such evaluation or system.
        """
        if evaluation not in EVALUATIONS:
            raise unknown_name("evaluation", evaluation, EVALUATIONS)
        problem = problems.get(system)
        modes = standard_modes(problem)
        if evaluation == "standard":
            return cls(problem.name, modes, cases)
        conditions = conditions_of(problem) if evaluation == "comprehensive" else ()
        return cls(problem.name, (*modes, _EVERY_STEP), cases, conditions=conditions)

    def covered_by(self, blocking: MoveBlocking) -> "EvaluationConfig":
        """Return the evaluation without the modes that need longer answers than those with this blocking.

        Raises:
            InputError: no mode is left.
        """
        problem = problems.get(self.system)
        modes = tuple(mode for mode in self.modes if mode.needs(problem) <= blocking.steps)
        return replace(self, modes=modes)

    def states(self) -> Float[np.ndarray, "C n_x"]:
        """Return the initial states of the cases."""
        return suite_states(problems.get(self.system), self.suite, self.cases)

    def definition(self) -> dict[str, Any]:
        """Return the conditions for the configuration of a stage; empty if there are none."""
        return {"conditions": [each.definition() for each in self.conditions]} if self.conditions else {}

    @classmethod
    def of_stage(cls, config: Mapping[str, Any]) -> "EvaluationConfig":
        """Build it from `evaluation`, `system`, `cases` and `conditions` of a stage configuration."""
        named = cls.named(config["evaluation"], config["system"], config["cases"])
        conditions = tuple(Condition.from_definition(each) for each in config.get("conditions", ()))
        return replace(named, conditions=conditions)
