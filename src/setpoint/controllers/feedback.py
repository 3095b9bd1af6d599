"""A function of the state as a controller: `u = f(x)`, written by hand or trained by another library."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from setpoint.controllers.interface import ControlPlan, ProblemController
from setpoint.controllers.riccati import plan_feedback
from setpoint.errors import InputError, shown
from setpoint.formatting import counted
from setpoint.problems import Problem

Feedback = Callable[[np.ndarray], ArrayLike]


class FeedbackController(ProblemController):
    """Applies `function(observation)` at every grid interval.

    The observation is that of the Gymnasium environments: the state in SI units, then the share of the horizon that is
    left, (n_x+1,). A plan applies the function to the undisturbed plant; replan every step for pure feedback.

    Attributes:
        function: observation (n_x+1,) -> control (n_u,) in SI units; it is clipped to the bounds.
        label: name of the function in messages.
    """

    def __init__(
        self, problem: Problem, function: Feedback, *, name: str = "feedback", label: str | None = None
    ) -> None:
        """Store the function.

        Args:
            name: name of the controller in tables.
            label: name of the function in messages; default: the name of the controller.

        Raises:
            InputError: `function` cannot be called.
        """
        super().__init__(problem)
        if not callable(function):
            raise InputError(f"a feedback must be a function of the observation, got {shown(function)}.")
        self.function = function
        self.name = name
        self.label = repr(name) if label is None else label

    def feedback(self, step: int, x: Float[np.ndarray, "B n_x"]) -> Float[np.ndarray, "B n_u"]:
        """Return the clipped controls at grid step `step`.

        Raises:
            InputError: the function does not return n_u numbers.
        """
        plant = self.problem.plant
        left = 1.0 - step / self.problem.steps
        controls = np.array([self._control(np.append(state, left)) for state in x]).reshape(len(x), plant.n_u)
        return np.asarray(np.clip(controls, plant.control_lower, plant.control_upper))

    def _control(self, observation: np.ndarray) -> np.ndarray:
        found, n_u = self.function(observation), self.problem.plant.n_u
        try:
            control = np.asarray(found, dtype=float)
        except (TypeError, ValueError):
            control = np.empty(0)
        if control.size != n_u or not np.isfinite(control).all():
            raise InputError(
                f"{self.label} must return {counted(n_u, 'finite control')} for a state of {self.problem.name}, got "
                f"{shown(found)}."
            )
        return control.reshape(n_u)

    def _plan(self, t: float, x: Float[np.ndarray, "B n_x"], steps: int) -> ControlPlan:
        return plan_feedback(self.problem, self.feedback, t, x, steps)
