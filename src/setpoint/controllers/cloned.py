"""Imitation baselines without a language model: linear regression, nearest neighbours, a small network.

Fitting uses scikit-learn, which only this module imports; install it with `pip install 'setpoint[baselines]'`. The
caller passes demonstrations as arrays, so that any expert can be cloned.
"""

import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from jaxtyping import Float

from setpoint.controllers.interface import ControlPlan, ProblemController
from setpoint.errors import InputError, unknown_name
from setpoint.problems import MoveBlocking, Problem

CLONES = ("linear", "knn", "mlp")
_NEIGHBOURS = 5
_HIDDEN = (64, 64)
_NETWORK = {"max_iter": 600, "n_iter_no_change": 30, "tol": 1e-7, "learning_rate_init": 3e-3, "alpha": 1e-6}


@dataclass(frozen=True)
class _Scale:
    """Standardisation of states and moves to mean zero and unit standard deviation."""

    state_mean: np.ndarray
    state_spread: np.ndarray
    move_mean: np.ndarray
    move_spread: float

    @classmethod
    def of(cls, states: np.ndarray, moves: np.ndarray) -> "_Scale":
        # One scale for all moves, so that the squared loss weights their errors equally.
        tiny = np.finfo(float).tiny  # avoids 0/0 for a constant column
        return cls(states.mean(axis=0), states.std(axis=0) + tiny, moves.mean(axis=0), float(moves.std()) + tiny)


class ClonedController(ProblemController):
    """Maps a state to all moves of a plan at once, like a text answer; the map does not depend on time."""

    def __init__(self, problem: Problem, name: str, regressor: Any, scale: _Scale, blocking: MoveBlocking) -> None:
        """Wrap a fitted `regressor` from scaled states (B, n_x) to scaled moves (B, M n_u)."""
        self.name = name
        super().__init__(problem)
        self._regressor = regressor
        self._scale = scale
        self._blocking = blocking

    def _plan(self, t: float, x: Float[np.ndarray, "B n_x"], steps: int) -> ControlPlan:
        """Return the predicted moves, clipped to the bounds, for the whole horizon."""
        plant, scale = self.problem.plant, self._scale
        predicted = self._regressor.predict((x - scale.state_mean) / scale.state_spread)
        moves = scale.move_mean + scale.move_spread * predicted.reshape(len(x), -1, plant.n_u)
        return ControlPlan.of(self._blocking.expand(np.clip(moves, plant.control_lower, plant.control_upper)))


def clone(
    kind: str,
    problem: Problem,
    states: Float[np.ndarray, "R n_x"],
    moves: Float[np.ndarray, "R M n_u"],
    blocking: MoveBlocking | None = None,
    seed: int = 0,
) -> ClonedController:
    """Fit a controller of one of the kinds in `CLONES` to demonstrations with the given move blocking.

    Raises:
        InputError: no such kind, inconsistent array shapes, or scikit-learn is missing.
    """
    if kind not in CLONES:
        raise unknown_name("cloned controller", kind, CLONES)
    blocking = blocking or MoveBlocking.none(problem.steps)
    plant = problem.plant
    wanted = (len(states), blocking.moves, plant.n_u)
    if states.shape[1:] != (plant.n_x,) or moves.shape != wanted or len(states) <= _NEIGHBOURS:
        raise InputError(
            f"demonstrations of {problem.name} must be more than {_NEIGHBOURS} states (R, {plant.n_x}) and moves "
            f"(R, {blocking.moves}, {plant.n_u}), got shapes {states.shape} and {moves.shape}."
        )
    scale = _Scale.of(states, moves)
    inputs = (states - scale.state_mean) / scale.state_spread
    outputs = ((moves - scale.move_mean) / scale.move_spread).reshape(len(moves), -1)
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "Stochastic Optimizer", UserWarning
        )  # the number of epochs is fixed on purpose
        fitted = _regressor(kind, seed).fit(inputs, outputs)
    return ClonedController(problem, kind, fitted, scale, blocking)


def require_cloning(count: int) -> None:
    """Check, before anything is solved, that cloning from `count` demonstrations is possible.

    Raises:
        InputError: too few demonstrations, or scikit-learn is missing.
    """
    if count <= _NEIGHBOURS:
        raise InputError(f"cloning needs more than {_NEIGHBOURS} demonstrations, got {count}.")
    _require_library()


def _require_library() -> None:
    if find_spec("sklearn") is None:
        raise InputError("cloned controllers need scikit-learn. Install it with: pip install 'setpoint[baselines]'")


def _regressor(kind: str, seed: int) -> Any:
    _require_library()
    from sklearn.linear_model import LinearRegression
    from sklearn.neighbors import KNeighborsRegressor
    from sklearn.neural_network import MLPRegressor

    if kind == "linear":
        return LinearRegression()
    if kind == "knn":
        return KNeighborsRegressor(_NEIGHBOURS, weights="distance")
    return MLPRegressor(hidden_layer_sizes=_HIDDEN, random_state=seed, **_NETWORK)
