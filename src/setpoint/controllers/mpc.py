"""Model predictive control with the problem's own horizon: the strongest baseline, and the slowest."""

import numpy as np
from jaxtyping import Float

from setpoint.controllers.interface import ControlPlan, ProblemController
from setpoint.controllers.riccati import ClippedLqr
from setpoint.controllers.shooting import TrajectoryOptimizer
from setpoint.problems import Problem


class ModelPredictive(ProblemController):
    """Solves the whole problem anew from every state that it sees.

    From a state without a certified plan (disturbances lead to states from which no control keeps the bounds) it plans
    like the clipped regulator, and counts that.

    Attributes:
        solved: plans that are certified optima.
        unsolved: plans of the clipped regulator.
    """

    name = "mpc"

    def __init__(self, problem: Problem) -> None:
        """Build the nonlinear program."""
        super().__init__(problem)
        self._optimizer = TrajectoryOptimizer(problem)
        self._regulator = ClippedLqr(problem)
        self.solved = 0
        self.unsolved = 0

    def _plan(self, t: float, x: Float[np.ndarray, "B n_x"], steps: int) -> ControlPlan:
        """The controls of the next N steps from every state."""
        return ControlPlan.of(np.stack([self._plan_one(state) for state in x]))

    def _plan_one(self, x: np.ndarray) -> np.ndarray:
        optimum = self._optimizer.solve(x)
        if optimum is None:
            self.unsolved += 1
            return np.asarray(self._regulator.plan(0.0, x[None], self.problem.steps).controls[0])
        self.solved += 1
        return optimum.controls
