"""The certified optimum as a controller."""

import numpy as np
from jaxtyping import Float

from setpoint.controllers.interface import Plan
from setpoint.controllers.shooting import Optimum, TrajectoryOptimizer
from setpoint.errors import SetpointError
from setpoint.problems import MoveBlocking, Problem


class OptimalController:
    """Solves the problem from every state it is asked about, always over the full horizon of N steps.

    It remembers what it solved: the cost of a case and the plan for it come from one solve.
    """

    name = "optimum"

    def __init__(self, problem: Problem, blocking: MoveBlocking | None = None) -> None:
        """Build the nonlinear program; one move per step unless `blocking` says otherwise."""
        self._problem = problem
        self._optimizer = TrajectoryOptimizer(problem, blocking)
        self._solved: dict[bytes, Optimum] = {}

    def find(self, x: Float[np.ndarray, " n_x"]) -> Optimum | None:
        """The certified optimum from `x`, or None where no solver finds a point that can be certified."""
        key = x.tobytes()
        found = self._solved.get(key) or self._optimizer.solve(x)
        if found is not None:
            self._solved[key] = found
        return found

    def optimum(self, x: Float[np.ndarray, " n_x"]) -> Optimum:
        """The certified optimum from `x`.

        Raises:
            SetpointError: no solver finds a point that can be certified; most often none is feasible.
        """
        found = self.find(x)
        if found is None:
            raise SetpointError(
                f"{self._problem.name}: no certified optimum from {x.tolist()}; there may be no feasible control"
            )
        return found

    def plan(self, t: float, x: Float[np.ndarray, "B n_x"], steps: int) -> Plan:
        """The optimal controls of the next N steps; the problem does not change with time.

        Raises:
            SetpointError: as for `optimum`.
        """
        return Plan.of(np.stack([self.optimum(state).controls for state in x]))
