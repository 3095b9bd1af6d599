"""Controllers that need no design: the floor of every table."""

import numpy as np
from jaxtyping import Float

from setpoint.controllers.interface import ControlPlan, ProblemController
from setpoint.problems import Problem


class ZeroControl(ProblemController):
    """Does nothing."""

    name = "zero"

    def __init__(self, problem: Problem) -> None:
        """Keep the problem."""
        super().__init__(problem)

    def _plan(self, t: float, x: Float[np.ndarray, "B n_x"], steps: int) -> ControlPlan:
        """Zeros."""
        return ControlPlan.of(np.zeros((len(x), steps, self.problem.plant.n_u)))
