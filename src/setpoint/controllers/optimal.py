"""The certified optimum as a controller."""

import numpy as np
from jaxtyping import Float

from setpoint.controllers.interface import ControlPlan, ProblemController
from setpoint.controllers.riccati import ClippedLqr
from setpoint.controllers.shooting import Optimum, TrajectoryOptimizer
from setpoint.problems import MoveBlocking, Problem


class OptimalController(ProblemController):
    """Solves the problem from every state it is asked about, always over the full horizon of N steps.

    It remembers what it solved: the cost of a case and the plan for it come from one solve. From a state without a
    certified optimum (a disturbed measurement can be one from which no control keeps the bounds) it plans like the
    clipped regulator, and counts that.

    Attributes:
        unsolved: plans of the clipped regulator.
    """

    name = "optimum"

    def __init__(self, problem: Problem, blocking: MoveBlocking | None = None) -> None:
        """Build the nonlinear program; one move per step unless `blocking` says otherwise."""
        super().__init__(problem)
        self._optimizer = TrajectoryOptimizer(problem, blocking)
        self._regulator = ClippedLqr(problem)
        self._solved: dict[bytes, Optimum] = {}
        self.unsolved = 0

    def find(self, x: Float[np.ndarray, " n_x"]) -> Optimum | None:
        """The certified optimum from `x`, or None where no solver finds a point that can be certified."""
        key = x.tobytes()
        found = self._solved.get(key) or self._optimizer.solve(x)
        if found is not None:
            self._solved[key] = found
        return found

    def _plan(self, t: float, x: Float[np.ndarray, "B n_x"], steps: int) -> ControlPlan:
        """The optimal controls of the next N steps; the problem does not change with time."""
        return ControlPlan.of(np.stack([self._plan_one(state) for state in x]))

    def _plan_one(self, x: Float[np.ndarray, " n_x"]) -> Float[np.ndarray, "N n_u"]:
        optimum = self.find(x)
        if optimum is not None:
            return optimum.controls
        self.unsolved += 1
        return np.asarray(self._regulator.plan(0.0, x[None], self.problem.steps).controls[0])
