"""One state, solved: the certified optimum with one move per step and with blocked moves."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from setpoint.controllers import Certificate
from setpoint.controllers.shooting import Optimum, TrajectoryOptimizer
from setpoint.problems import MoveBlocking, Problem


@dataclass(frozen=True)
class Solution:
    """What is optimal in one state.

    Attributes:
        state: (n_x,).
        optimum: with one move per step.
        blocked: with blocked moves.
    """

    state: Float[np.ndarray, " n_x"]
    optimum: Optimum
    blocked: Optimum

    @property
    def certificate(self) -> Certificate:
        """The worst of both, number by number."""
        return self.optimum.certificate.worst(self.blocked.certificate)


class StateSolver:
    """Both nonlinear programs of one problem; built once, they solve many states."""

    def __init__(self, problem: Problem, blocking: MoveBlocking) -> None:
        """Build the programs."""
        self.problem = problem
        self._optimizer = TrajectoryOptimizer(problem)
        self._blocked = TrajectoryOptimizer(problem, blocking)

    def solve(self, x: Float[np.ndarray, " n_x"]) -> Solution | None:
        """The certified solution in state `x`, or None."""
        optimum = self._optimizer.solve(x)
        blocked = self._blocked.solve(x) if optimum is not None else None
        return None if optimum is None or blocked is None else Solution(x, optimum, blocked)
