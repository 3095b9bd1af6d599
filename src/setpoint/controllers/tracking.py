"""Linear-quadratic regulation along an optimal trajectory, linearised at every step."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from setpoint.controllers.interface import ControlPlan, ProblemController
from setpoint.controllers.optimal import OptimalController
from setpoint.controllers.riccati import plan_feedback, riccati_recursion
from setpoint.errors import InputError
from setpoint.plants import linearise
from setpoint.problems import Problem


@dataclass(frozen=True)
class _Reference:
    """Optimal trajectories of B episodes and the gains along them."""

    states: Float[np.ndarray, "B nodes n_x"]
    controls: Float[np.ndarray, "B N n_u"]
    gains: Float[np.ndarray, "B N n_u n_x"]


class TrackingLqr(ProblemController):
    """Applies u_k = u*_k − K_k (x_k − x*_k) clipped to the bounds, along the optimum from the state at time 0.

    If that state has no certified optimum, the reference is the plan of the clipped LQR. References are stored by
    position, so episodes must be passed in the same order at all times.
    Source of the gains: Bertsekas, Dynamic Programming and Optimal Control I, §4.1, with A_k and B_k of every step.
    """

    name = "tracking_lqr"

    def __init__(self, problem: Problem, optimum: OptimalController | None = None) -> None:
        """Build the nonlinear program, or share `optimum` and its cached solutions."""
        super().__init__(problem)
        self._optimum = optimum or OptimalController(problem)
        self._reference: _Reference | None = None

    def _plan(self, t: float, x: Float[np.ndarray, "B n_x"], steps: int) -> ControlPlan:
        """Return the controls that the feedback would apply to the undisturbed plant.

        Raises:
            InputError: no call at time 0 came first, or the number of episodes has changed since.
        """
        if t == 0:
            self._reference = self._prepare(x)
        if self._reference is None or len(self._reference.states) != len(x):
            raise InputError(f"{self.name} must be called at time 0 first, and then with the same episodes.")
        return plan_feedback(self.problem, self._feedback, t, x, steps)

    def _feedback(self, step: int, x: np.ndarray) -> np.ndarray:
        reference, k = self._reference, min(step, self.problem.steps - 1)
        assert reference is not None
        error = x - reference.states[:, k]
        unclipped = reference.controls[:, k] - np.einsum("bij,bj->bi", reference.gains[:, k], error)
        return np.asarray(np.clip(unclipped, self.problem.plant.control_lower, self.problem.plant.control_upper))

    def _prepare(self, x: np.ndarray) -> _Reference:
        controls = self._optimum.plan(0.0, x, self.problem.steps).controls
        # Simulated rather than taken from the solver, so that the reference also exists for fallback plans.
        states = [x]
        for k in range(self.problem.steps):
            states.append(self.problem.plant.step(k * self.problem.plant.dt_s, states[-1], controls[:, k]))
        along = np.stack(states, axis=1)
        return _Reference(along, controls, np.stack([self._gains(*pair) for pair in zip(along, controls, strict=True)]))

    def _gains(self, states: np.ndarray, controls: np.ndarray) -> np.ndarray:
        """Compute the gains along one trajectory."""
        # `zip` ends with the controls: the last of the N+1 states has no step after it.
        dynamics = [linearise(self.problem.plant, x, u) for x, u in zip(states, controls, strict=False)]
        return riccati_recursion(self.problem, dynamics).gains
