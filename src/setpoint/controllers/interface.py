"""The interface of controllers, shared by LLMs, feedback laws and optimal control."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from setpoint.arguments import require_number, require_whole
from setpoint.errors import InputError, shown
from setpoint.problems import Problem
from setpoint.trajectory import Termination


@dataclass(frozen=True)
class ControlPlan:
    """Planned controls for a batch of B states, or for one state without the batch axis.

    Attributes:
        controls: commanded controls on the plant's grid, (B, S, n_u) or (S, n_u), with S at least the number of steps
            requested; zero if the answer could not be parsed.
        outcomes: B values; `COMPLETED` if the controller produced valid controls.
        tokens: generated tokens per state, (B,); zeros for controllers that are not language models.
    """

    controls: Float[np.ndarray, "*batch S n_u"]
    outcomes: tuple[Termination, ...]
    tokens: Int[np.ndarray, " B"]

    @classmethod
    def of(cls, controls: Float[np.ndarray, "B S n_u"]) -> "ControlPlan":
        """Return the plan of a controller that always produces valid controls.

        Raises:
            InputError: `controls` is not an array with three axes.
        """
        if not isinstance(controls, np.ndarray) or controls.ndim != 3:
            raise InputError(f"controls must be an array of shape (B, S, n_u), got {shown(controls)}.")
        count = len(controls)
        return cls(controls, (Termination.COMPLETED,) * count, np.zeros(count, dtype=np.int64))


class Controller(Protocol):
    """Maps a time and a batch of states to a batch of control plans."""

    @property
    def name(self) -> str:
        """Name of the controller in tables."""

    def plan(self, t: float, x: Float[np.ndarray, "B n_x"], steps: int) -> ControlPlan:
        """Plan controls from time `t` (s) and states `x` for at least the next `steps` grid intervals."""


class ProblemController(ABC):
    """Base class of controllers of one problem. Accepts one state or a batch, as lists or arrays.

    Attributes:
        name: name of the controller in tables.
        problem: problem to control.
    """

    name: str

    def __init__(self, problem: Problem) -> None:
        """Store the problem."""
        if not isinstance(problem, Problem):
            raise InputError(f"a controller needs a Problem, got {shown(problem)}. Use setpoint.problem(name).")
        self.problem = problem

    def plan(self, t: float, x: ArrayLike, steps: int | None = None) -> ControlPlan:
        """Plan controls from time `t` (s) and states `x`, (n_x,) or (B, n_x), for at least `steps` grid intervals.

        Args:
            steps: number of grid intervals (default: the whole horizon).

        Raises:
            InputError: `x` has another shape or is not numeric, or `t` or `steps` is not a number.
        """
        states, single = self.problem.as_states(x, "x")
        wanted = self.problem.steps if steps is None else require_whole(steps, "steps", least=1)
        plan = self._plan(require_number(t, "t"), states, wanted)
        return ControlPlan(plan.controls[0], plan.outcomes, plan.tokens) if single else plan

    @abstractmethod
    def _plan(self, t: float, x: Float[np.ndarray, "B n_x"], steps: int) -> ControlPlan:
        """Plan controls for a batch."""
