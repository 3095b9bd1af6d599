"""Certified optimal control as a controller."""

import numpy as np
from jaxtyping import Float

from setpoint.controllers.interface import ControlPlan, ProblemController
from setpoint.controllers.riccati import ClippedLqr
from setpoint.controllers.shooting import Optimum, TrajectoryOptimizer
from setpoint.problems import MoveBlocking, Problem


class OptimalController(ProblemController):
    """Solves the problem from each given state, always over the full horizon of N steps, and caches the solutions.

    With the cache, the cost of a case and its plan come from the same solve. If a state has no certified optimum (from
    a disturbed one, no control may satisfy the bounds), the plan falls back to the clipped LQR and is counted.

    Attributes:
        solved: number of plans that are certified optima.
        unsolved: number of plans of the clipped LQR.
    """

    name = "optimum"

    def __init__(self, problem: Problem, blocking: MoveBlocking | None = None) -> None:
        """Build the nonlinear program, with one move per step unless `blocking` is given."""
        super().__init__(problem)
        self._optimizer = TrajectoryOptimizer(problem, blocking)
        self._regulator = ClippedLqr(problem)
        self._solved: dict[bytes, Optimum] = {}
        self.solved = 0
        self.unsolved = 0

    def find(self, x: Float[np.ndarray, " n_x"]) -> Optimum | None:
        """Return the certified optimum from `x`, or None if no solver finds a point that can be certified."""
        key = x.tobytes()  # bit-equal states only: nearby states have other optima
        found = self._solved.get(key) or self._optimizer.solve(x)
        if found is not None:
            self._solved[key] = found
        return found

    def _plan(self, t: float, x: Float[np.ndarray, "B n_x"], steps: int) -> ControlPlan:
        """Return the optimal controls of the next N steps; the problem does not depend on time."""
        return ControlPlan.of(np.stack([self._plan_one(state) for state in x]))

    def _plan_one(self, x: Float[np.ndarray, " n_x"]) -> Float[np.ndarray, "N n_u"]:
        optimum = self.find(x)
        if optimum is not None:
            self.solved += 1
            return optimum.controls
        self.unsolved += 1
        return np.asarray(self._regulator.plan(0.0, x[None], self.problem.steps).controls[0])
