"""Finite-horizon linear-quadratic control: the Riccati recursion, and the feedback clipped to the bounds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from setpoint.arguments import is_number
from setpoint.controllers.interface import ControlPlan, ProblemController
from setpoint.errors import InputError, shown
from setpoint.plants import linearise
from setpoint.problems import Problem


@dataclass(frozen=True)
class LinearQuadratic:
    """Solution of the linearised, unconstrained problem.

    Attributes:
        gains: K_k of u_k = −K_k (x_k − x*), (N, n_u, n_x).
        values: P_k of the cost-to-go e_k' P_k e_k, (N+1, n_x, n_x).
    """

    gains: Float[np.ndarray, "N n_u n_x"]
    values: Float[np.ndarray, "nodes n_x n_x"]


def solve_riccati(problem: Problem, control_weight: float = 1.0) -> LinearQuadratic:
    """Solve the linear-quadratic problem of the linearisation at the target, with `control_weight` times R."""
    dynamics = linearise(problem.plant, np.array(problem.target), np.zeros(problem.plant.n_u))
    return riccati_recursion(problem, [dynamics] * problem.steps, control_weight)


def riccati_recursion(
    problem: Problem, dynamics: Sequence[tuple[np.ndarray, np.ndarray]], control_weight: float = 1.0
) -> LinearQuadratic:
    """Run the backward Riccati recursion over `dynamics`, the pairs (A_k, B_k) of all N steps.

    P_N = terminal_weight Q;  K_k = (R + B_k'P_{k+1}B_k)^{-1} B_k'P_{k+1}A_k;  P_k = Q + A_k'P_{k+1}(A_k − B_k K_k).
    Source: Bertsekas, Dynamic Programming and Optimal Control I, §4.1.
    """
    q, r = np.diag(problem.q), control_weight * np.diag(problem.r)
    value = problem.terminal_weight * q
    gains, values = [], [value]
    for a, b in reversed(dynamics):
        gain = np.linalg.solve(r + b.T @ value @ b, b.T @ value @ a)
        value = q + a.T @ value @ (a - b @ gain)
        value = (value + value.T) / 2  # rounding would otherwise break the symmetry over long horizons
        gains.append(gain)
        values.append(value)
    return LinearQuadratic(np.array(gains[::-1]), np.array(values[::-1]))


class ClippedLqr(ProblemController):
    """Time-varying LQR of the whole horizon, clipped to the control bounds; plans by simulating the closed loop."""

    name = "lqr"

    def __init__(self, problem: Problem, control_weight: float = 1.0) -> None:
        """Compute the gains for `control_weight` times R; values above 1 make the feedback less aggressive."""
        super().__init__(problem)
        if not is_number(control_weight) or not 0.0 < control_weight < np.inf:
            raise InputError(f"control_weight must be a positive number, got {shown(control_weight)}.")
        # Only the nominal regulator may pass for the reference of this name in a table.
        self.name = "lqr" if control_weight == 1.0 else f"lqr_r{control_weight:g}"
        self._gains = solve_riccati(problem, control_weight).gains

    def feedback(self, step: int, x: Float[np.ndarray, "B n_x"]) -> Float[np.ndarray, "B n_u"]:
        """Return the clipped control at grid step `step`; beyond the horizon the last gain is used."""
        return clipped_feedback(self.problem, self._gains[min(step, self.problem.steps - 1)], x)

    def _plan(self, t: float, x: Float[np.ndarray, "B n_x"], steps: int) -> ControlPlan:
        """Return the controls that the feedback would apply to the undisturbed plant."""
        return plan_feedback(self.problem, self.feedback, t, x, steps)


def clipped_feedback(
    problem: Problem, gain: Float[np.ndarray, "n_u n_x"], x: Float[np.ndarray, "B n_x"]
) -> Float[np.ndarray, "B n_u"]:
    """Compute −K (x − x*) clipped to the control bounds, bit-identical for a batch and for each state alone."""
    # Not `@`: BLAS sums in an order that depends on the batch size, so results would differ in the last bit.
    unclipped = -((x - np.array(problem.target))[:, None, :] * gain).sum(axis=-1)
    return np.asarray(np.clip(unclipped, problem.plant.control_lower, problem.plant.control_upper))


def plan_feedback(
    problem: Problem,
    feedback: Callable[[int, np.ndarray], np.ndarray],
    t: float,
    x: Float[np.ndarray, "B n_x"],
    steps: int,
) -> ControlPlan:
    """Simulate `feedback(step, x)` on the undisturbed plant from time `t` (s) and return the applied controls.

    A state whose next one would not be finite stays where it is.
    """
    plant = problem.plant
    start = round(t / plant.dt_s)  # rounded, because t is a multiple of dt_s only up to rounding
    controls = []
    for step in range(start, start + steps):
        u = feedback(step, x)
        controls.append(u)
        with np.errstate(over="ignore", invalid="ignore"):
            reached = plant.step(step * plant.dt_s, x, u)
        x = np.where(np.isfinite(reached).all(axis=-1, keepdims=True), reached, x)
    return ControlPlan.of(np.stack(controls, axis=1))
