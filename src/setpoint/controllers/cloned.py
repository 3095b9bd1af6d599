"""What imitates an expert without a language model: linear regression, nearest neighbours, a small network.

scikit-learn does the fitting and is imported here alone; `pip install 'setpoint[baselines]'` brings it. The
demonstrations are arrays that the caller hands in, so that any expert can be cloned.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from setpoint.controllers.interface import Plan
from setpoint.errors import InputError, unknown_name
from setpoint.problems import MoveBlocking, Problem

CLONES = ("linear", "knn", "mlp")
_NEIGHBOURS = 5
_HIDDEN = (64, 64)
_EPOCHS = 400


class ClonedController:
    """Maps a state to all moves of a plan at once, as an answer in text does; the same map at all times."""

    def __init__(self, problem: Problem, name: str, regressor: Any, blocking: MoveBlocking) -> None:
        """Use a fitted `regressor` from scaled states (B, n_x) to scaled moves (B, M n_u)."""
        self.name = name
        self._problem = problem
        self._regressor = regressor
        self._blocking = blocking

    def plan(self, t: float, x: Float[np.ndarray, "B n_x"], steps: int) -> Plan:
        """The predicted moves within the bounds, for the whole horizon."""
        plant = self._problem.plant
        scaled = self._regressor.predict(_scaled_states(self._problem, x))
        moves = _control_middle(self._problem) + _control_range(self._problem) * scaled.reshape(len(x), -1, plant.n_u)
        return Plan.of(self._blocking.expand(np.clip(moves, plant.control_lower, plant.control_upper)))


def clone(
    kind: str,
    problem: Problem,
    states: Float[np.ndarray, "R n_x"],
    moves: Float[np.ndarray, "R M n_u"],
    blocking: MoveBlocking | None = None,
    seed: int = 0,
) -> ClonedController:
    """Fit a `kind` of controller (see `CLONES`) to demonstrations; `blocking` says how long each move is held.

    Raises:
        InputError: no such kind, arrays that do not belong together, or scikit-learn is missing.
    """
    if kind not in CLONES:
        raise unknown_name("cloned controller", kind, CLONES)
    blocking = blocking or MoveBlocking.none(problem.steps)
    plant = problem.plant
    wanted = (len(states), blocking.moves, plant.n_u)
    if states.shape[1:] != (plant.n_x,) or moves.shape != wanted or len(states) <= _NEIGHBOURS:
        raise InputError(
            f"demonstrations of {problem.name} must be more than {_NEIGHBOURS} states (R, {plant.n_x}) and moves "
            f"(R, {blocking.moves}, {plant.n_u}), but are {states.shape} and {moves.shape}."
        )
    scaled = (moves - _control_middle(problem)) / _control_range(problem)
    regressor = _regressor(kind, seed).fit(_scaled_states(problem, states), scaled.reshape(len(moves), -1))
    return ClonedController(problem, kind, regressor, blocking)


def _regressor(kind: str, seed: int) -> Any:
    try:
        from sklearn.linear_model import LinearRegression
        from sklearn.neighbors import KNeighborsRegressor
        from sklearn.neural_network import MLPRegressor
    except ImportError as error:
        raise InputError(
            "cloned controllers need scikit-learn. Install it with: pip install 'setpoint[baselines]'"
        ) from error
    if kind == "linear":
        return LinearRegression()
    if kind == "knn":
        return KNeighborsRegressor(_NEIGHBOURS, weights="distance")
    return MLPRegressor(hidden_layer_sizes=_HIDDEN, max_iter=_EPOCHS, early_stopping=True, n_iter_no_change=20, random_state=seed)


def _scaled_states(problem: Problem, states: np.ndarray) -> np.ndarray:
    return np.asarray((states - problem.initial_centre) / np.array(problem.half_width))


def _control_middle(problem: Problem) -> np.ndarray:
    return np.asarray((problem.plant.control_upper + problem.plant.control_lower) / 2)


def _control_range(problem: Problem) -> np.ndarray:
    return np.asarray((problem.plant.control_upper - problem.plant.control_lower) / 2)
