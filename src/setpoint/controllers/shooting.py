"""Constrained optimal control by multiple shooting on the simulator's own integrator.

The decision variables are w = [x_0, u_0, x_1, u_1, …, x_M], one node per move: a move that is held for several steps
makes one shooting interval of as many integrator steps, whose inner states are path constraints. This order of
variables and constraints is the one that fatrop, a structure-exploiting interior-point solver, recognises; IPOPT takes
over where fatrop gives up. Either way the point is certified by its own KKT residual.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import casadi
import numpy as np
from jaxtyping import Float

from setpoint.controllers.certificate import Certificate
from setpoint.problems import MoveBlocking, Problem

MAX_ITERATIONS = 300
"""Interior-point iterations before a solver gives up; well-posed problems need about ten."""

_QUIET = {"print_time": False, "show_eval_warnings": False}


@dataclass(frozen=True)
class Optimum:
    """A certified optimum.

    Attributes:
        moves: (M, n_u).
        controls: the moves on the plant's grid, (N, n_u).
        cost: J.
        certificate: its optimality conditions.
    """

    moves: Float[np.ndarray, "M n_u"]
    controls: Float[np.ndarray, "N n_u"]
    cost: float
    certificate: Certificate


class TrajectoryOptimizer:
    """Solves one problem for many initial states.

    `parameters` are CasADi symbols that occur in the problem (coefficients, weights, grid interval); their values
    are given with every solve, so that one optimizer serves a whole family of plants.
    """

    def __init__(
        self,
        problem: Problem,
        blocking: MoveBlocking | None = None,
        parameters: Sequence[casadi.SX] = (),
        *,
        solvers: tuple[str, ...] = ("fatrop", "ipopt"),
        max_iterations: int = MAX_ITERATIONS,
    ) -> None:
        """Build the nonlinear program; `solvers` are set up when they are first needed and tried in turn."""
        self.problem = problem
        self.blocking = blocking or MoveBlocking.none(problem.steps)
        self._program = _Program(problem, self.blocking, parameters)
        self._order = solvers
        self._max_iterations = max_iterations
        self._solvers: dict[str, Any] = {}

    def solve(
        self,
        x0: Float[np.ndarray, " n_x"],
        values: Sequence[float] = (),
        control_bounds: tuple[np.ndarray, np.ndarray] | None = None,
        state_bounds: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> Optimum | None:
        """The certified optimum from `x0`, or None where no solver finds a point that can be certified.

        `values` are those of the parameters; the bounds default to the plant's.
        """
        plant = self.problem.plant
        u_bounds = control_bounds or (plant.control_lower, plant.control_upper)
        x_bounds = state_bounds or (plant.state_lower, plant.state_upper)
        bounds = self._program.bounds(u_bounds, x_bounds)
        guess = self._program.guess(x0)
        parameters = np.concatenate([x0, np.asarray(values, dtype=float)])
        for name in self._order:
            found = self._solver(name)(x0=guess, p=parameters, **bounds)
            certificate = self._program.certify(name, found, parameters, bounds)
            if certificate.holds:
                # The solvers relax bounds by 1e-8 of their size; the plant would saturate what is beyond.
                moves = np.clip(self._program.moves(np.asarray(found["x"]).ravel()), *u_bounds)
                return Optimum(moves, self.blocking.expand(moves), float(found["f"]), certificate)
        return None

    def _solver(self, name: str) -> Any:
        if name not in self._solvers:
            options: dict[str, Any] = {
                name: {"print_level": 0, "tol": 1e-10, "max_iter": self._max_iterations},
                **_QUIET,
            }
            if name == "fatrop":
                options |= {"structure_detection": "auto", "equality": self._program.equality}
            else:
                options[name]["sb"] = "yes"
            self._solvers[name] = casadi.nlpsol(name, name, self._program.nlp, options)
        return self._solvers[name]


class _Program:
    """The nonlinear program of a problem: symbols, layout of variables, bounds, and the KKT residual."""

    def __init__(self, problem: Problem, blocking: MoveBlocking, parameters: Sequence[casadi.SX]) -> None:
        self._n_x, self._n_u = problem.plant.n_x, problem.plant.n_u
        self._steps, self._lengths = problem.steps, blocking.lengths
        self._target = np.array(problem.target)
        x0 = casadi.SX.sym("x0", self._n_x)
        nodes = [casadi.SX.sym(f"x_{k}", self._n_x) for k in range(blocking.moves + 1)]
        moves = [casadi.SX.sym(f"u_{k}", self._n_u) for k in range(blocking.moves)]
        cost: Any = 0
        constraints: list[Any] = []
        self.equality: list[bool] = []
        for k, length in enumerate(blocking.lengths):
            x, u = casadi.vertsplit(nodes[k]), casadi.vertsplit(moves[k])
            inner = []
            for step in range(length):
                if step:
                    inner.append(casadi.vertcat(*x))
                cost += problem.state_cost(x) + problem.control_cost(u)
                x = list(problem.plant.step_components(0.0, x, u, casadi))
            constraints.append(nodes[k + 1] - casadi.vertcat(*x))
            self.equality += [True] * self._n_x
            if k == 0:
                constraints.append(nodes[0] - x0)
                self.equality += [True] * self._n_x
            constraints += inner
            self.equality += [False] * (self._n_x * len(inner))
        cost += problem.terminal_weight * problem.state_cost(casadi.vertsplit(nodes[-1]))
        w = casadi.vertcat(*(part for pair in zip(nodes, moves, strict=False) for part in pair), nodes[-1])
        p = casadi.vertcat(x0, *parameters)
        g = casadi.vertcat(*constraints)
        self.nlp = {"x": w, "p": p, "f": cost, "g": g}
        multipliers = casadi.SX.sym("lam_g", g.numel())
        gradient = casadi.gradient(cost, w)
        lagrangian = gradient + casadi.jtimes(g, w, multipliers, True)
        self._residual = casadi.Function("residual", [w, p, multipliers], [lagrangian, gradient, g])
        self._is_equality = np.array(self.equality)

    def bounds(
        self, u_bounds: tuple[np.ndarray, np.ndarray], x_bounds: tuple[np.ndarray, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Bounds of variables and constraints: controls, and states at every step but the given first one."""
        unbounded = np.full(self._n_x, np.inf)
        first = (-unbounded, unbounded)
        found: dict[str, np.ndarray] = {}
        for side, letter in enumerate("lu"):
            blocks = [part for _ in self._lengths for part in (u_bounds[side], x_bounds[side])]
            found[f"{letter}bx"] = np.concatenate([first[side], *blocks])
            inner = np.zeros(len(self.equality))
            inner[~self._is_equality] = np.resize(x_bounds[side], int((~self._is_equality).sum()))
            found[f"{letter}bg"] = inner
        return found

    def guess(self, x0: np.ndarray) -> np.ndarray:
        """States on a straight line from `x0` to the target, zero controls."""
        covered = np.concatenate([[0], np.cumsum(self._lengths)]) / self._steps
        nodes = x0 + covered[:, None] * (self._target - x0)
        padded = np.hstack([nodes, np.zeros((len(nodes), self._n_u))])
        return padded.ravel()[: -self._n_u]

    def moves(self, w: np.ndarray) -> np.ndarray:
        """The moves (M, n_u) inside a vector of decision variables."""
        pairs = w[: -self._n_x].reshape(len(self._lengths), self._n_x + self._n_u)
        return np.ascontiguousarray(pairs[:, self._n_x :])

    def certify(self, solver: str, found: Any, p: np.ndarray, bounds: dict[str, np.ndarray]) -> Certificate:
        """Measure the KKT conditions at the point that a solver returned."""
        w = np.asarray(found["x"]).ravel()
        lam_x = np.asarray(found["lam_x"]).ravel()
        lam_g = np.asarray(found["lam_g"]).ravel()
        lagrangian, gradient, g = (np.asarray(part).ravel() for part in self._residual(w, p, lam_g))
        if not (np.isfinite(w).all() and np.isfinite(lagrangian).all() and np.isfinite(lam_x).all()):
            return Certificate(solver, np.inf, np.inf, np.inf, np.inf)
        scale = max(1.0, float(np.abs(gradient).max()))
        return Certificate(
            solver=solver,
            stationarity=float(np.abs(lagrangian + lam_x).max()) / scale,
            gap=float(np.abs(g[self._is_equality]).max()),
            violation=max(
                _violation(w, bounds["lbx"], bounds["ubx"]),
                _violation(g, bounds["lbg"], bounds["ubg"]),
            ),
            complementarity=max(
                _complementarity(lam_x, w, bounds["lbx"], bounds["ubx"]),
                _complementarity(
                    lam_g[~self._is_equality], *(part[~self._is_equality] for part in (g, bounds["lbg"], bounds["ubg"]))
                ),
            )
            / scale,
        )


def _violation(values: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> float:
    return float(np.maximum(np.maximum(lower - values, values - upper), 0.0).max(initial=0.0))


def _complementarity(multipliers: np.ndarray, values: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> float:
    """Largest |multiplier × slack|: a positive multiplier belongs to the upper bound, a negative one to the lower."""
    slack = np.where(multipliers > 0, upper - values, values - lower)
    active = np.abs(multipliers) > 0
    products = np.abs(multipliers[active]) * np.abs(slack[active])
    return float(np.where(np.isfinite(products), products, np.abs(multipliers[active])).max(initial=0.0))
