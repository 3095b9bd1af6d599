"""Stability of a plant without control, near its target."""

import numpy as np

from setpoint.plants import linearise
from setpoint.problems import Problem

_TOLERANCE = 1e-6


def stability(problem: Problem) -> str:
    """Return `yes`, `marginal` or `no`: the spectral radius of one linearised step is below, at or above 1."""
    transition, _ = linearise(problem.plant, np.array(problem.target), np.zeros(problem.plant.n_u))
    radius = float(np.abs(np.linalg.eigvals(transition)).max())
    if abs(radius - 1.0) <= _TOLERANCE:
        return "marginal"
    return "yes" if radius < 1.0 else "no"
