"""Trivial controllers: the lower baseline of every table."""

import numpy as np
from jaxtyping import Float

from setpoint.controllers.interface import ControlPlan, ProblemController
from setpoint.problems import Problem


class ZeroControl(ProblemController):
    """Applies zero control."""

    name = "zero"

    def __init__(self, problem: Problem) -> None:
        """Store the problem."""
        super().__init__(problem)

    def _plan(self, t: float, x: Float[np.ndarray, "B n_x"], steps: int) -> ControlPlan:
        """Return zero controls."""
        return ControlPlan.of(np.zeros((len(x), steps, self.problem.plant.n_u)))
