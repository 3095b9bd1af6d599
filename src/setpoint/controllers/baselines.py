"""Controllers that need no design: the floor of every table."""

import numpy as np
from jaxtyping import Float

from setpoint.controllers.interface import Plan
from setpoint.problems import Problem


class ZeroControl:
    """Does nothing."""

    name = "zero"

    def __init__(self, problem: Problem) -> None:
        """Remember the number of controls."""
        self._n_u = problem.plant.n_u

    def plan(self, t: float, x: Float[np.ndarray, "B n_x"], steps: int) -> Plan:
        """Zeros."""
        return Plan.of(np.zeros((len(x), steps, self._n_u)))
