"""What is evaluated: a suite of initial states, and how often the controller may look at the state again."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from setpoint import problems
from setpoint.errors import InputError, unknown_name
from setpoint.evaluation.conditions import Condition, conditions_of
from setpoint.modes import CLOSED_LOOP_REPLANNING, mode_name
from setpoint.problems import DEFAULT_CASES, Problem, require_cases, suite_states

Evaluation = Literal["standard", "replanning", "comprehensive"]
EVALUATIONS: tuple[Evaluation, ...] = ("standard", "replanning", "comprehensive")


@dataclass(frozen=True, slots=True)
class Mode:
    """Open loop (`replan_interval` 0: one plan for the whole horizon), or a new plan every so many steps."""

    replan_interval: int

    @property
    def name(self) -> str:
        """`open_loop`, or `replan_<steps>`."""
        return mode_name(self.replan_interval)


OPEN_LOOP = Mode(0)
_REPLANNED, _EVERY_STEP = Mode(CLOSED_LOOP_REPLANNING), Mode(1)


def standard_modes(problem: Problem) -> tuple[Mode, ...]:
    """The plant's own track: closed loop, and open loop where that means something."""
    return (OPEN_LOOP, _REPLANNED) if problem.open_loop else (_REPLANNED,)


@dataclass(frozen=True)
class EvaluationConfig:
    """One system's share of an evaluation.

    Attributes:
        system: full name.
        modes: in the order of the rows.
        cases: number of states, the first of the suite.
        suite: see `setpoint.problems.suites`.
        conditions: in which the model is tested as well, in the same modes.
    """

    system: str
    modes: tuple[Mode, ...]
    cases: int = DEFAULT_CASES
    suite: str = "nominal"
    conditions: tuple[Condition, ...] = ()

    def __post_init__(self) -> None:
        """Refuse an evaluation of nothing, and one without end."""
        require_cases(self.cases)
        if not self.modes:
            raise InputError("an evaluation needs at least one mode, but has none.")

    @classmethod
    def named(cls, evaluation: str, system: str, cases: int = DEFAULT_CASES) -> "EvaluationConfig":
        """The evaluation of a system by its name.

        `standard` is the plant's own track, `replanning` also replans at every step, and `comprehensive` does all of
        that under the system's other conditions as well.

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

    def states(self) -> Float[np.ndarray, "C n_x"]:
        """The initial states of the cases."""
        return suite_states(problems.get(self.system), self.suite, self.cases)

    def definition(self) -> dict[str, Any]:
        """The conditions, for a stage's configuration; nothing where there are none."""
        return {"conditions": [each.definition() for each in self.conditions]} if self.conditions else {}

    @classmethod
    def of_stage(cls, config: Mapping[str, Any]) -> "EvaluationConfig":
        """From the `evaluation`, `system`, `cases` and `conditions` of a stage's configuration."""
        named = cls.named(config["evaluation"], config["system"], config["cases"])
        conditions = tuple(Condition.from_definition(each) for each in config.get("conditions", ()))
        return replace(named, conditions=conditions)
