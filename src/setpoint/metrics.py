"""Metrics of trajectories, as functions of arrays: no clamping, no padding."""

import numpy as np
from jaxtyping import Bool, Float, Int

from setpoint.problems import Problem
from setpoint.trajectory import Trajectory

SUCCESS_ERROR = 0.05
LOOSE_SUCCESS_ERROR = 0.1
VIOLATION_TOLERANCE = 1e-3
"""Violations up to this share of half the bound's range count as rounding."""


def final_error(problem: Problem, trajectory: Trajectory) -> Float[np.ndarray, " B"]:
    """Compute ‖x_N − x*‖₂ in state units."""
    return np.asarray(np.linalg.norm(trajectory.states[:, -1] - np.array(problem.target), axis=-1))


def normalised_error(problem: Problem, trajectory: Trajectory) -> Float[np.ndarray, " B"]:
    """Compute ‖(x_N − x*) / half width of the initial set‖∞, which is comparable across plants."""
    offset = (trajectory.states[:, -1] - np.array(problem.target)) / np.array(problem.half_width)
    return np.asarray(np.abs(offset).max(axis=-1))


def violations(problem: Problem, trajectory: Trajectory) -> Float[np.ndarray, "B steps"]:
    """Compute the largest bound violation at every step, as a share of half the bound's range.

    States x_1..x_N are checked as simulated and controls as commanded, because the plant saturates the applied ones.
    """
    plant = problem.plant
    states = _excess(trajectory.states[:, 1:], plant.state_lower, plant.state_upper)
    controls = _excess(trajectory.commanded, plant.control_lower, plant.control_upper)
    return np.asarray(np.maximum(states, controls))  # row k: control u_k and the state x_{k+1} that it leads to


def _excess(values: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    excess = np.maximum(np.maximum(lower - values, values - upper), 0.0) / ((upper - lower) / 2)
    return np.asarray(excess.max(axis=-1))


def violation_count(violation: Float[np.ndarray, "B steps"]) -> Int[np.ndarray, " B"]:
    """Count the steps with a violation above the tolerance."""
    return np.asarray((violation > VIOLATION_TOLERANCE).sum(axis=-1))


def success(
    error: Float[np.ndarray, " B"],
    violation: Float[np.ndarray, "B steps"],
    parsed: Bool[np.ndarray, " B"],
    threshold: float = SUCCESS_ERROR,
) -> Bool[np.ndarray, " B"]:
    """Return success: normalised error within `threshold`, no violation above the tolerance, every answer parsed."""
    return np.asarray((error <= threshold) & (violation.max(axis=-1) <= VIOLATION_TOLERANCE) & parsed)


def regret(cost: Float[np.ndarray, " B"], optimal_cost: Float[np.ndarray, " B"]) -> Float[np.ndarray, " B"]:
    """Compute J/J* − 1 relative to the certified optimum with one move per step; 0 if both costs are zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(optimal_cost > 0, cost / optimal_cost, np.where(cost > 0, np.inf, 1.0))
    return np.asarray(ratio - 1.0)
