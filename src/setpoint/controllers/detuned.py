"""A deliberately suboptimal expert, which leaves room for reinforcement learning to improve on imitation."""

import numpy as np
from jaxtyping import Float

from setpoint.controllers.interface import ControlPlan, ProblemController
from setpoint.controllers.riccati import clipped_feedback, plan_feedback, solve_riccati
from setpoint.problems import Problem


class DetunedLqr(ProblemController):
    """Applies u = −f K (x − x*) clipped to the bounds: K is the first LQR gain of the horizon, f is `detuned_gain`."""

    name = "detuned"

    def __init__(self, problem: Problem) -> None:
        """Compute the constant gain."""
        super().__init__(problem)
        self._gain = problem.detuned_gain * solve_riccati(problem).gains[0]

    def feedback(self, step: int, x: Float[np.ndarray, "B n_x"]) -> Float[np.ndarray, "B n_u"]:
        """Return the clipped control, the same function of the state at every step."""
        return clipped_feedback(self.problem, self._gain, x)

    def _plan(self, t: float, x: Float[np.ndarray, "B n_x"], steps: int) -> ControlPlan:
        """Return the controls that the feedback would apply to the undisturbed plant."""
        return plan_feedback(self.problem, self.feedback, t, x, steps)
