"""An expert that is imperfect on purpose: what imitation can learn from it, reinforcement can improve."""

import numpy as np
from jaxtyping import Float

from setpoint.controllers.interface import ControlPlan, ProblemController
from setpoint.controllers.riccati import clipped_feedback, plan_feedback, solve_riccati
from setpoint.problems import Problem


class DetunedLqr(ProblemController):
    """u = −f K x clipped to the bounds, with K the first LQR gain of the horizon and f the problem's detuned gain."""

    name = "detuned"

    def __init__(self, problem: Problem) -> None:
        """Prepare the one gain."""
        super().__init__(problem)
        self._gain = problem.detuned_gain * solve_riccati(problem).gains[0]

    def feedback(self, step: int, x: Float[np.ndarray, "B n_x"]) -> Float[np.ndarray, "B n_u"]:
        """The clipped control, the same function of the state at every step."""
        return clipped_feedback(self.problem, self._gain, x)

    def _plan(self, t: float, x: Float[np.ndarray, "B n_x"], steps: int) -> ControlPlan:
        """The controls that the feedback would apply to the undisturbed plant."""
        return plan_feedback(self.problem, self.feedback, t, x, steps)
