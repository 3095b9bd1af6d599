"""Certified optimal controls of one state, with one move per step and with blocked moves."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from setpoint.controllers import Certificate
from setpoint.controllers.shooting import Optimum, TrajectoryOptimizer
from setpoint.problems import MoveBlocking, Problem


@dataclass(frozen=True)
class Solution:
    """Certified optima of one state.

    Attributes:
        state: the initial state, (n_x,).
        optimum: the optimum with one move per step.
        blocked: the optimum with blocked moves.
    """

    state: Float[np.ndarray, " n_x"]
    optimum: Optimum
    blocked: Optimum

    @property
    def certificate(self) -> Certificate:
        """The worse of the two certificates, residual by residual."""
        return self.optimum.certificate.worst(self.blocked.certificate)


class StateSolver:
    """Both nonlinear programs of one problem, built once and solved for many states."""

    def __init__(self, problem: Problem, blocking: MoveBlocking) -> None:
        """Build the programs."""
        self.problem = problem
        self._optimizer = TrajectoryOptimizer(problem)
        self._blocked = TrajectoryOptimizer(problem, blocking)

    def solve(self, x: Float[np.ndarray, " n_x"]) -> Solution | None:
        """Return the certified solution of state `x`, or None if either solve fails."""
        optimum = self._optimizer.solve(x)
        blocked = self._blocked.solve(x) if optimum is not None else None
        return None if optimum is None or blocked is None else Solution(x, optimum, blocked)
