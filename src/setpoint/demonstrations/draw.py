"""Draw the states of one trajectory, determined by the system, the index in a random stream and the attempt."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from setpoint.controllers.shooting import Optimum
from setpoint.demonstrations.solve import Solution, StateSolver
from setpoint.errors import InputError
from setpoint.problems import STATE_DECIMALS, Problem
from setpoint.problems.suites import MIN_DISTANCE
from setpoint.seeding import generator

Stream = Literal["demonstrations", "held-out demonstrations"]
"""First component of every seed; the test suites use another.

Held-out rows have a separate stream: with a common one, the held-out rows of a small dataset would be training rows of
a larger one.
"""
_LAST_VISITED = 0.8
"""Visited states are taken from this first share of the horizon."""
_LARGEST_NOISE = 0.1
"""Largest standard deviation around a visited state, relative to the half-width; log-uniform over two decades."""
_ATTEMPTS = 100


@dataclass(frozen=True)
class Draw:
    """The two solved states of one trajectory, with the number of rejected draws.

    Attributes:
        trajectory: trajectory number.
        initial: a state from the initial set.
        visited: a state near the optimal trajectory from there.
        uncertified: draws rejected because a solution could not be certified.
        too_close: draws rejected because a state was too close to a forbidden one.
    """

    trajectory: int
    initial: Solution
    visited: Solution
    uncertified: int
    too_close: int


def draw_trajectory(
    solver: StateSolver, trajectory: int, forbidden: Float[np.ndarray, "count n_x"], stream: Stream, index: int
) -> Draw:
    """Return the first draw of `trajectory` that is certified and far enough from all `forbidden` states.

    The draw depends on `stream` and the zero-based `index` in it, not on the trajectory number.

    Raises:
        InputError: a hundred draws were rejected.
    """
    problem = solver.problem
    uncertified = too_close = 0
    for attempt in range(_ATTEMPTS):
        x = problem.initial_states(1, stream, index, attempt)[0]
        initial = None if (near := _is_near(problem, x, forbidden)) else solver.solve(x)
        visited = None
        if initial is not None:
            x = _visit(problem, initial.optimum, x, generator(stream, "visited", problem.name, index, attempt))
            visited = None if (near := _is_near(problem, x, forbidden)) else solver.solve(x)
        if initial is not None and visited is not None:
            return Draw(trajectory, initial, visited, uncertified, too_close)
        too_close += near
        uncertified += not near
    raise InputError(
        f"{problem.name}: all {_ATTEMPTS} draws for trajectory {trajectory} were rejected ({uncertified} without a "
        f"certified optimum, {too_close} too close to held-out states). Choose an initial set from which most states "
        "can be controlled within the bounds."
    )


def _visit(
    problem: Problem, optimum: Optimum, x: Float[np.ndarray, " n_x"], rng: np.random.Generator
) -> Float[np.ndarray, " n_x"]:
    """Return a perturbed state of the optimal trajectory from `x`, as an imperfect controller would reach it."""
    steps = int(rng.integers(1, round(_LAST_VISITED * problem.steps), endpoint=True))
    spread = _LARGEST_NOISE * 10.0 ** -rng.uniform(0.0, 2.0) * np.array(problem.half_width)
    reached = _follow(problem, x, optimum.controls[:steps]) + spread * rng.standard_normal(len(spread))
    return np.asarray(np.round(reached, STATE_DECIMALS) + 0.0)  # adding zero drops the sign of −0.0


def _follow(
    problem: Problem, x: Float[np.ndarray, " n_x"], controls: Float[np.ndarray, "steps n_u"]
) -> Float[np.ndarray, " n_x"]:
    """Return the state after `controls`. For a single state, floats are many times faster than arrays."""
    plant, state = problem.plant, tuple(x.tolist())
    for k, u in enumerate(controls.tolist()):
        state = plant.step_components(k * plant.dt_s, state, u, math)
    return np.array(state)


def _is_near(problem: Problem, x: Float[np.ndarray, " n_x"], others: Float[np.ndarray, "count n_x"]) -> bool:
    distance = np.abs((others - x) / np.array(problem.half_width)).max(axis=-1)
    return bool((distance <= MIN_DISTANCE).any())
