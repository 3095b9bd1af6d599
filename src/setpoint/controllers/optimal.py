"""The certified optimum as a controller."""

import numpy as np
from jaxtyping import Float

from setpoint.controllers.interface import Plan
from setpoint.controllers.shooting import Optimum, TrajectoryOptimizer
from setpoint.errors import SetpointError
from setpoint.problems import Problem


class OptimalController:
    """Solves the problem anew from every state it is asked about, always over the full horizon of N steps."""

    name = "optimum"

    def __init__(self, problem: Problem) -> None:
        """Build the nonlinear program."""
        self._optimizer = TrajectoryOptimizer(problem)

    def optimum(self, x: Float[np.ndarray, " n_x"]) -> Optimum:
        """The certified optimum from `x`.

        Raises:
            SetpointError: no solver finds a point that can be certified; most often none is feasible.
        """
        found = self._optimizer.solve(x)
        if found is None:
            name = self._optimizer.problem.name
            raise SetpointError(f"{name}: no certified optimum from {x.tolist()}; there may be no feasible control")
        return found

    def plan(self, t: float, x: Float[np.ndarray, "B n_x"], steps: int) -> Plan:
        """The optimal controls of the next N steps; the problem does not change with time.

        Raises:
            SetpointError: as for `optimum`.
        """
        return Plan.of(np.stack([self.optimum(state).controls for state in x]))
