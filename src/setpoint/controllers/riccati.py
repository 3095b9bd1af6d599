"""Finite-horizon linear-quadratic control: the Riccati recursion, and the feedback clipped to the bounds."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from setpoint.controllers.interface import ControlPlan, ProblemController
from setpoint.plants import linearise
from setpoint.problems import Problem


@dataclass(frozen=True)
class LinearQuadratic:
    """Solution of the linearised, unconstrained problem.

    Attributes:
        gains: K_k of u_k = −K_k (x_k − x*), (N, n_u, n_x).
        values: P_k of the cost to go e_k' P_k e_k, (N+1, n_x, n_x).
    """

    gains: Float[np.ndarray, "N n_u n_x"]
    values: Float[np.ndarray, "nodes n_x n_x"]


def solve_riccati(problem: Problem, control_weight: float = 1.0) -> LinearQuadratic:
    """Backward Riccati recursion on the linearisation at the target, with `control_weight` times R.

    P_N = terminal_weight Q;  K_k = (R + B'P_{k+1}B)^{-1} B'P_{k+1}A;  P_k = Q + A'P_{k+1}(A − B K_k).
    Source: Bertsekas, Dynamic Programming and Optimal Control I, §4.1.
    """
    a, b = linearise(problem.plant, np.array(problem.target), np.zeros(problem.plant.n_u))
    q, r = np.diag(problem.q), control_weight * np.diag(problem.r)
    value = problem.terminal_weight * q
    gains, values = [], [value]
    for _ in range(problem.steps):
        gain = np.linalg.solve(r + b.T @ value @ b, b.T @ value @ a)
        value = q + a.T @ value @ (a - b @ gain)
        value = (value + value.T) / 2  # rounding must not break the symmetry over long horizons
        gains.append(gain)
        values.append(value)
    return LinearQuadratic(np.array(gains[::-1]), np.array(values[::-1]))


class ClippedLqr(ProblemController):
    """Time-varying LQR of the whole horizon, clipped to the control bounds; plans by simulating itself."""

    name = "lqr"

    def __init__(self, problem: Problem, control_weight: float = 1.0) -> None:
        """Prepare the gains; those for `control_weight` times R, where that is above one, are more timid."""
        super().__init__(problem)
        self._gains = solve_riccati(problem, control_weight).gains

    def feedback(self, step: int, x: Float[np.ndarray, "B n_x"]) -> Float[np.ndarray, "B n_u"]:
        """The clipped control at grid step `step`; beyond the horizon, that of its last step."""
        return clipped_feedback(self.problem, self._gains[min(step, self.problem.steps - 1)], x)

    def _plan(self, t: float, x: Float[np.ndarray, "B n_x"], steps: int) -> ControlPlan:
        """The controls that the feedback would apply to the undisturbed plant."""
        return plan_feedback(self.problem, self.feedback, t, x, steps)


def clipped_feedback(
    problem: Problem, gain: Float[np.ndarray, "n_u n_x"], x: Float[np.ndarray, "B n_x"]
) -> Float[np.ndarray, "B n_u"]:
    """−K (x − x*) within the control bounds; to the last bit what it is for each state alone."""
    unclipped = -((x - np.array(problem.target))[:, None, :] * gain).sum(axis=-1)
    return np.asarray(np.clip(unclipped, problem.plant.control_lower, problem.plant.control_upper))


def plan_feedback(
    problem: Problem,
    feedback: Callable[[int, np.ndarray], np.ndarray],
    t: float,
    x: Float[np.ndarray, "B n_x"],
    steps: int,
) -> ControlPlan:
    """The controls that `feedback(step, x)` would apply to the undisturbed plant from time `t` (s) on."""
    plant = problem.plant
    start = round(t / plant.dt_s)
    controls = []
    for step in range(start, start + steps):
        u = feedback(step, x)
        controls.append(u)
        x = plant.step(step * plant.dt_s, x, u)
    return ControlPlan.of(np.stack(controls, axis=1))
