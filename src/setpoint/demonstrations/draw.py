"""Drawing the states of one trajectory: a function of the system, its place in a stream and the attempt alone."""

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
"""First part of every seed; the suites have another.

Those that are held out have their own: where both came from one, what a small data set holds out would be what a larger
one trains on.
"""
_LAST_VISITED = 0.8
"""States are visited in this first share of the horizon."""
_LARGEST_NOISE = 0.1
"""Standard deviation around a visited state, as a share of the half width; down to a hundredth of it."""
_ATTEMPTS = 100


@dataclass(frozen=True)
class Draw:
    """The two solved states of one trajectory, and what it took to find them.

    Attributes:
        trajectory: its number.
        initial: a state of the initial set.
        visited: a state near the optimal trajectory from there.
        uncertified: draws that were rejected because a solve could not be certified.
        too_close: draws that were rejected because a state was too close to a forbidden one.
    """

    trajectory: int
    initial: Solution
    visited: Solution
    uncertified: int
    too_close: int


def draw_trajectory(
    solver: StateSolver, trajectory: int, forbidden: Float[np.ndarray, "count n_x"], stream: Stream, place: int
) -> Draw:
    """The first draw of `trajectory` that keeps its distance from `forbidden` states and is certified.

    What is drawn depends on `stream` and its `place` there, from 0, and not on the number of the trajectory.

    Raises:
        InputError: a hundred draws were rejected.
    """
    problem = solver.problem
    uncertified = too_close = 0
    for attempt in range(_ATTEMPTS):
        x = problem.initial_states(1, stream, place, attempt)[0]
        initial = None if (near := _is_near(problem, x, forbidden)) else solver.solve(x)
        visited = None
        if initial is not None:
            x = _visit(problem, initial.optimum, x, generator(stream, "visited", problem.name, place, attempt))
            visited = None if (near := _is_near(problem, x, forbidden)) else solver.solve(x)
        if initial is not None and visited is not None:
            return Draw(trajectory, initial, visited, uncertified, too_close)
        too_close += near
        uncertified += not near
    raise InputError(
        f"{problem.name}: none of {_ATTEMPTS} draws could be used for trajectory {trajectory}: {uncertified} without a "
        f"certified optimum, {too_close} too close to held-out states. Most initial states must have a control that "
        "keeps the bounds."
    )


def _visit(
    problem: Problem, optimum: Optimum, x: Float[np.ndarray, " n_x"], rng: np.random.Generator
) -> Float[np.ndarray, " n_x"]:
    """A state near one of the optimal trajectory from `x`, as far away from it as imperfect answers lead."""
    steps = int(rng.integers(1, round(_LAST_VISITED * problem.steps), endpoint=True))
    spread = _LARGEST_NOISE * 10.0 ** -rng.uniform(0.0, 2.0) * np.array(problem.half_width)
    reached = _follow(problem, x, optimum.controls[:steps]) + spread * rng.standard_normal(len(spread))
    return np.asarray(np.round(reached, STATE_DECIMALS) + 0.0)  # adding zero drops the sign of −0.0


def _follow(
    problem: Problem, x: Float[np.ndarray, " n_x"], controls: Float[np.ndarray, "steps n_u"]
) -> Float[np.ndarray, " n_x"]:
    """The state after `controls`; for one state, floats are many times faster than arrays."""
    plant, state = problem.plant, tuple(x.tolist())
    for k, u in enumerate(controls.tolist()):
        state = plant.step_components(k * plant.dt_s, state, u, math)
    return np.array(state)


def _is_near(problem: Problem, x: Float[np.ndarray, " n_x"], others: Float[np.ndarray, "count n_x"]) -> bool:
    distance = np.abs((others - x) / np.array(problem.half_width)).max(axis=-1)
    return bool((distance <= MIN_DISTANCE).any())
