"""Expert moves for given states: labels of states that a model visits in closed loop."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from setpoint.controllers import DetunedLqr, solve_riccati
from setpoint.controllers.shooting import TrajectoryOptimizer
from setpoint.demonstrations.recipe import Expert
from setpoint.problems import STATE_DECIMALS, SUITES, MoveBlocking, Problem, suite_states
from setpoint.problems.suites import MIN_DISTANCE

_PROTECTED_CASES = 1000
"""Number of leading states of every suite that no start may come near, as in datasets."""
_FARTHEST = 0.05
"""Distance beyond a state bound, as a share of the range, up to which states are still labelled."""


@dataclass(frozen=True)
class StateLabels:
    """Labels of R states, as rounded for a prompt; rows without a label hold zeros.

    Attributes:
        states: (R, n_x).
        moves: the expert's moves, (R, M, n_u).
        feedback: control of the unconstrained linear-quadratic regulator, (R, n_u).
        found: whether the row has a label: the state lies within the bounds and its optimum is certified, (R,).
    """

    states: Float[np.ndarray, "R n_x"]
    moves: Float[np.ndarray, "R M n_u"]
    feedback: Float[np.ndarray, "R n_u"]
    found: Bool[np.ndarray, " R"]


class Labeller:
    """The expert of a dataset on one problem, ready to label any states."""

    def __init__(self, problem: Problem, blocking: MoveBlocking, expert: Expert) -> None:
        """Build the expert: certified optima, or the deliberately detuned regulator."""
        self.problem = problem
        self.blocking = blocking
        self._gain = solve_riccati(problem).gains[0]
        self._detuned = DetunedLqr(problem) if expert == "detuned" else None
        self._optimizer = None if self._detuned else TrajectoryOptimizer(problem, blocking)

    def label(self, states: Float[np.ndarray, "R n_x"]) -> StateLabels:
        """Return the labels of `states`."""
        problem = self.problem
        x = np.asarray(np.round(np.nan_to_num(states, nan=1e6), STATE_DECIMALS) + 0.0)
        found = self._near_bounds(x)
        moves = np.zeros((len(x), self.blocking.moves, problem.plant.n_u))
        if self._detuned is not None:
            planned = self._detuned.plan(0.0, np.where(found[:, None], x, problem.target), problem.steps)
            moves = np.where(found[:, None, None], self.blocking.average(planned.controls), 0.0)
        elif self._optimizer is not None:
            for row in np.flatnonzero(found):
                optimum = self._optimizer.solve(x[row])
                found[row] = optimum is not None
                moves[row] = 0.0 if optimum is None else optimum.moves
        feedback = -(x - np.array(problem.target)) @ self._gain.T
        return StateLabels(x, moves, np.where(found[:, None], feedback, 0.0), found)

    def _near_bounds(self, x: Float[np.ndarray, "R n_x"]) -> Bool[np.ndarray, " R"]:
        plant = self.problem.plant
        spare = _FARTHEST * (plant.state_upper - plant.state_lower)
        return np.asarray(((x >= plant.state_lower - spare) & (x <= plant.state_upper + spare)).all(axis=1))


def fresh_states(problem: Problem, count: int, *seed: str | int) -> Float[np.ndarray, "count n_x"]:
    """Draw `count` initial states that lie at a distance from every state of the test suites."""
    protected = np.concatenate([suite_states(problem, suite, _PROTECTED_CASES) for suite in SUITES])
    found = np.empty((0, problem.plant.n_x))
    attempt = 0
    while len(found) < count:
        drawn = problem.initial_states(count, *seed, attempt)
        distance = np.abs((drawn[:, None] - protected) / np.array(problem.half_width)).max(axis=-1)
        found = np.concatenate([found, drawn[(distance > MIN_DISTANCE).all(axis=1)]])
        attempt += 1
    return found[:count]
